"""The 29 collections as observable source assets; their data version is a fingerprint of the content."""

from collections.abc import Iterator

import dagster as dg

from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import OWNERS, source_key
from migration_assets.assets.resources import RemediationFile, SourceMongo
from migration_assets.assets.retries import retried
from migration_assets.model import Model
from migration_assets.source.digests import ContentDigest
from migration_assets.source.fingerprints import content


def source_assets(model: Model) -> dg.AssetsDefinition:
    """Returns the source assets: one step observes any of them."""

    @dg.multi_observable_source_asset(  # type: ignore[untyped-decorator]
        name="mongodb",
        specs=[_spec(collection) for collection in model.entities],
        can_subset=True,
    )
    @guarded
    def observe(
        context: dg.AssetExecutionContext, source: SourceMongo, remediations: RemediationFile
    ) -> Iterator[object]:
        rules = remediations.load(model)
        wanted = [
            name for name in model.entities if source_key(name) in context.selected_asset_keys
        ]

        def observed() -> dict[str, ContentDigest]:
            with source.open_for_run(rules) as database:
                return {name: content(database, name) for name in wanted}

        for collection, found in retried(context, observed).items():
            yield dg.ObserveResult(
                asset_key=source_key(collection),
                data_version=dg.DataVersion(found.fingerprint(collection)),
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
