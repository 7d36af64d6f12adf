"""The documents of collections that the model does not know, held against the books that keep them whole.

They belong to no table, so no check of a table speaks of them: the sign-off does. Both sides are reduced to a
number and a sum of digests, which depends on no order; the documents are read by the judge's own reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from psycopg import ServerCursor, sql

from migration_assets.model import Model
from migration_assets.source.collections import collection_types
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.replies import raw_replies
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.documents import DOCUMENTS_PER_BATCH, Documents
from migration_assets.validation.extended_json import canonical
from migration_assets.validation.identities import (
    identifier_of,
    source_id_of,
)

_KEPT = (
    "SELECT collection, source_id, fields FROM {unmapped} WHERE target_table = {map} UNION ALL "
    "SELECT collection, source_id, document FROM {rejected} WHERE target_table = {map}"
)


@dataclass(slots=True)
class CollectionDigest:
    """What there is of a collection on one side.

    Attributes:
        documents: How many documents.
        digest: The sum of their digests.
    """

    documents: int = 0
    digest: int = 0

    def add(self, source_id: str, text: str) -> None:
        """Adds a document, given as canonical Extended JSON."""
        line = json.dumps([source_id, json.loads(text)], sort_keys=True).encode()
        self.documents += 1
        self.digest += int.from_bytes(blake2b(line, digest_size=16).digest(), "big")


def unkept(
    model: Model, source: SourceDatabase, connection: Connection
) -> Mapping[str, tuple[int, int]]:
    """Returns the unknown collections that the books do not keep as they are in the source.

    Args:
        model: The application's tables.
        source: The source database.
        connection: A connection to the target; only read.

    Returns:
        By collection, the documents in the source and those in the books.
    """
    in_source = {name: _content(_documents(source, name)) for name in _unknown(model, source)}
    kept: dict[str, CollectionDigest] = {}
    with at_one_moment(connection, read_only=True), ServerCursor(connection, "kept") as cursor:
        query = sql.SQL(_KEPT).format(
            unmapped=sql.Identifier(SCHEMA, bookkeeping.unmapped_fields.name),
            rejected=sql.Identifier(SCHEMA, bookkeeping.rejected_documents.name),
            map=sql.Literal(bookkeeping.uuid_map.name),
        )
        for collection, source_id, text in cursor.execute(query):
            kept.setdefault(collection, CollectionDigest()).add(source_id, text)
    nothing = CollectionDigest()
    sides = {
        name: (in_source.get(name, nothing), kept.get(name, nothing))
        for name in {*in_source, *kept}
    }
    return {
        name: (here.documents, there.documents)
        for name, (here, there) in sorted(sides.items())
        if here != there
    }


def _unknown(model: Model, source: SourceDatabase) -> Iterator[str]:
    """Yields the collections that the model does not know; a view has no documents of its own."""
    for name, kind in collection_types(source).items():
        if kind != "view" and name not in model.entities:
            yield name


def _documents(source: SourceDatabase, collection: str) -> Iterator[bytes]:
    cursor: Any = raw_replies(source[collection], batch_size=DOCUMENTS_PER_BATCH)
    with cursor:
        for data in cursor:
            yield from Documents.of(bytes(data))


def _content(documents: Iterable[bytes]) -> CollectionDigest:
    content = CollectionDigest()
    for document in documents:
        try:
            fields = bson.read_document(document)
        except bson.UnreadableBsonError:
            content.add(source_id_of(identifier_of(document)), canonical(document))
            continue
        # A document of a time series may have no `_id`.
        content.add(source_id_of(fields.get("_id")), canonical(fields))
    return content
