"""Running a job of the asset graph in this process, with a display of its progress."""

from __future__ import annotations

import enum
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster_shared.error import SerializableErrorInfo
from rich.console import Console

from migration_assets.application import chosen_model
from migration_assets.assets.keys import SIGN_OFF, table_key
from migration_assets.assets.progress import Progress
from migration_assets.assets.sign_off import PAGE, VERDICT, run_config
from migration_assets.commands.decisions import print_decisions
from migration_assets.commands.preflight import require_preflight
from migration_assets.commands.summary import lines, summary_table
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.errors import MigrationError, UnexpectedError
from migration_assets.interrupts import on_interrupt
from migration_assets.loading.records import LoadResult
from migration_assets.model import Model
from migration_assets.remediation.parsing import load_remediations
from migration_assets.remediation.reporting import applied
from migration_assets.sign_off.check_states import WARNING
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.signing import latest, reports_directory
from migration_assets.sign_off.verdict import GO, is_loss, verdict
from migration_assets.sign_off.waivers import Approval
from migration_assets.source.connection import open_source
from migration_assets.source.fingerprints import fingerprints
from migration_assets.source.origin import origin_of
from migration_assets.source.united import open_united
from migration_assets.target.bookkeeping import SCHEMA, loads
from migration_assets.target.connection import Connection
from migration_assets.target.lock import Hold, held_for_run, run_id_of
from migration_assets.target.occupants import require_own_target
from migration_assets.target.standing import standing_tables
from migration_assets.text import counted, escape
from migration_assets.urls import (
    DAGSTER_VARIABLE,
    source_url,
    target_url,
    variable,
    without_urls,
)
from migration_assets.validation.evidence import Evidence, Severity
from migration_assets.validation.unknown_collections import unkept

CONFIGURATION = "dagster.yaml"
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


