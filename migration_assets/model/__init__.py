"""How an application is declared: tables of columns, each with where its value comes from.

The one source of truth. DDL, frame schemas, assets, checks and docs derive from a :class:`Model`. It imports
neither Dagster nor a database driver. Here belongs what a declaration is made of; what NextCRM's
tables are stands in ``migration_assets.nextcrm``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from migration_assets.model.columns import Missing, Rule, Source, source_of
from migration_assets.model.model import Model, model_at, model_of
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
)

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.dialects import postgresql as pg

    TABLES: Mapping[str, sa.Table]
    ENTITIES: Mapping[str, sa.Table]
    JUNCTIONS: Mapping[str, sa.Table]
    ENUMS: tuple[pg.ENUM, ...]

__all__ = [
    "ENTITIES",
    "ENUMS",
    "JUNCTIONS",
    "TABLES",
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
]

_OF_NEXTCRM = {
    "TABLES": "tables",
    "ENTITIES": "entities",
    "JUNCTIONS": "junctions",
    "ENUMS": "enums",
}


def __getattr__(name: str) -> Any:
    """Returns a part of NextCRM's model to who is not given one yet; it goes with the last of them."""
    if name not in _OF_NEXTCRM:
        raise AttributeError(name)
    from migration_assets.nextcrm import NEXTCRM  # noqa: PLC0415

    return getattr(NEXTCRM, _OF_NEXTCRM[name])
