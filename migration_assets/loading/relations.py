"""Relations: whether staged rows refer to rows that were loaded is asked of PostgreSQL, for all at once.

Documents are converted as if whatever they refer to were there. Before they are merged, joins find those of
which that is not so, or which have a unique value twice. These are read again and converted the exact way,
which may look ids up, and take the place of what was staged of them: rows, books and counts.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

import numpy as np
import polars as pl
from psycopg import ServerCursor, sql

from migration_assets.conversion.batches import columns_of_keys
from migration_assets.errors import LoadError
from migration_assets.identity import UUID_BYTES, hex_uuids, object_id, source_id, source_uuid
from migration_assets.loading import digests
from migration_assets.loading.digests import DigestedBatch
from migration_assets.loading.doubts import of_key
from migration_assets.loading.encoding import binary
from migration_assets.loading.jobs import Conversion, converted_by
from migration_assets.loading.records import Tally
from migration_assets.loading.staging import (
    BOOKS,
    ROWS,
    Lines,
    Staging,
    books_table,
    rows_table,
    staged_batch,
)
from migration_assets.model import Side, unique_keys
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.ranges import Range
from migration_assets.source.reading import document_bounds, identifier, raw_batches, split
from migration_assets.source.united import collections_of
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection, count_rows

_DOUBTFUL = sql.Identifier("pg_temp", "doubtful")
"""The ids of the documents that are converted again."""
_AGAIN = sql.Identifier("pg_temp", "converted_again")
"""Their `_id`s, as the books have them."""
_AT_ONCE = 5_000
"""How many documents are asked for in one query; so many ObjectIds are 100 kB."""

_CLAIMED: LiteralString = (
    "SELECT s.id FROM {staged} s WHERE ({of_row}) IN (SELECT {key} FROM {claimed})"
)


@dataclass(frozen=True, slots=True)
class Staged:
    """Documents of a collection as they were staged.

    Attributes:
        collection: The collection.
        doubtful: Queries of the ids of those that are to be converted again.
        remove: Removes from staging the rows of the documents that ``doubtful`` in ``pg_temp`` holds.
        before: How they were converted.
        exactly: How they are converted again.
        array: The field that was converted of them, None where all were.
        fields: The fields to read, None for all.
        unique_values: Returns what documents have in columns that must be unique; None where none must.
        is_recorded: Whether it is recorded which documents were read.
    """

    collection: str
    doubtful: Sequence[sql.Composed]
    remove: sql.Composed
    before: Conversion
    exactly: Conversion
    array: str | None = None
    fields: Mapping[str, int] | None = None
    unique_values: Callable[[bytes], pl.DataFrame] | None = None
    is_recorded: bool = False


def relate(source: SourceDatabase, staging: Staging, tally: Tally, staged: Staged) -> None:
    """Converts the documents again whose relations are not as was assumed.

    The caller holds the merging transaction.

    Args:
        source: The source database.
        staging: Where the documents are staged, all of them.
        tally: What was counted of them, which is corrected.
        staged: The documents.

    Raises:
        LoadError: Such a document is no longer there.
    """
    staging.connection.execute(
        "CREATE TEMPORARY TABLE doubtful (id uuid PRIMARY KEY) ON COMMIT DROP"
    )
    _Relating(source, staging, tally, staged).run()
    staging.connection.execute(sql.SQL("DROP TABLE {}").format(_DOUBTFUL))


def removed_rows(staging: Staging) -> sql.Composed:
    """Returns what removes the rows of documents that are converted again."""
    return sql.SQL("DELETE FROM {} s USING {} d WHERE s.id = d.id").format(
        staging.batches_table, _DOUBTFUL
    )


def removed_pairs(staging: Staging, holder: Side, side: int) -> sql.Composed:
    """Returns what removes the pairs of documents on one side that are converted again."""
    return sql.SQL("DELETE FROM {} s USING {} d WHERE s.{} = d.id AND s.side = {}").format(
        staging.batches_table, _DOUBTFUL, sql.Identifier(holder.column), sql.Literal(side)
    )


@dataclass(frozen=True, slots=True)
class _Relating:
    source: SourceDatabase
    staging: Staging
    tally: Tally
    staged: Staged

    @property
    def connection(self) -> Connection:
        return self.staging.connection

    def run(self) -> None:
        for query in self.staged.doubtful:
            self._doubt(query)
        if self.staged.array is None:
            self._doubt_rejected()
        if not count_rows(self.connection, _DOUBTFUL):
            return
        if self.staged.unique_values is not None:
            self._doubt_claimed(self.staged.unique_values)
        self.connection.execute(self.staged.remove)
        self._make_room()
        always: set[bytes] = set()
        for data in self._read_again():
            always |= self._convert_again(data)
        self._replace_books()
        if always:
            digests.convert_always(self.connection, self.staging.load_id, always)

    def _doubt(self, query: sql.Composable) -> None:
        insert = sql.SQL("INSERT INTO {} {} ON CONFLICT DO NOTHING")
        self.connection.execute(insert.format(_DOUBTFUL, query))

    def _doubt_rejected(self) -> None:
        """Notes the documents that were rejected: the reason names all that they would have lost."""
        query = sql.SQL(
            "SELECT source_id FROM {} WHERE target_table = %s AND collection = %s AND field IS NOT NULL"
        ).format(books_table(bookkeeping.rejected_documents.name))
        collection = self.staged.collection
        with ServerCursor(self.connection, "rejected") as cursor:
            cursor.execute(query, [self.staging.target.name, collection])
            while found := cursor.fetchmany(_AT_ONCE):
                ids = [source_uuid(collection, each) for (each,) in found]
                self._doubt(sql.SQL("SELECT unnest({}::uuid[])").format(sql.Literal(ids)))

    def _doubt_claimed(self, unique_values: Callable[[bytes], pl.DataFrame]) -> None:
        """Notes the rows that have a unique value of a document which is converted again, be it rejected."""
        target = self.staging.target
        columns = [target.columns[name] for name in columns_of_keys(target)]
        names = {
            "claimed": sql.Identifier("pg_temp", "claimed"),
            "columns": sql.SQL(", ").join(sql.Identifier(column.name) for column in columns),
            "staged": rows_table(target),
        }
        create = "CREATE TEMPORARY TABLE claimed ON COMMIT DROP AS SELECT {columns} FROM {staged} LIMIT 0"
        self.connection.execute(sql.SQL(create).format(**names))
        into = sql.SQL("{claimed} ({columns})").format(**names)
        for data in self._read_again():
            _copy(self.connection, into, binary([unique_values(data)], columns))
        for key in unique_keys(target):
            self._doubt(sql.SQL(_CLAIMED).format(**names, **of_key(key)))

    def _read_again(self) -> Iterator[bytes]:
        """Yields the documents as BSON, those with unique values in the order of `_id`.

        Raises:
            LoadError: One is no longer there.
        """
        is_ordered = self.staged.unique_values is not None
        others = "SELECT FROM {} WHERE substr(id::text, 15, 1) <> '7' LIMIT 1"
        has_others = self.connection.execute(sql.SQL(others).format(_DOUBTFUL)).fetchone()
        batches = self._picked() if is_ordered or has_others is not None else self._asked_for()
        missing = count_rows(self.connection, _DOUBTFUL)
        for data in batches:
            missing -= len(document_bounds(data)) - 1
            yield data
        if missing:
            raise LoadError(
                f"{missing} documents that it had read are no longer there",
                where=f"collection {self.staged.collection}",
                next_step="Materialize it again",
                is_transient=True,
            )

    def _asked_for(self) -> Iterator[bytes]:
        """Yields documents by their `_id`, which are ObjectIds."""
        query = sql.SQL("SELECT id FROM {} WHERE id > %s ORDER BY id LIMIT %s").format(_DOUBTFUL)
        last = uuid.UUID(int=0)
        parts = collections_of(self.source, self.staged.collection).values()
        while found := self.connection.execute(query, [last, _AT_ONCE]).fetchall():
            last = found[-1][0]
            these = Range(ids=tuple(object_id(each) for (each,) in found))
            for part in parts:
                yield from these.batches(part, projection=self.staged.fields)

    def _picked(self) -> Iterator[bytes]:
        """Yields documents out of all, in the order of `_id`."""
        query = sql.SQL("SELECT id FROM {} WHERE id = ANY(%s)").format(_DOUBTFUL)
        collection = self.staged.collection
        for batch in raw_batches(self.source[collection], projection=self.staged.fields):
            documents = DigestedBatch(collection, batch.data)
            ids = [uuid.UUID(each) for each in hex_uuids(documents.keys)]
            found = {id_ for (id_,) in self.connection.execute(query, [ids])}
            if found:
                rows = [row for row, id_ in enumerate(ids) if id_ in found]
                yield documents.only(np.array(rows, dtype=np.int64))

    def _make_room(self) -> None:
        create: list[sql.Composable] = [
            sql.SQL("CREATE TEMPORARY TABLE converted_again (source_id text) ON COMMIT DROP")
        ]
        create += [
            sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP").format(
                sql.Identifier(_room(name)), books_table(name)
            )
            for name in BOOKS
        ]
        self.connection.execute(sql.SQL("; ").join(create))

    def _convert_again(self, data: bytes) -> set[bytes]:
        """Stages what documents are exactly; returns the ids of those that every load is to convert."""
        collection = self.staged.collection
        before = converted_by(self.staged.before, collection, data)
        exactly = converted_by(self.staged.exactly, collection, data)
        self.tally.take_back(Tally.of(before.documents, before.books))
        self.tally.add(Tally.of(exactly.documents, exactly.books))
        counts = Counter(exactly.books.conversions)
        counts.subtract(before.books.conversions)
        counts = Counter({each: count for each, count in counts.items() if count})
        books = replace(exactly.books, conversions=counts)
        lines = staged_batch(self.staging.target, collection, exactly.rows, books)
        for name, each in lines.items():
            into = (
                self.staging.batches_table
                if name == ROWS
                else sql.Identifier("pg_temp", _room(name))
            )
            self._copy_lines(into, name, each)
        identifiers = [source_id(identifier(document)) for document in split(data)]
        self.connection.execute(
            sql.SQL("INSERT INTO {} SELECT unnest(%s::text[])").format(_AGAIN), [identifiers]
        )
        if not self.staged.is_recorded:
            return set()
        keys = DigestedBatch(collection, data).keys
        return {keys[at * UUID_BYTES : (at + 1) * UUID_BYTES] for at in exactly.traced}

    def _copy_lines(self, into: sql.Composable, name: str, lines: Lines) -> None:
        columns = self.staging.columns(name)
        _copy(self.connection, sql.SQL("{} ({})").format(into, columns), [lines.data])

    def _replace_books(self) -> None:
        array = self.staged.array
        owner = sql.SQL("b.target_table = {} AND b.collection = {}").format(
            sql.Literal(self.staging.target.name), sql.Literal(self.staged.collection)
        )
        if array is not None:
            owner = sql.SQL("{} AND b.field = {}").format(owner, sql.Literal(array))
        statements: list[sql.Composable] = [sql.SQL("ANALYZE {}").format(_AGAIN)]
        for name, book in BOOKS.items():
            names = set(book.columns.keys())
            if "source_id" in names and (array is None or "field" in names):
                statements.append(
                    sql.SQL(
                        "DELETE FROM {} b USING {} a WHERE b.source_id = a.source_id AND {}"
                    ).format(books_table(name), _AGAIN, owner)
                )
            room = sql.Identifier("pg_temp", _room(name))
            statements.append(
                sql.SQL("INSERT INTO {} SELECT * FROM {}").format(books_table(name), room)
            )
            statements.append(sql.SQL("DROP TABLE {}").format(room))
        statements.append(sql.SQL("DROP TABLE {}").format(_AGAIN))
        self.connection.execute(sql.SQL("; ").join(statements))


def _room(book: str) -> str:
    """Returns the name of the table that holds new lines until the old ones are gone."""
    return f"exact.{book}"


def _copy(connection: Connection, into: sql.Composable, pieces: Iterable[bytes]) -> None:
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(into)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in pieces:
            copy.write(piece)
