"""Loads some tables in a process of its own, to be killed in the middle of it by ``test_faults``."""

from __future__ import annotations

import os

from migration_assets.loading.identities import load_identities
from migration_assets.loading.merging import delete_pending
from migration_assets.loading.tables import load_table
from migration_assets.model import TABLES
from migration_assets.retrying import with_retries
from migration_assets.source.connection import open_source
from migration_assets.target.connection import open_target
from migration_assets.target.schema import build_constraints, create_schema

LOADED = (
    "Users",
    "crm_Industry_Type",
    "Documents_Types",
    "crm_Accounts",
    "Documents",
    "AccountWatchers",
    "DocumentsToAccounts",
)
"""Enough to meet every kind of load, few enough to be killed often."""


def _say(said: str) -> None:
    print(said, flush=True)


def main() -> None:
    """Does what a run does, from the schema to the constraints, without Dagster."""
    _say("ready")
    source_url, target_url = os.environ["SOURCE_MONGODB_URL"], os.environ["TARGET_POSTGRES_URL"]

    def identities() -> None:
        with open_source(source_url) as source, open_target(target_url) as connection:
            create_schema(connection)
            load_identities(source, connection, say=_say)

    with_retries(identities, say=_say)
    for table in (TABLES[name] for name in LOADED):

        def one() -> None:
            with open_source(source_url) as source, open_target(target_url) as connection:
                load_table(source, connection, table, say=_say)  # noqa: B023 - called at once

        with_retries(one, say=_say)

    def constraints() -> None:
        with open_target(target_url) as connection:
            with connection.transaction():
                delete_pending(connection)
            build_constraints(connection)

    with_retries(constraints, say=_say)
    _say("finished")


if __name__ == "__main__":
    main()
