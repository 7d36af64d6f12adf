"""Retries of a step: first within it, then by Dagster, which shows the step as up for retry.

What does not pass, such as a missing privilege or a full disk, is tried once and fails at once.
"""

from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from migration_assets.assets.boundary import alone
from migration_assets.errors import MigrationError
from migration_assets.retrying import Patience, with_retries

STEP_RETRIES = 2
"""How often Dagster starts a step again whose own attempts are used up."""
STEP_WAIT = 30.0
"""Seconds before each of them: what a server takes that restarts or fails over."""

Result = TypeVar("Result")


def retried(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, work: Callable[[], Result]
) -> Result:
    """Returns what some work of a step returns, in spite of what passes.

    With ``MIGRATION_ATTEMPTS=1`` nothing is tried again, neither here nor by Dagster.

    Args:
        context: The step.
        work: What is tried; it opens what it uses anew each time, and does nothing twice.

    Raises:
        RetryRequested: It failed for a reason that passes, as often as it is tried within a step.
        MigrationError: It failed for another reason.
    """
    patience = Patience.configured()
    try:
        return with_retries(work, say=context.log.info, patience=patience)
    except MigrationError as error:
        if error.is_transient and patience.attempts > 1:
            raise dg.RetryRequested(STEP_RETRIES, seconds_to_wait=STEP_WAIT) from alone(error)
        raise


def is_last_attempt(context: dg.AssetExecutionContext, error: Exception) -> bool:
    """Tells whether Dagster will not start a step again after an error of :func:`retried`."""
    return not isinstance(error, dg.RetryRequested) or context.retry_number >= error.max_retries
