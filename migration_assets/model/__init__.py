"""The model: 39 tables and 10 enum types of NextCRM, each column with where its value comes from.

The one source of truth. DDL, frame schemas, assets, checks and docs derive from it. It imports neither
Dagster nor a database driver. An engineer with another application replaces the modules ``crm``,
``projects``, ``documents``, ``system``, ``junctions``, ``enums`` and ``search``, and keeps the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import crm, documents, enums, junctions, projects, system
from migration_assets.model.columns import Missing, Rule, Source, source_of
from migration_assets.model.tables import (
    METADATA,
    Junction,
    Side,
    documents_referred_to,
    fields,
    group_of,
    junction_of,
    referenced_tables,
    sources,
    unique_columns,
)

__all__ = [
    "ENTITIES",
    "ENUMS",
    "JUNCTIONS",
    "METADATA",
    "TABLES",
    "Junction",
    "Missing",
    "Rule",
    "Side",
    "Source",
    "crm",
    "documents",
    "documents_referred_to",
    "enums",
    "fields",
    "group_of",
    "junction_of",
    "junctions",
    "projects",
    "referenced_tables",
    "source_of",
    "sources",
    "system",
    "unique_columns",
]


def _in_load_order(tables: Mapping[str, sa.Table]) -> Mapping[str, sa.Table]:
    graph = {name: sorted(referenced_tables(tables[name])) for name in sorted(tables)}
    return MappingProxyType(
        {name: tables[name] for name in TopologicalSorter(graph).static_order()}
    )


TABLES: Mapping[str, sa.Table] = _in_load_order(METADATA.tables)
"""Every table, each after those that its uuids refer to."""

ENTITIES: Mapping[str, sa.Table] = MappingProxyType(
    {name: table for name, table in TABLES.items() if junction_of(table) is None}
)
"""The tables that hold documents, by name, which is also the name of their collection."""

JUNCTIONS: Mapping[str, sa.Table] = MappingProxyType(
    {name: table for name, table in TABLES.items() if junction_of(table) is not None}
)
"""The tables that hold the pairs of a relation."""

ENUMS: tuple[pg.ENUM, ...] = tuple(
    each for each in vars(enums).values() if isinstance(each, pg.ENUM)
)
"""The enum types; three of them no column uses, but the application's schema has them."""
