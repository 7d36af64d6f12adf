"""The second process of :mod:`migration_assets.validation.second_process` as a resource of a run."""

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import dagster as dg
from pydantic import Field, PrivateAttr

from migration_assets.target.connection import Connection
from migration_assets.validation.evidence import Evidence
from migration_assets.validation.second_process import ROWS, CheckTask, SecondProcess


class SecondProcessResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A process that is started for the first large table of a run, and ends with the run."""

    rows: int = Field(
        default=ROWS,
        description="The values of a table of at least as many rows are compared in a second process, "
        "beside its other checks. 0: never.",
    )
    _process: SecondProcess = PrivateAttr()

    @contextmanager
    def yield_for_execution(
        self, context: dg.InitResourceContext
    ) -> Iterator["SecondProcessResource"]:
        """Ends the process with the run, however the run ends."""
        del context
        with SecondProcess(self.rows) as self._process:
            yield self

    def is_for(self, connection: Connection, table: str) -> bool:
        """Tells whether a table has rows enough."""
        return self._process.is_for(connection, table)

    def check(self, task: CheckTask) -> Future[Evidence]:
        """Starts a check."""
        return self._process.check(task)
