"""The two databases, as Dagster resources.

A URL comes from the environment, and is no configuration: none can be typed in where a run is started, so
that no password stands in Dagster's storage.
"""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import dagster as dg
import psycopg
from bson.timestamp import Timestamp
from pydantic import Field, PrivateAttr

from migration_assets.assets.boundary import guarded
from migration_assets.endpoints import source_url, target_url
from migration_assets.errors import MigrationError
from migration_assets.model import Model
from migration_assets.remediation.parsing import load_remediations
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.reusable import Reusable
from migration_assets.settings import REMEDIATIONS, SNAPSHOT, SOURCE_URL, TARGET_URL
from migration_assets.source.connection import SourceDatabase, is_current, open_source
from migration_assets.source.snapshots import at_moment, current_moment, snapshot_wanted
from migration_assets.source.united import united
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.lock import held_for_run, is_held
from migration_assets.target.runs import enter, leave, moment_of_run

HOLD_TAG = "migration/hold"
"""The tag of a run that joins the hold of the command that has started it."""


@dg.resource(description=f"{SOURCE_URL.name}, else the URL of the embedded server.")
@guarded
def source_location(_: dg.InitResourceContext) -> str:
    """Returns the URL of the source, from the environment."""
    return source_url()


@dg.resource(description=f"{TARGET_URL.name}, else the URL of the embedded server.")
@guarded
def target_location(_: dg.InitResourceContext) -> str:
    """Returns the URL of the target, from the environment."""
    return target_url()


class SourceMongo(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The MongoDB database to migrate from. It is only ever read."""

    url: dg.ResourceDependency[str] = source_location  # type: ignore[assignment]
    snapshot: bool = Field(
        default=False,
        description="Read every collection as of one moment, the same for all steps of the run; takes a "
        f"replica set. {SNAPSHOT.name}=on does the same for every run.",
    )
    _moment: Timestamp | None = PrivateAttr(default=None)
    _kept: Reusable[SourceDatabase] | None = PrivateAttr(default=None)

    @property
    def reads_snapshot(self) -> bool:
        """Whether a run reads every collection as of one moment.

        Raises:
            MigrationError: ``MIGRATION_SNAPSHOT`` is neither on nor off.
        """
        return self.snapshot or snapshot_wanted()

    @contextmanager
    @guarded
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["SourceMongo"]:
        """Keeps the connection for the run."""
        del context
        self._kept = Reusable(self._open, is_current)
        try:
            yield self
        finally:
            self._kept.close()
            self._kept = None

    @contextmanager
    def open_for_run(
        self,
        remediations: Remediations = NO_REMEDIATIONS,
        target: "TargetPostgres | None" = None,
    ) -> Iterator[SourceDatabase]:
        """Opens the database as the run reads it: as of its moment where asked for, else the present.

        The moment is that of the first step, which the others find in ``migration.runs``; a run that starts
        later has another one.

        Args:
            remediations: They say which collections count as others.
            target: Where the moment is kept; without it the steps that share a process share one.

        Raises:
            SourceError: It cannot be used; the message says why and what to do.
        """
        with self.open(remediations) as database:
            if not self.reads_snapshot:
                yield database
                return
            if self._moment is None:
                self._moment = current_moment(database)
            moment = self._moment if target is None else target.moment(self._moment)
            yield at_moment(database, moment)

    @contextmanager
    def open(self, remediations: Remediations = NO_REMEDIATIONS) -> Iterator[SourceDatabase]:
        """Opens the database as it is at present, within a run once.

        Args:
            remediations: They say which collections count as others.

        Raises:
            SourceError: It cannot be used; the message says why and what to do.
        """
        with self._open() if self._kept is None else self._kept.use() as database:
            yield united(database, remediations.counted_as)

    def _open(self) -> AbstractContextManager[SourceDatabase]:
        return open_source(self.url)


class TargetPostgres(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The PostgreSQL database to migrate to."""

    url: dg.ResourceDependency[str] = target_location  # type: ignore[assignment]
    _kept: Reusable[Connection] | None = PrivateAttr(default=None)
    _run_id: str = PrivateAttr(default="")
    _held_as: str = PrivateAttr(default="")

    @contextmanager
    @guarded
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["TargetPostgres"]:
        """Holds the target for the run, against every other run, and keeps the connection.

        Where each step is a process of its own, the run keeps the target between them by its row.

        Raises:
            HeldError: Another run holds it.
            TargetError: The database cannot be used.
        """
        instance, run = context.instance, context.run
        self._run_id = run.run_id if run else str(uuid.uuid4())
        self._held_as = run.tags.get(HOLD_TAG, run.run_id) if run else self._run_id

        def is_over(run_id: str) -> bool:
            known = instance.get_run_by_id(run_id) if instance else None
            return known is not None and known.is_finished

        with held_for_run(self.url, self._held_as, is_over) as hold:
            with hold.use() as connection:
                enter(connection, self._run_id, self._held_as, is_over)
            self._kept = Reusable(hold.open, is_held)
            try:
                yield self
            finally:
                self._kept.close()
                self._kept = None
                # Where it cannot be written, the target is let go of a little later, or a little sooner.
                with suppress(MigrationError, psycopg.Error), hold.use() as connection:
                    is_last = run is None or instance is None or not steps_left(instance, run)
                    leave(connection, self._run_id, self._held_as, is_last=is_last)

    def moment(self, current: Timestamp) -> Timestamp:
        """Returns the moment at which all steps of this run read the source.

        Args:
            current: What it is where no step has had one.
        """
        with self.open() as connection:
            return moment_of_run(connection, self._run_id, self._held_as, current)

    def open(self) -> AbstractContextManager[Connection]:
        """Opens a connection in autocommit mode, within a run one that holds the target.

        Raises:
            TargetError: It cannot be used, or another run holds it; the message says why and what to do.
        """
        return open_target(self.url) if self._kept is None else self._kept.use()


def steps_left(instance: dg.DagsterInstance, run: dg.DagsterRun) -> set[str]:
    """Returns the steps of a run that are still to come: none where one process did them all."""
    assert run.execution_plan_snapshot_id is not None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    ended = {
        step.step_key: step.status
        for step in instance.get_run_step_stats(run.run_id)
        if step.end_time
    }
    in_vain = {
        key for key, status in ended.items() if status is not None and status.value != "SUCCESS"
    }
    left = set(plan.step_keys_to_execute) - ended.keys()
    # What comes after a step that has failed is not begun, and Dagster says nothing of it.
    while skipped := {key for key in left if in_vain & plan.step_deps[key]}:
        in_vain |= skipped
        left -= skipped
    return left


class RemediationFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The reviewed file of rules that correct or accept what the conversion cannot."""

    path: str = Field(
        default="",
        description=f"YAML file of remediations, docs/remediations.md; empty: {REMEDIATIONS.name}, "
        "else no rules. Materialize the tables that it concerns again after a change.",
    )

    def load(self, model: Model) -> Remediations:
        """Returns the rules for an application as the file has them now.

        Raises:
            RemediationError: It has mistakes; the message names them with their lines.
        """
        return load_remediations(model, self.path)


class WatchedPostgres(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The same database when it is only looked at: watching it keeps no migration waiting."""

    url: dg.ResourceDependency[str] = target_location  # type: ignore[assignment]

    def open(self) -> AbstractContextManager[Connection]:
        """Opens a connection in autocommit mode.

        Raises:
            TargetError: It cannot be used; the message says why and what to do.
        """
        return open_target(self.url)
