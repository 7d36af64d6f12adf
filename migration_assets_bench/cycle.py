"""A full cycle, all that the job `migrate` does: without Dagster, and as Dagster runs it.

Load each table and check it, build the constraints, give the verdict.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from migration_assets.loading.pipeline import Stopwatch
from migration_assets.nextcrm import NEXTCRM
from migration_assets.settings import DAGSTER_URL, SOURCE_URL, TARGET_URL
from migration_assets.sign_off.signing import sign
from migration_assets.source.connection import open_source
from migration_assets.target.connection import open_target
from migration_assets.workers import Workers
from migration_assets_bench.checks import failed_checks, problem
from migration_assets_bench.ours import add_constraints, counts, load_tables, stages
from migration_assets_bench.tasks import Done, Task


def without_dagster(task: Task) -> Done:
    """Does the work of the job in its order, with plain functions."""
    watch = Stopwatch()
    failed: list[str] = []
    started = time.perf_counter()
    with (
        open_source(task.source) as source,
        open_target(task.target) as connection,
        Workers() as workers,
    ):

        def check(table: sa.Table) -> None:
            failed.extend(failed_checks(source, connection, table, workers, watch))

        results = load_tables(source, connection, workers, watch, check)
        add_constraints(connection, watch)
        with watch.stage("sign-off"), TemporaryDirectory() as reports:
            made = sign(NEXTCRM, source, connection, directory=Path(reports)).verdict
    seconds = time.perf_counter() - started
    if not made.is_go:
        failed.append("sign-off")
    return Done(
        seconds,
        stages=stages(watch, results),
        counts=counts(results),
        problem=problem(failed),
    )


def with_dagster(task: Task) -> Done:
    """Runs the job with its events in PostgreSQL, as `migration-assets run` does."""
    home = Path(task.directory)
    os.environ |= {
        "DAGSTER_HOME": str(home),
        SOURCE_URL.name: task.source,
        TARGET_URL.name: task.target,
        DAGSTER_URL.name: task.storage,
        **task.options,
    }
    os.chdir(home)
    started = time.perf_counter()
    from rich.console import Console  # noqa: PLC0415 - what the job imports is part of its cost

    from migration_assets.commands.jobs import run_job  # noqa: PLC0415
    from migration_assets.commands.running import held_databases  # noqa: PLC0415
    from migration_assets.definitions import MIGRATE  # noqa: PLC0415

    imported = time.perf_counter()
    with held_databases(NEXTCRM) as hold:
        outcome = run_job(NEXTCRM, MIGRATE, Console(file=io.StringIO()), hold)
    ended = time.perf_counter()
    return Done(
        ended - started,
        stages={"imports": imported - started, "job": ended - imported},
        counts={"events": _events(task.storage)},
        problem=next(iter(outcome.failures.values()), None),
    )


def _events(storage: str) -> int:
    engine = sa.create_engine(storage)
    with engine.connect() as connection:
        found: int = connection.execute(sa.text("SELECT count(*) FROM event_logs")).scalar_one()
    engine.dispose()
    return found
