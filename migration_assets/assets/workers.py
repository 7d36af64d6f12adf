"""The workers of a run as a resource."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field, PrivateAttr

from migration_assets.assets.boundary import guarded
from migration_assets.settings import WORKERS
from migration_assets.workers import Workers, processes_wanted


class WorkersResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Processes that are started for the first large table of a run, and end with the run."""

    processes: int = Field(
        default=0,
        description="How many processes share the ranges of a table, this one among them, for loads and "
        f"checks alike. 0: {WORKERS.name}, else as many as there are cores; where the executor runs "
        "tables side by side, one.",
    )
    _pool: Workers = PrivateAttr()

    @contextmanager
    @guarded
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WorkersResource"]:
        """Ends the processes with the run, however the run ends."""
        del context
        with Workers(processes=self.processes or processes_wanted()) as self._pool:
            yield self

    @property
    def pool(self) -> Workers:
        """The processes of the run."""
        return self._pool
