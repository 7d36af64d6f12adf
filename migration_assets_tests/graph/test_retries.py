"""Retries by Dagster: of a step after a transient error, and of a run whose process died."""

from collections.abc import Iterator

import dagster as dg
import pytest
import yaml
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.test_utils import create_run_for_test, instance_for_test

from migration_assets.assets import retries
from migration_assets.assets.retries import STEP_RETRIES, retried
from migration_assets.errors import TargetError
from migration_assets.settings import ATTEMPTS
from migration_assets_tests import ROOT

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance with the retries that our own `dagster.yaml` configures."""
    configured = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    with instance_for_test(
        overrides={"run_retries": configured["run_retries"]}
    ) as dagster_instance:
        yield dagster_instance


def executed(
    monkeypatch: pytest.MonkeyPatch, *, failures: int, is_transient: bool = True, attempts: int = 2
) -> tuple[dg.ExecuteInProcessResult, int]:
    """Runs a step that fails some times; returns the result and the number of attempts."""
    monkeypatch.setenv(ATTEMPTS.name, str(attempts))
    monkeypatch.setattr(retries, "STEP_WAIT", 0.01)
    tried = 0

    def work() -> None:
        nonlocal tried
        tried += 1
        if tried <= failures:
            raise TargetError("gone", where="here", next_step="Wait", is_transient=is_transient)

    @dg.asset
    def step(context: dg.AssetExecutionContext) -> None:
        retried(context, work)

    result = dg.materialize([step], raise_on_error=False, run_config=QUIET)
    return result, tried


def test_dagster_retries_a_step_that_goes_on_failing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, tried = executed(monkeypatch, failures=3)
    assert result.success
    assert tried == 4
    assert [event.step_key for event in result.all_events if event.is_step_up_for_retry] == ["step"]


def test_the_last_error_is_kept_where_it_is_permanent(monkeypatch: pytest.MonkeyPatch) -> None:
    result, tried = executed(monkeypatch, failures=100)
    assert not result.success
    assert tried == 2 * (1 + STEP_RETRIES)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    assert error is not None
    assert error.cause is not None
    assert error.cause.message.endswith("here: gone. Wait\n")


@pytest.mark.parametrize(("is_transient", "attempts"), [(False, 2), (True, 1)])
def test_a_permanent_error_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, *, is_transient: bool, attempts: int
) -> None:
    result, tried = executed(
        monkeypatch, failures=100, is_transient=is_transient, attempts=attempts
    )
    assert not result.success
    assert tried == 1
    assert not any(event.is_step_up_for_retry for event in result.all_events)


def test_a_run_whose_process_died_is_started_again_and_a_failed_one_is_not(
    instance: dg.DagsterInstance,
) -> None:
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    run = create_run_for_test(instance, job_name="migrate", status=dg.DagsterRunStatus.FAILURE)
    decided = {
        reason: auto_reexecution_should_retry_run(instance, run, reason)
        for reason in (RunFailureReason.UNEXPECTED_TERMINATION, RunFailureReason.STEP_FAILURE)
    }
    assert decided == {
        RunFailureReason.UNEXPECTED_TERMINATION: True,
        RunFailureReason.STEP_FAILURE: False,
    }