@dataclass(slots=True)
class ConsoleProgress(Progress):
    """Tells on a terminal, one line for each table.

    Attributes:
        console: Where it goes.
        total: How many tables there are to do.
    """

    console: Console
    total: int
    _done: int = 0
    _is_line_open: bool = False

    def started(self, table: str) -> None:
        """Begins the line of a table."""
        self.end_line()
        self._done += 1
        self._is_line_open = True
        self.console.print(f"[dim]{self._done:>2}/{self.total}[/] {table:<32}", end="")

    def loaded(self, result: LoadResult) -> None:
        """Adds what was loaded."""
        rejected = f", [red]{result.rejected:,} rejected[/]" if result.rejected else ""
        self.console.print(
            f"{result.rows:>9,} rows, {result.merged.written:>9,} written in "
            f"{result.seconds:6.2f} s{rejected}",
            end="  ",
        )

    def checked(self, evidence: Evidence) -> None:
        """Adds the result of a check."""
        is_error = evidence.severity is Severity.ERROR
        mark = "[green]✓[/]" if evidence.passed else "[red]✗[/]" if is_error else "[yellow]![/]"
        self.console.print(mark, end="")

    def end_line(self) -> None:
        """Ends the line of a table, however far it came."""
        if self._is_line_open:
            self.console.print()
        self._is_line_open = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        seconds: From start to end.
        problem: One line on why a step could not do its work, None where each did; that a check
            failed, or the sign-off said NO-GO, is no problem of the run.
        page: File of the report that the sign-off has recorded, None where it was not reached.
        is_signing: Whether the sign-off was asked for.
    """

    seconds: float
    problem: str | None
    page: str | None
    is_signing: bool


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
            return _report(model, console, outcome, hold)
        outcome = run_job(
            model, MIGRATE, console, hold, assets=[table_key(name) for name in tables]
        )
        return _report(
            model, console, _signed(model, console, outcome, hold, approval, reports), hold
        )


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
        return _report(
            model, console, _signed(model, console, outcome, hold, approval, reports), hold
        )


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
        return _report(model, console, outcome, hold)


def _signed(
    model: Model,
    console: Console,
    outcome: Outcome,
    hold: Hold,
    approval: Approval | None,
    reports: str,
) -> Outcome:
    """Lets the sign-off follow on a run that has none, where somebody signs."""
    if not approval or outcome.problem is not None:
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
            if is_migrated(connection):
                require_standing(model, connection, creates_tables=not needs_schema)
        yield hold


def is_migrated(connection: Connection) -> bool:
    """Tells whether a target has the bookkeeping of this project."""
    found = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{loads.name}"]).fetchone()
    return found != (None,)


def require_schema(connection: Connection) -> None:
    """Refuses a target that nothing was migrated to.

    Raises:
        MigrationError: It has no bookkeeping.
    """
    if not is_migrated(connection):
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


def _report(model: Model, console: Console, outcome: Outcome, hold: Hold) -> Exit:
    """Prints the results with the verdict: that of the run's sign-off, else one taken now.

    Raises:
        MigrationError: The run could not do its work, or a database is out of reach.
    """
    if outcome.problem is not None:
        raise RunError(outcome.problem)
    rules = load_remediations(model)
    opened = open_united(source_url(), rules.counted_as)
    with opened as source, hold.open() as connection:
        console.print()
        console.print(summary_table(model, lines(model, connection)))
        done = applied(model, connection, rules)
        if outcome.page is not None and (made := latest(connection)) is not None:
            findings = [_finding(each) for each in made["findings"]]
            word, signature = made["verdict"]["word"], made["verdict"]["signature"]
            headline = made["verdict"]["headline"]
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
    if outcome.page is not None:
        console.print(f"{escape(signature)}; report: {escape(outcome.page)}", soft_wrap=True)
    is_go = word == GO
    if is_go and outcome.is_signing and outcome.page is None:
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


def run_job(
    model: Model,
    name: str,
    console: Console,
    hold: Hold,
    *,
    assets: Sequence[dg.AssetKey] | None = None,
    approval: Approval | None = None,
    reports: str = "",
) -> Outcome:
    """Runs a job in this process.

    Args:
        model: The application's tables.
        name: Name of the job.
        console: Where the progress goes.
        hold: The hold on the target, which the job joins.
        assets: The assets to materialize; all of the job where None.
        approval: What the sign-off takes, where it is among them; nothing where None.
        reports: Directory of its report.
    """
    started = time.perf_counter()
    progress = ConsoleProgress(console, total=len(model.tables) if assets is None else len(assets))
    job = build_defs(model=model, progress=progress).resolve_job_def(name)
    config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if approval or reports:
        config |= run_config(approval or Approval(), reports)
    run_id = run_id_of(hold)
    with (
        dagster_instance() as instance,
        on_interrupt(lambda: _mark_canceled(instance, run_id)),
        ThreadPoolExecutor(max_workers=1) as thread,
    ):
        # On the main thread Dagster would handle signals, and lose one that comes between two steps.
        result = thread.submit(
            job.execute_in_process,
            instance=instance,
            raise_on_error=False,
            asset_selection=assets,
            run_config=config,
            run_id=run_id,
        ).result()
    progress.end_line()
    is_signing = name == MIGRATE and (assets is None or SIGN_OFF in assets)
    return Outcome(
        time.perf_counter() - started, _problem(result), _page(result), is_signing=is_signing
    )


def _mark_canceled(instance: dg.DagsterInstance, run_id: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_canceled(run, "Interrupted by Ctrl-C or a signal.")


def _problem(result: dg.ExecuteInProcessResult) -> str | None:
    """Returns why the job did not do its work, None where it did, whatever its checks found."""
    is_judged = False
    for event in result.all_events:
        if event.is_step_failure:
            where, error = f"step {event.step_key}", event.step_failure_data.error
        elif event.is_run_failure and event.job_failure_data.first_step_failure_event is None:
            where, error = "the run", event.job_failure_data.error
        else:
            continue
        causes = _causes(error)
        if _is_verdict(event) or _RED in [cause.cls_name for cause in causes]:
            is_judged = True
            continue
        for cause in causes:
            if cause.cls_name in _own_errors():
                line = without_urls(cause.message.partition(": ")[2].strip())
                return f"{where}: {line}" if cause.cls_name == UnexpectedError.__name__ else line
        if causes:
            # Whatever it is, its text may hold values of documents.
            return f"{where} ended by an unexpected {causes[-1].cls_name}. {_AGAIN}"
    if result.success or is_judged:
        return None
    return f"the run ended before it did its work, and did not say why. {_AGAIN}"


_RED = DagsterAssetCheckFailedError.__name__
_AGAIN = "What is committed stays: start again, and report it if it comes again"


def _causes(error: SerializableErrorInfo | None) -> list[SerializableErrorInfo]:
    """Returns an error and what caused it, the first cause last."""
    return [] if error is None else [error, *_causes(error.cause)]


def _own_errors() -> set[str]:
    """Returns the names of the errors that an operator is meant to read."""
    found: list[type[MigrationError]] = [MigrationError]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.__name__ for kind in found}


def _page(result: dg.ExecuteInProcessResult) -> str | None:
    """Returns the report of the sign-off that this run has recorded, None where there is none."""
    for event in result.get_asset_check_evaluations():
        if event.asset_key == SIGN_OFF:
            return str(event.metadata[PAGE].value)
    return None


def _is_verdict(event: dg.DagsterEvent) -> bool:
    """Returns whether an event is a sign-off that says NO-GO, which fails its step."""
    if not event.is_step_failure:
        return False
    said = event.step_failure_data.user_failure_data
    return said is not None and VERDICT in said.metadata


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """Opens Dagster's own storage: the configured one, else one in memory for this run.

    It is configured where ``DAGSTER_HOME`` is set, or where a `dagster.yaml` is in the working directory
    and ``DAGSTER_POSTGRES_URL`` is set.
    """
    if variable("DAGSTER_HOME") is None and variable(DAGSTER_VARIABLE) is not None:
        here = Path.cwd()
        if (here / CONFIGURATION).exists():
            os.environ["DAGSTER_HOME"] = str(here)
    if variable("DAGSTER_HOME") is None:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance
        return
    with _configured_instance() as instance:
        # One pool of connections instead of a connection for each event.
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=5)
        yield instance


def _configured_instance() -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except Exception as error:  # what it raises depends on the storage
        raise MigrationError(
            f"Dagster's own storage cannot be opened ({type(error).__name__})",
            where=f"DAGSTER_HOME {os.environ['DAGSTER_HOME']}",
            next_step=f"Check its {CONFIGURATION}, and that {DAGSTER_VARIABLE} is postgresql+psycopg2://"
            "user:password@host:port/database and can be reached; without DAGSTER_HOME and "
            f"{DAGSTER_VARIABLE} the run needs no storage",
        ) from None
