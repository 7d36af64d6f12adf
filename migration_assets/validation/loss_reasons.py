"""The words that must stand in the books beside a loss, from the rule and the value alone.

They say why a value is not as it was (section 5), name a BSON type or a collection, and hold no value. Why a
document cannot be read at all is not among them: that is said in the driver's own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from migration_assets.model import Rule, Source
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


def of_loss(source: Source, kind: str, value: Value) -> str:
    """Returns why a value did not arrive as it was, or keeps its document from becoming a row.

    Args:
        source: Where the column comes from: its rule, and what it refers to.
        kind: What happened to the value.
        value: The value, or the element of an array.
    """
    if value[0] in _NULLISH:
        return NULL_DROPPED
    is_text = value[0] in _TEXTUAL
    match source.rule:
        case Rule.ENUM:
            return NO_LABEL
        case Rule.JSON:
            return NUL_REPLACED if _has_nul(relaxed(value)) else ZERO_REPLACED
        case Rule.TEXT | Rule.TEXT_ARRAY if is_text:
            return too_long(source, value) or NUL_REPLACED
        case Rule.INTEGER | Rule.BIGINT if kind == _ALTERED:
            return DIGITS_REWRITTEN if is_text else SIGN_DROPPED
        case Rule.INTEGER | Rule.BIGINT if is_whole(value) or (is_text and is_digits(value[1])):
            return f"out of range of {source.rule}"
        case Rule.TIMESTAMP if is_text:
            milliseconds, is_exact = from_iso_8601(value[1])
            if milliseconds is None:
                return NO_ISO_8601
            return SHORTENED if kind == _ALTERED and not is_exact else OUT_OF_TIME
        case Rule.TIMESTAMP if value[0] == bson.DATE or is_whole(value):
            return OUT_OF_TIME
        case Rule.REFERENCE | Rule.REFERENCE_ARRAY:
            is_empty = is_text and not value[1]
            return EMPTY_AS_NULL if is_empty else no_row(str(source.references))
        case Rule.REFERENCE_TEXT | Rule.REFERENCE_TEXT_ARRAY if kind == _ORPHANED:
            return no_document(str(source.references))
        case _:
            return f"{_READ_AS.get(value[0]) or bson.TYPE_NAMES[value[0]]} fits no rule"


def _has_nul(structure: Any) -> bool:
    if isinstance(structure, str):
        return "\x00" in structure
    if isinstance(structure, dict):
        return any(map(_has_nul, structure.values()))
    return isinstance(structure, list) and any(map(_has_nul, structure))
