"""Relations: whether staged rows refer to rows that were loaded is asked of PostgreSQL, for all at once.

Documents are converted as if whatever they refer to were there. Before they are merged, joins find those of
which that is not so, or which have a unique value twice. These are read again and converted the exact way,
which may look ids up, and take the place of what was staged of them: rows, books and counts.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString

import numpy as np
import polars as pl
import sqlalchemy as sa
from psycopg import ServerCursor, sql

from migration_assets.conversion.batches import columns_of_keys
from migration_assets.errors import LoadError
from migration_assets.identity import UUID_BYTES, hex_uuids, object_id, source_id, source_uuid
from migration_assets.loading import digests
from migration_assets.loading.digests import DigestedBatch
from migration_assets.loading.encoding import binary
from migration_assets.loading.jobs import Conversion, converted_by
from migration_assets.loading.lookup import documents_of, rows_of
from migration_assets.loading.staging import (
    BOOKS,
    Staging,
    books_table,
    copy_binary,
    rows_table,
    staged_batch,
)
from migration_assets.model import Rule, Side, junction_of, model_of, sources, unique_keys
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

_DOUBLED: LiteralString = """
    SELECT s.id FROM {staged} s WHERE ({of_row}) IN
    (SELECT {key} FROM {staged} GROUP BY {key} HAVING count(*) > 1)
