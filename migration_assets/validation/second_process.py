"""A second process for the longest check of a large table, so that two cores work on its checks.

Comparing all values takes as long as the three other checks together, and Python uses one core a process.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bson.timestamp import Timestamp
from psycopg import sql

from migration_assets.model import TABLES
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import open_source
from migration_assets.source.snapshots import at_moment
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.checks import run_check
from migration_assets.validation.evidence import Evidence, Layer

ROWS = 20_000
"""A table of at least as many rows is worth a second process, whose imports cost about 2 seconds once."""


@dataclass(frozen=True, slots=True)
class CheckTask:
    """A check of a table, as another process can be told of it.

    Attributes:
        source_url: MongoDB URL with the name of the database.
        target_url: PostgreSQL URL.
        moment: When to read the source at; None for the present.
        table: Name of the table.
        layer: Which check.
        remediations: The rules that hold.
    """

    source_url: str = field(repr=False)
    target_url: str = field(repr=False)
    moment: Timestamp | None
    table: str
    layer: Layer
    remediations: Remediations


@dataclass(slots=True)
class SecondProcess:
    """A process that is started for the first check that it is given, and ends with the block it is used in.

    Attributes:
        rows: How many rows a table must have; 0 for never.
    """

    rows: int = ROWS
    _pool: ProcessPoolExecutor | None = field(init=False, default=None)
    _id: Future[int] | None = field(init=False, default=None)
    _latest: Future[Evidence] | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def is_for(self, connection: Connection, table: str) -> bool:
        """Tells whether a table has rows enough."""
        if not self.rows:
            return False
        query = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS found").format(
            sql.Identifier(table), sql.Literal(self.rows)
        )
        return connection.execute(query).fetchone() == (self.rows,)

    def check(self, task: CheckTask) -> Future[Evidence]:
        """Starts a check.

        Returns:
            What it will have found. Where the process dies, its result is a ``BrokenProcessPool``.
        """
        try:
            return self._submitted(task)
        except BrokenProcessPool:  # it has died since the last table
            self._end()
            return self._submitted(task)

    def _submitted(self, task: CheckTask) -> Future[Evidence]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")  # a fork would take threads' locks along
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent)
            self._id = self._pool.submit(os.getpid)
        self._latest = self._pool.submit(_checked, task)
        return self._latest

    def _end(self) -> None:
        """Ends the process, in the middle of a check where nobody waits for it any more."""
        if self._pool is None:
            return
        assert self._id is not None
        # It does one after the other: where the latest is done, all are.
        is_busy = self._latest is not None and not self._latest.done()
        if is_busy and not self._id.exception():
            os.kill(self._id.result(), signal.SIGTERM)
        self._pool.shutdown(cancel_futures=True)
        self._pool = self._id = self._latest = None


def _end_with_parent() -> None:
    """Prepares the process: an interrupt is its parent's to handle, and it does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _checked(task: CheckTask) -> Evidence:
    with open_source(task.source_url) as source, open_target(task.target_url) as connection:
        return run_check(
            source if task.moment is None else at_moment(source, task.moment),
            connection,
            TABLES[task.table],
            task.layer,
            remediations=task.remediations,
        )
