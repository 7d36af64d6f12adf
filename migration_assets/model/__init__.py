"""How an application is declared: tables of columns, each with where its value comes from.

The one source of truth. DDL, frame schemas, assets, checks and docs derive from a :class:`Model`. It imports
neither Dagster nor a database driver. Here belongs what a declaration is made of; what NextCRM's
tables are stands in ``migration_assets.nextcrm``.
"""

from __future__ import annotations

from migration_assets.model.columns import Missing, Source, source_of
from migration_assets.model.model import Model, model_at, model_of
from migration_assets.model.rules import Rule
from migration_assets.model.tables import (
    Junction,
    Side,
    documents_referred_to,
    fields,
    group_of,
    junction_of,
    new_metadata,
    referenced_tables,
    sources,
    unique_columns,
    unique_keys,
    value_sources,
)

__all__ = [
    "Junction",
    "Missing",
    "Model",
    "Rule",
    "Side",
    "Source",
    "documents_referred_to",
    "fields",
    "group_of",
    "junction_of",
    "model_at",
    "model_of",
    "new_metadata",
    "referenced_tables",
    "source_of",
    "sources",
    "unique_columns",
    "unique_keys",
    "value_sources",
]
