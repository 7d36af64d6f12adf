"""The verdict on a run that has failed: where a check has stopped it, the sign-off still says NO-GO, and why.

Dagster skips what comes after a step that fails, so the sign-off follows in a run of its own.
"""

from typing import Any

import dagster as dg

from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import PREFLIGHT, SIGN_OFF, TARGET_SCHEMA
from migration_assets.assets.resources import HOLD_TAG

SIGN_OFF_JOB = "sign_off"

_BEFORE = {PREFLIGHT.to_python_identifier(), TARGET_SCHEMA.to_python_identifier()}
"""The steps whose failure leaves nothing to judge."""


def sign_off_job() -> Any:  # Dagster's class of it is not public
    """Returns the job that takes the verdict anew, and does nothing else."""
    return dg.define_asset_job(
        SIGN_OFF_JOB,
        dg.AssetSelection.assets(SIGN_OFF),
        description="The verdict, taken anew: GO, or NO-GO with all findings. Nothing is loaded or checked.",
    )


def verdict_sensor(migrate: Any, sign_off: Any) -> dg.SensorDefinition:
    """Returns the sensor that has the sign-off follow where a run of the job has failed before it.

    Args:
        migrate: The job that is watched.
        sign_off: The job that is started then.
    """

    @dg.run_failure_sensor(
        name="verdict_after_failure",
        description="Where a check has stopped a run before its sign-off, takes the verdict: NO-GO, and why.",
        monitored_jobs=[migrate],
        request_job=sign_off,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=5,
    )
    @guarded
    def verdict_after_failure(
        context: dg.RunFailureSensorContext,
    ) -> dg.RunRequest | dg.SkipReason:
        run = context.dagster_run
        if HOLD_TAG in run.tags:
            return dg.SkipReason("the command that has started the run says its verdict")
        failed = {event.step_key for event in context.get_step_failure_events()}
        if not failed or failed & _BEFORE:
            return dg.SkipReason("nothing was loaded that could be judged")
        if SIGN_OFF.to_python_identifier() in failed:
            return dg.SkipReason("the verdict was given")
        return dg.RunRequest(run_key=run.run_id)

    return verdict_after_failure
