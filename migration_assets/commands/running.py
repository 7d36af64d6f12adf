"""Running a job of the asset graph in this process, with a display of its progress."""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError, DagsterExecutionInterruptedError
from rich.console import Console
from rich.markup import escape

from migration_assets.assets.keys import SIGN_OFF, table_key
from migration_assets.assets.progress import Progress
from migration_assets.assets.sign_off import PAGE, VERDICT, run_config
from migration_assets.commands.losses import LOSSES, losses_table, open_losses
from migration_assets.commands.preflight import require_preflight
from migration_assets.commands.summary import lines, summary_table
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.errors import (
    LoadError,
    MigrationError,
    RemediationError,
    SourceError,
    TargetError,
)
from migration_assets.loading.ledger import LoadResult
from migration_assets.model import ENTITIES, TABLES
from migration_assets.preflight.findings import counted
from migration_assets.remediation.parsing import load_remediations
from migration_assets.remediation.reporting import applied
from migration_assets.sign_off.signing import latest, reports_directory
from migration_assets.sign_off.verdict import GO, WARNING, verdict
from migration_assets.sign_off.waivers import Approval
from migration_assets.source.connection import open_source
from migration_assets.source.fingerprints import fingerprints
from migration_assets.target.bookkeeping import SCHEMA, loads
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import require_own_target
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
_OWN_ERRORS = frozenset(
    each.__name__
    for each in (MigrationError, SourceError, TargetError, LoadError, RemediationError)
)
SHOWN = 20
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
    total: int = len(TABLES)
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
    """

    seconds: float
    problem: str | None
    page: str | None = None


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
        MigrationError: It cannot start: a server, a URL, a name or the file of remediations is wrong.
    """
    load_remediations()
    require_databases(needs_schema=tables is not None)
    for name in tables or ():
        if name not in TABLES:
            raise MigrationError(
                f"there is no table {name!r}",
                where="--select",
                next_step=f"Give names of tables with commas between, such as {next(iter(TABLES))}",
            )
    reports_directory(reports)
    require_preflight(console)
    if tables is None:
        return _report(console, run_job(MIGRATE, console, approval=approval, reports=reports))
    outcome = run_job(MIGRATE, console, assets=[table_key(name) for name in tables])
    return _report(console, _signed(console, outcome, approval, reports))


def validate(console: Console, *, approval: Approval | None = None, reports: str = "") -> Exit:
    """Runs the checks of every table without loading, and prints the table of results.

    Args:
        console: Where the progress goes.
        approval: Waivers, and who signs; where nobody does, the verdict is not recorded.
        reports: Directory of the sign-off's report.

    Raises:
        MigrationError: It cannot start: a server, a URL or the file of remediations is wrong, or nothing
            was migrated yet.
    """
    load_remediations()
    require_databases(needs_schema=True)
    if approval:
        reports_directory(reports)
    return _report(console, _signed(console, run_job(VALIDATE, console), approval, reports))


def sign_off(console: Console, *, approval: Approval, reports: str = "") -> Exit:
    """Takes the verdict anew and records it, without loading or checking.

    Raises:
        MigrationError: It cannot start, or a waiver matches no finding.
    """
    require_databases(needs_schema=True)
    reports_directory(reports)
    outcome = run_job(MIGRATE, console, assets=[SIGN_OFF], approval=approval, reports=reports)
    return _report(console, outcome)


def _signed(console: Console, outcome: Outcome, approval: Approval | None, reports: str) -> Outcome:
    """Lets the sign-off follow on a run that has none, where somebody signs."""
    if not approval or outcome.problem is not None:
        return outcome
    signed = run_job(MIGRATE, console, assets=[SIGN_OFF], approval=approval, reports=reports)
    return replace(signed, seconds=outcome.seconds + signed.seconds)


def require_databases(*, needs_schema: bool = False) -> None:
    """Opens both databases once, so that what is wrong with them is said before anything starts.

    Args:
        needs_schema: The target must have been migrated to before.

    Raises:
        MigrationError: One of them cannot be used.
    """
    with open_source(source_url()), open_target(target_url()) as connection:
        require_own_target(connection)
        if needs_schema:
            require_schema(connection)


def require_schema(connection: Connection) -> None:
    """Refuses a target that nothing was migrated to.

    Raises:
        MigrationError: It has no bookkeeping.
    """
    found = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{loads.name}"]).fetchone()
    if found == (None,):
        raise MigrationError(
            "nothing was migrated to it yet",
            where=f"database {connection.info.dbname}",
            next_step="Run `migration-assets run` without --select first",
        )


