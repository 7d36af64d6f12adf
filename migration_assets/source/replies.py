"""Batches of documents cut out of the server's replies as they are, without an object for each document.

pymongo's own cursor of raw batches first makes an object of every document in a reply, which nobody asks for,
then cuts the batch out of the reply as a whole. The objects are six sevenths of what it takes to read small
documents; decision 0012 has the figures. This cursor only does the latter. It overrides a method that pymongo
has for itself, so pymongo's minor version is pinned; it can go when pymongo makes no such objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from pymongo.collection import Collection
from pymongo.cursor import RawBatchCursor

from migration_assets.source.connection import Document
from migration_assets.source.elements import elements

_BATCHES = (b"firstBatch", b"nextBatch")
_EMPTY_ARRAY = b"\x05\x00\x00\x00\x00"


def raw_replies(collection: Collection[Document], **options: Any) -> RawBatchCursor[Document]:
    """Returns a cursor whose items are batches of documents, as BSON one after the other.

    Args:
        collection: The collection.
        options: As ``Collection.find_raw_batches`` takes them.
    """
    return _RawReplies(collection, **options)


class _RawReplies(RawBatchCursor[Document]):
    def _unpack_response(
        self,
        response: Any,
        cursor_id: int | None,
        codec_options: Any,
        user_fields: Mapping[str, Any] | None = None,
        legacy_response: bool = False,
    ) -> list[Any]:
        del cursor_id, codec_options, user_fields, legacy_response
        return [_taken_whole(bytes(response.raw_command_response()))]


def _taken_whole(reply: bytes) -> dict[str, Any]:
    """Returns a reply decoded, with the BSON of all its documents in the place of its batch."""
    found = _place(reply, (b"cursor",), 0)
    batch = None if found is None else _place(reply, _BATCHES, found[1])
    if found is None or batch is None:  # an error
        return bson.decode(reply)
    (_, cursor, cursor_end), (name, start, end) = found, batch
    documents = bson._array_of_documents_to_buffer(memoryview(reply)[start:end])
    shorter = end - start - len(_EMPTY_ARRAY)
    rest = bytearray(reply[:start] + _EMPTY_ARRAY + reply[end:])
    for at, length in ((0, len(reply)), (cursor, cursor_end - cursor)):
        rest[at : at + 4] = (length - shorter).to_bytes(4, "little")
    decoded = bson.decode(bytes(rest))
    decoded["cursor"][name.decode()] = [documents] if documents else []
    return decoded


def _place(document: bytes, names: tuple[bytes, ...], start: int) -> tuple[bytes, int, int] | None:
    """Returns name, start and end of the first field that has one of some names, None without any."""
    fields = elements(document, start)
    return next(((name, at, end) for _, name, at, end in fields if name in names), None)
