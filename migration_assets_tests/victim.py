"""Loads some tables in a process of its own, to be killed in the middle of it by ``faults``."""

from __future__ import annotations

import os
import sys
import traceback
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from migration_assets.errors import MigrationError
from migration_assets.loading.identities import load_identities
from migration_assets.loading.merging import delete_pending
from migration_assets.loading.tables import load_table
from migration_assets.model import TABLES
from migration_assets.retrying import ATTEMPTS_VARIABLE, with_retries
from migration_assets.source.connection import open_source
from migration_assets.source.reading import BATCH_VARIABLE
from migration_assets.target.connection import open_target
from migration_assets.target.lock import held_for_run
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

READY = "ready"
FINISHED = "finished"


def main(
    source_url: str,
    target_url: str,
    said: Path,
    *,
    documents_per_batch: int,
    attempts: int,
    is_holding: bool,
) -> None:
    """Does what a run does, from the schema to the constraints, without Dagster.

    Args:
        source_url: The source.
        target_url: The target.
        said: The file that it writes to what it says.
        documents_per_batch: Documents between two commits.
        attempts: Attempts where the reason of a failure passes.
        is_holding: Hold the target against every other run, as a run does.
    """
    os.environ[BATCH_VARIABLE] = str(documents_per_batch)
    os.environ[ATTEMPTS_VARIABLE] = str(attempts)
    with said.open("a", buffering=1) as lines:

        def say(line: str) -> None:
            lines.write(f"{line}\n")

        say(READY)
        try:
            holding = held_for_run(target_url, uuid.uuid4().hex) if is_holding else nullcontext()
            with holding:
                _load(source_url, target_url, say)
        except MigrationError as error:
            say(f"error: {error}")
            sys.exit(2)
        except Exception:
            say(traceback.format_exc())
            sys.exit(1)
        say(FINISHED)


def _load(source_url: str, target_url: str, say: Callable[[str], None]) -> None:
    def identities() -> None:
        with open_source(source_url) as source, open_target(target_url) as connection:
            create_schema(connection)
            load_identities(source, connection, say=say)

    with_retries(identities, say=say)
    for table in (TABLES[name] for name in LOADED):

        def one() -> None:
            with open_source(source_url) as source, open_target(target_url) as connection:
                load_table(source, connection, table, say=say)  # noqa: B023 - called at once

        with_retries(one, say=say)

    def constraints() -> None:
        with open_target(target_url) as connection:
            with connection.transaction():
                delete_pending(connection)
            build_constraints(connection)

    with_retries(constraints, say=say)
