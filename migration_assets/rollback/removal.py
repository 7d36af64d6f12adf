"""Removing the objects that this project created in the target, and nothing else.

Everything happens in one transaction that locks the tables: recorded objects are dropped, without CASCADE;
tables that existed before are emptied. If a foreign object depends on one of them, PostgreSQL refuses, the
error names it, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from migration_assets.loading.load import silent
from migration_assets.model import Model
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.rollback.baseline import drop_baseline, stage_baseline
from migration_assets.rollback.files import Manifest
from migration_assets.rollback.gains import gained, unknown_columns
from migration_assets.rollback.refused import RefusedError
from migration_assets.rollback.target_state import require_migrated, table_fingerprints
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.bookkeeping import STAGING_SCHEMA
from migration_assets.target.connection import Connection, count_rows
from migration_assets.target.created import (
    EXTENSION,
    ROWS,
    SCHEMA_KIND,
    TABLE,
    TYPE,
    DatabaseObject,
    is_named_as_ours,
    present_objects,
    recorded_objects,
)
from migration_assets.target.ddl import search_indexes

Proof = Callable[[Connection], None]
"""Refuses, within the transaction that holds the tables, where a row would be lost."""

LOCK_TIMEOUT = "10s"
_ORDER = (ROWS, TABLE, TYPE, SCHEMA_KIND, EXTENSION)


@dataclass(frozen=True, slots=True)
class Removed:
    """An object that goes.

    Attributes:
        object: The object.
        rows: How many rows it holds; None for what has none.
    """

    object: DatabaseObject
    rows: int | None


def remove(model: Model, connection: Connection, proof: Proof, *, dry_run: bool) -> list[Removed]:
    """Drops what this project created.

    Args:
        model: The application's tables.
        connection: A connection to the target, in autocommit mode.
        proof: Is called once no other session can write to the tables any more.
        dry_run: Everything is done and then undone: the result is what would be.

    Returns:
        What was dropped, in order.

    Raises:
        RefusedError: Rows would be lost, a session uses a table, or something else depends on one.
        TargetError: The target was not made by this project, or is out of reach.
    """
    require_migrated(connection)
    with connection.transaction(force_rollback=dry_run):
        going = _created(model, connection)
        _hold(
            connection,
            [created for created in going if created.kind in (TABLE, ROWS)],
        )
        proof(connection)
        removed = [Removed(created, _rows(connection, created)) for created in going]
        _drop(model, connection, going)
    return removed


def planned(model: Model, connection: Connection) -> list[Removed]:
    """Returns the objects that would be dropped, in order, without locking anything.

    Raises:
        TargetError: The target was not made by this project, or is out of reach.
    """
    require_migrated(connection)
    return [Removed(created, _rows(connection, created)) for created in _created(model, connection)]


def left_behind(model: Model, connection: Connection) -> list[DatabaseObject]:
    """Returns the objects that are named like ours but stay, since this project did not create them."""
    named = {
        present
        for present in present_objects(connection)
        if present.kind in (TABLE, TYPE, SCHEMA_KIND) and is_named_as_ours(model, present)
    }
    return sorted(named - set(_created(model, connection)))


def nothing_gained(
    model: Model,
    source: SourceDatabase,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
) -> Proof:
    """Returns the proof that compares every row with what the source's documents convert to."""

    def proof(connection: Connection) -> None:
        try:
            stage_baseline(model, source, connection, say=say, remediations=remediations)
        except RefusedError as error:
            raise RefusedError(
                f"whether the application has written rows is unknown: {error.what}",
                where=error.where,
                next_step=f"{error.next_step}. Or name an export with --exported, or give the rows "
                "up with --discard-gained",
            ) from None
        gains = {name: rows for name, rows in gained(model, connection).items() if rows}
        columns = {name: rows for name, rows in unknown_columns(model, connection).items() if rows}
        drop_baseline(model, connection)
        _refuse_gains(connection, [f"{name} ({rows.total})" for name, rows in gains.items()])
        _refuse_gains(connection, [f"{name} ({rows})" for name, rows in columns.items()])

    return proof


