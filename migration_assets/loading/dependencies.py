"""What the rows of a table depend on besides documents: the model, and which ids there are elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import documents_referred_to, model_of, referenced_tables
from migration_assets.model.versions import model_version
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Digests of what the rows of a table depend on besides documents, program and remediations.

    Attributes:
        plan: Of all of it: of the tables that they refer to it is the load that last changed which ids
            there are.
        removals: Of what a row depends on where its document found whatever it refers to: rows that were
            merely inserted into other tables do not count. They do where a text refers to documents whose
            `_id` is no ObjectId: a new one may be meant before the one that was found.
    """

    plan: str
    removals: str


_VERSIONS = """
    SELECT target_table, (array_agg(id::text ORDER BY finished_at DESC))[1],
           (array_agg(id::text ORDER BY finished_at DESC) FILTER (WHERE shrunk OR {grown}))[1]
    FROM (SELECT target_table, id, finished_at, m.inserted > 0 AS grew,
                 m.deleted + m.moved > 0 OR (statistics->>'was_touched')::boolean AS shrunk
          FROM {loads}, jsonb_to_record(statistics->'merged')
               AS m(inserted bigint, deleted bigint, moved bigint)
          WHERE finished_at IS NOT NULL AND target_table = ANY(%s)) l
    WHERE grew OR shrunk GROUP BY target_table ORDER BY target_table
"""


def dependencies_of(connection: Connection, table: sa.Table) -> Dependencies:
    """Returns what the rows of a table depend on now."""
    plan = [table.name]
    if table.metadata is not bookkeeping.BOOKKEEPING:
        plan.append(model_version(table))
    removals = [*plan]
    referred = depends_on(table)
    if referred:
        texts_may_turn = bookkeeping.uuid_map in referred and not all(
            _has_only_object_ids(connection, name) for name in documents_referred_to(table)
        )
        grown = sql.SQL("grew AND target_table = {}").format(bookkeeping.uuid_map.name)
        query = sql.SQL(_VERSIONS).format(
            loads=identifier(bookkeeping.loads), grown=grown if texts_may_turn else sql.SQL("FALSE")
        )
        for name, version, shrunk in connection.execute(
            query, [[referred_table.name for referred_table in referred]]
        ):
            plan.append(f"{name} {version}")
            if shrunk is not None:
                removals.append(f"{name} {shrunk}")
    return Dependencies(_digest_of(plan), _digest_of(removals))


def _digest_of(lines: list[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


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
