"""How much each collection of the source holds, and how often it was written to.

All of it is of one `$collStats`, which the role `read` permits, and which counts without reading documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson.errors import BSONError
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from migration_assets.source.collections import collection_types
from migration_assets.source.connection import SourceDatabase

_STATISTICS: Sequence[Mapping[str, Any]] = (
    {"latencyStats": {}, "storageStats": {}, "count": {}},
    {"storageStats": {}, "count": {}},
)
"""What is asked of a collection; where a server does not know all of it, the next."""


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


def contents(source: SourceDatabase) -> dict[str, Content]:
    """Returns what each collection holds, by name."""
    types = collection_types(source)
    return {name: content(source, name) for name in sorted(types) if types[name] == "collection"}


def content(source: SourceDatabase, collection: str) -> Content:
    """Returns what a collection holds; its documents alone where the server does not tell more."""
    # These statistics are of the present, on the server that answers.
    asked = source[collection].with_options(read_concern=ReadConcern("local"))
    for statistics in _STATISTICS:
        try:
            shards = list(asked.aggregate([{"$collStats": statistics}]))
        except (OperationFailure, BSONError):
            continue
        content_of_shards = _of_shards(shards)
        if content_of_shards is not None:
            return content_of_shards
    return _documents_alone(source, collection)


def _of_shards(shards: Sequence[Mapping[str, Any]]) -> Content | None:
    counts = [_number(shard, "count") for shard in shards]
    sizes = [_number(shard, "storageStats", "size") for shard in shards]
    writes = [
        _number(shard, "latencyStats", kind, "ops")
        for shard in shards
        for kind in ("writes", "transactions")
    ]
    if not shards or None in counts:
        return None
    return Content(
        documents=sum(filter(None, counts)),
        size=sum(filter(None, sizes)),
        writes=None if None in writes else sum(filter(None, writes)),
    )


def _number(answer: Any, *path: str) -> int | None:
    for name in path:
        answer = answer.get(name) if isinstance(answer, Mapping) else None
    return int(answer) if isinstance(answer, int | float) and math.isfinite(answer) else None


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
