"""The pages of ``docs/reference`` that are derived from the code: tables, commands, environment.

A test holds the pages to what is generated here. What cannot be derived is written by hand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

from migration_assets.model import Model
from migration_assets.reference.commands import commands_page
from migration_assets.reference.environment import environment_page
from migration_assets.reference.tables import tables_page

__all__ = ["files"]


def files(model: Model) -> Mapping[str, str]:
    """Returns the pages, by the name of the file."""
    return {
        "tables.md": tables_page(model),
        "commands.md": commands_page(),
        "environment.md": environment_page(),
    }
