"""The rules of section 5 for one value: what is accepted, what is coerced, what cannot be converted.

A rule takes a BSON value as pymongo decodes it, never missing or null, and returns an
:class:`Outcome`. It knows neither the column's nullability nor what is recorded where: that is
``columns``.
"""

from __future__ import annotations

import enum
import math
import re
import uuid
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from migration_assets.conversion.extended_json import NUL, REPLACEMENT, relaxed, storable
from migration_assets.identity import document_uuid
from migration_assets.model import Rule, Source

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
_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_ISO_8601 = re.compile(
    r"([0-9]{4}|[+-][0-9]{6})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<hours>[0-9]{2})(?::?(?P<minutes>[0-9]{2}))?)?)?"
)


_FURTHER_TYPES: Mapping[type, str] = {
    Code: "javascript",
    DBRef: "object",
    MaxKey: "maxKey",
    MinKey: "minKey",
    Regex: "regex",
    Timestamp: "timestamp",
}


class Kind(enum.StrEnum):
    """What a conversion did to a value; the first three lose nothing (section 5)."""

    COERCED = "coerced"
    DEFAULTED = "defaulted"
    DERIVED = "derived"
    ALTERED = "altered"
    NULLED = "nulled"
    ORPHANED = "orphaned"
    UNCONVERTIBLE = "not convertible"
    """Not yet decided: a nullable column makes it ``nulled``, a NOT NULL one rejects the document."""


LOSSLESS = frozenset({Kind.COERCED, Kind.DEFAULTED, Kind.DERIVED})


@dataclass(frozen=True, slots=True)
class Finding:
    """What happened to a value, or to one element of an array.

    Attributes:
        kind: What was done.
        reason: Why, in words that hold no value.
        element: Position in the array, from 0; None for the whole value.
        original: The original value, where it is not the whole field.
    """

    kind: Kind
    reason: str
    element: int | None = None
    original: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A converted value, None for NULL, with what happened to it."""

    value: Any
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Assumed:
    """Ids that are taken for granted: whether they lead anywhere is looked for where rows are staged.

    Attributes:
        texts: UUIDs of the documents of the collection that have a text of 24 hex digits as `_id`: such a
            text is taken for that one, else for an ObjectId. None where they are many: for each then.
    """

    texts: frozenset[bytes] | None = frozenset()

    def __contains__(self, uuid_bytes: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Loaded:
    """The ids that a reference may point to.

    Attributes:
        rows: By table, the UUIDs of its loaded rows.
        documents: By collection, the UUIDs of all its documents, rejected ones included.
        are_assumed: Whether all are taken for granted.
    """

    rows: Mapping[str, Container[bytes]]
    documents: Mapping[str, Container[bytes]]
    are_assumed: bool = False


def assumed(
    rows: Iterable[str],
    documents: Iterable[str],
    of_texts: Mapping[str, frozenset[bytes] | None],
) -> Loaded:
    """Returns ids that are taken for granted.

    Args:
        rows: The tables that uuids refer to.
        documents: The collections that texts refer to.
        of_texts: By collection, what stands for texts of 24 hex digits that are an `_id`.
    """
    return Loaded(
        {name: Assumed(of_texts.get(name, frozenset())) for name in rows},
        {name: Assumed(of_texts.get(name, frozenset())) for name in documents},
        are_assumed=True,
    )


NOT_UNIQUE = "an earlier document has the same value, and it must be unique"
NOT_UNIQUE_TOGETHER = "an earlier document has the same values, and they must be unique together"
HOLDER_REJECTED = "the document that holds it was rejected"
NUL_ALTERED = Finding(Kind.ALTERED, "U+0000 became U+FFFD")
ZERO_ALTERED = Finding(Kind.ALTERED, "-0.0 became 0.0")
DIGITS_ALTERED = Finding(Kind.ALTERED, "digits became a number that is written otherwise")
SIGN_ALTERED = Finding(Kind.ALTERED, "-0.0 became 0")


def coerced(value: Any, reason: str) -> Outcome:
    """Returns a losslessly converted value."""
    return Outcome(value, (Finding(Kind.COERCED, reason),))


def unconvertible(value: Any, reason: str | None = None) -> Outcome:
    """Returns that a value fits no rule."""
    why = reason or f"{type_name(value)} fits no rule"
    return Outcome(None, (Finding(Kind.UNCONVERTIBLE, why),))


def type_name(value: Any) -> str:
    """Returns the BSON type of a decoded value, as MongoDB's ``$type`` names it."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case Int64():
            return "long"
        case int():
            return "int" if -(2**31) <= value < 2**31 else "long"
        case float():
            return "double"
        case Decimal128():
            return "decimal"
        case datetime() | DatetimeMS():
            return "date"
        case ObjectId():
            return "objectId"
        case bytes():
            return "binData"
        case dict():
            return "object"
        case list():
            return "array"
        case _ if type(value) is str:
            return "string"
        case _:
            return _FURTHER_TYPES[type(value)]


