"""The command line: ``migration-assets``. It parses arguments; the work is in ``commands``."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pymongo import MongoClient
from rich.console import Console
from rich.table import Column, Table

from migration_assets import __version__, interrupts
from migration_assets.application import chosen_model
from migration_assets.endpoints import target_url
from migration_assets.errors import MigrationError
from migration_assets.text import escape
from migration_assets.urls import (
    DAGSTER_VARIABLE,
    REMEDIATIONS_VARIABLE,
    ROLLBACK_VARIABLE,
    SOURCE_VARIABLE,
    TARGET_VARIABLE,
    redacted,
    variable,
)

app = typer.Typer(
    help="Brings NextCRM from MongoDB to PostgreSQL, and proves that nothing was lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
servers_app = typer.Typer(help="The embedded servers on this machine.", no_args_is_help=True)
app.add_typer(servers_app, name="servers")

CONFIGURATION = "dagster.yaml"
WORKSPACE = "workspace.yaml"

_WIDTH = 100
"""Columns where the output is no terminal: what the table of results needs."""

_console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


_Approver = Annotated[str | None, typer.Option(metavar="NAME", help="Who signs the result.")]
_Role = Annotated[str | None, typer.Option(help="In which role, such as migration lead.")]
_Waivers = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Findings that may stand, in YAML; `waivers` drafts it."),
]
_Reports = Annotated[
    str, typer.Option(metavar="DIR", help="Where the report goes; MIGRATION_REPORTS, else reports.")
]
_Remediations = Annotated[
    Path | None,
    typer.Option(help="A YAML file of remediations; MIGRATION_REMEDIATIONS where not given."),
]


def _here(path: Path) -> Path:
    """Returns a path as it is written in the working directory, where it is in it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _use(remediations: Path | None) -> None:
    """Lets this process, and what it starts, use a file of remediations."""
    if remediations is not None:
        os.environ[REMEDIATIONS_VARIABLE] = str(remediations)


@contextmanager
def _errors() -> Iterator[None]:
    """Ends with exit code 2 and one line, whatever the error: 1 is a NO-GO. So does Ctrl-C, at once."""
    try:
        with interrupts.ending_at_once():
            yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        _fail(interrupts.SAID)
    except MigrationError as error:
        _fail(str(error))
    except Exception as error:  # its text may hold values of documents, so it is not shown
        frames = "".join(traceback.format_tb(error.__traceback__))
        typer.echo(frames, err=True)
        _fail(f"ended by an unexpected {type(error).__name__}. Report it with the lines above")


