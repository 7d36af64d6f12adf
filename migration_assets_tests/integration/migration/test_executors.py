"""Whatever distributes the steps of a run, the target, its books, the ledger and the verdict are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
import psycopg
import pytest
from bson.timestamp import Timestamp
from psycopg import sql
from pymongo import MongoClient

import migration_assets
from migration_assets.assets.executors import IN_PROCESS, MULTIPROCESS
from migration_assets.definitions import build_defs
from migration_assets.embedded import Urls
from migration_assets.errors import MigrationError
from migration_assets.settings import EXECUTOR, MODEL, SOURCE_URL, TARGET_URL
from migration_assets.target import bookkeeping, runs
from migration_assets.target.bookkeeping import BOOKS, uuid_map
from migration_assets.target.connection import open_target
from migration_assets.target.lock import held_for_run
from migration_assets.target.runs import HeldError, enter, leave, moment_of_run
from migration_assets_tests.support.loaded_sample import database_copy
from migration_assets_tests.support.second_application import SHOP, documents, oid

PROGRAM = Path(sys.executable).with_name("migration-assets")
FIRST, SECOND, COMMAND = (str(uuid.uuid4()) for _ in range(3))
STATISTICS_OF_LOADS = "statistics of loads"

Outcome: TypeAlias = tuple[int, Mapping[str, list[tuple[Any, ...]]]]
"""The exit code of a run, and the state of the target after it (:func:`result_of`)."""


def test_an_executor_that_there_is_not_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR.name, "celery")
    with pytest.raises(MigrationError, match="neither in_process nor multiprocess"):
        build_defs()
    monkeypatch.setenv(EXECUTOR.name, MULTIPROCESS)
    assert build_defs().executor is not dg.in_process_executor
    assert build_defs(executor=dg.in_process_executor).executor is dg.in_process_executor


@pytest.fixture(scope="module")
def source(servers: Urls) -> Iterator[str]:
    """A small application, whose tables refer to themselves and to each other, with losses."""
    name = f"shop_{uuid.uuid4().hex[:12]}"
    url = servers.mongodb_url.replace("/nextcrm", f"/{name}")
    with MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        for collection, held in documents().items():
            database[collection].insert_many(held)
        database["categories"].update_one({"_id": oid(2)}, {"$set": {"parent": oid(99)}})
        database["people"].update_one({"_id": oid(21)}, {"$set": {"team": oid(97)}})
        database["people"].update_one({"_id": oid(23)}, {"$push": {"keeps": oid(96)}})
        doubled = {"_id": oid(34), "shop": "a", "sku": "1", "stock": "many"}
        database["products"].insert_one(doubled)
        yield url
        client.drop_database(name)


@pytest.fixture(scope="module")
def in_process(servers: Urls, source: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of a run in one process."""
    with database_copy(servers) as target:
        return run(source, target, IN_PROCESS, tmp_path_factory.mktemp("in_process"))


def test_every_executor_gives_the_same(
    servers: Urls, source: str, in_process: Outcome, tmp_path: Path
) -> None:
    with database_copy(servers) as target:
        assert_same(run(source, target, MULTIPROCESS, tmp_path), in_process)


