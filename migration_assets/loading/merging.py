"""The merging transaction: a table and its books become what is staged, or nothing changes.

New rows are inserted, rows that differ are updated, rows whose document is gone are deleted, all others
are left alone. A row that another table still refers to is not deleted yet: it is noted in
``migration.pending_deletes``, later loads do not take references to it, and it goes when nobody refers to
it any more (``delete_pending``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

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

_KEY_TO_TAKE_OFF = """
    SELECT k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k
    WHERE k.conrelid = {target}::regclass AND k.contype = 'p'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_constraint'::regclass
                      AND d.refobjid = k.oid AND d.deptype <> 'i')
      AND NOT EXISTS (SELECT FROM pg_constraint r WHERE r.confrelid = k.conrelid)
      AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                      WHERE i.indexrelid = k.conindid AND (i.indisclustered OR i.indisreplident
                      OR c.reloptions IS NOT NULL OR c.reltablespace <> 0))
      AND obj_description(k.oid, 'pg_constraint') IS NULL
      AND pg_relation_size({staged}::regclass) > 1000000
"""


_NOBODYS = sql.SQL("gen_random_uuid()::text")
"""A unique value for the time being. The id of a row would not do: it may be another row's value."""


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
    names = {"target": identifier(target), "staged": rows_table(target)}
    filled = _fill(connection, **names)
    if filled is not None:
        # None is left to wait; the table may have been emptied by hand since.
        merged = Merged(filled, 0, 0, 0, 0, moved=_release_all(connection, target))
    else:
        # Rows are joined by their key: of other columns, which take most of the time, nothing is asked.
        keys = sql.SQL(", ").join(sql.Identifier(column.name) for column in target.primary_key)
        connection.execute(sql.SQL("ANALYZE {staged} ({keys})").format(keys=keys, **names))
        gone = _delete_gone(connection, target, to_look_at)
        updated = _update(connection, target)
        inserted = _insert_new(connection, target)
        unchanged = count_rows(connection, names["target"]) - inserted - updated - gone.pending
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
        pending = sql.SQL("SELECT id FROM {} WHERE target_table = {}").format(
            identifier(bookkeeping.pending_deletes), sql.Literal(name)
        )
        connection.execute(
            sql.SQL("CREATE TEMPORARY TABLE gone ON COMMIT DROP AS {}").format(pending)
        )
        referring = {
            f"{table.name}.{column}": count
            for table, column, query in _references_to(target)
            if (count := _scalar(connection, sql.SQL("SELECT count(*) FROM ({}) r").format(query)))
        }
        if referring:
            where = ", ".join(f"{column} ({count})" for column, count in referring.items())
            raise LoadError(
                f"rows whose document is gone from the source are still referred to by {where}",
                where=f"table {name}",
                next_step="Materialize the tables that refer to them, then this again",
            )
        deleted += _execute(
            connection,
            "DELETE FROM {target} t USING gone g WHERE t.id = g.id",
            target=identifier(target),
        )
        _release_all(connection, target)
        connection.execute("DROP TABLE gone")
        mark_anew(connection, target, before)
    return deleted


