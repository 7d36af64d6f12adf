"""What there is once for the whole target: its schema, the UUID map, constraints and the sign-off."""

import dagster as dg

from migration_assets.assets import describe
from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import (
    CONSTRAINTS,
    OWNERS,
    POOL,
    PREFLIGHT,
    TARGET_SCHEMA,
    UUID_MAP,
    source_key,
    table_key,
)
from migration_assets.assets.resources import RemediationFile, SourceMongo, TargetPostgres
from migration_assets.assets.retries import retried
from migration_assets.assets.sign_off import sign_off_asset
from migration_assets.assets.workers import WorkersResource
from migration_assets.loading.identities import load_identities
from migration_assets.loading.merging import delete_pending
from migration_assets.loading.records import LoadResult
from migration_assets.model import Model
from migration_assets.target.connection import at_one_moment
from migration_assets.target.schema import Built, build_constraints, create_schema

GROUP = "migration"
POSTGRES = {"postgres"}


def schema_asset(model: Model) -> dg.AssetsDefinition:
    """Returns the asset of the schema."""

    @dg.asset(
        key=TARGET_SCHEMA,
        deps=[PREFLIGHT],
        group_name=GROUP,
        kinds=POSTGRES,
        owners=OWNERS,
        pool=POOL,
        description="Enums, tables with primary keys, and the bookkeeping, in a target that is empty or "
        "ours.",
    )
    @guarded
    def target_schema(
        context: dg.AssetExecutionContext, target: TargetPostgres
    ) -> dg.MaterializeResult[None]:
        """Creates what is missing of the schema."""

        def created() -> tuple[str, ...]:
            with target.open() as connection:
                return create_schema(model, connection)

        missing = retried(context, created)
        return dg.MaterializeResult(
            metadata={
                "tables": len(model.tables),
                "extensions that could not be created, for the application's later use": ", ".join(
                    missing
                )
                or "none",
            }
        )

    return target_schema


def uuid_map_asset(model: Model) -> dg.AssetsDefinition:
    """Returns the asset of the UUID map."""

    @dg.asset(
        key=UUID_MAP,
        deps=[TARGET_SCHEMA, *[source_key(collection) for collection in model.entities]],
        group_name=GROUP,
        kinds=POSTGRES,
        owners=OWNERS,
        pool=POOL,
        description="The UUID of every document of the source, one-to-one.",
    )
    @guarded
    def uuid_map(
        context: dg.AssetExecutionContext,
        source: SourceMongo,
        target: TargetPostgres,
        remediations: RemediationFile,
        workers: WorkersResource,
    ) -> dg.MaterializeResult[None]:
        """Brings the map to the state of the source."""
        rules = remediations.load(model)

        def loaded() -> LoadResult:
            with source.open_for_run(rules, target) as database, target.open() as connection:
                return load_identities(
                    model, database, connection, say=context.log.info, workers=workers.pool
                )

        result = retried(context, loaded)
        return dg.MaterializeResult(
            metadata=describe.load_metadata(result), data_version=dg.DataVersion(result.version)
        )

    return uuid_map


def constraints_asset(model: Model) -> dg.AssetsDefinition:
    """Returns the asset of indexes and foreign keys."""

    @dg.asset(
        key=CONSTRAINTS,
        deps=[table_key(name) for name in model.tables],
        group_name=GROUP,
        kinds=POSTGRES,
        owners=OWNERS,
        pool=POOL,
        description="Foreign keys, secondary indexes, full-text and partial indexes, and statistics.",
    )
    @guarded
    def constraints(
        context: dg.AssetExecutionContext, target: TargetPostgres, workers: WorkersResource
    ) -> dg.MaterializeResult[None]:
        """Removes what waited for its last reference, and builds what is missing of the constraints."""

        def built_anew() -> tuple[int, Built]:
            with target.open() as connection:
                with at_one_moment(connection):
                    deleted = delete_pending(model, connection)
                return deleted, build_constraints(model, connection, workers.pool.processes)

        deleted, built = retried(context, built_anew)
        return dg.MaterializeResult(
            metadata={
                "indexes built": len(built.indexes),
                "foreign keys built": len(built.foreign_keys),
                "tables analyzed": len(built.analyzed),
                "indexes left out, a value is too long": ", ".join(built.left_out) or "none",
                "rows deleted": deleted,
            }
        )

    return constraints


def whole_assets(model: Model) -> list[dg.AssetsDefinition]:
    """Returns the assets that there are once."""
    makers = (schema_asset, uuid_map_asset, constraints_asset, sign_off_asset)
    return [make(model) for make in makers]
