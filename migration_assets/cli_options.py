"""Shared by all commands: the console, common options, and the handling of errors."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from migration_assets import interrupts
from migration_assets.errors import MigrationError
from migration_assets.settings import REMEDIATIONS
from migration_assets.text import escape

_WIDTH = 100
"""Columns where the output is no terminal: what the table of results needs."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)

Approver = Annotated[str | None, typer.Option(metavar="NAME", help="Who signs the result.")]
Role = Annotated[str | None, typer.Option(help="In which role, such as migration lead.")]
Waivers = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Findings that may stand, in YAML; `waivers` drafts it."),
]
Reports = Annotated[
    str, typer.Option(metavar="DIR", help="Where the report goes; MIGRATION_REPORTS, else reports.")
]
RemediationsFile = Annotated[
    Path | None,
    typer.Option(help="A YAML file of remediations; MIGRATION_REMEDIATIONS where not given."),
]


def use(remediations: Path | None) -> None:
    """Sets the file of remediations for this process and its children."""
    if remediations is not None:
        os.environ[REMEDIATIONS.name] = str(remediations)


@contextmanager
def errors() -> Iterator[None]:
    """Ends with exit code 2 and one line, whatever the error: 1 is a NO-GO. So does Ctrl-C, at once."""
    try:
        with interrupts.ending_at_once():
            yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        fail(interrupts.SAID)
    except MigrationError as error:
        fail(str(error))
    except Exception as error:  # its text may hold values of documents, so it is not shown
        frames = "".join(traceback.format_tb(error.__traceback__))
        typer.echo(frames, err=True)
        fail(f"ended by an unexpected {type(error).__name__}. Report it with the lines above")


def fail(message: str) -> NoReturn:
    """Ends with exit code 2 and a line."""
    to_errors = Console(stderr=True, highlight=False)
    to_errors.print(f"[red]error:[/] {escape(message)}", soft_wrap=True)
    raise typer.Exit(2) from None
