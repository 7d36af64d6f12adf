"""The 39 tables: one asset each, with its four checks, from one factory.

Loading and checking are one subsettable step, so that each check can be run alone and a table that is
not sound is built again when the run is re-executed from the failure.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import sqlalchemy as sa

from migration_assets.assets import describe
from migration_assets.assets.keys import OWNERS, TARGET_SCHEMA, UUID_MAP, source_key, table_key
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.loading.tables import load_table
from migration_assets.model import TABLES, group_of, junction_of, referenced_tables
from migration_assets.model.versions import model_version
from migration_assets.validation.checks import DESCRIPTIONS, run_check
from migration_assets.validation.evidence import Layer


def table_assets() -> list[dg.AssetsDefinition]:
    """Returns the assets of all tables, each after those that it refers to."""
    return [table_asset(table) for table in TABLES.values()]


def table_asset(table: sa.Table) -> dg.AssetsDefinition:
    """Returns the asset of a table with its four checks."""
    key = table_key(table.name)

    @dg.multi_asset(
        name=f"postgres__{table.name}",
        specs=[_spec(table)],
        check_specs=[_check_spec(key, layer) for layer in Layer],
        can_subset=True,
    )
    def build(
        context: dg.AssetExecutionContext, source: SourceMongo, target: TargetPostgres
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        is_loading = key in context.selected_asset_keys
        wanted = {check.name for check in context.selected_asset_check_keys}
        unsound = []
        with source.open() as database, target.open() as connection:
            if is_loading:
                result = load_table(database, connection, table)
                yield dg.MaterializeResult(
                    asset_key=key,
                    metadata=describe.load_metadata(result),
                    data_version=dg.DataVersion(result.version),
                )
            for layer in Layer:
                if layer in wanted:
                    evidence = run_check(database, connection, table, layer)
                    yield describe.check_result(evidence, key)
                    unsound += [] if evidence.is_sound else [evidence.summary]
        if is_loading and unsound:
            raise dg.Failure(
                f"{table.name} is not sound: {'; '.join(unsound)}", allow_retries=False
            )

    return build


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
            *[table_key(name) for name in referenced_tables(table)],
        ],
        description=describe.description(table),
        group_name=group_of(table),
        kinds={"postgres", "polars"},
        owners=OWNERS,
        code_version=model_version(table),
        metadata={
            "dagster/column_schema": describe.column_schema(table),
            "dagster/column_lineage": describe.column_lineage(table),
            "dagster/table_name": f"public.{table.name}",
        },
    )


def _check_spec(key: dg.AssetKey, layer: Layer) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(layer, asset=key, description=DESCRIPTIONS[layer])
