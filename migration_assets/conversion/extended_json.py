"""BSON values as relaxed Extended JSON, for ``jsonb`` columns.

The standard library's encoder writes them; ``bson.json_util``, which is slower and knows every type, gives
it the wrappers of the rarer types, and writes what the encoder cannot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from bson import Int64, ObjectId, json_util

NUL = "\x00"
REPLACEMENT = "\ufffd"

_RELAXED = json_util.RELAXED_JSON_OPTIONS
_NATIVE = frozenset({str, int, Int64, float, bool, dict, list})
_DISGUISES = (str, int, float, dict, list)
_FIRST_AS_TEXT = datetime(1970, 1, 1)
"""Relaxed Extended JSON writes a date before 1970, or after 9999, as a number."""
_ESCAPE = re.compile(r"\\(u0000|.)")
_TOKEN = re.compile(r'(?P<string>"[^"\\]*(?:\\.[^"\\]*)*")|-0\.0(?![0-9])')


def relaxed(value: Any) -> str:
    """Returns a BSON value as relaxed Extended JSON text."""
    return json_util.dumps(value, json_options=_RELAXED, separators=(",", ":"), ensure_ascii=False)


def relaxed_texts(values: Sequence[Any]) -> list[str | None]:
    """Returns BSON values as relaxed Extended JSON texts, None for None.

    The standard library's encoder writes them, unless one holds a type that is disguised as another:
    code of JavaScript, which it would take for a string.
    """
    write = _guarded if _has_disguise(values) else _fast
    return [None if value is None else write(value) for value in values]


def _guarded(value: Any) -> str:
    return relaxed(value) if _has_disguise([value]) else _fast(value)


def _fast(value: Any) -> str:
    try:
        return _encode(value)
    except ValueError:  # NaN or an infinity, which JSON has no number for
        return relaxed(value)


def _wrapper(value: Any) -> Any:
    """Returns the wrapper of Extended JSON for a type that JSON does not have."""
    if isinstance(value, ObjectId):
        return {"$oid": str(value)}
    if not isinstance(value, datetime):
        return json_util.default(value, _RELAXED)
    if value >= _FIRST_AS_TEXT:
        precision = "milliseconds" if value.microsecond else "seconds"
        return {"$date": f"{value.isoformat(timespec=precision)}Z"}
    return {"$date": {"$numberLong": str((value - _FIRST_AS_TEXT) // timedelta(milliseconds=1))}}


def storable(text: str) -> str:
    """Returns JSON text as ``jsonb`` can hold it: U+FFFD for every escaped U+0000, and 0.0 for -0.0."""
    return _TOKEN.sub(_storable, text)


def _storable(token: re.Match[str]) -> str:
    if token["string"] is None:
        return "0.0"
    return _ESCAPE.sub(lambda found: REPLACEMENT if found[1] == "u0000" else found[0], token[0])


def _has_disguise(values: Sequence[Any]) -> bool:
    """Tells whether values hold a type that the standard library's encoder takes for another."""
    return any(issubclass(each, _DISGUISES) for each in _types_within(values) - _NATIVE)


def _types_within(values: Sequence[Any]) -> set[type]:
    """Returns the types of values and of all that they contain, a level of nesting at a time."""
    found: set[type] = set()
    level = list(values)
    while level:
        kinds = set(map(type, level))
        found |= kinds
        inner: list[Any] = []
        if dict in kinds:
            inner += chain.from_iterable(each.values() for each in level if type(each) is dict)
        if list in kinds:
            inner += chain.from_iterable(each for each in level if type(each) is list)
        level = inner
    return found


_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_wrapper
).encode
