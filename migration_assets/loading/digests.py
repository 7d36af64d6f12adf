"""Which documents a load has read: what tells the next one which of them are others.

Of each document there are its UUID, by which its row is found, and a digest of its bytes. A document that
left a line in the books has no digest: it is converted by every load, since its lines are. Decision 0009
says why a document that has the digest of the last load need not be converted again. All of it is looked at
range by range, so memory does not grow with the table.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql

from migration_assets.identity import UUID_BYTES
from migration_assets.source.digests import DIGEST_BYTES, document_digests
from migration_assets.source.reading import document_bounds, document_uuids
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection

KEPT_BYTES = 16
"""As many of a digest are recorded; two documents have the same by chance once in 2^128."""

_NONE = bytes(KEPT_BYTES)
"""Stands for the digest of a document that left a trace in the books; no document has it."""
_TABLE = sql.Identifier(bookkeeping.SCHEMA, bookkeeping.document_digests.name)


@dataclass(slots=True)
class Record:
    """What is recorded of the documents of a range, batch by batch.

    Attributes:
        keys: Their UUIDs, 16 bytes each, one after the other.
        digests: Their digests likewise, zeros for those that are converted by every load.
    """

    keys: list[bytes] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    def add(self, batch: DigestedBatch, traced: Iterable[int]) -> None:
        """Takes in the documents of a batch, given those that left a trace in the books."""
        self.keys.append(batch.keys)
        digests = list(batch.kept)
        for row in traced:
            digests[row] = _NONE
        self.digests.append(b"".join(digests))


class DigestedBatch:
    """The documents of a batch, each with its digest.

    Attributes:
        digests: Their digests, 32 bytes each, one after the other.
    """

    def __init__(self, collection: str, data: bytes) -> None:
        """Takes documents of a collection as BSON, one after the other."""
        self._collection, self._data = collection, data
        self._bounds = document_bounds(data)
        self.digests = document_digests(data, self._bounds)

    def __len__(self) -> int:
        return len(self._bounds) - 1

    @cached_property
    def kept(self) -> list[bytes]:
        """What is recorded of each digest."""
        starts = range(0, len(self.digests), DIGEST_BYTES)
        return [self.digests[start : start + KEPT_BYTES] for start in starts]

    def others(self, known: Collection[bytes]) -> npt.NDArray[np.int64]:
        """Returns the positions of the documents that are none of those that are known."""
        if not known:
            return np.arange(len(self), dtype=np.int64)
        rows = [row for row, digest in enumerate(self.kept) if digest not in known]
        return np.array(rows, dtype=np.int64)

    def only(self, rows: npt.NDArray[np.int64]) -> bytes:
        """Returns some of the documents as BSON, one after the other."""
        if len(rows) == len(self):
            return self._data
        bounds, view = self._bounds, memoryview(self._data)
        return b"".join([view[bounds[row] : bounds[row + 1]] for row in rows.tolist()])

    @cached_property
    def keys(self) -> bytes:
        """The UUIDs of the documents, 16 bytes each."""
        return document_uuids(self._collection, self._data, self._bounds)


def known(connection: Connection, base: uuid.UUID, number: int) -> frozenset[bytes]:
    """Returns the digests of the documents of a range that need not be converted again."""
    _, digests = _recorded(connection, base, number)
    return frozenset(_each(digests)) - {_NONE}


def write(connection: Connection, target: str, load_id: uuid.UUID, number: int, of: Record) -> None:
    """Records the documents of a range. The caller holds the transaction that stages it."""
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (load_id, number, target_table, keys, digests) VALUES (%b, %b, %b, %b, %b)"
        ).format(_TABLE),
        [load_id, number, target, b"".join(of.keys), b"".join(of.digests)],
    )


def is_complete(connection: Connection, load_id: uuid.UUID, documents: int) -> bool:
    """Tells whether a load has recorded all documents that it read."""
    query = sql.SQL("SELECT coalesce(sum(length(keys)), 0) FROM {} WHERE load_id = %s")
    row = connection.execute(query.format(_TABLE), [load_id]).fetchone()
    return row == (documents * UUID_BYTES,)


def keys_to_look_at(
    connection: Connection, load_id: uuid.UUID, base: uuid.UUID, ranges: int
) -> Iterator[bytes]:
    """Yields the UUIDs of the documents of an earlier load that a load does not leave as they were.

    They are gone, have changed, or left a trace in the books. The ranges of both are the same.
    """
    for number in range(1, ranges + 1):
        are_left = known(connection, load_id, number)
        keys, digests = _recorded(connection, base, number)
        pairs = zip(_each(keys), _each(digests), strict=True)
        if looked_at := b"".join([key for key, digest in pairs if digest not in are_left]):
            yield looked_at


def convert_always(connection: Connection, load_id: uuid.UUID, keys: Collection[bytes]) -> None:
    """Leaves no digest of some documents of a load, given their UUIDs, so that each load converts them."""
    numbers = sql.SQL("SELECT number FROM {} WHERE load_id = %s ORDER BY number").format(_TABLE)
    update = sql.SQL("UPDATE {} SET digests = %b WHERE load_id = %b AND number = %b").format(_TABLE)
    for (number,) in connection.execute(numbers, [load_id]).fetchall():
        of_range, packed = _recorded(connection, load_id, number)
        pairs = zip(_each(of_range), _each(packed), strict=True)
        digests = b"".join([_NONE if key in keys else digest for key, digest in pairs])
        if digests != packed:
            connection.execute(update, [digests, load_id, number])


def forget_others(connection: Connection, table: sa.Table, load_id: uuid.UUID) -> None:
    """Removes what other loads of a table have recorded."""
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE target_table = %s AND load_id <> %s").format(_TABLE),
        [table.name, load_id],
    )


def _recorded(connection: Connection, load_id: uuid.UUID, number: int) -> tuple[bytes, bytes]:
    query = sql.SQL("SELECT keys, digests FROM {} WHERE load_id = %s AND number = %s")
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(query.format(_TABLE), [load_id, number]).fetchone()
    return (b"", b"") if row is None else (row[0], row[1])


def _each(packed: bytes) -> list[bytes]:
    return [packed[start : start + KEPT_BYTES] for start in range(0, len(packed), KEPT_BYTES)]
