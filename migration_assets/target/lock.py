"""One run at a time: a run locks its target against every other run, and an error names the holder.

Every connection of a run takes the lock itself; the connections of one run share it. A lost connection
releases its share. A new connection takes the lock again, or reports which run has taken it since. So
nothing is committed without the lock (sections 6 and 8).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import LiteralString

import psycopg
from psycopg import sql

from migration_assets.interrupts import on_interrupt
from migration_assets.reusable import Reusable
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.runs import HeldError, IsOver, end, nobody_knows, require_no_other

RUN_LOCK = 0x6D69677261746531  # "migrate1"

PATIENCE = 5.0
"""Seconds to wait for the last statement of a run that was killed: the server notices within two."""

IDLE_PATIENCE = 1.0
"""Seconds to wait for idle connections, which end with their process."""

_IS_RUN_LOCK = """
    l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32 | l.objid::bigint) = {lock}
"""

_OTHERS = """
    SELECT coalesce(a.state, 'idle') LIKE 'idle%',
           concat(a.application_name, ', process ', a.pid, ' of user ' || a.usename,
                  ' from ' || CASE WHEN a.usename IS NULL THEN NULL
                                   ELSE coalesce(a.client_addr::text, 'this machine') END,
                  ', since ' || date_trunc('second', a.backend_start))
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE {is_run_lock} AND a.pid <> pg_backend_pid()
      AND a.application_name <> current_setting('application_name')
    ORDER BY a.backend_start, a.pid
"""

_IS_HELD = "SELECT EXISTS (SELECT FROM pg_locks l WHERE {is_run_lock} AND l.pid = pg_backend_pid())"

_END = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = %s AND pid <> pg_backend_pid()
"""


class Hold:
    """The hold of a run on its target. Each process of the run may have one.

    A connection of its own, which does nothing, holds the target while no other connection is open.

    Args:
        url: PostgreSQL URL of the target.
        run_id: The run; runs that begin with the same eight characters are one.
    """

    def __init__(self, url: str, run_id: str) -> None:
        self.run_id = run_id
        self._url = url
        self._refused: HeldError | None = None
        self._anchor = Reusable(partial(open_held, url, run_id), is_held)

    @contextmanager
    def open(self) -> Iterator[Connection]:
        """Opens a connection that holds the target, in autocommit mode.

        Raises:
            HeldError: Another run holds it, or has held it since: this one has ended then.
            TargetError: It cannot be used; the message says why and what to do.
        """
        self.verify()
        with open_held(self._url, self.run_id) as connection:
            yield connection

    def verify(self) -> None:
        """Takes the target again where the connection that holds it was lost.

        Raises:
            HeldError: Another run holds it, or has held it since.
            TargetError: It cannot be used.
        """
        with self.use():
            pass

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Lends the connection that does nothing but hold the target, for a moment.

        Raises:
            HeldError: Another run holds it, or has held it since.
            TargetError: It cannot be used.
        """
        if self._refused is not None:
            raise self._refused
        try:
            with self._anchor.use() as connection:
                yield connection
        except HeldError as error:
            self._refused = error
            raise

    def close(self) -> None:
        """Lets go of the target, once the other connections are closed."""
        self._anchor.close()


@contextmanager
def held_for_run(url: str, run_id: str, is_over: IsOver = nobody_knows) -> Iterator[Hold]:
    """Holds the target for a run. Another process of the same run may come in.

    Args:
        url: PostgreSQL URL of the target.
        run_id: The run.
        is_over: Is asked of a run that keeps the target for its next step.

    Raises:
        HeldError: Another run holds it; the message says which.
        TargetError: It cannot be used.
    """
    hold = Hold(url, run_id)
    with on_interrupt(partial(end_statements, url, run_id)):
        try:
            with hold.use() as connection:
                require_no_other(connection, run_id, is_over)
            yield hold
        finally:
            hold.close()


@contextmanager
def open_held(url: str, run_id: str) -> Iterator[Connection]:
    """Opens a connection that holds the target for a run, in autocommit mode.

    Raises:
        HeldError: Another run holds it; the message says which.
        TargetError: It cannot be used.
    """
    with open_target(url) as connection:
        take(connection, _name(run_id))
        yield connection


def is_held(connection: Connection) -> bool:
    """Tells whether a connection that has not been used for a while is alive and holds the target."""
    try:
        return connection.execute(_about(_IS_HELD)).fetchone() == (True,)
    except psycopg.Error:
        return False


def held_as(connection: Connection) -> str | None:
    """Returns the name under which the connections of a run hold the target, None where this one does not."""
    name = connection.info.parameter_status("application_name")
    return name if is_held(connection) else None


def hold_too(connection: Connection, other: Connection) -> None:
    """Has another connection hold the target where one of the same run does.

    Raises:
        HeldError: Another run holds it.
    """
    name = held_as(connection)
    if name is not None:
        take(other, name)


def end_statements(url: str, run_id: str) -> None:
    """Ends whatever the connections of a run are doing, and the connections; the run keeps nothing.

    Raises:
        TargetError: The target cannot be used.
    """
    with open_target(url, timeout=1.0) as connection:
        connection.execute(_END, [_name(run_id)])
        end(connection, run_id)


def _name(run_id: str) -> str:
    return f"migration-assets run {run_id[:8]}"


def take(connection: Connection, name: str) -> None:
    """Takes the lock for a connection: exclusively if it is free, else shared with the same run.

    Sessions of a killed run end soon, so this waits for them.
    """
    connection.execute("SELECT set_config('application_name', %s, false)", [name])
    started = time.monotonic()
    while True:
        if _lock(connection, "SELECT pg_try_advisory_lock({lock})"):
            _lock(
                connection, "SELECT pg_try_advisory_lock_shared({lock})"
            )  # a session's own lock does not block it
            _lock(connection, "SELECT pg_advisory_unlock({lock})")
            return
        others = connection.execute(_about(_OTHERS)).fetchall()
        if not others and _lock(connection, "SELECT pg_try_advisory_lock_shared({lock})"):
            # Between the two statements, the run may have released it and another one may have taken it.
            others = connection.execute(_about(_OTHERS)).fetchall()
            if not others:
                return
            _lock(connection, "SELECT pg_advisory_unlock_shared({lock})")
        patience = IDLE_PATIENCE if any(is_idle for is_idle, _ in others) else PATIENCE
        if time.monotonic() > started + patience:
            holder = others[0][1] if others else "it has just ended"
            raise HeldError(
                f"another run is under way ({holder})",
                where=f"database {connection.info.dbname}",
                next_step="Wait until it has ended, or terminate it, then start again",
            )
        time.sleep(0.1)


def _lock(connection: Connection, query: LiteralString) -> bool:
    return connection.execute(_about(query)).fetchone() == (True,)


def _about(query: LiteralString) -> sql.Composed:
    lock = sql.Literal(RUN_LOCK)
    return sql.SQL(query).format(lock=lock, is_run_lock=sql.SQL(_IS_RUN_LOCK).format(lock=lock))
