"""How PostgreSQL writes values as text, and how arrays are read from it.

Formats: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO, and DateStyle ISO.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence

from migration_assets.validation.scalars import moment

_PLAIN_ELEMENT = re.compile(r'[^ \t\n\r\v\f"\\{},]+').fullmatch
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^{},"]+)', re.DOTALL)
_DIMENSIONS = re.compile(r"(?:\[-?[0-9]+:-?[0-9]+\])+=")


def array_text(elements: Sequence[str]) -> str:
    """Returns an array of one dimension, counted from 1, without NULLs."""
    return f"{{{','.join(map(_element, elements))}}}"


def elements(text: str) -> list[str | None]:
    """Returns the elements of an array, whatever its dimensions; None for NULL."""
    dimensions = _DIMENSIONS.match(text)
    values: list[str | None] = []
    for match in _ELEMENT.finditer(text, dimensions.end() if dimensions else 0):
        if match[1] is not None:
            values.append(re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL))
        else:
            values.append(None if match[2] == "NULL" else match[2])
    return values


def uuid_text(identifier: bytes) -> str:
    """Returns a UUID of 16 bytes."""
    return str(uuid.UUID(bytes=identifier))


def boolean_text(value: bool) -> str:
    """Returns a boolean."""
    return "t" if value else "f"


def uuid_array_text(identifiers: Sequence[bytes]) -> str:
    """Returns an array of UUIDs of 16 bytes."""
    return array_text(list(map(uuid_text, identifiers)))


def _element(text: str) -> str:
    if _PLAIN_ELEMENT(text) and text.upper() != "NULL":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def timestamp_text(milliseconds: int) -> str:
    """Returns a time in milliseconds since 1970."""
    year, month, day, hour, minute, second, millisecond = moment(milliseconds)
    fraction = f".{millisecond:03}".rstrip("0") if millisecond else ""
    written = f"{year if year > 0 else 1 - year:04}-{month:02}-{day:02}"
    era = "" if year > 0 else " BC"
    return f"{written} {hour:02}:{minute:02}:{second:02}{fraction}{era}"
