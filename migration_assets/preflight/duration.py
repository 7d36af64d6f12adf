"""How long the migration will take, from what a rehearsal into the same target took (operations 1.5).

The duration of the rehearsal, times size now by size then, times the safety factor, which counts once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from migration_assets.model import Model, junction_of
from migration_assets.preflight.contents import Content
from migration_assets.preflight.findings import Area, PreflightFinding, ok, warning
from migration_assets.preflight.freeze import Snapshots
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.occupants import is_ours
from migration_assets.target.sql import identifier
from migration_assets.text import megabytes

SAFETY_FACTOR = 1.5
OPTIMISED_FACTOR = 1.2
"""Where the rehearsal ran on the production server, tuned as it will be."""

_WHOLE = """
    SELECT DISTINCT ON (m.started_at)
           extract(epoch FROM s.signed_at - m.started_at)::float8,
           r.documents, r.size, s.signed_at, r.inserted
    FROM {sign_offs} s
    CROSS JOIN LATERAL (
        SELECT started_at FROM {loads} WHERE target_table = {uuid_map}
        AND finished_at < s.signed_at ORDER BY started_at DESC LIMIT 1) m
    CROSS JOIN LATERAL (
        SELECT count(*) AS tables,
               coalesce(sum(documents) FILTER (WHERE name = ANY({entities})), 0)::bigint AS documents,
               coalesce(sum(size) FILTER (WHERE name = ANY({entities})), 0)::bigint AS size,
               coalesce(sum(inserted) FILTER (WHERE name = ANY({entities})), 0)::bigint AS inserted
        FROM (SELECT DISTINCT ON (target_table) target_table AS name,
                     (statistics->>'documents')::bigint AS documents,
                     (statistics->>'size')::bigint AS size,
                     (statistics->'merged'->>'inserted')::bigint AS inserted
              FROM {loads} WHERE target_table = ANY({tables})
              AND started_at >= m.started_at AND finished_at <= s.signed_at
              ORDER BY target_table, finished_at DESC) each) r
    WHERE r.tables = {count} AND r.documents > 0
    ORDER BY m.started_at, s.signed_at
"""
"""Runs from the map to the sign-off that loaded every table: how long, how much, when."""

_LOADS = """
    SELECT coalesce(sum(seconds), 0)::float8, coalesce(sum(documents), 0)::bigint,
           coalesce(sum(size), 0)::bigint, max(finished_at)
    FROM (SELECT DISTINCT ON (target_table) finished_at,
                 (statistics->>'seconds')::float8 AS seconds,
                 CASE WHEN target_table = ANY({entities})
                      THEN (statistics->>'documents')::bigint END AS documents,
                 CASE WHEN target_table = ANY({entities}) THEN (statistics->>'size')::bigint END AS size
          FROM {loads} WHERE finished_at IS NOT NULL
          ORDER BY target_table, (statistics->>'seconds')::float8 DESC) each
"""
"""The slowest load of every table, added up."""

_TABLES = """
    SELECT DISTINCT ON (target_table) target_table, (statistics->>'documents')::bigint,
           (statistics->>'seconds')::float8
    FROM {loads} WHERE finished_at IS NOT NULL AND target_table = ANY({tables})
    ORDER BY target_table, (statistics->>'seconds')::float8 DESC
"""
"""The slowest load of every table."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an earlier run took.

    Attributes:
        seconds: How long it took.
        documents: Documents of the source then.
        size: Their size in bytes.
        ended: When it ended.
        is_whole: From the map to the sign-off; else the loads alone.
    """

    seconds: float
    documents: int
    size: int
    ended: dt.datetime
    is_whole: bool


def rehearsal(model: Model, connection: Connection) -> Rehearsal | None:
    """Returns what an earlier run into this target took, None where there was none.

    The latest whole run that filled the tables counts; else the latest whole run; else the loads.
    """
    if not is_ours(connection):
        return None
    names = {
        "loads": identifier(bookkeeping.loads),
        "sign_offs": identifier(bookkeeping.sign_offs),
        "uuid_map": sql.Literal(bookkeeping.uuid_map.name),
        "entities": sql.Literal(list(model.entities)),
        "tables": sql.Literal(list(model.tables)),
        "count": sql.Literal(len(model.tables)),
    }
    runs = connection.execute(sql.SQL(_WHOLE).format(**names)).fetchall()
    if runs:
        filling = [run for run in runs if 2 * run[4] >= run[1]]
        seconds, documents, size, ended, _ = (filling or runs)[-1]
        return Rehearsal(seconds, documents, size, ended, is_whole=True)
    row = connection.execute(sql.SQL(_LOADS).format(**names)).fetchone()
    if row is None or not row[1]:
        return None
    seconds, documents, size, ended = row
    return Rehearsal(seconds, documents, size, ended, is_whole=False)


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long a run will take.

    Attributes:
        measured: What a rehearsal took.
        documents: Documents of the source now.
        size: Their size now in bytes; 0 where it is not known.
        factor: The safety factor.
    """

    measured: Rehearsal
    documents: int
    size: int
    factor: float = SAFETY_FACTOR

    @property
    def ratio(self) -> float:
        """Size now by size then: of documents or of bytes, the larger one."""
        ratio = self.documents / self.measured.documents
        if self.measured.size:
            ratio = max(ratio, self.size / self.measured.size)
        return ratio

    @property
    def seconds(self) -> float:
        """How long it will take: the safety factor counts once."""
        return self.measured.seconds * self.ratio * self.factor


