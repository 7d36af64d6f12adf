"""What a conversion says of a value.

The words of the books: what was done to a value and why. Here belongs nothing of a single rule: which there
are stands in ``rules``, and what each makes of a value in ``exact``.
"""

from __future__ import annotations

import enum
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from migration_assets.identity import uuid_bytes
from migration_assets.known_ids import is_object_id_text, uuid_of
from migration_assets.source.elements import type_name


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
class ValueChange:
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
    changes: tuple[ValueChange, ...] = ()


NOT_UNIQUE = "an earlier document has the same value, and it must be unique"
NOT_UNIQUE_TOGETHER = "an earlier document has the same values, and they must be unique together"
HOLDER_REJECTED = "the document that holds it was rejected"


def coerced(value: Any, reason: str) -> Outcome:
    """Returns a losslessly converted value."""
    return Outcome(value, (ValueChange(Kind.COERCED, reason),))


def unconvertible(value: Any, reason: str | None = None) -> Outcome:
    """Returns that a value fits no rule."""
    why = reason or f"{type_name(value)} fits no rule"
    return Outcome(None, (ValueChange(Kind.UNCONVERTIBLE, why),))


def resolve(value: Any, collection: str, ids: Container[bytes]) -> Outcome | None:
    """Returns the 16 bytes of the UUID that a reference stands for, None where there is none.

    Args:
        value: The reference as pymongo decodes it.
        collection: The collection that it points to.
        ids: UUIDs of the documents that it may point to.
    """
    target = uuid_of(value, collection, ids)
    if target is None:
        return None
    if is_object_id_text(value) and target != uuid_bytes(collection, value):
        return coerced(target, "string as ObjectId")
    return Outcome(target)