def _fail(said: str) -> NoReturn:
    console = Console(stderr=True, highlight=False)
    console.print(f"[red]error:[/] {escape(said)}", soft_wrap=True)
    raise typer.Exit(2) from None


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Prints the version where asked."""
    if version:
        _console.print(f"migration-assets {__version__}")
        raise typer.Exit


@app.command()
def run(
    select: Annotated[
        str | None,
        typer.Option(help="Tables to bring up to date, with commas between; all where not given."),
    ] = None,
    approver: _Approver = None,
    role: _Role = None,
    waivers: _Waivers = None,
    reports: _Reports = "",
    remediations: _Remediations = None,
) -> None:
    """Migrates and validates. Exit code: 0 GO, 1 NO-GO, 2 could not run."""
    from migration_assets.commands.running import migrate  # noqa: PLC0415 - Dagster takes a second
    from migration_assets.commands.signing import approval_of  # noqa: PLC0415

    with _errors():
        _use(remediations)
        tables = None if select is None else [name.strip() for name in select.split(",")]
        approval = approval_of(approver=approver, role=role, waivers=waivers)
        raise typer.Exit(migrate(_console, tables=tables, approval=approval, reports=reports))


@app.command()
def preflight(remediations: _Remediations = None) -> None:
    """Looks at both databases before a run, and says what to do. Exit code: 0, or 2 on an error."""
    from migration_assets.commands.preflight import preflight as examine_both  # noqa: PLC0415

    with _errors():
        _use(remediations)
        raise typer.Exit(examine_both(_console))


@app.command()
def propose(
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The draft; it must not be there yet.")
    ] = Path("remediations.draft.yaml"),
    remediations: _Remediations = None,
) -> None:
    """Drafts the rules that the source needs, for you to keep. Exit code: 0, or 2 where it cannot."""
    from migration_assets.commands.proposing import propose as draft_rules  # noqa: PLC0415

    with _errors():
        draft_rules(_console, output, remediations=remediations)


@app.command("estimate")
def estimate_duration(
    optimised: Annotated[
        bool, typer.Option("--optimised", help="Safety factor 1.2 instead of 1.5.")
    ] = False,
) -> None:
    """Says how long the migration will take, from a rehearsal. Exit code: 0, or 2 on an error."""
    from migration_assets.commands.estimating import show_estimate  # noqa: PLC0415

    with _errors():
        show_estimate(_console, is_optimised=optimised)


@app.command()
def validate(
    approver: _Approver = None,
    role: _Role = None,
    waivers: _Waivers = None,
    reports: _Reports = "",
    remediations: _Remediations = None,
) -> None:
    """Runs the four checks of every table without loading. Exit code: 0 GO, 1 NO-GO, 2 could not run."""
    from migration_assets.commands.running import validate as validate_all  # noqa: PLC0415
    from migration_assets.commands.signing import approval_of  # noqa: PLC0415

    with _errors():
        _use(remediations)
        approval = approval_of(approver=approver, role=role, waivers=waivers)
        raise typer.Exit(validate_all(_console, approval=approval, reports=reports))


@app.command("sign-off")
def sign_off(
    approver: _Approver = None,
    role: _Role = None,
    decline: Annotated[
        bool, typer.Option("--decline", help="The approver says no, whatever is found.")
    ] = False,
    waivers: _Waivers = None,
    waive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID=REASON", help="A finding that may stand, as the last report has it."
        ),
    ] = None,
    withdraw_waivers: Annotated[
        bool,
        typer.Option(
            "--withdraw-waivers", help="Waivers of earlier sign-offs do not count any more."
        ),
    ] = False,
    withdraw: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Sign nothing; who withdraws the signed GO."),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why it is withdrawn; with --withdraw.")
    ] = "",
    reports: _Reports = "",
    verify: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sign nothing; is this report the recorded one?"),
    ] = None,
    remediations: _Remediations = None,
) -> None:
    """Takes the verdict anew and signs it, without loading. Exit code: 0 GO, 1 NO-GO, 2 could not run."""
    from migration_assets.commands import signing  # noqa: PLC0415

    with _errors():
        if verify is not None:
            raise typer.Exit(signing.verify(_console, verify))
        if withdraw is not None or reason:
            if approver or role or decline or waivers or waive or withdraw_waivers:
                raise MigrationError(
                    "it cannot be withdrawn and signed at once",
                    where="--withdraw",
                    next_step="Withdraw first; sign when the checks are green again",
                )
            raise typer.Exit(signing.withdraw_go(_console, withdraw or "", reason))
        _use(remediations)
        approval = signing.approval_of(
            approver=approver,
            role=role,
            decline=decline,
            waivers=waivers,
            withdraws=withdraw_waivers,
        )
        raise typer.Exit(signing.sign(_console, approval, waive=waive or (), reports=reports))


@app.command("waivers")
def draft_waivers(
    approver: Annotated[str, typer.Option(metavar="NAME", help="Who answers for them.")] = "",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file; printed where not given.")
    ] = None,
) -> None:
    """Drafts a file of waivers from the last report, for `--waivers`: cut it, and give reasons."""
    from migration_assets.commands import signing  # noqa: PLC0415

    with _errors():
        signing.draft_waivers(_console, approver, output)


_History = Annotated[
    bool,
    typer.Option(
        "--history",
        help="A database of real proportions (1 is about 9,290 documents) and with old shapes.",
    ),
]


@app.command()
def demo(
    scale: Annotated[float, typer.Option(help="1 is about 27,000 documents.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 1,
    dirty: Annotated[float, typer.Option(help="Share of values that are faulty, 0 to 1.")] = 0.0,
    history: _History = False,
) -> None:
    """Starts the embedded servers, makes a sample, migrates it, and says how to open the UI."""
    from migration_assets.commands.running import migrate  # noqa: PLC0415
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415
    from migration_assets.nextcrm.sample import sample_remediations  # noqa: PLC0415

    with _errors():
        for name in (SOURCE_VARIABLE, TARGET_VARIABLE):
            if variable(name) is not None:
                raise MigrationError(
                    "the demo replaces the source's documents, so it runs on embedded servers only",
                    where=name,
                    next_step=f"Unset {name}, or use `migration-assets run` for your own servers",
                )
        _refuse_both(history=history, dirty=dirty)
        with interrupts.raising():
            urls = EmbeddedServers(default_directory()).start()
        os.environ.setdefault(DAGSTER_VARIABLE, urls.dagster_url)
        _generate(urls.mongodb_url, scale=scale, seed=seed, dirty=dirty, history=history)
        code = migrate(_console)
        if code == 1 and not history:
            _console.print(
                "\nCorrect and accept what is listed by the rules that come with the sample:\n"
                f"[bold]{_here(Path(sys.argv[0]))} run --remediations {_here(sample_remediations())}[/]",
                soft_wrap=True,
            )
        _console.print(
            "\nThe servers keep running. Open Dagster's UI with [bold]make ui[/], "
            "stop the servers with [bold]make stop[/]."
        )
        raise typer.Exit(code)


@app.command()
def sample(
    scale: Annotated[float, typer.Option(help="1 is about 27,000 documents.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Another seed, another sample.")] = 1,
    dirty: Annotated[float, typer.Option(help="Share of values that are faulty, 0 to 1.")] = 0.0,
    history: _History = False,
) -> None:
    """Replaces the documents of the EMBEDDED source by a sample of NextCRM's."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with _errors():
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

    with _errors(), interrupts.raising():  # what is half restored is removed
        restoring.restore_dump(_console, dump, database=database, url=to)


