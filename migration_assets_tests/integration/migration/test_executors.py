"""Whatever distributes the steps of a run, the target, its books, the ledger and the verdict are the same."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

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


def test_an_executor_that_there_is_not_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EXECUTOR.name, "celery")
    with pytest.raises(MigrationError, match="neither in_process nor multiprocess"):
        build_defs()
    monkeypatch.setenv(EXECUTOR.name, MULTIPROCESS)
    assert build_defs().executor is not dg.in_process_executor
    assert build_defs(executor=dg.in_process_executor).executor is dg.in_process_executor


@pytest.fixture
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


def test_every_executor_gives_the_same(servers: Urls, source: str, tmp_path: Path) -> None:
    results = {}
    for executor in (IN_PROCESS, MULTIPROCESS):
        with database_copy(servers) as target:
            done = run(source, target, executor, tmp_path)
            results[executor] = (done.returncode, result_of(target))
            with psycopg.connect(target) as connection:
                row = connection.execute("SELECT state, held_until FROM migration.runs").fetchall()
                assert row == [("ended", None)]
    code, found = results[IN_PROCESS]
    other_code, other = results[MULTIPROCESS]
    assert other_code == code
    assert found["tables"]
    for part, lines in found.items():
        assert other[part] == lines, part


def run(
    source: str, target: str, executor: str, directory: Path
) -> subprocess.CompletedProcess[str]:
    """Runs a migration as an operator does."""
    ours = {
        MODEL.name: SHOP.path,
        SOURCE_URL.name: source,
        TARGET_URL.name: target,
        EXECUTOR.name: executor,
        "PYTHONPATH": str(Path(migration_assets.__file__).parents[1]),
    }
    done = subprocess.run(
        [PROGRAM, "run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory,
        env={**os.environ, **ours},
    )
    assert done.returncode in (0, 1), done.stderr
    return done


LEDGER = (
    "SELECT target_table, remediations, program, fingerprints, documents, "
    "statistics - '{seconds,seconds_before,stages}'::text[] FROM migration.loads "
    "WHERE finished_at IS NOT NULL ORDER BY target_table, started_at"
)
CHECKS = (
    "SELECT target_table, check_name, passed, severity, summary, evidence - 'seconds' "
    "FROM migration.check_results ORDER BY 1, 2"
)
VERDICT = "SELECT verdict, report -> 'findings', report -> 'waivers' FROM migration.sign_offs"


def result_of(target: str) -> Mapping[str, list[tuple[Any, ...]]]:
    """Returns all that a run has left in the target, but for ids and times."""
    with psycopg.connect(target) as connection:

        def rows(*name: str) -> list[tuple[Any, ...]]:
            query = sql.SQL("SELECT to_jsonb(t)::text FROM {} t ORDER BY 1")
            return connection.execute(query.format(sql.Identifier(*name))).fetchall()

        kept = [book.name for book in (uuid_map, *BOOKS)]
        return {
            "tables": [row for name in SHOP.tables for row in rows(name)],
            "books": [row for name in kept for row in rows(bookkeeping.SCHEMA, name)],
            "ledger": connection.execute(LEDGER).fetchall(),
            "checks": connection.execute(CHECKS).fetchall(),
            "verdict": connection.execute(VERDICT).fetchall(),
        }


def test_a_run_keeps_the_target_between_its_steps(tables_url: str) -> None:
    with held_for_run(tables_url, FIRST) as hold, hold.open() as connection:
        enter(connection, FIRST, FIRST)
        leave(connection, FIRST, FIRST, is_last=False)
    said = f"run {FIRST[:8]}, between two of its steps"
    with pytest.raises(HeldError, match=said), held_for_run(tables_url, SECOND):
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


def test_runs_of_one_command_let_each_other_in_and_end_with_it(tables_url: str) -> None:
    with held_for_run(tables_url, COMMAND) as hold, hold.open() as connection:
        leave(connection, FIRST, COMMAND, is_last=False)
        with held_for_run(tables_url, COMMAND) as other, other.open() as joined:
            enter(joined, SECOND, COMMAND)
        runs.end(connection, COMMAND)
        found = connection.execute("SELECT DISTINCT state FROM migration.runs").fetchall()
        assert found == [(runs.ENDED,)]


def test_all_steps_of_a_run_have_the_moment_of_the_first(tables_url: str) -> None:
    with open_target(tables_url) as connection, open_target(tables_url) as other:
        first = moment_of_run(connection, FIRST, FIRST, Timestamp(7, 1))
        assert moment_of_run(other, FIRST, FIRST, Timestamp(9, 2)) == first == Timestamp(7, 1)
        assert moment_of_run(other, SECOND, SECOND, Timestamp(9, 2)) == Timestamp(9, 2)