def _report(console: Console, outcome: Outcome) -> Exit:
    """Prints the results with the verdict: that of the run's sign-off, else one taken now.

    Raises:
        MigrationError: The run could not do its work, or a database is out of reach.
    """
    if outcome.problem is not None:
        raise RunError(outcome.problem)
    rules = load_remediations()
    with open_source(source_url()) as source, open_target(target_url()) as connection:
        console.print()
        console.print(summary_table(lines(connection)))
        losses, done = open_losses(connection), applied(connection, rules)
        if outcome.page is not None and (made := latest(connection)) is not None:
            said = [
                _said(each["table"], each["what"], each["nextStep"])
                for each in made["findings"]
                if each["kind"] not in LOSSES
            ]
            word, signature = made["verdict"]["word"], made["verdict"]["signature"]
            waived = [(each["finding"], each["name"], each["whyVoid"]) for each in made["waivers"]]
            warnings = [each["kind"] for each in made["information"]].count(WARNING)
        else:
            taken = verdict(
                connection,
                fingerprints(source, ENTITIES),
                remediations=rules,
                unkept=unkept(source, connection),
            )
            said = [
                _said(each.table, each.what, each.next_step)
                for each in taken.findings
                if each.kind not in LOSSES
            ]
            word, signature = taken.word, ""
            waived = [
                (each.waiver.finding, each.waiver.name, each.why_void) for each in taken.waived
            ]
            warnings = [each.kind for each in taken.information].count(WARNING)
    if losses and word != GO:
        console.print(losses_table(losses, shown=SHOWN))
    for each in done:
        mark = "[green]✓[/]" if each.count else "[yellow]![/]"
        console.print(f"{mark} {escape(each.said())}", soft_wrap=True)
    for finding, name, why_void in waived:
        console.print(_waived(finding, name, why_void), soft_wrap=True)
    if warnings:
        console.print(
            f"[yellow]![/] {counted(warnings, 'check')} only warned: nothing is lost there, the report has "
            "what to read",
            soft_wrap=True,
        )
    for line in said[:SHOWN]:
        console.print(f"[red]✗[/] {line}")
    if len(said) > SHOWN:
        console.print(f"[red]✗[/] and {len(said) - SHOWN} more findings")
    if outcome.page is not None:
        console.print(f"{escape(signature)}; report: {escape(outcome.page)}", soft_wrap=True)
    is_go = word == GO
    console.print(f"[bold {'green' if is_go else 'red'}]{word}[/] after {outcome.seconds:.1f} s")
    return Exit.GO if is_go else Exit.NO_GO


def _waived(finding: str, name: str, why_void: str) -> str:
    if why_void:
        return f"[red]✗[/] {escape(f'waiver of {finding} by {name} is void: {why_void}')}"
    return f"[yellow]![/] {escape(f'{finding} is waived by {name}')}"


def _said(table: str, what: str, next_step: str) -> str:
    return escape(f"{table}: {what}. {next_step}.")


def run_job(
    name: str,
    console: Console,
    *,
    assets: Sequence[dg.AssetKey] | None = None,
    approval: Approval | None = None,
    reports: str = "",
) -> Outcome:
    """Runs a job in this process.

    Args:
        name: Name of the job.
        console: Where the progress goes.
        assets: The assets to materialize; all of the job where None.
        approval: What the sign-off takes, where it is among them; nothing where None.
        reports: Directory of its report.
    """
    started = time.perf_counter()
    progress = ConsoleProgress(console, total=len(TABLES) if assets is None else len(assets))
    job = build_defs(progress=progress).resolve_job_def(name)
    config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if approval or reports:
        config |= run_config(approval or Approval(), reports)
    with dagster_instance() as instance:
        result = job.execute_in_process(
            instance=instance, raise_on_error=False, asset_selection=assets, run_config=config
        )
    progress.end_line()
    return Outcome(time.perf_counter() - started, _problem(result), _page(result))


def _problem(result: dg.ExecuteInProcessResult) -> str | None:
    """Returns why a step could not do its work, None where each did."""
    for event in result.all_events:
        if not event.is_step_failure or _is_verdict(event):
            continue
        error = event.step_failure_data.error
        cause = error.cause if error is not None and error.cause is not None else error
        if cause is None or cause.cls_name == DagsterAssetCheckFailedError.__name__:
            continue
        if cause.cls_name in _OWN_ERRORS:
            return without_urls(cause.message.partition(": ")[2])
        if cause.cls_name == DagsterExecutionInterruptedError.__name__:
            return (
                f"step {event.step_key}: interrupted. What is committed stays; start again to go on"
            )
        # Whatever else it is, its text may hold values of documents.
        return (
            f"step {event.step_key}: ended by an unexpected {cause.cls_name}. What is committed "
            "stays: start again, and report it if it comes again"
        )
    return None


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
