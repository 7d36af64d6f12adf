"""The second process as a resource of a run."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field, PrivateAttr

from migration_assets.assets.boundary import guarded
from migration_assets.second_process import ROWS, SecondProcess


class SecondProcessResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A process that is started for the first large table of a run, and ends with the run."""

    rows: int = Field(
        default=ROWS,
        description="From a table of at least as many rows on, a second process helps: it converts batches "
        "of documents, and takes its share of the checks. 0: never.",
    )
    _process: SecondProcess = PrivateAttr()

    @contextmanager
    @guarded
    def yield_for_execution(
        self, context: dg.InitResourceContext
    ) -> Iterator["SecondProcessResource"]:
        """Ends the process with the run, however the run ends."""
        del context
        with SecondProcess(self.rows) as self._process:
            yield self

    @property
    def process(self) -> SecondProcess:
        """The process of the run."""
        return self._process
