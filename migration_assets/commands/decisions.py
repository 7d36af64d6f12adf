"""The decisions left until GO: the causes of losses, each with the rule that would resolve it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from migration_assets.sign_off.findings import Finding
from migration_assets.text import counted, escape

SHOWN = 20
"""Decisions that are printed; the report has all of them."""


def print_decisions(console: Console, decisions: Sequence[Finding]) -> None:
    """Prints the causes of losses, the largest first, with the rules to copy."""
    if not decisions:
        return
    console.print(
        f"[bold]{counted(len(decisions), 'decision')} left until GO[/]; a rule under each, and "
        "`migration-assets propose` drafts a file of them (docs/remediations.md)",
        soft_wrap=True,
    )
    for number, finding in enumerate(decisions[:SHOWN], start=1):
        console.print(f"[red]{number:>3}[/] {escape(finding.what)}", soft_wrap=True)
        for line in finding.rule.splitlines():
            console.print(f"    [dim]{escape(line)}[/]", soft_wrap=True)
    if len(decisions) > SHOWN:
        console.print(f"    and {len(decisions) - SHOWN} more: the report has all of them")
