"""Rolling back: exporting what PostgreSQL gained, applying it to MongoDB, clearing the target.

Nothing that is printed holds a value of a document.
"""

from __future__ import annotations

import enum
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from migration_assets.application import chosen_model
from migration_assets.endpoints import source_url, target_url
from migration_assets.errors import MigrationError
from migration_assets.model import Model
from migration_assets.remediation.parsing import load_remediations
from migration_assets.rollback import apply, export, removal
from migration_assets.rollback.apply import SHOWN, ApplyResult
from migration_assets.rollback.files import NEW_IDS, Manifest, read_manifest
from migration_assets.rollback.operations import KINDS
from migration_assets.rollback.refused import RefusedError
from migration_assets.rollback.removal import Proof, Removed
from migration_assets.rollback.target_state import require_migrated
from migration_assets.settings import ROLLBACK_URL
from migration_assets.source.connection import open_source
from migration_assets.source.united import open_united
from migration_assets.target.connection import Connection
from migration_assets.target.lock import held_for_run
from migration_assets.target.standing import changes_since
from migration_assets.text import escape

Ask = Callable[[str], str]
"""Asks the operator something and returns what was typed, nothing where nobody can be asked."""


class RollbackExit(enum.IntEnum):
    """Exit codes; 2 is that it could not run."""

    DONE = 0
    REFUSED = 1


def export_gained(console: Console, directory: Path) -> RollbackExit:
    """Exports what PostgreSQL gained since the migration.

    Raises:
        MigrationError: It cannot run: a database is out of reach, or the directory cannot be used.
    """
    model = chosen_model()
    url = target_url()
    remediations = load_remediations(model)
    try:
        with (
            open_united(source_url(), remediations.counted_as) as source,
            held_for_run(url, str(uuid.uuid4())) as hold,
            hold.open() as connection,
            console.status("exporting") as status,
        ):
            manifest = export.export_gained(
                model, source, connection, directory, say=status.update, remediations=remediations
            )
    except RefusedError as error:
        return _refused(console, error)
    _print_export(console, manifest, directory)
    return RollbackExit.REFUSED if manifest.problems else RollbackExit.DONE


def apply_gained(
    console: Console,
    directory: Path,
    *,
    url: str | None,
    confirmed: str | None,
    ask: Ask,
    skip_conflicts: bool = False,
    dry_run: bool = False,
) -> RollbackExit:
    """Applies an export to MongoDB.

    Args:
        console: Where the counts go.
        directory: The export.
        url: URL of the database to write to; ``ROLLBACK_MONGODB_URL`` where None.
        confirmed: Name of that database, typed beforehand.
        ask: Asks for it otherwise.
        skip_conflicts: Apply the other operations where some are in conflict.
        dry_run: Look only.

    Raises:
        MigrationError: It cannot run: no URL, no whole export, or MongoDB is out of reach.
    """
    url = url or ROLLBACK_URL.read()
    if url is None:
        raise MigrationError(
            "the database to write to is not named",
            where=ROLLBACK_URL.name,
            next_step=f"Set {ROLLBACK_URL.name} to mongodb://user:password@host:port/database; the source of "
            "the migration is not taken for it, since that is only ever read",
        )
    manifest = read_manifest(directory)
    try:
        with (
            open_source(url, variable=ROLLBACK_URL.name) as database,
            console.status("looking") as status,
        ):
            to_apply = apply.apply_gained(
                directory, manifest, database, write=False, say=status.update
            )
            status.stop()
            _print_applied(console, to_apply, "to apply")
            if to_apply.conflicts and not skip_conflicts:
                raise RefusedError(
                    f"{to_apply.conflicts} operations are in conflict with what was written since",
                    where=f"MongoDB database {database.name}",
                    next_step="Nothing was written. Decide on each document, or leave these operations "
                    "out with --skip-conflicts",
                )
            if dry_run or not to_apply.pending:
                return RollbackExit.REFUSED if to_apply.conflicts else RollbackExit.DONE
            _confirm(confirmed, ask, database.name, "be written to")
            status.start()
            applied = apply.apply_gained(
                directory, manifest, database, write=True, say=status.update
            )
    except RefusedError as error:
        return _refused(console, error)
    _print_applied(console, applied, "applied")
    if manifest.problems:
        console.print(f"[yellow]![/] {manifest.problems} values are not in the export")
    return RollbackExit.REFUSED if applied.conflicts else RollbackExit.DONE


