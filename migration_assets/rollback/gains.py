"""Gains: the rows of the target that differ from the baseline, found by comparing all of them.

No time that the application keeps is looked at. Rows that the loader itself keeps for references to a
document that is gone (``migration.pending_deletes``) are no gains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import Model, junction_of
from migration_assets.rollback.baseline import baseline_table, current_rows
from migration_assets.rollback.comparable import unheld_rows
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier
from migration_assets.target.standing import standing_tables


@dataclass(frozen=True, slots=True)
class Gained:
    """How many rows a table gained since the migration."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0

    def __bool__(self) -> bool:
        return self.total > 0

    @property
    def total(self) -> int:
        """Rows in all."""
        return self.inserted + self.updated + self.deleted


def inserted_rows(table: sa.Table) -> sql.Composed:
    """Returns ``FROM`` and ``WHERE`` of the rows ``t`` that the baseline does not have."""
    pending: sql.Composable = sql.SQL("")
    if junction_of(table) is None:
        pending = sql.SQL(
            " AND NOT EXISTS (SELECT FROM {} p WHERE p.target_table = {} AND p.id = t.id)"
        ).format(identifier(bookkeeping.pending_deletes), sql.Literal(table.name))
    return sql.SQL(
        "FROM {target} t WHERE NOT EXISTS (SELECT FROM {baseline} b WHERE {same}){pending}"
    ).format(pending=pending, **_names(table))


def deleted_rows(table: sa.Table) -> sql.Composed:
    """Returns ``FROM`` and ``WHERE`` of the rows ``b`` of the baseline that the target does not have."""
    return sql.SQL(
        "FROM {baseline} b WHERE NOT EXISTS (SELECT FROM {target} t WHERE {same})"
    ).format(**_names(table))


def updated_rows(table: sa.Table) -> sql.Composed | None:
    """Returns ``FROM`` and ``WHERE`` of the rows ``t`` that differ; None for a table of keys alone."""
    changes = [_differs(column) for column in value_columns(table)]
    if not changes:
        return None
    return sql.SQL("FROM {target} t JOIN {baseline} b ON {same} WHERE {differs}").format(
        differs=sql.SQL(" OR ").join(changes), **_names(table)
    )


def changed_columns(table: sa.Table) -> sql.Composed:
    """Returns the expression for the names of the columns in which ``t`` differs from ``b``."""
    names = sql.SQL(", ").join(
        sql.SQL("CASE WHEN {} THEN {} END").format(_differs(column), sql.Literal(column.name))
        for column in value_columns(table)
    )
    return sql.SQL("array_remove(ARRAY[{}]::text[], NULL)").format(names)


def value_columns(table: sa.Table) -> list[sa.Column[object]]:
    """Returns the columns of a table apart from its key."""
    return [column for column in table.columns if not column.primary_key]


def gained(model: Model, connection: Connection) -> Mapping[str, Gained]:
    """Returns what each table gained, by table; the baseline is staged."""
    return {name: _gained(connection, table) for name, table in model.tables.items()}


def unknown_columns(model: Model, connection: Connection) -> Mapping[str, int]:
    """Returns the columns that the model has no room for, with the number of rows that use each.

    The application has added them to our tables, or given them another type.
    """
    return {
        f"{name}.{column}": _count(connection, rows)
        for name, standing in standing_tables(model, connection).items()
        for column, rows in unheld_rows(standing)
    }


def _gained(connection: Connection, table: sa.Table) -> Gained:
    updated = updated_rows(table)
    return Gained(
        inserted=_count(connection, inserted_rows(table)),
        updated=0 if updated is None else _count(connection, updated),
        deleted=_count(connection, deleted_rows(table)),
    )


def _count(connection: Connection, rows: sql.Composed) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) {}").format(rows)).fetchone()
    return int(row[0]) if row is not None else 0


def _names(table: sa.Table) -> dict[str, sql.Composable]:
    same = sql.SQL(" AND ").join(
        sql.SQL("t.{0} = b.{0}").format(sql.Identifier(key.name)) for key in table.primary_key
    )
    return {"target": current_rows(table), "baseline": baseline_table(table), "same": same}


def _differs(column: sa.Column[object]) -> sql.Composed:
    # As jsonb, 1.0 equals 1; as text, which is what the application reads, it does not.
    template = "t.{0} IS DISTINCT FROM b.{0}"
    if isinstance(column.type, pg.JSONB):
        template = "t.{0}::text IS DISTINCT FROM b.{0}::text"
    return sql.SQL(template).format(sql.Identifier(column.name))
