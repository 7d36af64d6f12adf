"""Showing the progress of a run on a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console

from migration_assets.assets.progress import Progress
from migration_assets.loading.records import LoadResult
from migration_assets.validation.evidence import Evidence, Severity


@dataclass(slots=True)
class ConsoleProgress(Progress):
    """Shows the progress on a terminal, a line for each table.

    Attributes:
        console: Where it goes.
        total: How many tables there are to do.
    """

    console: Console
    total: int
    _done: int = 0
    _is_line_open: bool = False

    def started(self, table: str) -> None:
        """Begins the line of a table."""
        self.end_line()
        self._done += 1
        self._is_line_open = True
        self.console.print(f"[dim]{self._done:>2}/{self.total}[/] {table:<32}", end="")

    def loaded(self, result: LoadResult) -> None:
        """Adds what was loaded."""
        rejected = f", [red]{result.tally.rejected:,} rejected[/]" if result.tally.rejected else ""
        self.console.print(
            f"{result.rows:>9,} rows, {result.merged.written:>9,} written in "
            f"{result.seconds:6.2f} s{rejected}",
            end="  ",
        )

    def checked(self, evidence: Evidence) -> None:
        """Adds the result of a check."""
        is_error = evidence.severity is Severity.ERROR
        mark = "[green]✓[/]" if evidence.passed else "[red]✗[/]" if is_error else "[yellow]![/]"
        self.console.print(mark, end="")

    def end_line(self) -> None:
        """Ends the line of a table, finished or not."""
        if self._is_line_open:
            self.console.print()
        self._is_line_open = False
