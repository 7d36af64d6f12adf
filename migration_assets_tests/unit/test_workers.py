"""Workers: how many there are, and how they share the work."""

from __future__ import annotations

import os
import threading
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from migration_assets import workers as workers_module
from migration_assets.assets.executors import EXECUTORS, MULTIPROCESS
from migration_assets.definitions import build_defs
from migration_assets.errors import MigrationError
from migration_assets.settings import WORKERS
from migration_assets.workers import Workers, cores, processes_wanted

SAID = "of Tasks is compared here"


def with_each(*members: Any) -> Workers:
    """Workers that are no processes."""
    workers = Workers(processes=1)
    workers._each = [*members]
    return workers


class Ended:
    """No process any more."""

    def end(self) -> None:
        """Does nothing."""


class Dead(Ended):
    """A process that dies of whatever it is given."""

    def __init__(self) -> None:
        self.is_asked = threading.Event()

    def do(self, *_: object) -> int:
        self.is_asked.set()
        raise BrokenProcessPool


class Idle(Ended):
    """A process that does what it is given once this one has something to do."""

    def __init__(self, are_busy: threading.Barrier) -> None:
        self.are_busy = are_busy

    def do(self, _: object, part: int) -> int:
        self.are_busy.wait(timeout=30)
        return part


def test_the_work_of_a_dead_worker_is_reported_and_done_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dead = Dead()

    def here(part: int) -> int:
        assert dead.is_asked.wait(timeout=30)
        return part * part

    assert with_each(dead).share([1, 2, 3], here, here, SAID) == [1, 4, 9]
    assert caplog.messages == [f"A worker died: what it had {SAID}"]


def test_an_error_is_not_taken_for_the_end() -> None:
    def here(_: int) -> int:
        raise IndexError("of the work")

    with pytest.raises(IndexError, match="of the work"):
        with_each().share([1], here, here, SAID)


@pytest.mark.parametrize("count", [2, 8, 32])
def test_each_of_many_has_a_part_at_once(count: int) -> None:
    are_busy = threading.Barrier(count)

    def here(part: int) -> int:
        are_busy.wait(timeout=30)
        return part

    others = [Idle(are_busy) for _ in range(count - 1)]
    parts = [*range(2 * count)]
    assert with_each(*others).share(parts, here, here, SAID) == parts


def test_workers_are_as_many_as_cores_unless_set_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(WORKERS.name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(workers_module, "_QUOTA", tmp_path / "cpu.max")
    assert cores() == processes_wanted() == Workers().processes == 8
    for quota, expected in {"max 100000": 8, "250000 100000": 3, "1600000 100000": 8}.items():
        (tmp_path / "cpu.max").write_text(quota)
        assert cores() == processes_wanted() == expected
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(96)))
    (tmp_path / "cpu.max").unlink()
    assert (cores(), processes_wanted()) == (96, 32)
    monkeypatch.setenv(WORKERS.name, "40")
    assert processes_wanted() == 40
    monkeypatch.setenv(WORKERS.name, "none")
    with pytest.raises(MigrationError, match=f"{WORKERS.name}: is not a whole number above 0"):
        processes_wanted()


@pytest.mark.parametrize(("setting", "processes"), [("", 1), ("3", 3)])
def test_no_worker_helps_beside_parallel_tables_unless_set(
    monkeypatch: pytest.MonkeyPatch, setting: str, processes: int
) -> None:
    monkeypatch.setenv(WORKERS.name, setting)
    resources = build_defs(executor=EXECUTORS[MULTIPROCESS]).resources
    assert resources is not None
    assert resources["workers"].processes == processes
