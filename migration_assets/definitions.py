"""The definitions that Dagster loads: ``dagster-webserver -m migration_assets.definitions``."""

from __future__ import annotations

import warnings

import dagster as dg

from migration_assets.application import chosen_model
from migration_assets.assets import keys, monitoring
from migration_assets.assets.after_failure import sign_off_job, verdict_sensor
from migration_assets.assets.executors import chosen_executor
from migration_assets.assets.keys import PREFLIGHT, SIGN_OFF
from migration_assets.assets.preflight import preflight_asset
from migration_assets.assets.progress import Progress
from migration_assets.assets.resources import (
    RemediationFile,
    SourceMongo,
    TargetPostgres,
    WatchedPostgres,
)
from migration_assets.assets.sources import source_assets
from migration_assets.assets.tables import table_assets
from migration_assets.assets.whole import whole_assets
from migration_assets.assets.workers import WorkersResource
from migration_assets.model import Model
from migration_assets.workers import processes_wanted

MIGRATE = keys.MIGRATE
VALIDATE = "validate"
OBSERVE = "observe"
PREFLIGHT_JOB = keys.PREFLIGHT_JOB


def build_defs(
    *,
    model: Model | None = None,
    source: SourceMongo | None = None,
    target: TargetPostgres | None = None,
    remediations: RemediationFile | None = None,
    workers: WorkersResource | None = None,
    progress: Progress | None = None,
    executor: dg.ExecutorDefinition | None = None,
) -> dg.Definitions:
    """Returns fresh definitions.

    Args:
        model: The application that is migrated; the one that ``MIGRATION_MODEL`` names where None.
        source: The source database instead of the configured one, for tests.
        target: The target database instead of the configured one, for tests.
        remediations: The file of rules instead of the configured one, for tests.
        workers: How many processes share a table, for tests.
        progress: Who is told how a run goes on; nobody where None.
        executor: What distributes the steps; what ``MIGRATION_EXECUTOR`` names where None.

    Raises:
        MigrationError: A variable of the environment names no model, executor or number of workers.
    """
    model, executor = model or chosen_model(), executor or chosen_executor()
    # Where tables are side by side already, a step takes a second core only where that is asked for.
    processes = 0 if executor is dg.in_process_executor else processes_wanted(1)
    with warnings.catch_warnings():
        # Source assets in a job, and one step for all of them, are in beta; the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        migrate = dg.define_asset_job(
            MIGRATE,
            dg.AssetSelection.all() - monitoring.selection(),
            description="Everything: preflight, map, load, validate, constrain, sign off. Each load tells "
            "what it has read of its collection.",
        )
        sign_off = sign_off_job()
        return dg.Definitions(
            assets=dg.with_source_code_references(
                [
                    preflight_asset(model),
                    source_assets(model),
                    *whole_assets(model),
                    *table_assets(model),
                    monitoring.monitoring_assets(),
                ]
            ),
            jobs=[
                migrate,
                sign_off,
                dg.define_asset_job(
                    VALIDATE,
                    dg.AssetSelection.all_asset_checks()
                    - dg.AssetSelection.checks_for_assets(SIGN_OFF, PREFLIGHT)
                    - monitoring.selection(),
                    description="The four checks of every table, without loading.",
                ),
                dg.define_asset_job(
                    PREFLIGHT_JOB,
                    dg.AssetSelection.assets(PREFLIGHT),
                    description="One page of findings on both databases, before a run.",
                ),
                dg.define_asset_job(
                    OBSERVE,
                    dg.AssetSelection.groups("mongodb", include_sources=True),
                    description="The fingerprints of the collections, to see whether they were written to.",
                ),
                dg.define_asset_job(
                    monitoring.MONITOR,
                    monitoring.selection(),
                    description="The target's KPIs now, the twelve queries and the forecast. It reads, "
                    "and keeps a sample in migration.monitoring_samples.",
                ),
            ],
            schedules=[monitoring.monitoring_schedule()],
            sensors=[monitoring.monitoring_sensor(), verdict_sensor(migrate, sign_off)],
            resources={
                "source": source or SourceMongo(),
                "target": target or TargetPostgres(),
                "remediations": remediations or RemediationFile(),
                "watched": WatchedPostgres(url=target.url) if target else WatchedPostgres(),
                "workers": workers or WorkersResource(processes=processes),
                "progress": progress or Progress(),
            },
            executor=executor,
        )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: made when it asks, since who imports this module may build another."""
    return build_defs()


def migrate_job() -> dg.JobDefinition:
    """Returns the job that migrates, for processes that find it by this function."""
    return build_defs().resolve_job_def(MIGRATE)


def validate_job() -> dg.JobDefinition:
    """Returns the job that validates, for processes that find it by this function."""
    return build_defs().resolve_job_def(VALIDATE)
