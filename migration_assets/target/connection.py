"""Connections to the target, with errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from migration_assets.errors import TargetError
from migration_assets.target.refusals import POOLER, target_error
from migration_assets.target.session import set_session
from migration_assets.target.url import understood

Connection = psycopg.Connection[TupleRow]

OLDEST_VERSION = 150_000


@contextmanager
def open_target(url: str, *, timeout: float = 10.0) -> Iterator[Connection]:
    """Opens the target database, in autocommit mode: a transaction is always written out.

    Args:
        url: PostgreSQL URL; one written for SQLAlchemy (`postgresql+psycopg2://`) or Prisma is taken as well.
        timeout: How long to wait for the server, in seconds.

    Raises:
        TargetError: The URL is wrong, the server does not answer, is older than PostgreSQL 15 or behind a
            pooler that keeps no session, or the connection is lost.
    """
    target = understood(url, timeout=timeout)
    where = f"PostgreSQL at {target.shown}"
    with reported(where):
        connection = _connected(target.conninfo)
    with connection:  # closes it
        if connection.info.server_version < OLDEST_VERSION:
            major = connection.info.server_version // 10_000
            raise TargetError(
                f"the server is PostgreSQL {major}; 15 or newer is needed",
                where=where,
                next_step="Upgrade the target, or use another server",
            )
        with reported(where, connection):
            _require_session(connection, target.conninfo, where)
            set_session(connection)
            yield connection


def _connected(conninfo: str) -> Connection:
    try:
        return psycopg.connect(conninfo, autocommit=True)
    except (UnicodeError, OverflowError) as error:  # of the name of a host, of a number
        raise psycopg.ProgrammingError(f"invalid: {error}") from None


def conninfo_of(connection: Connection) -> str:
    """Returns how to connect to the same database; the password is in it."""
    parameters = connection.info.get_parameters()
    return make_conninfo("", **{**parameters, "password": connection.info.password or None})


def sibling(connection: Connection) -> Connection:
    """Returns another connection to the same database, in autocommit mode; closing it is up to the caller.

    Raises:
        psycopg.OperationalError: The server takes no further connection.
    """
    another = _connected(conninfo_of(connection))
    set_session(another)
    return another


@contextmanager
def open_again(conninfo: str) -> Iterator[Connection]:
    """Opens a connection to a database that another process has open, in autocommit mode.

    Args:
        conninfo: What :func:`conninfo_of` gave.

    Raises:
        TargetError: The server takes no further connection, or it is lost.
    """
    where = "PostgreSQL"
    with reported(where):
        connection = _connected(conninfo)
    with connection, reported(where, connection):
        set_session(connection)
        yield connection


def is_idle(connection: Connection) -> bool:
    """Tells whether a connection is open, and within no transaction."""
    return connection.info.transaction_status is TransactionStatus.IDLE


def _require_session(connection: Connection, conninfo: str, where: str) -> None:
    """Refuses a pooler that lends a session to others between two transactions: no lock would hold.

    Who is connected to the server itself was told the process that serves it. Through a pooler two
    connections are asked in turns: each must have a process of its own, and keep it.

    Raises:
        TargetError: It does.
    """
    if connection.info.backend_pid == _backend_pid(connection):
        return
    role = _ROLE.search(connection.info.options)
    if role and connection.execute("SHOW role").fetchone() != (role[1],):
        raise TargetError(
            f"this is a pooler, which drops the options {connection.info.options!r} in silence",
            where=where,
            next_step=POOLER,
        )
    with _connected(conninfo) as other:
        first, other_first = _backend_pid(connection), _backend_pid(other)
        other_second, second = _backend_pid(other), _backend_pid(connection)
    if first != second or other_first != other_second or first == other_first:
        raise TargetError(
            "this is a pooler that keeps no session (transaction mode): neither locks nor settings hold",
            where=where,
            next_step=POOLER,
        )


_ROLE = re.compile(r"(?:-c\s*|--)role=(\S+)")


def _backend_pid(connection: Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def at_one_moment(
    connection: Connection, *, read_only: bool = False, moment: str | None = None
) -> Iterator[None]:
    """Runs a transaction whose statements see one moment: it records exactly what it has read.

    Somebody who changes the same rows at the same time makes it fail, with an error that passes. Within a
    transaction of the caller's it is up to that one what its statements see and change.

    Args:
        connection: A connection in autocommit mode.
        read_only: Nothing can be changed within it.
        moment: The moment that another transaction has exported; its own where None.
    """
    is_outermost = is_idle(connection)
    with connection.transaction():
        if is_outermost:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if read_only:
                connection.execute("SET TRANSACTION READ ONLY")
            if moment is not None:
                connection.execute(
                    sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(moment))
                )
        yield


def count_rows(connection: Connection, table: sql.Composable) -> int:
    """Returns the number of rows of a table or named query."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def reported(where: str, connection: Connection | None = None) -> Iterator[None]:
    """Turns the driver's errors into a :class:`TargetError` of one line.

    The driver's own messages may quote values of a row, so the error is not chained, and only what
    names things is repeated.

    Args:
        where: The server and database.
        connection: Is asked who holds a table that a statement has waited for in vain.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        holders = _holders(connection) if connection is not None else ""
        raise target_error(error, where, holders) from None
    except psycopg.Error as error:
        raise target_error(error, where) from None


_HOLDERS = """
    SELECT format('process %s (%s, user %s%s) on %s', h.pid,
                  coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.usename, '?'),
                  ', in a transaction since ' || date_trunc('second', a.xact_start),
                  string_agg(DISTINCT h.relname, ', '))
    FROM (SELECT l.pid, c.relname, l.mode = 'AccessShareLock' AS only_reads
          FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND n.nspname IN ('public', 'migration', 'migration_staging') AND c.relkind IN ('r', 'p')) h
    LEFT JOIN pg_stat_activity a USING (pid)
    GROUP BY h.pid, a.application_name, a.usename, a.xact_start
    ORDER BY bool_and(h.only_reads), a.xact_start LIMIT 3
"""
"""Those who only read come last: they hold up few statements."""


def lock_holders(connection: Connection) -> list[str]:
    """Returns in words the other sessions that lock our tables, likely blockers first."""
    return [holder for (holder,) in connection.execute(_HOLDERS)]


def _holders(connection: Connection) -> str:
    try:
        connection.rollback()
        return "; ".join(lock_holders(connection)) or "nobody any more"
    except psycopg.Error:
        return ""
