"""NextCRM, the application that this project migrates: its model, a sample, and what belongs to it alone.

``crm``, ``projects``, ``documents`` and ``system`` declare the 29 entity tables, ``junctions`` the 10
junction tables, ``enums`` the enum types and ``search`` the indexes beyond the application's schema file.
``sample`` makes such a database, ``nextcrm-history.yaml`` are the rules for what older versions of the
application left. Another application has a package like this one (README, "A model of your own").
"""

from __future__ import annotations

from pathlib import Path

from migration_assets.model import Model
from migration_assets.nextcrm import crm, documents, enums, junctions, projects, system
from migration_assets.nextcrm.metadata import METADATA
from migration_assets.nextcrm.search import EXTENSIONS, SEARCH_INDEXES
from migration_assets.nextcrm.upgrade import upgrade

__all__ = [
    "ENTITIES",
    "ENUMS",
    "JUNCTIONS",
    "NEXTCRM",
    "TABLES",
    "crm",
    "documents",
    "enums",
    "junctions",
    "projects",
    "system",
]

NEXTCRM = Model(
    "NextCRM",
    METADATA,
    path="migration_assets.nextcrm:NEXTCRM",
    search_indexes=SEARCH_INDEXES,
    extensions=EXTENSIONS,
    upgrade=upgrade(),
    shipped_rules=Path(__file__).with_name("nextcrm-history.yaml"),
)

TABLES = NEXTCRM.tables
ENTITIES = NEXTCRM.entities
JUNCTIONS = NEXTCRM.junctions
ENUMS = NEXTCRM.enums
