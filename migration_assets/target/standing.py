"""The tables of the migration as they stand in the target now.

After go-live the database belongs to the application, whose later schema migrations drop, rename, move and
retype tables and columns. Code that reads the rows then asks here where they are. A renamed table or column
is recognized by the order in which its columns were created, which PostgreSQL does not change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import Model, model_of
from migration_assets.target.bookkeeping import SCHEMA, STAGING_SCHEMA
from migration_assets.target.catalog import type_name
from migration_assets.target.connection import Connection

PUBLIC = "public"

_COLUMNS = """
    SELECT n.nspname::text, c.relname::text, a.attnum, a.attname::text,
           format_type(a.atttypid, a.atttypmod), a.attnotnull,
           EXISTS (SELECT FROM pg_type t WHERE t.oid = a.atttypid AND t.typtype = 'e'),
           pg_get_expr(d.adbin, d.adrelid), a.attgenerated <> '',
           EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                   AND a.attnum = ANY(i.indkey))
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname <> ALL(%s) AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class StandingColumn:
    """A column as it is in the target.

    Attributes:
        name: Its name.
        place: Its number in its table, from 1, which a new name does not change.
        type: Its type as PostgreSQL writes it.
        is_not_null: NULL is refused.
        is_enum: Its type is an enum.
        default: What it holds where nothing is given, as SQL; None for nothing.
        is_derived: PostgreSQL computes it from others.
        is_key: It is of the primary key.
    """

    name: str
    place: int
    type: str
    is_not_null: bool
    is_enum: bool
    default: str | None
    is_derived: bool
    is_key: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A table of the migration as it is in the target.

    Attributes:
        table: The table of the model.
        schema: The schema that it is in; empty where it is gone.
        name: Its name there.
        columns: What became of each column of the model, by its name there; without those that are gone.
        added: Columns that the model does not have.
    """

    table: sa.Table
    schema: str = ""
    name: str = ""
    columns: Mapping[str, StandingColumn] = field(default_factory=dict)
    added: tuple[StandingColumn, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether there is such a table."""
        return bool(self.schema)

    @property
    def identifier(self) -> sql.Identifier:
        """Its name for SQL."""
        return sql.Identifier(self.schema, self.name)

    def losses(self) -> Iterator[str]:
        """Yields in words the tables and columns that are gone, moved, renamed or retyped."""
        model_name = self.table.name
        if not self.is_there:
            yield f"table {model_name} is gone"
            return
        if (self.schema, self.name) != (PUBLIC, model_name):
            yield f"table {model_name} is {self.schema}.{self.name} now"
        for column in self.table.columns:
            now = self.columns.get(column.name)
            which = f"column {model_name}.{column.name}"
            if now is None:
                yield f"{which} is gone"
                continue
            if now.name != column.name:
                yield f"{which} is {now.name} now"
            if now.type != type_name(column.type):
                yield f"{which} is {now.type} now, not {type_name(column.type)}"

    def changes(self) -> Iterator[str]:
        """Yields in words every difference from the table as it was created."""
        yield from self.losses()
        model_name = self.table.name
        for column in self.table.columns:
            now = self.columns.get(column.name)
            if now is not None and now.is_not_null is column.nullable:
                effect = "refuses" if now.is_not_null else "takes"
                yield f"column {model_name}.{column.name} {effect} NULL now"
        for added in self.added:
            yield f"column {model_name}.{added.name} is new"


def standing_tables(model: Model, connection: Connection) -> Mapping[str, Standing]:
    """Returns how each table of the model stands in the target, by name."""
    columns_by_place: dict[tuple[str, str], list[StandingColumn]] = {}
    query = connection.execute(_COLUMNS, [[SCHEMA, STAGING_SCHEMA]])
    for schema, name, place, column, type_, *rest in query:
        columns_by_place.setdefault((schema, name), []).append(
            StandingColumn(column, place, type_, *rest)
        )
    return {name: _standing(table, columns_by_place) for name, table in model.tables.items()}


def changes_since(model: Model, connection: Connection) -> list[str]:
    """Returns in words what the application has changed of the tables of the migration."""
    return [
        change
        for standing in standing_tables(model, connection).values()
        for change in standing.changes()
    ]


def _standing(
    table: sa.Table, columns_by_place: Mapping[tuple[str, str], list[StandingColumn]]
) -> Standing:
    for schema, name in _places(table, columns_by_place):
        columns = columns_by_place[schema, name]
        # A copy that somebody made (CREATE TABLE ... AS) has no key, and is somebody's.
        is_own = (schema, name) == (PUBLIC, table.name) or any(column.is_key for column in columns)
        if is_own and _is_it(table, columns):
            model_columns = _columns(table, columns)
            known_places = {column.place for column in model_columns.values()}
            added = tuple(column for column in columns if column.place not in known_places)
            return Standing(table, schema, name, model_columns, added)
    return Standing(table)


def _places(
    table: sa.Table, columns_by_place: Mapping[tuple[str, str], list[StandingColumn]]
) -> Iterator[tuple[str, str]]:
    """Yields where a table may be: its own place, another schema, another name with the same columns.

    Two columns are too few to know a junction table by.
    """
    yield from sorted(
        (place for place in columns_by_place if place[1] == table.name),
        key=lambda place: place[0] != PUBLIC,
    )
    names = [column.name for column in table.columns]
    for place, columns in columns_by_place.items():
        is_another = place[1] not in model_of(table).tables and len(names) > 2
        if is_another and [column.name for column in columns][: len(names)] == names:
            yield place


def _is_it(table: sa.Table, columns: list[StandingColumn]) -> bool:
    """Tells whether it is that table rather than another one of its name: half of its columns match."""
    return 2 * max(_in_place(table, columns), _by_name(table, columns)) >= len(table.columns)


def _in_place(table: sa.Table, columns: list[StandingColumn]) -> int:
    at = {column.place: column.name for column in columns}
    return sum(at.get(place) == column.name for place, column in enumerate(table.columns, 1))


def _by_name(table: sa.Table, columns: list[StandingColumn]) -> int:
    return len({column.name for column in columns} & {column.name for column in table.columns})


def _columns(table: sa.Table, columns: list[StandingColumn]) -> dict[str, StandingColumn]:
    """Returns the columns of the model that exist: by name, else at the place of a missing one."""
    by_name = {column.name: column for column in columns}
    by_model_name = {
        column.name: by_name[column.name] for column in table.columns if column.name in by_name
    }
    if 2 * _in_place(table, columns) < len(table.columns):
        return by_model_name  # restored from a dump: the places are others
    at = {column.place: column for column in columns if column.name not in table.columns}
    for place, column in enumerate(table.columns, 1):
        if column.name not in by_model_name and place in at:
            by_model_name[column.name] = at[place]
    return by_model_name
