"""The table that a migration ends with: a line for each PostgreSQL table.

The source of a junction table is counted in elements of its arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from rich.box import SIMPLE_HEAD
from rich.table import Table

from migration_assets.model import Model
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation.evidence import Layer, Severity

_LINES = """
    SELECT DISTINCT ON (l.target_table) l.target_table, l.statistics, (
        SELECT coalesce(jsonb_object_agg(r.check_name,
                 CASE WHEN r.load_id IS DISTINCT FROM l.id THEN 'stale' WHEN r.passed THEN 'passed'
                      ELSE r.severity END), '{{}}')
        FROM {results} r WHERE r.target_table = l.target_table)
    FROM {loads} l WHERE l.finished_at IS NOT NULL
    ORDER BY l.target_table, l.finished_at DESC
"""

_MARKS = {
    "passed": "[green]✓[/]",
    Severity.WARN: "[yellow]![/]",
    Severity.ERROR: "[red]✗[/]",
    "stale": "[yellow]stale[/]",
}


@dataclass(frozen=True, slots=True)
class TableSummary:
    """The latest load and the checks of one table.

    Attributes:
        table: The table.
        statistics: Counts and seconds of its latest load.
        checks: For each check `passed`, `stale` or the severity of its failure.
    """

    table: str
    statistics: Mapping[str, Any]
    checks: Mapping[str, str]


def lines(model: Model, connection: Connection) -> list[TableSummary]:
    """Returns a line for each table that was loaded, in the order of loading."""
    query = sql.SQL(_LINES).format(
        loads=sql.Identifier(SCHEMA, bookkeeping.loads.name),
        results=sql.Identifier(SCHEMA, bookkeeping.check_results.name),
    )
    by_table = {
        table: TableSummary(table, stats, checks)
        for table, stats, checks in connection.execute(query)
    }
    return [by_table[name] for name in model.tables if name in by_table]


def summary_table(model: Model, loaded: list[TableSummary]) -> Table:
    """Returns the lines as a table for the terminal."""
    legend = ", ".join(f"{number} {layer}" for number, layer in enumerate(Layer, start=1))
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption=f"checks: {legend}")
    table.add_column("table", no_wrap=True)
    for name in ("source", "rows", "rejected", "written", "seconds", "rows/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for number in range(1, len(Layer) + 1):
        table.add_column(str(number), justify="center", no_wrap=True)
    totals = dict.fromkeys(("source", "rows", "rejected", "written"), 0)
    seconds = 0.0
    for line in loaded:
        numbers = line.statistics
        merged = numbers["merged"]
        rows = merged["inserted"] + merged["updated"] + merged["unchanged"]
        written = merged["inserted"] + merged["updated"] + merged["deleted"]
        totals["source"] += numbers["documents"]
        totals["rows"] += rows
        totals["rejected"] += numbers["rejected"]
        totals["written"] += written
        seconds += numbers["seconds"]
        table.add_row(
            line.table,
            f"{numbers['documents']:,}",
            f"{rows:,}",
            f"{numbers['rejected']:,}",
            f"{written:,}",
            f"{numbers['seconds']:.2f}",
            f"{rows / numbers['seconds']:,.0f}" if numbers["seconds"] else "",
            *[_MARKS.get(line.checks.get(layer, ""), "[dim]-[/]") for layer in Layer],
        )
    table.add_section()
    table.add_row(
        f"{len(loaded)} of {len(model.tables)} tables",
        f"{totals['source']:,}",
        f"{totals['rows']:,}",
        f"{totals['rejected']:,}",
        f"{totals['written']:,}",
        f"{seconds:.2f}",
        f"{totals['rows'] / seconds:,.0f}" if seconds else "",
    )
    return table