def _delete_gone(
    connection: Connection, target: sa.Table, to_look_at: Iterable[bytes] | None
) -> Merged:
    """Deletes rows that are not staged; returns how many, and how many wait for references."""
    among = sql.SQL("TRUE")
    if to_look_at is not None:
        _list_keys(connection, to_look_at)
        among = sql.SQL("t.id IN (SELECT l.id FROM looked_at l)")
    names = {
        "among": among,
        "target": identifier(target),
        "staged": rows_table(target),
        "same": _same([column.name for column in target.primary_key]),
        "pending": identifier(bookkeeping.pending_deletes),
        "owner": sql.Literal(target.name),
    }
    references = [query for *_, query in _references_to(target)]
    if not references:
        gone = (
            "DELETE FROM {target} t WHERE {among} "
            "AND NOT EXISTS (SELECT FROM {staged} s WHERE {same})"
        )
        deleted = _execute(connection, gone, **names)
        # A mark that somebody made: no row of this table ever waits.
        return Merged(0, 0, deleted, 0, 0, moved=_release_all(connection, target))
    are_gone = _execute(
        connection,
        "CREATE TEMPORARY TABLE gone ON COMMIT DROP AS SELECT t.id FROM {target} t "
        "WHERE {among} AND NOT EXISTS (SELECT FROM {staged} s WHERE {same})",
        **names,
    )
    if not are_gone:
        return Merged(0, 0, 0, 0, 0, moved=_release_all(connection, target))
    _execute(
        connection,
        "CREATE TEMPORARY TABLE referred ON COMMIT DROP AS {queries}",
        queries=sql.SQL(" UNION ").join(references),
    )
    released = _execute(
        connection,
        "DELETE FROM {pending} p WHERE target_table = {owner} "
        "AND NOT EXISTS (SELECT FROM referred r WHERE r.id = p.id)",
        **names,
    )
    added = _execute(
        connection,
        "INSERT INTO {pending} (target_table, id) SELECT {owner}, r.id FROM referred r "
        "ON CONFLICT DO NOTHING",
        **names,
    )
    deleted = _execute(
        connection,
        "DELETE FROM {target} t USING gone g WHERE t.id = g.id "
        "AND NOT EXISTS (SELECT FROM referred r WHERE r.id = t.id)",
        **names,
    )
    for key in unique_keys(target):
        # A document that is there may have the value of one that is gone.
        _execute(
            connection,
            "UPDATE {target} t SET {column} = {nobodys} FROM referred r "
            "WHERE t.id = r.id AND ({of_target}) IN (SELECT {of_staged} FROM {staged} s)",
            column=_nobodys_column(target, key),
            of_target=_columns("t", key),
            of_staged=_columns("s", key),
            nobodys=_NOBODYS,
            **names,
        )
    kept = count_rows(connection, sql.Identifier("referred"))
    return Merged(0, 0, deleted, 0, kept, moved=released + added)


def _release_all(connection: Connection, target: sa.Table) -> int:
    """Forgets which rows of a table wait for their deletion; returns how many did."""
    pending = identifier(bookkeeping.pending_deletes)
    delete = "DELETE FROM {pending} WHERE target_table = {owner}"
    return _execute(connection, delete, pending=pending, owner=sql.Literal(target.name))


def _list_keys(connection: Connection, keys: Iterable[bytes]) -> None:
    """Makes a table of UUIDs for the rest of the transaction."""
    connection.execute("CREATE TEMPORARY TABLE looked_at (id uuid) ON COMMIT DROP")
    for some in keys:  # each is asked for between two COPYs
        with connection.cursor() as cursor, cursor.copy("COPY looked_at FROM STDIN") as copy:
            copy.write("".join(f"{each}\n" for each in hex_uuids(some)))
    connection.execute("ANALYZE looked_at")


def _references_to(target: sa.Table) -> Iterator[tuple[sa.Table, str, sql.Composed]]:
    """Yields (table, column, query of the gone ids that it refers to) for each reference."""
    if target.metadata is bookkeeping.BOOKKEEPING:
        return
    for table in model_of(target).tables.values():
        for column, is_array in _referring_columns(table, target.name):
            value = sql.SQL("unnest(r.{})" if is_array else "r.{}").format(sql.Identifier(column))
            query = sql.SQL("SELECT g.id FROM gone g WHERE g.id IN (SELECT {} FROM {} r)").format(
                value, identifier(table)
            )
            yield table, column, query


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
    keys = {column.name for column in target.primary_key}
    values = [column for column in target.columns if column.name not in keys]
    if not values:
        return 0
    differs = sql.SQL("({}) IS DISTINCT FROM ({})").format(
        sql.SQL(", ").join(_comparable("t", column) for column in values),
        sql.SQL(", ").join(_comparable("s", column) for column in values),
    )
    names = {
        "target": identifier(target),
        "staged": rows_table(target),
        "same": _same(sorted(keys)),
        "differs": differs,
    }
    for key in unique_keys(target):
        # Two rows may have swapped their values: no order of updates keeps them unique, so each
        # value that changes first becomes one that nobody has.
        connection.execute(
            sql.SQL(
                "UPDATE {target} t SET {column} = {nobodys} FROM {staged} s "
                "WHERE {same} AND ({of_target}) IS DISTINCT FROM ({of_staged})"
            ).format(
                column=_nobodys_column(target, key),
                of_target=_columns("t", key),
                of_staged=_columns("s", key),
                nobodys=_NOBODYS,
                **names,
            )
        )
    return _execute(
        connection,
        "UPDATE {target} t SET {assigned} FROM {staged} s WHERE {same} AND {differs}",
        assigned=sql.SQL(", ").join(
            sql.SQL("{0} = s.{0}").format(sql.Identifier(column.name)) for column in values
        ),
        **names,
    )


