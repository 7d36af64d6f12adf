"""From samples to readings: one function for each KPI, none of which reads a database.

A number that counts up is read between the last sample and this one.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migration_assets.monitoring import host
from migration_assets.monitoring.application import NOT_GIVEN, Probe
from migration_assets.monitoring.kpis import KpiReading
from migration_assets.monitoring.samples import Sample

HOUR = dt.timedelta(hours=1)
STABILITY = dt.timedelta(hours=48)
"""What the uptime is measured over (operations, section 2.6)."""

MISSING_STANDBY = dt.timedelta(hours=24)
"""How long a standby that is no longer there is missed."""

_NO_SPEED = "the host does not say how fast its interface is: give the value as a reading"
_SECOND = "a second sample is needed"
_RESET_TOGETHER = frozenset({"transactions", "deadlocks", "blocks_hit", "blocks_read"})


def _is_one_count(before: Sample, now: Sample) -> bool:
    """Returns whether the statistics of the database were not reset between two samples."""
    return before.numbers.get("counted_since") == now.numbers.get("counted_since")


@dataclass(frozen=True, slots=True)
class Samples:
    """This sample and those before it, the oldest first."""

    now: Sample
    history: Sequence[Sample]

    @property
    def before(self) -> Sample | None:
        """The last sample before this one."""
        return self.history[-1] if self.history else None

    def since(self, age: dt.timedelta) -> Iterator[Sample]:
        """Yields the samples of a span until now."""
        yield from (sample for sample in self.history if self.now.taken_at - sample.taken_at <= age)
        yield self.now

    def delta(self, name: str, before: Sample | None) -> float | None:
        """Returns by how much a number has grown, None where it was reset or not counted."""
        if before is None or name not in before.numbers or name not in self.now.numbers:
            return None
        if name in _RESET_TOGETHER and not _is_one_count(before, self.now):
            return None
        grown = self.now.numbers[name] - before.numbers[name]
        return grown if grown >= 0 else None

    def seconds(self, before: Sample) -> float:
        """Returns the seconds of the interval of a delta."""
        return (self.now.taken_at - before.taken_at).total_seconds()

    def span(self, before: Sample) -> str:
        """Returns in words the interval of a delta."""
        return f"over the last {duration(self.now.taken_at - before.taken_at)}"


def readings(now: Sample, history: Sequence[Sample]) -> dict[str, KpiReading]:
    """Returns the readings of all KPIs and rules, by name.

    Args:
        now: The latest sample.
        history: The samples before it, the oldest first.
    """
    samples = Samples(now, history)
    return {name: measure(samples) for name, measure in _MEASURES.items()}


def duration(span: dt.timedelta) -> str:
    """Returns a time in words, as in `5 min`."""
    seconds = span.total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _probes(samples: Samples, age: dt.timedelta) -> list[Probe] | None:
    if samples.now.probes is None:
        return None
    return [probe for sample in samples.since(age) for probe in sample.probes or ()]


def _latency(quantile: float) -> Callable[[Samples], KpiReading]:
    def measure(samples: Samples) -> KpiReading:
        probes = _probes(samples, HOUR)
        if probes is None:
            return KpiReading(None, NOT_GIVEN)
        times = sorted(probe.milliseconds for probe in probes if probe.is_good)
        if not times:
            return KpiReading(None, "no request was answered")
        place = max(1, math.ceil(quantile * len(times)))
        return KpiReading(
            times[place - 1], f"{len(times)} requests of our own in the last hour", len(times)
        )

    return measure


def _error_rate(samples: Samples) -> KpiReading:
    probes = _probes(samples, HOUR)
    if probes is None:
        return KpiReading(None, NOT_GIVEN)
    failed = sum(not probe.is_good for probe in probes)
    origin = f"{failed} of {len(probes)} requests of our own in the last hour"
    return KpiReading(100 * failed / len(probes), origin, len(probes))


def _uptime(samples: Samples) -> KpiReading:
    probes = _probes(samples, STABILITY)
    if probes is None:
        return KpiReading(None, NOT_GIVEN)
    good = sum(probe.is_good for probe in probes)
    origin = f"{good} of {len(probes)} requests of our own in the last 48 h were answered"
    return KpiReading(100 * good / len(probes), origin, len(probes))


def _active_users(_: Samples) -> KpiReading:
    return KpiReading(
        None,
        "the database does not know who is active: give the change against a usual day as a reading",
    )


def _statements(samples: Samples) -> tuple[list[tuple[float, int]], str] | str:
    """Returns the mean and calls of each statement in the interval, or why there are none."""
    now, before = samples.now, samples.before
    if now.statements is None:
        return now.problems.get("sessions") or now.problems.get("slow_queries", _SECOND)
    if before is None or before.statements is None:
        return _SECOND
    statements: list[tuple[float, int]] = []
    for name, (calls, spent) in now.statements.items():
        earlier_calls, earlier_spent = before.statements.get(name, (0, 0.0))
        if calls < earlier_calls:  # the statistics of this statement were reset
            earlier_calls, earlier_spent = 0, 0.0
        if calls > earlier_calls:
            statements.append(
                ((spent - earlier_spent) / (calls - earlier_calls), calls - earlier_calls)
            )
    return statements, samples.span(before)


def _query_average(samples: Samples) -> KpiReading:
    measured = _statements(samples)
    if isinstance(measured, str):
        return KpiReading(None, measured)
    statements, span = measured
    calls = sum(count for _, count in statements)
    spent = sum(mean * count for mean, count in statements)
    return KpiReading(spent / calls if calls else None, f"{calls} calls {span}", calls)


def _query_p95(samples: Samples) -> KpiReading:
    measured = _statements(samples)
    if isinstance(measured, str):
        return KpiReading(None, measured)
    statements, span = measured
    calls = sum(count for _, count in statements)
    calls_so_far, value = 0, None
    for mean, count in sorted(statements):
        calls_so_far, value = calls_so_far + count, mean
        if calls_so_far >= 0.95 * calls:
            break
    return KpiReading(value, f"{calls} calls {span}, each taken at its statement's mean", calls)


def _connections(samples: Samples) -> KpiReading:
    count = samples.now.numbers.get("connections")
    return (
        _missing(samples, "health") if count is None else KpiReading(count, "of the whole server")
    )


def _pool_usage(samples: Samples) -> KpiReading:
    numbers = samples.now.numbers
    if not numbers.get("connection_limit"):
        return _missing(samples, "health")
    count, limit = numbers["connections"], numbers["connection_limit"]
    return KpiReading(100 * count / limit, f"{count:.0f} of {limit:.0f} for ordinary roles")


def _cache_hit(samples: Samples) -> KpiReading:
    if "blocks_hit" not in samples.now.numbers:
        return _missing(samples, "cache_hit_ratio")
    before = samples.before
    hit, read = samples.delta("blocks_hit", before), samples.delta("blocks_read", before)
    if before is None or hit is None or read is None:
        return KpiReading(None, _SECOND)
    blocks = hit + read
    origin = f"{blocks:,.0f} blocks of tables {samples.span(before)}"
    return KpiReading(100 * hit / blocks if blocks else None, origin, blocks)


def _deadlocks(samples: Samples) -> KpiReading:
    """Counts over an hour at least: one deadlock within five minutes is not twelve an hour."""
    same = [sample for sample in samples.history if _is_one_count(sample, samples.now)]
    old = [sample for sample in same if samples.now.taken_at - sample.taken_at >= HOUR]
    before = old[-1] if old else next(iter(same), None)
    count = samples.delta("deadlocks", before)
    if count is None or before is None:
        return KpiReading(None, _SECOND)
    hours = max(1.0, (samples.now.taken_at - before.taken_at) / HOUR)
    return KpiReading(count / hours, f"{count:.0f} {samples.span(before)}")


def _replication_lag(samples: Samples) -> KpiReading:
    if "replication" in samples.now.problems or "sessions" in samples.now.problems:
        return _missing(samples, "replication")
    lags = dict(samples.now.standbys)
    for sample in samples.history:
        age = samples.now.taken_at - sample.taken_at
        for name in sample.standbys:
            if name not in samples.now.standbys and age <= MISSING_STANDBY:
                lags[name] = age.total_seconds()  # later samples overwrite earlier ones
    if not lags:
        return KpiReading(0.0, "no standby: a single node")
    slowest = max(lags, key=lags.__getitem__)
    lost = "" if slowest in samples.now.standbys else ", which is gone"
    return KpiReading(lags[slowest], f"standby {slowest}{lost}, of {len(lags)}")


def _ticks(name: str, *, is_rest: bool) -> Callable[[Samples], KpiReading]:
    def measure(samples: Samples) -> KpiReading:
        if "cpu_total" not in samples.now.numbers:
            return KpiReading(None, host.ELSEWHERE)
        before = samples.before
        total, part = samples.delta("cpu_total", before), samples.delta(name, before)
        if before is None or not total or part is None:
            return KpiReading(None, _SECOND)
        share = 1 - part / total if is_rest else part / total
        return KpiReading(100 * share, samples.span(before), samples.seconds(before))

    return measure


def _memory(samples: Samples) -> KpiReading:
    total = samples.now.numbers.get("memory_total")
    if not total:
        return KpiReading(None, host.ELSEWHERE)
    available = samples.now.numbers["memory_available"]
    return KpiReading(100 * (1 - available / total), f"of {total / 1e9:.1f} GB")


def _disk(samples: Samples) -> KpiReading:
    numbers = samples.now.numbers
    if "disk_used" not in numbers:
        return KpiReading(None, host.ELSEWHERE)
    whole = numbers["disk_used"] + numbers["disk_free"]
    origin = f"volume of the data directory, {numbers['disk_free'] / 1e9:.1f} GB free"
    return KpiReading(100 * numbers["disk_used"] / whole, origin)


def _network(samples: Samples) -> KpiReading:
    limit = samples.now.numbers.get("network_limit")
    if not limit:
        is_here = "cpu_total" in samples.now.numbers
        return KpiReading(None, _NO_SPEED if is_here else host.ELSEWHERE)
    moved = samples.delta("network_bytes", samples.before)
    if moved is None or samples.before is None:
        return KpiReading(None, _SECOND)
    seconds = samples.seconds(samples.before)
    share = moved / max(seconds, 0.001) / limit
    return KpiReading(100 * share, samples.span(samples.before), seconds)


def _longest_query(samples: Samples) -> KpiReading:
    if "sessions" in samples.now.problems or "active_queries" in samples.now.problems:
        return _missing(samples, "active_queries")
    return KpiReading(samples.now.numbers["longest_seconds"], "running now")


def _dead_rows(samples: Samples) -> KpiReading:
    if "bloat" in samples.now.problems:
        return _missing(samples, "bloat")
    return KpiReading(
        samples.now.numbers["dead_percent"], "by PostgreSQL's estimate, over 1,000 dead rows"
    )


def _missing(samples: Samples, query: str) -> KpiReading:
    problems = samples.now.problems
    return KpiReading(None, problems.get("sessions") or problems.get(query) or "it was not counted")


_MEASURES: Mapping[str, Callable[[Samples], KpiReading]] = {
    "api_p50": _latency(0.50),
    "api_p95": _latency(0.95),
    "api_p99": _latency(0.99),
    "error_rate": _error_rate,
    "uptime": _uptime,
    "active_users": _active_users,
    "query_average": _query_average,
    "query_p95": _query_p95,
    "connections": _connections,
    "pool_usage": _pool_usage,
    "cache_hit": _cache_hit,
    "deadlocks": _deadlocks,
    "replication_lag": _replication_lag,
    "cpu": _ticks("cpu_idle", is_rest=True),
    "memory": _memory,
    "disk": _disk,
    "io_wait": _ticks("cpu_io_wait", is_rest=False),
    "network": _network,
    "longest_query": _longest_query,
    "dead_rows": _dead_rows,
}
