"""Keys of the assets and their checks."""

from __future__ import annotations

import dagster as dg

PREFLIGHT = dg.AssetKey(["migration", "preflight"])
TARGET_SCHEMA = dg.AssetKey(["migration", "target_schema"])
UUID_MAP = dg.AssetKey(["migration", "uuid_map"])
CONSTRAINTS = dg.AssetKey(["migration", "constraints"])
SIGN_OFF = dg.AssetKey(["migration", "sign_off"])
HEALTH = dg.AssetKey(["monitoring", "health"])
QUERIES = dg.AssetKey(["monitoring", "queries"])
CAPACITY = dg.AssetKey(["monitoring", "capacity"])

MIGRATE = "migrate"
"""The job that does all of it."""

PREFLIGHT_JOB = "preflight"
"""The job that does nothing but look, at all documents."""

POOL = "migration"
"""The pool of all that holds the target: one run at a time has it, and the next one waits."""

OWNERS = ["team:migration"]
MONITORING = "monitoring"
"""The group of what watches the target after go-live; no migration has part in it."""


def source_key(collection: str) -> dg.AssetKey:
    """Returns the key of a collection's source asset."""
    return dg.AssetKey(["mongodb", collection])


def table_key(table: str) -> dg.AssetKey:
    """Returns the key of a table's asset."""
    return dg.AssetKey(["postgres", table])
