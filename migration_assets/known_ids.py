"""The ids that a reference may point to, and the one that it points to (section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bson import ObjectId

from migration_assets.identity import uuid_bytes

Made = TypeVar("Made")

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")


@dataclass(frozen=True, slots=True)
class Assumed:
    """Ids that are assumed to exist; the joins of staged rows find those that do not.

    Attributes:
        texts: UUIDs of the documents of the collection that have a text of 24 hex digits as `_id`: such a
            text is taken for that one, else for an ObjectId. None where they are many: for each then.
    """

    texts: frozenset[bytes] | None = frozenset()

    def __contains__(self, uuid_bytes: object) -> bool:
        return True


@dataclass(slots=True)
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

    def answered(self, make: Callable[[], Made]) -> Made:
        """Returns what is made when every id that it asks for is known; these are."""
        return make()


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


def is_object_id_text(value: Any) -> bool:
    """Tells whether a value is a text of 24 hex digits, which can stand for an ObjectId."""
    return type(value) is str and _OBJECT_ID.fullmatch(value) is not None


def only_id(value: Any) -> Any:
    """Returns the id in a list of exactly one, anything else as it is."""
    is_one = type(value) is list and len(value) == 1 and value[0] is not None and value[0] != ""
    return value[0] if is_one else value


def uuid_of(value: Any, collection: str, ids: Container[bytes]) -> bytes | None:
    """Returns the 16 bytes of the UUID that a reference stands for, None where there is none.

    A text of 24 hex digits is the `_id` of a document that has it, else an ObjectId.

    Args:
        value: The reference as pymongo decodes it.
        collection: The collection that it points to.
        ids: UUIDs of the documents that it may point to.
    """
    is_text = is_object_id_text(value)
    own = uuid_bytes(collection, value)
    if has_text(ids, own) if is_text else own in ids:
        return own
    if is_text:
        as_object_id = uuid_bytes(collection, ObjectId(value))
        return as_object_id if as_object_id in ids else None
    return None


def has_text(ids: Container[bytes], uuid_bytes: bytes) -> bool:
    """Tells whether a text of 24 hex digits is itself an `_id`, and does not stand for an ObjectId.

    Args:
        ids: UUIDs of documents.
        uuid_bytes: The UUID that the text has as `_id`.
    """
    known = ids.texts if isinstance(ids, Assumed) else ids
    return known is None or uuid_bytes in known
