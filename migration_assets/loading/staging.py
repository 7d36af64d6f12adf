"""Staging: what a load has read, converted and committed so far.

The tables in the schema ``migration_staging`` hold the rows of each load, named after the target table, and
the books of all loads. The rows of a range and its line in the ledger commit together.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.conversion.batches import Books
from migration_assets.loading.encoding import binary
from migration_assets.loading.first_load import create_staged
from migration_assets.model import junction_of
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import STAGING_SCHEMA, staged_name
from migration_assets.target.connection import Connection, count_rows
from migration_assets.target.schema import require_plain_tables
from migration_assets.target.sql import identifier

_SIDE = sa.Column("side", sa.SmallInteger())
"""Which of the two arrays a pair came from: 0 left, 1 right."""
BOOKS: Mapping[str, sa.Table] = {book.name: book for book in bookkeeping.BOOKS}


def rows_table(target: sa.Table) -> sql.Identifier:
    """Returns the staging table that holds the rows for a target table."""
    return sql.Identifier(STAGING_SCHEMA, target.name)


def sides_table(target: sa.Table) -> sql.Identifier:
    """Returns the staging table that holds the pairs of a junction table before their union."""
    return sql.Identifier(STAGING_SCHEMA, f"{target.name}.sides")


def books_table(book: str) -> sql.Identifier:
    """Returns the staging table for one kind of books, of all target tables."""
    return sql.Identifier(STAGING_SCHEMA, staged_name(book))


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines for one staging table, as COPY reads them."""

    count: int
    data: bytes


ROWS = "rows"


def staged_batch(
    target: sa.Table, collection: str, rows: pl.DataFrame, books: Books
) -> dict[str, Lines]:
    """Returns the lines of a batch for each staging table; rows have the columns of theirs in their order."""
    frames = {**({ROWS: rows} if len(rows) else {}), **_book_frames(target.name, collection, books)}
    return {
        name: Lines(frame.height, b"".join(binary([frame], _columns(target, name))))
        for name, frame in frames.items()
    }


@dataclass(frozen=True, slots=True)
class Staging:
    """The staging tables of one load.

    Attributes:
        connection: A connection in autocommit mode.
        target: The table that is loaded.
        load_id: The load, as the ledger knows it.
    """

    connection: Connection
    target: sa.Table
    load_id: uuid.UUID

    @property
    def batches_table(self) -> sql.Identifier:
        """The staging table that the rows of each batch go to."""
        is_of_pairs = junction_of(self.target) is not None
        return sides_table(self.target) if is_of_pairs else rows_table(self.target)

    def make_ready(self) -> None:
        """Creates the staging table for the rows anew, and empties the staged books of the target.

        Raises:
            TargetError: Something on the table would change the rows.
        """
        require_plain_tables(self.connection, [self.target])
        self.drop()
        if junction_of(self.target) is None:
            create_staged(self.connection, self.batches_table, identifier(self.target))
            return
        create = "CREATE UNLOGGED TABLE {} (LIKE {}, {} smallint) WITH (autovacuum_enabled = false)"
        names = self.batches_table, identifier(self.target), sql.Identifier(_SIDE.name)
        self.connection.execute(sql.SQL(create).format(*names))

    def drop(self) -> None:
        """Removes what is staged for the target, all at once."""
        drops = [
            sql.SQL("DROP TABLE IF EXISTS {}").format(staged)
            for staged in (rows_table(self.target), sides_table(self.target))
        ]
        owned = [sql.SQL("DELETE {}").format(owned_object) for owned_object in self._owned()]
        quietly = sql.SQL("SET LOCAL client_min_messages = warning")
        self.connection.execute(sql.SQL("; ").join([quietly, *drops, *owned]))

    def write(
        self, batch: Mapping[str, Lines], *, into: Callable[[str], sql.Identifier] = books_table
    ) -> int:
        """Writes the lines of a batch, by the name of their staging table; returns how many there are.

        The caller holds the transaction of its range, and may have the books of a kind go elsewhere.
        """
        for name, lines in batch.items():
            # By name: the target's tables may have their columns in another order.
            columns = [sql.Identifier(column.name) for column in _columns(self.target, name)]
            table = self.batches_table if name == ROWS else into(name)
            named = sql.SQL("{} ({})").format(table, sql.SQL(", ").join(columns))
            copy_binary(self.connection, named, [lines.data])
        return sum(lines.count for lines in batch.values())

    def lines(self) -> int:
        """Returns how many lines are staged; -1 where the staging table is gone."""
        staged = self.batches_table
        row = self.connection.execute("SELECT to_regclass(%s)", [staged.as_string()]).fetchone()
        if row == (None,):
            return -1
        lines = [sql.SQL("FROM {}").format(staged), *self._owned()]
        every = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT {}").format(line) for line in lines)
        return count_rows(self.connection, sql.SQL("({}) lines").format(every))

    def _owned(self) -> Iterator[sql.Composed]:
        """Yields from where the staged books of the target are to be taken, for a statement."""
        for name in BOOKS:
            yield sql.SQL("FROM {} WHERE target_table = {}").format(
                books_table(name), sql.Literal(self.target.name)
            )


def copy_binary(connection: Connection, into: sql.Composable, pieces: Iterable[bytes]) -> None:
    """Writes what :func:`binary` made to a table, which is named with its columns."""
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(into)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)


def _columns(target: sa.Table, name: str) -> list[sa.Column[Any]]:
    """Returns the columns of the staging table for the rows, or for one kind of books."""
    if name != ROWS:
        return [*BOOKS[name].columns]
    return [*target.columns, *([] if junction_of(target) is None else [_SIDE])]


def _book_frames(target: str, collection: str, books: Books) -> Mapping[str, pl.DataFrame]:
    """Returns the lines of each kind of books that has any, with the columns of its table in their order."""
    owner = {"target_table": target, "collection": collection}
    lines: dict[str, list[dict[str, object]]] = {
        bookkeeping.rejected_documents.name: [asdict(line) for line in books.rejected],
        bookkeeping.issues.name: [asdict(line) for line in books.issues],
        bookkeeping.conversions.name: [
            {"field": name, "kind": kind, "reason": reason, "count": count}
            for (name, kind, reason), count in books.conversions.items()
        ],
        bookkeeping.unmapped_fields.name: [
            {"source_id": source_id, "fields": unknown} for source_id, unknown in books.unmapped
        ],
        bookkeeping.remediations.name: [asdict(line) for line in books.remediations],
    }
    return {
        name: pl.DataFrame(
            [owner | line for line in lines_of_book],
            schema={column.name: _dtype(column) for column in BOOKS[name].columns},
        )
        for name, lines_of_book in lines.items()
        if lines_of_book
    }


def _dtype(column: sa.Column[object]) -> pl.DataType:
    return pl.Int64() if isinstance(column.type, sa.Integer) else pl.String()
