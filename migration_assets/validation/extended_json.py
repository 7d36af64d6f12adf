"""Extended JSON of what ``bson_reader`` reads, written and compared without the driver.

The canonical form is text, exactly as ``bson.json_util`` writes it, since identities are made of it
(section 4). The relaxed form is what a jsonb column must mean (section 5): a structure in which a number
keeps every digit, so that 1.0 equals 1, and 0.30000000000000004 does not equal 0.3. A column of text takes
a scalar in its shortest form.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import Fields, UnreadableError, Value

LAST_ISO_MILLISECOND = 253_402_300_799_999
"""9999-12-31T23:59:59.999Z: relaxed Extended JSON writes later dates, and those before 1970, as numbers."""

_DAYS_IN_CYCLE = 146_097
"""Days in 400 years, after which the Gregorian calendar repeats."""
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_NUMBER = "\ud800"
"""Marks the digits of a number: half a character, which no text in UTF-8 can hold."""

_ZERO, _NEGATIVE_ZERO = f"{_NUMBER}0.0", f"{_NUMBER}-0.0"

Convert = Callable[[Value], Any]
_marked = _NUMBER.__add__


def canonical(value: Value) -> str:
    """Returns a value as canonical Extended JSON, without blanks, as ``bson.json_util`` writes it."""
    return json.dumps(_canonical(value), separators=(",", ":"))


def canonical_document(fields: Fields) -> str:
    """Returns a document as canonical Extended JSON."""
    return canonical((bson.DOCUMENT, fields))


def is_same_json(left: str, right: str) -> bool:
    """Tells whether two texts are the same JSON, whatever the order of their keys and blanks.

    Nothing else is the same: not 1 and 1.0, nor 1 and true, nor a key once and the same one twice.
    """
    if left == right:
        return True
    try:
        return bool(_EXACT.decode(left) == _EXACT.decode(right))
    except ValueError:
        return False


def relaxed(value: Value) -> Any:
    """Returns what a value means as relaxed Extended JSON: a structure to compare by ``means_same``.

    Raises:
        UnreadableError: A document in it has a name twice, which JSON cannot mean.
    """
    kind, data = value
    return _RELAXED[kind](data)


def parsed(text: str) -> Any:
    """Returns JSON as such a structure.

    Raises:
        ValueError: The text is not JSON.
    """
    return _DECODER.decode(text)


def json_text(structure: Any) -> str:
    """Returns such a structure as JSON."""
    if isinstance(structure, str) and structure.startswith(_NUMBER):
        return structure.removeprefix(_NUMBER)
    if isinstance(structure, list):
        return f"[{','.join(map(json_text, structure))}]"
    if isinstance(structure, dict):
        parts = (f"{json.dumps(name)}:{json_text(each)}" for name, each in structure.items())
        return f"{{{','.join(parts)}}}"
    return json.dumps(structure)


def means_same(left: Any, right: Any) -> bool:
    """Tells whether two structures mean the same, however their numbers are written."""
    return bool(left == right or _normalized(left) == _normalized(right))


def storable(structure: Any) -> Any:
    """Returns a JSON structure as jsonb can hold it: no U+0000, which becomes U+FFFD, and no -0.0."""
    if isinstance(structure, str):
        return _ZERO if structure == _NEGATIVE_ZERO else structure.replace("\x00", "\ufffd")
    if isinstance(structure, list):
        return [storable(each) for each in structure]
    if isinstance(structure, dict):
        return {name: storable(each) for name, each in structure.items()}
    return structure


def moment(milliseconds: int) -> tuple[int, int, int, int, int, int, int]:
    """Returns year, month, day, hour, minute, second and millisecond of a time since 1970, UTC.

    Python's calendar ends at year 9999; whole cycles of 400 years lead into it and back.
    """
    days, rest = divmod(milliseconds, 86_400_000)
    cycles, day_of_cycle = divmod(days, _DAYS_IN_CYCLE)
    day = date.fromordinal(day_of_cycle + _EPOCH_ORDINAL)
    seconds, millisecond = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return day.year + 400 * cycles, day.month, day.day, hour, minute, second, millisecond


def _normalized(structure: Any) -> Any:
    """Returns a structure with its numbers as such, apart from booleans, which Python counts as numbers."""
    if structure == _NEGATIVE_ZERO:
        return structure  # which equals no number that jsonb can hold
    if isinstance(structure, str) and structure.startswith(_NUMBER):
        return _NUMBER, Decimal(structure.removeprefix(_NUMBER))
    if isinstance(structure, list):
        return list(map(_normalized, structure))
    if isinstance(structure, dict):
        return {name: _normalized(each) for name, each in structure.items()}
    return structure


def _integer(data: int) -> str:
    return _marked(str(data))


def _canonical(value: Value) -> Any:
    kind, data = value
    return _CANONICAL[kind](data)


def _double(data: float) -> str:
    if math.isnan(data):
        return "NaN"
    if math.isinf(data):
        return "Infinity" if data > 0 else "-Infinity"
    return repr(data)


def _relaxed_double(data: float) -> Any:
    return _marked(repr(data)) if math.isfinite(data) else {"$numberDouble": _double(data)}


def _canonical_date(data: int) -> Any:
    return {"$date": {"$numberLong": str(data)}}


def _relaxed_date(data: int) -> Any:
    if not 0 <= data <= LAST_ISO_MILLISECOND:
        return _canonical_date(data)
    year, month, day, hour, minute, second, millisecond = moment(data)
    fraction = f".{millisecond:03}" if millisecond else ""
    return {"$date": f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z"}


def _binary(data: tuple[int, bytes]) -> Any:
    subtype, content = data
    encoded = base64.b64encode(content).decode()
    return {"$binary": {"base64": encoded, "subType": f"{subtype:02x}"}}


def _object_id(data: bytes) -> Any:
    return {"$oid": data.hex()}


def _regex(data: tuple[str, str]) -> Any:
    options = "".join(sorted(data[1]))
    return {"$regularExpression": {"pattern": data[0], "options": options}}


def _db_pointer(data: tuple[str, bytes]) -> Any:
    # Deprecated; drivers read it as a DBRef.
    return {"$ref": data[0], "$id": _object_id(data[1])}


def _document(data: Fields, convert: Convert) -> dict[str, Any]:
    made = {name: convert(each) for name, each in data}
    if len(made) != len(data):
        raise UnreadableError("a field occurs twice")
    return made


def _alike(convert: Convert, number: Callable[[int], Any]) -> dict[int, Callable[[Any], Any]]:
    """Returns how the types are written that both forms write alike, numbers inside them apart."""
    return {
        bson.STRING: lambda data: data,
        bson.DOCUMENT: lambda data: _document(data, convert),
        bson.ARRAY: lambda data: [convert(each) for each in data],
        bson.BINARY: _binary,
        bson.UNDEFINED: lambda _: None,  # deprecated; drivers read it as null
        bson.OBJECT_ID: _object_id,
        bson.BOOLEAN: lambda data: data,
        bson.NULL: lambda _: None,
        bson.REGEX: _regex,
        bson.DB_POINTER: _db_pointer,
        bson.CODE: lambda data: {"$code": data},
        bson.SYMBOL: lambda data: data,  # deprecated; drivers read it as a string
        bson.CODE_WITH_SCOPE: lambda data: {
            "$code": data[0],
            "$scope": convert((bson.DOCUMENT, data[1])),
        },
        bson.TIMESTAMP: lambda data: {"$timestamp": {"t": number(data[0]), "i": number(data[1])}},
        bson.DECIMAL128: lambda data: {"$numberDecimal": data},
        bson.MAX_KEY: lambda _: {"$maxKey": number(1)},
        bson.MIN_KEY: lambda _: {"$minKey": number(1)},
    }


_CANONICAL: Mapping[int, Callable[[Any], Any]] = {
    **_alike(_canonical, lambda data: data),
    bson.DOUBLE: lambda data: {"$numberDouble": _double(data)},
    bson.DATE: _canonical_date,
    bson.INT32: lambda data: {"$numberInt": str(data)},
    bson.INT64: lambda data: {"$numberLong": str(data)},
}

_RELAXED: Mapping[int, Callable[[Any], Any]] = {
    **_alike(relaxed, _integer),
    bson.DOUBLE: _relaxed_double,
    bson.DATE: _relaxed_date,
    bson.INT32: _integer,
    bson.INT64: _integer,
}

_DECODER = json.JSONDecoder(parse_int=_marked, parse_float=_marked)


def _tagged(text: str) -> tuple[str, str]:
    return "number", text


def _sorted_pairs(pairs: list[tuple[str, Any]]) -> tuple[str, Any]:
    return "object", sorted(pairs, key=lambda pair: pair[0])


_EXACT = json.JSONDecoder(
    parse_int=_tagged,
    parse_float=_tagged,
    parse_constant=_tagged,
    object_pairs_hook=_sorted_pairs,
)
"""Reads numbers as they are written and keeps keys that come twice; a tuple is nothing that JSON holds."""


def iso_8601(milliseconds: int) -> str:
    """Returns a time as ISO 8601, UTC, with milliseconds; a year beyond four digits has a sign."""
    year, month, day, hour, minute, second, millisecond = moment(milliseconds)
    years = f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}"
    return f"{years}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"


def scalar_text(value: Value) -> str | None:
    """Returns a scalar as its shortest text, None for what has none."""
    kind, data = value
    match kind:
        case bson.INT32 | bson.INT64:
            return str(data)
        case bson.DOUBLE if math.isfinite(data):
            return repr(data).removesuffix(".0")
        case bson.BOOLEAN:
            return "true" if data else "false"
        case bson.DECIMAL128 if data[-1].isdigit():
            return str(data)
        case bson.OBJECT_ID:
            return str(data.hex())
        case bson.DATE:
            return iso_8601(data)
        case _:
            return None
