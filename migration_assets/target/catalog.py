"""What the catalog of the target says of tables, indexes and foreign keys, compared with the model."""

from __future__ import annotations

import re

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import ENUMS, TABLES
from migration_assets.target import ddl
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

_INDEXES = """
    SELECT c.relname, pg_get_indexdef(c.oid), i.indisvalid
    FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace
"""

_FOREIGN_KEYS = """
    SELECT k.conname, t.relname, pg_get_constraintdef(k.oid), k.convalidated
    FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
    WHERE k.contype = 'f' AND t.relnamespace = 'public'::regnamespace
"""

_SPELLING = re.compile(r"""["()\s]|\bIF NOT EXISTS\b|\bUSING btree\b|\bpublic\.|::text\b""")
"""What PostgreSQL writes otherwise than we do, though it means the same."""


def missing_constraints(connection: Connection) -> list[str]:
    """Returns the names of the indexes and foreign keys that the target does not have yet.

    An index that a build was cut off from, and that PostgreSQL does not use, counts as missing.
    """
    present = {name for name, _, is_valid in connection.execute(_INDEXES) if is_valid}
    present |= {name for name, *_ in connection.execute(_FOREIGN_KEYS)}
    return [name for name in ddl.constraints() if name not in present]


def differing_constraints(connection: Connection) -> dict[str, str]:
    """Returns the indexes and foreign keys that have the name of one of the model, but are another.

    A foreign key that was added without a look at the rows that there were (``NOT VALID``) is another too.

    Returns:
        What each is in the target, as PostgreSQL writes it, by name.
    """
    expected = {name: _essence(statement) for name, statement in ddl.indexes().items()}
    found = {
        name: definition
        for name, definition, is_valid in connection.execute(_INDEXES)
        if is_valid and name in expected and _essence(definition) != expected[name]
    }
    keys = {ddl.name_of(key): key for key in ddl.foreign_key_constraints()}
    for name, table, definition, is_valid in connection.execute(_FOREIGN_KEYS):
        if name not in keys:
            continue
        key = keys[name]
        is_same = table == key.table.name and _essence(definition) == _essence(_foreign_key(key))
        if not is_same or not is_valid:
            found[name] = f"on {table}: {definition}"
    return found


def is_unbounded(name: str, definition: str) -> bool:
    """Tells whether an index is an addition as earlier versions built it, which could refuse a value."""
    former = ddl.unbounded_search_indexes().get(name)
    return former is not None and _essence(definition) == _essence(former)


def _foreign_key(key: sa.ForeignKeyConstraint) -> str:
    """Returns a foreign key as PostgreSQL writes it, but for the spelling."""
    columns = ", ".join(key.columns.keys())
    referred = ", ".join(element.column.name for element in key.elements)
    actions = "".join(
        f" ON {event} {action}"
        for event, action in (("UPDATE", key.onupdate), ("DELETE", key.ondelete))
        if action not in (None, "NO ACTION")
    )
    return f"FOREIGN KEY ({columns}) REFERENCES {key.referred_table.name}({referred}){actions}"


def _essence(definition: str) -> str:
    return _SPELLING.sub("", definition.replace("COALESCE", "coalesce"))


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
