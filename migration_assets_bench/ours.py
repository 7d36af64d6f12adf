"""Our own load, from schema to constraints. The checks are apart: a load does without what they import."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa

from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.loading.merging import delete_pending
from migration_assets.loading.pipeline import Stopwatch
from migration_assets.loading.records import LoadResult
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets.workers import Workers
from migration_assets_bench.tasks import Done, Task


def load(task: Task) -> Done:
    """Loads everything: schema, identities, tables, constraints."""
    watch = Stopwatch()
    started = time.perf_counter()
    with open_target(task.target) as connection:
        with open_source(task.source) as source, workers_of(task) as workers:
            results = load_tables(source, connection, workers, watch)
        add_constraints(connection, watch)
    seconds = time.perf_counter() - started
    return Done(seconds, stages=stages(watch, results), counts=counts(results))


def workers_of(task: Task) -> Workers:
    """Returns as many workers as a task asks for; those of a run where it asks for none."""
    wanted: int | None = task.options.get("workers")
    return Workers() if wanted is None else Workers(processes=wanted)


def load_tables(
    source: SourceDatabase,
    connection: Connection,
    workers: Workers,
    watch: Stopwatch,
    after: Callable[[sa.Table], None] = lambda _: None,
) -> list[LoadResult]:
    """Loads schema, identities and tables and returns what each load did, that of the identities first.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        workers: Who helps.
        watch: Is told how long each step took.
        after: Is called with each table once it is loaded.
    """
    with watch.stage("schema"):
        create_schema(NEXTCRM, connection)
    with watch.stage("identities"):
        results = [load_identities(NEXTCRM, source, connection, workers=workers)]
    for table in TABLES.values():
        with watch.stage("tables"):
            results.append(load_table(source, connection, table, workers=workers))
        after(table)
    return results


def add_constraints(connection: Connection, watch: Stopwatch) -> None:
    """Completes what was loaded, as the asset of the constraints does."""
    with watch.stage("constraints"):
        with connection.transaction():
            delete_pending(NEXTCRM, connection)
        build_constraints(NEXTCRM, connection)


def stages(watch: Stopwatch, results: Sequence[LoadResult]) -> dict[str, float]:
    """Returns the seconds of each step, and of the stages within the loads, which overlap."""
    found: dict[str, float] = dict(watch.seconds)
    for result in results:
        for name, spent in result.stages.items():
            found[f"within: {name}"] = found.get(f"within: {name}", 0.0) + spent
    return found


def counts(results: Sequence[LoadResult]) -> dict[str, int]:
    """Returns what the loads of the tables and of the map did, in rows."""
    return {
        "documents": results[0].documents,
        "rows": sum(result.rows for result in results[1:]),
        "written": sum(result.merged.written for result in results),
        "rejected": sum(result.tally.rejected for result in results),
    }
