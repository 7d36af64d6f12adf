"""The checks of a table in two processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from psycopg import sql

from migration_assets.elsewhere import Databases
from migration_assets.model import Model
from migration_assets.remediation.rules import Remediations
from migration_assets.target.connection import Connection
from migration_assets.validation.checks import Layers, run_checks, together
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.workers import Workers

_LONG = frozenset({Layer.VALUES, Layer.REFERENCES})
"""Checks that compare all rows."""


@dataclass(frozen=True, slots=True)
class CheckTask:
    """Checks of a table that are made together, as another process can be told of them.

    Attributes:
        where: The databases, and how the run reads and holds them.
        model: The application's tables.
        table: Name of the table.
        layers: Which checks.
        remediations: The rules that hold.
    """

    where: Databases
    model: Model
    table: str
    layers: Layers
    remediations: Remediations


class SharedChecks:
    """The checks of a table, the longest of which a second process makes meanwhile.

    Args:
        layers: What is to be checked.
        submit: Gives the second process checks; None where this process is to do them all.

    Attributes:
        given: What the second process was given and nobody has asked for yet.
    """

    def __init__(
        self, layers: Iterable[Layer], submit: Callable[[Layers], Future[list[Evidence]]] | None
    ) -> None:
        self.given: dict[Layers, Future[list[Evidence]]] = {}
        self._here = together(layers)
        if submit is not None and len(self._here) > 1:
            self._here.sort(key=lambda layers: not _LONG.isdisjoint(layers))
            longest = self._here.pop()
            self.given[longest] = submit(longest)

    def __iter__(self) -> Iterator[Layers]:
        """Yields what this process is to check, then what the second one was given: that may take a while."""
        yield from self._here
        yield from tuple(self.given)


def is_worth(workers: Workers, connection: Connection, table: str) -> bool:
    """Tells whether a table has rows enough to start a second process; one that is there helps anyhow."""
    return workers.are_there or workers.is_worth_rows_of(
        connection, sql.SQL("SELECT FROM {}").format(sql.Identifier(table))
    )


def checked_alone(task: CheckTask) -> list[Evidence]:
    """Runs checks over connections of its own, which are kept for the next ones."""
    with task.where.open() as (source, connection):
        return run_checks(
            source,
            connection,
            task.model.tables[task.table],
            task.layers,
            remediations=task.remediations,
        )
