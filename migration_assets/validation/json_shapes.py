"""What relaxed Extended JSON can be, once it is in a ``jsonb`` column.

A JSON text is looked at as it is, without knowing the value that it was made from. So an object may have any
names: MongoDB stores ``{"$oid": "x"}`` as it stores any other, and Extended JSON has no way to tell it from a
wrapper that somebody damaged; the layer ``values`` has. Numbers can be told, as BSON has two kinds of them.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

_INT64 = (-(2**63), 2**63 - 1)


def is_relaxed_extended_json(text: str) -> bool:
    """Tells whether a JSON text can be what relaxed Extended JSON makes of a BSON value, null apart.

    Args:
        text: What PostgreSQL writes for a jsonb value.
    """
    try:
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refused)
    except (ValueError, RecursionError):
        return False
    return value is not None


def _refused(number: str) -> Any:
    raise ValueError(f"no number of BSON has {len(number)} such digits")


def _number(digits: str) -> Decimal:
    """Returns a number that is an int64, or has every digit of a double in its shortest form."""
    number = Decimal(digits)
    is_int64 = _INT64[0] <= number <= _INT64[1] and number == number.to_integral_value()
    return number if is_int64 or number == Decimal(repr(float(number))) else _refused(digits)
