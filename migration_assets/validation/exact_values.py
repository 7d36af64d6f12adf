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
from migration_assets.validation.scalars import (
    digits,
    from_iso_8601,
    integral,
    is_digits,
    is_negative_zero,
    is_whole,
)

ASYMMETRIC = "asymmetric"
COERCED = "coerced"
DEFAULTED = "defaulted"
DERIVED = "derived"
ALTERED = "altered"
NULLED = "nulled"
ORPHANED = "orphaned"
REPEATED = "repeated"
LOSSLESS = frozenset({COERCED, DEFAULTED, DERIVED, REPEATED})
UNFIT = "not convertible"

FIRST_TIMESTAMP = -210_866_803_200_000
"""PostgreSQL's first timestamp, 4714-11-24 BC, in milliseconds since 1970."""
LAST_TIMESTAMP = 9_224_318_015_999_999
"""PostgreSQL's last, 294276-12-31T23:59:59.999."""

_RANGES = {Rule.INTEGER: 2**31, Rule.BIGINT: 2**63}


class Note(NamedTuple):
    """What a rule did to a value, or to one element of it; and why, where that is a loss."""

    kind: str
    element: int | None
    original: Value
    reason: str = ""


class Result(NamedTuple):
    """What becomes of a value.

    Attributes:
        value: It converted; None where there is none.
        kind: What happened to it; None where it is as it was.
        reason: Why it is not as it was; None where nothing is lost, and where no rule takes such a value.
    """

    value: Any
    kind: str | None = None
    reason: str | None = None

    def why(self, original: Value) -> str:
        """Returns why a value did not arrive as it was, or keeps its document from becoming a row."""
        return self.reason or f"{bson.type_as_read(original)} fits no rule"


Convert = Callable[[Value, Source, Ids], Result]
_NO_RULE = Result(None, UNFIT)
_NULL_ELEMENT = Result(None, UNFIT, loss_reasons.NULL_DROPPED)
_EMPTY_ELEMENT = Result(None, UNFIT, loss_reasons.EMPTY_DROPPED)


def is_null(value: Value | None) -> bool:
    """Tells whether a field is missing or null."""
    return value is None or value[0] in bson.NULLISH


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
        result = _NULL_ELEMENT if is_null(element) else rule(element, source, ids)
        kind = result.kind
        if result.value is not None:
            kept.append(result.value)
        elif kind != ORPHANED:
            kind = ALTERED
        if kind is not None:
            notes.append(Note(kind, position, element, result.why(element)))
    return kept, notes


def text(value: Value, source: Source, ids: Ids) -> Result:
    """A text; scalars as their shortest text."""
    del ids
    kind, data = value
    if kind not in bson.TEXTUAL:
        written = scalar_text(value)
        return _NO_RULE if written is None else Result(written, COERCED)
    too_long = loss_reasons.too_long(source, data)
    if too_long is not None:
        return Result(None, UNFIT, too_long)
    if "\x00" in data:
        return Result(data.replace("\x00", "\ufffd"), ALTERED, loss_reasons.NUL_REPLACED)
    return Result(data)


def integer(value: Value, source: Source, ids: Ids) -> Result:
    """An integer of 32 or 64 bits."""
    del ids
    kind, data = value
    is_text = kind in bson.TEXTUAL
    number = digits(data) if is_text else integral(value)
    limit = _RANGES[source.rule]
    if number is None or not -limit <= number < limit:
        is_number = is_digits(data) if is_text else is_whole(value)
        return Result(None, UNFIT, f"out of range of {source.rule}") if is_number else _NO_RULE
    if is_text and str(number) != data:
        return Result(number, ALTERED, loss_reasons.DIGITS_REWRITTEN)
    if not is_text and is_negative_zero(value):
        return Result(number, ALTERED, loss_reasons.SIGN_DROPPED)
    return Result(number, None if kind in (bson.INT32, bson.INT64) else COERCED)


