"""What relaxed Extended JSON can be, once it is in a ``jsonb`` column.

A JSON text is looked at as it is, without knowing the value that it was made from: wrappers have to be
well-formed, and numbers such as a BSON integer or double can be. The form of each wrapper:
https://github.com/mongodb/specifications/blob/master/source/extended-json.md, table *Conversion table*.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

_INT64 = (-(2**63), 2**63 - 1)
_UINT32 = (0, 2**32 - 1)

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(
    r"-?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|inf(inity)?)|nan", re.IGNORECASE
)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SUBTYPE = re.compile(r"[0-9a-fA-F]{1,2}")


def is_relaxed_extended_json(text: str) -> bool:
    """Tells whether a JSON text can be what relaxed Extended JSON makes of a BSON value, null apart.

    An object that is no wrapper may have any names, those that begin with ``$`` included.

    Args:
        text: What PostgreSQL writes for a jsonb value.
    """
    try:
        value = json.loads(text, parse_int=Decimal, parse_float=Decimal, parse_constant=_refused)
    except (ValueError, RecursionError):
        return False
    return value is not None and all(_is_sound(part) for part in _parts(value))


def _refused(constant: str) -> Any:
    raise ValueError(constant)


def _parts(value: Any) -> list[Any]:
    """Returns a value and all values in it."""
    parts, pending = [], [value]
    while pending:
        part = pending.pop()
        parts.append(part)
        if isinstance(part, dict):
            # What is within a wrapper is the wrapper's own.
            pending.extend([] if _wrapper(part) else part.values())
        elif isinstance(part, list):
            pending.extend(part)
    return parts


def _wrapper(value: Mapping[str, Any]) -> str | None:
    return next((name for name in value if name in _WRAPPERS), None)


def _is_sound(value: Any) -> bool:
    if isinstance(value, Decimal):
        return _is_number(value)
    if isinstance(value, dict):
        name = _wrapper(value)
        return name is None or _WRAPPERS[name](value)
    return True


def _is_number(value: Decimal) -> bool:
    """Tells whether a number is an int64, or every digit that a double has in its shortest form."""
    return _is_whole(value, *_INT64) or value == Decimal(repr(float(value)))


def _is_whole(value: Decimal, low: int, high: int) -> bool:
    return low <= value <= high and value == value.to_integral_value()


def _text(name: str, form: re.Pattern[str]) -> Callable[[Mapping[str, Any]], bool]:
    def is_sound(value: Mapping[str, Any]) -> bool:
        held = value[name]
        return len(value) == 1 and isinstance(held, str) and form.fullmatch(held) is not None

    return is_sound


def _is_date(value: Mapping[str, Any]) -> bool:
    held = value["$date"]
    if isinstance(held, dict):
        return len(value) == 1 and held.keys() == {"$numberLong"} and _is_long(held["$numberLong"])
    return len(value) == 1 and isinstance(held, str) and _DATE.fullmatch(held) is not None


def _is_long(value: Any) -> bool:
    is_text = isinstance(value, str) and _INTEGER.fullmatch(value) is not None
    return is_text and _is_whole(Decimal(value), *_INT64)


def _is_binary(value: Mapping[str, Any]) -> bool:
    held = value["$binary"]
    if len(value) != 1 or not isinstance(held, dict) or held.keys() != {"base64", "subType"}:
        return False
    data, subtype = held["base64"], held["subType"]
    if not isinstance(data, str) or not isinstance(subtype, str):
        return False
    try:
        base64.b64decode(data, validate=True)
    except ValueError:
        return False
    return _SUBTYPE.fullmatch(subtype) is not None


def _is_regular_expression(value: Mapping[str, Any]) -> bool:
    held = value["$regularExpression"]
    return (
        len(value) == 1
        and isinstance(held, dict)
        and held.keys() == {"pattern", "options"}
        and all(isinstance(part, str) for part in held.values())
    )


def _is_timestamp(value: Mapping[str, Any]) -> bool:
    held = value["$timestamp"]
    return (
        len(value) == 1
        and isinstance(held, dict)
        and held.keys() == {"t", "i"}
        and all(isinstance(part, Decimal) and _is_whole(part, *_UINT32) for part in held.values())
    )


def _is_code(value: Mapping[str, Any]) -> bool:
    scope = value.get("$scope", {})
    is_scope = isinstance(scope, dict) and all(_is_sound(part) for part in _parts(scope))
    return value.keys() <= {"$code", "$scope"} and isinstance(value["$code"], str) and is_scope


def _key(name: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda value: len(value) == 1 and value[name] == 1


_WRAPPERS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "$oid": _text("$oid", _OBJECT_ID),
    "$date": _is_date,
    "$numberDouble": _text("$numberDouble", re.compile(r"-?Infinity|NaN")),
    "$numberDecimal": _text("$numberDecimal", _DECIMAL),
    "$binary": _is_binary,
    "$uuid": _text("$uuid", _UUID),
    "$regularExpression": _is_regular_expression,
    "$timestamp": _is_timestamp,
    "$code": _is_code,
    "$symbol": _text("$symbol", re.compile(r"[\s\S]*")),
    "$minKey": _key("$minKey"),
    "$maxKey": _key("$maxKey"),
}
"""Whether an object is a well-formed wrapper, by the name that makes it one."""
