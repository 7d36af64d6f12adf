"""The merging transaction: a table and its books become what is staged, or nothing changes.

New rows are inserted, rows that differ are updated, rows whose document is gone are deleted, all others
are left alone. A row that another table still refers to is not deleted yet: it is noted in
``migration.pending_deletes``, later loads do not take references to it, and it goes when nobody refers to
it any more (``delete_pending``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql as pg

from migration_assets.errors import LoadError
from migration_assets.identity import hex_uuids
from migration_assets.loading.first_load import become
from migration_assets.loading.records import Merged
from migration_assets.loading.staging import BOOKS, books_table, rows_table
from migration_assets.model import (
    Model,
    junction_of,
    model_of,
    sources,
    unique_keys,
)
from migration_assets.model.tables import is_text
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection, count_rows
from migration_assets.target.marks import mark_anew, rows_mark
from migration_assets.target.ownership import require_no_cascade, require_ours
from migration_assets.target.sql import identifier

_GONE = sql.Identifier("pg_temp", "gone")
"""The ids of the rows whose document is gone."""
_REFERRED = sql.Identifier("pg_temp", "referred")
"""Those of them that a row still refers to."""


def merge(
    connection: Connection, target: sa.Table, to_look_at: Iterable[bytes] | None = None
) -> Merged:
    """Brings a table and its books to what is staged. The caller holds the transaction.

    Args:
        connection: A connection within a transaction.
        target: The table, whose staging tables are complete.
        to_look_at: The UUIDs of the rows that are to be as staged or gone, 16 bytes each, some at a time,
            where others that are not staged stay as they are; None where all that is not staged is gone.
    """
    filled = become(connection, rows_table(target), identifier(target))
    if filled is not None:
        # None is left to wait; the table may have been emptied by hand since.
        merged = Merged(filled, 0, 0, 0, 0, moved=_release_all(connection, target))
    else:
        # Rows are joined by their key: of other columns, which take most of the time, nothing is asked.
        keys = _columns([column.name for column in target.primary_key])
        _execute(connection, target, "ANALYZE {staged} ({keys})", keys=keys)
        gone = _delete_gone(connection, target, to_look_at)
        updated = _update(connection, target)
        inserted = _execute(
            connection,
            target,
            "INSERT INTO {target} SELECT s.* FROM {staged} s "
            "WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same})",
        )
        unchanged = count_rows(connection, identifier(target)) - inserted - updated - gone.pending
        merged = replace(gone, inserted=inserted, updated=updated, unchanged=unchanged)
    _replace_books(connection, target)
    return merged


def delete_pending(model: Model, connection: Connection) -> int:
    """Deletes the rows that were kept for references to them, referring tables first.

    The caller holds the transaction, which sees one moment.

    Returns:
        How many rows were deleted.

    Raises:
        LoadError: Rows of another table still refer to one of them, or the table is the application's since
            a signed GO.
    """
    deleted = 0
    waiting = sql.SQL("SELECT DISTINCT target_table FROM {}").format(
        identifier(bookkeeping.pending_deletes)
    )
    names = {name for (name,) in connection.execute(waiting)}
    for name in reversed(list(model.tables)):
        target = model.tables[name]
        if name not in names or junction_of(target) is not None:
            continue
        require_ours(connection, target)
        require_no_cascade(connection, target)
        before = rows_mark(connection, target)
        _execute(
            connection,
            target,
            "CREATE TEMPORARY TABLE gone ON COMMIT DROP AS "
            "SELECT id FROM {pending} WHERE target_table = {owner}",
        )
        referring = {
            f"{table.name}.{column}": count
            for table, column, query in _references_to(target)
            if (count := count_rows(connection, sql.SQL("({}) r").format(query)))
        }
        if referring:
            where = ", ".join(f"{column} ({count})" for column, count in referring.items())
            raise LoadError(
                f"rows whose document is gone from the source are still referred to by {where}",
                where=f"table {name}",
                next_step="Materialize the tables that refer to them, then this again",
            )
        gone = "DELETE FROM {target} t USING {gone} g WHERE t.id = g.id"
        deleted += _execute(connection, target, gone)
        _release_all(connection, target)
        connection.execute("DROP TABLE gone")
        mark_anew(connection, target, before)
    return deleted


def _delete_gone(
    connection: Connection, target: sa.Table, to_look_at: Iterable[bytes] | None
) -> Merged:
    """Deletes rows that are not staged; returns how many, and how many wait for references."""
    among: LiteralString = "TRUE"
    if to_look_at is not None:
        _list_keys(connection, to_look_at)
        among = "t.id IN (SELECT l.id FROM looked_at l)"
    are_gone = sql.SQL(among + " AND NOT EXISTS (SELECT FROM {staged} s WHERE {same})").format(
        **_names(target)
    )
    references = [query for *_, query in _references_to(target)]
    if not references:
        gone = "DELETE FROM {target} t WHERE {are_gone}"
        deleted = _execute(connection, target, gone, are_gone=are_gone)
        # A mark that somebody made: no row of this table ever waits.
        return Merged(0, 0, deleted, 0, 0, moved=_release_all(connection, target))
    create = (
        "CREATE TEMPORARY TABLE gone ON COMMIT DROP AS SELECT t.id FROM {target} t WHERE {are_gone}"
    )
    if not _execute(connection, target, create, are_gone=are_gone):
        return Merged(0, 0, 0, 0, 0, moved=_release_all(connection, target))
    create = "CREATE TEMPORARY TABLE referred ON COMMIT DROP AS {queries}"
    _execute(connection, target, create, queries=sql.SQL(" UNION ").join(references))
    released = _execute(
        connection,
        target,
        "DELETE FROM {pending} p WHERE target_table = {owner} "
        "AND NOT EXISTS (SELECT FROM {referred} r WHERE r.id = p.id)",
    )
    added = _execute(
        connection,
        target,
        "INSERT INTO {pending} (target_table, id) SELECT {owner}, r.id FROM {referred} r "
        "ON CONFLICT DO NOTHING",
    )
    deleted = _execute(
        connection,
        target,
        "DELETE FROM {target} t USING {gone} g WHERE t.id = g.id "
        "AND NOT EXISTS (SELECT FROM {referred} r WHERE r.id = t.id)",
    )
    # A document that is there may have the value of one that is gone.
    _give_up_values(
        connection,
        target,
        "FROM {referred} r WHERE t.id = r.id AND ({of_target}) IN (SELECT {of_staged} FROM {staged} s)",
    )
    kept = count_rows(connection, _REFERRED)
    return Merged(0, 0, deleted, 0, kept, moved=released + added)


def _release_all(connection: Connection, target: sa.Table) -> int:
    """Forgets which rows of a table wait for their deletion; returns how many did."""
    return _execute(connection, target, "DELETE FROM {pending} WHERE target_table = {owner}")


def _list_keys(connection: Connection, keys: Iterable[bytes]) -> None:
    """Makes a table of UUIDs for the rest of the transaction."""
    connection.execute("CREATE TEMPORARY TABLE looked_at (id uuid) ON COMMIT DROP")
    for some in keys:  # each is asked for between two COPYs
        with connection.cursor() as cursor, cursor.copy("COPY looked_at FROM STDIN") as copy:
            copy.write("".join(f"{key}\n" for key in hex_uuids(some)))
    connection.execute("ANALYZE looked_at")


def _references_to(target: sa.Table) -> Iterator[tuple[sa.Table, str, sql.Composed]]:
    """Yields (table, column, query of the gone ids that it refers to) for each reference."""
    if target.metadata is bookkeeping.BOOKKEEPING:
        return
    for table in model_of(target).tables.values():
        for column, is_array in _referring_columns(table, target.name):
            value = sql.SQL("unnest(r.{})" if is_array else "r.{}").format(sql.Identifier(column))
            query = sql.SQL("SELECT g.id FROM {} g WHERE g.id IN (SELECT {} FROM {} r)")
            yield table, column, query.format(_GONE, value, identifier(table))


def _referring_columns(table: sa.Table, target: str) -> Iterator[tuple[str, bool]]:
    relation = junction_of(table)
    if relation is not None:
        for side in (relation.left, relation.right):
            if side.collection == target:
                yield side.column, False
        return
    for column, source in sources(table).items():
        if source.references == target and source.rule.refers_to_rows:
            yield column, source.rule.is_array


def _update(connection: Connection, target: sa.Table) -> int:
    """Updates the rows that differ; returns how many."""
    values = [column for column in target.columns if not column.primary_key]
    if not values:
        return 0
    # Two rows may have swapped their values: no order of updates keeps them unique, so each value that
    # changes first becomes one that nobody has.
    _give_up_values(
        connection,
        target,
        "FROM {staged} s WHERE {same} AND ({of_target}) IS DISTINCT FROM ({of_staged})",
    )
    return _execute(
        connection,
        target,
        "UPDATE {target} t SET {assigned} FROM {staged} s "
        "WHERE {same} AND ({of_target}) IS DISTINCT FROM ({of_staged})",
        assigned=sql.SQL(", ").join(
            sql.SQL("{0} = s.{0}").format(sql.Identifier(column.name)) for column in values
        ),
        of_target=sql.SQL(", ").join(_comparable("t", column) for column in values),
        of_staged=sql.SQL(", ").join(_comparable("s", column) for column in values),
    )


def _give_up_values(connection: Connection, target: sa.Table, rows: LiteralString) -> None:
    """Gives some rows ``t`` unique values for the time being that nobody has.

    The id of a row would not do: it may be another row's value.
    """
    for key in unique_keys(target):
        chosen = sql.SQL(rows).format(
            of_target=_columns(key, "t"), of_staged=_columns(key, "s"), **_names(target)
        )
        # It takes a text; the model has checked it.
        column = sql.Identifier(next(name for name in key if is_text(target.columns[name])))
        update = "UPDATE {target} t SET {column} = gen_random_uuid()::text {chosen}"
        _execute(connection, target, update, column=column, chosen=chosen)


def _replace_books(connection: Connection, target: sa.Table) -> None:
    """Replaces the books of a table by the staged ones."""
    for name, book in BOOKS.items():
        names = {
            "lines": books_table(name),
            "columns": _columns([column.name for column in book.columns if column.name != "count"]),
            "owner": sql.Literal(target.name),
        }
        chosen: LiteralString = "SELECT {columns} FROM {lines} WHERE target_table = {owner}"
        if "count" in book.columns:
            chosen = (
                "SELECT {columns}, sum(count) FROM {lines} WHERE target_table = {owner} "
                "GROUP BY {columns} HAVING sum(count) <> 0"
            )
        _execute(
            connection,
            target,
            "DELETE FROM {book} WHERE target_table = {owner}; INSERT INTO {book} {chosen}",
            book=identifier(book),
            chosen=sql.SQL(chosen).format(**names),
        )


def _comparable(alias: str, column: sa.Column[object]) -> sql.Composed:
    """Returns a column so that IS DISTINCT FROM sees every difference.

    As jsonb, 1.0 equals 1; as text, which is what the application reads, it does not.
    """
    name = sql.SQL("{}").format(sql.Identifier(alias, column.name))
    return sql.SQL("{}::text").format(name) if isinstance(column.type, pg.JSONB) else name


def _columns(names: Sequence[str], *alias: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*alias, name) for name in names)


def _execute(
    connection: Connection, target: sa.Table, statement: LiteralString, **names: sql.Composable
) -> int:
    """Executes a statement about a table and returns how many rows it touched."""
    return connection.execute(sql.SQL(statement).format(**_names(target), **names)).rowcount


def _names(target: sa.Table) -> dict[str, sql.Composable]:
    """Returns what statements about a table name: itself as ``t``, and what is staged as ``s``."""
    return {
        "target": identifier(target),
        "staged": rows_table(target),
        "same": sql.SQL(" AND ").join(
            sql.SQL("t.{0} = s.{0}").format(sql.Identifier(column.name))
            for column in target.primary_key
        ),
        "pending": identifier(bookkeeping.pending_deletes),
        "owner": sql.Literal(target.name),
        "gone": _GONE,
        "referred": _REFERRED,
    }
