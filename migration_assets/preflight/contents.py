"""How much each collection of the source holds, and how often it was written to.

All of it is of one `$collStats`, which the role `read` permits, and which counts without reading documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.errors import OperationFailure

from migration_assets.source.connection import SourceDatabase

_PIPELINE: list[Mapping[str, Any]] = [
    {"$collStats": {"latencyStats": {}, "storageStats": {}, "count": {}}},
    {
        "$project": {
            "count": 1,
            "size": "$storageStats.size",
            "writes": {"$add": ["$latencyStats.writes.ops", "$latencyStats.transactions.ops"]},
        }
    },
]


@dataclass(frozen=True, slots=True)
class Content:
    """What a collection holds, as the server counts it.

    Attributes:
        documents: How many documents; after a crash of the server an estimate.
        size: Their size in bytes, uncompressed; 0 where the user may not see it.
        writes: Writes and operations of transactions since the server started; None where the user may not
            see it.
    """

    documents: int
    size: int = 0
    writes: int | None = None


def collection_types(source: SourceDatabase) -> dict[str, str]:
    """Returns the type of each collection (`collection`, `view`, `timeseries`), MongoDB's own apart."""
    found = source.list_collections()
    return {
        each["name"]: each.get("type", "collection")
        for each in found
        if not each["name"].startswith("system.")
    }


def contents(source: SourceDatabase) -> dict[str, Content]:
    """Returns what each collection holds, by name."""
    types = collection_types(source)
    return {name: content(source, name) for name in sorted(types) if types[name] == "collection"}


def content(source: SourceDatabase, collection: str) -> Content:
    """Returns what a collection holds; its documents alone where the user may not see more."""
    try:
        shards = list(source[collection].aggregate(_PIPELINE))
    except OperationFailure:
        return _documents_alone(source, collection)
    return Content(
        documents=sum(each["count"] for each in shards),
        size=sum(each["size"] for each in shards),
        writes=sum(each["writes"] for each in shards),
    )


def _documents_alone(source: SourceDatabase, collection: str) -> Content:
    try:
        return Content(source[collection].estimated_document_count())
    except OperationFailure:  # it cannot be read either, which is a finding of its own
        return Content(0)


def written_between(before: Mapping[str, Content], after: Mapping[str, Content]) -> list[str]:
    """Returns the collections that were written to, created or dropped between two looks."""
    return sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
