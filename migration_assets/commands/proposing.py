"""A draft of remediations, for a person to read and keep."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from migration_assets.application import chosen_model
from migration_assets.causes.draft import draft
from migration_assets.endpoints import source_url
from migration_assets.errors import MigrationError, RemediationError
from migration_assets.source.connection import open_source
from migration_assets.text import counted, escape


def propose(console: Console, output: Path, *, remediations: Path | None) -> None:
    """Writes a draft of the rules that the source needs; it reads the source, and nothing else.

    The file can hold values of documents, such as a misspelt status: only its owner can read it.

    Args:
        console: Where it says what it did.
        output: The file to write; it must not be there yet.
        remediations: The rules that there are already; the draft begins with them.

    Raises:
        MigrationError: The source cannot be used, or the file cannot be written.
        RemediationError: The rules that there are have mistakes.
    """
    model = chosen_model()
    existing = "" if remediations is None else _text(remediations)
    with open_source(source_url()) as source:
        proposed = draft(model, source, existing)
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise MigrationError(
            f"cannot be written ({error.strerror})",
            where=f"draft {output}",
            next_step="Give another name with --output, or remove the file",
        ) from None
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(proposed.text)
    remaining = "nothing is left to choose"
    if proposed.decisions:
        remaining = (
            f"{counted(proposed.decisions, 'cause')} left for you to choose: "
            "look for CHOOSE and `a choice`"
        )
    console.print(
        f"{escape(str(output))}: read each rule, keep what is right; {remaining}. Then: "
        f"migration-assets run --remediations {escape(str(output))}",
        soft_wrap=True,
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RemediationError(
            f"cannot be read ({type(error).__name__})",
            where=f"remediations {file}",
            next_step="Check the path, and that it is UTF-8",
        ) from None
