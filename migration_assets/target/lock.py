"""One writer: a run holds the target against every other run, and says who holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from migration_assets.errors import TargetError
from migration_assets.target.connection import Connection, open_target

RUN_LOCK = 0x6D69677261746531  # "migrate1"

_HOLDER = """
    SELECT a.application_name, format('%s, process %s of user %s from %s, since %s',
           a.application_name, a.pid, a.usename, coalesce(a.client_addr::text, 'this machine'),
           date_trunc('second', a.backend_start))
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = {}
"""


@contextmanager
def held_for_run(url: str, run_id: str) -> Iterator[None]:
    """Holds the target for a run. Another process of the same run may come in.

    Args:
        url: PostgreSQL URL of the target.
        run_id: The run.

    Raises:
        TargetError: Another run holds it; the message says which.
    """
    name = f"migration-assets run {run_id[:8]}"
    with open_target(url) as connection:
        connection.execute("SELECT set_config('application_name', %s, false)", [name])
        if not _try_lock(connection):
            holder = connection.execute(sql.SQL(_HOLDER).format(sql.Literal(RUN_LOCK))).fetchone()
            if holder is None or holder[0] != name:
                raise TargetError(
                    f"another run is under way ({holder[1] if holder else 'it has just ended'})",
                    where=f"database {connection.info.dbname}",
                    next_step="Wait until it has ended, or terminate it, then start again",
                )
        yield


def _try_lock(connection: Connection) -> bool:
    got = connection.execute("SELECT pg_try_advisory_lock(%s)", [RUN_LOCK]).fetchone()
    return got == (True,)
