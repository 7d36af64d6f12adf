"""The ledger: one line for each load, and what is known of it; and the lock of one writer a table."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from migration_assets.conversion.batches import Books
from migration_assets.errors import LoadError
from migration_assets.loading.merging import Merged
from migration_assets.loading.program import program_version
from migration_assets.loading.staging import Staging, identifier
from migration_assets.model import Model, documents_referred_to, model_of, referenced_tables
from migration_assets.model.versions import model_version
from migration_assets.remediation.rules import Remediations
from migration_assets.source.origin import Origin
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.marks import books_mark, rows_mark

SECONDS = "seconds"
"""What was spent on a batch, beside its counts in the ledger."""

AS_BEFORE = "as_before"
"""How many of the documents of a batch were not converted, beside its counts in the ledger."""

_LOCK = 0x6D696772  # "migr": the first half of our advisory locks


@dataclass(slots=True)
class Tally:
    """What loads and their batches count; it holds no value of any document.

    Attributes:
        documents: Documents read, or elements of arrays for a junction table.
        rejected: Documents that did not become a row.
        unmapped: Documents with fields that the model does not know.
        lossless: Lossless conversions, by kind.
        lossy: Lossy conversions, by kind.
        remediated: Applications of remediations, and losses that one accepts, by rule.
    """

    documents: int = 0
    rejected: int = 0
    unmapped: int = 0
    lossless: Counter[str] = field(default_factory=Counter)
    lossy: Counter[str] = field(default_factory=Counter)
    remediated: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, documents: int, books: Books) -> Tally:
        """Returns the counts of a batch."""
        tally = cls(documents, len(books.rejected), len(books.unmapped))
        tally.lossy.update(issue.kind for issue in books.issues)
        for (_, kind, _), count in books.conversions.items():
            tally.lossless[kind] += count
        tally.remediated.update(each.rule for each in books.remediations)
        accepted = [each.accepted_by for each in books.issues]
        accepted += [each.accepted_by for each in books.rejected]
        tally.remediated.update(
            name for names in filter(None, accepted) for name in names.split(", ")
        )
        return tally

    @classmethod
    def from_json(cls, counted: Mapping[str, Any]) -> Tally:
        """Returns the counts that :meth:`as_json` gave."""
        return cls(
            documents=counted["documents"],
            rejected=counted["rejected"],
            unmapped=counted["unmapped"],
            lossless=Counter(counted["lossless"]),
            lossy=Counter(counted["lossy"]),
            remediated=Counter(counted["remediated"]),
        )

    def as_json(self) -> dict[str, Any]:
        """Returns the counts as JSON has them."""
        return {
            "documents": self.documents,
            "rejected": self.rejected,
            "unmapped": self.unmapped,
            "lossless": dict(self.lossless),
            "lossy": dict(self.lossy),
            "remediated": dict(self.remediated),
        }

    def add(self, other: Tally) -> None:
        """Adds the counts of another tally."""
        self.documents += other.documents
        self.rejected += other.rejected
        self.unmapped += other.unmapped
        self.lossless += other.lossless
        self.lossy += other.lossy
        self.remediated += other.remediated


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load did, in counts and seconds; it holds no value of any document.

    Attributes:
        table: The table that was loaded.
        load_id: The load, as the ledger knows it.
        merged: What the merge did.
        tally: What was counted, the batches before an interruption included.
        version: The load that last changed a row: equal versions, equal rows.
        fingerprints: Fingerprint of what was read, by collection.
        origin: The source that was read; None where it is not known.
        seconds: Seconds from start to end, without the time between an interruption and the resumption.
        seconds_before: Those of them that were spent on batches committed before an interruption.
        stages: Seconds that each stage was busy; stages overlap.
        size: Bytes read from the source.
        moment: The moment that the source was read at, in words; None where it was the present.
        is_converted: False where source and table were what the load before had left: what it counted
            counts on.
        as_before: Documents that are as the load before had read them, and were not converted.
        was_touched: Whether the table was not as the load before had left it, or there was none: which ids
            it lost is not known then.
    """

    table: str
    load_id: uuid.UUID
    merged: Merged
    tally: Tally = field(default_factory=Tally)
    version: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    seconds: float = 0.0
    seconds_before: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    size: int = 0
    moment: str | None = None
    is_converted: bool = True
    as_before: int = 0
    was_touched: bool = False

    @property
    def documents(self) -> int:
        """Documents read, or elements of arrays for a junction table."""
        return self.tally.documents

    @property
    def rejected(self) -> int:
        """Documents that did not become a row."""
        return self.tally.rejected

    @property
    def unmapped(self) -> int:
        """Documents with fields that the model does not know."""
        return self.tally.unmapped

    @property
    def lossless(self) -> Mapping[str, int]:
        """Lossless conversions, by kind."""
        return self.tally.lossless

    @property
    def lossy(self) -> Mapping[str, int]:
        """Lossy conversions, by kind."""
        return self.tally.lossy

    @property
    def remediated(self) -> Mapping[str, int]:
        """Applications of remediations, and losses that one accepts, by rule."""
        return self.tally.remediated

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
        return {
            **self.tally.as_json(),
            "merged": asdict(self.merged),
            "seconds": self.seconds,
            "seconds_before": self.seconds_before,
            "stages": dict(self.stages),
            "size": self.size,
            "moment": self.moment,
            "is_converted": self.is_converted,
            "as_before": self.as_before,
            "was_touched": self.was_touched,
        }