def estimate(
    model: Model, measured: Rehearsal, held: Mapping[str, Content], *, factor: float = SAFETY_FACTOR
) -> Estimate:
    """Returns how long a run will take for what the source holds now.

    Args:
        model: The application's tables.
        measured: What a rehearsal took.
        held: What each collection holds; those that the model does not know do not count.
        factor: The safety factor.
    """
    ours = [content for name, content in held.items() if name in model.entities]
    documents = sum(content.documents for content in ours)
    size = sum(content.size for content in ours)
    return Estimate(measured, documents, size, factor)


@dataclass(frozen=True, slots=True)
class TableEstimate:
    """How long the load of a table will take, without a safety factor.

    Attributes:
        table: The table.
        measured: Documents, or elements of arrays, of its slowest load.
        rate: How many of them that load read in a second.
        expected: How many there are now; for a junction table as many more as its documents.
    """

    table: str
    measured: int
    rate: float
    expected: int

    @property
    def seconds(self) -> float:
        """How long its load will take."""
        return self.expected / self.rate if self.rate else 0.0


def table_estimates(
    model: Model, connection: Connection, held: Mapping[str, Content]
) -> list[TableEstimate]:
    """Returns how long the load of each table will take, by what it took before; the longest first.

    Args:
        model: The application's tables.
        connection: A connection to the target of the rehearsal.
        held: What each collection of the source holds now.
    """
    figures = {
        name: (documents, seconds)
        for name, documents, seconds in connection.execute(
            sql.SQL(_TABLES).format(
                loads=identifier(bookkeeping.loads), tables=sql.Literal(list(model.tables))
            )
        )
    }
    estimates = []
    for name, (measured, seconds) in figures.items():
        relation = junction_of(model.tables[name])
        collection = name if relation is None else relation.left.collection
        now = held[collection].documents if collection in held else 0
        then = figures.get(collection, (0, 0.0))[0]
        expected = now if relation is None else round(measured * now / then) if then else 0
        rate = measured / seconds if seconds else 0.0
        estimates.append(TableEstimate(name, measured, rate, expected))
    return sorted(estimates, key=lambda table_estimate: -table_estimate.seconds)


def duration(
    model: Model, connection: Connection, held: Mapping[str, Content], possible: Snapshots | None
) -> Iterator[PreflightFinding]:
    """Yields how long the migration will take, and whether a snapshot is kept for so long."""
    measured = rehearsal(model, connection)
    if measured is None:
        yield warning(
            Area.DURATION,
            "no rehearsal into this target yet, so nothing is known",
            "Run the migration days before; the final run is a small difference then",
        )
        return
    estimated = estimate(model, measured, held)
    seconds = estimated.seconds
    what = (
        "a whole run" if measured.is_whole else "the loads alone, without checks and constraints,"
    )
    yield ok(
        Area.DURATION,
        f"about {in_words(seconds)}: {what} took {in_words(measured.seconds)} for "
        f"{measured.documents:,} documents, {megabytes(measured.size)}, on {measured.ended:%Y-%m-%d}; now "
        f"{estimated.documents:,}, {megabytes(estimated.size)}; safety factor {SAFETY_FACTOR:g}",
        "A run on a target that is filled already takes less",
    )
    if possible is not None and possible.history < seconds:
        yield warning(
            Area.FREEZE,
            f"a snapshot is kept for {possible.history:,.0f} s, less than the run may take "
            f"({in_words(seconds)}): writes must be frozen",
            "Freeze the writes, or set minSnapshotHistoryWindowInSeconds on the server higher",
        )


def in_words(seconds: float) -> str:
    """Returns a duration to read: `12 s`, `4 min`, `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"
