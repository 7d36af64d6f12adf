"""What the judge reads of both databases: documents in `_id` order, rows by id, types that are odd.

Nothing here is shared with the loader but the cursor (``source.replies``), so that what one of them does not
see, the other does. Documents that the cursor lost are missed by MongoDB's own counts.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import Rule
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.replies import raw_replies
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.uuid_set import UuidSet
from migration_assets.validation import binary_copy
from migration_assets.validation.bson_places import Documents
from migration_assets.validation.bson_reader import OBJECT_ID, TYPE_NAMES
from migration_assets.validation.identities import identifier_of, source_id_of, uuid_of
from migration_assets.validation.plain_rows import object_id_uuids

DOCUMENTS_PER_BATCH = 2_000
IDS_PER_PAGE = 50_000
_BESIDE = 50
"""Rows beside those of its documents that a batch may read, before it asks for these by their ids."""
_WORK_MEMORY = "64MB"

Item = TypeVar("Item")

_ARRAY, _MISSING = "array", "missing"
_PENDING_DELETES = sql.Identifier(SCHEMA, bookkeeping.pending_deletes.name)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields items, the next of which a thread fetches while one is worked on; None ends them."""
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge") as reader:
        waiting = reader.submit(next, iterator, None)
        while (item := waiting.result()) is not None:
            waiting = reader.submit(next, iterator, None)
            yield item


_TYPES: Mapping[Rule, str] = {
    Rule.KEY: "uuid",
    Rule.TEXT: "text",
    Rule.INTEGER: "integer",
    Rule.BIGINT: "bigint",
    Rule.BOOLEAN: "boolean",
    Rule.TIMESTAMP: "timestamp",
    Rule.JSON: "jsonb",
    Rule.TEXT_ARRAY: "text[]",
    Rule.REFERENCE: "uuid",
    Rule.REFERENCE_ARRAY: "uuid[]",
    Rule.REFERENCE_TEXT: "text",
    Rule.REFERENCE_TEXT_ARRAY: "text[]",
}
"""What a column is read as, so that a wrong type with the right values is for the layer ``types`` to find.

A timestamp is read without its precision: a digit beyond the millisecond must show.
"""

_JOINS = "SET LOCAL enable_nestloop = off"
"""PostgreSQL takes a range of UUIDs for one row where its statistics have them all in one bucket, a hundredth
of the table. It would then go through the range of the one table for each row in that of the other.
"""


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Reads within it see the target as it is now, and cannot change it.

    Args:
        connection: A connection in autocommit mode. In a transaction of its own already, that decides.
    """
    with at_one_moment(connection, read_only=True):
        connection.execute(
            sql.SQL("SET LOCAL work_mem = {}; SET LOCAL jit = off").format(
                sql.Literal(_WORK_MEMORY)
            )
        )
        yield


def table_name(table: sa.Table) -> sql.Identifier:
    """Returns a table's name for SQL, with its schema."""
    return sql.Identifier(table.schema or "public", table.name)


def batches(
    database: SourceDatabase, collection: str, *, fields: Sequence[str] | None = None
) -> Iterator[Documents]:
    """Yields the documents of a collection in `_id` order.

    Args:
        database: The source.
        collection: The collection; one that does not exist has no documents.
        fields: The fields to read besides `_id`; all where None.
    """
    cursor: Any = raw_replies(
        database[collection],
        projection=None if fields is None else {"_id": 1, **dict.fromkeys(fields, 1)},
        sort=[("_id", 1)],
        batch_size=DOCUMENTS_PER_BATCH,
    )
    with cursor:
        for data in ahead(cursor):
            if data:
                yield Documents.of(data)


