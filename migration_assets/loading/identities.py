"""Loading the UUID map: the identity of every document (section 4).

Of known collections only the index on `_id` is read; documents of collections that the model does not
know are kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import bson
import polars as pl

from migration_assets.conversion.batches import Books
from migration_assets.identity import (
    canonical,
    document_uuid,
    hex_uuids,
    object_id_uuids,
    source_id,
)
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import Tally, load
from migration_assets.loading.pipeline import prefetched
from migration_assets.loading.staging import StagedBatch, staged_batch
from migration_assets.model import ENTITIES
from migration_assets.source.connection import CODEC, SourceDatabase
from migration_assets.source.reading import identifier, object_ids_alone, raw_batches, split
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.target.connection import Connection


def unknown_collections(source: SourceDatabase) -> list[str]:
    """Returns the collections that the model does not know, MongoDB's own apart."""
    found = source.list_collection_names(filter={"type": "collection"})
    return sorted(name for name in found if name not in ENTITIES and not name.startswith("system."))


def load_identities(source: SourceDatabase, connection: Connection) -> LoadResult:
    """Brings ``migration.uuid_map`` to the state of the source.

    Raises:
        LoadError: Another session loads it.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """

    def read() -> Iterator[tuple[str, bytes]]:
        for name in (*ENTITIES, *unknown_collections(source)):
            projection = {"_id": 1} if name in ENTITIES else None
            for batch in raw_batches(source[name], projection=projection):
                yield name, batch.data

    def batches(tally: Tally) -> Iterator[StagedBatch]:
        for number, (name, data) in enumerate(prefetched(tally.watch.timed("read", read())), 1):
            with tally.watch.stage("convert"):
                tally.size += len(data)
                books = Books() if name in ENTITIES else kept_whole(list(split(data)))
                rows = identities(name, data if name in ENTITIES else b"")
                count = rows.height or len(books.unmapped)
                tally.documents += rows.height
                tally.add(books)
            with tally.watch.stage("encode"):
                staged = staged_batch(uuid_map, name, number, count, rows, books)
            yield staged

    return load(connection, uuid_map, batches)


def identities(collection: str, data: bytes) -> pl.DataFrame:
    """Returns collection, UUID and source id of documents, given as BSON one after the other."""
    object_ids = object_ids_alone(data)
    if object_ids is not None:
        digits = object_ids.hex()
        ids = hex_uuids(object_id_uuids(object_ids))
        source_ids = [digits[start : start + 24] for start in range(0, len(digits), 24)]
    else:
        identifiers = [identifier(document) for document in split(data)]
        ids = [document_uuid(collection, each).hex for each in identifiers]
        source_ids = [source_id(each) for each in identifiers]
    return pl.DataFrame({"id": ids, "source_id": source_ids}).select(
        pl.lit(collection).alias("collection"), "id", "source_id"
    )


def kept_whole(documents: list[bytes]) -> Books:
    """Returns the books of documents of which the model knows no field."""
    decoded = [bson.decode(document, CODEC) for document in documents]
    return Books(unmapped=[(source_id(each["_id"]), canonical(each)) for each in decoded])
