"""The ids that references may point to, read from the target."""

from __future__ import annotations

import sqlalchemy as sa
from psycopg import sql

from migration_assets.conversion.values import Loaded
from migration_assets.model import documents_referred_to, model_of, referenced_tables
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier
from migration_assets.uuid_set import UuidSet

_IDS = """
    SELECT string_agg(uuid_send(id), ''::bytea) FROM ({}) AS ids(id)
    GROUP BY uuid_hash(id) & 255
"""
"""A value holds 1 GB at most: there are 256 of them, by the cheapest that differs from id to id."""


def ids_for(connection: Connection, table: sa.Table) -> Loaded:
    """Returns the ids that the references of a table may point to."""
    return Loaded(
        rows={
            name: _loaded_ids(connection, model_of(table).tables[name])
            for name in referenced_tables(table)
        },
        documents={name: document_ids(connection, name) for name in documents_referred_to(table)},
    )


def _loaded_ids(connection: Connection, table: sa.Table) -> UuidSet:
    """Returns the ids of the rows of a table, without those whose document is gone."""
    query = sql.SQL(
        "SELECT t.id FROM {} t WHERE NOT EXISTS "
        "(SELECT FROM {} p WHERE p.target_table = {} AND p.id = t.id)"
    )
    pending = identifier(bookkeeping.pending_deletes)
    return read_ids(connection, query.format(identifier(table), pending, sql.Literal(table.name)))


def document_ids(connection: Connection, collection: str) -> UuidSet:
    """Returns the ids of all documents of a collection, from the map."""
    query = sql.SQL("SELECT id FROM {} WHERE collection = {}")
    return read_ids(
        connection, query.format(identifier(bookkeeping.uuid_map), sql.Literal(collection))
    )


def read_ids(connection: Connection, query: sql.Composed) -> UuidSet:
    """Returns the UUIDs that a query of one column returns, none of them twice."""
    with connection.cursor() as cursor:
        found = cursor.stream(sql.SQL(_IDS).format(query), binary=True)
        return UuidSet(b"".join([ids for (ids,) in found]))
