"""The settings of every session, which override those of role, database, server, URL and environment.

They are sent once connected, not with the connection: poolers refuse the startup parameter ``options``, which
is left to the operator (``-c role=…``).

Left as they are, since they change how fast rows arrive but not which: the planner's (``enable_*``, ``jit``,
costs), ``work_mem``, tablespaces (one that the role may not use is a finding of the preflight), compression,
the server's log. ``default_transaction_read_only`` is somebody's wish that nothing be written: it is refused
by name. ``maintenance_work_mem`` is only ever raised (``schema.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from migration_assets.errors import TargetError
from migration_assets.target.url import KEEPALIVES

LOCK_TIMEOUT = "30s"
"""How long a statement waits for a table that somebody else holds, before the run says who that is."""

SESSION: Mapping[str, str] = {
    # Nothing ends a long statement, or a check that reads MongoDB within a transaction.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "lock_timeout": LOCK_TIMEOUT,
    "exit_on_error": "off",
    # Names mean the same, and nothing is hidden in silence: row-level security is an error.
    "search_path": "public",
    "row_security": "off",
    "session_replication_role": "origin",
    "default_table_access_method": "heap",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # Values are written and read in one way.
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "xmloption": "content",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "escape_string_warning": "on",
    "quote_all_identifiers": "off",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    # A line that was cut, or a process that was killed, is given up: else a merge goes on for minutes, in the
    # way of the run that is started again.
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": KEEPALIVES["keepalives_idle"],
    "tcp_keepalives_interval": KEEPALIVES["keepalives_interval"],
    "tcp_keepalives_count": KEEPALIVES["keepalives_count"],
    "tcp_user_timeout": KEEPALIVES["tcp_user_timeout"],
}
"""Each setting and its value; one that a server does not have is left out."""

_WHERE_THE_SYSTEM_CAN = frozenset(
    {name for name in SESSION if name.startswith("tcp_")} | {"client_connection_check_interval"}
)
"""What not every operating system can do."""

_SET = """
    SET statement_timeout = 0;
    SELECT set_config(name, value, false) FROM (VALUES {wanted}) AS wanted (name, value)
    WHERE current_setting(name, true) <> value;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""
"""The timeout comes first, so that it cannot end what follows. What is committed is on disk, since a signed
GO must outlive a crash; stronger wishes than that are kept."""


def set_session(connection: psycopg.Connection[TupleRow]) -> None:
    """Gives a new session its settings.

    Raises:
        TargetError: The role may not set one that stands in the way.
    """
    try:
        try:
            connection.execute(_assignment(SESSION))
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.FeatureNotSupported):
            everywhere = SESSION.keys() - _WHERE_THE_SYSTEM_CAN
            connection.execute(_assignment({name: SESSION[name] for name in everywhere}))
    except psycopg.errors.InsufficientPrivilege:
        # Of the list it is the only one that not everybody may set.
        name = "session_replication_role"
        raise TargetError(
            f"{name} is not origin, so triggers and foreign keys are off, and this role may not set it",
            where=f"database {connection.info.dbname}",
            next_step=f"ALTER ROLE … RESET {name}, or ALTER DATABASE … RESET {name}",
        ) from None


def _assignment(settings: Mapping[str, str]) -> sql.Composed:
    wanted = sql.SQL(", ").join(
        sql.SQL("({}, {})").format(sql.Literal(name), sql.Literal(value))
        for name, value in settings.items()
    )
    return sql.SQL(_SET).format(wanted=wanted)
