"""Free space where the target keeps its data, as far as it can be known.

PostgreSQL has no function for it. On this machine the file system says it. On another one `df` can be
run on the server, by a superuser or a member of `pg_execute_server_program`: only where asked for, since
a program that a client runs is what auditors look for. Nothing else is run there.
"""

from __future__ import annotations

import ipaddress
import shlex
import shutil
from pathlib import Path

import psycopg
from psycopg import sql

from migration_assets.settings import SERVER_DF
from migration_assets.target.connection import Connection

_DIRECTORY = """
    SELECT coalesce(nullif(pg_tablespace_location(dattablespace), ''),
                    CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE')
                         THEN current_setting('data_directory') END),
           pg_has_role('pg_execute_server_program', 'USAGE')
    FROM pg_database WHERE datname = current_database()
"""


def free_bytes(connection: Connection) -> int | None:
    """Returns the free bytes where the database keeps its tables, None where that cannot be known."""
    row = connection.execute(_DIRECTORY).fetchone()
    assert row is not None
    directory, may_run_programs = row
    if directory is None:
        return None
    if is_on_this_machine(connection):
        try:
            return shutil.disk_usage(directory).free
        except OSError:  # a directory above it that this user cannot pass
            pass
    return (
        _said_by_df(connection, directory)
        if may_run_programs and SERVER_DF.read() == "on"
        else None
    )


def is_on_this_machine(connection: Connection) -> bool:
    """Tells whether the server's process runs on this machine: not behind a tunnel, nor in a container."""
    host = connection.info.host
    try:
        is_local = (
            host.startswith("/") or ipaddress.ip_address(connection.info.hostaddr).is_loopback
        )
    except ValueError:
        return False
    if not is_local:
        return False
    try:
        name = Path(f"/proc/{connection.info.backend_pid}/comm").read_text(encoding="utf-8")
    except OSError:
        return False
    return name.strip() == "postgres"


def _said_by_df(connection: Connection, directory: str) -> int | None:
    """Returns the fourth number that `df` says of a directory of the server."""
    program = f"df -Pk {shlex.quote(directory)}"
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("CREATE TEMPORARY TABLE said (line text) ON COMMIT DROP")
            connection.execute(
                sql.SQL("COPY said FROM PROGRAM {}").format(sql.Literal(program)),
            )
            lines = [line for (line,) in connection.execute("SELECT line FROM said").fetchall()]
    except psycopg.errors.Error:  # no `df` there
        return None
    return available(lines)


def available(lines: list[str]) -> int | None:
    """Returns the available bytes that `df -Pk` says of one directory, None where it says something else."""
    words = lines[-1].split() if len(lines) == 2 else []
    return int(words[3]) * 1024 if len(words) >= 6 and words[3].isdecimal() else None
