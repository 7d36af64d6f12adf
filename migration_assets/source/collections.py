"""Which collections a database has, as far as the user may see."""

from __future__ import annotations

from pymongo.errors import OperationFailure

from migration_assets.source.connection import SourceDatabase
from migration_assets.source.refusals import UNAUTHORIZED


def collection_types(source: SourceDatabase) -> dict[str, str]:
    """Returns the type of each collection (`collection`, `view`, `timeseries`), MongoDB's own apart."""
    return {
        name: kind
        for name, kind in sorted(_all_types(source).items())
        if not name.startswith("system.")
    }


def may_list_all(source: SourceDatabase) -> bool:
    """Tells whether the user may list all collections, not only those that it may read."""
    try:
        source.list_collection_names()
    except OperationFailure as refusal:
        if refusal.code != UNAUTHORIZED:
            raise
        return False
    return True


def _all_types(source: SourceDatabase) -> dict[str, str]:
    try:
        descriptions = list(source.list_collections())
    except OperationFailure as refusal:
        if refusal.code != UNAUTHORIZED:
            raise
        # Whoever may read some collections, and not list all, may list those.
        descriptions = list(source.list_collections(nameOnly=True, authorizedCollections=True))
    return {
        description["name"]: description.get("type", "collection") for description in descriptions
    }
