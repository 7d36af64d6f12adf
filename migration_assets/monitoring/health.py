"""The health of the target at one moment: sample, readings and statuses, and recording them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration_assets.monitoring import history, readings
from migration_assets.monitoring.forecast import Forecast, forecast
from migration_assets.monitoring.kpis import (
    KPIS,
    RULES,
    WATCHED,
    KpiReading,
    KpiResult,
    Status,
    evaluate,
    worst,
)
from migration_assets.monitoring.measures import readings as measured
from migration_assets.monitoring.queries import Answer
from migration_assets.monitoring.samples import Sample, take_sample
from migration_assets.settings import APPLICATION_URL, MONITOR_READINGS
from migration_assets.target.connection import Connection

PAUSE = 1.0
"""Seconds between the first two samples where there is no history: a rate needs two."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the target is.

    Attributes:
        sample: What was counted.
        answers: The answers of the twelve queries.
        results: Each KPI and rule, in the order of their declaration.
        transactions: Transactions a second since the sample before; None where that is not known.
        is_recorded: It is part of the history.
    """

    sample: Sample
    answers: Sequence[Answer]
    results: Sequence[KpiResult]
    transactions: float | None = None
    is_recorded: bool = False

    @property
    def status(self) -> Status:
        """The worst status of all that was measured."""
        return worst(self.results)

    @property
    def critical(self) -> list[KpiResult]:
        """What is critical."""
        return [result for result in self.results if result.status is Status.CRITICAL]

    def summary(self) -> str:
        """Returns one line in words: how many KPIs have which status."""
        kpis = [result for result in self.results if result.kpi in KPIS]
        counts = {
            status: sum(result.status is status for result in kpis) for status in reversed(Status)
        }
        by_status = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        rules = [result for result in self.results if result.kpi in RULES]
        warned = [result.kpi.title for result in rules if result.status is Status.WARNING]
        return f"{len(kpis)} KPIs: {by_status}" + (f"; and {', '.join(warned)}" if warned else "")


def given_readings(pairs: Sequence[str] = ()) -> dict[str, KpiReading]:
    """Returns the readings of other tools: of the configured file, overridden by those given by hand.

    Raises:
        MigrationError: The file or one of the readings cannot be used.
    """
    path = MONITOR_READINGS.read()
    configured = {} if path is None else readings.read(Path(path), dt.datetime.now(tz=dt.UTC))
    return configured | readings.given(pairs)


def check_health(
    connection: Connection,
    *,
    before: Sequence[Sample] | None = None,
    other_readings: Mapping[str, KpiReading] | None = None,
    is_recorded: bool = True,
    pause: float = PAUSE,
) -> Health:
    """Takes a sample and says how the target is.

    Args:
        connection: A connection to the target.
        before: The samples before; those of the history where None.
        other_readings: Readings of other tools, which take precedence.
        is_recorded: Keep it, where the target keeps a history.
        pause: Seconds between the first two samples where there is none before.

    Raises:
        MigrationError: A URL that is configured is none.
    """
    url = APPLICATION_URL.read()
    is_kept = history.is_kept(connection)
    if before is None:
        before = history.recent(connection) if is_kept else []
    if not before:
        before = [take_sample(connection)[0]]
        time.sleep(pause)
    sample, answers = take_sample(connection, application_url=url)
    all_readings = {**measured(sample, before), **(other_readings or {})}
    results = [evaluate(kpi, all_readings[kpi.name]) for kpi in WATCHED]
    is_recorded = is_recorded and is_kept
    if is_recorded:
        history.record(connection, sample, results)
    return Health(sample, answers, results, _rate(before[-1], sample), is_recorded)


def capacity(connection: Connection, *, limit: int | None = None) -> Forecast:
    """Returns how the database grows, by the history.

    Args:
        connection: A connection to the target.
        limit: What there is room for in bytes; where None, the size and what the volume has free,
            where that was measured.
    """
    if not history.is_kept(connection):
        return forecast([], limit=limit)
    sizes = history.sizes(connection)
    if limit is None and sizes:
        latest = history.recent(connection, span=dt.timedelta(days=2))
        free = latest[-1].numbers.get("disk_free") if latest else None
        limit = None if free is None else latest[-1].database_bytes + int(free)
    return forecast(sizes, limit=limit)


def _rate(before: Sample, now: Sample) -> float | None:
    seconds = (now.taken_at - before.taken_at).total_seconds()
    transactions = now.numbers["transactions"] - before.numbers.get("transactions", 0)
    return transactions / seconds if seconds > 0 and transactions >= 0 else None
