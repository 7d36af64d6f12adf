"""What the books say of references, and which ids may be referred to.

Here belongs the SQL that reads the schema ``migration`` for the check ``references``.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql

from migration_assets.identity import object_id
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.validation.source_references import uuids_of
from migration_assets.validation.target_references import id_array, identifier

_ISSUES = """
    SELECT source_id, field, element FROM {} WHERE target_table = %(table)s
    AND collection = %(collection)s AND source_id = ANY(%(among)s)
"""
_REJECTED = """
    SELECT source_id FROM {} WHERE target_table = %(table)s
    AND collection = %(collection)s AND source_id = ANY(%(among)s)
"""


@dataclass(frozen=True, slots=True)
class Records:
    """What the books say of some documents.

    Attributes:
        issues: (source id, field, element) of lossy conversions.
        rejected: Source ids of rejected documents.
    """

    issues: frozenset[tuple[str, str, int | None]]
    rejected: frozenset[str]


def records(
    connection: Connection, table: sa.Table, collection: str, among: Iterable[str]
) -> Records:
    """Returns what the books of a table say of some documents.

    Args:
        connection: A connection to the target.
        table: The table whose books they are.
        collection: The collection of the documents.
        among: Their source ids.
    """
    wanted = {"table": table.name, "collection": collection, "among": list(among)}
    issues = sql.SQL(_ISSUES).format(identifier(bookkeeping.issues))
    rejected = sql.SQL(_REJECTED).format(identifier(bookkeeping.rejected_documents))
    return Records(
        frozenset(tuple(each) for each in connection.execute(issues, wanted)),
        frozenset(name for (name,) in connection.execute(rejected, wanted)),
    )


def orphaned_counts(connection: Connection, table: sa.Table) -> tuple[int, int]:
    """Returns how many references of a table are recorded as orphaned, and how many a remediation accepts."""
    query = sql.SQL(
        "SELECT count(*) FILTER (WHERE accepted_by IS NULL), count(accepted_by) "
        "FROM {} WHERE target_table = {} AND kind = 'orphaned'"
    ).format(identifier(bookkeeping.issues), sql.Literal(table.name))
    orphaned, accepted = connection.execute(query).fetchone() or (0, 0)
    return orphaned, accepted


def orphaned(connection: Connection, table: sa.Table, limit: int) -> list[tuple[str, str, str]]:
    """Returns (collection, source id, field) of some of them."""
    query = sql.SQL(
        "SELECT collection, source_id, field FROM {} WHERE target_table = {} "
        "AND kind = 'orphaned' AND accepted_by IS NULL "
        "ORDER BY collection, source_id, field, element LIMIT {}"
    ).format(identifier(bookkeeping.issues), sql.Literal(table.name), sql.Literal(limit))
    return connection.execute(query).fetchall()


def has_pending(connection: Connection) -> frozenset[str]:
    """Returns the tables that hold rows whose document is gone."""
    query = sql.SQL("SELECT DISTINCT target_table FROM {}").format(
        identifier(bookkeeping.pending_deletes)
    )
    return frozenset(name for (name,) in connection.execute(query))


def existing_rows(connection: Connection, table: str, ids: Iterable[bytes]) -> frozenset[bytes]:
    """Returns those of some ids that rows of a table have; pending ones do not count."""
    query = sql.SQL(
        "SELECT uuid_send(t.id) FROM {} t WHERE t.id = ANY({}) AND NOT EXISTS "
        "(SELECT FROM {} p WHERE p.target_table = {} AND p.id = t.id)"
    ).format(
        sql.Identifier("public", table),
        id_array(uuids_of(b"".join(ids))),
        identifier(bookkeeping.pending_deletes),
        sql.Literal(table),
    )
    return frozenset(bytes(found) for (found,) in connection.execute(query))


def existing_documents(
    connection: Connection, collection: str, ids: Iterable[bytes]
) -> frozenset[bytes]:
    """Returns those of some ids that documents of a collection have, loaded or not."""
    query = sql.SQL("SELECT uuid_send(id) FROM {} WHERE collection = {} AND id = ANY({})").format(
        identifier(bookkeeping.uuid_map), sql.Literal(collection), id_array(uuids_of(b"".join(ids)))
    )
    return frozenset(bytes(found) for (found,) in connection.execute(query))


def source_id_of(connection: Connection, collection: str, key: str) -> str | None:
    """Returns the source id of a row: from its UUID where that can be undone, else from the map."""
    made_from = object_id(uuid.UUID(key))
    if made_from is not None:
        return str(made_from)
    query = sql.SQL("SELECT source_id FROM {} WHERE collection = %s AND id = %s")
    found = connection.execute(
        query.format(identifier(bookkeeping.uuid_map)), [collection, key]
    ).fetchone()
    return found[0] if found is not None else None
