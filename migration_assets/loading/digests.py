"""Which documents a load has read: what tells the next one which of them are others.

Of each document there are its UUID, by which its row is found, and a digest of its bytes. A document that
left a line in the books has no digest: it is converted by every load, since its lines are. Decision 0011
says why a document that has the digest of the last load need not be converted again.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql

from migration_assets.arrow import Mask
from migration_assets.identity import (
    OBJECT_ID_BYTES,
    UUID_BYTES,
    document_uuid,
    object_id_uuids,
)
from migration_assets.source.reading import document_bounds, identifier
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.uuid_set import UuidSet

DIGEST_BYTES = UUID_BYTES
"""As many as :class:`UuidSet` holds; two documents have the same by chance once in 2^128."""

_NONE = bytes(DIGEST_BYTES)
"""Stands for the digest of a document that left a trace in the books; no document has it."""
_new_digest = hashlib.sha256().copy
"""A new one is a copy of one: to take options again costs as much as the digest of a short document."""
_OBJECT_ID_FIRST = np.frombuffer(b"\x07_id\x00", dtype=np.uint8)
_TABLE = sql.Identifier(bookkeeping.SCHEMA, bookkeeping.document_digests.name)

Digests = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Record:
    """What is recorded of the documents of a batch.

    Attributes:
        keys: Their UUIDs, 16 bytes each, one after the other.
        digests: Their digests likewise, zeros for those that are converted by every load.
    """

    keys: bytes
    digests: bytes


class DigestedBatch:
    """The documents of a batch, each with its digest."""

    def __init__(self, collection: str, data: bytes) -> None:
        """Takes documents of a collection as BSON, one after the other."""
        self._collection, self._data = collection, data
        bounds = document_bounds(data)
        self.digests = b"".join([_digest(data[at:end]) for at, end in pairwise(bounds)])
        self._bounds = np.array(bounds, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def only(self, rows: npt.NDArray[np.int64]) -> bytes:
        """Returns some of the documents as BSON, one after the other."""
        if len(rows) == len(self):
            return self._data
        view = memoryview(self._data)
        starts, ends = self._bounds[rows].tolist(), self._bounds[rows + 1].tolist()
        return b"".join([view[start:end] for start, end in zip(starts, ends, strict=True)])

    def record(self, traced: Iterable[int]) -> Record:
        """Returns what is recorded of the documents, given those that left a trace in the books."""
        digests = np.frombuffer(self.digests, dtype=f"V{DIGEST_BYTES}").copy()
        digests[list(traced)] = np.void(_NONE)
        return Record(self.keys, digests.tobytes())

    @cached_property
    def keys(self) -> bytes:
        """The UUIDs of the documents, 16 bytes each."""
        content = np.frombuffer(self._data, dtype=np.uint8)
        starts = self._bounds[:-1, None]
        at_id = starts + np.arange(4, 4 + len(_OBJECT_ID_FIRST))
        if len(self) and (content[at_id] == _OBJECT_ID_FIRST).all():
            return object_id_uuids(content[starts + np.arange(9, 9 + OBJECT_ID_BYTES)].tobytes())
        documents = (self.only(np.array([row])) for row in range(len(self)))
        return b"".join(
            document_uuid(self._collection, identifier(each)).bytes for each in documents
        )


class Known:
    """The documents that the last load of a table has read and that need not be converted again."""

    def __init__(self, digests: bytes) -> None:
        """Takes digests, 16 bytes each; those of zeros alone stand for no document."""
        given = _each(digests)
        self._digests = UuidSet(given[_are_some(given)].tobytes())

    def has_each(self, digests: bytes) -> Mask:
        """Tells of digests, 16 bytes each, which of them are of a document that is known."""
        return self._digests.contain_each(digests)


def known(connection: Connection, load_id: uuid.UUID) -> Known:
    """Returns the documents that a load has read and that need not be converted again."""
    return Known(_column(connection, "digests", load_id))


def write(connection: Connection, target: str, load_id: uuid.UUID, number: int, of: Record) -> None:
    """Records the documents of a batch. The caller holds the transaction that stages it."""
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (load_id, number, target_table, keys, digests) VALUES (%b, %b, %b, %b, %b)"
        ).format(_TABLE),
        [load_id, number, target, of.keys, of.digests],
    )


def base_of(connection: Connection, table: sa.Table, documents: int) -> uuid.UUID | None:
    """Returns the load that recorded the documents that the latest finished one of a table read.

    Args:
        connection: A connection to the target.
        table: The table.
        documents: How many those were.

    Returns:
        None where that is not recorded of all of them.
    """
    query = sql.SQL(
        "SELECT load_id, sum(length(keys)) FROM {} d WHERE target_table = %s "
        "AND EXISTS (SELECT FROM {} l WHERE l.id = d.load_id AND l.finished_at IS NOT NULL) "
        "GROUP BY load_id"
    ).format(_TABLE, sql.Identifier(bookkeeping.SCHEMA, bookkeeping.loads.name))
    found = connection.execute(query, [table.name]).fetchall()
    if len(found) != 1 or found[0][1] != documents * UUID_BYTES:
        return None
    base: uuid.UUID = found[0][0]
    return base


def keys_to_look_at(connection: Connection, load_id: uuid.UUID, base: uuid.UUID) -> bytes:
    """Returns the UUIDs of the documents of an earlier load that a load does not leave as they were.

    They are gone, have changed, or left a trace in the books.
    """
    digests = _column(connection, "digests", base)
    are_left = Known(_column(connection, "digests", load_id)).has_each(digests)
    return _each(_column(connection, "keys", base))[~are_left].tobytes()


def forget_others(connection: Connection, table: sa.Table, load_id: uuid.UUID) -> None:
    """Removes what other loads of a table have recorded."""
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE target_table = %s AND load_id <> %s").format(_TABLE),
        [table.name, load_id],
    )


def _column(connection: Connection, name: str, load_id: uuid.UUID) -> bytes:
    query = sql.SQL("SELECT {} FROM {} WHERE load_id = %s ORDER BY number").format(
        sql.Identifier(name), _TABLE
    )
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        return b"".join(part for (part,) in cursor.execute(query, [load_id]))


def _digest(document: bytes) -> bytes:
    digest = _new_digest()
    digest.update(document)
    return digest.digest()[:DIGEST_BYTES]


def _each(packed: bytes) -> Digests:
    return np.frombuffer(packed, dtype=f"V{DIGEST_BYTES}")


def _are_some(digests: Digests) -> Mask:
    halves = digests.view(np.uint64).reshape(-1, 2)
    are_some: Mask = (halves != 0).any(axis=1)
    return are_some
