"""The ledger: one line for each load and for each of its ranges; and the lock of one writer a table.

A load opens with a line for each range that it is to stage. Whoever stages a range holds its line for that
long, and completes it in the same transaction: a line that is not complete is still to be done, by any
process, in any order.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, LiteralString

import sqlalchemy as sa
from psycopg import sql

from migration_assets.errors import LoadError
from migration_assets.loading.dependencies import Dependencies
from migration_assets.loading.program import program_version
from migration_assets.loading.records import LoadResult, Tally
from migration_assets.model import Model
from migration_assets.remediation.rules import Remediations
from migration_assets.source.digests import ContentDigest
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.marks import marks_of
from migration_assets.target.sql import identifier

_LOCK = 0x6D696772  # "migr": the first half of our advisory locks
_LOADS, _BATCHES = identifier(bookkeeping.loads), identifier(bookkeeping.batches)
_SEES_ONE_MOMENT = sql.SQL(
    "current_setting('transaction_isolation') IN ('repeatable read', 'serializable')"
)

_TALLY: LiteralString = """
    SELECT (SELECT count(*) FROM {rejected_documents} WHERE target_table = {table}),
           (SELECT count(*) FROM {unmapped_fields} WHERE target_table = {table}),
           (SELECT coalesce(jsonb_object_agg(kind, n), '{{}}') FROM (
              SELECT kind, sum(count) AS n FROM {conversions} WHERE target_table = {table} GROUP BY kind) c),
           (SELECT coalesce(jsonb_object_agg(kind, n), '{{}}') FROM (
              SELECT kind, count(*) AS n FROM {issues} WHERE target_table = {table} GROUP BY kind) i),
           (SELECT coalesce(jsonb_object_agg(rule, n), '{{}}') FROM (
              SELECT rule, count(*) AS n FROM (
                SELECT rule FROM {remediations} WHERE target_table = {table} UNION ALL
                SELECT unnest(string_to_array(accepted_by, ', ')) FROM {issues}
                WHERE target_table = {table} UNION ALL
                SELECT unnest(string_to_array(accepted_by, ', ')) FROM {rejected_documents}
                WHERE target_table = {table}) r GROUP BY rule) r)
"""


@dataclass(frozen=True, slots=True)
class RangeLine:
    """The line of a range.

    Attributes:
        number: Position of the range in its load, from 1.
        range: The range, as JSON has it.
        content: Digest of its documents; None as long as it is not staged.
        tally: How many documents were in it, and what it took, as JSON has it.
        lines: How many rows and books of it are staged.
        bytes_digest: Digest of all bytes of its documents in the order of `_id`.
    """

    number: int
    range: Mapping[str, Any]
    content: ContentDigest | None = None
    tally: Mapping[str, Any] | None = None
    lines: int = 0
    bytes_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A load that was cut off, or is under way.

    Attributes:
        load_id: The load.
        base: The load whose documents it does not convert again, None where it converts all.
        plan: What the rows depend on, as a digest.
        remediations: The rules that documents are converted with, as a digest.
        program: What converts, as a digest.
    """

    load_id: uuid.UUID
    base: uuid.UUID | None
    plan: str
    remediations: str
    program: str


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
                "SELECT format('process %s of %s, since %s', a.pid, a.application_name, "
                "date_trunc('second', a.backend_start)) FROM pg_locks l JOIN pg_stat_activity a "
                "USING (pid) WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 "
                "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND l.classid = {} AND l.objid = hashtext({})::bigint & 4294967295"
            ).format(sql.Literal(_LOCK), sql.Literal(table.name))
        ).fetchone()
        raise LoadError(
            f"another load of it is under way ({holder[0] if holder else 'just ended'})",
            where=f"table {table.name}",
            next_step="Wait until that load has ended, or stop it",
            # PostgreSQL notices at the end of a statement that a process was killed.
            is_transient=True,
        )
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(sql.SQL("SELECT pg_advisory_unlock({})").format(key))


