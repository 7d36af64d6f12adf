"""Running a job of the asset graph from the command line, and what came of it."""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster_shared.error import SerializableErrorInfo
from rich.console import Console

from migration_assets.assets.executors import IN_PROCESS
from migration_assets.assets.keys import PREFLIGHT, SIGN_OFF
from migration_assets.assets.resources import HOLD_TAG
from migration_assets.assets.sign_off import run_config
from migration_assets.commands.progress import ConsoleProgress
from migration_assets.commands.results import Mark, mark_of
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs, migrate_job, validate_job
from migration_assets.errors import MigrationError, UnexpectedError
from migration_assets.interrupts import on_interrupt
from migration_assets.model import Model
from migration_assets.settings import DAGSTER_HOME, DAGSTER_URL, EXECUTOR
from migration_assets.sign_off.waivers import Approval
from migration_assets.target.lock import Hold
from migration_assets.urls import without_urls

CONFIGURATION = "dagster.yaml"

LOCATION = "migration_assets"
"""The name of the code location, as in `workspace.yaml`."""

LOOKS = 0.5
"""Seconds between two looks for the run that was started."""

JOBS: Mapping[str, Callable[[], dg.JobDefinition]] = {
    MIGRATE: migrate_job,
    VALIDATE: validate_job,
}
"""Where other processes find a job, by its name."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        seconds: From start to end.
        failures: What each step that failed says of it in one line, by step, and the run itself by an empty
            name. Whether a check or the verdict was the reason stands in the target's records.
        before: Where these ended when it began.
        is_signing: Whether the sign-off was asked for.
    """

    seconds: float
    failures: Mapping[str, str]
    before: Mark
    is_signing: bool


