"""Printing the preflight: one page of findings, each with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from migration_assets.application import chosen_model
from migration_assets.endpoints import source_url, target_url
from migration_assets.errors import MigrationError
from migration_assets.model import Model
from migration_assets.preflight.findings import Level, Page, PreflightFinding
from migration_assets.preflight.page import examine
from migration_assets.remediation.parsing import load_remediations
from migration_assets.source.snapshots import snapshot_wanted
from migration_assets.source.united import open_united
from migration_assets.target.connection import open_target
from migration_assets.target.url import notes_on
from migration_assets.text import escape

_MARKS = {Level.OK: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.ERROR: "[red]✗[/]"}

EXIT_CODES = {True: 0, False: 2}
"""By whether the migration can start."""


def preflight(console: Console) -> int:
    """Prints the page on both databases, and returns the exit code: 0 without errors, else 2.

    Raises:
        MigrationError: A URL is not known.
    """
    model = chosen_model()
    page = _page(model, is_rehearsed=True)
    console.print(page_table(page.findings))
    verdict = "the migration would fail" if page.errors else "the migration can start"
    colour = "red" if page.errors else "green"
    console.print(f"[{colour}]{verdict}[/]: {escape(page.summary())}", soft_wrap=True)
    return EXIT_CODES[not page.errors]


def require_preflight(model: Model, console: Console) -> None:
    """Prints the warnings of the preflight in one line, before a run.

    Raises:
        MigrationError: It found an error; each is printed before.
    """
    page = _page(model, is_rehearsed=False)  # the run itself is about to tell
    if page.errors:
        console.print(page_table(page.errors))
        raise MigrationError(
            f"found {page.summary()}",
            where="preflight",
            next_step="Put that right, then start again; `migration-assets preflight` shows all of it",
        )
    hint = "; `migration-assets preflight` shows what to do" if page.warnings else ""
    console.print(f"[dim]preflight:[/] {escape(page.summary())}{hint}", soft_wrap=True)


def page_table(findings: Sequence[PreflightFinding]) -> Table:
    """Returns findings as a table for the terminal, each with its next step below it."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(_MARKS[finding.level], str(finding.area), escape(finding.what))
        if finding.next_step:
            table.add_row("", "", Padding(f"[dim]{escape(finding.next_step)}[/]", (0, 0, 0, 2)))
    return table


def _page(model: Model, *, is_rehearsed: bool) -> Page:
    rules = load_remediations(model)
    return examine(
        model,
        partial(open_united, source_url(), rules.counted_as),
        partial(open_target, target_url()),
        at_one_moment=snapshot_wanted(),
        notes=notes_on(target_url()),
        rehearsed_with=rules if is_rehearsed else None,
    )
