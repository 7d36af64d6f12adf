"""Printing how long the migration will take, by a rehearsal and the size of the source (operations 1.5)."""

from __future__ import annotations

import math

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from migration_assets.application import chosen_model
from migration_assets.commands.running import require_schema
from migration_assets.endpoints import source_url, target_url
from migration_assets.errors import MigrationError
from migration_assets.preflight.contents import contents
from migration_assets.preflight.duration import (
    OPTIMISED_FACTOR,
    SAFETY_FACTOR,
    TableEstimate,
    estimate,
    in_words,
    rehearsal,
    table_estimates,
)
from migration_assets.source.connection import open_source
from migration_assets.target.connection import open_target
from migration_assets.text import counted, megabytes


def show_estimate(console: Console, *, is_optimised: bool = False) -> None:
    """Prints how long each table and the whole will take, and the window to plan.

    The target is that of the rehearsal; the source is the one to migrate, such as production.

    Args:
        console: Where it goes.
        is_optimised: The rehearsal was tuned like production, so a smaller margin is enough.

    Raises:
        MigrationError: Nothing was measured yet, or a database is out of reach.
    """
    model = chosen_model()
    with open_source(source_url()) as source, open_target(target_url()) as connection:
        require_schema(connection)
        source_contents = contents(source)
        measured = rehearsal(model, connection)
        tables = table_estimates(model, connection, source_contents)
        where = f"database {connection.info.dbname}"
    if measured is None:
        raise MigrationError(
            "no load has finished in it, so nothing is known",
            where=where,
            next_step="Rehearse with `migration-assets run`, then ask again",
        )
    factor = OPTIMISED_FACTOR if is_optimised else SAFETY_FACTOR
    estimated = estimate(model, measured, source_contents, factor=factor)
    console.print(_table(tables))
    what = (
        "a whole run" if measured.is_whole else "the loads alone, without checks and constraints,"
    )
    console.print(
        f"{what} took {in_words(measured.seconds)} for {measured.documents:,} documents, "
        f"{megabytes(measured.size)}, on {measured.ended:%Y-%m-%d}; the source now holds "
        f"{estimated.documents:,} documents, {megabytes(estimated.size)}\n"
        f"{in_words(measured.seconds)} x {estimated.ratio:.4g} (size) x {factor:g} (safety) = "
        f"[bold]about {in_words(estimated.seconds)}[/]; plan a window of "
        f"{counted(max(1, math.ceil(estimated.seconds / 3600)), 'hour')} or more",
        soft_wrap=True,
    )


def _table(tables: list[TableEstimate]) -> Table:
    shown = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="loads alone, before the safety factor; a junction table is counted in elements of arrays",
    )
    shown.add_column("table", no_wrap=True)
    for name in ("then", "per second", "now", "expected"):
        shown.add_column(name, justify="right", no_wrap=True)
    for table in tables:
        shown.add_row(
            table.table,
            f"{table.measured:,}",
            f"{table.rate:,.0f}",
            f"{table.expected:,}",
            f"{table.seconds:.2f} s" if table.seconds < 10 else in_words(table.seconds),
        )
    return shown
