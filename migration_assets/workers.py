"""Workers: processes beside this one, so that several cores work where Python itself keeps one busy.

They are spawned, not forked: the drivers have threads whose locks a fork would take along.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from psycopg import sql

from migration_assets.target.connection import Connection

Given = ParamSpec("Given")
Found = TypeVar("Found")


ROWS = 20_000
"""As many rows are worth a worker, whose imports cost about a second once."""
PROCESSES = 2
"""This process and one more."""


@dataclass(slots=True)
class Workers:
    """Processes that are started for the first work that they are given, and end with their block.

    Each does one piece of work after the other, in the order in which they were given.

    Attributes:
        rows: How many rows a table must have to be worth them; 0 for never.
        processes: How many processes work, this one among them.
    """

    rows: int = ROWS
    processes: int = PROCESSES
    _each: list[_Worker] = field(init=False)
    _turn: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._each = [_Worker() for _ in range(max(self.processes - 1, 0))]

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
        return bool(self._each) and self.rows > 0 and rows >= self.enough

    def is_worth_rows_of(self, connection: Connection, query: sql.Composed) -> bool:
        """Tells whether a query has rows enough; no more than that are counted."""
        counted = sql.SQL("SELECT count(*) FROM ({} LIMIT {}) AS found").format(
            query, sql.Literal(self.enough)
        )
        found = connection.execute(counted).fetchone()
        return found is not None and self.is_worth(found[0])

    def start(self, work: Callable[[], object]) -> None:
        """Starts them where they have not been, so that what a function needs is imported in time."""
        if not self.are_there:
            self.submit_to_each(work)

    def submit(
        self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        """Starts some work: a function of a module, and what it is called with, both of which are pickled.

        Returns:
            What it will have returned. Where its process dies, its result is a ``BrokenProcessPool``.
        """
        self._turn += 1
        return self._each[self._turn % len(self._each)].submit(work, *given, **named)

    def submit_to_each(
        self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> list[Future[Found]]:
        """Starts the same work in each, as :meth:`submit` does."""
        return [each.submit(work, *given, **named) for each in self._each]

    def end(self) -> None:
        """Ends them at once: nobody waits for what they do, and they have nothing to put in order."""
        for each in self._each:
            each.end()


@dataclass(slots=True)
class _Worker:
    """One process, started when it is needed and anew when it has died."""

    _pool: ProcessPoolExecutor | None = field(init=False, default=None)
    _id: Future[int] | None = field(init=False, default=None)

    @property
    def is_there(self) -> bool:
        return self._pool is not None

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
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_prepare)
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


def _prepare() -> None:
    """Prepares a worker: an interrupt is its parent's to handle, and it does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
