"""The two databases, as Dagster resources."""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import dagster as dg
from bson.timestamp import Timestamp
from pydantic import Field, PrivateAttr

from migration_assets.assets.boundary import guarded
from migration_assets.kept import Kept
from migration_assets.model import Model
from migration_assets.remediation.parsing import load_remediations
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import SourceDatabase, is_current, open_source
from migration_assets.source.snapshots import (
    SNAPSHOT_VARIABLE,
    at_moment,
    current_moment,
    snapshot_wanted,
)
from migration_assets.source.united import united
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.lock import held_for_run, is_held
from migration_assets.urls import (
    REMEDIATIONS_VARIABLE,
    SOURCE_VARIABLE,
    TARGET_VARIABLE,
    source_url,
    target_url,
)


class SourceMongo(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The MongoDB database to migrate from. It is only ever read."""

    url: str = Field(
        default="",
        description=f"MongoDB URL with the name of the database; empty: {SOURCE_VARIABLE}, else the "
        "embedded server.",
    )
    snapshot: bool = Field(
        default=False,
        description="Read every collection as of one moment, the same for all steps of the run; takes a "
        f"replica set. {SNAPSHOT_VARIABLE}=on does the same for every run.",
    )
    _moment: Timestamp | None = PrivateAttr(default=None)
    _kept: Kept[SourceDatabase] | None = PrivateAttr(default=None)

    @property
    def location(self) -> str:
        """The URL, with the password where there is one."""
        return self.url or source_url()

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
        self._kept = Kept(self._open, is_current)
        try:
            yield self
        finally:
            self._kept.close()
            self._kept = None

    @contextmanager
    def open_for_run(
        self, remediations: Remediations = NO_REMEDIATIONS
    ) -> Iterator[SourceDatabase]:
        """Opens the database as the run reads it: as of its moment where asked for, else the present.

        The moment is that of the first step. All steps share it, since they share a process and with it
        this resource; a run that starts later has another one.

        Args:
            remediations: They say which collections count as others.

        Raises:
            SourceError: It cannot be used; the message says why and what to do.
        """
        with self.open(remediations) as database:
            if not self.reads_snapshot:
                yield database
                return
            if self._moment is None:
                self._moment = current_moment(database)
            yield at_moment(database, self._moment)

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
        return open_source(self.location)


class TargetPostgres(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The PostgreSQL database to migrate to."""

    url: str = Field(
        default="",
        description=f"PostgreSQL URL; empty: {TARGET_VARIABLE}, else the embedded server.",
    )

    _kept: Kept[Connection] | None = PrivateAttr(default=None)
    _run_id: str = PrivateAttr(default="")

    @property
    def location(self) -> str:
        """The URL, with the password where there is one."""
        return self.url or target_url()

    @property
    def run_id(self) -> str:
        """The run that holds the target; empty outside of one."""
        return self._run_id

    @contextmanager
    @guarded
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["TargetPostgres"]:
        """Holds the target for the run, against every other run, and keeps the connection.

        Raises:
            HeldError: Another run holds it.
            TargetError: The database cannot be used.
        """
        self._run_id = context.run.run_id if context.run else str(uuid.uuid4())
        with held_for_run(self.location, self._run_id) as hold:
            self._kept = Kept(hold.open, is_held)
            try:
                yield self
            finally:
                self._kept.close()
                self._kept = None

    def open(self) -> AbstractContextManager[Connection]:
        """Opens a connection in autocommit mode, within a run one that holds the target.

        Raises:
            TargetError: It cannot be used, or another run holds it; the message says why and what to do.
        """
        return open_target(self.location) if self._kept is None else self._kept.use()


class RemediationFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The reviewed file of rules that correct or accept what the conversion cannot."""

    path: str = Field(
        default="",
        description=f"YAML file of remediations, docs/remediations.md; empty: {REMEDIATIONS_VARIABLE}, "
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

    url: str = Field(
        default="",
        description=f"PostgreSQL URL; empty: {TARGET_VARIABLE}, else the embedded server.",
    )

    def open(self) -> AbstractContextManager[Connection]:
        """Opens a connection in autocommit mode.

        Raises:
            TargetError: It cannot be used; the message says why and what to do.
        """
        return open_target(self.url or target_url())
