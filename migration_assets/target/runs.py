"""The runs: a row of ``migration.runs`` for each run, which holds the target between its steps.

While a step works, its connections hold the lock (``target/lock.py``). Where each step is a process of its
own, no connection is open between two steps: the row then says that another step will follow. The row also
has the moment at which all steps read the source.
"""

from __future__ import annotations

from collections.abc import Callable

from bson.timestamp import Timestamp
from psycopg import sql

from migration_assets.errors import TargetError
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier

BETWEEN_STEPS = 90.0
"""Seconds that a run keeps the target for its next step: more than the wait before a step is tried again."""

RUNNING, ENDED, INTERRUPTED = "running", "ended", "interrupted"

_RUNS = identifier(bookkeeping.runs)

IsOver = Callable[[str], bool]
"""Tells whether Dagster knows that a run, given by its id, has ended."""


class HeldError(TargetError):
    """Another run holds the target."""


def nobody_knows(run_id: str) -> bool:
    """Says of every run that it may go on: where Dagster's storage is not at hand."""
    del run_id
    return False


def require_no_other(connection: Connection, held_as: str, is_over: IsOver = nobody_knows) -> None:
    """Refuses a target that another run keeps for its next step. The caller holds the lock.

    Args:
        connection: A connection to the target, in autocommit mode.
        held_as: The hold of the caller; runs of the same hold are let in.
        is_over: Is asked of the run that keeps it.

    Raises:
        HeldError: Another run keeps it; the message says which.
    """
    if not _has_runs(connection):
        return
    others = connection.execute(
        sql.SQL(
            "SELECT id::text, round(extract(epoch FROM clock_timestamp() - heartbeat_at))::bigint, "
            "date_trunc('second', held_until)::text FROM {} WHERE state = %s AND held_as <> %s "
            # A command, whose hold is no run's id, has the lock itself for as long as it lives.
            "AND held_as = id::text AND held_until > clock_timestamp() ORDER BY started_at"
        ).format(_RUNS),
        [RUNNING, held_as],
    ).fetchall()
    for run_id, seconds, until in others:
        if not is_over(run_id):
            raise HeldError(
                f"another run is under way (run {run_id[:8]}, between two of its steps, the last of which "
                f"ended {seconds} s ago)",
                where=f"database {connection.info.dbname}",
                next_step="Wait until it has ended, or terminate it, then start again; where it died, it "
                f"lets go of the target at {until}",
            )


def enter(
    connection: Connection, run_id: str, held_as: str, is_over: IsOver = nobody_knows
) -> None:
    """Records that a step of a run begins, and closes the rows of runs that have died.

    The first run of all has no row before it has created the schema: :func:`leave` writes it then.

    Args:
        connection: A connection that holds the target, in autocommit mode.
        run_id: Dagster's id of the run.
        held_as: Its hold.
        is_over: Is asked of another run that keeps the target.

    Raises:
        HeldError: Another run keeps the target for its next step.
    """
    require_no_other(connection, held_as, is_over)
    if not _has_runs(connection):
        return
    with connection.transaction():
        connection.execute(
            sql.SQL("UPDATE {} SET state = %s WHERE state = %s AND held_as <> %s").format(_RUNS),
            [INTERRUPTED, RUNNING, held_as],
        )
        _heard(connection, run_id, held_as)


def leave(connection: Connection, run_id: str, held_as: str, *, is_last: bool) -> None:
    """Records that a step of a run has ended.

    Args:
        connection: A connection that holds the target, in autocommit mode.
        run_id: Dagster's id of the run.
        held_as: Its hold.
        is_last: Whether the run has ended with it; else the target is kept for the next step.
    """
    if not _has_runs(connection):
        return
    with connection.transaction():
        _heard(connection, run_id, held_as)
        connection.execute(
            sql.SQL(
                "UPDATE {} SET state = %s, ended_at = CASE WHEN %s THEN clock_timestamp() END, "
                "held_until = CASE WHEN NOT %s THEN clock_timestamp() + %s * interval '1 second' END "
                "WHERE id = %s"
            ).format(_RUNS),
            [ENDED if is_last else RUNNING, is_last, is_last, BETWEEN_STEPS, run_id],
        )


def end(connection: Connection, held_as: str) -> None:
    """Records that the runs of a hold have ended. Whoever started them and waited calls it."""
    if _has_runs(connection):
        connection.execute(
            sql.SQL(
                "UPDATE {} SET state = %s, held_until = NULL, ended_at = clock_timestamp() "
                "WHERE held_as = %s AND state = %s"
            ).format(_RUNS),
            [ENDED, held_as, RUNNING],
        )


def moment_of_run(
    connection: Connection, run_id: str, held_as: str, current: Timestamp
) -> Timestamp:
    """Returns the moment at which all steps of a run read the source: that of the first one to ask.

    Args:
        connection: A connection that holds the target, in autocommit mode.
        run_id: Dagster's id of the run.
        held_as: Its hold.
        current: What it is where none has asked before.
    """
    if not _has_runs(connection):
        return current
    with connection.transaction():
        _heard(connection, run_id, held_as)
        row = connection.execute(
            sql.SQL(
                "UPDATE {} SET moment = coalesce(moment, %s) WHERE id = %s RETURNING moment"
            ).format(_RUNS),
            [f"{current.time}.{current.inc}", run_id],
        ).fetchone()
    assert row is not None
    time, _, operation = row[0].partition(".")
    return Timestamp(int(time), int(operation))


def _heard(connection: Connection, run_id: str, held_as: str) -> None:
    connection.execute(
        sql.SQL(
            "INSERT INTO {} AS r (id, held_as, state, started_at, heartbeat_at) "
            "VALUES (%s, %s, %s, clock_timestamp(), clock_timestamp()) ON CONFLICT (id) DO UPDATE "
            "SET held_as = excluded.held_as, state = excluded.state, "
            "heartbeat_at = excluded.heartbeat_at, ended_at = NULL"
        ).format(_RUNS),
        [run_id, held_as, RUNNING],
    )


def _has_runs(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT to_regclass(%s) IS NOT NULL", [f"{bookkeeping.SCHEMA}.{bookkeeping.runs.name}"]
    ).fetchone()
    return row == (True,)
