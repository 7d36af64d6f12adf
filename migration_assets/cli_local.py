"""The commands for this machine: embedded servers and samples, Dagster's UI, and files from the code."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pymongo import MongoClient
from rich.table import Column, Table

from migration_assets import interrupts
from migration_assets.application import chosen_model
from migration_assets.cli_options import (
    console,
    errors,
)
from migration_assets.errors import MigrationError
from migration_assets.settings import DAGSTER_HOME, DAGSTER_URL, SOURCE_URL, TARGET_URL
from migration_assets.urls import redacted

app = typer.Typer()
servers_app = typer.Typer(help="The embedded servers on this machine.", no_args_is_help=True)

CONFIGURATION = "dagster.yaml"
WORKSPACE = "workspace.yaml"
PROJECT = Path(__file__).parent / "project"
"""Pages, SQL and configuration that come with the program: links in a checkout, files in a wheel."""

_Scale = Annotated[float, typer.Option(min=0.001, help="1 is about 27,000 documents.")]
_Seed = Annotated[int, typer.Option(help="Another seed, another sample.")]
_Dirty = Annotated[
    float, typer.Option(min=0, max=1, help="Share of values that are faulty, 0 to 1.")
]
_History = Annotated[
    bool,
    typer.Option(
        "--history",
        help="A database of real proportions (1 is about 9,290 documents) and with old shapes.",
    ),
]


@app.command()
def demo(
    scale: _Scale = 1.0,
    seed: _Seed = 1,
    dirty: _Dirty = 0.0,
    history: _History = False,
) -> None:
    """Starts the embedded servers, makes a sample, migrates it, and says how to open the UI."""
    from migration_assets.commands.running import migrate  # noqa: PLC0415
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415
    from migration_assets.nextcrm.sample import sample_remediations  # noqa: PLC0415

    with errors():
        for variable in (SOURCE_URL, TARGET_URL):
            if variable.read() is not None:
                raise MigrationError(
                    "the demo replaces the source's documents, so it runs on embedded servers only",
                    where=variable.name,
                    next_step=f"Unset {variable.name}, or use `migration-assets run` for your own servers",
                )
        _refuse_both(history=history, dirty=dirty)
        with interrupts.raising():
            urls = EmbeddedServers(default_directory()).start()
        os.environ.setdefault(DAGSTER_URL.name, urls.dagster_url)
        _generate(urls.mongodb_url, scale=scale, seed=seed, dirty=dirty, history=history)
        code = migrate(console)
        if code == 1 and not history:
            console.print(
                "\nCorrect and accept what is listed by the rules that come with the sample:\n"
                f"[bold]{_here(Path(sys.argv[0]))} run --remediations {_here(sample_remediations())}[/]",
                soft_wrap=True,
            )
        console.print(
            "\nThe servers keep running. Open Dagster's UI with [bold]make ui[/], "
            "stop the servers with [bold]make stop[/]."
        )
        raise typer.Exit(code)


@app.command()
def sample(
    scale: _Scale = 1.0,
    seed: _Seed = 1,
    dirty: _Dirty = 0.0,
    history: _History = False,
) -> None:
    """Replaces the documents of the EMBEDDED source by a sample of NextCRM's."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with errors():
        _refuse_both(history=history, dirty=dirty)
        url = EmbeddedServers(default_directory()).urls.mongodb_url
        _generate(url, scale=scale, seed=seed, dirty=dirty, history=history)