@dataclass(frozen=True, slots=True)
class Open:
    """A load that is under way.

    Attributes:
        load_id: The load.
        batches: How many batches are committed already.
        digest: Digest of all that was read up to the last of them.
        tally: What they counted.
        seconds: Seconds that were spent on them.
        base: The load whose documents it does not convert again, None where it converts all.
        as_before: How many documents of the batches were not converted.
    """

    load_id: uuid.UUID
    batches: int = 0
    digest: str = ""
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0
    base: uuid.UUID | None = None
    as_before: int = 0


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


def reopen(
    connection: Connection,
    table: sa.Table,
    say: Callable[[str], None],
    remediations: Remediations,
) -> Open | None:
    """Returns the load that was cut off where it can be resumed, None where there is none.

    It cannot where the model, the program, the remediations or the rows that it refers to have changed, or
    where the target has lost what was staged, as it does when it crashes; ``say`` is told why.
    """
    loads, batches = identifier(bookkeeping.loads), identifier(bookkeeping.batches)
    row = connection.execute(
        sql.SQL(
            "SELECT l.id, l.base, l.plan, l.remediations, count(b.number), coalesce(sum(b.lines), 0), "
            "l.program, "
            "(array_agg(b.digest ORDER BY b.number DESC))[1], "
            "coalesce(json_agg(b.tally) FILTER (WHERE b.number IS NOT NULL), '[]') "
            "FROM {} l LEFT JOIN {} b ON b.load_id = l.id "
            "WHERE l.target_table = %s AND l.finished_at IS NULL "
            "GROUP BY l.id ORDER BY l.started_at DESC LIMIT 1"
        ).format(loads, batches),
        [table.name],
    ).fetchone()
    if row is None or not row[4]:
        return None
    load_id, base, plan, rules, count, lines, program, digest, tallies = row
    if rules != remediations.digest(table):
        say(f"{table.name}: not resumed, the remediations have changed since")
        return None
    if program != program_version():
        say(f"{table.name}: not resumed, this program or a library of it has changed since")
        return None
    if plan != plan_of(connection, table):
        say(f"{table.name}: not resumed, the model or what it refers to has changed since")
        return None
    if Staging(connection, table, load_id).lines() != lines:
        say(f"{table.name}: not resumed, the target has lost what was staged")
        return None
    say(f"{table.name}: resuming after batch {count}, {lines} lines are staged")
    tally = Tally()
    for each in tallies:
        tally.add(Tally.from_json(each))
    seconds = sum(each.get(SECONDS, 0.0) for each in tallies)
    as_before = sum(each.get(AS_BEFORE, 0) for each in tallies)
    return Open(load_id, count, digest, tally, seconds, base, as_before)


