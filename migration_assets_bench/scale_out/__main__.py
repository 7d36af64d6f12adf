"""Migrates a sample over two hosts, cuts one of them off in the middle, and asks for the verdict."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import dagster as dg
from pymongo import MongoClient

from migration_assets.embedded import EmbeddedServers, Urls
from migration_assets.nextcrm import TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.settings import DAGSTER_URL, SOURCE_URL, TARGET_URL
from migration_assets.validation.evidence import Layer
from migration_assets_bench.rounds import DAGSTER_CONFIGURATION
from migration_assets_bench.scale_out.broker import broker
from migration_assets_bench.scale_out.hosts import ADDRESS, HOME, Host, Network
from migration_assets_bench.verification import missing_approval

DEFINITIONS = "migration_assets_bench.scale_out.definitions"
JOB = "migrate"

_HERE = Path(__file__).parent
_PROGRAMS = Path(sys.executable).parent
_LOOK_SECONDS = 0.2


def main() -> int:
    """Runs the proof; returns 1 where the verdict is not GO."""
    parser = argparse.ArgumentParser(prog="migration_assets_bench.scale_out", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is about 27,000 documents")
    parser.add_argument("--work", type=Path, default=Path(".migration-assets/scale"))
    parser.add_argument(
        "--after", type=int, default=30, help="steps that have ended when a host is cut off"
    )
    arguments = parser.parse_args()
    work: Path = arguments.work.resolve()
    servers = EmbeddedServers(work / "servers", host=ADDRESS)
    servers.stop()  # of a run that was killed
    shutil.rmtree(work, ignore_errors=True)
    (work / "home").mkdir(parents=True)
    shutil.copy(DAGSTER_CONFIGURATION, work / "home")
    with closing(Network()) as network, servers as urls:
        with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
            generate(client.get_default_database(), scale=arguments.scale)
        with broker(work / "broker", ADDRESS) as broker_url:
            environment = _environment(urls, broker_url)
            hosts = [network.add("worker-1"), network.add("worker-2")]
            for host in hosts:
                _start_worker(host, environment, work / f"{host.name}.log")
            with mock.patch.dict(os.environ, environment, DAGSTER_HOME=str(work / "home")):
                problem = _migrate(hosts, arguments.after, work / "launch.log")
        problem = problem or missing_approval(urls.postgres_url, len(TABLES) * len(Layer))
    print(problem or "GO")
    return int(problem is not None)


def _environment(urls: Urls, broker_url: str) -> Mapping[str, str]:
    """Returns all that a host must know."""
    return {
        SOURCE_URL.name: urls.mongodb_url,
        TARGET_URL.name: urls.postgres_url,
        DAGSTER_URL.name: urls.dagster_url,
        "CELERY_BROKER_URL": broker_url,
    }


def _start_worker(host: Host, environment: Mapping[str, str], log: Path) -> None:
    command = [sys.executable, "-m", "celery", "-A", "dagster_celery.app", "worker"]
    command += ["--queues", "dagster", "--concurrency", "1", "-O", "fair", "--loglevel", "info"]
    environment = {
        **environment,
        "DAGSTER_HOME": HOME,
        "PYTHONPATH": os.pathsep.join([str(_HERE), str(_HERE.parents[1])]),
    }
    host.start(command, environment, [DAGSTER_CONFIGURATION], log)


def _migrate(hosts: list[Host], after: int, log: Path) -> str | None:
    """Runs the job, cuts the first host off while it is in a step; returns what went wrong."""
    command = [str(_PROGRAMS / "dagster"), "job", "execute", "-m", DEFINITIONS, "-j", JOB]
    started = time.perf_counter()
    with dg.DagsterInstance.get() as instance, log.open("wb") as output:
        with subprocess.Popen(  # noqa: S603 - Dagster's own
            command, stdout=output, stderr=subprocess.STDOUT
        ) as launched:
            lost = None
            while launched.poll() is None:
                time.sleep(_LOOK_SECONDS)
                for run in instance.get_runs() if lost is None else ():
                    lost = _cut(instance, run.run_id, hosts[0], after)
        (run,) = instance.get_runs()
        takers = _takers(instance, run.run_id)
        seconds = time.perf_counter() - started
        print(
            f"{run.status.value} after {seconds:.0f} s; steps by host: {dict(Counter(takers.values()))}"
        )
        if lost is None:
            return "no host was cut off: it was in no step, or the run was over before"
        print(f"step {lost} of {hosts[0].name} was done again by {takers[lost]}")
        return None if run.is_success else f"the run ended as {run.status.value}: see {log}"


def _cut(instance: dg.DagsterInstance, run_id: str, host: Host, after: int) -> str | None:
    """Cuts a host off once so many steps have ended and it is in one; returns the step."""
    steps = instance.get_run_step_stats(run_id)
    if sum(step.end_time is not None for step in steps) < after:
        return None
    takers = _takers(instance, run_id)
    for step in steps:
        if step.end_time is None and step.start_time and takers.get(step.step_key) == host.name:
            host.cut()
            print(f"cut {host.name} off in step {step.step_key}, after {after} others", flush=True)
            return step.step_key
    return None


def _takers(instance: dg.DagsterInstance, run_id: str) -> dict[str, str]:
    """Returns for each step the host that took it last."""
    engine = dg.DagsterEventType.ENGINE_EVENT
    events = [
        record.event_log_entry.get_dagster_event()
        for record in instance.get_records_for_run(run_id, of_type=engine).records
    ]
    return {
        event.step_key or "": str(worker.value).partition("@")[2]
        for event in events
        if (worker := event.engine_event_data.metadata.get("Celery worker")) is not None
    }


if __name__ == "__main__":
    sys.exit(main())
