"""The twelve queries (operations, section 4.4): files in `sql/` of this package, and running them.

The files are the one source: `migration-assets sql` copies them to `sql/monitoring/` for psql, and a test
holds the copies equal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files as resources
from typing import LiteralString

import psycopg
from psycopg import sql

from migration_assets.monitoring.redaction import without_literals
from migration_assets.target.connection import Connection

TEXT = "query"
"""The column in which a query gives the text of a statement."""

STATEMENTS = "pg_stat_statements"
TIMEOUT = dt.timedelta(seconds=30)
"""How long one statement of the monitor may take: it must not become a burden itself."""

_CHECKPOINTER = 170_000
"""The version of PostgreSQL since which checkpoints have a view of their own."""


@dataclass(frozen=True, slots=True)
class Query:
    """One of the twelve.

    Attributes:
        number: Its number in operations, section 4.4.
        name: Its name, part of the name of its file.
    """

    number: int
    name: str

    def file(self, server_version: int) -> str:
        """Returns the name of the file for a server, given as in ``server_version_num``."""
        is_old = self.name == "checkpoints" and server_version < _CHECKPOINTER
        return f"{self.number:02}_{self.name}{'_before_17' if is_old else ''}.sql"

    @property
    def title(self) -> str:
        """What it is called in tables."""
        return self.name.replace("_", " ").capitalize()


QUERIES: tuple[Query, ...] = tuple(
    Query(number, name)
    for number, name in enumerate(
        (
            "health",
            "active_queries",
            "slow_queries",
            "table_activity",
            "index_usage",
            "unused_indexes",
            "cache_hit_ratio",
            "bloat",
            "connections",
            "locks",
            "replication",
            "checkpoints",
        ),
        start=1,
    )
)

BY_NUMBER: Mapping[int, Query] = {query.number: query for query in QUERIES}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a query.

    Attributes:
        query: Which one.
        columns: Names of its columns.
        rows: Its rows; texts of statements are without literals.
        problem: Why it could not be run and what to do, empty where it was.
    """

    query: Query
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    problem: str = ""


def text(file: str) -> str:
    """Returns the text of one of the files."""
    return (resources(__package__) / "sql" / file).read_text(encoding="utf-8")


def files() -> dict[str, str]:
    """Returns all files for `sql/monitoring/`, by name."""
    names = sorted(file.name for file in (resources(__package__) / "sql").iterdir())
    return {name: text(name) for name in names if name.endswith(".sql")}


def ask(connection: Connection, query: Query) -> Answer:
    """Runs a query; if the server refuses it, the answer says why."""
    if query.name == "slow_queries" and not has_statements(connection):
        return Answer(query, problem=NO_STATEMENTS)
    file = query.file(connection.info.server_version)
    try:
        with read_only(connection):
            cursor = connection.execute(_trusted(text(file)))
            columns = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall()
    except psycopg.Error as error:
        if connection.broken:
            raise
        return Answer(query, problem=f"the server refused it (SQLSTATE {error.sqlstate})")
    return Answer(query, columns, [_redacted(columns, row) for row in rows])


NO_STATEMENTS = (
    "the extension pg_stat_statements is missing: add it to shared_preload_libraries, restart the "
    "server, then CREATE EXTENSION pg_stat_statements"
)

NO_PRIVILEGE = "the role does not see the sessions of others: GRANT pg_monitor to it"


def has_statements(connection: Connection) -> bool:
    """Returns whether the server counts statements, and this database shows it."""
    row = connection.execute(
        "SELECT /* migration-assets */ EXISTS (SELECT FROM pg_extension WHERE extname = %s) "
        "AND coalesce(current_setting('pg_stat_statements.track', true), 'none') <> 'none'",
        [STATEMENTS],
    ).fetchone()
    return row == (True,)


def sees_others(connection: Connection) -> bool:
    """Returns whether the role sees what other roles' sessions do."""
    row = connection.execute(
        "SELECT /* migration-assets */ pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')"
    ).fetchone()
    return row == (True,)


@contextmanager
def read_only(connection: Connection, *, timeout: dt.timedelta = TIMEOUT) -> Iterator[None]:
    """Runs the block in a read-only transaction with a short timeout.

    The schema of pg_stat_statements is on the search path, wherever it was created.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        limit = sql.Literal(f"{int(timeout.total_seconds() * 1000)}ms")
        connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(limit))
        connection.execute(sql.SQL("SET LOCAL lock_timeout = '2s'"))
        row = connection.execute(
            "SELECT /* migration-assets */ nspname FROM pg_extension e "
            "JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = %s",
            [STATEMENTS],
        ).fetchone()
        if row is not None:
            path = sql.SQL("SET LOCAL search_path = public, {}").format(sql.Identifier(row[0]))
            connection.execute(path)
        yield


def _redacted(columns: Sequence[str], row: Sequence[object]) -> list[object]:
    return [
        without_literals(value) if name == TEXT and isinstance(value, str) else value
        for name, value in zip(columns, row, strict=True)
    ]


def _trusted(statement: str) -> LiteralString:
    """Marks the text of one of our own files as a literal."""
    return statement