def begin(
    connection: Connection,
    table: sa.Table,
    remediations: Remediations,
    base: uuid.UUID | None = None,
) -> Open:
    """Opens a line in the ledger, removing what an earlier load left open.

    Args:
        connection: A connection to the target.
        table: The table.
        remediations: What its documents are converted with.
        base: The load whose documents are not converted again, None where all are converted.
    """
    load_id = uuid.uuid4()
    loads, batches = identifier(bookkeeping.loads), identifier(bookkeeping.batches)
    unfinished = sql.SQL("target_table = {} AND finished_at IS NULL").format(
        sql.Literal(table.name)
    )
    with connection.transaction():
        for of_batches in (batches, identifier(bookkeeping.document_digests)):
            connection.execute(
                sql.SQL("DELETE FROM {} WHERE load_id IN (SELECT id FROM {} WHERE {})").format(
                    of_batches, loads, unfinished
                )
            )
        connection.execute(sql.SQL("DELETE FROM {} WHERE {}").format(loads, unfinished))
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (id, target_table, started_at, plan, removals, remediations, program, "
                "base, fingerprints, statistics) "
                "VALUES (%s, %s, clock_timestamp(), %s, %s, %s, %s, %s, '{{}}', '{{}}')"
            ).format(loads),
            [
                load_id,
                table.name,
                plan_of(connection, table),
                removals_of(connection, table),
                remediations.digest(table),
                program_version(),
                base,
            ],
        )
    return Open(load_id, base=base)


def finish(connection: Connection, table: sa.Table, result: LoadResult, read: str) -> LoadResult:
    """Closes the line of a load. The caller holds the merging transaction.

    Where that one does not see one moment, nothing is recorded that a later load could go by.

    Args:
        connection: A connection within that transaction.
        table: The table.
        result: What the load did.
        read: Digest of the documents that were read.

    Returns:
        The result with its version.
    """
    isolation = connection.execute("SELECT current_setting('transaction_isolation')").fetchone()
    is_certain = isolation in (("repeatable read",), ("serializable",))
    row = connection.execute(
        sql.SQL(
            "UPDATE {loads} l SET finished_at = clock_timestamp(), fingerprints = %s, "
            "source = %s, statistics = %s, documents = %s, rows_mark = %s, books_mark = %s, "
            "transaction = pg_current_xact_id()::text::bigint, "
            "version = coalesce((SELECT e.version FROM {loads} e WHERE NOT %s AND "
            "e.target_table = l.target_table AND e.finished_at IS NOT NULL "
            "ORDER BY e.finished_at DESC LIMIT 1), l.id) WHERE id = %s RETURNING version::text"
        ).format(loads=identifier(bookkeeping.loads)),
        [
            json.dumps(dict(result.fingerprints)),
            None if result.origin is None else json.dumps(result.origin.as_json()),
            json.dumps(result.statistics()),
            read,
            rows_mark(connection, table) if is_certain else None,
            books_mark(connection, table) if is_certain else None,
            result.merged.written + result.merged.moved > 0,
            result.load_id,
        ],
    ).fetchone()
    assert row is not None
    return replace(result, version=str(row[0]))


def plan_of(connection: Connection, table: sa.Table) -> str:
    """Returns a digest of all that the rows depend on besides documents, program and remediations.

    Of the tables that they refer to it is the load that last changed which ids there are.
    """
    referred = depends_on(table)
    return _digest_of(connection, table, grown=referred, shrunk=referred)


def removals_of(connection: Connection, table: sa.Table) -> str:
    """Returns a digest of all that a row depends on where its document found whatever it refers to.

    As :func:`plan_of`, but rows that were merely inserted into the tables that it refers to do not count.
    They do where a text refers to documents whose `_id` is no ObjectId: a new one may be meant before
    the one that was found.
    """
    shrunk = depends_on(table)
    texts_may_turn = bookkeeping.uuid_map in shrunk and not all(
        _has_only_object_ids(connection, name) for name in documents_referred_to(table)
    )
    grown = [bookkeeping.uuid_map] if texts_may_turn else []
    return _digest_of(connection, table, grown=grown, shrunk=shrunk)


