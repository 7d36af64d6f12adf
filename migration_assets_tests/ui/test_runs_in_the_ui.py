"""Runs in Dagster's storage: where the UI shows them, which wait, and no password."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from migration_assets.assets.after_failure import sign_off_job, verdict_sensor
from migration_assets.assets.keys import (
    CONSTRAINTS,
    MONITORING,
    POOL,
    PREFLIGHT,
    SIGN_OFF,
    UUID_MAP,
    table_key,
)
from migration_assets.assets.keys import TARGET_SCHEMA as SCHEMA
from migration_assets.assets.resources import HOLD_TAG, steps_left
from migration_assets.commands.jobs import LOCATION, place_runs
from migration_assets.commands.serving import make_pool_known
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.nextcrm import TABLES
from migration_assets_tests import ROOT

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
IN_THE_UI = {".dagster/repository": f"__repository__@{LOCATION}"}
"""What the UI looks for: on its timeline, and among the runs of a job."""


@pytest.fixture(scope="module")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an empty storage: to create its tables takes half a second."""
    directory = tmp_path_factory.mktemp("storage")
    with dg.DagsterInstance.local_temp(str(directory)) as dagster_instance:
        assert dagster_instance.get_runs() == []
    return directory


@pytest.fixture
def instance(empty_storage: Path, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A storage with the pools of our own `dagster.yaml`."""
    configured = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    pools = {"concurrency": configured["concurrency"]}
    shutil.copytree(empty_storage, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dagster.yaml").unlink(missing_ok=True)  # written anew, with the pools
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=pools) as dagster_instance:
        yield dagster_instance


@dg.asset
def _failing() -> None:
    raise ValueError


@dg.asset
def fine() -> None:
    """Does nothing."""


def executed(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """Runs a job as a command does."""
    job = dg.Definitions([fine], jobs=[dg.define_asset_job(MIGRATE)]).resolve_job_def(MIGRATE)
    run_id = job.execute_in_process(instance=instance, tags=tags, run_config=QUIET).run_id
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def test_a_run_of_a_command_is_found_under_its_job(instance: dg.DagsterInstance) -> None:
    tags = {HOLD_TAG: str(uuid.uuid4())}
    assert not place_runs(instance, tags)  # it is not there yet
    run = executed(instance, tags)
    mine = dg.RunsFilter(job_name=MIGRATE, tags=IN_THE_UI)
    assert instance.get_runs(mine) == []
    assert place_runs(instance, tags)
    (found_run,) = instance.get_runs(mine)
    assert (found_run.run_id, found_run.status) == (run.run_id, dg.DagsterRunStatus.SUCCESS)
    assert found_run.remote_job_origin is not None
    assert found_run.remote_job_origin.location_name == LOCATION
    assert found_run.tags.items() >= tags.items()


def test_the_workspace_names_the_same_code_location() -> None:
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    assert entry["python_module"]["location_name"] == LOCATION
    assert f'code_location_name = "{LOCATION}"' in (ROOT / "pyproject.toml").read_text()


def test_one_run_at_a_time_has_what_holds_the_target(instance: dg.DagsterInstance) -> None:
    pools = instance.get_concurrency_config().pool_config
    assert (pools.pool_granularity.value if pools.pool_granularity else "") == "run"
    assert pools.default_pool_limit == 1
    graph = build_defs().resolve_asset_graph()
    holding = {PREFLIGHT, SCHEMA, UUID_MAP, CONSTRAINTS, SIGN_OFF, *map(table_key, TABLES)}
    for key in graph.materializable_asset_keys:
        assert graph.get(key).pools == ({POOL} if key in holding else set()), key
    assert {graph.get(key).group_name for key in graph.materializable_asset_keys - holding} == {
        MONITORING
    }


def test_the_pool_is_known_before_the_first_run_is_queued(instance: dg.DagsterInstance) -> None:
    """Else the first two runs that are queued at once would both begin."""
    assert instance.event_log_storage.get_pool_limits() == []
    for _ in range(2):
        make_pool_known(instance)
        (pool,) = instance.event_log_storage.get_pool_limits()
        assert (pool.name, pool.limit) == (POOL, 1)


@pytest.mark.parametrize("resource", ["source", "target", "watched"])
def test_no_url_can_be_typed_in_where_a_run_is_started(
    instance: dg.DagsterInstance, resource: str
) -> None:
    typed = {"resources": {resource: {"config": {"url": "postgresql://me:hunter2@host/nextcrm"}}}}
    job = build_defs().resolve_job_def(VALIDATE if resource != "watched" else "monitor")
    with pytest.raises(dg.DagsterInvalidConfigError, match='unexpected config entry "url"'):
        job.execute_in_process(instance=instance, run_config=typed | QUIET)
    assert instance.get_runs() == []
    assert dg.validate_run_config(job, QUIET)


@dg.asset(deps=[_failing])
def after_failing() -> None:
    """Never starts."""


def test_no_step_is_left_once_all_have_ended_or_cannot_start(instance: dg.DagsterInstance) -> None:
    job = dg.Definitions([_failing, after_failing, fine]).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET)
    assert steps_left(instance, result.dagster_run) == set()
    some = job.execute_in_process(
        instance=instance,
        asset_selection=[fine.key],
        run_config=QUIET,
    )
    assert steps_left(instance, some.dagster_run) == set()
    other = instance.create_run_for_job(job)
    assert steps_left(instance, other) == {"_failing", "after_failing", "fine"}


def verdict_after(
    instance: dg.DagsterInstance, failed: str, tags: dict[str, str]
) -> dg.RunRequest | dg.SkipReason:
    """Returns the request or skip that follows a run with a failed step."""
    asset = dg.asset(name=failed)(_fails)
    migrate = dg.define_asset_job(MIGRATE)
    job = dg.Definitions([asset], jobs=[migrate]).resolve_job_def(MIGRATE)
    result = job.execute_in_process(
        instance=instance, tags=tags, raise_on_error=False, run_config=QUIET
    )
    sensor = verdict_sensor(migrate, sign_off_job())
    context = dg.build_run_status_sensor_context(
        sensor.name,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    ).for_run_failure()
    outcome = sensor(context)
    assert isinstance(outcome, dg.RunRequest | dg.SkipReason)
    return outcome


def _fails() -> None:
    raise ValueError


def test_a_run_that_a_check_has_stopped_gets_its_verdict(instance: dg.DagsterInstance) -> None:
    assert isinstance(verdict_after(instance, "failing", {}), dg.RunRequest)
    for failed in ("migration__preflight", "migration__target_schema", "migration__sign_off"):
        assert isinstance(verdict_after(instance, failed, {}), dg.SkipReason), failed
    outcome = verdict_after(instance, "failing", {HOLD_TAG: "of a command"})
    assert isinstance(outcome, dg.SkipReason)
    names = [sensor.name for sensor in build_defs().sensors or ()]
    assert "verdict_after_failure" in names
