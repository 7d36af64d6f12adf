"""The daily report: what grew, what is slow, what is waiting to be cleaned (operations, section 4.5)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migration_assets.monitoring import history
from migration_assets.monitoring.forecast import Forecast
from migration_assets.monitoring.health import Health, capacity
from migration_assets.monitoring.queries import Answer, read_only
from migration_assets.monitoring.samples import DEAD_ROWS, rows
from migration_assets.target.connection import Connection

TOP = 10
COUNTING = dt.timedelta(seconds=60)
"""How long counting one table may take."""

DAY = dt.timedelta(days=1)

_LARGEST = """
    SELECT /* migration-assets */ n.nspname, c.relname, pg_total_relation_size(c.oid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = 'public'
    ORDER BY 3 DESC NULLS LAST, 2 LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table.

    Attributes:
        name: Its name.
        bytes: Its size with indexes and TOAST.
        rows: Its rows, counted; None where they could not be.
        problem: Why they could not be counted, empty where they were.
    """

    name: str
    bytes: int
    rows: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Daily:
    """The report of a day.

    Attributes:
        health: How the target is now.
        tables: The largest tables with their exact number of rows.
        forecast: How the database grows.
        statuses: For each KPI, how many samples of the last day had which status.
    """

    health: Health
    tables: Sequence[TableSize]
    forecast: Forecast
    statuses: Mapping[str, Mapping[str, int]]

    def answer(self, name: str) -> Answer:
        """Returns the answer of one of the twelve queries."""
        return next(answer for answer in self.health.answers if answer.query.name == name)

    def dead(self) -> list[tuple[str, int, object]]:
        """Returns the tables with many dead rows: name, estimated dead rows, last autovacuum."""
        tables = [
            (row["table"], row["estimated_dead_rows"], row["last_autovacuum"])
            for row in rows(self.answer("bloat"))
            if row["estimated_dead_rows"] > DEAD_ROWS
        ]
        return tables[:TOP]


def daily(connection: Connection, health: Health, *, limit: int | None = None) -> Daily:
    """Returns the report of a day.

    Args:
        connection: A connection to the target.
        health: How it is now.
        limit: What there is room for in bytes.
    """
    statuses = history.statuses(connection, span=DAY) if history.is_kept(connection) else {}
    return Daily(health, largest(connection), capacity(connection, limit=limit), statuses)


def largest(connection: Connection, *, top: int = TOP) -> list[TableSize]:
    """Returns the largest tables of the application with their exact number of rows."""
    with read_only(connection):
        sizes = connection.execute(_LARGEST, [top]).fetchall()
    return [_counted(connection, *row) for row in sizes]


def _counted(connection: Connection, schema: str, name: str, size: int) -> TableSize:
    query = sql.SQL("SELECT /* migration-assets */ count(*) FROM {}")
    try:
        with read_only(connection, timeout=COUNTING):
            row = connection.execute(query.format(sql.Identifier(schema, name))).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return TableSize(name, size, None, "this role may not read it")
    except psycopg.errors.QueryCanceled:
        return TableSize(name, size, None, f"not within {COUNTING.seconds} s")
    except psycopg.errors.LockNotAvailable:
        return TableSize(name, size, None, "it is locked")
    return TableSize(name, size, None if row is None else row[0])
