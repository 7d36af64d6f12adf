"""The page of tables and columns, from the model."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import Model
from migration_assets.model.columns import Column, Missing, Source, source_of
from migration_assets.model.tables import Junction, group_of, junction_of

_DIALECT = pg.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it

_HEAD = """# Tables and columns

Generated from the model by `migration-assets docs`; do not edit. {tables} tables with {columns}
columns. The last column says what stands for a value that is missing or null.
"""


def tables_page(model: Model) -> str:
    """Returns the page: each table in the order of the model, each column with its source."""
    columns = sum(len(table.columns) for table in model.tables.values())
    parts = [_HEAD.format(tables=len(model.tables), columns=columns)]
    parts += ["\n".join(_table(table)) + "\n" for table in model.tables.values()]
    return "\n".join(parts)


def _table(table: sa.Table) -> Iterator[str]:
    relation = junction_of(table)
    yield f"## {table.name}"
    yield ""
    if relation is not None:
        yield f"Group `{group_of(table)}`. The union of {_arrays(relation)}."
        yield ""
        yield "| column | type | the `_id` of |"
        yield "|---|---|---|"
        for side in (relation.left, relation.right):
            yield f"| `{side.column}` | {_type(table.columns[side.column])} | `{side.collection}` |"
        return
    yield f"Group `{group_of(table)}`, from the collection of the same name."
    yield ""
    yield "| column | type | field | rule | points to | missing or null |"
    yield "|---|---|---|---|---|---|"
    for column in table.columns:
        source = source_of(column)
        points_to = f"`{source.references}`" if source.references else ""
        secret = " (secret)" if source.secret else ""
        bound = f", up to {source.longest:,} bytes" if source.longest is not None else ""
        yield (
            f"| `{column.name}` | {_type(column)} | `{source.field}`{secret} | {source.rule}{bound} "
            f"| {points_to} | {_missing(source)} |"
        )


def _arrays(relation: Junction) -> str:
    return " and ".join(f"`{holder.collection}.{array}`" for holder, array, _ in relation.arrays())


def _type(column: Column) -> str:
    name = column.type.compile(dialect=_DIALECT)
    return f"`{name}`{'' if column.nullable else ' NOT NULL'}"


def _missing(source: Source) -> str:
    if source.missing is Missing.DEFAULT:
        value = source.default
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"
    return str(source.missing)
