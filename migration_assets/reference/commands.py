"""The page of commands, from what the command line says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

_HEAD = """# Commands

Generated from the command line by `migration-assets docs`; do not edit. It is what
`migration-assets COMMAND --help` says.
"""


def commands_page(app: typer.Typer) -> str:
    """Returns the page: each command with its arguments and options, in the order of the help.

    Args:
        app: The command line.
    """
    # typer brings a click of its own, without public types.
    group: Any = typer.main.get_command(app)
    return "\n".join([_HEAD, *_commands("migration-assets", group)]) + "\n"


def _commands(name: str, command: Any) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    if inner is not None:
        for child_name, child in inner.items():
            yield from _commands(f"{name} {child_name}", child)
        return
    arguments = [
        parameter for parameter in command.params if parameter.param_type_name == "argument"
    ]
    shown = [
        argument.name.upper() if argument.required else f"[{argument.name.upper()}]"
        for argument in arguments
    ]
    yield f"## {' '.join([name, *shown])}"
    yield ""
    yield from command.help.splitlines()
    yield ""
    if not command.params:
        return
    yield "| | |"
    yield "|---|---|"
    for child_name in command.params:
        yield f"| `{_shown(child_name)}` | {child_name.help}{_default(child_name.default)} |"
    yield ""


def _shown(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.name).upper()
    option = str(parameter.opts[0])
    return (
        option if parameter.is_flag else f"{option} {parameter.metavar or parameter.name.upper()}"
    )


def _default(value: object) -> str:
    return "" if value in {None, "", False} else f" Default: `{value}`."
