"""The rounds of measuring: each kind of work once a round, in an order that turns from round to round.

Before each measurement the target is a new database (or the one that a rerun is to find), the server
has written its checkpoint, and the source was read once, in the same way for all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psycopg

from migration_assets.assets.executors import MULTIPROCESS
from migration_assets.embedded import EmbeddedServers, Urls, fresh_database
from migration_assets.nextcrm import ENTITIES, TABLES
from migration_assets.settings import EXECUTOR
from migration_assets.validation.evidence import Layer
from migration_assets_bench.figures import CHECKS, HARDER, IN_DAGSTER, LOADS, SIDE_BY_SIDE
from migration_assets_bench.peers import Peer, PeerEnvironment
from migration_assets_bench.process import ProcessFailedError, Usage, run_task
from migration_assets_bench.server_time import cpu_seconds
from migration_assets_bench.tasks import CHANGED, CLEAN, DIRTY, Done, Measurement, Task
from migration_assets_bench.verification import differing_tables, missing_approval

DAGSTER_CONFIGURATION = Path(__file__).parents[1] / "dagster.yaml"

OURS = ("floor", "load", "sources", "workers", "cycle", "dagster", "multiprocess")
"""What can be measured of us, in the order of the first round."""

_SIDE_BY_SIDE: Mapping[str, str] = {EXECUTOR.name: MULTIPROCESS}

Verify = Callable[[Done], str | None]
Tell = Callable[[Measurement], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """What all measurements of one size share.

    Attributes:
        scale: Size of the sample.
        seed: What it was made with.
        source: URL of the sample.
        changed: URL of the same sample with 1 % changed.
        changes: How many documents that is.
        documents: How many documents the sample has.
        expected: Rows that each table must have.
        rows: Where the rows of a migrated target are, as files.
    """

    scale: float
    seed: int
    source: str = field(repr=False)
    changed: str = field(repr=False)
    changes: int
    documents: int
    expected: Mapping[str, int]
    rows: Path


@dataclass(slots=True)
class Rounds:
    """Measures on running servers.

    Attributes:
        servers: The servers.
        directory: Where files go.
        ground: The size that is measured.
        only: What to measure: `floor`, `load` (with its reruns), `sources` (load and checks of a clean
            one, one without ObjectIds and a dirty one), `workers` (load and checks with one and with
            two), `cycle`, `dagster`, `multiprocess` (the same with Dagster's executor of that name).
        peers: Other tools, installed.
        environment: Where they are.
        tell: Is told each measurement.
        measurements: What was measured so far.
    """

    servers: EmbeddedServers
    directory: Path
    ground: Ground
    only: Collection[str]
    peers: tuple[Peer, ...]
    environment: PeerEnvironment
    tell: Tell
    measurements: list[Measurement] = field(default_factory=list)
    _variants: dict[str, str] = field(default_factory=dict, repr=False)

    def run(self, repeats: int) -> None:
        """Measures everything as many times."""
        ours: Mapping[str, Callable[[int], None]] = {
            "floor": self._floor,
            "load": self._loads,
            "sources": self._sources,
            "workers": self._workers,
            "cycle": self._cycle,
            "dagster": partial(self._dagster, IN_DAGSTER, {}),
            "multiprocess": partial(self._dagster, SIDE_BY_SIDE, _SIDE_BY_SIDE),
        }
        kinds = [work for name, work in ours.items() if name in self.only]
        kinds += [partial(self._peer, peer) for peer in self.peers]
        for number in range(1, repeats + 1):
            turn = (number - 1) % len(kinds)
            for kind in [*kinds[turn:], *kinds[:turn]]:
                kind(number)

    def _floor(self, number: int) -> None:
        with self._target() as target:
            run_task(Task("empty", self.ground.source, target))
            task = Task("floor", self.ground.source, target, directory=str(self.ground.rows))
            self._measure("floor", number, task, self._has_all_rows(target))

    def _loads(self, number: int) -> None:
        """The first load, a rerun without changes, and one after 1 % has changed, on one target."""
        first = len(self.measurements)
        with self._target() as target:
            has_all_rows = self._has_all_rows(target)
            again = Task("load", self.ground.source, target)
            changed = Task("load", self.ground.changed, target)
            self._measure("load", number, again, has_all_rows)
            self._measure("rerun", number, again, _both(_wrote(0), has_all_rows))
            wrote = _both(_wrote(self.ground.changes), has_all_rows)
            self._measure("rerun, 1 % changed", number, changed, wrote)
            if number == 1:
                problem = _done(replace(changed, work="checks")).problem
                if problem is not None:
                    self._doubt(first, problem)

    def _sources(self, number: int) -> None:
        """The load, and then the checks, of a clean source and of those that are harder to migrate."""
        for variant in (CLEAN, *HARDER):
            is_dirty = variant == DIRTY
            with self._target() as target:
                task = Task("load", self._source(variant), target, options={"is_dirty": is_dirty})
                verify = (lambda _: None) if is_dirty else self._has_all_rows(target)
                self._measure(f"load, {variant}", number, task, verify)
                checks = replace(task, work="checks")
                self._measure(f"checks, {variant}", number, checks, lambda _: None)

    def _source(self, variant: str) -> str:
        """Returns the URL of a source, which is made when it is first asked for."""
        if variant == CLEAN:
            return self.ground.source
        if variant not in self._variants:
            source = f"{self.ground.source}_{HARDER.index(variant)}"
            options = {"scale": self.ground.scale, "seed": self.ground.seed, "variant": variant}
            _done(Task("variant", source, options=options))
            self._variants[variant] = source
        return self._variants[variant]

    def _workers(self, number: int) -> None:
        """The load, and then the checks, with one worker and with two, each on a target of its own."""
        for count, (load, checks) in enumerate(zip(LOADS, CHECKS, strict=True), start=1):
            with self._target() as target:
                task = Task("load", self.ground.source, target, options={"workers": count})
                self._measure(load, number, task, self._has_all_rows(target))
                self._measure(checks, number, replace(task, work="checks"), lambda _: None)

    def _cycle(self, number: int) -> None:
        with self._target() as target:
            task = Task("cycle", self.ground.source, target)
            self._measure("full cycle without Dagster", number, task, self._is_valid(target))

    def _dagster(self, name: str, variables: Mapping[str, str], number: int) -> None:
        home = self.directory / "dagster"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        shutil.copy(DAGSTER_CONFIGURATION, home)
        with self._target() as target, self._storage() as storage:
            task = Task("dagster", self.ground.source, target, storage, str(home), variables)
            self._measure(name, number, task, self._is_valid(target))

    def _peer(self, peer: Peer, number: int) -> None:
        with self._target() as target:
            expected = {name: self.ground.expected[name] for name in ENTITIES}

            def work() -> tuple[Done, Usage]:
                usage = peer.run(self.environment, self.ground.source, target, list(ENTITIES))
                return Done(usage.seconds), usage

            def verify(_: Done) -> str | None:
                return differing_tables(target, expected, schema=peer.schema)

            self._add(peer.name, number, self.ground.source, work, verify)

    def _measure(self, name: str, number: int, task: Task, verify: Verify) -> None:
        self._add(name, number, task.source, lambda: run_task(task), verify)

    def _add(
        self,
        name: str,
        number: int,
        source: str,
        work: Callable[[], tuple[Done, Usage]],
        verify: Verify,
    ) -> None:
        run_task(Task("warm", source))
        with psycopg.connect(self.servers.urls.postgres_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")
        load_average = os.getloadavg()[0]
        before = cpu_seconds(self.servers)
        try:
            done, usage = work()
            server_seconds = cpu_seconds(self.servers) - before
            problem = done.problem or verify(done)
        except ProcessFailedError as error:
            done, usage, server_seconds = Done(0.0), Usage(0.0, 0.0, 0.0), 0.0
            problem = " ".join(str(error).split())
        measured = Measurement(
            name=name,
            scale=self.ground.scale,
            number=number,
            seconds=done.seconds,
            process_seconds=usage.seconds,
            cpu_seconds=usage.cpu_seconds,
            server_seconds=server_seconds,
            peak_megabytes=usage.peak_megabytes,
            load_average=load_average,
            stages=done.stages,
            counts=done.counts,
            problem=problem,
        )
        self.measurements.append(measured)
        self.tell(measured)

    def _doubt(self, first: int, problem: str) -> None:
        """Marks the latest measurements as not to be quoted."""
        for index in range(first, len(self.measurements)):
            self.measurements[index] = replace(self.measurements[index], problem=problem)
            self.tell(self.measurements[index])

    def _has_all_rows(self, target: str) -> Verify:
        return lambda _: differing_tables(target, self.ground.expected)

    def _is_valid(self, target: str) -> Verify:
        checks = len(TABLES) * len(Layer)
        return lambda _: (
            differing_tables(target, self.ground.expected) or missing_approval(target, checks)
        )

    @contextmanager
    def _target(self) -> Iterator[str]:
        with fresh_database(self.servers.urls, "bench") as fresh:
            yield fresh.postgres_url

    @contextmanager
    def _storage(self) -> Iterator[str]:
        """Lends a database for Dagster's own storage, its URL as SQLAlchemy takes it."""
        urls = self.servers.urls
        storage = replace(urls, postgres_url=urls.dagster_url)
        with fresh_database(storage, "bench_dagster") as fresh:
            yield fresh.postgres_url


def prepared(urls: Urls, directory: Path, *, scale: float, seed: int) -> Ground:
    """Makes the sample of a size, and what else the measurements of it need.

    Raises:
        ProcessFailedError: It cannot be made.
    """
    name = f"bench_{scale:g}".replace(".", "_")
    source = urls.mongodb_url.replace("/nextcrm", f"/{name}")
    changed = urls.mongodb_url.replace("/nextcrm", f"/{name}_changed")
    options = {"scale": scale, "seed": seed, "changed": changed}
    expected = dict(_done(Task("sample", source, options=options)).counts)
    changes = expected.pop(CHANGED)
    rows = directory / f"rows_{scale:g}"
    with fresh_database(urls, "bench") as fresh:
        _done(Task("rows", source, fresh.postgres_url, directory=str(rows)))
    return Ground(
        scale=scale,
        seed=seed,
        source=source,
        changed=changed,
        changes=changes,
        documents=sum(expected[name] for name in ENTITIES),
        expected=expected,
        rows=rows,
    )


def _done(task: Task) -> Done:
    return run_task(task)[0]


def _wrote(rows: int) -> Verify:
    def verify(done: Done) -> str | None:
        written = done.counts["written"]
        return None if written == rows else f"{written:,} rows were written, not {rows:,}"

    return verify


def _both(one: Verify, other: Verify) -> Verify:
    return lambda done: one(done) or other(done)
