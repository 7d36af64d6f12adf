"""Numbers and times as the rules read them: integers in any guise, ISO 8601 beyond Python's calendar."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

TIMESTAMP_MINIMUM = -210_866_803_200_000
"""First millisecond of PostgreSQL's timestamp, 4714-11-24 BC, since 1970."""
TIMESTAMP_END = 9_224_318_016_000_000
"""First millisecond after PostgreSQL's timestamp, 294277-01-01, since 1970."""

INTEGER_RANGE = (-(2**31), 2**31 - 1)
BIGINT_RANGE = (-(2**63), 2**63 - 1)

_EPOCH = datetime(1970, 1, 1)
_MILLISECOND = timedelta(milliseconds=1)
_DIGITS = re.compile(r"[+-]?[0-9]+")
_LONGEST_INTEGER = 40
"""Digits after which a number is out of every range; Python refuses to read thousands of them."""
_BEYOND = 10**_LONGEST_INTEGER
"""What stands for a number with more digits."""
_ISO_8601 = re.compile(
    r"([0-9]{4}|[+-][0-9]{6})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?)?"
)


def milliseconds_of(value: datetime | DatetimeMS) -> int:
    """Returns a decoded BSON date as milliseconds since 1970, UTC."""
    if isinstance(value, DatetimeMS):
        return int(value)
    return (value - _EPOCH) // _MILLISECOND


def iso_8601(milliseconds: int) -> str:
    """Returns a time as ISO 8601 in UTC with milliseconds, years beyond four digits signed."""
    days, rest = divmod(milliseconds, 86_400_000)
    date, time = str(np.datetime64(days, "D")), str(np.datetime64(rest, "ms"))
    year, month_and_day = int(date[:-6]), date[-6:]
    years = f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}"
    return f"{years}{month_and_day}{time[10:]}Z"


def scalar_text(value: Any) -> str | None:
    """Returns a number, boolean, id or date as text, None for anything else."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float() if math.isfinite(value):
            return repr(value).removesuffix(".0")
        case Decimal128() if value.to_decimal().is_finite():
            return str(value)
        case ObjectId():
            return str(value)
        case datetime() | DatetimeMS():
            return iso_8601(milliseconds_of(value))
        case _:
            return None


def integral(value: Any) -> int | None:
    """Returns the integer that a value stands for, None where it stands for none.

    One that no column can hold is ``_BEYOND``, so that it is out of range and not of a wrong type.
    """
    match value:
        case bool():
            return None
        case int():
            return int(value)
        case float() if value.is_integer():
            return int(value)
        case Decimal128():
            decimal: Decimal = value.to_decimal()
            if not decimal.is_finite() or decimal != decimal.to_integral_value():
                return None
            return int(decimal) if abs(decimal) < _BEYOND else _BEYOND
        case _ if type(value) is str and _DIGITS.fullmatch(value):
            digits = value.lstrip("+-0")
            number = int(digits or "0") if len(digits) <= _LONGEST_INTEGER else _BEYOND
            return number * (-1 if value.startswith("-") else 1)
        case _:
            return None


def from_iso_8601(value: str) -> tuple[int, bool] | None:
    """Returns an ISO 8601 time in milliseconds since 1970, and whether that is all of it."""
    written = _ISO_8601.fullmatch(value)
    if written is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in written.groups()[:6])
    fraction = written["fraction"] or ""
    offset_hours, offset_minutes = int(written["hours"] or 0), int(written["minutes"] or 0)
    is_time = max(hour, offset_hours) < 24 and max(minute, second, offset_minutes) < 60
    months = (year - 1970) * 12 + month - 1
    days = _first_day(months) + day - 1
    is_date = 1 <= month <= 12 and day >= 1 and days < _first_day(months + 1)
    if not (is_time and is_date):
        return None
    offset = offset_hours * 60 + offset_minutes
    minutes = hour * 60 + minute + (offset if written["sign"] == "-" else -offset)
    milliseconds = int(fraction[:3].ljust(3, "0"))
    total = ((days * 1440 + minutes) * 60 + second) * 1000 + milliseconds
    return total, not fraction[3:].strip("0")


def _first_day(months: int) -> int:
    """Returns the first day of a month since 1970 as days since then; Python's own calendar ends at 9999."""
    return int(np.datetime64(months, "M").astype("datetime64[D]").astype(np.int64))
