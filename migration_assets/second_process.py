"""A second process, so that two cores work where Python itself keeps one busy.

It is spawned, not forked: the drivers have threads whose locks a fork would take along.
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
"""As many rows are worth a second process, whose imports cost about a second once."""


@dataclass(slots=True)
class SecondProcess:
    """A process that is started for the first work that it is given, and ends with the block it is used in.

    It does one piece of work after the other, in the order in which they were given.

    Attributes:
        rows: How many rows a table must have to be worth it; 0 for never.
    """

    rows: int = ROWS
    _pool: ProcessPoolExecutor | None = field(init=False, default=None)
    _id: Future[int] | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def is_there(self) -> bool:
        """Whether it has been started."""
        return self._pool is not None

    @property
    def enough(self) -> int:
        """How many rows are worth using it: once it is there, a tenth of those that are worth starting it."""
        return self.rows if self._pool is None else self.rows // 10

    def is_worth(self, rows: int) -> bool:
        """Tells whether a table has rows enough."""
        return self.rows > 0 and rows >= self.enough

    def is_worth_rows_of(self, connection: Connection, query: sql.Composed) -> bool:
        """Tells whether a query has rows enough; no more than that are counted."""
        counted = sql.SQL("SELECT count(*) FROM ({} LIMIT {}) AS found").format(
            query, sql.Literal(self.enough)
        )
        found = connection.execute(counted).fetchone()
        return found is not None and self.is_worth(found[0])

    def start(self, work: Callable[[], object]) -> None:
        """Starts the process where it has not been, so that what a function needs is imported in time."""
        if self._pool is None:
            self.submit(work)

    def submit(
        self, work: Callable[Given, Found], *given: Given.args, **named: Given.kwargs
    ) -> Future[Found]:
        """Starts some work: a function of a module, and what it is called with, both of which are pickled.

        Returns:
            What it will have returned. Where the process dies, its result is a ``BrokenProcessPool``.
        """
        try:
            return self._submitted(work, *given, **named)
        except BrokenProcessPool:  # it has died since it was given work
            self._end()
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

    def _end(self) -> None:
        """Ends the process at once: nobody waits for what it does, and it has nothing to put in order."""
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
    """Prepares the process: an interrupt is its parent's to handle, and it does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
