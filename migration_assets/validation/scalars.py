"""What number, time or text a BSON value stands for, plainly and without the loader's code (section 5)."""

from __future__ import annotations

import math
import re
from datetime import date
from decimal import Decimal
from typing import Any

from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

_DIGITS = re.compile(r"[+-]?[0-9]+")
_LONGEST_INTEGER = 20
_LARGEST_INTEGER = 10**_LONGEST_INTEGER
_ISO_8601 = re.compile(
    r"(?P<year>[0-9]{4}|[+-][0-9]{6})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?)?"
)
_DAYS_IN_CYCLE = 146_097
"""Days in 400 years, after which the Gregorian calendar repeats."""
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def is_digits(text: str) -> bool:
    """Tells whether a text is digits with an optional sign."""
    return _DIGITS.fullmatch(text) is not None


def digits(text: str) -> int | None:
    """Returns digits with an optional sign as a number, None where there are too many of them."""
    significant = text.lstrip("+-0")
    if not is_digits(text) or len(significant) > _LONGEST_INTEGER:
        return None
    return int(significant or 0) * (-1 if text.startswith("-") else 1)


def number(value: Any) -> Decimal | None:
    """Returns a number with all its digits, None for anything else, NaN and the infinities too."""
    match value:
        case bool():
            return None
        case int() | float():
            decimal = Decimal(value)
        case Decimal128():
            decimal = value.to_decimal()
        case _:
            return None
    return decimal if decimal.is_finite() else None


def is_whole(value: Any) -> bool:
    """Tells whether a value is a number without a fraction, however large."""
    decimal = number(value)
    return decimal is not None and decimal == decimal.to_integral_value()


def integral(value: Any) -> int | None:
    """Returns a number without a fraction, None for anything else, and for one with too many digits."""
    decimal = number(value)
    if decimal is None or not -_LARGEST_INTEGER < decimal < _LARGEST_INTEGER:
        return None
    return int(decimal) if decimal == int(decimal) else None


def is_negative_zero(value: Any) -> bool:
    """Tells whether a number is the zero that integers do not have."""
    decimal = number(value)
    return decimal is not None and decimal.is_zero() and decimal.is_signed()


def from_iso_8601(text: str) -> tuple[int | None, bool]:
    """Returns a time in milliseconds since 1970, and whether the text says no more than that."""
    written = _ISO_8601.fullmatch(text)
    if written is None:
        return None, False
    part = {
        name: int(part_text or 0)
        for name, part_text in written.groupdict().items()
        if name != "sign"
    }
    if max(part["minute"], part["second"], part["minutes"]) > 59:
        return None, False
    if max(part["hour"], part["hours"]) > 23:
        return None, False
    cycles, year = divmod(part["year"], 400)
    try:
        day = date(400 + year, part["month"], part["day"]).toordinal()
    except ValueError:
        return None, False
    days = day - _EPOCH_ORDINAL + (cycles - 1) * _DAYS_IN_CYCLE
    offset = (part["hours"] * 60 + part["minutes"]) * (-1 if written["sign"] == "-" else 1)
    seconds = ((days * 24 + part["hour"]) * 60 + part["minute"] - offset) * 60 + part["second"]
    fraction = written["fraction"] or ""
    return seconds * 1000 + int(fraction[:3].ljust(3, "0")), not fraction[3:].strip("0")


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


def iso_8601(milliseconds: int) -> str:
    """Returns a time as ISO 8601, UTC, with milliseconds; a year beyond four digits has a sign."""
    year, month, day, hour, minute, second, millisecond = moment(milliseconds)
    years = f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}"
    return f"{years}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z"


def scalar_text(value: Any) -> str | None:
    """Returns a scalar as its shortest text, None for what has none."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | ObjectId():
            return str(value)
        case float() if math.isfinite(value):
            return repr(value).removesuffix(".0")
        case Decimal128() if number(value) is not None:
            return str(value)
        case DatetimeMS():
            return iso_8601(int(value))
        case _:
            return None
