"""The preflight as an asset of its own, upstream of nothing: a page to look at before a run."""

from functools import partial

import dagster as dg

from migration_assets.assets import describe
from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import OWNERS, PREFLIGHT
from migration_assets.assets.resources import RemediationFile, SourceMongo, TargetPostgres
from migration_assets.model import Model
from migration_assets.preflight.findings import Page
from migration_assets.preflight.page import examine
from migration_assets.target.url import notes_on


def preflight_asset(model: Model) -> dg.AssetsDefinition:
    """Returns the asset of the preflight."""

    @dg.asset(
        key=PREFLIGHT,
        group_name="migration",
        kinds={"mongodb", "postgres"},
        owners=OWNERS,
        description="What to know before a migration starts: versions, privileges, encoding, time zone, "
        "space, unknown collections and fields, what would be lost and why, duration, writes. It "
        "reads, and changes nothing.",
    )
    @guarded
    def preflight(
        context: dg.AssetExecutionContext,
        source: SourceMongo,
        target: TargetPostgres,
        remediations: RemediationFile,
    ) -> dg.MaterializeResult[None]:
        """Makes the page; fails where the migration would."""
        rules = remediations.load(model)
        page = examine(
            model,
            partial(source.open, rules),
            target.open,
            at_one_moment=source.reads_snapshot,
            notes=notes_on(target.url),
            rehearsed_with=rules,
        )
        metadata = page_metadata(page)
        if page.errors:
            context.log_event(dg.AssetObservation(PREFLIGHT, metadata=metadata))
            raise dg.Failure(page.summary(), metadata=metadata, allow_retries=False)
        return dg.MaterializeResult(metadata=metadata)

    return preflight


def page_metadata(page: Page) -> describe.Metadata:
    """Returns the page as metadata: counts and a table."""
    return {
        "summary": page.summary(),
        "errors": len(page.errors),
        "warnings": len(page.warnings),
        "findings": dg.MetadataValue.table(
            [
                # Dagster takes strings, but no enums that are strings.
                dg.TableRecord(
                    {
                        "level": str(each.level),
                        "area": str(each.area),
                        "what": each.what,
                        "what to do": each.next_step,
                    }
                )
                for each in page.findings
            ],
            schema=dg.TableSchema(
                [dg.TableColumn(name) for name in ("level", "area", "what", "what to do")]
            ),
        ),
    }
