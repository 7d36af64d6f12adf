"""The 29 collections as observable source assets; their data version is a fingerprint of the content.

A load tells what it has read of its collection, so the job that migrates observes nothing besides; the step
here is for who wants to know whether somebody has written since.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import OWNERS, source_key
from migration_assets.assets.resources import RemediationFile, SourceMongo
from migration_assets.assets.retries import retried
from migration_assets.model import Model
from migration_assets.source.digests import ContentDigest, content


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

        for collection, digest in retried(context, observed).items():
            yield dg.ObserveResult(
                asset_key=source_key(collection),
                data_version=dg.DataVersion(digest.fingerprint(collection)),
                metadata=_metadata(digest.documents, digest.size),
            )

    asset: dg.AssetsDefinition = observe
    return asset


def observation(
    collection: str, fingerprint: str, documents: int, size: int
) -> dg.AssetObservation:
    """Returns what a load has read of a collection as an observation of it.

    Args:
        collection: The collection.
        fingerprint: Of its content, as hex digits.
        documents: How many it holds.
        size: Their size in bytes.
    """
    return dg.AssetObservation(
        source_key(collection),
        metadata=_metadata(documents, size),
        tags={_VERSION: fingerprint, f"{_VERSION}_is_user_provided": "true"},
    )


def input_versions(fingerprints: Mapping[str, str]) -> dict[str, str]:
    """Returns tags by which Dagster knows the versions of collections that an asset was made of.

    By itself it takes those that were observed before the step began.
    """
    return {
        f"{_INPUT_VERSION}/{source_key(collection).to_user_string()}": fingerprint
        for collection, fingerprint in fingerprints.items()
    }


_VERSION = "dagster/data_version"
_INPUT_VERSION = "dagster/input_data_version"


def _metadata(documents: int, size: int) -> dict[str, int | float]:
    return {"documents": documents, "megabytes": size / 1e6}


def _spec(collection: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        source_key(collection),
        description=f"The collection `{collection}` of the application. It is only ever read.",
        group_name="mongodb",
        kinds={"mongodb"},
        owners=OWNERS,
    )
