"""The rows of a table as PostgreSQL writes them: frames of text, read over the connection of the check.

A UUID, a time or an array has one text, so what is the same text is the same value; only JSON can be written
in several ways (``comparison``). Formats: https://www.postgresql.org/docs/current/sql-copy.html.
"""

from __future__ import annotations

import io
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import sqlalchemy as sa
from psycopg import ServerCursor, sql

from migration_assets.model import Rule
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.validation.expected import SOURCE_ID
from migration_assets.validation.rules import RULES

IDS_PER_PAGE = 50_000
ROWS_PER_VALUE = 1_000_000
"""Rows whose packed bytes are one value: some hundredth of what one may hold."""
BYTES_PER_CHUNK = 16 * 2**20
"""What is held of a table that is read as a whole."""
_BESIDE = 50
"""Rows beside those of its documents that a batch may read, before it asks for these by their ids."""
_SETTINGS = (
    "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off; SET LOCAL datestyle = 'ISO'; "
    "SET LOCAL enable_nestloop = off"
)
"""PostgreSQL takes a range of UUIDs for one row where its statistics have them all in one bucket, a hundredth
of the table. It would then go through the range of the one table for each row in that of the other.
"""
_PENDING_DELETES = sql.Identifier(SCHEMA, bookkeeping.pending_deletes.name)


@contextmanager
def snapshot(connection: Connection, moment: str | None = None) -> Iterator[None]:
    """Reads within it see the target as it is now, and cannot change it.

    Args:
        connection: A connection in autocommit mode. In a transaction of its own already, that decides.
        moment: The moment that another process has exported; now where None.
    """
    with at_one_moment(connection, read_only=True, moment=moment):
        connection.execute(_SETTINGS)
        yield


def table_name(table: sa.Table) -> sql.Identifier:
    """Returns a table's name for SQL, with its schema."""
    return sql.Identifier(table.schema or "public", table.name)


def frames(
    connection: Connection, table: sa.Table, query: sql.Composed, columns: Sequence[str]
) -> Iterator[pl.DataFrame]:
    """Yields what a query of a table returns as text, so many bytes at a time.

    PostgreSQL sends each row in a message of its own: that is what counts them, whatever is in them.

    Raises:
        ValueError: They were not read as so many rows.
    """
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(query)
    # A row is copied at once: to hold the driver's buffers until the chunk is full takes twice the time.
    chunk, rows, size = io.BytesIO(), 0, 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in copy:
            rows += 1
            size += chunk.write(row)
            if size >= BYTES_PER_CHUNK:
                yield _frame(table, chunk, rows, columns)
                chunk, rows, size = io.BytesIO(), 0, 0
    if rows:
        yield _frame(table, chunk, rows, columns)


def _frame(table: sa.Table, chunk: io.BytesIO, rows: int, columns: Sequence[str]) -> pl.DataFrame:
    frame = pl.read_csv(chunk.getvalue(), has_header=False, new_columns=columns, infer_schema=False)
    if frame.height != rows:
        raise ValueError(f"{rows} rows of {table.name} were read as {frame.height}")
    return frame


