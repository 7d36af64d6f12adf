"""From measurements to figures: ratios within a round, medians over the rounds, targets."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import attrgetter

from migration_assets_bench.tasks import CLEAN, DIRTY, TEXT_IDS, Measurement

LOADS = ("load, 1 worker", "load, 2 workers")
CHECKS = ("checks, 1 worker", "checks, 2 workers")
HARDER = (TEXT_IDS, DIRTY)
"""The sources that are harder to migrate than the clean one."""
IN_DAGSTER = "full cycle in Dagster"
SIDE_BY_SIDE = "full cycle in Dagster, multiprocess"
_CYCLE = "full cycle without Dagster"

NAMES = (
    "floor",
    "load",
    "rerun",
    "rerun, 1 % changed",
    *(f"{work}, {source}" for source in (CLEAN, *HARDER) for work in ("load", "checks")),
    *LOADS,
    *CHECKS,
    _CYCLE,
    IN_DAGSTER,
    SIDE_BY_SIDE,
    "dlt",
    "Sling",
)
"""What is measured, in the order in which it is shown."""

_LOAD_STAGES = ("schema", "identities", "tables", "constraints")
_CHECK = "check "
_WITHIN = "within: "

Round = Mapping[str, Measurement]
"""The measurements of one round, by name; those that may not be quoted are not among them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some values, and how far they go."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """One ratio, or difference, at one size.

    Attributes:
        name: What is compared.
        scale: The size.
        spread: Of the rounds; for a comparison of two sizes that of their medians.
        target: What is wanted, in words.
        is_met: Whether the median does it.
        unit: `x` for a ratio, `s` for a difference.
    """

    name: str
    scale: float
    spread: Spread
    target: str
    is_met: bool
    unit: str = "x"


@dataclass(frozen=True, slots=True)
class Taken:
    """What one kind of work took.

    Attributes:
        seconds: Of the work, without start and imports.
        process_seconds: From the start of the process to its end.
        cpu_seconds: User and system time of the process.
        server_seconds: User and system time of both servers meanwhile.
        documents_per_second: By the seconds of the process.
        peak_megabytes: Resident memory.
        stages: Median seconds by stage.
    """

    seconds: Spread
    process_seconds: Spread
    cpu_seconds: Spread
    server_seconds: Spread
    documents_per_second: Spread
    peak_megabytes: Spread
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One kind of work at one size.

    Attributes:
        name: What was measured.
        scale: The size.
        taken: What it took, None where that may not be quoted.
        problem: Why not; None where the rows were verified.
    """

    name: str
    scale: float
    taken: Taken | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a ratio is made from a round, and what is wanted of it."""

    name: str
    names: tuple[str, ...]
    value: Callable[[Round], float]
    limit: float
    at_least: bool = False
    unit: str = "x"

    @property
    def target(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g} {self.unit}"

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def validated_seconds(cycle: Measurement) -> float:
    """Returns the seconds of the load and of the checks within a full cycle."""
    return sum(
        spent
        for stage, spent in cycle.stages.items()
        if stage in _LOAD_STAGES or stage.startswith(_CHECK)
    )


def _processor_seconds(measured: Measurement) -> float:
    """Returns the processor time of a measurement, that of both servers among it."""
    return measured.cpu_seconds + measured.server_seconds


def _rules_of_workers(what: str, names: tuple[str, str], faster: float) -> tuple[_Rule, ...]:
    """Returns what is wanted of two workers, compared with one."""
    one, two = names
    return (
        _Rule(
            f"{what}, 1 worker ÷ 2 workers",
            names,
            lambda done: done[one].seconds / done[two].seconds,
            faster,
            at_least=True,
        ),
        _Rule(
            f"processor seconds of the {what}, 2 workers ÷ 1 worker",
            names,
            lambda done: _processor_seconds(done[two]) / _processor_seconds(done[one]),
            1.1,
        ),
        _Rule(
            f"memory of the {what} for each worker, 2 workers ÷ 1 worker",
            names,
            lambda done: done[two].peak_megabytes / 2 / done[one].peak_megabytes,
            1.1,
        ),
    )


def _rules_of_source(work: str, source: str) -> tuple[_Rule, ...]:
    """Returns what is wanted of a source that is harder to migrate, compared with the clean one."""
    harder, clean = names = f"{work}, {source}", f"{work}, {CLEAN}"
    return (
        _Rule(
            f"{harder} ÷ {CLEAN}",
            names,
            lambda done: done[harder].seconds / done[clean].seconds,
            2.0,
        ),
        _Rule(
            f"memory of the {harder} ÷ {CLEAN}",
            names,
            lambda done: done[harder].peak_megabytes / done[clean].peak_megabytes,
            1.1,
        ),
    )


_RULES = (
    _Rule(
        "load ÷ floor",
        ("load", "floor"),
        lambda done: done["load"].seconds / done["floor"].seconds,
        1.6,
    ),
    _Rule(
        "Sling ÷ load",
        ("Sling", "load"),
        lambda done: done["Sling"].process_seconds / done["load"].process_seconds,
        2.5,
        at_least=True,
    ),
    _Rule(
        "dlt ÷ load",
        ("dlt", "load"),
        lambda done: done["dlt"].process_seconds / done["load"].process_seconds,
        4.0,
        at_least=True,
    ),
    _Rule(
        "load with all validation ÷ load",
        (_CYCLE, "load"),
        lambda done: validated_seconds(done[_CYCLE]) / done["load"].seconds,
        1.75,
    ),
    _Rule(
        "rerun ÷ load",
        ("rerun", "load"),
        lambda done: done["rerun"].seconds / done["load"].seconds,
        0.25,
    ),
    _Rule(
        "rerun, 1 % changed ÷ load",
        ("rerun, 1 % changed", "load"),
        lambda done: done["rerun, 1 % changed"].seconds / done["load"].seconds,
        0.45,
    ),
    _Rule(
        "Dagster's share of a full cycle",
        (IN_DAGSTER, _CYCLE),
        lambda done: done[IN_DAGSTER].process_seconds - done[_CYCLE].process_seconds,
        7.0,
        unit="s",
    ),
    _Rule(
        "full cycle in Dagster ÷ load",
        (IN_DAGSTER, "load"),
        lambda done: done[IN_DAGSTER].process_seconds / done["load"].process_seconds,
        2.3,
    ),
    *chain.from_iterable(
        _rules_of_source(work, source) for work in ("load", "checks") for source in HARDER
    ),
    *_rules_of_workers("load", LOADS, 1.6),
    *_rules_of_workers("checks", CHECKS, 1.8),
    _Rule(
        "full cycle in Dagster, multiprocess ÷ in process",
        (SIDE_BY_SIDE, IN_DAGSTER),
        lambda done: done[SIDE_BY_SIDE].process_seconds / done[IN_DAGSTER].process_seconds,
        1.0,
    ),
)

_RATE = _Rule("documents/s of the load ÷ those at", ("load",), lambda _: 0.0, 1.0, at_least=True)
_SECONDS: Callable[[Measurement], float] = attrgetter("seconds")
_PEAK: Callable[[Measurement], float] = attrgetter("peak_megabytes")
_MEMORY = _Rule("peak memory of the load ÷ that at", ("load",), lambda _: 0.0, 1.05)
_LARGE = 200_000
"""From so many documents on, rate and memory are not to depend on them; below, starting up is most of it."""


def spread(values: Iterable[float]) -> Spread:
    """Returns the median, lowest and highest of some values."""
    found = sorted(values)
    return Spread(statistics.median(found), found[0], found[-1])


def ratios(measurements: Sequence[Measurement], documents: Mapping[float, int]) -> list[Ratio]:
    """Returns the ratios of each size, then those between a large size and the next smaller one.

    Args:
        measurements: All of them.
        documents: How many documents each size has.
    """
    found = []
    for scale in documents:
        rounds = _rounds(measurements, scale)
        for rule in _RULES:
            values = [rule.value(done) for done in rounds if done.keys() >= set(rule.names)]
            if values:
                found.append(_ratio(rule, scale, spread(values), rule.name))
    for smaller, larger in pairwise(sorted(documents)):
        of_smaller, of_larger = (_loads(measurements, scale) for scale in (smaller, larger))
        if documents[smaller] < _LARGE or not (of_smaller and of_larger):
            continue
        seconds, peaks = (
            [statistics.median(map(value, loads)) for loads in (of_smaller, of_larger)]
            for value in (_SECONDS, _PEAK)
        )
        rate = (documents[larger] / seconds[1]) / (documents[smaller] / seconds[0])
        memory = peaks[1] / peaks[0]
        for rule, value in ((_RATE, rate), (_MEMORY, memory)):
            name = f"{rule.name} {documents[smaller]:,}"
            found.append(_ratio(rule, larger, Spread(value, value, value), name))
    return found


def figures(measurements: Sequence[Measurement], documents: Mapping[float, int]) -> list[Figure]:
    """Returns what each kind of work took at each size.

    A kind of work with a run that may not be quoted has a problem and no figures.
    """
    return [
        _figure([each for each in measurements if (each.name, each.scale) == (name, scale)], count)
        for scale, count in documents.items()
        for name in NAMES
        if any((each.name, each.scale) == (name, scale) for each in measurements)
    ]


def _figure(measured: Sequence[Measurement], documents: int) -> Figure:
    name, scale = measured[0].name, measured[0].scale
    problem = next((each.problem for each in measured if each.problem is not None), None)
    if problem is not None:
        return Figure(name, scale, None, problem)
    stages = dict.fromkeys(stage for each in measured for stage in each.stages)
    taken = Taken(
        seconds=spread(each.seconds for each in measured),
        process_seconds=spread(each.process_seconds for each in measured),
        cpu_seconds=spread(each.cpu_seconds for each in measured),
        server_seconds=spread(each.server_seconds for each in measured),
        documents_per_second=spread(documents / each.process_seconds for each in measured),
        peak_megabytes=spread(each.peak_megabytes for each in measured),
        stages={
            stage: statistics.median(each.stages.get(stage, 0.0) for each in measured)
            for stage in stages
        },
    )
    return Figure(name, scale, taken, None)


def _ratio(rule: _Rule, scale: float, found: Spread, name: str) -> Ratio:
    return Ratio(name, scale, found, rule.target, rule.is_met(found.median), rule.unit)


def _rounds(measurements: Sequence[Measurement], scale: float) -> list[Round]:
    """Returns the rounds of a size; a kind of work with one bad run is left out of all."""
    bad = {each.name for each in measurements if each.scale == scale and each.problem is not None}
    rounds: dict[int, dict[str, Measurement]] = {}
    for each in measurements:
        if each.scale == scale and each.name not in bad:
            rounds.setdefault(each.number, {})[each.name] = each
    return list(rounds.values())


def _loads(measurements: Sequence[Measurement], scale: float) -> list[Measurement]:
    return [done["load"] for done in _rounds(measurements, scale) if "load" in done]