def odd_types(
    database: SourceDatabase, collection: str, usual: Mapping[str, AbstractSet[str]]
) -> Mapping[tuple[str, str], int]:
    """Returns how many values of other types than the usual ones the server counts, by field and type.

    Nearly all documents have none, which the server sees in half the time that it takes to count all types.

    Args:
        database: The source.
        collection: The collection.
        usual: The usual BSON types of each field that is looked at.
    """
    names = sorted(usual)
    has_odd = {"$or": [_is_odd(name, usual[name]) for name in names]}
    each = {
        f"f{number}": [{"$group": {"_id": {"$type": f"${name}"}, "n": {"$sum": 1}}}]
        for number, name in enumerate(names)
    }
    (found,) = database[collection].aggregate([{"$match": has_odd}, {"$facet": each}])
    return {
        (name, line["_id"]): line["n"]
        for number, name in enumerate(names)
        for line in found[f"f{number}"]
        if line["_id"] not in {*usual[name], _MISSING}
    }


def _is_odd(name: str, usual: AbstractSet[str]) -> dict[str, Any]:
    """Returns the condition that a field has a value of another type."""
    if _ARRAY in usual:
        return {name: {"$exists": True, "$not": {"$type": sorted(usual)}}}
    # An array is of the types of its elements, too, so it takes all the others to find one.
    return {name: {"$type": sorted({*TYPE_NAMES.values()} - usual)}}


def document_ids(database: SourceDatabase, collection: str) -> UuidSet:
    """Returns the UUIDs of all documents of a collection, 16 bytes each; read where something is at fault."""
    return UuidSet(
        b"".join(
            key
            for documents in batches(database, collection, fields=())
            for key in Identities.of(collection, documents).keys
        )
    )


@dataclass(frozen=True, slots=True)
class Identities:
    """Who documents are (section 4).

    Attributes:
        keys: The UUID of each.
        object_ids: The ObjectId of each, None where its `_id` is none.
        others: The source ids of the others, by number.
    """

    keys: list[bytes]
    object_ids: list[bytes | None]
    others: Mapping[int, str]

    @classmethod
    def of(cls, collection: str, documents: Documents) -> Identities:
        """Returns who documents are."""
        object_ids = documents.object_ids()
        others: dict[int, str] = {}
        other_keys: dict[int, bytes] = {}
        for number, object_id in enumerate(object_ids):
            if object_id is None:  # or it does not stand first
                identifier = identifier_of(documents[number])
                if identifier[0] == OBJECT_ID:
                    object_ids[number] = identifier[1]
                else:
                    others[number] = source_id_of(identifier)
                    other_keys[number] = uuid_of(collection, identifier)
        uuids = iter(object_id_uuids([each for each in object_ids if each is not None]))
        keys = [
            other_keys[number] if object_id is None else next(uuids)
            for number, object_id in enumerate(object_ids)
        ]
        return cls(keys, object_ids, others)

    def own(self) -> list[bytes]:
        """Returns the UUIDs of ObjectIds."""
        return [
            key for key, name in zip(self.keys, self.object_ids, strict=True) if name is not None
        ]

    def names(self) -> list[str]:
        """Returns the source ids."""
        return [
            self.others[number] if name is None else name.hex()
            for number, name in enumerate(self.object_ids)
        ]

    def last(self) -> str | None:
        """Returns the greatest ObjectId as 24 hex digits."""
        found = max(filter(None, self.object_ids), default=None)
        return None if found is None else found.hex()


def ids_in_pages(connection: Connection, table: sa.Table) -> Iterator[bytes]:
    """Yields the ids of the rows that do not wait for their deletion, so many at once, 16 bytes each."""
    last = uuid.UUID(int=0)
    while True:
        page = sql.SQL(
            "SELECT t.id FROM {} t WHERE t.id > {} AND NOT EXISTS (SELECT FROM {} p "
            "WHERE p.target_table = {} AND p.id = t.id) ORDER BY t.id LIMIT {}"
        ).format(
            table_name(table),
            sql.Literal(last),
            _PENDING_DELETES,
            sql.Literal(table.name),
            sql.Literal(IDS_PER_PAGE),
        )
        ids = binary_copy.ids(connection, page)
        if not ids:
            return
        yield ids
        last = uuid.UUID(bytes=max(divided(ids)))


