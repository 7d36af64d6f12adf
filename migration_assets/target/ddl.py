"""The DDL of the target, generated from the model, in the order in which it is applied.

The files in `sql/` are this module's output, kept for review; a test holds them together. No step
refers to a later one, and each can be applied to a database that has it already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.schema import AddConstraint, CreateIndex, CreateTable, DDLElement, SetTableComment

from migration_assets.model import Model
from migration_assets.model.search import SearchIndex
from migration_assets.target.bookkeeping import (
    BOOKKEEPING,
    BOOKS,
    SCHEMA,
    STAGING_SCHEMA,
    staged_name,
)

BOOKKEEPING_MARK = "bookkeeping of migration-assets, version "
"""How the comment on the schema begins that tells which declaration made it."""

_DIALECT = pg.dialect()  # type: ignore[no-untyped-call]


def extensions(model: Model) -> list[str]:
    """Returns the statements that create the extensions, each where the server has it and the role may."""
    return [_extension(name) for name in model.extensions]


def enums(model: Model) -> list[str]:
    """Returns the statements that create the enum types."""
    return [_enum(type_) for type_ in model.enums]


def tables(model: Model) -> list[str]:
    """Returns the statements that create the tables with their primary keys, without other constraints."""
    return [
        _text(CreateTable(table, include_foreign_key_constraints=[], if_not_exists=True))
        for table in model.tables.values()
    ]


def bookkeeping() -> list[str]:
    """Returns the statements that create the bookkeeping, marked with its own version."""
    version = bookkeeping_version()
    return [*_bookkeeping(), f"COMMENT ON SCHEMA {SCHEMA} IS '{BOOKKEEPING_MARK}{version}'"]


def bookkeeping_version() -> str:
    """Returns a digest of the declaration of the bookkeeping, 16 hex digits."""
    return hashlib.blake2b("\n".join(_bookkeeping()).encode(), digest_size=8).hexdigest()


def _bookkeeping() -> list[str]:
    statements = [f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"]
    for table in BOOKKEEPING.sorted_tables:
        statements.append(_text(CreateTable(table, if_not_exists=True)))
        statements.append(_text(SetTableComment(table)))
        indexes = sorted(table.indexes, key=name_of)
        statements += [_text(CreateIndex(index, if_not_exists=True)) for index in indexes]
    statements.append(f"CREATE SCHEMA IF NOT EXISTS {STAGING_SCHEMA}")
    statements += [
        f'CREATE UNLOGGED TABLE IF NOT EXISTS {STAGING_SCHEMA}."{staged_name(book.name)}"\n'
        f"  (LIKE {SCHEMA}.{book.name})"
        for book in BOOKS
    ]
    return statements


def unique_indexes(model: Model) -> Mapping[str, str]:
    """Returns the statements that create the unique indexes, by name."""
    return _indexes(model, unique=True)


def secondary_indexes(model: Model) -> Mapping[str, str]:
    """Returns the statements that create the other indexes of the contract, by name."""
    return _indexes(model, unique=False)


def search_indexes(model: Model) -> Mapping[str, str]:
    """Returns the statements that create the full-text, containment and partial indexes, by name."""
    return {index.name: _search_index(index, index.definition) for index in model.search_indexes}


def unbounded_search_indexes(model: Model) -> Mapping[str, str]:
    """Returns the statements by which earlier versions created some of these indexes, by name."""
    return {
        index.name: _search_index(index, index.unbounded)
        for index in model.search_indexes
        if index.unbounded
    }


def _search_index(index: SearchIndex, definition: str) -> str:
    return f'CREATE INDEX IF NOT EXISTS "{index.name}" ON "{index.table}" {definition}'


def foreign_keys(model: Model) -> Mapping[str, str]:
    """Returns the statements that add the foreign keys, by name."""
    return {name_of(key): _text(AddConstraint(key)) for key in foreign_key_constraints(model)}


def foreign_key_constraints(model: Model) -> list[sa.ForeignKeyConstraint]:
    """Returns the foreign keys of the model, by name."""
    keys = [key for table in model.tables.values() for key in table.foreign_key_constraints]
    return sorted(keys, key=name_of)


def indexes(model: Model) -> Mapping[str, str]:
    """Returns the statements that create all indexes, by name, in the order of building."""
    return {**unique_indexes(model), **secondary_indexes(model), **search_indexes(model)}


def tables_of_indexes(model: Model) -> Mapping[str, str]:
    """Returns the table that each index is on, by the name of the index."""
    of_model = {
        name_of(index): table.name for table in model.tables.values() for index in table.indexes
    }
    return {**of_model, **{index.name: index.table for index in model.search_indexes}}


def tables_of_foreign_keys(model: Model) -> Mapping[str, str]:
    """Returns the table that each foreign key is on, by the name of the key."""
    return {name_of(key): key.table.name for key in foreign_key_constraints(model)}


def constraints(model: Model) -> Mapping[str, str]:
    """Returns the statements that build the indexes and foreign keys, by name, in order."""
    return {**indexes(model), **foreign_keys(model)}


def files(model: Model) -> Mapping[str, str]:
    """Returns the files of `sql/`, by name."""
    contents = {
        "01_extensions.sql": ("Extensions, where the server has them", extensions(model)),
        "02_enums.sql": ("Enum types", enums(model)),
        "03_tables.sql": ("Tables with their primary keys", tables(model)),
        "04_bookkeeping.sql": ("Bookkeeping of the migration", bookkeeping()),
        "05_indexes.sql": (
            "Secondary indexes, built after the load",
            [*unique_indexes(model).values(), *secondary_indexes(model).values()],
        ),
        "06_foreign_keys.sql": ("Foreign keys, added after the load", foreign_keys(model).values()),
        "07_search_indexes.sql": (
            "Full-text, containment and partial indexes",
            search_indexes(model).values(),
        ),
    }
    return {name: _file(title, statements) for name, (title, statements) in contents.items()}


def _file(title: str, statements: Iterable[str]) -> str:
    head = f"-- {title}. Generated from the model by `migration-assets sql`; do not edit.\n"
    return head + "".join(f"\n{statement};\n" for statement in statements)


def _indexes(model: Model, *, unique: bool) -> Mapping[str, str]:
    indexes = [index for table in model.tables.values() for index in table.indexes]
    return {
        name_of(index): _text(CreateIndex(index, if_not_exists=True))
        for index in sorted(indexes, key=name_of)
        if bool(index.unique) is unique
    }


def _enum(type_: pg.ENUM) -> str:
    labels = ", ".join(f"'{label}'" for label in type_.enums)
    return (
        f"DO $$ BEGIN\n"
        f"  IF to_regtype('\"{type_.name}\"') IS NULL THEN\n"
        f'    CREATE TYPE "{type_.name}" AS ENUM ({labels});\n'
        f"  END IF;\n"
        f"END $$"
    )


def _extension(name: str) -> str:
    return (
        f"DO $$ BEGIN\n"
        f"  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = '{name}') THEN\n"
        f'    CREATE EXTENSION IF NOT EXISTS "{name}";\n'
        f"  END IF;\n"
        f"EXCEPTION WHEN OTHERS THEN\n"
        f"  RAISE WARNING 'extension {name} was not created: %', SQLERRM;\n"
        f"END $$"
    )


def _text(element: DDLElement) -> str:
    compiled = str(element.compile(dialect=_DIALECT))
    return "\n".join(line.rstrip().expandtabs(2) for line in compiled.strip().splitlines())


def name_of(thing: sa.Index | sa.ForeignKeyConstraint) -> str:
    """Returns the name of an index or a foreign key, as it stands in the catalog."""
    return str(_DIALECT.identifier_preparer.format_constraint(thing) or thing.name).strip('"')
