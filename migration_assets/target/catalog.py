"""What the catalog of the target says of the tables, compared with the model."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import ENUMS, TABLES
from migration_assets.target.connection import Connection

_DIALECT = pg.dialect()  # type: ignore[no-untyped-call]

_COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""

_LABELS = """
    SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid GROUP BY 1
"""


def differences(connection: Connection) -> list[str]:
    """Returns in words how the columns and enums of the target differ from the model."""
    found: dict[tuple[str, str], tuple[str, bool]] = {
        (table, column): (type_, not_null)
        for table, column, type_, not_null in connection.execute(_COLUMNS)
    }
    said = []
    for table in TABLES.values():
        expected = {
            column.name: (_type(column.type), not column.nullable) for column in table.columns
        }
        actual = {column: found[name, column] for name, column in found if name == table.name}
        for column in expected.keys() | actual.keys():
            if expected.get(column) != actual.get(column):
                said.append(
                    f"{table.name}.{column} is {_words(actual.get(column))}, "
                    f"not {_words(expected.get(column))}"
                )
    labels: dict[str, list[str]] = dict(connection.execute(_LABELS).fetchall())
    said += [
        f"enum {each.name} has other labels"
        for each in ENUMS
        if labels.get(str(each.name)) != list(each.enums)
    ]
    return sorted(said)


def _words(column: tuple[str, bool] | None) -> str:
    if column is None:
        return "missing"
    type_, not_null = column
    return f"{type_} NOT NULL" if not_null else type_


def _type(type_: object) -> str:
    """Returns a type as ``format_type`` of PostgreSQL writes it."""
    if isinstance(type_, pg.ENUM):
        return _DIALECT.identifier_preparer.quote(str(type_.name))
    compiled = str(type_.compile(dialect=_DIALECT))  # type: ignore[attr-defined]
    return compiled.lower()
