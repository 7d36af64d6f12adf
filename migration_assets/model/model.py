"""A model: the declaration of an application, as one object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model.columns import source_of
from migration_assets.model.rules import declared_at
from migration_assets.model.search import SearchIndex
from migration_assets.model.tables import (
    circles,
    in_load_order,
    is_text,
    junction_of,
    referenced_tables,
    tables_before,
    unique_keys,
)
from migration_assets.model.upgrade import Upgrade

_KEY = "model"


class Model:
    """The tables, enum types and indexes of an application, checked when it is made.

    It knows its tables and each of them knows it (:func:`model_of`), so a function that is given a table
    needs no model beside it. For another process it is pickled as the path that it is imported from.

    Attributes:
        name: What the application is called.
        path: Where it is declared, as ``package.module:NAME``.
        tables: Every table, by name, in load order: each after those that its uuids refer to, as far as
            they do not refer to each other in a circle.
        circles: The same tables, those together that refer to each other in a circle, else each alone.
        entities: The tables that hold documents, by name, which is also the name of their collection.
        junctions: The tables that hold the pairs of a relation.
        enums: The enum types by name, those too that no column uses.
        search_indexes: The indexes that are written out by hand.
        upgrade: The release that the application goes on to afterwards; None where there is none.
        shipped_rules: Rules for what older versions of the application left, as YAML; None without any.
        extensions: Created where the server has them; the application uses them, the migration does not.
    """

    def __init__(
        self,
        name: str,
        metadata: sa.MetaData,
        *,
        path: str,
        search_indexes: tuple[SearchIndex, ...] = (),
        extensions: tuple[str, ...] = (),
        upgrade: Upgrade | None = None,
        shipped_rules: Path | None = None,
    ) -> None:
        """Makes the model of all tables that were declared in a ``MetaData``.

        Raises:
            ValueError: The declarations contradict each other; the message says which, and how.
        """
        _check(metadata, search_indexes)
        self.name = name
        self.path = path
        self.search_indexes = search_indexes
        self.extensions = extensions
        self.upgrade = upgrade
        self.shipped_rules = shipped_rules
        self.tables = in_load_order(metadata.tables)
        self.entities = _those(self.tables, junctions=False)
        self.junctions = _those(self.tables, junctions=True)
        enums = metadata.get_schema_objects(pg.ENUM)
        self.enums = tuple(sorted(enums, key=lambda enum: str(enum.name)))
        self._before = tables_before(self.tables)
        for table in self.tables.values():
            self._require_settled(table)
        self.circles = tuple(circles(self.tables))
        metadata.info[_KEY] = self

    def __repr__(self) -> str:
        return f"<the model {self.name} of {len(self.tables)} tables>"

    def __reduce__(self) -> tuple[Any, ...]:
        return model_at, (self.path,)

    def before(self, table: sa.Table) -> frozenset[str]:
        """Returns the tables that are loaded before a table, since it refers to them."""
        return self._before[table.name]

    def is_loaded_twice(self, table: sa.Table) -> bool:
        """Tells whether a table refers to itself or to one that is loaded after it.

        What leads there is settled by another load, once that one is there.
        """
        return bool(set(referenced_tables(table)) - self.before(table))

    def _require_settled(self, table: sa.Table) -> None:
        """Refuses a reference within a unique key if a second load sets it: the key would depend on it."""
        for key in unique_keys(table):
            pointed_to = {source_of(table.columns[name]).references for name in key} - {None}
            if not pointed_to <= self.before(table):
                raise ValueError(
                    f"{table.name} cannot have {', '.join(key)} unique: within a circle"
                )


def model_of(table: sa.Table) -> Model:
    """Returns the model that a table belongs to."""
    model: Model = table.metadata.info[_KEY]
    return model


def model_at(path: str) -> Model:
    """Returns the model that is declared at a path.

    Args:
        path: ``package.module:NAME``.

    Raises:
        ValueError: There is no such path, or no model stands there.
    """
    model = declared_at(path, "model")
    if not isinstance(model, Model):
        raise ValueError(f"what stands at {path!r} is no model, but {type(model).__name__}")
    return model


def _those(tables: Mapping[str, sa.Table], *, junctions: bool) -> Mapping[str, sa.Table]:
    return MappingProxyType(
        {
            name: table
            for name, table in tables.items()
            if (junction_of(table) is not None) is junctions
        }
    )


def _check(metadata: sa.MetaData, search_indexes: tuple[SearchIndex, ...]) -> None:
    for name, table in metadata.tables.items():
        for other in referenced_tables(table):
            if other not in metadata.tables:
                raise ValueError(f"{name} refers to {other}, which is no table of the model")
        for key in unique_keys(table):
            if not any(is_text(table.columns[column]) for column in key):
                raise ValueError(f"the unique key {', '.join(key)} of {name} has no column of text")
        relation = junction_of(table)
        for side in (relation.left, relation.right) if relation else ():
            if junction_of(metadata.tables[side.collection]) is not None:
                raise ValueError(f"{name} joins {side.collection}, which holds no documents")
    for index in search_indexes:
        if index.table not in metadata.tables:
            raise ValueError(f"{index.name} is on {index.table}, which is no table of the model")
