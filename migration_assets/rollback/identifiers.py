"""The way back from a UUID to the `_id` of a document.

A UUID that was made from an ObjectId holds it; the `_id` behind any other is in ``migration.uuid_map``. A row
that was created in PostgreSQL gets an ObjectId that is a function of its table and its UUID, so that an
export that is made again names it the same. Its first four bytes, the time, are zero: nobody takes it
for a time, and no driver has ever made such an ObjectId.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from bson import ObjectId
from psycopg import sql

from migration_assets.identity import document_uuid, object_id, source_id
from migration_assets.rollback.gains import inserted_rows
from migration_assets.rollback.operations import parsed
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier

CHUNK = 200
"""Rows that are held in memory at a time."""

_NEW_IDS = "rollback.new_ids"
_NO_TIME = bytes(4)


def hashed_object_id(collection: str, identifier: uuid.UUID, attempt: int = 0) -> ObjectId:
    """Returns the ObjectId for a row that was created in PostgreSQL.

    Args:
        collection: Its collection.
        identifier: Its UUID.
        attempt: A number that gives another ObjectId where an earlier one is in use.
    """
    seed = f"{collection}\n{identifier}\n{attempt}".encode()
    return ObjectId(_NO_TIME + hashlib.sha256(seed).digest()[:8])


def candidate(collection: str, identifier: uuid.UUID, attempt: int) -> ObjectId:
    """Returns the ObjectId to try: the one that the UUID was made from, else a hashed one."""
    original = object_id(identifier) if attempt == 0 else None
    return original or hashed_object_id(collection, identifier, attempt)


def identifier_of(source_id: str) -> Any:
    """Returns the `_id` that :func:`migration_assets.identity.source_id` wrote."""
    return (
        ObjectId(source_id) if len(source_id) == 24 and source_id.isalnum() else parsed(source_id)
    )


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Finds the `_id` of rows, in a transaction whose baseline is staged.

    Attributes:
        connection: The session.
    """

    connection: Connection

    def create(self) -> None:
        """Creates the temporary table of the new `_id`s."""
        self.connection.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE {} (collection text, id uuid, source_id text NOT NULL, "
                "PRIMARY KEY (collection, id), UNIQUE (collection, source_id)) ON COMMIT DROP"
            ).format(sql.Identifier(_NEW_IDS))
        )

    def name_new(self, table: sa.Table) -> int:
        """Gives an `_id` to each row that PostgreSQL gained; returns how many got one.

        A row whose UUID is that of a document, which was rejected and came in by hand since, has one.
        """
        query = sql.SQL(
            "SELECT t.id {} AND NOT EXISTS (SELECT FROM {} m WHERE m.collection = {} AND m.id = t.id) "
            "ORDER BY t.id"
        ).format(inserted_rows(table), identifier(uuid_map), sql.Literal(table.name))
        named = 0
        for chunk in chunks(self.connection, query):
            self._name(table.name, [row[0] for row in chunk])
            named += len(chunk)
        return named

    def known(self, collection: str, uuids: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, Any]:
        """Returns the `_id`s of the UUIDs that belong to a document or to a created row."""
        unique_ids = list(set(uuids))
        if not unique_ids:
            return {}
        query = sql.SQL(
            "SELECT id, source_id FROM {} WHERE collection = %(collection)s AND id = ANY(%(ids)s) "
            "UNION ALL "
            "SELECT id, source_id FROM {} WHERE collection = %(collection)s AND id = ANY(%(ids)s)"
        ).format(identifier(uuid_map), new_ids())
        rows = self.connection.execute(query, {"collection": collection, "ids": unique_ids})
        return {row_id: identifier_of(source) for row_id, source in rows}

    def of(self, collection: str, uuids: Iterable[uuid.UUID]) -> Mapping[uuid.UUID, Any]:
        """Returns the `_id` for each UUID; an unknown UUID gets the `_id` that its row would have."""
        unique_ids = set(uuids)
        identifiers = dict(self.known(collection, unique_ids))
        return identifiers | {
            row_id: candidate(collection, row_id, 0) for row_id in unique_ids - identifiers.keys()
        }

    def mapping(self) -> Iterator[tuple[str, uuid.UUID, str]]:
        """Yields (collection, UUID, `_id` as text) of each row that got a new `_id`."""
        query = sql.SQL("SELECT collection, id, source_id FROM {} ORDER BY 1, 2").format(new_ids())
        for chunk in chunks(self.connection, query):
            yield from chunk

    def _name(self, collection: str, uuids: list[uuid.UUID]) -> None:
        attempt = 0
        while uuids:
            candidates = {row_id: candidate(collection, row_id, attempt) for row_id in uuids}
            used = self._taken(collection, candidates.values())
            free: dict[ObjectId, uuid.UUID] = {}
            for row_id, new_id in candidates.items():
                if new_id not in used:
                    free.setdefault(new_id, row_id)
            self._insert(collection, free)
            uuids = [row_id for row_id in uuids if row_id not in set(free.values())]
            attempt += 1

    def _insert(self, collection: str, named: Mapping[ObjectId, uuid.UUID]) -> None:
        lines = [(collection, row_id, source_id(object_id)) for object_id, row_id in named.items()]
        with self.connection.cursor() as cursor:
            cursor.executemany(
                sql.SQL("INSERT INTO {} (collection, id, source_id) VALUES (%s, %s, %s)").format(
                    new_ids()
                ),
                lines,
            )

    def _taken(self, collection: str, object_ids: Iterable[ObjectId]) -> set[ObjectId]:
        """Returns the ObjectIds that a document or another new row already has."""
        by_source_id = {source_id(object_id): object_id for object_id in object_ids}
        by_uuid = {
            document_uuid(collection, object_id): object_id for object_id in by_source_id.values()
        }
        query = sql.SQL("SELECT id FROM {} WHERE collection = %s AND id = ANY(%s)")
        documents = self.connection.execute(
            query.format(identifier(uuid_map)), [collection, list(by_uuid)]
        )
        used = {by_uuid[document_id] for (document_id,) in documents}
        query = sql.SQL("SELECT source_id FROM {} WHERE collection = %s AND source_id = ANY(%s)")
        rows = self.connection.execute(query.format(new_ids()), [collection, list(by_source_id)])
        return used | {by_source_id[source] for (source,) in rows}


def new_ids() -> sql.Identifier:
    """Returns the temporary table of the new `_id`s."""
    return sql.Identifier("pg_temp", _NEW_IDS)


def chunks(
    connection: Connection, query: sql.Composed, size: int = CHUNK
) -> Iterator[list[tuple[Any, ...]]]:
    """Yields the rows of a query, some at a time. The caller holds the transaction."""
    with connection.cursor(name=f"rollback_{uuid.uuid4().hex}") as cursor:
        cursor.execute(query)
        while rows := cursor.fetchmany(size):
            yield rows
