"""Restoring a dump into the embedded MongoDB, or into one that is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from migration_assets.dump import Dump, Restored, open_dump, restore
from migration_assets.dump.reading import SERVERS_OWN
from migration_assets.dump.stream import DumpError
from migration_assets.errors import MigrationError
from migration_assets.settings import SOURCE_URL
from migration_assets.source.connection import CODEC, Document
from migration_assets.text import counted, escape
from migration_assets.urls import redacted, without_urls

_TIMEOUT = 10_000
"""Milliseconds to wait for a server."""


def restore_dump(
    console: Console, path: Path, *, database: str | None = None, url: str | None = None
) -> None:
    """Restores a database of a dump, and says how to migrate it.

    Args:
        console: Where the result goes.
        path: A directory or an archive.
        database: The database in the dump; not needed where there is one.
        url: URL of an empty database; the embedded server's where None.

    Raises:
        MigrationError: The dump is damaged or foreign, or the database cannot be filled.
    """
    with open_dump(path) as dump:
        chosen = _chosen(dump, path, database)
        target = url or _embedded()
        try:
            client: MongoClient[Document] = MongoClient(
                target, serverSelectionTimeoutMS=_TIMEOUT, connectTimeoutMS=_TIMEOUT
            )
            into = client.get_default_database(codec_options=CODEC)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise MigrationError(
                f"the URL cannot be used: {without_urls(str(error))}",
                where="--to",
                next_step="Give mongodb://user:password@host:port/name-of-an-empty-database",
            ) from None
        with client, console.status("restoring") as status:
            restored = restore(dump, chosen, into, say=status.update)
        _print_restored(console, restored)
        _print_others(console, dump, chosen)
    where = redacted(target)
    console.print(
        f"Restored database [bold]{escape(chosen)}[/] into {escape(where)}", soft_wrap=True
    )
    shown = target if url is None else where
    note = "" if shown == target else " (with the user and password that you gave to --to)"
    console.print(
        f"To migrate it:\nexport {SOURCE_URL.name}='{escape(shown)}'{note}\nmigration-assets run",
        soft_wrap=True,
    )


def _embedded() -> str:
    """Returns the URL of the embedded MongoDB, which is started if necessary."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    return EmbeddedServers(default_directory()).start().mongodb_url


def _chosen(dump: Dump, path: Path, database: str | None) -> str:
    """Returns the database of a dump to restore.

    Raises:
        DumpError: There are several and none is named, or not the one that is named.
    """
    names = sorted(
        {collection.database for collection in dump.collections if collection.kind == "collection"}
    )
    if database is not None and database in names:
        return database
    candidates = [name for name in names if name not in SERVERS_OWN]
    if database is None and len(candidates) == 1:
        return candidates[0]
    several = f"it holds the databases {', '.join(candidates)}"
    raise DumpError(
        several if candidates else "it holds no database but the server's own",
        where=str(path),
        next_step="Name one with --database" if candidates else "Dump the application's database",
    )


def _print_restored(console: Console, restored: Restored) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("collection", no_wrap=True)
    table.add_column("documents", justify="right")
    for name, count in sorted(restored.documents.items()):
        table.add_row(escape(name), f"{count:,}")
    table.add_section()
    table.add_row(counted(len(restored.documents), "collection"), f"{restored.documents.total():,}")
    console.print(table)


def _print_others(console: Console, dump: Dump, database: str) -> None:
    """Prints the parts of the dump that were not restored, one line for each kind."""
    for kind in ("view", "time series", "system collection"):
        names = [
            collection.name
            for collection in dump.collections
            if collection.database == database and collection.kind == kind
        ]
        _print_left_out(console, kind, names)
    databases = {collection.database for collection in dump.collections} - {database} - SERVERS_OWN
    _print_left_out(console, "other database", sorted(databases))
    _print_left_out(console, "other file", dump.others)


def _print_left_out(console: Console, kind: str, names: Sequence[str]) -> None:
    if names:
        line = f"not restored, {kind}: {', '.join(names)}"
        console.print(f"[yellow]![/] {escape(line)}", soft_wrap=True)
