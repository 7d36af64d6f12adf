"""Section 5, rule by rule: what one value becomes in a column, plainly and without the loader's code.

A rule is a list of cases on the type that a value has as the driver reads it. Written to be compared with the
design line by line; which column has which stands in ``rules``.

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

from bson import Int64, ObjectId
from bson.datetime_ms import DatetimeMS

from migration_assets.model import Missing, Rule, Source
from migration_assets.validation import loss_reasons
from migration_assets.validation.bson_reader import type_as_read
from migration_assets.validation.extended_json import jsonb_text
from migration_assets.validation.identities import Ids, only_id, resolved
from migration_assets.validation.scalars import (
    digits,
    from_iso_8601,
    integral,
    is_digits,
    is_negative_zero,
    is_whole,
    iso_8601,
    scalar_text,
)

ASYMMETRIC = "asymmetric"
COERCED = "coerced"
DEFAULTED = "defaulted"
DERIVED = "derived"
ALTERED = "altered"
NULLED = "nulled"
ORPHANED = "orphaned"
REPEATED = "repeated"
REJECTED = "rejected"
UNMAPPED = "unmapped"
LOSSLESS = frozenset({COERCED, DEFAULTED, DERIVED, REPEATED})
UNFIT = "not convertible"

FIRST_TIMESTAMP = -210_866_803_200_000
"""PostgreSQL's first timestamp, 4714-11-24 BC, in milliseconds since 1970."""
LAST_TIMESTAMP = 9_224_318_015_999_999
"""PostgreSQL's last, 294276-12-31T23:59:59.999."""

_RANGES = {Rule.INTEGER: 2**31, Rule.BIGINT: 2**63}


class Note(NamedTuple):
    """What a rule did to a value, or to one element of it; and why, where that is a loss.

    ``REJECTED`` says that the value keeps its document from becoming a row.
    """

    kind: str
    element: int | None
    original: Any
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

    def why(self, original: Any) -> str:
        """Returns why a value did not arrive as it was, or keeps its document from becoming a row."""
        return self.reason or f"{type_as_read(original)} fits no rule"


Convert = Callable[[Any, Source, Ids], Result]
"""Says what becomes of a value, as the driver has it, in a column."""
_NO_RULE = Result(None, UNFIT)
_NULL_ELEMENT = Result(None, UNFIT, loss_reasons.NULL_DROPPED)
_EMPTY_ELEMENT = Result(None, UNFIT, loss_reasons.EMPTY_DROPPED)


def missing(source: Source, identifier: Any) -> tuple[Any, list[Note]]:
    """What stands for a missing or null value (section 5, the paragraph under the table)."""
    if source.missing is Missing.NULL:
        return None, []
    if source.missing is Missing.EMPTY_ARRAY:
        return [], []
    if source.missing is Missing.DEFAULT:
        return source.default, [Note(DEFAULTED, None, None)]
    if source.missing is Missing.OBJECT_ID_TIME and isinstance(identifier, ObjectId):
        milliseconds = int.from_bytes(identifier.binary[:4], "big") * 1000
        derived = iso_8601(milliseconds) if source.rule is Rule.TEXT else milliseconds
        return derived, [Note(DERIVED, None, None)]
    return None, [Note(REJECTED, None, None, loss_reasons.MISSING)]


def array(value: Any, rule: Convert, source: Source, ids: Ids) -> tuple[list[Any], list[Note]]:
    """An array element by element; a lone value is one element, what does not fit is dropped."""
    is_lone = not isinstance(value, list)
    notes = [Note(COERCED, None, value)] if is_lone else []
    kept = []
    for position, element in enumerate([value] if is_lone else value):
        result = _NULL_ELEMENT if element is None else rule(element, source, ids)
        kind = result.kind
        if result.value is not None:
            kept.append(result.value)
        elif kind != ORPHANED:
            kind = ALTERED
        if kind is not None:
            notes.append(Note(kind, position, element, result.why(element)))
    return kept, notes