def text(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``text``: strings; numbers, booleans, ids and dates as their text."""
    del loaded
    if type(value) is str:
        cleaned = value.replace(NUL, REPLACEMENT)
        size = len(cleaned.encode())
        if source.longest is not None and size > source.longest:
            return unconvertible(value, _too_long(size, source.longest))
        return Outcome(cleaned, () if cleaned == value else (NUL_ALTERED,))
    as_text = _scalar_text(value)
    if as_text is None:
        return unconvertible(value)
    return coerced(as_text, f"{type_name(value)} as text")


def _too_long(size: int, longest: int) -> str:
    return f"{size:,} bytes, too long for an index of the application, which takes {longest:,}"


def integer(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``integer`` and ``bigint``: integers in range; integral doubles, decimals, digits."""
    del loaded
    low, high = INTEGER_RANGE if source.rule is Rule.INTEGER else BIGINT_RANGE
    if isinstance(value, int) and not isinstance(value, bool):
        number, outcome = int(value), Outcome(int(value))
    else:
        found = _integral(value)
        if found is None:
            return unconvertible(value)
        number, outcome = found, _as_integer(found, value)
    if not low <= number <= high:
        return unconvertible(value, f"out of range of {source.rule}")
    return outcome


def _as_integer(number: int, value: Any) -> Outcome:
    """Returns the integer that another value stands for; what cannot be told from it is altered."""
    if type(value) is str and str(number) != value:
        return Outcome(number, (DIGITS_ALTERED,))
    if number == 0 and str(value).startswith("-"):
        return Outcome(number, (SIGN_ALTERED,))
    return coerced(number, f"{type_name(value)} as integer")


def boolean(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``boolean``: booleans; 0, 1, ``"true"``, ``"false"``."""
    del source, loaded
    if isinstance(value, bool):
        return Outcome(value)
    number = _integral(value) if not isinstance(value, str) else None
    if number in (0, 1):
        return coerced(number == 1, f"{type_name(value)} as boolean")
    if type(value) is str and value in ("true", "false"):
        return coerced(value == "true", "string as boolean")
    return unconvertible(value)


def timestamp(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``timestamp(3)``: dates; ISO 8601 strings, epoch milliseconds. Milliseconds since 1970, UTC."""
    del source, loaded
    if isinstance(value, datetime | DatetimeMS):
        milliseconds, outcome = milliseconds_of(value), Outcome(milliseconds_of(value))
    elif type(value) is str:
        parsed = _iso_8601(value)
        if parsed is None:
            return unconvertible(value, "not an ISO 8601 time")
        milliseconds, is_whole = parsed
        outcome = coerced(milliseconds, "string as date")
        if not is_whole:
            altered = Finding(Kind.ALTERED, "shortened to milliseconds")
            outcome = Outcome(milliseconds, (altered,))
    else:
        found = _integral(value)
        if found is None:
            return unconvertible(value)
        milliseconds, outcome = found, coerced(found, f"{type_name(value)} as date")
    if not TIMESTAMP_MINIMUM <= milliseconds < TIMESTAMP_END:
        return unconvertible(value, "out of range of timestamp")
    return outcome


def choice(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """An enum: a string that is one of its labels."""
    del loaded
    if type(value) is str and value in source.labels:
        return Outcome(value)
    return unconvertible(value, "not a label of the enum")


def json(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``jsonb``: any BSON value as relaxed Extended JSON text."""
    del source, loaded
    as_json = relaxed(value)
    cleaned = storable(as_json)
    if cleaned == as_json:
        return Outcome(as_json)
    has_nul = cleaned.count(REPLACEMENT) > as_json.count(REPLACEMENT)
    return Outcome(cleaned, (NUL_ALTERED if has_nul else ZERO_ALTERED,))


def text_array(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``text[]``: element by element; a lone value is one element; what does not fit is dropped."""
    return _array(value, source, loaded, text)


def reference(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``uuid``: the `_id` of a loaded document, as 16 bytes; of a list of exactly one id, that id."""
    assert source.references is not None
    if value == "":
        return coerced(None, "empty string as NULL")
    one = only_id(value)
    outcome = resolve(one, source.references, loaded.rows[source.references])
    if outcome is not None and one is not value:
        return coerced(outcome.value, "array of one id as that id")
    if outcome is not None:
        return outcome
    return Outcome(None, (Finding(Kind.ORPHANED, f"no row of {source.references} has this id"),))


def reference_array(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``uuid[]``: references, element by element, order kept; orphans and nulls are dropped."""
    return _array(value, source, loaded, reference)


def reference_text(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """A reference held as text: the UUID as text, else the text as it is, recorded as orphaned."""
    assert source.references is not None
    if value == "":
        return Outcome("")
    outcome = resolve(value, source.references, loaded.documents[source.references])
    if outcome is not None:
        return Outcome(str(uuid.UUID(bytes=outcome.value)))
    kept = text(value, source, loaded)
    if kept.value is None:
        return kept
    orphaned = Finding(Kind.ORPHANED, f"no document of {source.references} has this id")
    return Outcome(kept.value, (orphaned,))


def reference_text_array(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """References held as text, element by element."""
    return _array(value, source, loaded, reference_text)


RULES: Mapping[Rule, Callable[[Any, Source, Loaded], Outcome]] = {
    Rule.TEXT: text,
    Rule.INTEGER: integer,
    Rule.BIGINT: integer,
    Rule.BOOLEAN: boolean,
    Rule.TIMESTAMP: timestamp,
    Rule.ENUM: choice,
    Rule.JSON: json,
    Rule.TEXT_ARRAY: text_array,
    Rule.REFERENCE: reference,
    Rule.REFERENCE_ARRAY: reference_array,
    Rule.REFERENCE_TEXT: reference_text,
    Rule.REFERENCE_TEXT_ARRAY: reference_text_array,
}


def milliseconds_of(value: datetime | DatetimeMS) -> int:
    """Returns a decoded BSON date as milliseconds since 1970, UTC."""
    if isinstance(value, DatetimeMS):
        return int(value)
    return (value - _EPOCH) // _MILLISECOND


def iso_8601(milliseconds: int) -> str:
    """Returns a time as ISO 8601 in UTC with milliseconds, years beyond four digits signed."""
    days, rest = divmod(milliseconds, 86_400_000)
    year, month, day = _civil(days)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, millis = divmod(rest, 1000)
    years = f"{year:04}" if 0 <= year <= 9999 else f"{year:+07}"
    return f"{years}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z"


def is_object_id_text(value: Any) -> bool:
    """Tells whether a value is a text of 24 hex digits, which can stand for an ObjectId."""
    return type(value) is str and _OBJECT_ID.fullmatch(value) is not None


def only_id(value: Any) -> Any:
    """Returns the id in a list of exactly one, anything else as it is."""
    is_one = type(value) is list and len(value) == 1 and value[0] is not None and value[0] != ""
    return value[0] if is_one else value


def resolve(value: Any, collection: str, ids: Container[bytes]) -> Outcome | None:
    """Returns the 16 bytes of the UUID that a reference stands for, None where there is none.

    Args:
        value: The reference as pymongo decodes it.
        collection: The collection that it points to.
        ids: UUIDs of the documents that it may point to.
    """
    is_text = is_object_id_text(value)
    found = document_uuid(collection, value).bytes
    if has_text(ids, found) if is_text else found in ids:
        return Outcome(found)
    if is_text:
        found = document_uuid(collection, ObjectId(value)).bytes
        if found in ids:
            return coerced(found, "string as ObjectId")
    return None


def has_text(ids: Container[bytes], uuid_bytes: bytes) -> bool:
    """Tells whether a text of 24 hex digits is itself an `_id`, and does not stand for an ObjectId.

    Args:
        ids: UUIDs of documents.
        uuid_bytes: The UUID that the text has as `_id`.
    """
    known = ids.texts if isinstance(ids, Assumed) else ids
    return known is None or uuid_bytes in known


def _array(
    value: Any,
    source: Source,
    loaded: Loaded,
    rule: Callable[[Any, Source, Loaded], Outcome],
) -> Outcome:
    """Applies a rule to each element; one that comes out as None is dropped."""
    elements, findings = value, []
    if not isinstance(value, list):
        elements = [value]
        findings.append(Finding(Kind.COERCED, f"{type_name(value)} as one element"))
    kept = []
    for position, element in enumerate(elements):
        if element is None:
            findings.append(Finding(Kind.ALTERED, "null element dropped", position, None))
            continue
        outcome = rule(element, source, loaded)
        if outcome.value is not None:
            kept.append(outcome.value)
        for found in outcome.findings:
            lossless = found.kind in LOSSLESS and outcome.value is not None
            kind = found.kind if lossless or found.kind is Kind.ORPHANED else Kind.ALTERED
            findings.append(Finding(kind, found.reason, position, element))
    return Outcome(kept, tuple(findings))


def _scalar_text(value: Any) -> str | None:
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


def _integral(value: Any) -> int | None:
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


def _iso_8601(value: str) -> tuple[int, bool] | None:
    """Returns an ISO 8601 time in milliseconds since 1970, and whether that is all of it."""
    found = _ISO_8601.fullmatch(value)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    fraction = found["fraction"] or ""
    offset_hours, offset_minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
    is_time = max(hour, offset_hours) < 24 and max(minute, second, offset_minutes) < 60
    is_date = 1 <= month <= 12 and 1 <= day <= _days_in_month(year, month)
    if not (is_time and is_date):
        return None
    offset = offset_hours * 60 + offset_minutes
    minutes = hour * 60 + minute + (offset if found["sign"] == "-" else -offset)
    milliseconds = int(fraction[:3].ljust(3, "0"))
    total = ((_days(year, month, day) * 1440 + minutes) * 60 + second) * 1000 + milliseconds
    return total, not fraction[3:].strip("0")


def _days_in_month(year: int, month: int) -> int:
    following = (year, month + 1) if month < 12 else (year + 1, 1)
    return _days(*following, 1) - _days(year, month, 1)


def _days(year: int, month: int, day: int) -> int:
    """Returns a date as days since 1970: the inverse of :func:`_civil`."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def _civil(days: int) -> tuple[int, int, int]:
    """Returns year, month and day of a day since 1970 in the proleptic Gregorian calendar.

    The algorithm is Howard Hinnant's ``civil_from_days``; Python's own calendar ends at 9999.
    """
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day
