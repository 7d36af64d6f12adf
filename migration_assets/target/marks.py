"""Marks: digests that tell whether a table was changed, without reading a single value.

A mark covers the rows of a table by the transactions that wrote them. PostgreSQL gives every row the
number of the transaction that inserted or last updated it (``xmin``), and no way to keep it while changing
the row. So a table that was not touched has as many rows of each transaction as before; an insert or update
adds some of a new one, a delete takes some away that can never come back. Freezing keeps the number
visible. Decision 0009 goes through what else there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from psycopg import sql

from migration_assets.target.bookkeeping import (
    BOOKS,
    SCHEMA,
    check_results,
    loads,
    pending_deletes,
)
from migration_assets.target.connection import Connection

TRANSACTIONS = 2**31
"""After so many, the server gives a number to another transaction; no mark is believed that long."""

_ROWS = """(
    SELECT coalesce(string_agg(w.xmin || ' ' || w.written, ',' ORDER BY w.xmin), '') FROM
    (SELECT r.xmin::text AS xmin, count(*)::text AS written FROM {table} r {of_owner} GROUP BY r.xmin) w)"""

_RELATION = """(
    SELECT format('%s %s', {name}::regclass::oid, {filenode})
        || coalesce(string_agg(format(',%s %I %s %s %s %s', a.attnum, a.attname, a.atttypid, a.atttypmod,
                                      a.attisdropped, a.attnotnull), '' ORDER BY a.attnum), '')
        || coalesce((SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
                     WHERE k.conrelid = {name}::regclass AND k.contype = 'p'), '')
    FROM pg_attribute a WHERE a.attrelid = {name}::regclass AND a.attnum > 0)"""

_SERVER = """
    (SELECT system_identifier::text FROM pg_control_system()),
    (SELECT coalesce(string_agg(format('%s %s %L %s', oid, enumtypid, enumlabel, enumsortorder),
                                ',' ORDER BY oid), '') FROM pg_enum)"""
"""A dump that is restored elsewhere starts counting anew; a label of an enum changes without its rows."""

_NOW = sql.SQL("pg_snapshot_xmax(pg_current_snapshot())::text::bigint")

_RECORDED = """
    SELECT DISTINCT ON (target_table) target_table, rows_mark,
           {now} - min(transaction) OVER (PARTITION BY target_table)
    FROM {loads} WHERE target_table = ANY(%s) AND finished_at IS NOT NULL
    ORDER BY target_table, finished_at DESC
"""


def rows_mark(connection: Connection, table: sa.Table) -> str:
    """Returns the mark of a table's rows and of its pending deletes; 64 hex digits.

    It takes about a tenth of a second for a million rows.
    """
    return _marks(connection, _parts_of_rows(table))[0]


def books_mark(connection: Connection, table: sa.Table) -> str:
    """Returns the mark of a table's books, 64 hex digits."""
    return _marks(connection, _parts_of_books(table))[0]


def marks_of(connection: Connection, table: sa.Table) -> tuple[str, str]:
    """Returns the marks of a table's rows and of its books, as of the same moment."""
    rows, books = _marks(connection, _parts_of_rows(table), _parts_of_books(table))
    return rows, books


def are_untouched(
    connection: Connection, tables: Sequence[sa.Table], books_of: Mapping[sa.Table, str] = {}
) -> bool:
    """Tells whether tables are as their latest loads left them.

    Args:
        connection: A connection to the target, where all is asked within one transaction.
        tables: The tables.
        books_of: What the books of some tables must have as their mark.
    """
    query = sql.SQL(_RECORDED).format(loads=sql.Identifier(SCHEMA, loads.name), now=_NOW)
    rows = connection.execute(query, [[table.name for table in tables]]).fetchall()
    recorded = {name: mark for name, mark, since in rows if since in range(TRANSACTIONS)}
    recorded_marks = [*(recorded.get(table.name) for table in tables), *books_of.values()]
    if None in recorded_marks:
        return False
    parts = [*map(_parts_of_rows, tables), *map(_parts_of_books, books_of)]
    return _marks(connection, *parts) == recorded_marks


def is_as_recorded(connection: Connection, table: sa.Table) -> bool:
    """Tells whether a table and its books have the marks that its latest load has recorded."""
    row = connection.execute(
        sql.SQL(
            "SELECT rows_mark, books_mark FROM {} WHERE target_table = %s AND finished_at IS NOT NULL "
            "ORDER BY finished_at DESC LIMIT 1"
        ).format(sql.Identifier(SCHEMA, loads.name)),
        [table.name],
    ).fetchone()
    return row == marks_of(connection, table)


def mark_anew(connection: Connection, table: sa.Table, before: str) -> None:
    """Records the mark of a table's rows after this project changed them outside a load.

    Where somebody else had touched the table before, no record has the mark from before, and none is changed.

    Args:
        connection: A connection within the transaction of the change, which sees one moment.
        table: The table.
        before: Its mark before the change.
    """
    after = rows_mark(connection, table)
    for recorded in (loads, check_results):
        connection.execute(
            sql.SQL(
                "UPDATE {} SET rows_mark = %s WHERE target_table = %s AND rows_mark = %s"
            ).format(sql.Identifier(SCHEMA, recorded.name)),
            [after, table.name, before],
        )


_Parts = list[tuple[sa.Table, str | None]]
"""Tables, and whose rows of them alone count where not all do."""


def _parts_of_rows(table: sa.Table) -> _Parts:
    return [(table, None), (pending_deletes, table.name)]


def _parts_of_books(table: sa.Table) -> _Parts:
    return [(book, table.name) for book in BOOKS]


def _marks(connection: Connection, *marked: _Parts) -> list[str]:
    """Returns the mark of each list of tables."""
    marks = sql.SQL(", ").join([_mark(connection, parts) for parts in marked])
    row = connection.execute(sql.SQL("SELECT {}").format(marks)).fetchone()
    assert row is not None
    return [str(mark) for mark in row]


def _mark(connection: Connection, parts: _Parts) -> sql.Composed:
    """Returns the SQL expression of the mark of tables."""
    expressions: list[sql.Composable] = [sql.SQL(_SERVER)]
    for table, owner in parts:
        name = sql.Identifier(table.schema or "public", table.name)
        literal = sql.Literal(name.as_string(connection))
        # A rewritten table gets another mark. Tables share the books, so a rewrite of them does not count.
        filenode = "0" if owner else "pg_relation_filenode({})"
        expressions.append(
            sql.SQL(_RELATION).format(name=literal, filenode=sql.SQL(filenode).format(literal))
        )
        of_owner = sql.SQL("WHERE r.target_table = {}").format(owner) if owner else sql.SQL("")
        expressions.append(sql.SQL(_ROWS).format(table=name, of_owner=of_owner))
    return sql.SQL("encode(sha256(convert_to(concat_ws(E'\\n', {}), 'UTF8')), 'hex')").format(
        sql.SQL(", ").join(expressions)
    )