def test_a_killed_run_goes_on_by_another_executor(
    servers: Urls, source: str, in_process: Outcome, tmp_path: Path
) -> None:
    with database_copy(servers) as target:
        process = started(source, target, MULTIPROCESS, tmp_path)
        wait_for_loads(target, 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert 2 <= count_of_loads(target) < len(SHOP.tables)
        resumed = run(source, target, IN_PROCESS, tmp_path)
        # Loads that had ended are in the ledger a second time, with nothing to do.
        assert_same(resumed, in_process, but=STATISTICS_OF_LOADS)


def started(source: str, target: str, executor: str, directory: Path) -> subprocess.Popen[str]:
    """Starts a migration as an operator does, with all its processes in a group of their own."""
    variables = {
        MODEL.name: SHOP.path,
        SOURCE_URL.name: source,
        TARGET_URL.name: target,
        EXECUTOR.name: executor,
        "PYTHONPATH": str(Path(migration_assets.__file__).parents[1]),
    }
    return subprocess.Popen(
        [PROGRAM, "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env={**os.environ, **variables},
        start_new_session=True,
    )


def run(source: str, target: str, executor: str, directory: Path) -> Outcome:
    """Runs a migration; returns its exit code and the state of the target."""
    process = started(source, target, executor, directory)
    _, errors = process.communicate()
    assert process.returncode in (0, 1), errors
    with psycopg.connect(target) as connection:
        states = "SELECT state, held_until FROM migration.runs ORDER BY started_at DESC LIMIT 1"
        assert connection.execute(states).fetchall() == [(runs.ENDED, None)]
    return process.returncode, result_of(target)


def wait_for_loads(target: str, count: int) -> None:
    """Waits until so many tables are loaded."""
    deadline = time.monotonic() + 120
    while count_of_loads(target) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def count_of_loads(target: str) -> int:
    """Returns how many loads have ended."""
    with psycopg.connect(target) as connection:
        if connection.execute("SELECT to_regclass('migration.loads')").fetchone() == (None,):
            return 0
        row = connection.execute(
            "SELECT count(*) FROM migration.loads WHERE finished_at IS NOT NULL"
        ).fetchone()
        assert row is not None
        return int(row[0])


def assert_same(outcome: Outcome, other: Outcome, but: str = "") -> None:
    """Compares the exit codes and all parts of the state after two runs, except one part."""
    assert outcome[0] == other[0]
    assert other[1]["tables"]
    for part, rows in other[1].items():
        assert part == but or outcome[1][part] == rows, part


LEDGER = (
    "SELECT DISTINCT ON (target_table) target_table, remediations, program, fingerprints, documents "
    "FROM migration.loads WHERE finished_at IS NOT NULL ORDER BY target_table, started_at DESC"
)
STATISTICS = (
    "SELECT target_table, statistics - '{seconds,seconds_before,stages}'::text[] FROM migration.loads "
    "WHERE finished_at IS NOT NULL ORDER BY target_table, started_at"
)
CHECKS = (
    "SELECT DISTINCT ON (target_table, check_name) target_table, check_name, passed, severity, summary, "
    "evidence - 'seconds' FROM migration.check_results "
    "ORDER BY target_table, check_name, evaluated_at DESC"
)
VERDICT = "SELECT verdict, report -> 'findings', report -> 'waivers' FROM migration.sign_offs"


def result_of(target: str) -> Mapping[str, list[tuple[Any, ...]]]:
    """Returns the state of the target after a run, without ids and times."""
    with psycopg.connect(target) as connection:

        def rows(*name: str) -> list[tuple[Any, ...]]:
            query = sql.SQL("SELECT to_jsonb(t)::text FROM {} t ORDER BY 1")
            return connection.execute(query.format(sql.Identifier(*name))).fetchall()

        book_names = [book.name for book in (uuid_map, *BOOKS)]
        return {
            "tables": [row for name in SHOP.tables for row in rows(name)],
            "books": [row for name in book_names for row in rows(bookkeeping.SCHEMA, name)],
            "ledger": connection.execute(LEDGER).fetchall(),
            STATISTICS_OF_LOADS: connection.execute(STATISTICS).fetchall(),
            "checks": connection.execute(CHECKS).fetchall(),
            "verdict": connection.execute(VERDICT).fetchall(),
        }


def test_a_run_keeps_the_target_between_its_steps(tables_url: str) -> None:
    with held_for_run(tables_url, FIRST) as hold, hold.open() as connection:
        enter(connection, FIRST, FIRST)
        leave(connection, FIRST, FIRST, is_last=False)
    held_message = f"run {FIRST[:8]}, between two of its steps"
    with pytest.raises(HeldError, match=held_message), held_for_run(tables_url, SECOND):
        pass
    with held_for_run(tables_url, FIRST) as hold, hold.open() as connection:  # its next step
        enter(connection, FIRST, FIRST)
        leave(connection, FIRST, FIRST, is_last=True)
    with held_for_run(tables_url, SECOND):
        pass


def test_a_run_that_dagster_knows_to_be_over_keeps_nothing(tables_url: str) -> None:
    with open_target(tables_url) as connection:
        leave(connection, FIRST, FIRST, is_last=False)
    is_over = partial(eq, FIRST)
    with held_for_run(tables_url, SECOND, is_over) as hold, hold.open() as connection:
        enter(connection, SECOND, SECOND, is_over)
        states = connection.execute("SELECT id::text, state FROM migration.runs").fetchall()
        assert dict(states) == {FIRST: runs.INTERRUPTED, SECOND: runs.RUNNING}
    # One whose process died within a step keeps nothing either.
    with held_for_run(tables_url, FIRST):
        pass


def test_a_run_that_died_between_two_steps_lets_go_by_itself(
    tables_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BETWEEN_STEPS", 0.0)
    with open_target(tables_url) as connection:
        leave(connection, FIRST, FIRST, is_last=False)
    with held_for_run(tables_url, SECOND):
        pass


def test_a_run_of_a_command_that_died_keeps_nothing(tables_url: str) -> None:
    with held_for_run(tables_url, COMMAND) as hold, hold.open() as connection:
        leave(connection, FIRST, COMMAND, is_last=False)
    with held_for_run(tables_url, SECOND) as hold, hold.open() as connection:
        enter(connection, SECOND, SECOND)
        states = connection.execute("SELECT id::text, state FROM migration.runs").fetchall()
        assert dict(states) == {FIRST: runs.INTERRUPTED, SECOND: runs.RUNNING}


def test_runs_of_one_command_let_each_other_in_and_end_with_it(tables_url: str) -> None:
    with held_for_run(tables_url, COMMAND) as hold, hold.open() as connection:
        leave(connection, FIRST, COMMAND, is_last=False)
        with held_for_run(tables_url, COMMAND) as other, other.open() as joined:
            enter(joined, SECOND, COMMAND)
        runs.end(connection, COMMAND)
        states = connection.execute("SELECT DISTINCT state FROM migration.runs").fetchall()
        assert states == [(runs.ENDED,)]


def test_all_steps_of_a_run_have_the_moment_of_the_first(tables_url: str) -> None:
    with open_target(tables_url) as connection, open_target(tables_url) as other:
        first = moment_of_run(connection, FIRST, FIRST, Timestamp(7, 1))
        assert moment_of_run(other, FIRST, FIRST, Timestamp(9, 2)) == first == Timestamp(7, 1)
        assert moment_of_run(other, SECOND, SECOND, Timestamp(9, 2)) == Timestamp(9, 2)
