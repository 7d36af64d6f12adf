"""When the disk will be full: a straight line through the recorded sizes (operations, section 4.8)."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_DAYS = 7
"""Days with a sample below which nothing is said: a week has a weekend."""

SPREAD = 2.6
"""Standard errors that the slope is given on both sides: about 95 % with seven points, more with more."""

MONTH = 365.25 / 12
"""Days in a month."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How the database grows.

    Attributes:
        days: Days with a sample.
        size: The latest size in bytes, None where there is none.
        limit: What there is room for in bytes, None where nobody said.
        daily: Growth in bytes a day, None where nothing can be said.
        error: How far off it may be, on both sides.
        reason: Why nothing can be said, empty where something can.
    """

    days: int
    size: int | None
    limit: int | None
    daily: float | None = None
    error: float = 0.0
    reason: str = ""

    @property
    def monthly(self) -> float | None:
        """Growth in bytes a month."""
        return None if self.daily is None else self.daily * MONTH

    @property
    def days_left(self) -> float | None:
        """Days until the limit, infinite where it does not grow; None where that cannot be said."""
        return self._days_left(self.daily)

    @property
    def earliest(self) -> float | None:
        """Days until the limit when it grows as fast as the samples allow."""
        return self._days_left(None if self.daily is None else self.daily + self.error)

    def summary(self) -> str:
        """Returns it in words."""
        if self.daily is None:
            return self.reason
        growth = f"{self.daily / 1e6:+,.2f} MB a day (± {self.error / 1e6:,.2f})"
        days_left, earliest = self.days_left, self.earliest
        if days_left is None or earliest is None:
            return f"{growth}; give the room there is to know when it is full"
        if math.isinf(days_left):
            when = "does not grow towards the limit"
            if not math.isinf(earliest):
                when += f", at worst full in {earliest:,.0f} days"
            return f"{growth}; {when}"
        return f"{growth}; full in {days_left:,.0f} days, at the earliest in {earliest:,.0f}"

    def _days_left(self, daily: float | None) -> float | None:
        if daily is None or self.limit is None or self.size is None:
            return None
        room = self.limit - self.size
        if room <= 0:
            return 0.0
        return room / daily if daily > 0 else math.inf


def forecast(sizes: Sequence[tuple[dt.datetime, int]], *, limit: int | None = None) -> Forecast:
    """Returns how the database grows.

    Args:
        sizes: Times and sizes in bytes, in order; one for each day.
        limit: What there is room for, in bytes.
    """
    size = sizes[-1][1] if sizes else None
    if len(sizes) < LEAST_DAYS:
        reason = (
            f"no forecast yet: {len(sizes)} of the {LEAST_DAYS} days with a sample that it takes; "
            "the migration itself is no growth"
        )
        return Forecast(len(sizes), size, limit, reason=reason)
    days = [(when - sizes[0][0]) / dt.timedelta(days=1) for when, _ in sizes]
    daily, error = _line(days, [float(size) for _, size in sizes])
    return Forecast(len(sizes), size, limit, daily, SPREAD * error)


def _line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Returns the slope of the least squares, and its standard error."""
    count = len(xs)
    mean_x, mean_y = sum(xs) / count, sum(ys) / count
    spread = sum((x - mean_x) ** 2 for x in xs)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    return slope, math.sqrt(rest / (count - 2) / spread)