def text(value: Any, source: Source, ids: Ids) -> Result:
    """A text; scalars as their shortest text."""
    del ids
    if type(value) is not str:
        written = scalar_text(value)
        return _NO_RULE if written is None else Result(written, COERCED)
    too_long = loss_reasons.too_long(source, value)
    if too_long is not None:
        return Result(None, UNFIT, too_long)
    if "\x00" in value:
        return Result(value.replace("\x00", "\ufffd"), ALTERED, loss_reasons.NUL_REPLACED)
    return Result(value)


def integer(value: Any, source: Source, ids: Ids) -> Result:
    """An integer of 32 or 64 bits."""
    del ids
    is_text = type(value) is str
    number = digits(value) if is_text else integral(value)
    limit = _RANGES[source.rule]
    if number is None or not -limit <= number < limit:
        is_number = is_digits(value) if is_text else is_whole(value)
        return Result(None, UNFIT, f"out of range of {source.rule}") if is_number else _NO_RULE
    if is_text and str(number) != value:
        return Result(number, ALTERED, loss_reasons.DIGITS_REWRITTEN)
    if is_negative_zero(value):
        return Result(number, ALTERED, loss_reasons.SIGN_DROPPED)
    return Result(number, None if type(value) in (int, Int64) else COERCED)


def boolean(value: Any, source: Source, ids: Ids) -> Result:
    """A boolean."""
    del source, ids
    if isinstance(value, bool):
        return Result(value)
    if type(value) is str:
        return Result(value == "true", COERCED) if value in ("true", "false") else _NO_RULE
    number = integral(value)
    return Result(number == 1, COERCED) if number in (0, 1) else _NO_RULE


def timestamp(value: Any, source: Source, ids: Ids) -> Result:
    """A time in milliseconds since 1970."""
    del source, ids
    is_exact = True
    if isinstance(value, DatetimeMS):
        milliseconds: int | None = int(value)
    elif type(value) is str:
        milliseconds, is_exact = from_iso_8601(value)
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
    return Result(milliseconds, None if isinstance(value, DatetimeMS) else COERCED)


def label(value: Any, source: Source, ids: Ids) -> Result:
    """A label of the enum."""
    del ids
    is_label = type(value) is str and value in source.labels
    return Result(value) if is_label else Result(None, UNFIT, loss_reasons.NO_LABEL)


def json(value: Any, source: Source, ids: Ids) -> Result:
    """Relaxed Extended JSON as jsonb can hold it, as text."""
    del source, ids
    written, loss = jsonb_text(value)
    return Result(written) if loss is None else Result(written, ALTERED, loss)


def reference(value: Any, source: Source, ids: Ids) -> Result:
    """The UUID of a row, 16 bytes."""
    if value == "":
        return Result(None, COERCED, loss_reasons.EMPTY_AS_NULL)
    one = only_id(value)
    result = element_of_relation(value if one is None else one, source, ids)
    is_from_list = one is not None and result.value is not None
    return Result(result.value, COERCED) if is_from_list else result


def element_of_relation(value: Any, source: Source, ids: Ids) -> Result:
    """The UUID of a row that an element of the array of a relation leads to, 16 bytes."""
    if value == "":
        return _EMPTY_ELEMENT
    collection = str(source.references)
    row_id, is_from_text = resolved(value, collection, ids.rows[collection])
    if row_id is None:
        return Result(None, ORPHANED, loss_reasons.no_row(collection))
    return Result(row_id, COERCED if is_from_text else None)


def element_of_rejected(value: Any, source: Source, ids: Ids) -> Result:
    """Nothing: what holds the array of a relation is no row, so its elements are no pairs."""
    del source, ids
    return _EMPTY_ELEMENT if value == "" else Result(None, ORPHANED, loss_reasons.HOLDER_REJECTED)


def reference_text(value: Any, source: Source, ids: Ids) -> Result:
    """The UUID of a document as text; anything else as it is."""
    if value == "":
        return Result("")
    collection = str(source.references)
    document_id, _ = resolved(value, collection, ids.documents[collection])
    if document_id is not None:
        return Result(str(uuid.UUID(bytes=document_id)))
    kept = text(value, source, ids).value
    return (
        _NO_RULE if kept is None else Result(kept, ORPHANED, loss_reasons.no_document(collection))
    )