@app.command("restore-dump")
def restore_dump(
    dump: Annotated[Path, typer.Argument(help="A directory or an archive, gzip or not.")],
    database: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which one, where the dump holds several.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="An empty MongoDB database; the EMBEDDED source where not given."
        ),
    ] = None,
) -> None:
    """Restores a dump of mongodump, without MongoDB's tools. Exit code: 0, or 2 where it cannot."""
    from migration_assets.commands import restoring  # noqa: PLC0415

    with errors(), interrupts.raising():  # what is half restored is removed
        restoring.restore_dump(console, dump, database=database, url=to)


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Opens Dagster's UI on 127.0.0.1, and runs its daemon, for schedules and sensors, as long."""
    from migration_assets.commands.serving import serve  # noqa: PLC0415
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with errors(), interrupts.raising():
        variables = (SOURCE_URL, TARGET_URL, DAGSTER_URL)
        if any(variable.read() is None for variable in variables):
            urls = EmbeddedServers(default_directory()).start()
            os.environ.setdefault(DAGSTER_URL.name, urls.dagster_url)
        for name in (WORKSPACE, CONFIGURATION):
            if not Path(name).exists():
                raise MigrationError(
                    f"there is no {name}",
                    where=str(Path.cwd()),
                    next_step="Start the UI in the directory of the project, or make one: "
                    "migration-assets init",
                )
        os.environ.setdefault(DAGSTER_HOME.name, str(Path.cwd()))
        console.print("Dagster starts, which takes some seconds")
        address = f"Dagster on [bold]http://127.0.0.1:{port}[/], Ctrl-C ends it"
        serve(WORKSPACE, port, ready=lambda: console.print(address))


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where the files go.")] = Path(),
) -> None:
    """Writes the pages, the SQL and the configuration of Dagster that messages and the UI refer to.

    A file that is there already stays as it is.
    """
    with errors():
        for file in sorted(path for path in _files(PROJECT) if not path.name.startswith(".")):
            written = directory / file.relative_to(PROJECT)
            if written.exists():
                continue
            written.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, written)
            console.print(written)


@app.command()
def sql(
    directory: Annotated[Path, typer.Argument(help="Where the files go.")] = Path("sql"),
) -> None:
    """Writes the DDL of the target, in the order in which it is applied, and the queries of monitoring."""
    from migration_assets.monitoring import queries  # noqa: PLC0415
    from migration_assets.target import ddl  # noqa: PLC0415

    with errors():
        model = chosen_model()
    watching = directory / "monitoring"
    for where, written in ((directory, ddl.files(model)), (watching, queries.files())):
        where.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (where / name).write_text(text, encoding="utf-8")
            console.print(where / name)


@servers_app.command("start")
def servers_start() -> None:
    """Starts the embedded servers and prints where they are."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with errors(), interrupts.raising():
        urls = EmbeddedServers(default_directory()).start()
        console.print(f"MongoDB    {urls.mongodb_url}\nPostgreSQL {redacted(urls.postgres_url)}")


@servers_app.command("stop")
def servers_stop() -> None:
    """Stops the embedded servers; their data stay."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with errors(), interrupts.raising():
        EmbeddedServers(default_directory()).stop()


@servers_app.command("status")
def servers_status() -> None:
    """Says which embedded servers run."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with errors():
        for status in EmbeddedServers(default_directory()).status():
            running = f"runs as process {status.pid} on port {status.port}"
            console.print(f"{status.name}: {running if status.pid else 'is stopped'}")


@servers_app.command("urls")
def servers_urls() -> None:
    """Prints the URLs WITH the password, as lines for a shell: `eval $(migration-assets servers urls)`."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with errors():
        urls = EmbeddedServers(default_directory()).urls
    for name, url in (
        (SOURCE_URL.name, urls.mongodb_url),
        (TARGET_URL.name, urls.postgres_url),
        (DAGSTER_URL.name, urls.dagster_url),
    ):
        typer.echo(f"export {name}='{url}'")


def _here(path: Path) -> Path:
    """Returns a path as it is written in the working directory, where it is in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _files(directory: Path) -> Iterator[Path]:
    """Yields the files in a directory, and in those that it links to."""
    for path in directory.iterdir():
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _refuse_both(*, history: bool, dirty: float) -> None:
    if history and dirty:
        raise MigrationError(
            "this sample has the faults of real databases, and takes no others",
            where="--history",
            next_step="Leave out --dirty, or --history",
        )


def _generate(url: str, *, scale: float, seed: int, dirty: float, history: bool) -> None:
    from migration_assets.nextcrm.sample import generate, generate_history  # noqa: PLC0415

    with MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        # Emptied, not dropped: to a target that was filled from it, it is the same source.
        for name in database.list_collection_names(filter={"type": "collection"}):
            database[name].delete_many({})
        size = 9_290 if history else 27_000
        console.print(f"Making a sample of about {size * scale:,.0f} documents ...")
        if not history:
            generate(database, scale=scale, seed=seed, dirty=dirty)
            return
        ledger = generate_history(database, scale=scale, seed=seed)
    table = Table(
        "collection", "what old versions left there", Column("documents", justify="right")
    )
    for (collection, kind), count in sorted(ledger.kinds().items()):
        table.add_row(collection, kind, f"{count:,}")
    console.print(table)
