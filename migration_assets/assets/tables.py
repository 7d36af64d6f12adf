"""The 39 tables: one asset each, with its four checks, from one factory.

Loading and checking are one subsettable step, so that each check can be run alone. ``row_count`` and
``types`` say whether the table is good: they block, which fails the step, so that a re-execution builds
the table again. ``values`` and ``references`` also speak of what is wrong with the source's data; they block
the sign-off, but not the tables that come after.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import dagster as dg
import sqlalchemy as sa

from migration_assets.assets import describe
from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import (
    OWNERS,
    POOL,
    TARGET_SCHEMA,
    UUID_MAP,
    source_key,
    table_key,
)
from migration_assets.assets.progress import Progress
from migration_assets.assets.resources import RemediationFile, SourceMongo, TargetPostgres
from migration_assets.assets.retries import is_last_attempt, retried
from migration_assets.assets.sources import input_versions, observation
from migration_assets.assets.workers import WorkersResource
from migration_assets.causes.recorded import Explained, recorded_causes
from migration_assets.databases import databases_of
from migration_assets.loading.load import load_table
from migration_assets.loading.program import program_version
from migration_assets.loading.records import LoadResult
from migration_assets.model import Model, group_of, junction_of, model_of
from migration_assets.model.versions import model_version
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation.checks import Layers, run_checks
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.pointers import DOCUMENTATION
from migration_assets.validation.shared_checks import (
    Given,
    Sharing,
    Sides,
    divided,
    is_worth,
    made_there,
)

BLOCKING = frozenset(layer for layer in Layer if layer.blocks)
"""The checks whose failure means that the table itself is not as it was loaded."""

LOADING_AGAIN = (
    "Once it is corrected, press Materialize on the table. *Re-execute from failure* takes the verdict anew "
    "and loads nothing, since this step did not fail; *Re-execute all* loads only where its run did."
)
"""What is told of the other checks, whose failure lets the step go on."""


def table_assets(model: Model) -> list[dg.AssetsDefinition]:
    """Returns the assets of all tables, each after those that it refers to."""
    return [table_asset(*tables) for tables in model.circles]


def step_of(*tables: sa.Table) -> str:
    """Returns the name of the step that loads and checks a table, or a circle of tables."""
    return "__".join(["postgres", *[table.name for table in tables]])


def table_asset(*tables: sa.Table) -> dg.AssetsDefinition:
    """Returns the asset of a table with its four checks; those of a circle of tables are one step.

    A table that refers to one that is loaded after it is loaded again when that one is there, which settles
    these references; all are checked after that.
    """
    model = model_of(tables[0])

    @dg.multi_asset(
        name=step_of(*tables),
        specs=[_spec(table) for table in tables],
        check_specs=[
            _check_spec(table_key(table.name), layer) for table in tables for layer in Layer
        ],
        can_subset=True,
        pool=POOL,
    )
    @guarded
    def build(
        context: dg.AssetExecutionContext,
        source: SourceMongo,
        target: TargetPostgres,
        remediations: RemediationFile,
        workers: WorkersResource,
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.AssetObservation | dg.MaterializeResult[None] | dg.AssetCheckResult]:
        progress.started(tables[0].name)
        rules = remediations.load(model)
        step = _Step(context, model, source, target, rules, workers, progress)
        keys = context.selected_asset_keys
        selected = [table for table in tables if table_key(table.name) in keys]
        again = [table for table in selected if model.is_loaded_twice(table)]
        results = {
            table.name: retried(context, partial(step.loaded, table))
            for table in (*selected, *again)
        }
        for table in tables:
            if table is not tables[0]:
                progress.started(table.name)
            if (result := results.get(table.name)) is not None:
                progress.loaded(result)
                yield from _made(table, result, rules)
            yield from step.checks_of(table)

    return build


def _made(
    table: sa.Table, result: LoadResult, rules: Remediations
) -> Iterator[dg.AssetObservation | dg.MaterializeResult[None]]:
    """Yields what a load has read, where it has read a collection as a whole, and what it has made of it."""
    read = {
        name: fingerprint for name, fingerprint in result.fingerprints.items() if name == table.name
    }
    for collection, fingerprint in read.items():
        yield observation(collection, fingerprint, result.documents, result.size)
    yield dg.MaterializeResult(
        asset_key=table_key(table.name),
        metadata=describe.load_metadata(result, rules.of(table)),
        data_version=dg.DataVersion(result.version),
        tags=input_versions(read),
    )


@dataclass(frozen=True)
class _Step:
    """What the step of a table does: loads it and makes its checks."""

    context: dg.AssetExecutionContext
    model: Model
    source: SourceMongo
    target: TargetPostgres
    rules: Remediations
    workers: WorkersResource
    progress: Progress
    causes: dict[str, list[Explained]] = field(default_factory=dict)

    @contextmanager
    def databases(self) -> Iterator[tuple[SourceDatabase, Connection]]:
        """Opens both databases."""
        source = self.source.open_for_run(self.rules, self.target)
        with source as database, self.target.open() as connection:
            yield database, connection

    def loaded(self, table: sa.Table) -> LoadResult:
        """Brings a table to the state of its source."""
        with self.databases() as (database, connection):
            return load_table(
                database,
                connection,
                table,
                say=self.context.log.info,
                remediations=self.rules,
                workers=self.workers.pool,
            )

    def checks_of(self, table: sa.Table) -> Iterator[dg.AssetCheckResult]:
        """Yields the results of the checks that the run has selected."""
        key = table_key(table.name)
        selected = self.context.selected_asset_check_keys
        wanted = {check.name for check in selected if check.asset_key == key}
        waiting = [layer for layer in Layer if layer in wanted]
        try:
            for evidence in self._evidence(table, tuple(waiting)):
                self.progress.checked(evidence)
                waiting.remove(evidence.layer)
                again = "" if evidence.layer in BLOCKING else LOADING_AGAIN
                causes = self._causes_of_red(table, evidence)
                yield describe.check_result(evidence, key, again, causes)
        except Exception as error:
            if is_last_attempt(self.context, error):
                # Else they were grey beside what was loaded, and nothing would say why.
                for layer in waiting:
                    yield describe.check_not_run(key, layer, error)
            raise

    def _evidence(self, table: sa.Table, layers: Layers) -> Iterator[Evidence]:
        """Yields what the checks find."""
        sharing = retried(self.context, partial(self._sharing_of, table))
        submit = None if sharing is None else partial(sharing.submit, table.name)
        in_workers = divided(layers, submit)
        for together in in_workers:
            yield from retried(
                self.context, partial(self._checked, table, sharing, in_workers, together)
            )

    def _sharing_of(self, table: sa.Table) -> Sharing | None:
        with self.databases() as (database, connection):
            where = databases_of(database, connection)
            if where is None or not is_worth(self.workers.pool, connection, table.name):
                return None
            return Sharing(self.workers.pool, Sides(where, self.model, self.rules))

    def _checked(
        self, table: sa.Table, sharing: Sharing | None, in_workers: Given, layers: Layers
    ) -> list[Evidence]:
        future = in_workers[layers]
        in_workers[layers] = None  # who asks once more has them made here
        if future is not None:
            made_in_worker = made_there(future, table.name, self.context.log.warning)
            if made_in_worker is not None:
                return made_in_worker
        share = None if sharing is None else sharing.compare
        with self.databases() as (database, connection):
            return run_checks(
                database, connection, table, layers, remediations=self.rules, share=share
            )

    def _causes_of_red(self, table: sa.Table, evidence: Evidence) -> list[Explained]:
        """Returns the causes of losses where these, and nothing else, make a check red."""
        is_red = not evidence.passed and evidence.layer not in BLOCKING
        is_loss = is_red and evidence.is_sound
        return retried(self.context, partial(self._causes, table.name)) if is_loss else []

    def _causes(self, table: str) -> list[Explained]:
        if table not in self.causes:
            with self.databases() as (database, connection):
                recorded = recorded_causes(self.model, database, connection)
            self.causes[table] = [
                (cause, rule) for cause, rule in recorded if cause.concerns(table)
            ]
        return self.causes[table]


def _spec(table: sa.Table) -> dg.AssetSpec:
    relation = junction_of(table)
    collections = (
        [table.name]
        if relation is None
        else [holder.collection for holder, *_ in relation.arrays()]
    )
    return dg.AssetSpec(
        table_key(table.name),
        deps=[
            TARGET_SCHEMA,
            UUID_MAP,
            *[source_key(collection) for collection in collections],
            *[table_key(name) for name in sorted(model_of(table).before(table))],
        ],
        description=describe.description(table),
        group_name=group_of(table),
        kinds={"postgres", "polars"},
        owners=OWNERS,
        code_version=f"{model_version(table)}-{program_version()[:16]}",
        metadata={
            "dagster/column_schema": describe.column_schema(table),
            "dagster/column_lineage": describe.column_lineage(table),
            "dagster/table_name": f"public.{table.name}",
            "guide": describe.guide(table),
        },
    )


def _check_spec(key: dg.AssetKey, layer: Layer) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        layer.value,
        asset=key,
        description=" ".join(
            [
                layer.description,
                *([] if layer in BLOCKING else [LOADING_AGAIN]),
                f"More in {DOCUMENTATION[layer]}.",
            ]
        ),
        blocking=layer in BLOCKING,
        metadata=describe.looking_metadata(key.path[-1], layer),
    )
