"""What a conversion says of a value, and the ids that a reference may lead to.

The words of the books: what was done to a value and why. Here belongs nothing of a single rule: which there
are stands in ``rules``, and what each makes of a value in ``exact``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bson import ObjectId

from migration_assets.identity import document_uuid
from migration_assets.source.elements import type_name

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")


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


def coerced(value: Any, reason: str) -> Outcome:
    """Returns a losslessly converted value."""
    return Outcome(value, (Finding(Kind.COERCED, reason),))


def unconvertible(value: Any, reason: str | None = None) -> Outcome:
    """Returns that a value fits no rule."""
    why = reason or f"{type_name(value)} fits no rule"
    return Outcome(None, (Finding(Kind.UNCONVERTIBLE, why),))


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
