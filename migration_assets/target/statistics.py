"""The tables that need ANALYZE: those that changed since their statistics were last gathered."""

from __future__ import annotations

from psycopg import sql
from psycopg.pq import TransactionStatus

from migration_assets.model import Model
from migration_assets.target.connection import Connection

_UNCHANGED = """
    SELECT s.relname
    FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
    WHERE s.schemaname = 'public'
      AND greatest(s.last_analyze, s.last_autoanalyze) IS NOT NULL
      AND s.n_mod_since_analyze
          <= current_setting('autovacuum_analyze_scale_factor')::float8 * greatest(c.reltuples, 0)
"""
"""The share is the one from which on autovacuum would do it, without the rows that it grants on top.

The server forgets both when it crashes or its statistics are reset; then nothing counts as unchanged.
"""


def report_changes(connection: Connection) -> None:
    """Has the server count now what this connection has changed; it delays them by up to a minute.

    Within a transaction it is counted at its end only.
    """
    connection.execute("SELECT pg_stat_force_next_flush()")


def stale_statistics(model: Model, connection: Connection) -> list[str]:
    """Returns the tables whose statistics are missing or no longer describe them.

    Within a transaction these are all, since its own changes are not counted yet.
    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        return list(model.tables)
    report_changes(connection)
    unchanged = {name for (name,) in connection.execute(_UNCHANGED)}
    return [name for name in model.tables if name not in unchanged]


def largest_first(model: Model, connection: Connection) -> list[str]:
    """Returns the tables by size on disk."""
    rows = connection.execute(
        sql.SQL(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            "AND relname = ANY(%s) ORDER BY pg_relation_size(oid) DESC, relname"
        ),
        [list(model.tables)],
    )
    return [name for (name,) in rows]
