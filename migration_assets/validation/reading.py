"""What the judge reads of both databases: documents in `_id` order, rows by id, ids, types that are odd.

Nothing here is shared with the loader but the cursor (``source.replies``) and sets of UUIDs, so that what one
of them does not see, the other does. Documents that the cursor lost are missed by MongoDB's own counts;
whether a reference leads to a row, PostgreSQL says itself in the layer ``references``.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import documents_referred_to, referenced_tables
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.replies import raw_replies
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.uuid_set import UuidSet
from migration_assets.validation import binary_copy
from migration_assets.validation.bson_places import Documents
from migration_assets.validation.bson_reader import TYPE_NAMES
from migration_assets.validation.reference import Ids

DOCUMENTS_PER_BATCH = 2_000
FIRST_ID = bytes(binary_copy.UUID_SIZE)

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


def batches(
    database: SourceDatabase, collection: str, *, array: str | None = None
) -> Iterator[Documents]:
    """Yields the documents of a collection in `_id` order.

    Args:
        database: The source.
        collection: The collection; one that does not exist has no documents.
        array: The only field to read besides `_id`; all where None.
    """
    cursor: Any = raw_replies(
        database[collection],
        projection=None if array is None else {array: 1},
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


def ids_for(connection: Connection, table: sa.Table) -> Ids:
    """Returns the ids that the references of a table may point to (section 5)."""
    return Ids(
        rows={name: _row_ids(connection, name) for name in referenced_tables(table)},
        documents={name: _document_ids(connection, name) for name in documents_referred_to(table)},
    )


def pending_ids(connection: Connection, table: str) -> frozenset[bytes]:
    """Returns the ids of rows that only wait for their deletion."""
    query = sql.SQL("SELECT id FROM {} WHERE target_table = {}").format(
        _PENDING_DELETES, sql.Literal(table)
    )
    found = binary_copy.ids(connection, query)
    return frozenset(np.frombuffer(found, dtype=binary_copy.UUID_DTYPE).tolist())


def _row_ids(connection: Connection, table: str) -> UuidSet:
    query = sql.SQL(
        "SELECT t.id FROM {} t WHERE NOT EXISTS "
        "(SELECT FROM {} p WHERE p.target_table = {} AND p.id = t.id)"
    ).format(sql.Identifier(table), _PENDING_DELETES, sql.Literal(table))
    return UuidSet(binary_copy.ids(connection, query))


def _document_ids(connection: Connection, collection: str) -> UuidSet:
    query = sql.SQL("SELECT id FROM {} WHERE collection = {}").format(
        sql.Identifier(SCHEMA, bookkeeping.uuid_map.name), sql.Literal(collection)
    )
    return UuidSet(binary_copy.ids(connection, query))


@dataclass(slots=True)
class RowsInStep:
    """Rows by the UUID that they begin with, read in step with documents in `_id` order.

    ObjectIds and their UUIDs sort alike, so the rows of a batch of documents are a range of ids; ranges
    follow one another, and no row is left out. Other ids are asked for one by one. Rows that no
    document takes are remembered by their id alone.

    Attributes:
        connection: A connection to the target.
        query: Returns what to read, given a condition on ``id``; the first column is the UUID.
        doubled: Ids of which a second row came.
    """

    connection: Connection
    query: Callable[[sql.Composed], sql.Composed]
    doubled: list[bytes] = field(init=False, default_factory=list)
    _last: bytes | None = field(init=False, default=None)
    _unclaimed: set[bytes] = field(init=False, default_factory=set)
    _others: set[bytes] = field(init=False, default_factory=set)

    def next(self, upto: bytes | None, others: Sequence[bytes]) -> dict[bytes, bytes]:
        """Returns the rows of a batch by id, and of whatever else lies between its ids.

        Args:
            upto: The last UUID of an ObjectId in the batch; None where it has none.
            others: The UUIDs of its other ids.
        """
        found: dict[bytes, bytes] = {}
        if upto is not None:
            found = self._rows(self._after() + sql.SQL("id <= {}").format(_literal(upto)))
            self._last = upto
        if others:
            listed = sql.SQL(", ").join(map(_literal, others))
            found |= self._rows(sql.SQL("id IN ({})").format(listed))
            self._others.update(others)
        return found

    def leave(self, identifiers: Iterable[bytes]) -> None:
        """Remembers rows that no document of their batch took."""
        self._unclaimed.update(identifiers)

    def rest(self) -> set[bytes]:
        """Returns the ids of all rows that no document took; call it after the last batch."""
        self.leave(self._rows(self._after() + sql.SQL("TRUE").format()))
        return self._unclaimed - self._others

    def _after(self) -> sql.Composed:
        if self._last is None:
            return sql.Composed([])
        return sql.SQL("id > {} AND ").format(_literal(self._last))

    def _rows(self, chosen: sql.Composed) -> dict[bytes, bytes]:
        rows = list(binary_copy.rows(self.connection, self.query(chosen)))
        found = {binary_copy.key(row): row for row in rows}
        if len(found) < len(rows):
            self.doubled += (Counter(map(binary_copy.key, rows)) - Counter(found.keys())).elements()
        return found


def _literal(identifier: bytes) -> sql.Literal:
    return sql.Literal(uuid.UUID(bytes=identifier))