def unfinished(connection: Connection, table: sa.Table) -> Unfinished | None:
    """Returns the latest load of a table that was begun and not finished, None where there is none."""
    row = connection.execute(
        sql.SQL(
            "SELECT id, base, plan, remediations, program FROM {} "
            "WHERE target_table = %s AND finished_at IS NULL ORDER BY started_at DESC LIMIT 1"
        ).format(_LOADS),
        [table.name],
    ).fetchone()
    return None if row is None else Unfinished(*row)


def lines_of(connection: Connection, load_id: uuid.UUID) -> list[RangeLine]:
    """Returns the lines of the ranges of a load, in their order."""
    rows = connection.execute(
        sql.SQL(
            "SELECT number, range, digest, tally, coalesce(lines, 0), bytes_digest FROM {} "
            "WHERE load_id = %s ORDER BY number"
        ).format(_BATCHES),
        [load_id],
    )
    return [
        RangeLine(
            number,
            range_,
            None if digest is None else ContentDigest.from_text(digest),
            tally,
            lines,
            bytes_digest,
        )
        for number, range_, digest, tally, lines, bytes_digest in rows
    ]


def begin(
    connection: Connection,
    table: sa.Table,
    remediations: Remediations,
    dependencies: Dependencies,
    ranges: Sequence[Mapping[str, Any]] = (),
    base: uuid.UUID | None = None,
) -> uuid.UUID:
    """Opens the lines of a load and of its ranges, as JSON has these, and returns its id.

    What an earlier load left open is removed. The base is the load whose documents are not converted again,
    None where all are.
    """
    load_id = uuid.uuid4()
    statements = """
        DELETE FROM {batches} WHERE load_id IN (SELECT id FROM {loads} WHERE {are_open});
        DELETE FROM {digests} WHERE load_id IN (SELECT id FROM {loads} WHERE {are_open});
        DELETE FROM {loads} WHERE {are_open};
        INSERT INTO {loads} (id, target_table, started_at, plan, removals, remediations, program, base,
                             fingerprints, statistics)
        VALUES ({load}, {table}, clock_timestamp(), {plan}, {removals}, {remediations}, {program}, {base},
                '{{}}', '{{}}');
        INSERT INTO {batches} (load_id, number, range)
        SELECT {load}, number, range::jsonb FROM unnest({ranges}::text[]) WITH ORDINALITY AS r(range, number)
    """
    connection.execute(
        sql.SQL(statements).format(
            loads=_LOADS,
            batches=_BATCHES,
            digests=identifier(bookkeeping.document_digests),
            are_open=sql.SQL("target_table = {} AND finished_at IS NULL").format(table.name),
            load=load_id,
            table=table.name,
            plan=dependencies.plan,
            removals=dependencies.removals,
            remediations=remediations.digest(table),
            program=program_version(),
            base=sql.Literal(base),
            ranges=[json.dumps(range_of_ledger) for range_of_ledger in ranges],
        )
    )
    return load_id


def missing_line(connection: Connection, load_id: uuid.UUID, number: int) -> RangeLine | None:
    """Takes the line of a range that is to be staged. The caller holds the transaction that does it.

    Where a process held it that has died, this waits for the end of that one's transaction.

    Returns:
        The line; None where the range is staged.
    """
    query = "SELECT number, range FROM {} WHERE load_id = %s AND number = %s AND digest IS NULL FOR UPDATE"
    row = connection.execute(sql.SQL(query).format(_BATCHES), [load_id, number]).fetchone()
    return None if row is None else RangeLine(*row)


def complete(connection: Connection, load_id: uuid.UUID, line: RangeLine) -> None:
    """Completes the line of a range that is staged. The caller holds the transaction that did it."""
    assert line.content is not None
    connection.execute(
        sql.SQL(
            "UPDATE {} SET lines = %s, digest = %s, bytes_digest = %s, tally = %s, "
            "committed_at = clock_timestamp() WHERE load_id = %s AND number = %s"
        ).format(_BATCHES),
        [
            line.lines,
            line.content.as_text(),
            line.bytes_digest,
            json.dumps(line.tally),
            load_id,
            line.number,
        ],
    )


