"""The checks of a table in several processes: each takes the next part of it, this one among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial

from psycopg import sql

from migration_assets.databases import Databases
from migration_assets.memory import without_cycle_detection
from migration_assets.model import Model
from migration_assets.remediation.rules import Remediations
from migration_assets.target.connection import Connection
from migration_assets.validation.checks import Layers, run_checks, together
from migration_assets.validation.entity_pass import Part, compare_part
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.findings import Comparison
from migration_assets.validation.rows import ComparedTable, snapshot
from migration_assets.workers import Workers


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared, as another process can be told of it.

    Attributes:
        where: The databases, and how the run reads and holds them.
        model: The application's tables.
        remediations: The rules that hold.
    """

    where: Databases
    model: Model
    remediations: Remediations


@dataclass(frozen=True, slots=True)
class Sharing:
    """Shares checks with workers.

    Attributes:
        workers: The processes.
        sides: What is compared.
    """

    workers: Workers
    sides: Sides

    def submit(self, table: str, layers: Layers) -> Future[list[Evidence]]:
        """Starts checks in a worker."""
        return self.workers.submit(checked_there, self.sides, table, layers)

    def compare(
        self, moment: str, parts: Sequence[Part], here: Callable[[Part], Comparison]
    ) -> list[Comparison]:
        """Compares parts here and in workers; what a worker had that died is compared here.

        Args:
            moment: As of which the target is looked at, as the transaction of the comparison has exported it.
            parts: The parts.
            here: Compares one in this process.
        """
        there = partial(compared_there, self.sides, moment)
        consequence = f"of {parts[0].table} is compared here"
        return self.workers.share(parts, here, there, consequence)


Given = dict[Layers, Future[list[Evidence]] | None]
"""Checks that are made together, in the order to ask for them; None where this process makes them."""


def divided(
    layers: Iterable[Layer], submit: Callable[[Layers], Future[list[Evidence]]] | None
) -> Given:
    """Divides checks: what compares all rows is made here, with workers to help, which make the rest first.

    Args:
        layers: What is to be checked.
        submit: Gives checks away; None where this process is to do them all.
    """
    groups = together(layers)
    if submit is None:
        return dict.fromkeys(groups)
    groups.sort(key=lambda group: not any(layer.view for layer in group))
    return {group: submit(group) if number else None for number, group in enumerate(groups)}


def made_there(
    checks: Future[list[Evidence]], table: str, say: Callable[[str], object]
) -> list[Evidence] | None:
    """Returns what a worker has made of the checks of a table; None where it died, which it says."""
    try:
        return checks.result()
    except (BrokenProcessPool, CancelledError):
        say(f"A worker died: the checks of {table} that it made are made here")
        return None


def is_worth(workers: Workers, connection: Connection, table: str) -> bool:
    """Tells whether a table has rows enough to start workers; those that are there help anyhow."""
    return workers.are_there or workers.is_worth_rows_of(
        connection, sql.SQL("SELECT FROM {}").format(sql.Identifier(table))
    )


def checked_there(sides: Sides, table: str, layers: Layers) -> list[Evidence]:
    """Runs checks over connections of its own, which are kept for the next ones."""
    with sides.where.open() as (source, connection):
        return run_checks(
            source,
            connection,
            sides.model.tables[table],
            layers,
            remediations=sides.remediations,
        )


def compared_there(sides: Sides, moment: str, part: Part) -> Comparison:
    """Compares a part over such connections, as of the moment that the comparison has exported."""
    table = sides.model.tables[part.table]
    with (
        sides.where.open() as (source, connection),
        snapshot(connection, moment),
        without_cycle_detection(),
    ):
        return compare_part(ComparedTable(source, connection, table, sides.remediations), part)
