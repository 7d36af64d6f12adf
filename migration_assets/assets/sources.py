"""The 29 collections as observable source assets; their data version is a fingerprint of the content."""

from collections.abc import Iterator

import dagster as dg

from migration_assets.assets.keys import OWNERS, source_key
from migration_assets.assets.resources import SourceMongo
from migration_assets.model import ENTITIES
from migration_assets.source.fingerprints import fingerprint


def source_assets() -> dg.AssetsDefinition:
    """Returns the source assets: one step observes any of them."""

    @dg.multi_observable_source_asset(  # type: ignore[untyped-decorator]
        name="mongodb",
        specs=[_spec(collection) for collection in ENTITIES],
        can_subset=True,
    )
    def observe(context: dg.AssetExecutionContext, source: SourceMongo) -> Iterator[object]:
        with source.open_for_run() as database:
            for collection in ENTITIES:
                key = source_key(collection)
                if key not in context.selected_asset_keys:
                    continue
                found = fingerprint(database, collection)
                yield dg.ObserveResult(
                    asset_key=key,
                    data_version=dg.DataVersion(found.hexdigest()),
                    metadata={"documents": found.documents, "megabytes": found.size / 1e6},
                )

    made: dg.AssetsDefinition = observe
    return made


def _spec(collection: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        source_key(collection),
        description=f"The collection `{collection}` of the application. It is only ever read.",
        group_name="mongodb",
        kinds={"mongodb"},
        owners=OWNERS,
    )