def finish(
    connection: Connection,
    table: sa.Table,
    result: LoadResult,
    read: str,
    marks_seen: tuple[str, str] | None = None,
) -> LoadResult:
    """Closes the line of a load. The caller holds the merging transaction.

    Where that one does not see one moment, nothing is recorded that a later load could go by.

    Args:
        connection: A connection within that transaction.
        table: The table.
        result: What the load did.
        read: Digest of the documents that were read.
        marks_seen: The marks of the table's rows and books, where that transaction has just seen them.

    Returns:
        The result with its version.
    """
    marks = marks_seen or marks_of(connection, table)
    row = connection.execute(
        sql.SQL(
            "UPDATE {loads} l SET finished_at = clock_timestamp(), fingerprints = %s, "
            "source = %s, statistics = %s, documents = %s, "
            "rows_mark = CASE WHEN {sees_one_moment} THEN %s END, "
            "books_mark = CASE WHEN {sees_one_moment} THEN %s END, "
            "transaction = pg_current_xact_id()::text::bigint, "
            "version = coalesce((SELECT e.version FROM {loads} e WHERE NOT %s AND "
            "e.target_table = l.target_table AND e.finished_at IS NOT NULL "
            "ORDER BY e.finished_at DESC LIMIT 1), l.id) WHERE id = %s RETURNING version::text"
        ).format(loads=_LOADS, sees_one_moment=_SEES_ONE_MOMENT),
        [
            json.dumps(dict(result.fingerprints)),
            None if result.origin is None else json.dumps(asdict(result.origin)),
            json.dumps(result.statistics()),
            read,
            *marks,
            result.merged.written + result.merged.moved > 0,
            result.load_id,
        ],
    ).fetchone()
    assert row is not None
    return replace(result, version=str(row[0]))


def tally_of(connection: Connection, table: sa.Table, documents: int) -> Tally:
    """Returns what the books of a table hold, given how many documents were read."""
    names = {book.name: identifier(book) for book in bookkeeping.BOOKS}
    query = sql.SQL(_TALLY).format(table=table.name, **names)
    row = connection.execute(query).fetchone()
    assert row is not None
    rejected, unmapped, *counts = row
    return Tally(documents, rejected, unmapped, *map(Counter, counts))


def latest_of(
    connection: Connection, column: str, tables: Sequence[str] | None = None
) -> dict[str, Any]:
    """Returns what a column of the ledger says of the latest finished load of each table, by its name.

    All tables are asked for where None are named.
    """
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) target_table, {} FROM {} WHERE finished_at IS NOT NULL "
        "AND target_table = ANY(coalesce(%s, ARRAY[target_table])) ORDER BY target_table, finished_at DESC"
    ).format(sql.Identifier(column), _LOADS)
    names = None if tables is None else list(tables)
    return dict(connection.execute(query, [names]).fetchall())


def versions_of(connection: Connection, tables: Sequence[sa.Table]) -> dict[str, str]:
    """Returns the load that last changed a row of each of some tables, by name."""
    versions = latest_of(connection, "version", [table.name for table in tables])
    return {name: str(version) for name, version in versions.items()}


def latest_fingerprints(connection: Connection, tables: Sequence[str]) -> dict[str, str]:
    """Returns the fingerprints of the collections that the latest loads of some tables read."""
    fingerprints = latest_of(connection, "fingerprints", tables).values()
    return {name: digest for digests in fingerprints for name, digest in digests.items()}


def loaded_by_other(connection: Connection) -> list[str]:
    """Returns what was loaded last by another version of this program, or from another model."""
    programs = latest_of(connection, "program")
    return [name for name in programs if programs[name] != program_version()]


def loaded_with_other(
    model: Model, connection: Connection, remediations: Remediations
) -> list[str]:
    """Returns the tables whose latest load was made with other rules than the given ones."""
    digests = latest_of(connection, "remediations")
    return [
        name
        for name, table in model.tables.items()
        if name in digests and digests[name] != remediations.digest(table)
    ]
