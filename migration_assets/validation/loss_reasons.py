"""The words that must stand in the books beside a loss, from the rule and the value alone.

They say why a value is not as it was (section 5), name a BSON type or a collection, and hold no value. Why a
document cannot be read at all is not among them: that is said in the driver's own words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from migration_assets.model import Source
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import Value
from migration_assets.validation.extended_json import relaxed
from migration_assets.validation.scalars import from_iso_8601, is_digits, is_whole

MISSING: Final = "missing or null, and the column is NOT NULL"
NOT_UNIQUE: Final = "an earlier document has the same value, and it must be unique"
NOT_UNIQUE_TOGETHER: Final = (
    "an earlier document has the same values, and they must be unique together"
)
HOLDER_REJECTED: Final = "the document that holds it was rejected"
NULL_DROPPED: Final = "null element dropped"
EMPTY_DROPPED: Final = "empty string element dropped"
EMPTY_AS_NULL: Final = "empty string as NULL"
NO_ISO_8601: Final = "not an ISO 8601 time"
OUT_OF_TIME: Final = "out of range of timestamp"
SHORTENED: Final = "shortened to milliseconds"
NO_LABEL: Final = "not a label of the enum"
NUL_REPLACED: Final = "U+0000 became U+FFFD"
ZERO_REPLACED: Final = "-0.0 became 0.0"
SIGN_DROPPED: Final = "-0.0 became 0"
DIGITS_REWRITTEN: Final = "digits became a number that is written otherwise"

_ALTERED, _ORPHANED = "altered", "orphaned"
_NULLISH = frozenset({bson.NULL, bson.UNDEFINED})
_TEXTUAL = frozenset({bson.STRING, bson.SYMBOL})
_READ_AS: Mapping[int, str] = {
    bson.SYMBOL: "string",
    bson.DB_POINTER: "object",
    bson.CODE_WITH_SCOPE: "javascript",
}
"""Deprecated types, as what drivers read them."""


def no_row(collection: str) -> str:
    """Returns why a reference to a collection is orphaned."""
    return f"no row of {collection} has this id"


def no_document(collection: str) -> str:
    """Returns why a reference that is held as text is orphaned."""
    return f"no document of {collection} has this id"


def too_long(source: Source, value: Value) -> str | None:
    """Returns why a text is too long for the indexes on its column, None where it is not.

    U+0000 takes one byte in the source and, as U+FFFD, three in the target.
    """
    text: str = value[1]
    size = len(text.encode("utf-8")) + 2 * text.count("\x00")
    if source.longest is None or size <= source.longest:
        return None
    return (
        f"{size:,} bytes, too long for an index of the application, which takes {source.longest:,}"
    )


Reason = Callable[[Source, str, Value], str | None]
"""Why a value did not arrive as it was, by where it comes from and what happened; None where no rule fits."""


def of_loss(reason: Reason, source: Source, kind: str, value: Value) -> str:
    """Returns why a value did not arrive as it was, or keeps its document from becoming a row.

    Args:
        reason: What the rule says of it.
        source: Where the column comes from: its rule, and what it refers to.
        kind: What happened to the value.
        value: The value, or the element of an array.
    """
    if value[0] in _NULLISH:
        return NULL_DROPPED
    fits_none = f"{_READ_AS.get(value[0]) or bson.TYPE_NAMES[value[0]]} fits no rule"
    return reason(source, kind, value) or fits_none


def no_reason(source: Source, kind: str, value: Value) -> None:
    """Says of any value that it fits no rule."""
    del source, kind, value


def text(source: Source, kind: str, value: Value) -> str | None:
    """Returns why a text is lost."""
    del kind
    return too_long(source, value) or NUL_REPLACED if value[0] in _TEXTUAL else None


def integer(source: Source, kind: str, value: Value) -> str | None:
    """Returns why an integer is lost."""
    is_text = value[0] in _TEXTUAL
    if kind == _ALTERED:
        return DIGITS_REWRITTEN if is_text else SIGN_DROPPED
    is_number = is_whole(value) or (is_text and is_digits(value[1]))
    return f"out of range of {source.rule}" if is_number else None


def timestamp(source: Source, kind: str, value: Value) -> str | None:
    """Returns why a time is lost."""
    del source
    if value[0] not in _TEXTUAL:
        return OUT_OF_TIME if value[0] == bson.DATE or is_whole(value) else None
    milliseconds, is_exact = from_iso_8601(value[1])
    if milliseconds is None:
        return NO_ISO_8601
    return SHORTENED if kind == _ALTERED and not is_exact else OUT_OF_TIME


def label(source: Source, kind: str, value: Value) -> str:
    """Returns why a label is lost."""
    del source, kind, value
    return NO_LABEL


def json(source: Source, kind: str, value: Value) -> str:
    """Returns why JSON is not as it was."""
    del source, kind
    return NUL_REPLACED if _has_nul(relaxed(value)) else ZERO_REPLACED


def reference(source: Source, kind: str, value: Value) -> str:
    """Returns why a reference is lost."""
    del kind
    is_empty = value[0] in _TEXTUAL and not value[1]
    return EMPTY_AS_NULL if is_empty else no_row(str(source.references))


def reference_text(source: Source, kind: str, value: Value) -> str | None:
    """Returns why a reference that is held as text leads nowhere."""
    del value
    return no_document(str(source.references)) if kind == _ORPHANED else None


def _has_nul(structure: Any) -> bool:
    if isinstance(structure, str):
        return "\x00" in structure
    if isinstance(structure, dict):
        return any(map(_has_nul, structure.values()))
    return isinstance(structure, list) and any(map(_has_nul, structure))
