"""Ctrl-C and `kill` at any moment of a command: one line, exit code 2, nothing left, and it goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.pq import TransactionStatus

from migration_assets import interrupts
from migration_assets.assets.keys import CONSTRAINTS
from migration_assets.cli import app
from migration_assets.commands import jobs, running
from migration_assets.commands.progress import ConsoleProgress
from migration_assets.embedded import Urls
from migration_assets.loading.staging import Staging
from migration_assets.nextcrm import NEXTCRM
from migration_assets.settings import SOURCE_URL, TARGET_URL
from migration_assets.target import schema
from migration_assets.target.connection import Connection
from migration_assets.target.lock import held_for_run
from migration_assets.workers import Workers
from migration_assets_tests.support.faults import FORKS

SECONDS = 60.0


def hit(number: int = signal.SIGINT) -> None:
    """Sends this process a signal, as Ctrl-C and `kill` do, and goes on as if nobody had."""
    os.kill(os.getpid(), number)
    time.sleep(0.05)


def before(owner: object, name: str, number: int = signal.SIGINT) -> Callable[[], None]:
    """Returns what has a signal come just before something is done."""

    def prepare() -> None:
        original = getattr(owner, name)

        def interrupted(*arguments: Any, **named: Any) -> Any:
            hit(number)
            return original(*arguments, **named)

        setattr(owner, name, interrupted)

    return prepare


def in_a_destructor() -> None:
    """A signal comes where Python drops what its handler raises: once it was swallowed like this."""

    class Dropped:
        def __del__(self) -> None:
            hit()

    original = ConsoleProgress.started

    def started(self: ConsoleProgress, table: str) -> None:
        Dropped()
        original(self, table)

    ConsoleProgress.started = started  # type: ignore[method-assign]


def in_an_index() -> None:
    """A signal comes while the server builds an index, and another one after it."""
    setattr(running, "table_key", lambda _: CONSTRAINTS)  # noqa: B010
    original = schema._build_indexes

    def built(model: Any, connection: Any, *arguments: Any) -> None:
        threading.Timer(0.2, hit).start()
        threading.Timer(0.21, hit).start()
        connection.execute("SELECT pg_sleep(60)")
        original(model, connection, *arguments)

    schema._build_indexes = built  # type: ignore[assignment]


def beside_the_second_process() -> None:
    """A signal comes to both while the second process starts, as it does on a terminal."""
    original = ConsoleProgress.started

    def started(self: ConsoleProgress, table: str) -> None:
        second = Workers(rows=1)
        second.submit(time.sleep, 60)
        until(lambda: bool(multiprocessing.active_children()))
        os.killpg(0, signal.SIGINT)
        time.sleep(0.5)
        original(self, table)

    ConsoleProgress.started = started  # type: ignore[method-assign]


MOMENTS = {
    "before anything is opened": before(running, "load_remediations"),
    "in the preflight": before(running, "require_preflight"),
    "while the job is built": before(jobs, "build_defs"),
    "by kill, before a step": before(ConsoleProgress, "started", signal.SIGTERM),
    "in a destructor": in_a_destructor,
    "while a batch is written": before(Staging, "write"),
    "beside the second process": beside_the_second_process,
    "between two steps": before(ConsoleProgress, "checked"),
    "in an index": in_an_index,
    "after the last step": before(ConsoleProgress, "end_line"),
    "before the verdict": before(running, "summary_table"),
}


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends, "it does not come to that"
        time.sleep(0.01)


def command(moment: str, log: Path, variables: dict[str, str]) -> None:
    """Runs a command as the program does, in a process of its own, and a signal at a moment of it."""
    os.setsid()
    os.environ |= variables
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        interrupts.end_at_once()
        MOMENTS[moment]()
        with suppress(SystemExit):
            app(["run", "--select", "Boards"])
    os._exit(99)  # it went on to its end


ON_EMPTY_TABLES = ("while a batch is written", "in an index")


def is_anybody_of(group: int | None) -> bool:
    assert group is not None
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("moment", MOMENTS)
def test_command_ends_at_once_in_one_line_and_leaves_nothing_running(
    small_migration: Urls,
    small_copy: str,
    tables_url: str,
    tmp_path: Path,
    moment: str,
) -> None:
    target = tables_url if moment in ON_EMPTY_TABLES else small_copy
    log = tmp_path / "said"
    variables = {SOURCE_URL.name: small_migration.mongodb_url, TARGET_URL.name: target}
    process = FORKS.Process(target=command, args=(moment, log, variables))
    process.start()
    process.join(SECONDS)
    assert process.exitcode == 2, log.read_text()
    assert log.read_text().splitlines()[-1].endswith(f"error: {interrupts.SAID}")
    assert "GO after" not in log.read_text()
    assert "Traceback" not in log.read_text()
    until(lambda: not is_anybody_of(process.pid))
    with psycopg.connect(target, autocommit=True) as connection:
        query = (
            "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
        )
        until(lambda: not connection.execute(query, [connection.info.backend_pid]).fetchall())
    with held_for_run(target, "the next run"):
        pass


def test_who_terminates_a_run_in_the_ui_does_not_wait_for_an_index(
    target: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), []

    def built(_: object, connection: Connection, *__: object) -> None:
        begun.set()
        try:
            connection.execute("SELECT pg_sleep(60)")
        except psycopg.errors.QueryCanceled:
            ended.append(connection)
            raise

    def terminated(_: object) -> None:
        assert begun.wait(SECONDS)
        until(lambda: target.info.transaction_status is TransactionStatus.ACTIVE)
        raise dg.DagsterExecutionInterruptedError

    monkeypatch.setattr(schema, "_build_indexes", built)
    monkeypatch.setattr("concurrent.futures.Future.result", terminated)
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        schema._at_once(NEXTCRM, [target], deque(), [])
    assert ended == [target]
