"""The commands that migrate, validate and sign off: from the two databases to the verdict."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import psycopg
from rich.console import Console

from migration_assets.application import chosen_model
from migration_assets.assets.keys import SIGN_OFF, table_key
from migration_assets.commands.decisions import print_decisions
from migration_assets.commands.jobs import RunOutcome, run_job
from migration_assets.commands.preflight import require_preflight
from migration_assets.commands.results import judged_steps, signed_since
from migration_assets.commands.summary import lines, summary_table
from migration_assets.definitions import MIGRATE, VALIDATE
from migration_assets.endpoints import source_url, target_url
from migration_assets.errors import MigrationError
from migration_assets.model import Model
from migration_assets.remediation.parsing import load_remediations
from migration_assets.sign_off.applied import applied
from migration_assets.sign_off.check_states import WARNING
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.signing import page_file, reports_directory
from migration_assets.sign_off.verdict import GO, is_loss, verdict
from migration_assets.sign_off.waivers import Approval
from migration_assets.source.connection import open_source
from migration_assets.source.digests import fingerprints
from migration_assets.source.origin import origin_of
from migration_assets.source.united import open_united
from migration_assets.target.connection import Connection
from migration_assets.target.lock import Hold, held_for_run
from migration_assets.target.occupants import is_ours, require_own_target
from migration_assets.target.runs import end
from migration_assets.target.standing import standing_tables
from migration_assets.text import counted, escape
from migration_assets.validation.unknown_collections import unkept

SHOWN = 20
SHOWN_LOSSES = 10
"""Findings that are printed; the record has all of them."""


class RunError(MigrationError):
    """A run could not do its work.

    Attributes:
        args: The line to show: why, where and what to do, without values.
    """

    def __init__(self, line: str) -> None:
        super().__init__(line, where="run", next_step="")
        self.args = (line,)


class Exit(enum.IntEnum):
    """Exit codes (section 11)."""

    GO = 0
    NO_GO = 1
    COULD_NOT_RUN = 2


def migrate(
    console: Console,
    *,
    tables: Sequence[str] | None = None,
    approval: Approval | None = None,
    reports: str = "",
) -> Exit:
    """Migrates and validates, and prints the table of results.

    Args:
        console: Where the progress goes.
        tables: The tables to bring up to date; all where None.
        approval: Waivers, and who signs; nobody where None.
        reports: Directory of the sign-off's report.

    Raises:
        MigrationError: It cannot start: a server, a URL, a name or the file of remediations is wrong, or
            another run holds the target.
    """
    model = chosen_model()
    load_remediations(model)
    with held_databases(model, needs_schema=tables is not None) as hold:
        for name in tables or ():
            if name not in model.tables:
                raise MigrationError(
                    f"there is no table {name!r}",
                    where="--select",
                    next_step="Give names of tables with commas between, such as "
                    f"{next(iter(model.tables))}",
                )
        reports_directory(reports)
        require_preflight(model, console)
        if tables is None:
            outcome = run_job(model, MIGRATE, console, hold, approval=approval, reports=reports)
            return _report(model, console, outcome, hold, reports)
        outcome = run_job(
            model, MIGRATE, console, hold, assets=[table_key(name) for name in tables]
        )
        signed = _signed(model, console, outcome, hold, approval, reports)
        return _report(model, console, signed, hold, reports)


def validate(console: Console, *, approval: Approval | None = None, reports: str = "") -> Exit:
    """Runs the checks of every table without loading, and prints the table of results.

    Args:
        console: Where the progress goes.
        approval: Waivers, and who signs; where nobody does, the verdict is not recorded.
        reports: Directory of the sign-off's report.

    Raises:
        MigrationError: It cannot start: a server, a URL or the file of remediations is wrong, nothing was
            migrated yet, or another run holds the target.
    """
    model = chosen_model()
    load_remediations(model)
    with held_databases(model, needs_schema=True) as hold:
        if approval:
            reports_directory(reports)
        outcome = run_job(model, VALIDATE, console, hold)
        signed = _signed(model, console, outcome, hold, approval, reports)
        return _report(model, console, signed, hold, reports)


def sign_off(console: Console, *, approval: Approval, reports: str = "") -> Exit:
    """Takes the verdict anew and records it, without loading or checking.

    Raises:
        MigrationError: It cannot start, or a waiver matches no finding.
    """
    model = chosen_model()
    with held_databases(model, needs_schema=True) as hold:
        reports_directory(reports)
        only = [SIGN_OFF]
        outcome = run_job(
            model, MIGRATE, console, hold, assets=only, approval=approval, reports=reports
        )
        return _report(model, console, outcome, hold, reports)


def _signed(
    model: Model,
    console: Console,
    outcome: RunOutcome,
    hold: Hold,
    approval: Approval | None,
    reports: str,
) -> RunOutcome:
    """Lets the sign-off follow on a run that has none, where somebody signs."""
    if not approval or _problem(model, outcome, hold) is not None:
        return outcome
    signed = run_job(
        model, MIGRATE, console, hold, assets=[SIGN_OFF], approval=approval, reports=reports
    )
    return replace(signed, seconds=outcome.seconds + signed.seconds)


@contextmanager
def held_databases(model: Model, *, needs_schema: bool = False) -> Iterator[Hold]:
    """Opens both databases once, so that what is wrong with them is said before anything starts.

    The target is held from here to the verdict, which so is that of what was done here.

    Args:
        model: The application's tables.
        needs_schema: The target must have been migrated to before.

    Raises:
        MigrationError: One of them cannot be used, or another run holds the target.
    """
    with open_source(source_url()):
        pass
    with held_for_run(target_url(), str(uuid.uuid4())) as hold:
        with hold.open() as connection:
            require_own_target(model, connection)
            if needs_schema:
                require_schema(connection)
            if is_ours(connection):
                require_standing(model, connection, creates_tables=not needs_schema)
        try:
            yield hold
        finally:
            with suppress(MigrationError, psycopg.Error), hold.use() as connection:
                end(connection, hold.run_id)


def require_schema(connection: Connection) -> None:
    """Refuses a target that nothing was migrated to.

    Raises:
        MigrationError: It has no bookkeeping.
    """
    if not is_ours(connection):
        raise MigrationError(
            "nothing was migrated to it yet",
            where=f"database {connection.info.dbname}",
            next_step="Run `migration-assets run` without --select first",
        )


def require_standing(model: Model, connection: Connection, *, creates_tables: bool = False) -> None:
    """Refuses a target whose tables are not as they were migrated any more.

    Args:
        model: The application's tables.
        connection: A connection to the target.
        creates_tables: A table that is gone is created again, unless a signed GO forbids that.

    Raises:
        MigrationError: A table or column of the migration is gone, elsewhere, or of another type.
    """
    lost = [
        said
        for each in standing_tables(model, connection).values()
        if each.is_there or not creates_tables
        for said in each.losses()
    ]
    if lost:
        more = f"; and {len(lost) - SHOWN_LOSSES} more" if len(lost) > SHOWN_LOSSES else ""
        raise MigrationError(
            f"its tables are not as they were migrated: {'; '.join(lost[:SHOWN_LOSSES])}{more}",
            where=f"database {connection.info.dbname}",
            next_step="Nothing was touched. Where the application has moved on, the migration is over, and "
            "no run or check fits any more: `migration-assets export-gained` exports what is still there, "
            "`migration-assets rollback --dry-run` lists it. Else put the tables right",
        )


def _problem(model: Model, outcome: RunOutcome, hold: Hold) -> str | None:
    """Returns why a run did not do its work, None where it did, whatever its checks found."""
    judged: set[str] = set()
    if outcome.failures:
        with suppress(MigrationError), hold.open() as connection:
            judged = judged_steps(model, connection, outcome.before)
    return next((line for step, line in outcome.failures.items() if step not in judged), None)


def _report(model: Model, console: Console, outcome: RunOutcome, hold: Hold, reports: str) -> Exit:
    """Prints the results with the verdict: that of the run's sign-off, else one taken now.

    Raises:
        MigrationError: The run could not do its work, or a database is out of reach.
    """
    problem = _problem(model, outcome, hold)
    if problem is not None:
        raise RunError(problem)
    rules = load_remediations(model)
    opened = open_united(source_url(), rules.counted_as)
    with opened as source, hold.open() as connection:
        console.print()
        console.print(summary_table(model, lines(model, connection)))
        done = applied(model, connection, rules)
        page, signed_off = None, signed_since(connection, outcome.before)
        if signed_off is not None:
            made = signed_off.report
            findings = [_finding(each) for each in made["findings"]]
            word, signature = made["verdict"]["word"], made["verdict"]["signature"]
            headline = made["verdict"]["headline"]
            page = page_file(reports_directory(reports), signed_off.signed_at, word)
            waived = [(each["finding"], each["name"], each["whyVoid"]) for each in made["waivers"]]
            warnings = [each["kind"] for each in made["information"]].count(WARNING)
        else:
            taken = verdict(
                model,
                connection,
                source,
                fingerprints(source, model.entities),
                remediations=rules,
                unkept=unkept(model, source, connection),
                origin=origin_of(source),
            )
            findings = [*taken.findings]
            word, signature, headline = taken.word, "", taken.headline
            waived = [
                (each.waiver.finding, each.waiver.name, each.why_void) for each in taken.waived
            ]
            warnings = [each.kind for each in taken.information].count(WARNING)
    decisions = [each for each in findings if is_loss(each.check, each.kind)]
    print_decisions(console, decisions)
    for each in done:
        mark = "[green]✓[/]" if each.count else "[yellow]![/]"
        console.print(f"{mark} {escape(each.said())}", soft_wrap=True)
    for waived_id, name, why_void in waived:
        console.print(_waived(waived_id, name, why_void), soft_wrap=True)
    if warnings:
        console.print(
            f"[yellow]![/] {counted(warnings, 'check')} only warned: nothing is lost there, the report has "
            "what to read",
            soft_wrap=True,
        )
    others = [each for each in findings if each not in decisions]
    for finding in others[:SHOWN]:
        said = escape(f"{finding.table}: {finding.what}. {finding.next_step}.")
        console.print(f"[red]✗[/] {said}")
    if len(others) > SHOWN:
        console.print(f"[red]✗[/] and {len(others) - SHOWN} more findings")
    if page is not None:
        console.print(f"{escape(signature)}; report: {escape(str(page))}", soft_wrap=True)
    is_go = word == GO
    if is_go and outcome.is_signing and page is None:
        raise RunError("the sign-off was not reached, so there is no verdict. Start again")
    colour, comma = ("green" if is_go else "red"), ("" if headline == word else ",")
    console.print(f"[bold {colour}]{headline}[/]{comma} after {outcome.seconds:.1f} s")
    return Exit.GO if is_go else Exit.NO_GO


def _waived(finding: str, name: str, why_void: str) -> str:
    if why_void:
        return f"[red]✗[/] {escape(f'waiver of {finding} by {name} is void: {why_void}')}"
    return f"[yellow]![/] {escape(f'{finding} is waived by {name}')}"


def _finding(recorded: Mapping[str, Any]) -> Finding:
    """Returns a finding of a report, as far as it is printed."""
    return Finding(
        table=recorded["table"],
        what=recorded["what"],
        next_step=recorded["nextStep"],
        check=recorded["check"],
        kind=recorded["kind"],
        rule=recorded["rule"],
    )