def divided(ids: bytes) -> list[bytes]:
    """Returns UUIDs that stand one after the other, each by itself."""
    found: list[bytes] = np.frombuffer(ids, dtype=binary_copy.UUID_DTYPE).tolist()
    return found


def pending(connection: Connection, table: str, identifier: bytes | None = None) -> bool:
    """Tells whether a row of a table only waits for its deletion; any where no id is given."""
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE target_table = {} AND {})").format(
        _PENDING_DELETES,
        sql.Literal(table),
        sql.SQL("TRUE") if identifier is None else sql.SQL("id = {}").format(literal(identifier)),
    )
    row = connection.execute(query).fetchone()
    return bool(row and row[0])


@dataclass(slots=True)
class RowsInStep:
    """Rows by the UUID that they begin with, read in step with documents in `_id` order.

    ObjectIds and their UUIDs sort alike, so the rows of a batch of documents are a range of ids. Where far
    more rows stand in it than the documents have, and for other ids, they are asked for by their ids.

    A row is the id, the source id that the UUID map gives it, and the columns.

    Attributes:
        connection: A connection to the target, within a transaction.
        table: The entity table.
        columns: The columns to read, each with the rule of its field.
        doubled: Ids of which a second row came.
    """

    connection: Connection
    table: sa.Table
    columns: Mapping[str, Rule]
    doubled: list[bytes] = field(init=False, default_factory=list)
    _last: bytes | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.connection.execute(_JOINS)

    def next(self, own: Sequence[bytes], others: Sequence[bytes]) -> dict[bytes, bytes]:
        """Returns the rows of a batch by id, and perhaps some more.

        Args:
            own: The UUIDs of its ObjectIds.
            others: The UUIDs of its other ids.
        """
        rows: list[bytes] = []
        if own:
            upto, most = max(own), len(own) + _BESIDE
            chosen = sql.SQL("id <= {}").format(literal(upto))
            if self._last is not None:
                chosen += sql.SQL(" AND id > {}").format(literal(self._last))
            rows = self._read(chosen, most)
            self._last = upto
            if len(rows) == most:
                rows = self._of(own)
        # An id of another type may stand within the range of the ObjectIds, and is asked for below.
        apart = frozenset(others)
        rows = [row for row in rows if binary_copy.key(row) not in apart] if apart else rows
        rows += self._of(others)
        found = {binary_copy.key(row): row for row in rows}
        if len(found) < len(rows):
            self.doubled += (Counter(map(binary_copy.key, rows)) - Counter(found.keys())).elements()
        return found

    def of(self, ids: Sequence[bytes]) -> dict[bytes, bytes]:
        """Returns the rows that have some ids."""
        return {binary_copy.key(row): row for row in self._of(ids)}

    def _of(self, ids: Sequence[bytes]) -> list[bytes]:
        if not ids:
            return []
        listed = sql.SQL(", ").join(map(literal, ids))
        return self._read(sql.SQL("id IN ({})").format(listed), 2 * len(ids))

    def _read(self, chosen: sql.Composed, most: int) -> list[bytes]:
        """Returns the rows, so many at most, whose ``id`` meets a condition.

        Both tables are read by the same condition: to look up one entry of the map for each row takes
        five times as long.
        """
        values = sql.SQL("").join(
            sql.SQL(", t.{}{}").format(
                sql.Identifier(name), sql.SQL(f"::{_TYPES[rule]}" if rule in _TYPES else "")
            )
            for name, rule in self.columns.items()
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
        return list(binary_copy.rows(self.connection, query))


def literal(identifier: bytes) -> sql.Literal:
    """Returns a UUID for SQL."""
    return sql.Literal(uuid.UUID(bytes=identifier))
