"""The record of the objects that this project created in the target.

A rollback removes the recorded objects and nothing else: an extension, a schema or an enum type that was
in the database before stays. Tables that somebody had prepared stay, too; only their rows, which are ours,
go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from psycopg import sql

from migration_assets.model import Model
from migration_assets.target.bookkeeping import BOOKKEEPING, SCHEMA, STAGING_SCHEMA, created_objects
from migration_assets.target.connection import Connection
from migration_assets.target.standing import PUBLIC, standing_tables

EXTENSION = "extension"
SCHEMA_KIND = "schema"
TYPE = "type"
TABLE = "table"
ROWS = "rows"
"""All rows of a table that was there before, empty."""

_PRESENT = """
    SELECT 'extension', '', extname FROM pg_extension
    UNION ALL
    SELECT 'schema', '', nspname FROM pg_namespace WHERE nspname IN ({schema}, {staging})
    UNION ALL
    SELECT 'type', n.nspname, t.typname
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND n.nspname = 'public' AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_type'::regclass AND objid = t.oid AND deptype = 'e')
    UNION ALL
    SELECT 'table', n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname IN ('public', {schema}, {staging}) AND NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
"""


def _our_names(model: Model) -> Mapping[tuple[str, str], frozenset[str]]:
    """Returns the names that this project creates, by kind and schema; in the staging schema it owns all."""
    return {
        (EXTENSION, ""): frozenset(model.extensions),
        (TYPE, "public"): frozenset(str(enum.name) for enum in model.enums),
        (TABLE, "public"): frozenset(model.tables),
        (TABLE, SCHEMA): frozenset(table.name for table in BOOKKEEPING.tables.values()),
    }


@dataclass(frozen=True, slots=True, order=True)
class DatabaseObject:
    """An object of the database.

    Attributes:
        kind: `extension`, `schema`, `type`, `table`, or `rows` of a table.
        schema: The schema that it is in; empty for extensions and schemas.
        name: Its name.
    """

    kind: str
    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        """Its name for SQL."""
        parts = [self.schema, self.name] if self.schema else [self.name]
        return sql.Identifier(*parts)

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.schema}.{self.name}" if self.schema else f"{self.kind} {self.name}"
        )


def present_objects(connection: Connection) -> frozenset[DatabaseObject]:
    """Returns the objects of the target that are of the kinds that this project creates."""
    names = {"schema": sql.Literal(SCHEMA), "staging": sql.Literal(STAGING_SCHEMA)}
    rows = connection.execute(sql.SQL(_PRESENT).format(**names))
    return frozenset(DatabaseObject(*row) for row in rows)


def record_created(
    model: Model,
    connection: Connection,
    before: frozenset[DatabaseObject],
    prepared: Iterable[str] = (),
) -> list[DatabaseObject]:
    """Records the objects created since a moment. The caller holds the transaction that created them.

    Args:
        model: The application's tables.
        connection: A connection within that transaction.
        before: What there was at its start.
        prepared: The application's tables that were there, empty.

    Returns:
        What was created.
    """
    created = sorted(
        database_object
        for database_object in present_objects(connection) - before
        if is_named_as_ours(model, database_object)
    )
    created += [DatabaseObject(ROWS, "public", name) for name in prepared]
    with connection.cursor() as cursor:
        cursor.executemany(
            sql.SQL(
                "INSERT INTO {} (kind, schema, name) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
            ).format(_table()),
            [(new.kind, new.schema, new.name) for new in created],
        )
    return created


def is_named_as_ours(model: Model, database_object: DatabaseObject) -> bool:
    """Tells whether this project creates an object of this name.

    Somebody else may create tables at the same moment.
    """
    names = _our_names(model).get((database_object.kind, database_object.schema))
    return names is None or database_object.name in names


def recorded_objects(model: Model, connection: Connection) -> frozenset[DatabaseObject]:
    """Returns the objects that this project created and that still exist, under their present names.

    What the application gave another schema or name is ours yet; a table of the application's that has
    one of our names since is not.
    """
    query = sql.SQL("SELECT kind, schema, name FROM {}").format(_table())
    recorded = frozenset(DatabaseObject(*row) for row in connection.execute(query))
    present = present_objects(connection)
    filled = {
        DatabaseObject(ROWS, table.schema, table.name) for table in present if table.kind == TABLE
    }
    ours = set(recorded & (present | filled))
    for name, standing in standing_tables(model, connection).items():
        for created in (DatabaseObject(TABLE, PUBLIC, name), DatabaseObject(ROWS, PUBLIC, name)):
            if created in recorded:
                ours.discard(created)
                if standing.is_there:
                    ours.add(DatabaseObject(created.kind, standing.schema, standing.name))
    return frozenset(ours)


def _table() -> sql.Identifier:
    return sql.Identifier(SCHEMA, created_objects.name)
