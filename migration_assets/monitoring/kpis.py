"""The KPIs with their thresholds, as data (operations, section 4.2), and the two alert rules (4.6).

A value between target and warning passes, and is shown as missing its target. What cannot be
measured has a status of its own: it is never taken for good.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class KpiLayer(enum.StrEnum):
    """What a KPI is about."""

    APPLICATION = "application"
    DATABASE = "database"
    SYSTEM = "system"


class Status(enum.StrEnum):
    """What the thresholds say of a reading."""

    TOO_LITTLE = "too little"
    """Too little happened, or in too short a time, to say anything: nothing is wrong."""

    OK = "ok"
    UNKNOWN = "unknown"
    """It was not measured: nothing is known."""
    WARNING = "warning"
    CRITICAL = "critical"


SEVERITY: Mapping[Status, int] = {status: place for place, status in enumerate(Status)}
"""The order of the statuses, the worst last."""


@dataclass(frozen=True, slots=True)
class Kpi:
    """A number to watch, with its thresholds.

    Attributes:
        name: Name of its asset check.
        title: What it is called in tables.
        layer: What it is about.
        unit: Unit of the values and thresholds.
        target: Where it should be; None where there is no fixed one.
        warning: A value beyond it is a warning. Beyond means below where critical is the lower one.
        critical: A value beyond it is critical; None where it never is.
        minutes: How often it is to be measured in the first 48 hours.
        section: Where the thresholds come from.
        next_step: What to do when it is beyond a threshold.
        least: Events (calls, blocks, requests, seconds) below which a reading says nothing.
    """

    name: str
    title: str
    layer: KpiLayer
    unit: str
    target: float | None
    warning: float
    critical: float | None
    minutes: int
    section: str
    next_step: str
    least: int = 0

    @property
    def is_floor(self) -> bool:
        """Whether low values are the bad ones."""
        if self.critical is not None:
            return self.critical < self.warning
        return self.target is not None and self.target > self.warning

    def status(self, value: float) -> Status:
        """Returns what the thresholds say of a value; one that equals a threshold is not beyond it."""
        if self.critical is not None and self._is_beyond(value, self.critical):
            return Status.CRITICAL
        return Status.WARNING if self._is_beyond(value, self.warning) else Status.OK

    def meets_target(self, value: float) -> bool:
        """Returns whether a value is where it should be."""
        if self.target is None:
            return self.status(value) is Status.OK
        return not self._is_beyond(value, self.target)

    def thresholds(self) -> tuple[str, str, str]:
        """Returns target, warning and critical in words, as in `< 100 ms`, `> 200 ms`, `> 500 ms`."""
        bad, good = ("<", ">") if self.is_floor else (">", "<")
        target = "none fixed" if self.target is None else f"{good} {self.shown(self.target)}"
        if self.target == 0:
            target = self.shown(0)
        critical = "never" if self.critical is None else f"{bad} {self.shown(self.critical)}"
        return target, f"{bad} {self.shown(self.warning)}", critical

    def shown(self, value: float) -> str:
        """Returns a value with its unit."""
        digits = 0 if abs(value) >= 1000 else 2
        number = f"{value:,.{digits}f}"
        if digits:
            number = number.rstrip("0").rstrip(".")
        return f"{number} {self.unit}".rstrip()

    def _is_beyond(self, value: float, threshold: float) -> bool:
        return value < threshold if self.is_floor else value > threshold


_SLOW = "Find the statement with query 3, EXPLAIN (ANALYZE, BUFFERS) it, add an index or ANALYZE"
_HOST = "Look for what uses it (query 2, then the host's own tools), end it or enlarge the host"

KPIS: tuple[Kpi, ...] = (
    Kpi(
        "api_p50", "API p50", KpiLayer.APPLICATION, "ms", 100, 200, 500, 5, "4.2",
        "Compare with the queries' times: where those are good, look at the application", least=1,
    ),
    Kpi("api_p95", "API p95", KpiLayer.APPLICATION, "ms", 200, 500, 1000, 5, "4.2", _SLOW, least=1),
    Kpi("api_p99", "API p99", KpiLayer.APPLICATION, "ms", 500, 1000, 2000, 5, "4.2", _SLOW, least=1),
    Kpi(
        "error_rate", "API errors", KpiLayer.APPLICATION, "%", 0.1, 1, 5, 5, "4.2",
        "Read the application's log; over 5 % without a known cause is a reason to roll back", least=5,
    ),
    Kpi(
        "uptime", "API uptime", KpiLayer.APPLICATION, "%", 99.9, 99.9, 99, 5, "4.2",
        "P1: assess within 5 minutes, fix forward within 30 minutes, else roll back", least=10,
    ),
    Kpi(
        "active_users", "Active users, change", KpiLayer.APPLICATION, "%", None, -50, -80, 15, "4.2",
        "Try to log in, ask the support desk; over 50 % of users locked out is P1",
    ),
    Kpi(
        "query_average", "Query average", KpiLayer.DATABASE, "ms", 50, 100, 500, 5, "4.2", _SLOW,
        least=20,
    ),
    Kpi("query_p95", "Query p95", KpiLayer.DATABASE, "ms", 200, 500, 1000, 5, "4.2", _SLOW, least=20),
    Kpi(
        "connections", "Connections", KpiLayer.DATABASE, "", 50, 150, 180, 5, "4.2",
        "Find their application with query 9, end those idle for over 10 minutes, fix the leak; raising "
        "max_connections needs a restart",
    ),
    Kpi(
        "pool_usage", "Connections of the limit", KpiLayer.DATABASE, "%", 50, 80, 95, 5, "4.2",
        "As for the connections: end idle ones, lower the application's pool, then raise the limit",
    ),
    Kpi(
        "cache_hit", "Cache hit ratio", KpiLayer.DATABASE, "%", 99, 95, 90, 15, "4.2",
        "Look for sequential scans with query 4; then shared_buffers to 25 % of RAM (needs a restart)",
        least=1000,
    ),
    Kpi(
        "deadlocks", "Deadlocks", KpiLayer.DATABASE, "/h", 0, 1, 10, 15, "4.2",
        "The server's log names both statements: take the locks in one order in the application",
    ),
    Kpi(
        "replication_lag", "Replication lag", KpiLayer.DATABASE, "s", None, 5, 30, 5, "4.2",
        "Query 11: is the standby there, is its disk or network the limit, does a query hold it up",
    ),
    Kpi("cpu", "CPU", KpiLayer.SYSTEM, "%", 70, 80, 95, 5, "4.2", _HOST, least=30),
    Kpi("memory", "Memory", KpiLayer.SYSTEM, "%", 80, 90, 95, 5, "4.2", _HOST),
    Kpi(
        "disk", "Disk", KpiLayer.SYSTEM, "%", 70, 80, 90, 15, "4.2",
        "Free space (old logs, archives) or enlarge the volume; see the forecast of monitoring/capacity",
    ),
    Kpi("io_wait", "I/O wait", KpiLayer.SYSTEM, "%", 10, 30, 50, 5, "4.2", _HOST, least=30),
    Kpi("network", "Network", KpiLayer.SYSTEM, "%", 50, 80, 95, 5, "4.2", _HOST, least=30),
)  # fmt: skip
"""The 18 KPIs."""

RULES: tuple[Kpi, ...] = (
    Kpi(
        "longest_query", "Longest query", KpiLayer.DATABASE, "s", None, 5, None, 5, "4.6",
        "Query 2: who runs it; SELECT pg_cancel_backend(pid) where it must end",
    ),
    Kpi(
        "dead_rows", "Dead rows of a table", KpiLayer.DATABASE, "%", None, 20, None, 5, "4.6",
        "Query 8: VACUUM (ANALYZE) the table, and end transactions that are held open (query 9)",
    ),
)  # fmt: skip
"""What warns besides the KPIs, and is never critical."""

WATCHED: tuple[Kpi, ...] = (*KPIS, *RULES)
BY_NAME: Mapping[str, Kpi] = {kpi.name: kpi for kpi in WATCHED}


@dataclass(frozen=True, slots=True)
class KpiReading:
    """What was measured of a KPI.

    Attributes:
        value: The value, None where there is none.
        origin: Where it comes from, or why there is none and how to get one.
        events: How many calls, blocks, requests or seconds it rests on, None where that says nothing.
    """

    value: float | None
    origin: str
    events: float | None = None


@dataclass(frozen=True, slots=True)
class KpiResult:
    """A KPI, its reading, and what the thresholds say of it."""

    kpi: Kpi
    reading: KpiReading
    status: Status

    @property
    def shown(self) -> str:
        """The value with its unit, empty where there is none."""
        return "" if self.reading.value is None else self.kpi.shown(self.reading.value)

    @property
    def summary(self) -> str:
        """One line in words."""
        _, warning, critical = self.kpi.thresholds()
        if self.reading.value is None:
            return f"{self.kpi.title}: {self.status}, {self.reading.origin}"
        missed = "" if self.kpi.meets_target(self.reading.value) else ", target missed"
        assessment = {
            Status.CRITICAL: f"critical ({critical})",
            Status.WARNING: f"warning ({warning})",
            Status.OK: f"ok{missed}",
        }.get(self.status, self.status)
        return f"{self.kpi.title} {self.shown}: {assessment}; {self.reading.origin}"


def evaluate(kpi: Kpi, reading: KpiReading) -> KpiResult:
    """Returns what the thresholds of a KPI say of a reading."""
    if reading.events is not None and reading.events < kpi.least:
        return KpiResult(kpi, reading, Status.TOO_LITTLE)
    if reading.value is None:
        return KpiResult(kpi, reading, Status.UNKNOWN)
    return KpiResult(kpi, reading, kpi.status(reading.value))


def worst(results: Sequence[KpiResult]) -> Status:
    """Returns the worst status; what was not measured is only the worst where nothing else was."""
    measured = [result.status for result in results if result.status is not Status.UNKNOWN]
    return max(measured, key=SEVERITY.__getitem__, default=Status.UNKNOWN)
