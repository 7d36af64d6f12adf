"""Workers: the processes that share the ranges of a table, for loads and checks alike.

One setting says how many there are, this process among them. Whoever is free takes the next part; what one
had that died is done here. They are spawned, not forked: the drivers have threads whose locks a fork would
take along.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from psycopg import sql

from migration_assets.settings import WORKERS
from migration_assets.target.connection import Connection

Given = ParamSpec("Given")
Found = TypeVar("Found")
Part = TypeVar("Part")

ROWS = 20_000
"""As many rows are worth a worker, whose imports cost about a second once."""
MOST = 32
"""No more where nobody asks for more: each has a connection, of which PostgreSQL has 100 by default."""

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time, and of the time that they are for; `max` where there is no limit."""
_POLARS_VARIABLE = "POLARS_MAX_THREADS"

_logger = logging.getLogger(__name__)


def cores() -> int:
    """Returns how many cores this process may use: by its affinity, and the quota of its container."""
    has_affinity = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota, _, period = (_QUOTA.read_text() if _QUOTA.exists() else "max").partition(" ")
    return min(count, ceil(int(quota) / int(period))) if quota.isdecimal() else count


def processes_wanted(default: int | None = None) -> int:
    """Returns how many processes are to work on a table, as ``MIGRATION_WORKERS`` says it.

    Args:
        default: How many where it is unset; the cores where None.

    Raises:
        MigrationError: It is no whole number above 0.
    """
    return WORKERS.read() or default or min(cores(), MOST)


@dataclass(slots=True)
class Workers:
    """Processes that are started for the first work that they are given, and end with their block.

    Each does one piece of work after the other, in the order in which they were given.

    Attributes:
        rows: How many rows a table must have to be worth them.
        processes: How many processes work, this one among them.
    """

    rows: int = ROWS
    processes: int = field(default_factory=processes_wanted)
    _each: list[_Worker] = field(init=False)
    _turn: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        threads = max(cores() // self.processes, 1)
        self._each = [_Worker(threads) for _ in range(self.processes - 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    @property
    def are_there(self) -> bool:
        """Whether any has been started."""
        return any(each.is_there for each in self._each)

    @property
    def enough(self) -> int:
        """How many rows are worth using them: once they are there, a tenth of what is worth the start."""
        return self.rows // 10 if self.are_there else self.rows

    def is_worth(self, rows: int) -> bool:
        """Tells whether a table has rows enough."""
        return bool(self._each) and rows >= self.enough

    def is_worth_rows_of(self, connection: Connection, query: sql.Composed) -> bool:
        """Tells whether a query has rows enough; no more than that are counted."""
        counted = sql.SQL("SELECT count(*) FROM ({} LIMIT {}) AS found").format(
            query, sql.Literal(self.enough)
        )
        found = connection.execute(counted).fetchone()
        return found is not None and self.is_worth(found[0])

    def start(self, count: int, work: Callable[[], object]) -> None:
        """Starts as many as that, so that what a function needs is imported when they are given work."""
        for each in self._each[:count]:
            if not each.is_there:
                each.submit(work)

    def share(
        self,
        parts: Sequence[Part],
        here: Callable[[Part], Found],
        there: Callable[[Part], Found],
        said: str,
    ) -> list[Found]:
        """Does some work for each of several parts, here and in workers: whoever is free takes the next one.

        Args:
            parts: The parts, each of which is pickled.
            here: Does the work for one in this process.
            there: The same, pickled with what it needs, for another process.
            said: What to say besides where a worker dies: its part is done here.

        Returns:
            What was made of each, in the order of the parts.
        """
        waiting = deque(enumerate(parts))
        found: dict[int, Found] = {}

        def work(do: Callable[[Part], Found]) -> None:
            while waiting:
                try:
                    number, part = waiting.popleft()
                except IndexError:  # another one was faster
                    return
                try:
                    found[number] = do(part)
                except BrokenProcessPool:
                    _logger.warning("A worker died: what it had %s", said)
                    waiting.append((number, part))
                    raise
                except BaseException:
                    waiting.clear()
                    raise

        helpers = self._each[: max(len(parts) - 1, 0)]
        threads = ThreadPoolExecutor(len(helpers) or 1)
        try:
            helping = [threads.submit(work, partial(each.do, there)) for each in helpers]
            work(here)
            for each in helping:
                with suppress(BrokenProcessPool):
                    each.result()
            work(here)
        except BaseException:
            self.end()
            raise
        finally:
            threads.shutdown()
        return [found[number] for number in range(len(parts))]

    def submit(
        self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        """Starts some work: a function of a module, and what it is called with, both of which are pickled.

        Returns:
            What it will have returned. Where its process dies, its result is a ``BrokenProcessPool``.
        """
        self._turn += 1
        return self._each[self._turn % len(self._each)].submit(work, *given, **named)

    def end(self) -> None:
        """Ends them at once: nobody waits for what they do, and they have nothing to put in order."""
        for each in self._each:
            each.end()


@dataclass(slots=True)
class _Worker:
    """One process, started when it is needed and anew when it has died.

    Attributes:
        threads: How many polars may use in it.
    """

    threads: int = 1
    _pool: ProcessPoolExecutor | None = field(init=False, default=None)
    _id: Future[int] | None = field(init=False, default=None)

    @property
    def is_there(self) -> bool:
        return self._pool is not None

    def do(self, work: Callable[[Part], Found], part: Part) -> Found:
        """Returns what some work makes of a part; a ``BrokenProcessPool`` is raised where it dies of it."""
        return self.submit(work, part).result()

    def submit(
        self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        try:
            return self._submitted(work, *given, **named)
        except BrokenProcessPool:  # it has died since it was given work
            self.end()
            return self._submitted(work, *given, **named)

    def _submitted(
        self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                1, mp_context=context, initializer=_prepare, initargs=(self.threads,)
            )
            # Ctrl-C reaches it too: what is blocked here is so there, until it ignores it.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                self._id = self._pool.submit(os.getpid)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return self._pool.submit(work, *given, **named)

    def end(self) -> None:
        if self._pool is None:
            return
        assert self._id is not None
        if not self._id.exception():
            for each in multiprocessing.active_children():  # it is none of them if it has died
                if each.pid == self._id.result():
                    each.terminate()
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._id = None


def _prepare(threads: int) -> None:
    """Prepares a worker: an interrupt is its parent's to handle, and it does not outlive it."""
    os.environ.setdefault(_POLARS_VARIABLE, str(threads))  # or each would have one a core
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


ALONE = Workers(processes=1)
"""Nobody helps."""
