"""The ids that references may point to, read from the target."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa
from psycopg import sql

from migration_assets.conversion.values import Loaded
from migration_assets.identity import UUID_BYTES, Uuids
from migration_assets.loading.staging import identifier
from migration_assets.model import TABLES, documents_referred_to, referenced_tables
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection

_HEADER = 19
"""Bytes before the first row of a binary COPY: signature, flags, length of the extension."""
_ENVELOPE = _HEADER + 2
"""With the bytes after its last row."""
_ROW = np.dtype([("fields and length", f"V{2 + 4}"), ("id", f"V{UUID_BYTES}")])


def ids_for(connection: Connection, table: sa.Table) -> Loaded:
    """Returns the ids that the references of a table may point to."""
    return Loaded(
        rows={name: _loaded_ids(connection, TABLES[name]) for name in referenced_tables(table)},
        documents={name: document_ids(connection, name) for name in documents_referred_to(table)},
    )


def _loaded_ids(connection: Connection, table: sa.Table) -> Uuids:
    """Returns the ids of the rows of a table, without those whose document is gone."""
    query = sql.SQL("SELECT id FROM {} EXCEPT ALL SELECT id FROM {} WHERE target_table = {}")
    pending = identifier(bookkeeping.pending_deletes)
    return read_ids(connection, query.format(identifier(table), pending, sql.Literal(table.name)))


def document_ids(connection: Connection, collection: str) -> Uuids:
    """Returns the ids of all documents of a collection, from the map."""
    query = sql.SQL("SELECT id FROM {} WHERE collection = {}")
    return read_ids(
        connection, query.format(identifier(bookkeeping.uuid_map), sql.Literal(collection))
    )


def read_ids(connection: Connection, query: sql.Composed) -> Uuids:
    """Returns the UUIDs that a query of one column returns, none of them twice."""
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
    with connection.transaction(), connection.cursor() as cursor, cursor.copy(statement) as copy:
        data = b"".join(map(bytes, copy))
    rows = np.frombuffer(data, _ROW, count=(len(data) - _ENVELOPE) // _ROW.itemsize, offset=_HEADER)
    return Uuids(rows["id"].tobytes())
