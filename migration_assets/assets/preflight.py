"""The preflight: a page to look at before a run, and the head of the job that migrates: an error stops it."""

from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg

from migration_assets.assets import describe
from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import OWNERS, POOL, PREFLIGHT, PREFLIGHT_JOB
from migration_assets.assets.resources import RemediationFile, SourceMongo, TargetPostgres
from migration_assets.model import Model
from migration_assets.preflight.findings import Area, Level, Page, PreflightFinding
from migration_assets.preflight.page import examine
from migration_assets.target.url import notes_on


def preflight_asset(model: Model) -> dg.AssetsDefinition:
    """Returns the asset of the preflight."""

    @dg.asset(
        key=PREFLIGHT,
        group_name="migration",
        kinds={"mongodb", "postgres"},
        owners=OWNERS,
        pool=POOL,
        check_specs=[
            dg.AssetCheckSpec(
                check_name(area),
                asset=PREFLIGHT,
                description=f"What there is to know of: {area}. Red: the migration would fail. Yellow: "
                "it can start, and somebody should know.",
            )
            for area in Area
        ],
        description="What to know before a migration starts: versions, privileges, encoding, time zone, "
        "space, unknown collections and fields, duration, writes. It reads, and changes nothing. "
        "Materialized alone, it looks at every document and tells what would be lost and why; before a run "
        "counts and samples are enough, since the loads tell.",
    )
    @guarded
    def preflight(
        context: dg.AssetExecutionContext,
        source: SourceMongo,
        target: TargetPostgres,
        remediations: RemediationFile,
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        """Makes the page; fails where the migration would."""
        rules = remediations.load(model)
        page = examine(
            model,
            partial(source.open, rules),
            target.open,
            at_one_moment=source.reads_snapshot,
            notes=notes_on(target.url),
            rehearsed_with=rules if is_alone(context.run) else None,
        )
        metadata = page_metadata(page)
        if not page.errors:  # before its checks, which would else stand beside the page before
            yield dg.MaterializeResult(asset_key=PREFLIGHT, metadata=metadata)
        for area in Area:
            yield check_result(area, [finding for finding in page.findings if finding.area is area])
        if page.errors:
            context.log_event(dg.AssetObservation(PREFLIGHT, metadata=metadata))
            raise dg.Failure(page.summary(), metadata=metadata, allow_retries=False)

    return preflight


def is_alone(run: dg.DagsterRun) -> bool:
    """Tells whether a run does nothing but look; else its loads read every document themselves."""
    if run.asset_selection is None:
        return run.job_name == PREFLIGHT_JOB
    return run.asset_selection == {PREFLIGHT}


def check_name(area: Area) -> str:
    """Returns the name of the check of an area."""
    return area.replace(" ", "_")


def check_result(area: Area, findings: Sequence[PreflightFinding]) -> dg.AssetCheckResult:
    """Returns the findings of an area as the result of its check."""
    levels = {finding.level for finding in findings}
    lines = [
        f"{finding.what}. {finding.next_step}" if finding.next_step else finding.what
        for finding in findings
    ]
    return dg.AssetCheckResult(
        asset_key=PREFLIGHT,
        check_name=check_name(area),
        passed=levels <= {Level.OK},
        severity=dg.AssetCheckSeverity.ERROR
        if Level.ERROR in levels
        else dg.AssetCheckSeverity.WARN,
        description="\n".join(lines) or "nothing to say",
    )


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
                        "level": str(finding.level),
                        "area": str(finding.area),
                        "what": finding.what,
                        "what to do": finding.next_step,
                    }
                )
                for finding in page.findings
            ],
            schema=dg.TableSchema(
                [dg.TableColumn(name) for name in ("level", "area", "what", "what to do")]
            ),
        ),
    }
