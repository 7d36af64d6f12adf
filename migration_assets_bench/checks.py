"""The four checks of every table, over all rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa

from migration_assets.loading.pipeline import Stopwatch
from migration_assets.model import TABLES
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.checks import run_check
from migration_assets.validation.evidence import Layer
from migration_assets_bench.tasks import Done, Task


def run(task: Task) -> Done:
    """Runs the four checks of every table."""
    watch = Stopwatch()
    started = time.perf_counter()
    with open_source(task.source) as source, open_target(task.target) as connection:
        failed = [
            name
            for table in TABLES.values()
            for name in failed_checks(source, connection, table, watch)
        ]
    seconds = time.perf_counter() - started
    return Done(seconds, stages=dict(watch.seconds), problem=problem(failed))


def failed_checks(
    source: SourceDatabase, connection: Connection, table: sa.Table, watch: Stopwatch
) -> list[str]:
    """Runs the checks of a table and returns the names of those that did not pass."""
    failed = []
    for layer in Layer:
        with watch.stage(f"check {layer}"):
            passed = run_check(source, connection, table, layer).passed
        if not passed:
            failed.append(f"{table.name} {layer}")
    return failed


def problem(failed: Sequence[str]) -> str | None:
    """Returns what is wrong where checks did not pass."""
    if not failed:
        return None
    return f"{len(failed)} checks did not pass, {', '.join(failed[:3])} among them"