@app.command()
def explain(
    collection: Annotated[str, typer.Argument(help="In the application's own case.")],
    source_id: Annotated[
        str, typer.Argument(help="24 hex digits, or what stands as source_id in the books.")
    ],
    remediations: _Remediations = None,
) -> None:
    """Shows what became of one document, without secrets. Exit code: 0, or 2 where there is none."""
    from migration_assets.commands.explaining import explain as explain_one  # noqa: PLC0415

    with _errors():
        _use(remediations)
        raise typer.Exit(explain_one(_console, collection, source_id))


@app.command()
def compare(
    collection: Annotated[str, typer.Argument(help="In the application's own case.")],
    size: Annotated[int, typer.Option(min=1, help="How many documents to draw.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed, the same documents.")] = 0,
    remediations: _Remediations = None,
) -> None:
    """Shows documents drawn at random beside their rows, without secrets. Exit code: 0, or 2."""
    from migration_assets.commands.explaining import show_sample  # noqa: PLC0415

    with _errors():
        _use(remediations)
        raise typer.Exit(show_sample(_console, collection, size=size, seed=seed))


@app.command()
def summary() -> None:
    """Prints one table: a line for each PostgreSQL table."""
    from migration_assets.commands.running import require_schema  # noqa: PLC0415
    from migration_assets.commands.summary import lines, summary_table  # noqa: PLC0415
    from migration_assets.target.connection import open_target  # noqa: PLC0415

    with _errors(), open_target(target_url()) as connection:
        require_schema(connection)
        model = chosen_model()
        _console.print(summary_table(model, lines(model, connection)))


@app.command()
def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 3000,
) -> None:
    """Opens Dagster's UI on 127.0.0.1, and runs its daemon, for schedules and sensors, as long."""
    from migration_assets.commands.serving import serve  # noqa: PLC0415
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with _errors(), interrupts.raising():
        names = (SOURCE_VARIABLE, TARGET_VARIABLE, DAGSTER_VARIABLE)
        if any(variable(name) is None for name in names):
            urls = EmbeddedServers(default_directory()).start()
            os.environ.setdefault(DAGSTER_VARIABLE, urls.dagster_url)
        for name in (WORKSPACE, CONFIGURATION):
            if not Path(name).exists():
                raise MigrationError(
                    f"there is no {name}",
                    where=str(Path.cwd()),
                    next_step="Start the UI in the directory of the project",
                )
        os.environ.setdefault("DAGSTER_HOME", str(Path.cwd()))
        _console.print("Dagster starts, which takes some seconds")
        said = f"Dagster on [bold]http://127.0.0.1:{port}[/], Ctrl-C ends it"
        serve(WORKSPACE, port, ready=lambda: _console.print(said))


