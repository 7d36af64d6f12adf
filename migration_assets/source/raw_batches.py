"""Documents as the BSON that the server sends, batch by batch.

That is pymongo's ``find_raw_batches`` without an object for each document: pymongo 4.20 makes one on the way
(a ``RawBSONDocument``, in a list that nobody looks at), which takes ten times as long as all else it does.
Call ``find_raw_batches`` itself again when it no longer does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bson
from bson.raw_bson import _RAW_ARRAY_BSON_OPTIONS, RawBSONDocument
from pymongo.collection import Collection
from pymongo.cursor import RawBatchCursor

from migration_assets.source.connection import Document

_OPTIONS: Any = _RAW_ARRAY_BSON_OPTIONS
"""An array of documents stays as it is, until somebody asks for its elements."""


def find_raw_batches(
    collection: Collection[Document], condition: Mapping[str, Any], **options: Any
) -> RawBatchCursor[Document]:
    """Returns what ``collection.find_raw_batches`` returns: a cursor of replies, each of them bytes.

    Args:
        collection: The collection; one that does not exist has no documents.
        condition: Which documents.
        options: As ``Collection.find`` takes them.
    """
    return _Cursor(collection, condition, **options)


class _Cursor(RawBatchCursor[Document]):
    """A cursor whose replies are divided no further than into their batch and what is about it."""

    def _unpack_response(
        self, response: Any, *_: Any, user_fields: Mapping[str, Any] | None = None, **__: Any
    ) -> list[Any]:
        # As in pymongo, but for the options of the whole reply, which hold for all that is in it.
        whole = RawBSONDocument(response.payload_document, _OPTIONS)
        reply: Any = bson._decode_selective(whole, user_fields, _OPTIONS)
        bson._convert_raw_document_lists_to_streams(reply)
        return [reply]
