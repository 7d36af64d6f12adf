"""One run at a time: the second one says who holds the target, whatever was cut, and prints no verdict."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import dagster as dg
import psycopg
import pytest
from typer.testing import CliRunner

from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.cli import app
from migration_assets.commands.jobs import failures
from migration_assets.definitions import VALIDATE, build_defs
from migration_assets.embedded import Urls
from migration_assets.errors import TargetError
from migration_assets.settings import SOURCE_URL, TARGET_URL
from migration_assets.target import lock
from migration_assets.target.connection import Connection, open_target, sibling
from migration_assets.target.lock import held_for_run, hold_too, is_held, open_held
from migration_assets.target.runs import HeldError

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
FIRST, SECOND = str(uuid.uuid4()), str(uuid.uuid4())
HELD = f"another run is under way (migration-assets run {FIRST[:8]}, process "


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here was killed that would have to be waited for."""
    monkeypatch.setattr(lock, "IDLE_PATIENCE", 0.0)


def cut(url: str, run_id: str) -> None:
    """Cuts the connections of a run, as a restart, a firewall or a time-out does."""
    lock.end_statements(url, run_id)
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT FROM pg_stat_activity WHERE application_name = %s"
        while connection.execute(query, [lock._name(run_id)]).fetchone():
            time.sleep(0.01)


COMMANDS = (
    ["run"],
    ["run", "--select", "Users"],
    ["validate"],
    ["validate", "--approver", "Ada"],
    ["sign-off", "--approver", "Ada"],
    ["sign-off", "--withdraw", "Ada", "--reason", "why"],
    ["export-gained", "gained"],
    ["rollback", "--dry-run", "--discard-gained"],
)


@pytest.fixture(scope="module")
def migrated(small_migration: Urls) -> Urls:
    return small_migration


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_command_into_a_target_that_is_held_says_by_whom_and_prints_no_verdict(
    migrated: Urls, arguments: list[str]
) -> None:
    variables = {SOURCE_URL.name: migrated.mongodb_url, TARGET_URL.name: migrated.postgres_url}
    with held_for_run(migrated.postgres_url, FIRST):
        result = CliRunner().invoke(app, arguments, env=variables)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(f"error: database {migrated.postgres_url.rpartition('/')[2]}: {HELD}")
    assert line.endswith("Wait until it has ended, or terminate it, then start again")


def test_run_of_the_ui_into_a_target_that_is_held_fails_with_the_line(migrated: Urls) -> None:
    with held_for_run(migrated.postgres_url, FIRST):
        result = validated(migrated)
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_run_failure]
    assert HELD in str(failure.job_failure_data.error)
    (problem,) = failures(result).values()
    assert HELD in problem


def validated(urls: Urls) -> dg.ExecuteInProcessResult:
    """Runs a job as the UI does."""
    definitions = build_defs(
        source=SourceMongo(url=urls.mongodb_url), target=TargetPostgres(url=urls.postgres_url)
    )
    return definitions.resolve_job_def(VALIDATE).execute_in_process(
        raise_on_error=False, run_config=QUIET
    )


@dg.resource
def broken(_: dg.InitResourceContext) -> None:
    raise ValueError("secret")


@pytest.mark.parametrize("kind", ["resource", "framework", "nothing"])
def test_a_job_that_did_not_do_its_work_is_a_problem_whatever_the_reason(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {"broken"} if kind == "resource" else set()

    @dg.op(required_resource_keys=needed)
    def step() -> None:
        """Does nothing."""

    @dg.job(resource_defs={"broken": broken})
    def work() -> None:
        step()

    if kind == "framework":

        def failing(*_: object, **__: object) -> Iterator[dg.DagsterEvent]:
            raise ValueError("secret")
            yield

        monkeypatch.setattr(
            "dagster._core.executor.in_process.inprocess_execution_iterator", failing
        )
    result = work.execute_in_process(raise_on_error=False, run_config=QUIET)
    if kind == "nothing":
        assert failures(result) == {}
        monkeypatch.setattr(type(result), "success", False)
        assert "did not say why" in failures(result)[""]
        return
    problem = failures(result)[""]
    assert "the run ended by an unexpected ValueError" in problem
    assert "secret" not in problem


def test_of_two_first_runs_at_once_one_wins_and_the_other_says_so(target_url: str) -> None:
    for _ in range(5):
        ready, ended = threading.Barrier(4), threading.Barrier(4)

        def run(ready: threading.Barrier = ready, ended: threading.Barrier = ended) -> str:
            with ExitStack() as stack:
                ready.wait(60)
                try:
                    stack.enter_context(held_for_run(target_url, str(uuid.uuid4())))
                except TargetError as error:
                    return str(error)
                finally:
                    ended.wait(60)
            return ""

        with ThreadPoolExecutor(4) as threads:
            messages = sorted(future.result() for future in [threads.submit(run) for _ in range(4)])
        assert messages[0] == "" < messages[1], messages
        assert all(
            "another run is under way (migration-assets run " in message for message in messages[1:]
        )


def test_a_lock_that_is_cut_is_taken_again_where_nobody_has_it(target_url: str) -> None:
    with held_for_run(target_url, FIRST) as hold:
        cut(target_url, FIRST)
        with hold.open() as connection:
            assert is_held(connection)
            assert_is_refused(target_url)
        assert_is_refused(target_url)
    with held_for_run(target_url, SECOND):
        pass


def test_a_run_whose_lock_was_cut_ends_once_another_has_had_it(target_url: str) -> None:
    with held_for_run(target_url, FIRST) as hold, ExitStack() as stack:
        connection = stack.enter_context(hold.open())
        connection.execute("BEGIN; CREATE TABLE written (id int)")
        cut(target_url, FIRST)
        with held_for_run(target_url, SECOND):
            with pytest.raises(HeldError, match=f"migration-assets run {SECOND[:8]}"):
                hold.verify()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("COMMIT")
        with pytest.raises(HeldError), hold.open():  # not even now, when nobody has it
            pass
    with open_target(target_url) as other:
        assert other.execute("SELECT to_regclass('written')").fetchone() == (None,)


def test_each_connection_of_a_run_holds_the_target_whichever_is_cut(target_url: str) -> None:
    with (
        held_for_run(target_url, FIRST) as hold,
        hold.open() as connection,
        held_for_run(target_url, FIRST),  # another process of the same run
        sibling(connection) as other,
    ):
        hold_too(connection, other)
        with open_target(target_url) as administrator:
            administrator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
                "AND pid NOT IN (pg_backend_pid(), %s)",
                [lock._name(FIRST), other.info.backend_pid],
            )
        assert is_held(other)
        assert not is_held(connection)
        assert_is_refused(target_url)


def test_the_last_statement_of_a_killed_run_is_waited_for(target_url: str) -> None:
    with open_held(target_url, FIRST) as killed, ThreadPoolExecutor(1) as thread:
        ending = thread.submit(ended_by_the_server, killed)
        with held_for_run(target_url, SECOND):
            assert ending.done()


def ended_by_the_server(connection: Connection) -> None:
    """Does what the server does with the statement of a process that was killed."""
    with pytest.raises(psycopg.Error):
        connection.execute("SELECT pg_sleep(0.5), pg_terminate_backend(pg_backend_pid())")


def assert_is_refused(url: str) -> None:
    with pytest.raises(HeldError, match=re.escape(HELD)), held_for_run(url, SECOND):
        pass