def run_job(
    model: Model,
    name: str,
    console: Console,
    hold: Hold,
    *,
    assets: Sequence[dg.AssetKey] | None = None,
    approval: Approval | None = None,
    reports: str = "",
) -> RunOutcome:
    """Runs a job, by the executor that the environment asks for.

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
    with hold.use() as connection:
        before = mark_of(connection)
    progress = ConsoleProgress(console, total=len(model.tables) if assets is None else len(assets))
    config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if approval or reports:
        config |= run_config(approval or Approval(), reports)
    is_signing = name == MIGRATE and (assets is None or SIGN_OFF in assets)
    tags = {HOLD_TAG: hold.run_id}
    is_alone = EXECUTOR.read() == IN_PROCESS
    with (
        dagster_instance(is_kept=not is_alone) as instance,
        on_interrupt(partial(_mark_canceled, instance, tags)),
        ThreadPoolExecutor(max_workers=1) as thread,
    ):
        job = build_defs(model=model, progress=progress).resolve_job_def(name)
        if assets is None and name == MIGRATE:
            # Who starts a run here has had its preflight, and has been told.
            assets = sorted(job.asset_layer.selected_asset_keys - {PREFLIGHT})
        execute: Callable[..., Any]
        if is_alone:
            execute = partial(
                job.execute_in_process, run_id=hold.run_id[:8] + str(uuid.uuid4())[8:]
            )
        else:
            execute = partial(dg.execute_job, dg.reconstructable(JOBS[name]))
        # On the main thread Dagster would handle signals, and lose one that comes between two steps.
        running = thread.submit(
            execute,
            instance=instance,
            raise_on_error=False,
            asset_selection=assets,
            run_config=config,
            tags=tags,
        )
        # Where it fails, a run is only harder to find in the UI.
        with suppress(Exception):
            while not wait([running], timeout=LOOKS).done and not place_runs(instance, tags):
                pass
        result: Any = running.result()
        with suppress(Exception):
            place_runs(instance, tags)
        progress.end_line()
        return RunOutcome(
            time.perf_counter() - started, failures(result), before, is_signing=is_signing
        )


def place_runs(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> bool:
    """Gives runs their place in the code location: on the UI's timeline, and among the runs of their job.

    Dagster has it only of runs that a server of the code location was asked to launch.

    Args:
        instance: Dagster's storage.
        tags: The tags of the runs.

    Returns:
        Whether there is one, and each has its place.
    """
    if instance.is_ephemeral:
        return True
    runs = instance.get_runs(dg.RunsFilter(tags=tags))
    for run in runs:
        if run.remote_job_origin is None:
            origin = _repository_origin()
            instance.add_run_tags(run.run_id, {_REPOSITORY_TAG: origin.get_label()})
            placed = instance.get_run_by_id(run.run_id) or run
            instance.run_storage.replace_job_origin(placed, origin.get_job_origin(run.job_name))
    return bool(runs)


_REPOSITORY_TAG = ".dagster/repository"


def _repository_origin() -> Any:
    """Returns where `workspace.yaml` says that the definitions are."""
    # No public path has these.
    from dagster._core.remote_origin import (  # noqa: PLC0415
        ManagedGrpcPythonEnvCodeLocationOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin  # noqa: PLC0415

    target = LoadableTargetOrigin(module_name="migration_assets.definitions", attribute="defs")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteRepositoryOrigin(location, "__repository__")


def _mark_canceled(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> None:
    for run in instance.get_runs(dg.RunsFilter(tags=tags)):
        if not run.is_finished:
            instance.report_run_canceled(run, "Interrupted by Ctrl-C or a signal.")
    place_runs(instance, tags)


def failures(result: dg.ExecuteInProcessResult | dg.JobExecutionResult) -> dict[str, str]:
    """Returns what each step that failed says of it, and the run itself by an empty name."""
    found = {}
    for event in result.all_events:
        if event.is_step_failure:
            name = event.step_key or ""
            found[name] = _line(f"step {name}", event.step_failure_data.error)
        elif event.is_run_failure and event.job_failure_data.first_step_failure_event is None:
            found[""] = _line("the run", event.job_failure_data.error)
    return found if found or result.success else {"": _line("the run", None)}


def _line(where: str, error: SerializableErrorInfo | None) -> str:
    """Returns an error in one line without values: our own as it is, of another its kind alone."""
    causes = _causes(error)
    for cause in causes:
        if cause.cls_name in _own_errors():
            line = without_urls(cause.message.partition(": ")[2].strip())
            return f"{where}: {line}" if cause.cls_name == UnexpectedError.__name__ else line
    if causes:
        return f"{where} ended by an unexpected {causes[-1].cls_name}. {_AGAIN}"
    return f"{where} ended before it did its work, and did not say why. {_AGAIN}"


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


_QUIET: Any = {"python_logs": {"python_log_level": "CRITICAL"}}
"""What Dagster says of each process goes to its log alone."""


@contextmanager
def dagster_instance(*, is_kept: bool = False) -> Iterator[dg.DagsterInstance]:
    """Opens Dagster's own storage: the configured one, else one for this run.

    It is configured where ``DAGSTER_HOME`` is set, or where a `dagster.yaml` is in the working directory
    and ``DAGSTER_POSTGRES_URL`` is set.

    Args:
        is_kept: Other processes take part, so that it cannot be in memory.
    """
    if DAGSTER_HOME.read() is None and DAGSTER_URL.read() is not None:
        here = Path.cwd()
        if (here / CONFIGURATION).exists():
            os.environ[DAGSTER_HOME.name] = str(here)
    if DAGSTER_HOME.read() is None:
        if not is_kept:
            with dg.DagsterInstance.ephemeral() as instance:
                yield instance
            return
        with (
            tempfile.TemporaryDirectory() as directory,
            dg.DagsterInstance.local_temp(directory, overrides=_QUIET) as instance,
        ):
            yield instance
        return
    with _without_waiting_for_disks(), _configured_instance() as instance:
        # One pool of connections instead of a connection for each event.
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=5)
        yield instance


@contextmanager
def _without_waiting_for_disks() -> Iterator[None]:
    """Lets Dagster's storage commit events without a wait for the disk, of which each event has several.

    Where its server crashes, the last ones of a run may be missing in the UI; what counts is in the target.
    """

    def wait_for_none(connection: Any, _: object) -> None:
        if type(connection).__module__.startswith("psycopg2"):
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = off")
            connection.commit()

    sa.event.listen(sa.Engine, "connect", wait_for_none)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "connect", wait_for_none)


def _configured_instance() -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except Exception as error:  # what it raises depends on the storage
        raise MigrationError(
            f"Dagster's own storage cannot be opened ({type(error).__name__})",
            where=f"DAGSTER_HOME {os.environ['DAGSTER_HOME']}",
            next_step=f"Check its {CONFIGURATION}, and that {DAGSTER_URL.name} is postgresql+psycopg2://"
            "user:password@host:port/database and can be reached; without DAGSTER_HOME and "
            f"{DAGSTER_URL.name} the run needs no storage",
        ) from None
