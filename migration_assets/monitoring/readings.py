"""Readings that other tools give: Prometheus, the web server's log, a cloud's console.

Either by hand, as `name=value`, or in a JSON file that ``MIGRATION_MONITOR_READINGS`` names:

    {"taken_at": "2025-11-10T08:05:00Z", "readings": {"api_p95": 130, "active_users": -12}}

Names and units are those of the KPIs. A file that was not written lately counts for nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from migration_assets.errors import MigrationError
from migration_assets.monitoring.kpis import BY_NAME, KpiReading
from migration_assets.settings import MONITOR_READINGS

FRESH = dt.timedelta(minutes=15)
"""Age until which a file counts."""


def given(pairs: Sequence[str]) -> dict[str, KpiReading]:
    """Returns readings that were given by hand, as `name=value`.

    Raises:
        MigrationError: A name is unknown, or a value is no number.
    """
    numbers = dict(_split(pair) for pair in pairs)
    return _readings(numbers, "given by hand", where="--reading")


def read(path: Path, now: dt.datetime) -> dict[str, KpiReading]:
    """Returns the readings of a file; those of a stale file have no value.

    Args:
        path: The file.
        now: The time with its zone.

    Raises:
        MigrationError: It is missing, or not as it should be.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        taken_at = dt.datetime.fromisoformat(content["taken_at"])
        numbers = dict(content["readings"])
        age = now - taken_at
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise MigrationError(
            f"the file of readings cannot be used ({type(error).__name__})",
            where=MONITOR_READINGS.name,
            next_step='Write {"taken_at": "<time with zone>", "readings": {"<kpi>": <number>}} to it',
        ) from None
    readings = _readings(numbers, f"given at {taken_at.isoformat()}", where=MONITOR_READINGS.name)
    if age <= FRESH:
        return readings
    stale = f"the file of readings was last written at {taken_at.isoformat()}: renew it"
    return {name: KpiReading(None, stale) for name in readings}


def _split(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return name.strip(), value


def _readings(numbers: Mapping[str, Any], origin: str, *, where: str) -> dict[str, KpiReading]:
    readings: dict[str, KpiReading] = {}
    for name, number in numbers.items():
        if name not in BY_NAME:
            raise MigrationError(
                f"there is no KPI {name!r}",
                where=where,
                next_step=f"Names are {', '.join(BY_NAME)}",
            )
        try:
            value = float(number)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise MigrationError(
                f"the reading of {name} is no number",
                where=where,
                next_step=f"Give it in {BY_NAME[name].unit or 'plain numbers'}",
            )
        readings[name] = KpiReading(value, origin)
    return readings
