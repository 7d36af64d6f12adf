"""What number or time a BSON value stands for, plainly and without the loader's code (section 5)."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import Value

_DIGITS = re.compile(r"[+-]?[0-9]+")
_LONGEST_INTEGER = 20
_ISO_8601 = re.compile(
    r"(?P<year>[0-9]{4}|[+-][0-9]{6})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?)?"
)


def is_digits(text: str) -> bool:
    """Tells whether a text is digits with an optional sign."""
    return _DIGITS.fullmatch(text) is not None


def is_whole(value: Value) -> bool:
    """Tells whether a value is a number without a fraction, however large."""
    kind, data = value
    match kind:
        case bson.INT32 | bson.INT64:
            return True
        case bson.DOUBLE:
            return bool(data.is_integer())
        case bson.DECIMAL128 if data[-1].isdigit():
            return Decimal(data) == Decimal(data).to_integral_value()
        case _:
            return False


def digits(text: str) -> int | None:
    """Returns digits with an optional sign as a number, None where there are too many of them."""
    significant = text.lstrip("+-0")
    if not is_digits(text) or len(significant) > _LONGEST_INTEGER:
        return None
    return int(significant or 0) * (-1 if text.startswith("-") else 1)


def is_negative_zero(value: Value) -> bool:
    """Tells whether a number is the zero that integers do not have."""
    return integral(value) == 0 and str(value[1]).startswith("-")


def integral(value: Value) -> int | None:
    """Returns a number without a fraction, None for anything else."""
    kind, data = value
    match kind:
        case bson.INT32 | bson.INT64:
            return int(data)
        case bson.DOUBLE if data.is_integer():
            return int(data)
        case bson.DECIMAL128 if data[-1].isdigit():
            number = Decimal(data)
            is_small = abs(number) < 10**_LONGEST_INTEGER
            return int(number) if is_small and number == int(number) else None
        case _:
            return None


def from_iso_8601(text: str) -> tuple[int | None, bool]:
    """Returns a time in milliseconds since 1970, and whether the text says no more than that."""
    found = _ISO_8601.fullmatch(text)
    if found is None:
        return None, False
    part = {name: int(given or 0) for name, given in found.groupdict().items() if name != "sign"}
    if max(part["minute"], part["second"], part["minutes"]) > 59:
        return None, False
    if max(part["hour"], part["hours"]) > 23:
        return None, False
    cycles, year = divmod(part["year"], 400)
    try:
        day = date(400 + year, part["month"], part["day"]).toordinal()
    except ValueError:
        return None, False
    days = day - date(1970, 1, 1).toordinal() + (cycles - 1) * 146_097
    offset = (part["hours"] * 60 + part["minutes"]) * (-1 if found["sign"] == "-" else 1)
    seconds = ((days * 24 + part["hour"]) * 60 + part["minute"] - offset) * 60 + part["second"]
    fraction = found["fraction"] or ""
    return seconds * 1000 + int(fraction[:3].ljust(3, "0")), not fraction[3:].strip("0")
