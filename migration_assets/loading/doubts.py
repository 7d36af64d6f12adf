"""Which staged rows are in doubt: queries that find what refers to nothing that was loaded, or is doubled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql

from migration_assets.loading.lookup import documents_of, rows_of
from migration_assets.loading.staging import Staging, rows_table
from migration_assets.model import Rule, Side, junction_of, model_of, sources, unique_keys
from migration_assets.target.connection import Connection, count_rows

_DOUBLED: LiteralString = """
    SELECT s.id FROM {staged} s WHERE ({of_row}) IN
    (SELECT {key} FROM {staged} GROUP BY {key} HAVING count(*) > 1)
"""
_ELEMENTS: LiteralString = "(SELECT r.id, e.element FROM {} r CROSS JOIN unnest(r.{}) e(element))"

_Reference = tuple[sql.Composable, sql.Composable]
"""What refers, in terms of a row ``s``, and the query of the ids that there are."""


def are_there_any(connection: Connection, queries: Sequence[sql.Composed]) -> bool:
    """Tells whether queries find anything: mostly they do not, and then there is no more to be done.

    All is counted: for an answer that the first row would give, PostgreSQL plans as if it came at once.
    """
    every = sql.SQL(" UNION ALL ").join(queries)
    return bool(count_rows(connection, sql.SQL("({}) q").format(every)))


def orphaned_rows(target: sa.Table) -> list[sql.Composed]:
    """Returns queries of the ids of staged rows that refer to what was not loaded."""
    lone: list[_Reference] = []
    queries: list[sql.Composed] = []
    staged, tables = rows_table(target), model_of(target).tables
    for column, source in sources(target).items():
        if source.references is None:
            continue
        is_text = source.rule in (Rule.REFERENCE_TEXT, Rule.REFERENCE_TEXT_ARRAY)
        known = documents_of(source.references) if is_text else rows_of(tables[source.references])
        value: LiteralString = "nullif(s.{}, '')::uuid" if is_text else "s.{}"
        name = sql.Identifier(column)
        if source.rule in (Rule.REFERENCE, Rule.REFERENCE_TEXT):
            lone.append((sql.SQL(value).format(name), known))
            continue
        element = sql.SQL(value).format(sql.Identifier("element"))
        elements = sql.SQL(_ELEMENTS).format(staged, name)
        queries.append(_not_joined(elements, "id", [(element, known)]))
    return [*queries, _not_joined(staged, "id", lone)] if lone else queries


def orphaned_pairs(target: sa.Table) -> sql.Composed:
    """Returns the query of staged pairs of which a side was not loaded; their union is staged."""
    relation = junction_of(target)
    assert relation is not None
    return _not_loaded(target, rows_table(target), (relation.left, relation.right))


def holders_of_orphans(staging: Staging, sides: tuple[Side, str, Side], side: int) -> sql.Composed:
    """Returns the query of the ids of documents whose array has pairs that cannot be loaded."""
    holder, _, other = sides
    of_side = sql.SQL("(SELECT * FROM {} WHERE side = {})").format(
        staging.batches_table, sql.Literal(side)
    )
    return _not_loaded(staging.target, of_side, (holder, other))


def doubled_values(target: sa.Table) -> list[sql.Composed]:
    """Returns queries of the ids of staged rows that have a unique value which others have, too."""
    return [
        sql.SQL(_DOUBLED).format(staged=rows_table(target), **of_key(key))
        for key in unique_keys(target)
    ]


def of_key(key: Sequence[str]) -> Mapping[str, sql.Composed]:
    """Returns the columns of a unique key by themselves, and of a row ``s``, for a query."""
    return {
        "key": sql.SQL(", ").join(map(sql.Identifier, key)),
        "of_row": sql.SQL(", ").join(sql.Identifier("s", name) for name in key),
    }


def _not_loaded(target: sa.Table, pairs: sql.Composable, sides: tuple[Side, Side]) -> sql.Composed:
    """Returns the query of the ids on the first side of pairs of which a side was not loaded."""
    tables = model_of(target).tables
    references: list[_Reference] = [
        (sql.Identifier("s", side.column), rows_of(tables[side.collection])) for side in sides
    ]
    return _not_joined(pairs, sides[0].column, references)


def _not_joined(
    staged: sql.Composable, column: str, references: Sequence[_Reference]
) -> sql.Composed:
    """Returns the query of a column of the rows of which one reference at least finds nothing."""
    joins = [
        sql.SQL("LEFT JOIN ({known}) {alias} ON {alias}.id = {value}").format(
            known=known, alias=sql.Identifier(f"k{number}"), value=value
        )
        for number, (value, known) in enumerate(references)
    ]
    missing = [
        sql.SQL("({} IS NOT NULL AND {}.id IS NULL)").format(value, sql.Identifier(f"k{number}"))
        for number, (value, _) in enumerate(references)
    ]
    return sql.SQL("SELECT s.{} FROM {} s {} WHERE {}").format(
        sql.Identifier(column), staged, sql.SQL(" ").join(joins), sql.SQL(" OR ").join(missing)
    )
