"""Raw BSON batches of a collection in `_id` order.

A batch is bounded in documents and in bytes, so memory does not grow with the collection. Nothing is decoded
here but `_id`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import bson
import numpy as np
from bson.errors import BSONError
from pymongo.collection import Collection

from migration_assets.errors import SourceError
from migration_assets.identity import OBJECT_ID_BYTES, object_id_uuids, uuid_bytes
from migration_assets.settings import DOCUMENTS_PER_BATCH
from migration_assets.source.connection import CODEC, Document
from migration_assets.source.elements import BsonType, elements, hidden
from migration_assets.source.replies import raw_replies

BYTES_PER_BATCH = 6 * 2**20
"""A reply of the server holds up to 16 MB; while one part of it is written, the next can be converted."""
_OF_PARTS = 4
"""Where only some fields are read, a batch holds so many times as many documents, and a part of the bytes:
ids, and arrays of them, grow the most when they are converted."""

_LENGTH = struct.Struct("<i")
SHORTEST_DOCUMENT = 5
"""Bytes of a document without fields."""
_OBJECT_ID_FIRST = b"\x07_id\x00"
_TO_OBJECT_ID = 4 + len(_OBJECT_ID_FIRST)
"""Bytes before the ObjectId of such a document."""
ALL: Mapping[str, Any] = {}


def raw_batches(
    collection: Collection[Document],
    *,
    projection: Mapping[str, int] | None = None,
    by_identifier: bool = True,
    part: Mapping[str, Any] = ALL,
) -> Iterator[bytes]:
    """Yields the documents of a collection in `_id` order, as BSON one after the other, in batches.

    Args:
        collection: The collection; one that does not exist has no documents.
        projection: Fields to read, as MongoDB takes them; all where None.
        by_identifier: False for a time series, which has no order of its own and no index on `_id`.
        part: Which documents, as ``Range.options`` says it; all where it is empty.
    """
    order = [("_id", 1)] if by_identifier else None
    of_parts = 1 if projection is None else _OF_PARTS
    cursor: Any = raw_replies(
        collection,
        projection=projection,
        sort=order,
        hint=order,
        batch_size=documents_per_batch(of_parts=projection is not None),
        **part,
    )
    with cursor:
        size = BYTES_PER_BATCH // of_parts
        for reply in cursor:
            yield from _bounded(reply, size)


def documents_per_batch(*, of_parts: bool = False) -> int:
    """Returns the upper bound of the documents of a batch, as ``MIGRATION_DOCUMENTS_PER_BATCH`` says it.

    Four times as many where some fields alone are read.
    """
    return DOCUMENTS_PER_BATCH.read() * (_OF_PARTS if of_parts else 1)


def _bounded(data: bytes, size: int) -> Iterator[bytes]:
    """Yields documents, as BSON one after the other, in equal parts of about a size at most."""
    parts = math.ceil(len(data) / size)
    start = end = 0
    for document in split(data) if parts > 1 else ():
        end += len(document)
        if (end - start) * parts >= len(data):
            yield data[start:end]
            start = end
    if start < len(data):
        yield data[start:]


def split(data: bytes) -> Iterator[bytes]:
    """Yields the documents of a batch, each as BSON."""
    for start, end in pairwise(document_bounds(data)):
        yield data[start:end]


def document_bounds(data: bytes) -> list[int]:
    """Returns where the documents of a batch begin, and where the last one ends.

    Raises:
        SourceError: A length is none of a document; what follows it cannot be found then.
    """
    bounds, end = [0], 0
    append, unpack, last = bounds.append, _LENGTH.unpack_from, len(data) - SHORTEST_DOCUMENT
    while end <= last:
        (length,) = unpack(data, end)
        if length < SHORTEST_DOCUMENT:
            break
        end += length
        append(end)
    if end != len(data):
        raise SourceError(
            "the server sent documents whose lengths do not add up",
            where="MongoDB",
            next_step="Validate the collections (db.collection.validate()), or restore a dump of them",
        )
    return bounds


def identifier(document: bytes) -> Any:
    """Returns the `_id` of a document given as BSON, without decoding the rest; None where it has none.

    One that has no Extended JSON (text that is not UTF-8, a name twice) is its bytes: what it would be
    decoded to might be another document's too.
    """
    if document[4:9] == _OBJECT_ID_FIRST:
        return bson.ObjectId(document[9:21])
    ids = ((kind, document[at:end]) for kind, name, at, end in elements(document) if name == b"_id")
    kind, value = next(ids, (BsonType.NONE, b""))
    if kind == BsonType.NONE:
        return None
    if kind == BsonType.STRING and value.endswith(b"\x00"):
        with suppress(UnicodeDecodeError):  # a twentieth of the time that the driver takes
            return str(value[_LENGTH.size : -1], "utf-8")
    body = bytes([kind]) + b"_id\x00" + value + b"\x00"
    alone = (len(body) + 4).to_bytes(4, "little") + body
    try:
        decoded = bson.decode(alone, CODEC)
    except BSONError:
        return bson.Binary(value)
    return bson.Binary(value) if hidden(alone) else decoded["_id"]


def leading_object_ids(data: bytes, bounds: Sequence[int]) -> bytes | None:
    """Returns the ObjectIds, 12 bytes each, that documents begin with as their `_id`.

    Args:
        data: Documents as BSON, one after the other.
        bounds: Where they begin, and where the last one ends.

    Returns:
        None where one of them begins with anything else.
    """
    content, starts = np.frombuffer(data, dtype=np.uint8), np.array(bounds[:-1], dtype=np.int64)
    places = starts[:, None] + np.arange(_TO_OBJECT_ID + OBJECT_ID_BYTES)
    begin = content.take(places, mode="clip")  # the last one may be shorter
    first = np.frombuffer(_OBJECT_ID_FIRST, dtype=np.uint8)
    if not (begin[:, 4:_TO_OBJECT_ID] == first).all():
        return None
    return begin[:, _TO_OBJECT_ID:].tobytes()


def document_uuids(collection: str, data: bytes, bounds: Sequence[int]) -> bytes:
    """Returns the UUIDs of documents, 16 bytes each, given as :func:`leading_object_ids` takes them."""
    object_ids = leading_object_ids(data, bounds)
    if object_ids is not None:
        return object_id_uuids(object_ids)
    return b"".join(uuid_bytes(collection, identifier(document)) for document in split(data))
