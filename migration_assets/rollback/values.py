"""The way back from a column's value to a BSON value: the inverse of the rules of section 5.

What PostgreSQL can hold and BSON cannot (an infinite time, a number of more digits than any BSON type
has) raises :class:`NotHeldError`, and is reported rather than rounded.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, DecimalException
from typing import Any, LiteralString

import sqlalchemy as sa
from bson import Decimal128, Int64, ObjectId, json_util
from bson.binary import UuidRepresentation
from bson.codec_options import DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.errors import BSONError
from bson.json_util import JSONMode, JSONOptions
from psycopg import sql
from sqlalchemy.dialects import postgresql as pg

from migration_assets.conversion.scalars import BIGINT_RANGE, INTEGER_RANGE
from migration_assets.model import Source

Known = Mapping[str, Mapping[uuid.UUID, Any]]
"""The `_id`s of documents and created rows, by collection."""

_RELAXED: JSONOptions = JSONOptions(
    json_mode=JSONMode.RELAXED,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
_FINITE: LiteralString = """
    CASE WHEN isfinite(t.{0}) THEN (extract(epoch FROM t.{0}) * 1000)::bigint::text
    ELSE t.{0}::text END
"""


class NotHeldError(Exception):
    """A value that no BSON type can hold without loss. The text says why, without the value."""


def read_expression(column: sa.Column[object]) -> sql.Composed:
    """Returns the expression that reads a column of ``t`` for :func:`bson_value`."""
    template: LiteralString = "t.{0}"
    if isinstance(column.type, sa.TIMESTAMP):
        template = _FINITE
    elif isinstance(column.type, pg.ENUM | pg.JSONB):
        template = "t.{0}::text"
    return sql.SQL(template).format(sql.Identifier(column.name))


def references_in(source: Source, value: Any) -> Iterator[uuid.UUID]:
    """Yields the UUIDs that a value refers to."""
    if value is None or source.references is None:
        return
    for element in value if isinstance(value, list) else [value]:
        row_id = as_uuid(element)
        if row_id is not None:
            yield row_id


def as_uuid(value: Any) -> uuid.UUID | None:
    """Returns a value as a UUID, if it is one or its text as PostgreSQL writes it; else None."""
    if isinstance(value, uuid.UUID):
        return value
    try:
        parsed = uuid.UUID(value)
    except (AttributeError, TypeError, ValueError):
        return None
    return parsed if str(parsed) == value else None


def bson_value(source: Source, value: Any, known: Known, ids: Known) -> Any:
    """Returns the BSON value of a field.

    Args:
        source: Where the column's values come from.
        value: The value, not NULL, as :func:`read_expression` reads it.
        known: The `_id`s of the UUIDs that belong to a document or a created row.
        ids: The `_id`s of all UUIDs that references may hold.

    Raises:
        NotHeldError: BSON has no such value.
    """
    collection = source.references or ""
    if source.rule.refers_to_rows:
        return _each(value, ids[collection].__getitem__)
    if source.rule.refers_to_documents:
        return _each(value, lambda element: _text(element, known[collection]))
    match source.rule.type:
        case sa.Integer():
            return _number(value)
        case sa.TIMESTAMP():
            return _date(value)
        case pg.JSONB():
            return _from_json(value)
        case _:
            return value


def _each(value: Any, convert: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [None if element is None else convert(element) for element in value]
    return convert(value)


def _text(value: str, known: Mapping[uuid.UUID, Any]) -> Any:
    """Returns an id held as text: 24 hex digits again; a text that is no id stays."""
    row_id = as_uuid(value)
    if row_id is None or row_id not in known:
        return value
    identifier = known[row_id]
    return str(identifier) if isinstance(identifier, ObjectId) else identifier


def _number(value: int) -> int:
    """Returns an integer as the application's ``int``: 32 bits where it fits, else 64."""
    low, high = INTEGER_RANGE
    return value if low <= value <= high else Int64(value)


def _date(value: str) -> Any:
    try:
        return DatetimeMS(int(value))
    except ValueError:
        raise NotHeldError("an infinite time") from None


def _from_json(text: str) -> Any:
    plain = json.loads(text, parse_int=_json_integer, parse_float=_json_float)
    return _unwrapped(plain)


def _unwrapped(value: Any) -> Any:
    """Returns a JSON value with the wrappers of Extended JSON, innermost first, as BSON values."""
    if isinstance(value, list):
        return [_unwrapped(element) for element in value]
    if not isinstance(value, dict):
        return value
    inner = {name: _unwrapped(element) for name, element in value.items()}
    if not any(name.startswith("$") for name in inner):
        return inner
    try:
        return json_util.object_hook(inner, _RELAXED)
    except (BSONError, TypeError, ValueError, AttributeError, OverflowError, DecimalException):
        return inner  # the application's own field, which only looks like a wrapper


def _json_integer(text: str) -> Any:
    number = int(text)
    low, high = BIGINT_RANGE
    return _number(number) if low <= number <= high else _json_float(text)


def _json_float(text: str) -> Any:
    number = float(text)
    is_exact = math.isfinite(number) and Decimal(repr(number)) == Decimal(text)
    return number if is_exact else _decimal(text)


def _decimal(text: str) -> Decimal128:
    try:
        return Decimal128(text)
    except DecimalException:
        raise NotHeldError("a JSON number of more digits than BSON has") from None
