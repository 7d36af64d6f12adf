"""One load from start to end: lock, ledger, staging, merge. What it reads and converts is given to it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from migration_assets.conversion.batches import Books
from migration_assets.loading import ledger
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.merging import merge
from migration_assets.loading.pipeline import Stopwatch, without_cycle_detection, written_behind
from migration_assets.loading.staging import StagedBatch, Staging
from migration_assets.source.reading import Fingerprint
from migration_assets.target.connection import Connection


@dataclass(slots=True)
class Tally:
    """What a load has seen so far, in counts and seconds.

    Attributes:
        watch: Seconds by stage.
        fingerprints: What was read, by collection.
        based_on: Fingerprints of collections that were read in part, as of the load of their tables.
        documents: Documents, or elements of arrays for a junction table.
    """

    watch: Stopwatch = field(default_factory=Stopwatch)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    based_on: dict[str, str] = field(default_factory=dict)
    documents: int = 0
    rejected: int = 0
    unmapped: int = 0
    size: int = 0
    lossless: Counter[str] = field(default_factory=Counter)
    lossy: Counter[str] = field(default_factory=Counter)

    def add(self, books: Books) -> None:
        """Counts the books of a batch."""
        self.rejected += len(books.rejected)
        self.unmapped += len(books.unmapped)
        self.lossy.update(issue.kind for issue in books.issues)
        for (_, kind, _), count in books.conversions.items():
            self.lossless[kind] += count


def load(
    connection: Connection,
    table: sa.Table,
    batches: Callable[[Tally], Iterator[StagedBatch]],
    *,
    complete: Callable[[Staging, Tally], None] | None = None,
) -> LoadResult:
    """Brings a table to what its batches hold.

    Args:
        connection: A connection to the target, in autocommit mode.
        table: The table.
        batches: Makes the batches, and counts what it sees on the tally. It is called once the table is
            held against a second load.
        complete: Completes what is staged, just before it is merged.

    Raises:
        LoadError: Another session loads the table.
    """
    started = time.perf_counter()
    tally = Tally()

    def write(batch: StagedBatch) -> None:
        with tally.watch.stage("write"):
            staging.write(batch)

    with ledger.one_writer(connection, table):
        staging = Staging(connection, table, ledger.begin(connection, table))
        made = batches(tally)
        staging.create()
        with without_cycle_detection():
            written_behind(made, write)
        read = {name: each.hexdigest() for name, each in tally.fingerprints.items()}
        digests = read | tally.based_on
        with tally.watch.stage("merge"), connection.transaction():
            if complete is not None:
                complete(staging, tally)
            merged = merge(connection, table)
            changed = merged.written > 0
            version = ledger.finish(connection, staging.load_id, digests, changed=changed)
        staging.drop()
        result = LoadResult(
            table=table.name,
            load_id=staging.load_id,
            version=version,
            documents=tally.documents,
            rejected=tally.rejected,
            merged=merged,
            lossless=dict(tally.lossless),
            lossy=dict(tally.lossy),
            unmapped=tally.unmapped,
            fingerprints=digests,
            seconds=time.perf_counter() - started,
            stages=dict(tally.watch.seconds),
            size=tally.size,
        )
        ledger.describe(connection, result)
    return result
