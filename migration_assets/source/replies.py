"""Batches of documents cut out of the server's replies as they are, without an object for each document.

pymongo's own cursor of raw batches first makes an object of every document in a reply, which nobody asks for,
then cuts the batch out of the reply as a whole. The objects are six sevenths of what it takes to read small
documents; decision 0012 has the figures. This cursor only does the latter. It overrides a method that pymongo
has for itself, so pymongo's minor version is pinned; it can go when pymongo makes no such objects. A reply
that is built in another way, or an error, is left to pymongo.
"""

from __future__ import annotations

import re
import struct
from typing import Any

import bson
from pymongo.collection import Collection
from pymongo.cursor import RawBatchCursor

from migration_assets.source.connection import Document
from migration_assets.source.united import UnitedCollection

_BEGINNING = re.compile(
    rb".{4}\x03cursor\x00.{4}(?:\x12id\x00.{8}\x02ns\x00.{4}[^\x00]*\x00)?\x04(first|next)Batch\x00",
    re.DOTALL,
)
"""How the reply of mongod, or that of mongos, begins: up to the array of documents."""
_CURSOR = 12
"""Where in it the document ``cursor`` begins."""
_EMPTY_ARRAY = b"\x05\x00\x00\x00\x00"
_LENGTH = struct.Struct("<i")
_ENOUGH = 5 * 2**20
"""Bytes that a reply should not exceed, as it is held while the next one comes."""


def raw_replies(collection: Collection[Document], **options: Any) -> RawBatchCursor[Document]:
    """Returns a cursor whose items are batches of documents, as BSON one after the other.

    After a batch of large documents the next one holds fewer, and after one of small documents more again.

    Args:
        collection: The collection.
        options: As ``Collection.find_raw_batches`` takes them.
    """
    if isinstance(collection, UnitedCollection):
        return collection.raw_batches(**options)
    return _RawReplies(collection, **options)


class _RawReplies(RawBatchCursor[Document]):
    _most = 0
    """How many documents a reply may hold, where they are small."""

    def _unpack_response(self, response: Any, *arguments: Any, **named: Any) -> list[Any]:
        reply = memoryview(response.raw_command_response())
        beginning = _BEGINNING.match(reply)
        if beginning is None:
            return super()._unpack_response(response, *arguments, **named)
        self._most = self._most or self._batch_size
        fitting = self._batch_size * _ENOUGH // len(reply)
        self._batch_size = min(max(fitting, 1), self._most)
        return [_taken_whole(reply, f"{beginning[1].decode()}Batch", beginning.end())]


def _taken_whole(reply: memoryview, name: str, start: int) -> dict[str, Any]:
    """Returns a reply decoded, with the BSON of all its documents in the place of its batch.

    Args:
        reply: The reply; of its documents no copy is made but the one that is returned.
        name: What the batch is called.
        start: Where it begins.
    """
    end = start + _LENGTH.unpack_from(reply, start)[0]
    documents = bson._array_of_documents_to_buffer(reply[start:end])
    rest = bytearray().join([reply[:start], _EMPTY_ARRAY, reply[end:]])
    for at in (0, _CURSOR):
        (length,) = _LENGTH.unpack_from(rest, at)
        _LENGTH.pack_into(rest, at, length - (end - start - len(_EMPTY_ARRAY)))
    decoded = bson.decode(rest)
    decoded["cursor"][name] = [documents] if documents else []
    return decoded
