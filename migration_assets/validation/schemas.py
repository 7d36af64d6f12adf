"""The model as pandera schemas: what the columns of a table, and the values in them, have to be.

``AS_MODELLED`` is for the rows of a table as PostgreSQL writes them: every column is text, so whatever
somebody made of a column's type can still be read and judged. What has to hold of them are polars
expressions (``held``); only JSON that may hold a wrapper or a long number is looked at value by value.
``CATALOG`` is for the definition of the table, a line for each column (``catalog_frame``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl
import sqlalchemy as sa
from pandera.api.polars.types import PolarsData
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import Missing, junction_of, source_of
from migration_assets.validation.aspects import IS_UUID, Aspect
from migration_assets.validation.rules import RULES

_DIALECT = pg.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """How a column is defined, in the words of PostgreSQL's catalog.

    Attributes:
        column: Its name.
        type: As ``format_type`` writes it.
        not_null: Whether it is NOT NULL.
        default: The literal or ``CURRENT_TIMESTAMP``; None for none.
        key: Its position in the primary key, from 1; None where it is not in it.
        labels: The labels of its enum in order, as one text; None where it has none.
    """

    column: str
    type: str
    not_null: bool
    default: str | None
    key: int | None
    labels: str | None


CATALOG_TYPES: Mapping[str, type[pl.DataType]] = {
    "type": pl.String,
    "not_null": pl.Boolean,
    "default": pl.String,
    "key": pl.Int64,
    "labels": pl.String,
}
"""What is compared of the definition of a column."""


def _as_in_model(data: PolarsData) -> pl.LazyFrame:
    same = [pl.col(name).eq_missing(pl.col(f"model_{name}")) for name in CATALOG_TYPES]
    return data.lazyframe.select(pl.all_horizontal(same))


CATALOG = pa.DataFrameSchema(
    checks=[pa.Check(_as_in_model, name="as in the model")], name="definition of a table"
)
"""The verdict on the definition of a table; a column that one side does not have is a difference."""


def catalog_frame(table: sa.Table, definitions: Iterable[ColumnDefinition]) -> pl.DataFrame:
    """Returns what ``CATALOG`` judges: a line for each column, as it is and as the model has it.

    Args:
        table: The table.
        definitions: The columns that the target has.
    """
    actual = {column.column: column for column in definitions}
    wanted = {column.name: definition(column) for column in table.columns}
    lines = {
        name: [
            name,
            *(getattr(actual.get(name), aspect, None) for aspect in CATALOG_TYPES),
            *(getattr(wanted.get(name), aspect, None) for aspect in CATALOG_TYPES),
        ]
        for name in (*wanted, *actual)
    }
    of_model = {f"model_{name}": dtype for name, dtype in CATALOG_TYPES.items()}
    return pl.DataFrame(
        list(lines.values()),
        schema={"column": pl.String, **CATALOG_TYPES, **of_model},
        orient="row",
    )


def definition(column: sa.Column[object]) -> ColumnDefinition:
    """Returns how the model has a column defined."""
    default = column.server_default
    key = list(column.table.primary_key.columns)
    return ColumnDefinition(
        column=column.name,
        type=type_of(column),
        not_null=not column.nullable,
        default=str(default.arg) if isinstance(default, sa.DefaultClause) else None,
        key=key.index(column) + 1 if column.primary_key else None,
        labels=", ".join(column.type.enums) if isinstance(column.type, pg.ENUM) else None,
    )


def type_of(column: sa.Column[object]) -> str:
    """Returns the type of a column as ``format_type`` of PostgreSQL writes it."""
    if isinstance(column.type, pg.ENUM):
        return str(_DIALECT.identifier_preparer.quote(str(column.type.name)))
    return str(column.type.compile(dialect=_DIALECT)).lower()


def _all_hold(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.all_horizontal(pl.all()))


AS_MODELLED = pa.DataFrameSchema(
    checks=[pa.Check(_all_hold, name="as in the model")], name="rows of a table"
)
"""The verdict on rows, given what holds of them (``held``)."""


def held(
    table: sa.Table, columns: Collection[str] | None = None
) -> Mapping[tuple[str, str], pl.Expr]:
    """Returns what has to hold for the rows of a table, each column as PostgreSQL writes it as text.

    Args:
        table: Any table of the model.
        columns: The columns that are judged; all where None.

    Returns:
        Whether it holds, by column and by what it is, in words.
    """
    conditions: dict[tuple[str, str], pl.Expr] = {}
    for column in table.columns:
        if columns is not None and column.name not in columns:
            continue
        value = pl.col(column.name)
        if not _is_nullable(column):
            conditions[column.name, "not NULL"] = value.is_not_null()
        for aspect in _aspects(column):
            conditions[column.name, aspect.words] = aspect.holds(value)
    return conditions


def _aspects(column: sa.Column[object]) -> Sequence[Aspect]:
    if junction_of(column.table) is not None:
        return [IS_UUID]
    source = source_of(column)
    return RULES[source.rule].aspects(source)


def _is_nullable(column: sa.Column[object]) -> bool:
    if junction_of(column.table) is not None:
        return False
    return bool(column.nullable) and source_of(column).missing is not Missing.EMPTY_ARRAY
