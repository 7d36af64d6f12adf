"""Loads some tables or runs a command in an own process, which ``faults`` disturbs."""

from __future__ import annotations

import os
import sys
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from migration_assets import interrupts
from migration_assets.errors import MigrationError
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.loading.merging import delete_pending
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.retrying import with_retries
from migration_assets.settings import ATTEMPTS, DOCUMENTS_PER_BATCH
from migration_assets.source.connection import open_source
from migration_assets.target.lock import Hold, held_for_run
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
HOLDING = "holding"
FINISHED = "finished"


def main(
    source_url: str,
    target_url: str,
    output_file: Path,
    *,
    documents_per_batch: int,
    attempts: int,
) -> None:
    """Does the work of a run, from the schema to the constraints, without Dagster.

    Args:
        source_url: The source.
        target_url: The target.
        output_file: The file that takes its messages.
        documents_per_batch: Documents between two commits.
        attempts: Attempts after transient errors.
    """
    os.environ[DOCUMENTS_PER_BATCH.name] = str(documents_per_batch)
    os.environ[ATTEMPTS.name] = str(attempts)
    with output_file.open("a", buffering=1) as lines:

        def say(line: str) -> None:
            lines.write(f"{line}\n")

        say(READY)
        try:
            with held_for_run(target_url, str(uuid.uuid4())) as hold:
                say(HOLDING)
                _load(source_url, hold, say)
        except MigrationError as error:
            say(f"error: {error}")
            sys.exit(2)
        except Exception:
            say(traceback.format_exc())
            sys.exit(1)
        say(FINISHED)


def command(arguments: Sequence[str], output_file: Path, variables: Mapping[str, str]) -> None:
    """Runs a command as the program does, in an own session, its output in a file."""
    os.setsid()
    interrupts.end_at_once()
    os.environ |= variables
    with output_file.open("a", buffering=1) as lines:
        os.dup2(lines.fileno(), 1)
        os.dup2(lines.fileno(), 2)
        sys.stdout = sys.stderr = lines
        from migration_assets.cli import app

        app(list(arguments))


def _load(source_url: str, hold: Hold, say: Callable[[str], None]) -> None:
    def identities() -> None:
        with open_source(source_url) as source, hold.open() as connection:
            create_schema(NEXTCRM, connection)
            load_identities(NEXTCRM, source, connection, say=say)

    with_retries(identities, say=say)
    for table in (TABLES[name] for name in LOADED):

        def load_one() -> None:
            with open_source(source_url) as source, hold.open() as connection:
                load_table(source, connection, table, say=say)  # noqa: B023 - called at once

        with_retries(load_one, say=say)

    def constraints() -> None:
        with hold.open() as connection:
            with connection.transaction():
                delete_pending(NEXTCRM, connection)
            build_constraints(NEXTCRM, connection)

    with_retries(constraints, say=say)