def all_exported(model: Model, manifest: Manifest) -> Proof:
    """Returns the proof that every table holds what it held when an export was made."""

    def proof(connection: Connection) -> None:
        if manifest.target != connection.info.dbname:
            raise RefusedError(
                f"the export was made of database {manifest.target}",
                where=f"database {connection.info.dbname}",
                next_step="Name the export that was made of this database",
            )
        if manifest.problems:
            raise RefusedError(
                f"{manifest.problems} values could not be exported",
                where=f"database {connection.info.dbname}",
                next_step="Save them by hand, then give them up here with --discard-gained",
            )
        now = table_fingerprints(model, connection)
        changed = [
            name for name, fingerprint in now.items() if fingerprint != manifest.tables.get(name)
        ]
        if changed:
            raise RefusedError(
                f"written to since the export: {', '.join(changed)}",
                where=f"database {connection.info.dbname}",
                next_step="Stop the application, and export again into a new directory",
            )

    return proof


def nothing_to_prove(connection: Connection) -> None:
    """Proves nothing: the rows that the application wrote are given up."""
    del connection


def _refuse_gains(connection: Connection, gains: list[str]) -> None:
    if gains:
        raise RefusedError(
            f"the application has written to it since the migration: {', '.join(gains)}",
            where=f"database {connection.info.dbname}",
            next_step="Run `migration-assets export-gained` and name its directory with --exported, or "
            "give these rows up with --discard-gained",
        )


def _created(model: Model, connection: Connection) -> list[DatabaseObject]:
    """Returns the objects to drop, in order."""
    staging = {
        present
        for present in present_objects(connection)
        if present.kind == TABLE
        and present.schema == STAGING_SCHEMA
        and _is_staging(model, present.name)
    }
    ours = recorded_objects(model, connection) | staging
    return sorted(ours, key=lambda created: (_ORDER.index(created.kind), created))


def _is_staging(model: Model, name: str) -> bool:
    """Tells whether a load creates a staging table of this name."""
    return name.removesuffix(".sides") in {*model.tables, "uuid_map"}


def _hold(connection: Connection, tables: Iterable[DatabaseObject]) -> None:
    """Locks the tables against all other sessions until the end of the transaction."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT)))
    names = sql.SQL(", ").join(table.identifier for table in tables)
    try:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(names))
    except psycopg.errors.LockNotAvailable:
        raise RefusedError(
            f"another session has been using its tables for {LOCK_TIMEOUT}",
            where=f"database {connection.info.dbname}",
            next_step="Stop the application and end its sessions, then start again",
        ) from None


def _rows(connection: Connection, database_object: DatabaseObject) -> int | None:
    if database_object.kind not in (TABLE, ROWS):
        return None
    return count_rows(connection, database_object.identifier)


def _drop(model: Model, connection: Connection, going: list[DatabaseObject]) -> None:
    statements = {
        ROWS: "TRUNCATE {}",
        TABLE: "DROP TABLE {} RESTRICT",
        TYPE: "DROP TYPE {} RESTRICT",
        SCHEMA_KIND: "DROP SCHEMA {} RESTRICT",
        EXTENSION: "DROP EXTENSION {} RESTRICT",
    }
    for kind in _ORDER:
        # All objects of a kind in one statement: dependencies among them do not count then.
        names = [created.identifier for created in going if created.kind == kind]
        if not names:
            continue
        statement = sql.SQL(statements[kind]).format(sql.SQL(", ").join(names))
        if kind == ROWS:
            ours = [sql.Identifier("public", name) for name in search_indexes(model)]
            statement += sql.SQL("; DROP INDEX IF EXISTS {}").format(sql.SQL(", ").join(ours))
        try:
            connection.execute(statement)
        except (
            psycopg.errors.DependentObjectsStillExist,
            psycopg.errors.FeatureNotSupported,  # a foreign key of another table
        ) as error:
            named = "; ".join((error.diag.message_detail or "").splitlines())
            raise RefusedError(
                f"something that is not this project's depends on it: {named}",
                where=f"database {connection.info.dbname}",
                next_step="Drop or detach what is named here, then start again; nothing was changed",
            ) from None
