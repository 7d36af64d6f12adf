"""Where the ids of missing documents occur: in other collections, or in another form of the same id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson import DBRef, ObjectId, Regex
from bson.errors import BSONError

from migration_assets.causes.losses import Loss
from migration_assets.causes.names import NEAR, likeness
from migration_assets.causes.tracing import Document
from migration_assets.identity import from_canonical, source_id
from migration_assets.model import Model
from migration_assets.source.connection import SourceDatabase

IDS_AT_ONCE = 10_000
TEXTS = "texts that are no ids"


def known_from(
    model: Model, source: SourceDatabase, losses: Iterable[Loss]
) -> Mapping[Document, str]:
    """Returns in words where the ids of lost references occur.

    Args:
        model: The application's tables.
        source: The source database.
        losses: What was lost.
    """
    missing: dict[str, dict[str, None]] = {}
    for loss in losses:
        if loss.missing_id:
            missing.setdefault(loss.points_to, {})[loss.missing_id] = None
    origins: dict[Document, str] = {}
    names = sorted(
        name for name in source.list_collection_names() if not name.startswith("system.")
    )
    for collection, ids in missing.items():
        for identifier in ids:
            if isinstance(_value(identifier), str):
                origins[collection, identifier] = TEXTS
        own = {form: identifier for identifier in ids for form in _other_forms(identifier)}
        for form in _held(source, collection, own):
            origins[collection, own[form]] = f"an _id of {collection} in another form"
        for other in names:
            if other != collection:
                for identifier in _held(source, other, ids):
                    origins[collection, identifier] = where_known(model, collection, other)
    return origins


def document_named(source: SourceDatabase, collection: str, text: str) -> Any | None:
    """Returns the `_id` of the one document that has a text as its name, None where there is not one."""
    stages: list[Mapping[str, Any]] = [
        {"$match": {"name": text}},
        {"$limit": 2},
        {"$project": {"_id": 1}},
    ]
    ids = [document["_id"] for document in source[collection].aggregate(stages)]
    return ids[0] if len(ids) == 1 else None


def first_with_value_of(
    source: SourceDatabase, collection: str, field: str, identifier: str
) -> str | None:
    """Returns the source id of the first document that has the same value as another one in a field."""
    document = source[collection].find_one({"_id": _value(identifier)}, {field: 1})
    if document is None or field not in document:
        return None
    same = {"$match": {field: document[field]}}
    stages: list[Mapping[str, Any]] = [
        same,
        {"$sort": {"_id": 1}},
        {"$limit": 1},
        {"$project": {"_id": 1}},
    ]
    first = source[collection].aggregate(stages)
    return next((source_id(document["_id"]) for document in first), None)


def where_known(model: Model, collection: str, other: str) -> str:
    """Returns in words that ids which a collection lacks are those of another one."""
    if other in model.entities:
        return f"documents of {other}"
    near = " of a near name" if likeness(other, collection) >= NEAR else ""
    return f"documents of {other}, an unknown collection{near}"


def _held(source: SourceDatabase, collection: str, ids: Iterable[str]) -> Iterator[str]:
    """Yields the source ids that documents of a collection have."""
    values = [value for value in map(_value, ids) if value is not None]
    for start in range(0, len(values), IDS_AT_ONCE):
        some = values[start : start + IDS_AT_ONCE]
        for document in source[collection].find({"_id": {"$in": some}}, {"_id": 1}):
            yield source_id(document["_id"])


def _value(identifier: str) -> Any:
    """Returns the `_id` that a source id stands for, None for one that no query can name."""
    if ObjectId.is_valid(identifier):
        return ObjectId(identifier)
    try:
        value = from_canonical(identifier)
    except (BSONError, ValueError, TypeError):
        return None
    # Within `$in`, MongoDB takes a regular expression for a pattern, and refuses operators.
    return None if isinstance(value, dict | list | Regex | DBRef) else value


def _other_forms(identifier: str) -> Iterator[str]:
    """Yields the source ids that look like another one: a number and its text, a text with blanks."""
    value = _value(identifier)
    if isinstance(value, ObjectId):
        yield source_id(str(value))
    elif isinstance(value, str):
        bare = value.strip()
        if ObjectId.is_valid(bare):
            yield source_id(ObjectId(bare))
        elif bare != value:
            yield source_id(bare)
        if bare.isdecimal() and len(bare) < len(str(1 << 63)):
            yield source_id(int(bare))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield source_id(str(value))
