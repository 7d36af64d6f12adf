"""The command line: ``migration-assets``. It parses arguments; the work is in ``commands``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from migration_assets import __version__, cli_later, cli_local
from migration_assets.application import chosen_model
from migration_assets.cli_options import (
    Approver,
    RemediationsFile,
    Reports,
    Role,
    Waivers,
    console,
    errors,
    use,
)
from migration_assets.endpoints import target_url
from migration_assets.errors import MigrationError

app = typer.Typer(
    help="Brings NextCRM from MongoDB to PostgreSQL, and proves that nothing was lost.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Prints the version where asked."""
    if version:
        console.print(f"migration-assets {__version__}")
        raise typer.Exit


@app.command()
def run(
    select: Annotated[
        str | None,
        typer.Option(help="Tables to bring up to date, with commas between; all where not given."),
    ] = None,
    approver: Approver = None,
    role: Role = None,
    waivers: Waivers = None,
    reports: Reports = "",
    remediations: RemediationsFile = None,
) -> None:
    """Migrates and validates. Exit code: 0 GO, 1 NO-GO, 2 could not run."""
    from migration_assets.commands.running import migrate  # noqa: PLC0415 - Dagster takes a second
    from migration_assets.commands.signing import approval_of  # noqa: PLC0415

    with errors():
        use(remediations)
        tables = None if select is None else [name.strip() for name in select.split(",")]
        approval = approval_of(approver=approver, role=role, waivers=waivers)
        raise typer.Exit(migrate(console, tables=tables, approval=approval, reports=reports))


@app.command()
def preflight(remediations: RemediationsFile = None) -> None:
    """Looks at both databases before a run, and says what to do. Exit code: 0, or 2 on an error."""
    from migration_assets.commands.preflight import preflight as examine_both  # noqa: PLC0415

    with errors():
        use(remediations)
        raise typer.Exit(examine_both(console))


@app.command()
def propose(
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The draft; it must not be there yet.")
    ] = Path("remediations.draft.yaml"),
    remediations: RemediationsFile = None,
) -> None:
    """Drafts the rules that the source needs, for you to keep. Exit code: 0, or 2 where it cannot."""
    from migration_assets.commands.proposing import propose as draft_rules  # noqa: PLC0415

    with errors():
        draft_rules(console, output, remediations=remediations)


@app.command("estimate")
def estimate_duration(
    optimised: Annotated[
        bool, typer.Option("--optimised", help="Safety factor 1.2 instead of 1.5.")
    ] = False,
) -> None:
    """Says how long the migration will take, from a rehearsal. Exit code: 0, or 2 on an error."""
    from migration_assets.commands.estimating import show_estimate  # noqa: PLC0415

    with errors():
        show_estimate(console, is_optimised=optimised)


@app.command()
def validate(
    approver: Approver = None,
    role: Role = None,
    waivers: Waivers = None,
    reports: Reports = "",
    remediations: RemediationsFile = None,
) -> None:
    """Runs the four checks of every table without loading. Exit code: 0 GO, 1 NO-GO, 2 could not run."""
    from migration_assets.commands.running import validate as validate_all  # noqa: PLC0415
    from migration_assets.commands.signing import approval_of  # noqa: PLC0415

    with errors():
        use(remediations)
        approval = approval_of(approver=approver, role=role, waivers=waivers)
        raise typer.Exit(validate_all(console, approval=approval, reports=reports))


@app.command("sign-off")
def sign_off(
    approver: Approver = None,
    role: Role = None,
    decline: Annotated[
        bool, typer.Option("--decline", help="The approver says no, whatever is found.")
    ] = False,
    waivers: Waivers = None,
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
    reports: Reports = "",
    verify: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sign nothing; is this report the recorded one?"),
    ] = None,
    remediations: RemediationsFile = None,
) -> None:
    """Takes the verdict anew and signs it, without loading. Exit code: 0 GO, 1 NO-GO, 2 could not run."""
    from migration_assets.commands import signing  # noqa: PLC0415

    with errors():
        if verify is not None:
            raise typer.Exit(signing.verify(console, verify))
        if withdraw is not None or reason:
            if approver or role or decline or waivers or waive or withdraw_waivers:
                raise MigrationError(
                    "a sign-off cannot be given and withdrawn at once",
                    where="--withdraw",
                    next_step="Withdraw first; sign when the checks are green again",
                )
            raise typer.Exit(signing.withdraw_go(console, withdraw or "", reason))
        use(remediations)
        approval = signing.approval_of(
            approver=approver,
            role=role,
            decline=decline,
            waivers=waivers,
            withdraws=withdraw_waivers,
        )
        raise typer.Exit(signing.sign(console, approval, waive=waive or (), reports=reports))


@app.command("waivers")
def draft_waivers(
    approver: Annotated[str, typer.Option(metavar="NAME", help="Who answers for them.")] = "",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file; printed where not given.")
    ] = None,
) -> None:
    """Drafts a file of waivers from the last report, for `--waivers`: cut it, and give reasons."""
    from migration_assets.commands import signing  # noqa: PLC0415

    with errors():
        signing.draft_waivers(console, approver, output)


@app.command()
def explain(
    collection: Annotated[str, typer.Argument(help="In the application's own case.")],
    source_id: Annotated[
        str, typer.Argument(help="24 hex digits, or what stands as source_id in the books.")
    ],
    remediations: RemediationsFile = None,
) -> None:
    """Shows what became of one document, without secrets. Exit code: 0, or 2 where there is none."""
    from migration_assets.commands.explaining import explain as explain_one  # noqa: PLC0415

    with errors():
        use(remediations)
        explain_one(console, collection, source_id)


@app.command()
def compare(
    collection: Annotated[str, typer.Argument(help="In the application's own case.")],
    size: Annotated[int, typer.Option(min=1, help="How many documents to draw.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed, the same documents.")] = 0,
    remediations: RemediationsFile = None,
) -> None:
    """Shows documents drawn at random beside their rows, without secrets. Exit code: 0, or 2."""
    from migration_assets.commands.explaining import show_sample  # noqa: PLC0415

    with errors():
        use(remediations)
        show_sample(console, collection, size=size, seed=seed)


@app.command()
def summary() -> None:
    """Prints one table: a line for each PostgreSQL table."""
    from migration_assets.commands.running import require_schema  # noqa: PLC0415
    from migration_assets.commands.summary import lines, summary_table  # noqa: PLC0415
    from migration_assets.target.connection import open_target  # noqa: PLC0415

    with errors(), open_target(target_url()) as connection:
        require_schema(connection)
        model = chosen_model()
        console.print(summary_table(model, lines(model, connection)))


@app.command()
def docs(
    directory: Annotated[Path, typer.Argument(help="Where the pages go.")] = Path("docs/reference"),
) -> None:
    """Writes the pages of reference that are derived from the code."""
    from migration_assets.reference import files  # noqa: PLC0415

    with errors():
        model = chosen_model()
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files(model, app).items():
        (directory / name).write_text(text, encoding="utf-8")
        console.print(directory / name)


for _more in (cli_local.app, cli_later.app):
    app.add_typer(_more)
app.add_typer(cli_local.servers_app, name="servers")