def pending(compared_table: ComparedTable, identifier: str | None = None) -> bool:
    """Tells whether a row of a table only waits for its deletion; any where no id is given."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE target_table = {} AND {})").format(
        _PENDING_DELETES,
        sql.Literal(compared_table.table.name),
        sql.SQL("TRUE")
        if identifier is None
        else sql.SQL("id = {}").format(sql.Literal(uuid.UUID(identifier))),
    )
    ((is_pending,),) = compared_table.query(query)
    return bool(is_pending)


def ids_in_pages(connection: Connection, table: sa.Table) -> Iterator[list[uuid.UUID]]:
    """Yields the ids of the rows that do not wait for their deletion, so many at once."""
    query = sql.SQL(
        "SELECT t.id::uuid FROM {} t WHERE NOT EXISTS (SELECT FROM {} p "
        "WHERE p.target_table = {} AND p.id = t.id) ORDER BY t.id"
    ).format(table_name(table), _PENDING_DELETES, sql.Literal(table.name))
    with ServerCursor(connection, "ids") as cursor:
        cursor.execute(query)
        while page := cursor.fetchmany(IDS_PER_PAGE):
            yield [row_id for (row_id,) in page]


def packed(connection: Connection, query: sql.Composed, expression: sql.Composed) -> bytes:
    """Returns what an expression gives for each row of a query, in no order, sent as few values.

    PostgreSQL holds at most 1 GB in one value, so there is one for each million rows.

    Args:
        connection: A connection to the target.
        query: The rows.
        expression: What to send of each, as ``bytea``; NULL is left out.
    """
    statement = sql.SQL(
        "SELECT string_agg(part, ''::bytea) FROM "
        "(SELECT {} AS part, (row_number() OVER () - 1) / {} AS number FROM ({}) q) p GROUP BY number"
    ).format(expression, sql.Literal(ROWS_PER_VALUE), query)
    with connection.cursor() as cursor:
        parts = cursor.stream(statement, binary=True)
        return b"".join([part for (part,) in parts if part is not None])


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """A table and what it is compared with.

    Attributes:
        source: The source database.
        connection: A connection to the target, within a transaction.
        table: An entity table or a junction table.
        remediations: What must have been corrected or accepted on the way.
        using: Held by the thread that uses the connection: one reads ahead, another looks things up.
    """

    source: SourceDatabase
    connection: Connection
    table: sa.Table
    remediations: Remediations
    using: threading.Lock = field(default_factory=threading.Lock)

    def query(
        self, statement: sql.Composed, parameters: Sequence[Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Returns what a query of the target returns."""
        with self.using:
            return self.connection.execute(statement, parameters or None).fetchall()


@dataclass(frozen=True, slots=True)
class RowsOfDocuments:
    """The rows of documents, read a batch at a time.

    Attributes:
        connection: A connection to the target, within ``snapshot``.
        table: The entity table.
        rules: The columns to read besides the key, each with the rule of its field.
    """

    connection: Connection
    table: sa.Table
    rules: Mapping[str, Rule]

    @property
    def columns(self) -> list[str]:
        """The columns of the frames: ``id``, the source id that the UUID map gives it, and the others."""
        return ["id", SOURCE_ID, *self.rules]

    def of(self, ids: Sequence[str], *, are_in_order: bool = False) -> pl.DataFrame:
        """Returns the rows that have some ids, no two with one id, and perhaps some more.

        Args:
            ids: The ids, at least one.
            are_in_order: Whether they are those of ObjectIds in `_id` order, which is theirs, too. Then
                their rows are a range of ids, which PostgreSQL reads in two thirds of the time. Where far
                more rows stand in it, they are asked for one by one all the same.
        """
        most = len(ids) + _BESIDE
        if are_in_order:
            first, last = (sql.Literal(uuid.UUID(ids[at])) for at in (0, -1))
            rows = self._read(sql.SQL("id >= {} AND id <= {}").format(first, last), most)
        if not are_in_order or rows.height == most:
            listed = sql.Literal(f"{{{','.join(ids)}}}")
            rows = self._read(sql.SQL("id = ANY({}::uuid[])").format(listed), 2 * len(ids))
        is_first = rows["id"].is_first_distinct()
        return rows if is_first.all() else rows.filter(is_first)

    def _read(self, chosen: sql.Composed, most: int) -> pl.DataFrame:
        """Returns the rows, so many at most, whose ``id`` meets a condition.

        Both tables are read by the same condition: to look up one entry of the map for each row takes
        five times as long.
        """
        values = sql.SQL("").join(
            sql.SQL(", t.{}{}").format(
                sql.Identifier(name),
                sql.SQL(f"::{RULES[rule].read_as}" if RULES[rule].read_as else ""),
            )
            for name, rule in self.rules.items()
        )
        query = sql.SQL(
            "SELECT t.id, m.source_id{values} FROM "
            "(SELECT * FROM {table} WHERE {chosen} LIMIT {most}) t LEFT JOIN "
            "(SELECT id, source_id FROM {map} WHERE collection = {collection} AND {chosen}) m USING (id)"
        ).format(
            values=values,
            table=table_name(self.table),
            chosen=chosen,
            most=sql.Literal(most),
            map=sql.Identifier(SCHEMA, bookkeeping.uuid_map.name),
            collection=sql.Literal(self.table.name),
        )
        empty = pl.DataFrame(schema=dict.fromkeys(self.columns, pl.String))
        return pl.concat([empty, *frames(self.connection, self.table, query, self.columns)])