def _digest_of(
    connection: Connection, table: sa.Table, *, grown: list[sa.Table], shrunk: list[sa.Table]
) -> str:
    """Returns a digest of a table's model, and of the loads that last let other tables grow or shrink."""
    said = [table.name]
    if table.metadata is not bookkeeping.BOOKKEEPING:
        said.append(model_version(table))
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) target_table, id::text FROM {}, "
        "jsonb_to_record(statistics->'merged') AS m(inserted bigint, deleted bigint, moved bigint) "
        "WHERE finished_at IS NOT NULL AND (target_table = ANY(%s) AND "
        "(m.deleted + m.moved > 0 OR (statistics->>'was_touched')::boolean) "
        "OR target_table = ANY(%s) AND m.inserted > 0) ORDER BY target_table, finished_at DESC"
    ).format(identifier(bookkeeping.loads))
    names = [[each.name for each in tables] for tables in (shrunk, grown)]
    versions = connection.execute(query, names).fetchall()
    said += [f"{name} {version}" for name, version in versions]
    return hashlib.blake2b("\n".join(said).encode(), digest_size=16).hexdigest()


def _has_only_object_ids(connection: Connection, collection: str) -> bool:
    """Tells whether every document of a collection has an ObjectId: its UUID is of version 7 then."""
    query = sql.SQL(
        "SELECT NOT EXISTS (SELECT FROM {} WHERE collection = %s AND substr(id::text, 15, 1) <> '7')"
    ).format(identifier(bookkeeping.uuid_map))
    return connection.execute(query, [collection]).fetchone() == (True,)


def depends_on(table: sa.Table) -> list[sa.Table]:
    """Returns the tables whose ids decide what becomes of a table's references."""
    if table.metadata is bookkeeping.BOOKKEEPING:
        return []
    referred = [model_of(table).tables[name] for name in referenced_tables(table)]
    return [*referred, bookkeeping.uuid_map] if documents_referred_to(table) else referred


def versions_of(connection: Connection, tables: Sequence[sa.Table]) -> dict[str, str]:
    """Returns the load that last changed a row of each of some tables, by name."""
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) target_table, version::text FROM {} WHERE "
        "finished_at IS NOT NULL AND target_table = ANY(%s) ORDER BY target_table, finished_at DESC"
    ).format(identifier(bookkeeping.loads))
    return dict(connection.execute(query, [[table.name for table in tables]]).fetchall())


def latest_fingerprints(connection: Connection, tables: Sequence[str]) -> dict[str, str]:
    """Returns the fingerprints of the collections that the latest loads of some tables read."""
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) fingerprints FROM {} WHERE finished_at IS NOT NULL "
        "AND target_table = ANY(%s) ORDER BY target_table, finished_at DESC"
    ).format(identifier(bookkeeping.loads))
    with connection.transaction():
        found = connection.execute(query, [list(tables)]).fetchall()
    return {name: digest for (digests,) in found for name, digest in digests.items()}


def loaded_by_other(connection: Connection) -> list[str]:
    """Returns what was loaded last by another version of this program, or from another model."""
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) target_table, program FROM {} "
        "WHERE finished_at IS NOT NULL ORDER BY target_table, finished_at DESC"
    ).format(identifier(bookkeeping.loads))
    with connection.transaction():
        programs: dict[str, str] = dict(connection.execute(query).fetchall())
    return [name for name in programs if programs[name] != program_version()]


def loaded_with_other(
    model: Model, connection: Connection, remediations: Remediations
) -> list[str]:
    """Returns the tables whose latest load was made with other rules than the given ones."""
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) target_table, remediations FROM {} "
        "WHERE finished_at IS NOT NULL ORDER BY target_table, finished_at DESC"
    ).format(identifier(bookkeeping.loads))
    with connection.transaction():
        digests: dict[str, str] = dict(connection.execute(query).fetchall())
    return [
        name
        for name, table in model.tables.items()
        if name in digests and digests[name] != remediations.digest(table)
    ]
