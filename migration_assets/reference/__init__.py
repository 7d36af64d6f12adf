"""The pages of ``docs/reference`` that are derived from the code: tables, commands, environment.

A test holds the pages to what is generated here. What cannot be derived is written by hand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

import typer

from migration_assets.model import Model
from migration_assets.reference.commands import commands_page
from migration_assets.reference.environment import environment_page
from migration_assets.reference.tables import tables_page

__all__ = ["files"]


def files(model: Model, app: typer.Typer) -> Mapping[str, str]:
    """Returns the pages, by the name of the file.

    Args:
        model: The application's tables.
        app: The command line.
    """
    return {
        "tables.md": tables_page(model),
        "commands.md": commands_page(app),
        "environment.md": environment_page(),
    }