"""
_ELEMENTS: LiteralString = "(SELECT r.id, e.element FROM {} r CROSS JOIN unnest(r.{}) e(element))"

_Reference = tuple[sql.Composable, sql.Composable]
"""What refers, in terms of a row ``s``, and the query of the ids that there are."""

_CLAIMED: LiteralString = (
    "SELECT s.id FROM {staged} s WHERE ({of_row}) IN (SELECT {key} FROM {claimed})"
)


def are_there_any(connection: Connection, queries: Sequence[sql.Composed]) -> bool:
    """Tells whether queries find anything: mostly they do not, and then there is no more to be done.

    All is counted: for an answer that the first row would give, PostgreSQL plans as if it came at once.
    """
    every = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT 1 FROM ({}) d").format(query) for query in queries
    )
    return bool(count_rows(connection, sql.SQL("({}) q").format(every)))


def rejected_documents(target: sa.Table) -> sql.Composed:
    """Returns the query of the source ids of documents that could be read and were rejected."""
    query = "SELECT source_id FROM {} WHERE target_table = {} AND field IS NOT NULL"
    return sql.SQL(query).format(books_table(bookkeeping.rejected_documents.name), target.name)


def orphaned_rows(target: sa.Table) -> list[sql.Composed]:
    """Returns queries of the ids of staged rows that refer to what was not loaded."""
    lone: list[_Reference] = []
    queries: list[sql.Composed] = []
    staged, tables = rows_table(target), model_of(target).tables
    for column, source in sources(target).items():
        if source.references is None:
            continue
        is_text = source.rule in (Rule.REFERENCE_TEXT, Rule.REFERENCE_TEXT_ARRAY)
        known = documents_of(source.references) if is_text else rows_of(tables[source.references])
        value: LiteralString = "nullif(s.{}, '')::uuid" if is_text else "s.{}"
        name = sql.Identifier(column)
        if source.rule in (Rule.REFERENCE, Rule.REFERENCE_TEXT):
            lone.append((sql.SQL(value).format(name), known))
            continue
        element = sql.SQL(value).format(sql.Identifier("element"))
        elements = sql.SQL(_ELEMENTS).format(staged, name)
        queries.append(_not_joined(elements, "id", [(element, known)]))
    return [*queries, _not_joined(staged, "id", lone)] if lone else queries


def orphaned_pairs(target: sa.Table) -> sql.Composed:
    """Returns the query of staged pairs of which a side was not loaded; their union is staged."""
    relation = junction_of(target)
    assert relation is not None
    return _not_loaded(target, rows_table(target), (relation.left, relation.right))


def holders_of_orphans(staging: Staging, sides: tuple[Side, str, Side], side: int) -> sql.Composed:
    """Returns the query of the ids of documents whose array has pairs that cannot be loaded."""
    holder, _, other = sides
    of_side = sql.SQL("(SELECT * FROM {} WHERE side = {})").format(
        staging.batches_table, sql.Literal(side)
    )
    return _not_loaded(staging.target, of_side, (holder, other))


def doubled_values(target: sa.Table) -> list[sql.Composed]:
    """Returns queries of the ids of staged rows that have a unique value which others have, too."""
    return [
        sql.SQL(_DOUBLED).format(staged=rows_table(target), **of_key(key))
        for key in unique_keys(target)
    ]


def of_key(key: Sequence[str]) -> Mapping[str, sql.Composed]:
    """Returns the columns of a unique key by themselves, and of a row ``s``, for a query."""
    return {
        "key": sql.SQL(", ").join(map(sql.Identifier, key)),
        "of_row": sql.SQL(", ").join(sql.Identifier("s", name) for name in key),
    }


def _not_loaded(target: sa.Table, pairs: sql.Composable, sides: tuple[Side, Side]) -> sql.Composed:
    """Returns the query of the ids on the first side of pairs of which a side was not loaded."""
    tables = model_of(target).tables
    references: list[_Reference] = [
        (sql.Identifier("s", side.column), rows_of(tables[side.collection])) for side in sides
    ]
    return _not_joined(pairs, sides[0].column, references)


def _not_joined(
    staged: sql.Composable, column: str, references: Sequence[_Reference]
) -> sql.Composed:
    """Returns the query of a column of the rows of which one reference at least finds nothing."""
    joins = [
        sql.SQL("LEFT JOIN ({known}) {alias} ON {alias}.id = {value}").format(
            known=known, alias=sql.Identifier(f"k{number}"), value=value
        )
        for number, (value, known) in enumerate(references)
    ]
    missing = [
        sql.SQL("({} IS NOT NULL AND {}.id IS NULL)").format(value, sql.Identifier(f"k{number}"))
        for number, (value, _) in enumerate(references)
    ]
    return sql.SQL("SELECT s.{} FROM {} s {} WHERE {}").format(
        sql.Identifier(column), staged, sql.SQL(" ").join(joins), sql.SQL(" OR ").join(missing)
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """Documents of a collection that are staged, of which some are converted again.

    Attributes:
        source: The source database.
        staging: Where the documents are staged, all of them.
        collection: The collection.
        queries: Queries of the ids of those that are to be converted again.
        remove: Removes from staging the rows of the documents that ``doubtful`` in ``pg_temp`` holds.
        before: How they were converted.
        exactly: How they are converted again.
        array: The field that was converted of them, None where all were.
        fields: The fields to read, None for all.
        unique_values: Returns what documents have in columns that must be unique; None where none must.
        is_recorded: Whether it is recorded which documents were read.
    """

    source: SourceDatabase
    staging: Staging
    collection: str
    queries: Sequence[sql.Composed]
    remove: sql.Composed
    before: Conversion
    exactly: Conversion
    array: str | None = None
    fields: Mapping[str, int] | None = None
    unique_values: Callable[[bytes], pl.DataFrame] | None = None
    is_recorded: bool = False

    @property
    def _connection(self) -> Connection:
        return self.staging.connection

    def convert_again(self) -> None:
        """Converts the documents again whose relations are not as was assumed.

        The caller holds the merging transaction.

        Raises:
            LoadError: Such a document is no longer there.
        """
        create = "CREATE TEMPORARY TABLE doubtful (id uuid PRIMARY KEY) ON COMMIT DROP"
        self._connection.execute(create)
        for query in self.queries:
            self._doubt(query)
        if self.array is None:
            self._doubt_rejected()
        if count_rows(self._connection, _DOUBTFUL):
            self._replace()
        self._connection.execute("DROP TABLE doubtful")

    def _replace(self) -> None:
        if self.unique_values is not None:
            self._doubt_claimed(self.unique_values)
        self._connection.execute(self.remove)
        self._make_room()
        always: set[bytes] = set()
        for data in self._read_again():
            always |= self._convert_again(data)
        self._replace_books()
        if always:
            digests.convert_always(self._connection, self.staging.load_id, always)

    def _doubt(self, query: sql.Composable) -> None:
        insert = sql.SQL("INSERT INTO {} {} ON CONFLICT DO NOTHING")
        self._connection.execute(insert.format(_DOUBTFUL, query))

    def _doubt_rejected(self) -> None:
        """Notes the documents that were rejected: the reason names all that they would have lost."""
        with ServerCursor(self._connection, "rejected") as cursor:
            cursor.execute(rejected_documents(self.staging.target))
            while page := cursor.fetchmany(_AT_ONCE):
                ids = [source_uuid(self.collection, source_id_text) for (source_id_text,) in page]
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
        self._connection.execute(sql.SQL(create).format(**names))
        into = sql.SQL("{claimed} ({columns})").format(**names)
        for data in self._read_again():
            copy_binary(self._connection, into, binary([unique_values(data)], columns))
        for key in unique_keys(target):
            self._doubt(sql.SQL(_CLAIMED).format(**names, **of_key(key)))

    def _read_again(self) -> Iterator[bytes]:
        """Yields the documents as BSON, those with unique values in the order of `_id`.

        Raises:
            LoadError: One is no longer there.
        """
        is_ordered = self.unique_values is not None
        others = "SELECT FROM {} WHERE substr(id::text, 15, 1) <> '7' LIMIT 1"
        has_others = self._connection.execute(sql.SQL(others).format(_DOUBTFUL)).fetchone()
        batches = self._picked() if is_ordered or has_others is not None else self._asked_for()
        missing = count_rows(self._connection, _DOUBTFUL)
        for data in batches:
            missing -= len(document_bounds(data)) - 1
            yield data
        if missing:
            raise LoadError(
                f"{missing} documents that it had read are no longer there",
                where=f"collection {self.collection}",
                next_step="Materialize the table again",
                is_transient=True,
            )

    def _asked_for(self) -> Iterator[bytes]:
        """Yields documents by their `_id`, which are ObjectIds."""
        query = sql.SQL("SELECT id FROM {} WHERE id > %s ORDER BY id LIMIT %s").format(_DOUBTFUL)
        last = uuid.UUID(int=0)
        parts = collections_of(self.source, self.collection).values()
        while page := self._connection.execute(query, [last, _AT_ONCE]).fetchall():
            last = page[-1][0]
            these = Range(ids=tuple(object_id(row_id) for (row_id,) in page))
            for part in parts:
                yield from these.batches(part, projection=self.fields)

    def _picked(self) -> Iterator[bytes]:
        """Yields documents out of all, in the order of `_id`."""
        query = sql.SQL("SELECT id FROM {} WHERE id = ANY(%s)").format(_DOUBTFUL)
        collection = self.collection
        for data in raw_batches(self.source[collection], projection=self.fields):
            documents = DigestedBatch(collection, data)
            ids = [uuid.UUID(key) for key in hex_uuids(documents.keys)]
            doubtful_ids = {id_ for (id_,) in self._connection.execute(query, [ids])}
            if doubtful_ids:
                rows = [row for row, id_ in enumerate(ids) if id_ in doubtful_ids]
                yield documents.only(np.array(rows, dtype=np.int64))

    def _convert_again(self, data: bytes) -> set[bytes]:
        """Stages what documents are exactly; returns the ids of those that every load is to convert."""
        collection = self.collection
        before = converted_by(self.before, collection, data)
        exactly = converted_by(self.exactly, collection, data)
        counts = Counter(exactly.books.conversions)
        counts.subtract(before.books.conversions)
        counts = Counter({conversion: count for conversion, count in counts.items() if count})
        books = replace(exactly.books, conversions=counts)
        lines = staged_batch(self.staging.target, collection, exactly.rows, books)
        self.staging.write(lines, into=_room)
        identifiers = [source_id(identifier(document)) for document in split(data)]
        self._connection.execute(
            sql.SQL("INSERT INTO {} SELECT unnest(%s::text[])").format(_AGAIN), [identifiers]
        )
        if not self.is_recorded:
            return set()
        keys = DigestedBatch(collection, data).keys
        return {keys[at * UUID_BYTES : (at + 1) * UUID_BYTES] for at in exactly.traced}

    def _make_room(self) -> None:
        statements: list[sql.Composable] = [
            sql.SQL("CREATE TEMPORARY TABLE converted_again (source_id text) ON COMMIT DROP")
        ]
        statements += [
            sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP").format(
                _room(name), books_table(name)
            )
            for name in BOOKS
        ]
        self._connection.execute(sql.SQL("; ").join(statements))

    def _replace_books(self) -> None:
        """Puts the new lines of the documents in the place of the old ones in the staged books."""
        owner = sql.SQL("b.target_table = {} AND b.collection = {}").format(
            self.staging.target.name, self.collection
        )
        if self.array is not None:
            owner = sql.SQL("{} AND b.field = {}").format(owner, self.array)
        statements: list[sql.Composable] = [sql.SQL("ANALYZE {}").format(_AGAIN)]
        for name, book in BOOKS.items():
            names = set(book.columns.keys())
            if "source_id" in names and (self.array is None or "field" in names):
                statements.append(
                    sql.SQL(
                        "DELETE FROM {} b USING {} a WHERE b.source_id = a.source_id AND {}"
                    ).format(books_table(name), _AGAIN, owner)
                )
            insert = sql.SQL("INSERT INTO {0} SELECT * FROM {1}; DROP TABLE {1}")
            statements.append(insert.format(books_table(name), _room(name)))
        statements.append(sql.SQL("DROP TABLE {}").format(_AGAIN))
        self._connection.execute(sql.SQL("; ").join(statements))


def _room(book: str) -> sql.Identifier:
    """Returns the table that holds new lines of the books until the old ones are gone."""
    return sql.Identifier("pg_temp", f"exact.{book}")
