"""Opening the target database, with errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from migration_assets.errors import TargetError
from migration_assets.urls import TARGET_VARIABLE, redacted, without_urls

Connection = psycopg.Connection[TupleRow]

OLDEST_VERSION = 150_000

_DRIVER = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
_READABLE = re.compile(_DRIVER.pattern + r"(?:(?:[^\s/@%]|%[0-9A-Fa-f]{2})*@)?[^\s@]*")
"""A URL in which it is clear where the password ends, so that it can be shown without it."""


@contextmanager
def open_target(url: str, *, timeout: float = 10.0) -> Iterator[Connection]:
    """Opens the target database, in autocommit mode: a transaction is always written out.

    Args:
        url: PostgreSQL URL; one written for SQLAlchemy (`postgresql+psycopg2://`) is taken as well.
        timeout: How long to wait for the server, in seconds.

    Raises:
        TargetError: The URL is wrong, the server does not answer or is older than PostgreSQL 15, or the
            connection is lost.
    """
    if not _READABLE.fullmatch(url):
        raise TargetError(
            "the URL cannot be read",
            where="PostgreSQL",
            next_step=f"Set {TARGET_VARIABLE} to postgresql://user:password@host:port/database, "
            "special characters as in %40 for @, %2F for /, %25 for %",
        )
    where = f"PostgreSQL at {redacted(url)}"
    with reported(where):
        connection = psycopg.connect(
            _DRIVER.sub("postgresql://", url),
            autocommit=True,
            connect_timeout=max(1, int(timeout)),  # 0 would be to wait forever
            application_name="migration-assets",
            options="-c search_path=public -c timezone=UTC -c client_encoding=UTF8",
        )
    with connection:  # closes it
        if connection.info.server_version < OLDEST_VERSION:
            major = connection.info.server_version // 10_000
            raise TargetError(
                f"the server is PostgreSQL {major}; 15 or newer is needed",
                where=where,
                next_step="Upgrade the target, or use another server",
            )
        with reported(where):
            _end_with_us(connection)
            yield connection


def is_alive(connection: Connection) -> bool:
    """Tells whether a connection that has not been used for a while still reaches the server."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True


def sibling(connection: Connection) -> Connection:
    """Returns another connection to the same database, in autocommit mode; closing it is up to the caller.

    Raises:
        psycopg.OperationalError: The server takes no further connection.
    """
    made = psycopg.connect(
        connection.info.dsn, password=connection.info.password or None, autocommit=True
    )
    _end_with_us(made)
    return made


@contextmanager
def at_one_moment(connection: Connection, *, read_only: bool = False) -> Iterator[None]:
    """Makes a transaction whose statements see the same: what is recorded is what was looked at.

    Somebody who changes the same rows at the same time makes it fail, with an error that passes. Within a
    transaction of the caller's it is up to that one what its statements see and change.

    Args:
        connection: A connection in autocommit mode.
        read_only: Nothing can be changed within it.
    """
    is_outermost = connection.info.transaction_status is TransactionStatus.IDLE
    with connection.transaction():
        if is_outermost:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if read_only:
                connection.execute("SET TRANSACTION READ ONLY")
        yield


def count_rows(connection: Connection, table: sql.Identifier) -> int:
    """Returns how many rows a table has."""
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
    assert row is not None
    return int(row[0])


def _end_with_us(connection: Connection) -> None:
    """Has the server end a statement soon after this process was killed, not when it is done.

    Else the build of an index or a merge goes on for minutes, in the way of the run that is started again.
    """
    with suppress(psycopg.errors.InvalidParameterValue):  # a server on Windows cannot
        connection.execute("SET client_connection_check_interval = '2s'")


@contextmanager
def reported(where: str) -> Iterator[None]:
    """Turns the driver's errors into a :class:`TargetError` of one line.

    The driver's own messages may quote values of a row, so the error is not chained, and only what
    names things is repeated.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _target_error(error, where) from None


def _target_error(error: psycopg.Error, where: str) -> TargetError:
    state = error.sqlstate
    if state is None and _NO_SPACE in str(error):
        return TargetError(
            "no connection, since its disk is full",
            where=where,
            next_step=_NEXT_STEPS["53"],
        )
    if state is None or state.startswith(_UNREACHABLE):
        return TargetError(
            f"no connection: {without_urls(str(error))}",
            where=where,
            next_step=f"Check that the server runs and that {TARGET_VARIABLE} names it, a database "
            "on it, and a role that may log in; then start again",
            is_transient=_passes(error),
        )
    diagnosis = error.diag
    named = {
        "table": diagnosis.table_name,
        "column": diagnosis.column_name,
        "constraint": diagnosis.constraint_name,
    }
    about = "".join(f", {what} {name}" for what, name in named.items() if name)
    next_step = _NEXT_STEPS.get(state[:2], "Look it up in the server's log, then start again")
    return TargetError(
        f"{type(error).__name__} (SQLSTATE {state}{about})",
        where=where,
        next_step=next_step,
        is_transient=_passes(error),
    )


def _passes(error: psycopg.Error) -> bool:
    """Tells whether the reason of an error may pass. An error of connecting has no SQLSTATE."""
    if error.sqlstate is None:
        is_lost = isinstance(error, psycopg.OperationalError)
        return is_lost and _PERMANENT.search(str(error)) is None
    return error.sqlstate.startswith(_PASSING)


_PASSING = ("08", "57P", "40", "42710")
"""Classes of SQLSTATE that pass: connection, shutdown and restart, deadlock and serialization; and that what
was missing is there meanwhile, since a killed process's last statement came through."""

_PERMANENT = re.compile(
    r"authentication failed|does not exist|pg_hba\.conf|no password supplied|translate host name"
    r"|not permitted to log in|invalid|missing"
)
"""What libpq says where connecting again would not help."""

_NO_SPACE = "No space left on device"

_UNREACHABLE = ("08", "28", "3D", "57P")
"""Classes of SQLSTATE: connection, login, no such database, shutdown."""

_NEXT_STEPS = {
    "42": "Check that the role owns the schema, or may create in it",
    "53": "Give the server disk space, memory or connections, then start again",
}
