"""Loading an entity table from the documents of its collection."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from migration_assets.conversion.batches import BatchConverter
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import Tally, load
from migration_assets.loading.loaded import ids_for
from migration_assets.loading.pipeline import prefetched
from migration_assets.loading.staging import StagedBatch, staged_batch
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.reading import Fingerprint, raw_batches
from migration_assets.target.connection import Connection


def load_documents(source: SourceDatabase, connection: Connection, table: sa.Table) -> LoadResult:
    """Brings an entity table to the state of its collection.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table; the tables that it refers to are loaded.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """

    def batches(tally: Tally) -> Iterator[StagedBatch]:
        converter = BatchConverter(table, ids_for(connection, table))
        fingerprint = tally.fingerprints[table.name] = Fingerprint()
        for batch in prefetched(tally.watch.timed("read", raw_batches(source[table.name]))):
            with tally.watch.stage("convert"):
                converted = converter.convert(batch.data)
            fingerprint.add(batch.data, converted.documents)
            tally.documents += converted.documents
            tally.size += len(batch.data)
            tally.add(converted.books)
            with tally.watch.stage("encode"):
                staged = staged_batch(
                    table,
                    table.name,
                    batch.number,
                    converted.documents,
                    converted.rows,
                    converted.books,
                )
            yield staged

    return load(connection, table, batches)
