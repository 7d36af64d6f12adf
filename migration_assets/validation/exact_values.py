"""Section 5, rule by rule: what one value becomes in a column, plainly and without the loader's code.

A rule is a list of cases on the BSON type. Written to be compared with the design line by line; which column
has which stands in ``rules``.

Where the design leaves room:

- A text column takes the shortest text that reads back as the same double, without a trailing ``.0``.
- A time given as text with digits beyond the millisecond is altered where they are not zero.
- An empty text in an array of references is altered, a NULL being no element.
- Deprecated types are what every driver reads: a symbol is a string, undefined is null.
- An empty text is no reference, be it the `_id` of a document or not.
- ``jsonb`` has no negative zero: -0.0 becomes 0.0, which is altered.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from migration_assets.model import Missing, Rule, Source
from migration_assets.validation import bson_reader as bson
from migration_assets.validation import loss_reasons
from migration_assets.validation.bson_reader import Value
from migration_assets.validation.extended_json import iso_8601, relaxed, scalar_text, storable
from migration_assets.validation.identities import Ids, only_id, resolved
from migration_assets.validation.scalars import digits, from_iso_8601, integral, is_negative_zero

ASYMMETRIC = "asymmetric"
COERCED = "coerced"
DEFAULTED = "defaulted"
DERIVED = "derived"
ALTERED = "altered"
NULLED = "nulled"
ORPHANED = "orphaned"
REPEATED = "repeated"
LOSSLESS = frozenset({COERCED, DEFAULTED, DERIVED})
UNFIT = "not convertible"

FIRST_TIMESTAMP = -210_866_803_200_000
"""PostgreSQL's first timestamp, 4714-11-24 BC, in milliseconds since 1970."""
LAST_TIMESTAMP = 9_224_318_015_999_999
"""PostgreSQL's last, 294276-12-31T23:59:59.999."""

NULLISH = frozenset({bson.NULL, bson.UNDEFINED})
_TEXTUAL = frozenset({bson.STRING, bson.SYMBOL})
_RANGES = {Rule.INTEGER: 2**31, Rule.BIGINT: 2**63}


class Note(NamedTuple):
    """What a rule did to a value, or to one element of it."""

    kind: str
    element: int | None
    original: Value


def is_null(value: Value | None) -> bool:
    """Tells whether a field is missing or null."""
    return value is None or value[0] in NULLISH


Result = tuple[Any, str | None]
"""A converted value, None where there is none, and what happened to it."""
Convert = Callable[[Value, Source, Ids], Result]


def missing(source: Source, identifier: Value) -> tuple[Any, list[Note], str | None]:
    """What stands for a missing or null value (section 5, the paragraph under the table)."""
    nothing: Value = (bson.NULL, None)
    if source.missing is Missing.NULL:
        return None, [], None
    if source.missing is Missing.EMPTY_ARRAY:
        return [], [], None
    if source.missing is Missing.DEFAULT:
        return source.default, [Note(DEFAULTED, None, nothing)], None
    if source.missing is Missing.OBJECT_ID_TIME and identifier[0] == bson.OBJECT_ID:
        milliseconds = int.from_bytes(identifier[1][:4], "big") * 1000
        derived = iso_8601(milliseconds) if source.rule is Rule.TEXT else milliseconds
        return derived, [Note(DERIVED, None, nothing)], None
    return None, [], loss_reasons.MISSING


def array(value: Value, rule: Convert, source: Source, ids: Ids) -> tuple[list[Any], list[Note]]:
    """An array element by element; a lone value is one element, what does not fit is dropped."""
    notes: list[Note] = []
    elements: list[Value] = value[1]
    if value[0] != bson.ARRAY:
        elements = [value]
        notes.append(Note(COERCED, None, value))
    kept = []
    for position, element in enumerate(elements):
        result, kind = (None, UNFIT) if is_null(element) else rule(element, source, ids)
        if result is not None:
            kept.append(result)
        elif kind != ORPHANED:
            kind = ALTERED
        if kind is not None:
            notes.append(Note(kind, position, element))
    return kept, notes


def text(value: Value, source: Source, ids: Ids) -> Result:
    """A text; scalars as their shortest text."""
    del ids
    kind, data = value
    if kind in _TEXTUAL:
        if loss_reasons.too_long(source, value) is not None:
            return None, UNFIT
        return (data, None) if "\x00" not in data else (data.replace("\x00", "\ufffd"), ALTERED)
    written = scalar_text(value)
    return (None, UNFIT) if written is None else (written, COERCED)


def integer(value: Value, source: Source, ids: Ids) -> Result:
    """An integer of 32 or 64 bits."""
    del ids
    kind, data = value
    number = digits(data) if kind in _TEXTUAL else integral(value)
    limit = _RANGES[source.rule]
    if number is None or not -limit <= number < limit:
        return None, UNFIT
    if kind in (bson.INT32, bson.INT64):
        return number, None
    is_altered = str(number) != data if kind in _TEXTUAL else is_negative_zero(value)
    return number, ALTERED if is_altered else COERCED


def boolean(value: Value, source: Source, ids: Ids) -> Result:
    """A boolean."""
    del source, ids
    kind, data = value
    if kind == bson.BOOLEAN:
        return data, None
    if kind in _TEXTUAL:
        return (data == "true", COERCED) if data in ("true", "false") else (None, UNFIT)
    number = integral(value)
    return (number == 1, COERCED) if number in (0, 1) else (None, UNFIT)


def timestamp(value: Value, source: Source, ids: Ids) -> Result:
    """A time in milliseconds since 1970."""
    del source, ids
    kind, data = value
    happened: str | None = COERCED
    if kind == bson.DATE:
        milliseconds, happened = data, None
    elif kind in _TEXTUAL:
        milliseconds, is_whole = from_iso_8601(data)
        happened = COERCED if is_whole else ALTERED
    else:
        milliseconds = integral(value)
    if milliseconds is None or not FIRST_TIMESTAMP <= milliseconds <= LAST_TIMESTAMP:
        return None, UNFIT
    return milliseconds, happened


def label(value: Value, source: Source, ids: Ids) -> Result:
    """A label of the enum."""
    del ids
    kind, data = value
    return (data, None) if kind in _TEXTUAL and data in source.labels else (None, UNFIT)


def json(value: Value, source: Source, ids: Ids) -> Result:
    """Relaxed Extended JSON as jsonb can hold it."""
    del source, ids
    structure = relaxed(value)
    cleaned = storable(structure)
    return cleaned, None if cleaned == structure else ALTERED


def is_empty_text(value: Value) -> bool:
    """Tells whether a value is a text without a character, which is no reference."""
    return value[0] in _TEXTUAL and not value[1]


def reference(value: Value, source: Source, ids: Ids) -> Result:
    """The UUID of a row, 16 bytes."""
    if is_empty_text(value):
        return None, COERCED
    collection = str(source.references)
    one = only_id(value)
    found, is_from_text = resolved(one or value, collection, ids.rows[collection])
    if found is not None:
        return found, COERCED if is_from_text or one else None
    return None, ORPHANED


def reference_text(value: Value, source: Source, ids: Ids) -> Result:
    """The UUID of a document as text; anything else as it is."""
    if is_empty_text(value):
        return "", None
    collection = str(source.references)
    found, _ = resolved(value, collection, ids.documents[collection])
    if found is not None:
        return str(uuid.UUID(bytes=found)), None
    kept, _ = text(value, source, ids)
    return (None, UNFIT) if kept is None else (kept, ORPHANED)
