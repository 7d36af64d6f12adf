"""The workers of a run as a resource."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field, PrivateAttr

from migration_assets.assets.boundary import guarded
from migration_assets.workers import PROCESSES, ROWS, Workers


class WorkersResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Processes that are started for the first large table of a run, and end with the run."""

    rows: int = Field(
        default=ROWS,
        description="From a table of at least as many rows on, other processes help: they load ranges of "
        "documents, and take their share of the checks. 0: never.",
    )
    processes: int = Field(
        default=PROCESSES,
        description="How many processes work on a large table, this one among them. Each has connections of "
        "its own to both databases.",
    )
    _pool: Workers = PrivateAttr()

    @contextmanager
    @guarded
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WorkersResource"]:
        """Ends the processes with the run, however the run ends."""
        del context
        with Workers(self.rows, self.processes) as self._pool:
            yield self

    @property
    def pool(self) -> Workers:
        """The processes of the run."""
        return self._pool
