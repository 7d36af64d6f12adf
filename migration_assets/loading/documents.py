"""Loading an entity table from the documents of its collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import sqlalchemy as sa

from migration_assets.conversion.batches import BatchConverter
from migration_assets.loading import digests
from migration_assets.loading.digests import DigestedBatch, Known
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import Converted, Part, load, silent
from migration_assets.loading.loaded import ids_for
from migration_assets.loading.staging import Staging
from migration_assets.model import unique_columns
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.reading import raw_batches
from migration_assets.source.snapshots import moment_read
from migration_assets.target.connection import Connection


def load_documents(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
) -> LoadResult:
    """Brings an entity table to the state of its collection.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table; the tables that it refers to are loaded.
        say: Is told what an operator wants to know.
        remediations: What is corrected or accepted on the way.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """

    def parts(staging: Staging) -> Iterator[Part]:
        @cache
        def converter() -> BatchConverter:
            # What an earlier attempt has staged holds its unique values against later documents.
            taken = {name: set(staging.column(name)) for name in unique_columns(table)}
            remedies = Remedies(remediations.of(table))
            return BatchConverter(table, ids_for(connection, table), taken, remedies)

        @cache
        def known() -> Known:
            return digests.known(connection, staging.base) if staging.base else Known(b"")

        def convert(data: bytes) -> Converted:
            batch = DigestedBatch(table.name, data)
            others = np.flatnonzero(~known().has_each(batch.digests))
            converted = converter().convert(batch.only(others))
            return Converted(
                len(batch),
                converted.rows,
                converted.books,
                as_before=len(batch) - len(others),
                record=batch.record(others[list(converted.traced)]),
            )

        def convert_all(data: bytes) -> Converted:
            converted = converter().convert(data)
            return Converted(converted.documents, converted.rows, converted.books)

        # Which document has a unique value hangs on all before it.
        chosen = convert_all if unique_columns(table) else convert
        for batch in raw_batches(source[table.name]):
            yield Part(table.name, batch.data, chosen)

    return load(
        connection,
        table,
        parts,
        fingerprints=lambda digest: {table.name: digest},
        moment=moment_read(source),
        say=say,
        remediations=remediations,
    )
