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
        FROM pg_class WHERE oid IN ({table}::regclass, {staged}::regclass))
      AND 1 = (SELECT count(DISTINCT columns) FROM (
        SELECT string_agg(
          ROW(attname, atttypid, atttypmod, attnotnull, attidentity, attgenerated, attcollation, attstorage,
              attcompression, attstattarget, attacl, attoptions, pg_get_expr(adbin, adrelid))::text,
          '' ORDER BY attnum) AS columns
        FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
        WHERE attrelid IN ({table}::regclass, {staged}::regclass) AND attnum > 0 GROUP BY attrelid) each)
      AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = t.oid)
      AND NOT EXISTS (SELECT FROM pg_seclabel WHERE objoid = t.oid)
      AND NOT EXISTS (
        SELECT FROM pg_depend d LEFT JOIN pg_constraint k
          ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid AND k.conrelid = t.oid
        WHERE (d.refclassid, d.refobjid) IN (('pg_class'::regclass, t.oid), ('pg_type'::regclass, t.reltype))
          AND d.deptype <> 'i' AND d.classid <> 'pg_attrdef'::regclass
          AND coalesce(k.contype, '') NOT IN ('p', 'n'))
      AND has_schema_privilege(t.relnamespace, 'CREATE')
    FROM pg_class t WHERE t.oid = {table}::regclass
"""
"""The size on disk knows of the rows of all transactions. Whatever hangs on a table depends on it: indexes,
keys, triggers, views, policies, publications; its row type and TOAST table do so internally."""

_KEY = """
    SELECT n.nspname, k.conname, pg_get_constraintdef(k.oid), obj_description(k.conrelid, 'pg_class')
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE k.conrelid = {table}::regclass AND k.contype = 'p'
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
        CREATE TABLE {staged} (
          LIKE {table} INCLUDING DEFAULTS INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS
        ) WITH (autovacuum_enabled = false)"""
    connection.execute(sql.SQL(create).format(**names))
    if not _are_alike(connection, staged, table):
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
    if not _are_alike(connection, staged, table):
        return None
    try:
        with connection.transaction():
            lock = "LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT"
            connection.execute(sql.SQL(lock).format(**names))
    except psycopg.errors.LockNotAvailable:
        return None
    if not _are_alike(connection, staged, table):  # what was seen before is certain only now
        return None
    query = sql.SQL(_KEY).format(table=sql.Literal(table.as_string()))
    row = connection.execute(query).fetchone()
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
    query = sql.SQL(_ALIKE).format(
        staged=sql.Literal(staged.as_string()), table=sql.Literal(table.as_string())
    )
    return connection.execute(query).fetchone() == (True,)
