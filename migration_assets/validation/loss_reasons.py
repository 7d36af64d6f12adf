"""The words that must stand in the books beside a loss; which of them, ``exact_values`` says.

They say why a value is not as it was (section 5), name a BSON type or a collection, and hold no value. Why a
document cannot be read at all is not among them: that is said in the driver's own words.
"""

from __future__ import annotations

from typing import Final

from migration_assets.model import Source

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


def no_row(collection: str) -> str:
    """Returns why a reference to a collection is orphaned."""
    return f"no row of {collection} has this id"


def no_document(collection: str) -> str:
    """Returns why a reference that is held as text is orphaned."""
    return f"no document of {collection} has this id"


def too_long(source: Source, text: str) -> str | None:
    """Returns why a text is too long for the indexes on its column, None where it is not.

    U+0000 takes one byte in the source and, as U+FFFD, three in the target.
    """
    size = len(text.encode("utf-8")) + 2 * text.count("\x00")
    if source.longest is None or size <= source.longest:
        return None
    return (
        f"{size:,} bytes, too long for an index of the application, which takes {source.longest:,}"
    )