@app.command()
def sql(
    directory: Annotated[Path, typer.Argument(help="Where the files go.")] = Path("sql"),
) -> None:
    """Writes the DDL of the target, in the order in which it is applied, and the queries of monitoring."""
    from migration_assets.monitoring import queries  # noqa: PLC0415
    from migration_assets.target import ddl  # noqa: PLC0415

    with _errors():
        model = chosen_model()
    watching = directory / "monitoring"
    for where, written in ((directory, ddl.files(model)), (watching, queries.files())):
        where.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            (where / name).write_text(text, encoding="utf-8")
            _console.print(where / name)


@app.command()
def docs(
    directory: Annotated[Path, typer.Argument(help="Where the pages go.")] = Path("docs/reference"),
) -> None:
    """Writes the pages of reference that are derived from the code."""
    from migration_assets.reference import files  # noqa: PLC0415

    with _errors():
        model = chosen_model()
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files(model, app).items():
        (directory / name).write_text(text, encoding="utf-8")
        _console.print(directory / name)


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

    with _errors():
        if query is not None:
            raise typer.Exit(monitoring.query(_console, query))
        if watch is not None:
            with interrupts.raising():
                raise typer.Exit(monitoring.watch(_console, watch, given=reading or ()))
        if daily:
            raise typer.Exit(monitoring.report(_console, given=reading or (), room=room))
        raise typer.Exit(monitoring.look(_console, given=reading or (), is_alerting=alert))


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

    with _errors():
        if template is None:
            messages.show_templates(_console)
            return
        errors = Console(stderr=True, highlight=False)
        messages.write_message(errors, template, pairs=pairs or (), values=values, output=output)


@app.command("export-gained")
def export_gained(
    directory: Annotated[Path, typer.Argument(help="A new directory; its files hold values.")],
) -> None:
    """Exports what PostgreSQL gained since the migration. Exit code: 0 done, 1 refused, 2 could not run."""
    from migration_assets.commands import rolling_back  # noqa: PLC0415

    with _errors():
        raise typer.Exit(rolling_back.export_gained(_console, directory))


@app.command("apply-gained")
def apply_gained(
    directory: Annotated[Path, typer.Argument(help="The export.")],
    to: Annotated[
        str | None,
        typer.Option(help=f"MongoDB URL to write to; {ROLLBACK_VARIABLE} where not given."),
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

    with _errors():
        raise typer.Exit(
            rolling_back.apply_gained(
                _console,
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

    with _errors():
        raise typer.Exit(
            rolling_back.roll_back(
                _console,
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


@servers_app.command("start")
def servers_start() -> None:
    """Starts the embedded servers and prints where they are."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with _errors(), interrupts.raising():
        urls = EmbeddedServers(default_directory()).start()
        _console.print(f"MongoDB    {urls.mongodb_url}\nPostgreSQL {redacted(urls.postgres_url)}")


@servers_app.command("stop")
def servers_stop() -> None:
    """Stops the embedded servers; their data stay."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with _errors(), interrupts.raising():
        EmbeddedServers(default_directory()).stop()


@servers_app.command("status")
def servers_status() -> None:
    """Says which embedded servers run."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with _errors():
        for status in EmbeddedServers(default_directory()).status():
            running = f"runs as process {status.pid} on port {status.port}"
            _console.print(f"{status.name}: {running if status.pid else 'is stopped'}")


@servers_app.command("urls")
def servers_urls() -> None:
    """Prints the URLs WITH the password, as lines for a shell: `eval $(migration-assets servers urls)`."""
    from migration_assets.embedded import EmbeddedServers, default_directory  # noqa: PLC0415

    with _errors():
        urls = EmbeddedServers(default_directory()).urls
    for name, url in (
        (SOURCE_VARIABLE, urls.mongodb_url),
        (TARGET_VARIABLE, urls.postgres_url),
        (DAGSTER_VARIABLE, urls.dagster_url),
    ):
        typer.echo(f"export {name}='{url}'")


def _refuse_both(*, history: bool, dirty: float) -> None:
    if history and dirty:
        raise MigrationError(
            "it has the faults of real databases, and takes no others",
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
        _console.print(f"Making a sample of about {size * scale:,.0f} documents ...")
        if not history:
            generate(database, scale=scale, seed=seed, dirty=dirty)
            return
        ledger = generate_history(database, scale=scale, seed=seed)
    table = Table(
        "collection", "what old versions left there", Column("documents", justify="right")
    )
    for (collection, kind), count in sorted(ledger.kinds().items()):
        table.add_row(collection, kind, f"{count:,}")
    _console.print(table)
