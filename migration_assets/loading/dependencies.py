"""What the rows of a table depend on besides documents: the model, and which ids there are elsewhere."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import documents_referred_to, model_of, referenced_tables
from migration_assets.model.versions import model_version
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier


def plan_of(connection: Connection, table: sa.Table) -> str:
    """Returns a digest of all that the rows depend on besides documents, program and remediations.

    Of the tables that they refer to it is the load that last changed which ids there are.
    """
    referred = depends_on(table)
    return _digest_of(connection, table, grown=referred, shrunk=referred)


def removals_of(connection: Connection, table: sa.Table) -> str:
    """Returns a digest of all that a row depends on where its document found whatever it refers to.

    As :func:`plan_of`, but rows that were merely inserted into the tables that it refers to do not count.
    They do where a text refers to documents whose `_id` is no ObjectId: a new one may be meant before
    the one that was found.
    """
    shrunk = depends_on(table)
    texts_may_turn = bookkeeping.uuid_map in shrunk and not all(
        _has_only_object_ids(connection, name) for name in documents_referred_to(table)
    )
    grown = [bookkeeping.uuid_map] if texts_may_turn else []
    return _digest_of(connection, table, grown=grown, shrunk=shrunk)


def _digest_of(
    connection: Connection, table: sa.Table, *, grown: list[sa.Table], shrunk: list[sa.Table]
) -> str:
    """Returns a digest of a table's model, and of the loads that last let other tables grow or shrink."""
    said = [table.name]
    if table.metadata is not bookkeeping.BOOKKEEPING:
        said.append(model_version(table))
    query = sql.SQL(
        "SELECT DISTINCT ON (target_table) target_table, id::text FROM {}, "
        "jsonb_to_record(statistics->'merged') AS m(inserted bigint, deleted bigint, moved bigint) "
        "WHERE finished_at IS NOT NULL AND (target_table = ANY(%s) AND "
        "(m.deleted + m.moved > 0 OR (statistics->>'was_touched')::boolean) "
        "OR target_table = ANY(%s) AND m.inserted > 0) ORDER BY target_table, finished_at DESC"
    ).format(identifier(bookkeeping.loads))
    names = [[each.name for each in tables] for tables in (shrunk, grown)]
    versions = connection.execute(query, names).fetchall()
    said += [f"{name} {version}" for name, version in versions]
    return hashlib.blake2b("\n".join(said).encode(), digest_size=16).hexdigest()


def _has_only_object_ids(connection: Connection, collection: str) -> bool:
    """Tells whether every document of a collection has an ObjectId: its UUID is of version 7 then."""
    query = sql.SQL(
        "SELECT NOT EXISTS (SELECT FROM {} WHERE collection = %s AND substr(id::text, 15, 1) <> '7')"
    ).format(identifier(bookkeeping.uuid_map))
    return connection.execute(query, [collection]).fetchone() == (True,)


def depends_on(table: sa.Table) -> list[sa.Table]:
    """Returns the tables whose ids decide what becomes of a table's references."""
    if table.metadata is bookkeeping.BOOKKEEPING:
        return []
    referred = [model_of(table).tables[name] for name in referenced_tables(table)]
    return [*referred, bookkeeping.uuid_map] if documents_referred_to(table) else referred
