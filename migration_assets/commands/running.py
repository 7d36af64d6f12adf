"""Running a job of the asset graph in this process, with a display of its progress."""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from rich.console import Console

from migration_assets.assets.keys import SIGN_OFF, table_key
from migration_assets.assets.progress import Progress
from migration_assets.commands.summary import lines, summary_table
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.errors import MigrationError
from migration_assets.loading.ledger import LoadResult
from migration_assets.model import ENTITIES, TABLES
from migration_assets.sign_off.verdict import latest, verdict
from migration_assets.source.connection import open_source
from migration_assets.source.fingerprints import fingerprints
from migration_assets.target.connection import open_target
from migration_assets.target.schema import require_own_target
from migration_assets.urls import (
    DAGSTER_VARIABLE,
    source_url,
    target_url,
    variable,
    without_urls,
)
from migration_assets.validation.evidence import Evidence, Severity

CONFIGURATION = "dagster.yaml"
SHOWN = 20
"""Findings that are printed; the record has all of them."""


class Exit(enum.IntEnum):
    """Exit codes (section 11)."""

    GO = 0
    NO_GO = 1
    COULD_NOT_RUN = 2


@dataclass(slots=True)
class ConsoleProgress(Progress):
    """Tells on a terminal, one line for each table."""

    console: Console
    done: int = 0
    checks: str = ""

    def started(self, table: str) -> None:
        """Begins the line of a table."""
        self.done += 1
        self.checks = ""
        self.console.print(f"[dim]{self.done:>2}/{len(TABLES)}[/] {table:<32}", end="")

    def loaded(self, result: LoadResult) -> None:
        """Adds what was loaded."""
        rejected = f", [red]{result.rejected:,} rejected[/]" if result.rejected else ""
        self.console.print(
            f"{result.rows:>9,} rows, {result.merged.written:>9,} written in "
            f"{result.seconds:6.2f} s{rejected}",
            end="  ",
        )

    def checked(self, evidence: Evidence) -> None:
        """Adds the result of a check, and ends the line after the last one."""
        is_error = evidence.severity is Severity.ERROR
        mark = "[green]✓[/]" if evidence.passed else "[red]✗[/]" if is_error else "[yellow]![/]"
        self.checks += mark
        self.console.print(mark, end="")
        if self.checks.count("]") >= 2 * 4:
            self.console.print()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        succeeded: Every step did its work.
        seconds: From start to end.
        problem: One line on why it could not go on, None where the sign-off was reached.
    """

    succeeded: bool
    seconds: float
    problem: str | None


def migrate(console: Console, *, tables: Sequence[str] | None = None) -> Exit:
    """Migrates and validates, and prints the table of results.

    Args:
        console: Where the progress goes.
        tables: The tables to bring up to date; all where None.

    Raises:
        MigrationError: It cannot start: a server, a URL or a name is wrong.
    """
    require_databases()
    for name in tables or ():
        if name not in TABLES:
            raise MigrationError(
                f"there is no table {name!r}",
                where="--select",
                next_step=f"Give names of tables with commas between, such as {next(iter(TABLES))}",
            )
    selected = None if tables is None else [table_key(name) for name in tables]
    outcome = run_job(MIGRATE, console, assets=selected)
    return _report(console, outcome, is_signed=tables is None)


def validate(console: Console) -> Exit:
    """Runs the checks of every table without loading, and prints the table of results.

    Raises:
        MigrationError: It cannot start: a server or a URL is wrong.
    """
    require_databases()
    outcome = run_job(VALIDATE, console)
    return _report(console, outcome, is_signed=False)


def require_databases() -> None:
    """Opens both databases once, so that what is wrong with them is said before anything starts.

    Raises:
        MigrationError: One of them cannot be used.
    """
    with open_source(source_url()), open_target(target_url()) as connection:
        require_own_target(connection)


def _report(console: Console, outcome: Outcome, *, is_signed: bool) -> Exit:
    """Prints the results with the verdict: that of the run's sign-off, else one taken now."""
    with open_source(source_url()) as source, open_target(target_url()) as connection:
        if outcome.problem is not None:
            console.print(f"\n[red]error:[/] {outcome.problem}", soft_wrap=True)
            return Exit.COULD_NOT_RUN
        console.print()
        console.print(summary_table(lines(connection)))
        made = latest(connection) if is_signed else None
        made = made or verdict(connection, fingerprints(source, ENTITIES))
    for finding in made.findings[:SHOWN]:
        console.print(f"[red]✗[/] {finding.table}: {finding.what}. {finding.next_step}.")
    if len(made.findings) > SHOWN:
        console.print(f"[red]✗[/] and {len(made.findings) - SHOWN} more findings")
    colour = "green" if made.is_go else "red"
    console.print(f"[bold {colour}]{made.word}[/] after {outcome.seconds:.1f} s")
    return Exit.GO if made.is_go else Exit.NO_GO


def run_job(name: str, console: Console, *, assets: Sequence[dg.AssetKey] | None = None) -> Outcome:
    """Runs a job in this process.

    Args:
        name: Name of the job.
        console: Where the progress goes.
        assets: The assets to materialize; all of the job where None.
    """
    started = time.perf_counter()
    defs = build_defs(progress=ConsoleProgress(console))
    job = defs.resolve_job_def(name)
    with dagster_instance() as instance:
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            asset_selection=assets,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    seconds = time.perf_counter() - started
    return Outcome(result.success, seconds, None if result.success else _problem(result))


def _problem(result: dg.ExecuteInProcessResult) -> str | None:
    """Returns why a step could not do its work; a NO-GO is not such a reason."""
    for event in result.all_events:
        if not event.is_step_failure or event.step_key is None:
            continue
        if event.step_key.endswith(SIGN_OFF.path[-1]):
            return None
        error = event.step_failure_data.error
        cause = error.cause if error is not None and error.cause is not None else error
        if cause is None:
            return f"{event.step_key} failed"
        return without_urls(cause.message.partition(": ")[2] or cause.message)
    return None


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
    with dg.DagsterInstance.get() as instance:
        # One pool of connections instead of a connection for each event.
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=5)
        yield instance