def boolean(value: Value, source: Source, ids: Ids) -> Result:
    """A boolean."""
    del source, ids
    kind, data = value
    if kind == bson.BOOLEAN:
        return Result(data)
    if kind in bson.TEXTUAL:
        return Result(data == "true", COERCED) if data in ("true", "false") else _NO_RULE
    number = integral(value)
    return Result(number == 1, COERCED) if number in (0, 1) else _NO_RULE


def timestamp(value: Value, source: Source, ids: Ids) -> Result:
    """A time in milliseconds since 1970."""
    del source, ids
    kind, data = value
    is_exact = True
    if kind == bson.DATE:
        milliseconds = data
    elif kind in bson.TEXTUAL:
        milliseconds, is_exact = from_iso_8601(data)
        if milliseconds is None:
            return Result(None, UNFIT, loss_reasons.NO_ISO_8601)
    else:
        milliseconds = integral(value)
        if milliseconds is None and not is_whole(value):
            return _NO_RULE
    if milliseconds is None or not FIRST_TIMESTAMP <= milliseconds <= LAST_TIMESTAMP:
        return Result(None, UNFIT, loss_reasons.OUT_OF_TIME)
    if not is_exact:
        return Result(milliseconds, ALTERED, loss_reasons.SHORTENED)
    return Result(milliseconds, None if kind == bson.DATE else COERCED)


def label(value: Value, source: Source, ids: Ids) -> Result:
    """A label of the enum."""
    del ids
    kind, data = value
    is_label = kind in bson.TEXTUAL and data in source.labels
    return Result(data) if is_label else Result(None, UNFIT, loss_reasons.NO_LABEL)


def json(value: Value, source: Source, ids: Ids) -> Result:
    """Relaxed Extended JSON as jsonb can hold it."""
    del source, ids
    structure = relaxed(value)
    cleaned = storable(structure)
    if cleaned == structure:
        return Result(cleaned)
    has_nul = _has_nul(structure)
    return Result(
        cleaned, ALTERED, loss_reasons.NUL_REPLACED if has_nul else loss_reasons.ZERO_REPLACED
    )


def _has_nul(structure: Any) -> bool:
    if isinstance(structure, str):
        return "\x00" in structure
    if isinstance(structure, dict):
        return any(map(_has_nul, structure.values()))
    return isinstance(structure, list) and any(map(_has_nul, structure))


def is_empty_text(value: Value) -> bool:
    """Tells whether a value is a text without a character, which is no reference."""
    return value[0] in bson.TEXTUAL and not value[1]


def reference(value: Value, source: Source, ids: Ids) -> Result:
    """The UUID of a row, 16 bytes."""
    if is_empty_text(value):
        return Result(None, COERCED, loss_reasons.EMPTY_AS_NULL)
    one = only_id(value)
    found = element_of_relation(one or value, source, ids)
    return Result(found.value, COERCED) if one and found.value is not None else found


def element_of_relation(value: Value, source: Source, ids: Ids) -> Result:
    """The UUID of a row that an element of the array of a relation leads to, 16 bytes."""
    if is_empty_text(value):
        return _EMPTY_ELEMENT
    collection = str(source.references)
    found, is_from_text = resolved(value, collection, ids.rows[collection])
    if found is None:
        return Result(None, ORPHANED, loss_reasons.no_row(collection))
    return Result(found, COERCED if is_from_text else None)


def element_of_rejected(value: Value, source: Source, ids: Ids) -> Result:
    """Nothing: what holds the array of a relation is no row, so its elements are no pairs."""
    del source, ids
    is_empty = is_empty_text(value)
    return _EMPTY_ELEMENT if is_empty else Result(None, ORPHANED, loss_reasons.HOLDER_REJECTED)


def reference_text(value: Value, source: Source, ids: Ids) -> Result:
    """The UUID of a document as text; anything else as it is."""
    if is_empty_text(value):
        return Result("")
    collection = str(source.references)
    found, _ = resolved(value, collection, ids.documents[collection])
    if found is not None:
        return Result(str(uuid.UUID(bytes=found)))
    kept = text(value, source, ids).value
    return (
        _NO_RULE if kept is None else Result(kept, ORPHANED, loss_reasons.no_document(collection))
    )
