"""The rules of section 5 for one value, exactly: what is accepted, what is coerced, what cannot be converted.

A rule takes a BSON value as pymongo decodes it, never missing or null, and returns an :class:`Outcome`. It
knows neither the column's nullability nor what is recorded where: that is ``columns``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bson.datetime_ms import DatetimeMS

from migration_assets.conversion.extended_json import NUL, REPLACEMENT, relaxed, storable
from migration_assets.conversion.scalars import (
    TIMESTAMP_END,
    TIMESTAMP_MINIMUM,
    from_iso_8601,
    integral,
    milliseconds_of,
    scalar_text,
)
from migration_assets.conversion.values import (
    LOSSLESS,
    Kind,
    Outcome,
    ValueChange,
    coerced,
    resolve,
    unconvertible,
)
from migration_assets.known_ids import Loaded, only_id
from migration_assets.model import Source
from migration_assets.source.elements import type_name

Exact = Callable[[Any, Source, Loaded], Outcome]
"""A rule for one value."""

NUL_ALTERED = ValueChange(Kind.ALTERED, "U+0000 became U+FFFD")
ZERO_ALTERED = ValueChange(Kind.ALTERED, "-0.0 became 0.0")
DIGITS_ALTERED = ValueChange(Kind.ALTERED, "digits became a number that is written otherwise")
SIGN_ALTERED = ValueChange(Kind.ALTERED, "-0.0 became 0")


def text(value: Any, source: Source, loaded: Loaded) -> Outcome:
    """``text``: strings; numbers, booleans, ids and dates as their text."""
    del loaded
    if type(value) is str:
        cleaned = value.replace(NUL, REPLACEMENT)
        size = len(cleaned.encode())
        if source.longest is not None and size > source.longest:
            return unconvertible(value, _too_long(size, source.longest))
        return Outcome(cleaned, () if cleaned == value else (NUL_ALTERED,))
    as_text = scalar_text(value)
    if as_text is None:
        return unconvertible(value)
    return coerced(as_text, f"{type_name(value)} as text")


def _too_long(size: int, longest: int) -> str:
    return f"{size:,} bytes, too long for an index of the application, which takes {longest:,}"


def integer(low: int, high: int) -> Exact:
    """``integer`` and ``bigint``: integers in a range; integral doubles, decimals, digits."""

    def within(value: Any, source: Source, loaded: Loaded) -> Outcome:
        del loaded
        number = integral(value)
        if number is None:
            return unconvertible(value)
        if not low <= number <= high:
            return unconvertible(value, f"out of range of {source.rule}")
        return _as_integer(number, value)

    return within


def _as_integer(number: int, value: Any) -> Outcome:
    """Returns the integer that a value stands for; what cannot be told from it is altered."""
    if isinstance(value, int):
        return Outcome(number)
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
    number = integral(value) if not isinstance(value, str) else None
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
        parsed = from_iso_8601(value)
        if parsed is None:
            return unconvertible(value, "not an ISO 8601 time")
        milliseconds, is_whole = parsed
        outcome = coerced(milliseconds, "string as date")
        if not is_whole:
            altered = ValueChange(Kind.ALTERED, "shortened to milliseconds")
            outcome = Outcome(milliseconds, (altered,))
    else:
        number = integral(value)
        if number is None:
            return unconvertible(value)
        milliseconds, outcome = number, coerced(number, f"{type_name(value)} as date")
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
    return Outcome(
        None, (ValueChange(Kind.ORPHANED, f"no row of {source.references} has this id"),)
    )


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
    orphaned = ValueChange(Kind.ORPHANED, f"no document of {source.references} has this id")
    return Outcome(kept.value, (orphaned,))


def each(rule: Exact) -> Exact:
    """An array by the rule of its elements: a lone value is one element; what becomes NULL is dropped."""

    def of_elements(value: Any, source: Source, loaded: Loaded) -> Outcome:
        elements, changes = value, []
        if not isinstance(value, list):
            elements = [value]
            changes.append(ValueChange(Kind.COERCED, f"{type_name(value)} as one element"))
        kept = []
        for position, element in enumerate(elements):
            if element is None:
                changes.append(ValueChange(Kind.ALTERED, "null element dropped", position, None))
                continue
            outcome = rule(element, source, loaded)
            if outcome.value is not None:
                kept.append(outcome.value)
            for change in outcome.changes:
                lossless = change.kind in LOSSLESS and outcome.value is not None
                kind = change.kind if lossless or change.kind is Kind.ORPHANED else Kind.ALTERED
                changes.append(ValueChange(kind, change.reason, position, element))
        return Outcome(kept, tuple(changes))

    return of_elements
