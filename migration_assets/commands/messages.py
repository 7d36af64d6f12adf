"""Writing a message to users or team, filled from the run's own record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from migration_assets.application import chosen_model
from migration_assets.endpoints import target_url
from migration_assets.messages.fields import FIELDS
from migration_assets.messages.filling import fill, read_pairs, read_values
from migration_assets.messages.record import MigrationRecord, read_record
from migration_assets.messages.templates import template, templates
from migration_assets.model import Model
from migration_assets.settings import MESSAGE_VALUES
from migration_assets.target.connection import open_target


def show_templates(console: Console) -> None:
    """Prints the templates, and the values that the sender has to give for each."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("", "message", "to", "when", "values to give"):
        table.add_column(name)
    for shown in templates().values():
        names = [name for name in shown.needs() if not FIELDS[name].source]
        table.add_row(
            str(shown.number),
            shown.name,
            shown.audience,
            shown.timing,
            ", ".join(names),
        )
    console.print(table)


def write_message(
    console: Console,
    name: str,
    *,
    pairs: Sequence[str] = (),
    values: Path | None = None,
    output: Path | None = None,
) -> None:
    """Prints or writes a message.

    Args:
        console: Where hints to the sender go.
        name: Name or number of the template.
        pairs: Values as `name=value`; they take precedence over the file.
        values: The file of values; the one that ``MIGRATION_MESSAGE_VALUES`` names where None.
        output: The file to write; standard output where None.

    Raises:
        MigrationError: A placeholder would be empty, or something that was given cannot be used.
    """
    model = chosen_model()
    chosen = template(name)
    configured = MESSAGE_VALUES.read()
    path = values or (None if configured is None else Path(configured))
    given_values = {**({} if path is None else read_values(path)), **read_pairs(pairs)}
    message = fill(
        chosen, given_values, now=dt.datetime.now(tz=dt.UTC), read_record=partial(_read, model)
    )
    if output is None:
        typer.echo(message.text)
    else:
        output.write_text(message.text, encoding="utf-8")
    for hint in message.hints:
        console.print(f"[yellow]note:[/] {hint}")


def _read(model: Model, since: dt.datetime | None) -> MigrationRecord | None:
    with open_target(target_url()) as connection:
        return read_record(model, connection, since=since)
