"""The commands for after the migration: monitoring, messages, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from migration_assets import interrupts
from migration_assets.cli_options import (
    console,
    errors,
)
from migration_assets.settings import ROLLBACK_URL

app = typer.Typer()


@app.command()
def monitor(
    watch: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=1, help="Look again and again.")
    ] = None,
    daily: Annotated[bool, typer.Option("--daily", help="Print the report of the day.")] = False,
    query: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Print one of the 12 queries.")
    ] = None,
    reading: Annotated[
        list[str] | None,
        typer.Option(metavar="KPI=VALUE", help="A value that another tool has measured."),
    ] = None,
    room: Annotated[
        float | None, typer.Option(metavar="GB", help="Room for the database, for the forecast.")
    ] = None,
    alert: Annotated[
        bool, typer.Option("--alert", help="Tell what is critical, for cron.")
    ] = False,
) -> None:
    """Looks at the target after go-live. Exit code: 0 fine, 1 something is critical, 2 could not look."""
    from migration_assets.commands import monitoring  # noqa: PLC0415

    with errors():
        if query is not None:
            raise typer.Exit(monitoring.query(console, query))
        if watch is not None:
            with interrupts.raising():
                raise typer.Exit(monitoring.watch(console, watch, pairs=reading or ()))
        if daily:
            raise typer.Exit(monitoring.report(console, pairs=reading or (), room=room))
        raise typer.Exit(monitoring.look(console, pairs=reading or (), is_alerting=alert))


@app.command()
def message(
    template: Annotated[
        str | None, typer.Argument(help="Name or number of the message; all are listed without it.")
    ] = None,
    pairs: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A value.")
    ] = None,
    values: Annotated[Path | None, typer.Option(help="A YAML file of values.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write it to a file.")] = None,
) -> None:
    """Prints a message to users or team, filled from the run's record. Exit code: 2 where it has a gap."""
    from migration_assets.commands import messages  # noqa: PLC0415

    with errors():
        if template is None:
            messages.show_templates(console)
            return
        to_errors = Console(stderr=True, highlight=False)
        messages.write_message(to_errors, template, pairs=pairs or (), values=values, output=output)


@app.command("export-gained")
def export_gained(
    directory: Annotated[Path, typer.Argument(help="A new directory; its files hold values.")],
) -> None:
    """Exports what PostgreSQL gained since the migration. Exit code: 0 done, 1 refused, 2 could not run."""
    from migration_assets.commands import rolling_back  # noqa: PLC0415

    with errors():
        raise typer.Exit(rolling_back.export_gained(console, directory))


@app.command("apply-gained")
def apply_gained(
    directory: Annotated[Path, typer.Argument(help="The export.")],
    to: Annotated[
        str | None,
        typer.Option(help=f"MongoDB URL to write to; {ROLLBACK_URL.name} where not given."),
    ] = None,
    yes_write: Annotated[
        str | None, typer.Option(metavar="DATABASE", help="Confirms, for scripts.")
    ] = None,
    skip_conflicts: Annotated[
        bool, typer.Option("--skip-conflicts", help="Leave out what is in conflict.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
) -> None:
    """Applies an export to MongoDB. Exit code: 0 done, 1 refused, 2 could not run."""
    from migration_assets.commands import rolling_back  # noqa: PLC0415

    with errors():
        raise typer.Exit(
            rolling_back.apply_gained(
                console,
                directory,
                url=to,
                confirmed=yes_write,
                ask=_asked,
                skip_conflicts=skip_conflicts,
                dry_run=dry_run,
            )
        )


@app.command()
def rollback(
    yes_remove: Annotated[
        str | None, typer.Option(metavar="DATABASE", help="Confirms, for scripts.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing.")] = False,
    discard_gained: Annotated[
        bool, typer.Option("--discard-gained", help="Give up what the application has written.")
    ] = False,
    exported: Annotated[
        Path | None, typer.Option(help="The export of what the application has written.")
    ] = None,
) -> None:
    """Removes from the target what this project created. Exit code: 0 done, 1 refused, 2 could not run."""
    from migration_assets.commands import rolling_back  # noqa: PLC0415

    with errors():
        raise typer.Exit(
            rolling_back.roll_back(
                console,
                confirmed=yes_remove,
                ask=_asked,
                exported=exported,
                discard_gained=discard_gained,
                dry_run=dry_run,
            )
        )


def _asked(question: str) -> str:
    """Asks the operator; nobody there is an empty answer."""
    try:
        return str(typer.prompt(question, default="", show_default=False))
    except typer.Abort:
        return ""
