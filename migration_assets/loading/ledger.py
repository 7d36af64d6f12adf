"""The ledger: one line for each load, and what is known of it; and the lock of one writer a table."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from migration_assets.errors import LoadError
from migration_assets.loading.merging import Merged
from migration_assets.loading.staging import identifier
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection

_LOCK = 0x6D696772  # "migr": the first half of our advisory locks


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load did, in counts and seconds; it holds no value of any document.

    Attributes:
        table: The table that was loaded.
        load_id: The load, as the ledger knows it.
        version: The load that last changed a row: equal versions, equal rows.
        documents: Documents read, or elements of arrays for a junction table.
        rejected: Documents that did not become a row.
        merged: What the merge did.
        lossless: Lossless conversions, by kind.
        lossy: Lossy conversions, by kind.
        unmapped: Documents with fields that the model does not know.
        fingerprints: Fingerprint of what was read, by collection.
        seconds: Seconds from start to end.
        stages: Seconds that each stage was busy; stages overlap.
        size: Bytes read from the source.
    """

    table: str
    load_id: uuid.UUID
    version: str
    documents: int
    rejected: int
    merged: Merged
    lossless: Mapping[str, int] = field(default_factory=dict)
    lossy: Mapping[str, int] = field(default_factory=dict)
    unmapped: int = 0
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    size: int = 0

    @property
    def rows(self) -> int:
        """Rows that the table has for the documents of the source."""
        return self.merged.inserted + self.merged.updated + self.merged.unchanged

    @property
    def rate(self) -> float:
        """Documents for each second."""
        return self.documents / self.seconds if self.seconds else 0.0

    def statistics(self) -> dict[str, Any]:
        """Returns the counts and seconds as JSON has them."""
        kept = asdict(self)
        for name in ("table", "load_id", "version", "fingerprints"):
            del kept[name]
        return kept


@contextmanager
def one_writer(connection: Connection, table: sa.Table) -> Iterator[None]:
    """Holds the table against a second load of it at the same time.

    Raises:
        LoadError: Another session loads it.
    """
    key = sql.SQL("{}, hashtext({})").format(sql.Literal(_LOCK), sql.Literal(table.name))
    got = connection.execute(sql.SQL("SELECT pg_try_advisory_lock({})").format(key)).fetchone()
    if got != (True,):
        holder = connection.execute(
            sql.SQL(
                "SELECT format('process %%s of %%s, since %%s', a.pid, a.application_name, "
                "date_trunc('second', a.backend_start)) FROM pg_locks l JOIN pg_stat_activity a "
                "USING (pid) WHERE l.locktype = 'advisory' AND l.granted "
                "AND l.classid = {} AND l.objid = hashtext({})::bigint & 4294967295"
            ).format(sql.Literal(_LOCK), sql.Literal(table.name))
        ).fetchone()
        raise LoadError(
            f"another load of it is under way ({holder[0] if holder else 'just ended'})",
            where=f"table {table.name}",
            next_step="Wait until that load has ended, or stop it",
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(sql.SQL("SELECT pg_advisory_unlock({})").format(key))


def begin(connection: Connection, table: sa.Table) -> uuid.UUID:
    """Opens a line in the ledger, closing what an earlier load left open. Returns the load's id."""
    load_id = uuid.uuid4()
    loads, batches = identifier(bookkeeping.loads), identifier(bookkeeping.batches)
    with connection.transaction():
        unfinished = sql.SQL("SELECT id FROM {} WHERE target_table = %s AND finished_at IS NULL")
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE load_id IN ({})").format(
                batches, unfinished.format(loads)
            ),
            [table.name],
        )
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE target_table = %s AND finished_at IS NULL").format(loads),
            [table.name],
        )
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (id, target_table, started_at, fingerprints, statistics) "
                "VALUES (%s, %s, clock_timestamp(), '{{}}', '{{}}')"
            ).format(loads),
            [load_id, table.name],
        )
    return load_id


def finish(
    connection: Connection, load_id: uuid.UUID, fingerprints: Mapping[str, str], *, changed: bool
) -> str:
    """Closes the line of a load and returns its version. The caller holds the merging transaction."""
    row = connection.execute(
        sql.SQL(
            "UPDATE {loads} l SET finished_at = clock_timestamp(), fingerprints = %s, "
            "version = coalesce((SELECT e.version FROM {loads} e WHERE NOT %s "
            "AND e.target_table = l.target_table AND e.finished_at IS NOT NULL "
            "ORDER BY e.finished_at DESC LIMIT 1), l.id) WHERE id = %s RETURNING version::text"
        ).format(loads=identifier(bookkeeping.loads)),
        [json.dumps(dict(fingerprints)), changed, load_id],
    ).fetchone()
    assert row is not None
    return str(row[0])


def describe(connection: Connection, result: LoadResult) -> None:
    """Adds what a finished load did to its line."""
    with connection.transaction():
        connection.execute(
            sql.SQL("UPDATE {} SET statistics = %s WHERE id = %s").format(
                identifier(bookkeeping.loads)
            ),
            [json.dumps(result.statistics()), result.load_id],
        )


def latest_fingerprints(connection: Connection, tables: Sequence[str]) -> dict[str, str]:
    """Returns the fingerprints of the collections that the latest loads of some tables read."""
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) fingerprints FROM {} WHERE finished_at IS NOT NULL "
        "AND target_table = ANY(%s) ORDER BY target_table, finished_at DESC"
    ).format(identifier(bookkeeping.loads))
    with connection.transaction():
        found = connection.execute(query, [list(tables)]).fetchall()
    return {name: digest for (digests,) in found for name, digest in digests.items()}
