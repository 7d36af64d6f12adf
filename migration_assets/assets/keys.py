"""Keys of the assets and their checks."""

from __future__ import annotations

import dagster as dg

TARGET_SCHEMA = dg.AssetKey(["migration", "target_schema"])
UUID_MAP = dg.AssetKey(["migration", "uuid_map"])
CONSTRAINTS = dg.AssetKey(["migration", "constraints"])
SIGN_OFF = dg.AssetKey(["migration", "sign_off"])

OWNERS = ["team:migration"]


def source_key(collection: str) -> dg.AssetKey:
    """Returns the key of a collection's source asset."""
    return dg.AssetKey(["mongodb", collection])


def table_key(table: str) -> dg.AssetKey:
    """Returns the key of a table's asset."""
    return dg.AssetKey(["postgres", table])
