"""A second process for the longest check of a large table, so that two cores work on its checks.

Comparing all values takes as long as the three other checks together, and Python uses one core a process.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
from bson.timestamp import Timestamp
from psycopg import sql
from pydantic import Field, PrivateAttr

from migration_assets.model import TABLES
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import open_source
from migration_assets.source.snapshots import at_moment
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.checks import run_check
from migration_assets.validation.evidence import Evidence, Layer


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


class SecondProcess(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A process that is started for the first large table of a run, and ends with the run."""

    rows: int = Field(
        default=20_000,
        description="The values of a table of at least as many rows are compared in a second process, "
        "beside its other checks. 0: never.",
    )
    _pool: ProcessPoolExecutor | None = PrivateAttr(default=None)
    _id: Future[int] | None = PrivateAttr(default=None)
    _latest: Future[Evidence] | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["SecondProcess"]:
        """Ends the process with the run, however the run ends."""
        del context
        try:
            yield self
        finally:
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
