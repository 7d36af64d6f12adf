"""The rows of a table as the application has left it, in the columns and types of the model.

What the model has no room for (a column of another kind, a fraction where it has whole numbers) is taken
from the baseline, so that it is no gain and goes nowhere; :func:`unheld_rows` counts it. So does a column
or a table that is gone: MongoDB keeps what it has there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql as pg

from migration_assets.target.catalog import type_name
from migration_assets.target.standing import Standing, StandingColumn

_WHOLE = ("smallint", "integer", "bigint")
_NUMBERS = ("numeric", "double precision", "real")
_TEXTS = ("text", "character", "citext")
_IS_WHOLE: LiteralString = (
    "{own} = trunc({own}) AND {own} >= -9223372036854775808 AND {own} < 9223372036854775808"
)
_LITERAL = re.compile(r"(?:'(?:[^']|'')*'|-?[0-9.]+|true|false)(?:::[\w\s\".(),]+(?:\[\])?)?")
"""A default that is the same for each row; to ask for others may have effects."""


def baseline_type(column: sa.Column[object]) -> LiteralString:
    """Returns the type of a column in the baseline: labels of an enum are texts."""
    return "text" if isinstance(column.type, pg.ENUM) else _trusted(type_name(column.type))


def comparable_rows(standing: Standing, baseline: sql.Identifier) -> sql.Composed:
    """Returns the query of a table's rows in the columns of the model.

    Args:
        standing: How the table is now.
        baseline: What it was loaded with.
    """
    values = {column.name: _value(standing, column) for column in standing.table.columns}
    keys = {key.name: values[key.name] for key in standing.table.primary_key}
    if None in keys.values():
        return sql.SQL("SELECT * FROM {}").format(baseline)
    same = [
        sql.SQL("{} = b.{}").format(value, sql.Identifier(name))
        for name, value in keys.items()
        if value is not None
    ]
    columns = [
        sql.SQL("{} AS {}").format(
            value or sql.SQL("b.{}").format(sql.Identifier(name)), sql.Identifier(name)
        )
        for name, value in values.items()
    ]
    return sql.SQL("SELECT {} FROM {} t LEFT JOIN {} b ON {}").format(
        sql.SQL(", ").join(columns), standing.identifier, baseline, sql.SQL(" AND ").join(same)
    )


def unheld_rows(standing: Standing) -> Iterator[tuple[str, sql.Composed]]:
    """Yields each column that the model has no room for, with the ``FROM`` clause of the rows that use it.

    A row that holds the default of a new column does not use it.
    """
    for added in standing.added:
        if not added.is_derived:
            name = sql.Identifier(added.name)
            is_literal = added.default is not None and _LITERAL.fullmatch(added.default)
            default = sql.SQL(_trusted(added.default or "") if is_literal else "NULL")
            query = "FROM {} WHERE {} IS DISTINCT FROM ({})"
            yield added.name, sql.SQL(query).format(standing.identifier, name, default)
    for column in standing.table.columns:
        now = standing.columns.get(column.name)
        if now is None:
            continue
        name = sql.Identifier(now.name)
        if _value(standing, column) is None:
            query = "FROM {} WHERE {} IS NOT NULL"
            yield column.name, sql.SQL(query).format(standing.identifier, name)
        elif _is_fractional(column, now):
            query = "FROM {table} WHERE {own} IS NOT NULL AND NOT (" + _IS_WHOLE + ")"
            yield column.name, sql.SQL(query).format(table=standing.identifier, own=name)


def _value(standing: Standing, column: sa.Column[object]) -> sql.Composable | None:
    """Returns the expression of a column of ``t`` in the type of the model; None where there is none."""
    now = standing.columns.get(column.name)
    if now is None:
        return None
    column_value = sql.SQL("t.{}").format(sql.Identifier(now.name))
    if isinstance(column.type, pg.ENUM) and (now.is_enum or now.type.startswith(_TEXTS)):
        return sql.SQL("{}::text").format(column_value)
    if now.type == type_name(column.type):
        return column_value
    if _is_fractional(column, now):
        whole = (
            "CASE WHEN "
            + _IS_WHOLE
            + " THEN {own}::bigint WHEN {own} IS NOT NULL THEN b.{name} END"
        )
        return sql.SQL(whole).format(own=column_value, name=sql.Identifier(column.name))
    match column.type:
        case sa.Integer() if now.type in _WHOLE:
            return column_value
        case sa.Text() if now.is_enum or now.type.startswith((*_TEXTS, "uuid")):
            return sql.SQL("{}::text").format(column_value)
        case pg.ARRAY(item_type=sa.Text()) if now.type.endswith("[]"):
            return sql.SQL("{}::text[]").format(column_value)
        case sa.TIMESTAMP() if now.type.startswith("timestamp") and now.type.endswith(
            "with time zone"
        ):
            return sql.SQL("({} AT TIME ZONE 'UTC')::timestamp(3)").format(column_value)
        case sa.TIMESTAMP() if now.type.startswith(("timestamp", "date")):
            return sql.SQL("{}::timestamp(3)").format(column_value)
        case pg.JSONB() if now.type == "json":
            return sql.SQL("{}::jsonb").format(column_value)
        case _:
            return None


def _trusted(text: str) -> LiteralString:
    """Marks what the model or PostgreSQL wrote as a literal."""
    return text


def _is_fractional(column: sa.Column[object], now: StandingColumn) -> bool:
    """Tells whether a column of whole numbers takes fractions now."""
    return isinstance(column.type, sa.Integer) and now.type.startswith(_NUMBERS)