def roll_back(
    console: Console,
    *,
    confirmed: str | None,
    ask: Ask,
    exported: Path | None = None,
    discard_gained: bool = False,
    dry_run: bool = False,
) -> RollbackExit:
    """Removes from the target what this project created.

    Args:
        console: Where the list of it goes.
        confirmed: Name of the database, typed beforehand.
        ask: Asks for it otherwise.
        exported: The export that holds what the application has written.
        discard_gained: Give up what the application has written.
        dry_run: Show what would go, and change nothing.

    Raises:
        MigrationError: It cannot run: a database is out of reach, or nothing was migrated to it.
    """
    model = chosen_model()
    url = target_url()
    if exported is not None and discard_gained:
        raise MigrationError(
            "either what the application wrote is exported, or it is given up",
            where="--exported and --discard-gained",
            next_step="Give one of them",
        )
    try:
        with held_for_run(url, str(uuid.uuid4())) as hold, hold.open() as connection:
            name = connection.info.dbname
            require_migrated(connection)
            _print_changes(console, changes_since(model, connection))
            if not dry_run:
                _print_removed(console, removal.planned(model, connection), "would go")
                _confirm(confirmed, ask, name, "lose all this")
            with _proof(model, console, exported, discard_gained=discard_gained) as proof:
                removed = removal.remove(model, connection, proof, dry_run=dry_run)
            _print_removed(console, removed, "would go" if dry_run else "gone")
            _print_left(model, console, connection, dry_run=dry_run)
    except RefusedError as error:
        return _refused(console, error)
    if dry_run:
        console.print(f"Dry run: nothing was changed in database [bold]{escape(name)}[/].")
    return RollbackExit.DONE


@contextmanager
def _proof(
    model: Model, console: Console, exported: Path | None, *, discard_gained: bool
) -> Iterator[Proof]:
    """Lends the proof that the options ask for: that nothing is lost."""
    if discard_gained:
        yield removal.nothing_to_prove
    elif exported is not None:
        yield removal.all_exported(model, read_manifest(exported))
    else:
        rules = load_remediations(model)
        opening = open_united(source_url(), rules.counted_as)
        with opening as source, console.status("comparing") as status:
            yield removal.nothing_gained(model, source, status.update, rules)


def _confirm(confirmed: str | None, ask: Ask, database: str, what: str) -> None:
    """Refuses unless the name of the database is typed.

    Raises:
        RefusedError: It is not.
    """
    typed = confirmed
    if typed is None:
        typed = ask(f"Type the name of the database that is to {what}")
    if typed != database:
        raise RefusedError(
            "the name that was typed is not that of the database",
            where=f"database {database}",
            next_step="Nothing was changed. Look whether it is the database that you mean, then type "
            "its name",
        )


def _refused(console: Console, error: RefusedError) -> RollbackExit:
    console.print(f"[red]refused:[/] {escape(str(error))}.", soft_wrap=True)
    return RollbackExit.REFUSED


def _print_export(console: Console, manifest: Manifest, directory: Path) -> None:
    table = _operations_table()
    for name, written in manifest.collections.items():
        table.add_row(name, *_numbers(Counter(written.operations)))
    table.add_section()
    table.add_row(f"{len(manifest.collections)} collections", *_numbers(manifest.operations))
    console.print(table)
    _print_changes(console, manifest.changes)
    created = manifest.others[NEW_IDS].lines
    console.print(f"{created:,} rows that were created in PostgreSQL got a new _id.")
    for column, rows in manifest.unknown_columns.items():
        if rows:
            line = f"column {column} holds what the model has no room for: not exported, {rows:,} rows use it"
            console.print(f"[red]✗[/] {escape(line)}")
    for name in manifest.unknown_tables:
        console.print(f"[yellow]![/] table {escape(name)} is not the model's: not exported")
    if manifest.problems:
        console.print(
            f"[red]✗[/] {manifest.problems:,} values could not be exported; _problems.jsonl says which"
        )
    console.print(
        f"Exported to [bold]{escape(str(directory))}[/]; it holds values, secret ones too."
    )


def _print_changes(console: Console, changes: Sequence[str]) -> None:
    """Prints how the application has changed the tables, and what that means for the rollback."""
    if not changes:
        return
    for change in changes:
        console.print(f"[yellow]![/] {escape(change)}", soft_wrap=True)
    console.print(
        "The application has changed these since the migration. What is still there is compared, exported "
        "and removed; of what is gone MongoDB keeps what it has.",
        soft_wrap=True,
    )


def _print_applied(console: Console, applied: ApplyResult, title: str) -> None:
    table = _operations_table()
    table.add_row(title, *_numbers(applied.pending))
    table.add_row("applied before", *_numbers(applied.done))
    console.print(table)
    for conflict in applied.examples:
        line = f"{conflict.collection} {conflict.source_id}: {conflict.what}"
        console.print(f"[red]✗[/] {escape(line)}", soft_wrap=True)
    if applied.conflicts > SHOWN:
        console.print(f"[red]✗[/] and {applied.conflicts - SHOWN:,} more conflicts")


def _print_removed(console: Console, removed: list[Removed], title: str) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(title, no_wrap=True)
    table.add_column("rows", justify="right")
    for item in removed:
        table.add_row(escape(str(item.object)), "" if item.rows is None else f"{item.rows:,}")
    table.add_section()
    table.add_row(f"{len(removed)} objects", f"{sum(item.rows or 0 for item in removed):,}")
    console.print(table)


def _print_left(model: Model, console: Console, connection: Connection, *, dry_run: bool) -> None:
    if dry_run:
        for database_object in removal.left_behind(model, connection):
            console.print(
                f"[yellow]![/] {escape(str(database_object))} was not created here, and stays"
            )


def _operations_table() -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("operations", no_wrap=True)
    for kind in KINDS:
        table.add_column(kind, justify="right")
    return table


def _numbers(counted: Counter[str]) -> list[str]:
    return [f"{counted[kind]:,}" for kind in KINDS]