def _columns(alias: str, names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in names)


def _nobodys_column(target: sa.Table, key: Sequence[str]) -> sql.Identifier:
    """Returns the column of a unique key that takes a text which nobody has; the model has checked it."""
    return sql.Identifier(next(name for name in key if is_text(target.columns[name])))


def _insert_new(connection: Connection, target: sa.Table) -> int:
    keys = [column.name for column in target.primary_key]
    return _execute(
        connection,
        "INSERT INTO {target} SELECT s.* FROM {staged} s "
        "WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same})",
        target=identifier(target),
        staged=rows_table(target),
        same=_same(keys),
    )


def _replace_books(connection: Connection, target: sa.Table) -> None:
    """Replaces the books of a table by the staged ones."""
    owner = sql.Literal(target.name)
    statements = []
    for name, book in BOOKS.items():
        columns = [column.name for column in book.columns]
        summed = "count" in columns
        keys = sql.SQL(", ").join(sql.Identifier(each) for each in columns if each != "count")
        chosen = (
            sql.SQL(
                "SELECT {0}, sum(count) FROM {1} WHERE target_table = {2} GROUP BY {0} "
                "HAVING sum(count) <> 0"
            )
            if summed
            else sql.SQL("SELECT {0} FROM {1} WHERE target_table = {2}")
        ).format(keys, books_table(name), owner)
        statements += [
            sql.SQL("DELETE FROM {} WHERE target_table = {}").format(identifier(book), owner),
            sql.SQL("INSERT INTO {} {}").format(identifier(book), chosen),
        ]
    connection.execute(sql.SQL("; ").join(statements))


def _comparable(alias: str, column: sa.Column[object]) -> sql.Composed:
    """Returns a column so that IS DISTINCT FROM sees every difference.

    As jsonb, 1.0 equals 1; as text, which is what the application reads, it does not.
    """
    name = sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(column.name))
    return sql.SQL("{}::text").format(name) if isinstance(column.type, pg.JSONB) else name


def _same(keys: list[str]) -> sql.Composed:
    return sql.SQL(" AND ").join(
        sql.SQL("t.{0} = s.{0}").format(sql.Identifier(key)) for key in keys
    )


def _fill(connection: Connection, target: sql.Identifier, staged: sql.Identifier) -> int | None:
    """Brings what is staged to a table without rows; returns how many those are, None where it has some."""
    rows = become(connection, staged, target)
    if rows is None and _is_empty(connection, target):
        with _key_built_after(connection, target, staged):
            insert = "INSERT INTO {target} SELECT * FROM {staged}"
            rows = _execute(connection, insert, target=target, staged=staged)
    return rows


@contextmanager
def _key_built_after(
    connection: Connection, target: sql.Identifier, staged: sql.Identifier
) -> Iterator[None]:
    """Takes the primary key off an empty table while many rows are inserted, unless somebody refers to it.

    To sort them once takes less than half of what it takes to find the place of each.
    """
    query = sql.SQL(_KEY_TO_TAKE_OFF).format(
        target=sql.Literal(target.as_string()), staged=sql.Literal(staged.as_string())
    )
    key = connection.execute(query).fetchone()
    if key is None:
        yield
        return
    name, definition = sql.Identifier(key[0]), sql.SQL(key[1])
    connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(target, name))
    yield
    connection.execute(
        sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(target, name, definition)
    )


def _is_empty(connection: Connection, table: sql.Identifier) -> bool:
    return not _scalar(
        connection, sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT 1) t").format(table)
    )


def _scalar(connection: Connection, query: sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row is not None else 0


def _execute(connection: Connection, statement: str, **names: sql.Composable) -> int:
    """Executes a statement and returns how many rows it touched."""
    template = sql.SQL(statement)
    return connection.execute(template.format(**names)).rowcount
