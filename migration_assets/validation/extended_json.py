"""Extended JSON, written by the driver, cleaned for jsonb, and compared.

Identities are made of the canonical form (section 4); the relaxed one is what a jsonb column must mean
(section 5). Compared by meaning, a number is its value with every digit of it: 1.0 is 1, and
0.30000000000000004 is not 0.3.
"""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import Any

import orjson
from bson import ObjectId, json_util
from bson.datetime_ms import DatetimeMS

from migration_assets.validation import loss_reasons

_RELAXED = json_util.RELAXED_JSON_OPTIONS
_EPOCH = datetime(1970, 1, 1)
_LAST_WRITTEN = 253_402_300_799_999
"""The last millisecond of the year 9999: for times beyond it, and before 1970, there are numbers."""
_OPTIONS = (
    orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_DATACLASS
)
"""What orjson leaves to the driver: types that JSON does not have, and those disguised as another."""


def canonical(value: Any) -> str:
    """Returns a value as canonical Extended JSON, without blanks."""
    if type(value) is str:
        return encode_basestring_ascii(value)
    return json_util.dumps(
        value, json_options=json_util.CANONICAL_JSON_OPTIONS, separators=(",", ":")
    )


def jsonb_text(value: Any) -> tuple[str, str | None]:
    """Returns a value as relaxed Extended JSON with every digit, as jsonb can hold it.

    Returns:
        The text, and why it is not the value whole: jsonb has no U+0000, which becomes U+FFFD, and no -0.0.
    """
    try:
        text = orjson.dumps(value, default=_wrapped, option=_OPTIONS).decode()
    except orjson.JSONEncodeError:  # nested too deeply
        text = "null"
    # NaN and the infinities are written as null, too.
    if "\\u0000" not in text and "-0.0" not in text and ("null" not in text or _is_finite(value)):
        return text, None
    structure = json.loads(json_util.dumps(value, json_options=_RELAXED))
    text, held = json.dumps(structure), json.dumps(_storable(structure))
    if text == held:
        return text, None
    return held, loss_reasons.NUL_REPLACED if _has_nul(structure) else loss_reasons.ZERO_REPLACED


def _wrapped(value: Any) -> Any:
    """Returns a value of a type that JSON does not have as relaxed Extended JSON."""
    if type(value) is ObjectId:
        return {"$oid": str(value)}
    if type(value) is DatetimeMS and 0 <= int(value) <= _LAST_WRITTEN:
        time = _EPOCH + timedelta(milliseconds=int(value))
        return {"$date": f"{time.isoformat(timespec='milliseconds').removesuffix('.000')}Z"}
    return json_util.default(value, _RELAXED)


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return type(value) is not float or math.isfinite(value)


def _storable(structure: Any) -> Any:
    if isinstance(structure, str):
        return structure.replace("\x00", "\ufffd")
    if isinstance(structure, float):
        return structure or 0.0
    if isinstance(structure, list):
        return list(map(_storable, structure))
    if isinstance(structure, dict):
        return {name: _storable(value) for name, value in structure.items()}
    return structure


def _has_nul(structure: Any) -> bool:
    if isinstance(structure, str):
        return "\x00" in structure
    if isinstance(structure, dict):
        return any(map(_has_nul, structure.values()))
    return isinstance(structure, list) and any(map(_has_nul, structure))


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


def meaning(text: str) -> Any:
    """Returns a structure that is equal to another where both JSON texts mean the same.

    Raises:
        ValueError: The text is not JSON.
        ArithmeticError: It has a number beyond what can be compared.
    """
    return _MEANING.decode(text)


def _as_written(text: str) -> tuple[str, str]:
    return "number", text


def _by_value(text: str) -> tuple[str, bool, Decimal]:
    # Apart from booleans, which Python counts as numbers, and from -0.0, which jsonb cannot hold.
    number = Decimal(text)
    return "number", number.is_signed(), number


def _sorted_pairs(pairs: list[tuple[str, Any]]) -> tuple[str, Any]:
    return "object", sorted(pairs, key=lambda pair: pair[0])


_EXACT = json.JSONDecoder(
    parse_int=_as_written,
    parse_float=_as_written,
    parse_constant=_as_written,
    object_pairs_hook=_sorted_pairs,
)
"""Reads numbers as they are written and keeps keys that come twice; a tuple is nothing that JSON holds."""
_MEANING = json.JSONDecoder(parse_int=_by_value, parse_float=_by_value)
