"""Loading the UUID map: the identity of every document (section 4).

Of known collections only the index on `_id` is read; documents of collections that the model does not
know are kept whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import bson
import polars as pl

from migration_assets.conversion.batches import Books
from migration_assets.conversion.columns import convert_keys
from migration_assets.identity import canonical, source_id
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import Tally, load
from migration_assets.loading.pipeline import prefetched
from migration_assets.loading.staging import StagedBatch, staged_batch
from migration_assets.model import ENTITIES
from migration_assets.source.connection import CODEC, SourceDatabase
from migration_assets.source.reading import identifier, raw_batches, split
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
                documents = list(split(data))
                tally.size += len(data)
                books = Books()
                if name in ENTITIES:
                    tally.documents += len(documents)
                    rows = identities(name, [identifier(document) for document in documents])
                else:
                    rows = identities(name, [])
                    books = kept_whole(documents)
                tally.add(books)
            with tally.watch.stage("encode"):
                staged = staged_batch(uuid_map, name, number, len(documents), rows, books)
            yield staged

    return load(connection, uuid_map, batches)


def identities(collection: str, identifiers: list[object]) -> pl.DataFrame:
    """Returns collection, UUID and source id of documents."""
    return pl.DataFrame(
        {
            "collection": pl.Series([collection] * len(identifiers), dtype=pl.String),
            "id": convert_keys(collection, identifiers),
            "source_id": pl.Series(map(source_id, identifiers), dtype=pl.String),
        }
    )


def kept_whole(documents: list[bytes]) -> Books:
    """Returns the books of documents of which the model knows no field."""
    decoded = [bson.decode(document, CODEC) for document in documents]
    return Books(unmapped=[(source_id(each["_id"]), canonical(each)) for each in decoded])
