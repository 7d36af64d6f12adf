"""The first load of a table: what is staged becomes the table, where else it would be copied into it.

So each row is written once. PostgreSQL cannot give the rows of one table to another, so the empty table
is dropped and the staged one takes its name and place. That is only done where nobody could tell the two
apart: where anybody has put something on the table since it was created, such as a privilege, a view or an
index, it stays, and rows are copied. Decision 0015 says why.
"""

from __future__ import annotations

import psycopg
from psycopg import sql

from migration_assets.target.connection import Connection, count_rows

_ALIKE = """
    SELECT pg_relation_size(t.oid) = 0 AND t.reloptions IS NULL
      AND 1 = (SELECT count(DISTINCT
          ROW(relkind, relpersistence, relowner, relacl, relam, reltablespace, reloftype, relreplident,
              relrowsecurity, relforcerowsecurity)::text)
        FROM pg_class WHERE oid IN (%(table)s::regclass, %(staged)s::regclass))
      AND 1 = (SELECT count(DISTINCT columns) FROM (
        SELECT string_agg(
          ROW(attname, atttypid, atttypmod, attnotnull, attidentity, attgenerated, attcollation, attstorage,
              attcompression, attstattarget, attacl, attoptions, pg_get_expr(adbin, adrelid))::text,
          '' ORDER BY attnum) AS columns
        FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
        WHERE attrelid IN (%(table)s::regclass, %(staged)s::regclass) AND attnum > 0 GROUP BY attrelid) each)
      AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = t.oid)
      AND NOT EXISTS (SELECT FROM pg_seclabel WHERE objoid = t.oid)
      AND NOT EXISTS (
        SELECT FROM pg_depend d LEFT JOIN pg_constraint k
          ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.conrelid = t.oid
        WHERE (d.refclassid, d.refobjid) IN (('pg_class'::regclass, t.oid), ('pg_type'::regclass, t.reltype))
          AND d.deptype <> 'i' AND d.classid <> 'pg_attrdef'::regclass
          AND coalesce(k.contype, '') NOT IN ('p', 'n'))
      AND has_schema_privilege(t.relnamespace, 'CREATE')
    FROM pg_class t WHERE t.oid = %(table)s::regclass
"""
"""The size on disk knows of the rows of all transactions. Whatever hangs on a table depends on it: indexes,
keys, triggers, views, policies, publications; its row type and TOAST table do so internally."""

_MAY_BECOME = """
    SELECT relpersistence = 'p' AND pg_relation_size(%(table)s::regclass) = 0
    FROM pg_class WHERE oid = %(staged)s::regclass
"""
"""What was not like the table when it was created need not survive a crash."""

_KEY = """
    SELECT n.nspname, k.conname, pg_get_constraintdef(k.oid), obj_description(k.conrelid, 'pg_class')
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE k.conrelid = %(table)s::regclass AND k.contype = 'p'
"""

_TAKE_ITS_PLACE = """
    DROP TABLE {table};
    ALTER TABLE {staged} RESET (autovacuum_enabled);
    ALTER TABLE {staged} SET SCHEMA {schema};
    ALTER TABLE {table} ADD CONSTRAINT {key} {definition};
    COMMENT ON TABLE {table} IS {comment};
"""


def create_staged(connection: Connection, staged: sql.Identifier, table: sql.Identifier) -> None:
    """Creates a table for the rows of another.

    Where it cannot become that one, its rows are written again, and need not survive a crash of the server.
    """
    names = {"staged": staged, "table": table}
    # Staging is read as a whole and gone soon after: vacuuming it helps nobody.
    create = """
        CREATE {unlogged} TABLE {staged} (
          LIKE {table} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS
        ) WITH (autovacuum_enabled = false)"""
    size = connection.execute("SELECT pg_relation_size(%s::regclass)", [table.as_string()])
    had_rows = size.fetchone() != (0,)
    unlogged = sql.SQL("UNLOGGED" if had_rows else "")
    connection.execute(sql.SQL(create).format(unlogged=unlogged, **names))
    if not had_rows and not _are_alike(connection, staged, table):
        connection.execute(sql.SQL("ALTER TABLE {staged} SET UNLOGGED").format(**names))


def become(connection: Connection, staged: sql.Identifier, table: sql.Identifier) -> int | None:
    """Has a staged table take the place of a table that never had a row.

    Args:
        connection: A connection within a transaction.
        staged: A table that was made by :func:`create_staged`.
        table: The table.

    Returns:
        How many rows it has now; None where nothing was done, since it had rows, somebody uses it, or has
        put something on it.
    """
    names = {"staged": staged, "table": table}
    shown = {name: qualified_name.as_string() for name, qualified_name in names.items()}
    if connection.execute(_MAY_BECOME, shown).fetchone() != (True,):
        return None
    are_alike = False
    try:
        with connection.transaction() as trying:
            lock = "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT"
            connection.execute(sql.SQL(lock).format(**names))
            are_alike = _are_alike(connection, staged, table)
            if not are_alike:
                raise psycopg.Rollback(trying)  # nobody need wait for what stays as it is
    except psycopg.errors.LockNotAvailable:
        pass
    if not are_alike:
        return None
    row = connection.execute(_KEY, shown).fetchone()
    assert row is not None
    schema, key, definition, comment = row
    connection.execute(
        sql.SQL(_TAKE_ITS_PLACE).format(
            schema=sql.Identifier(schema),
            key=sql.Identifier(key),
            definition=sql.SQL(definition),
            comment=sql.Literal(comment),
            **names,
        )
    )
    return count_rows(connection, table)


def _are_alike(connection: Connection, staged: sql.Identifier, table: sql.Identifier) -> bool:
    """Tells whether a table never had a row, and is like a staged one in everything but that and its key."""
    names = {"staged": staged.as_string(), "table": table.as_string()}
    return connection.execute(_ALIKE, names).fetchone() == (True,)
