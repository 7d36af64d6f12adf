"""The four checks of every table, over all rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from migration_assets.databases import databases_of
from migration_assets.loading.pipeline import Stopwatch
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.remediation.rules import NO_REMEDIATIONS
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.checks import run_checks
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.shared_checks import Sharing, Sides, divided, is_worth
from migration_assets.workers import Workers
from migration_assets_bench.ours import workers_of
from migration_assets_bench.tasks import Done, Task


def run(task: Task) -> Done:
    """Runs the four checks of every table.

    Options: whether the source is dirty, so that losses which are on record are no problem.
    """
    watch = Stopwatch()
    started = time.perf_counter()
    with (
        open_source(task.source) as source,
        open_target(task.target) as connection,
        workers_of(task) as workers,
    ):
        failed = [
            name
            for table in TABLES.values()
            for name in failed_checks(
                source,
                connection,
                table,
                workers,
                watch,
                is_dirty=task.options.get("is_dirty", False),
            )
        ]
    seconds = time.perf_counter() - started
    return Done(seconds, stages=dict(watch.seconds), problem=problem(failed))


def failed_checks(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    workers: Workers,
    watch: Stopwatch,
    *,
    is_dirty: bool = False,
) -> list[str]:
    """Runs the checks of a table, as its asset does, and returns the names of those that did not pass.

    Where the source is dirty, those that found losses without a record.
    """
    found: list[Evidence] = []
    where = databases_of(source, connection)
    sharing = None
    if where is not None and is_worth(workers, connection, table.name):
        sharing = Sharing(workers, Sides(where, NEXTCRM, NO_REMEDIATIONS))
    given = divided(Layer, None if sharing is None else partial(sharing.submit, table.name))
    share = None if sharing is None else sharing.compare
    for layers, future in given.items():
        with watch.stage(f"check {' and '.join(layers)}"):
            if future is not None:  # of these, the time that the others did not hide
                found += future.result()
            else:
                found += run_checks(source, connection, table, layers, share=share)
    return [
        f"{each.table} {each.layer}"
        for each in found
        if not (each.is_sound if is_dirty else each.passed)
    ]


def problem(failed: Sequence[str]) -> str | None:
    """Returns what is wrong where checks did not pass."""
    if not failed:
        return None
    return f"{len(failed)} checks did not pass, {', '.join(failed[:3])} among them"
