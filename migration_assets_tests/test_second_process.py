"""The second process: it finds what the first would, survives its own death, and ends with the run."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import psutil
import psycopg
import pytest

from migration_assets.assets.keys import table_key
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.assets.second_process import SecondProcessResource
from migration_assets.definitions import MIGRATE, build_defs
from migration_assets.embedded import Urls
from migration_assets.errors import SourceError
from migration_assets.remediation.rules import NO_REMEDIATIONS
from migration_assets.target.connection import open_target
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.second_process import CheckTask, SecondProcess

TABLE = "tasksComments"


def children() -> list[int]:
    return [
        each.pid
        for each in psutil.Process().children(recursive=True)
        if "spawn_main" in " ".join(each.cmdline())
    ]


def values_of(process: SecondProcess, source_url: str, target_url: str) -> Future[Evidence]:
    return process.check(
        CheckTask(source_url, target_url, None, TABLE, Layer.VALUES, NO_REMEDIATIONS)
    )


def test_it_finds_a_changed_value_and_is_replaced_when_it_dies(
    small_migration: Urls, small_copy: str
) -> None:
    with SecondProcess(rows=1) as process:
        assert values_of(process, small_migration.mongodb_url, small_copy).result().passed
        (pid,) = children()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            values_of(process, small_migration.mongodb_url, small_copy).result()
        with psycopg.connect(small_copy, autocommit=True) as connection:
            connection.execute(
                f'UPDATE "{TABLE}" SET comment = comment || $$!$$ '
                f'WHERE id = (SELECT min(id::text)::uuid FROM "{TABLE}")'
            )
        evidence = values_of(process, small_migration.mongodb_url, small_copy).result()
        assert (evidence.passed, evidence.failures) == (False, 1)
        with pytest.raises(SourceError, match="cannot be read"):
            values_of(process, "mongodb//", small_copy).result()
        values_of(process, small_migration.mongodb_url, small_copy)  # nobody waits for it
    assert children() == []


def test_it_is_for_large_tables(small_copy: str) -> None:
    with open_target(small_copy) as connection:
        (rows,) = connection.execute(f'SELECT count(*) FROM "{TABLE}"').fetchone() or (0,)
        assert SecondProcess(rows=rows).is_for(connection, TABLE)
        assert not SecondProcess(rows=rows + 1).is_for(connection, TABLE)
        assert not SecondProcess(rows=0).is_for(connection, TABLE)


def test_a_run_uses_it_and_has_the_same_results(small_migration: Urls, small_copy: str) -> None:
    used: list[str] = []

    class Watched(SecondProcessResource):
        def check(self, task: CheckTask) -> Future[Evidence]:
            used.append(task.layer)
            return super().check(task)

    definitions = build_defs(
        source=SourceMongo(url=small_migration.mongodb_url),
        target=TargetPostgres(url=small_copy),
        second_process=Watched(rows=1),
    )
    result = definitions.resolve_job_def(MIGRATE).execute_in_process(
        asset_selection=[table_key(TABLE)],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    found = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert found == dict.fromkeys(Layer, True)
    assert used == [Layer.VALUES]
    assert children() == []
