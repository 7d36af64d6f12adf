"""How often to measure: every 5 minutes for 48 hours, then hourly, then daily (operations, section 4.1)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from psycopg import sql

from migration_assets.monitoring import history
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection

TICK = dt.timedelta(minutes=5)
"""The shortest interval; the schedule ticks as often."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A time after the sign-off.

    Attributes:
        name: What it is called.
        until: When it ends, after the sign-off; None where it does not.
        every: How often to look.
    """

    name: str
    until: dt.timedelta | None
    every: dt.timedelta


PHASES: tuple[Phase, ...] = (
    Phase("the first 48 hours", dt.timedelta(hours=48), TICK),
    Phase("the first two weeks", dt.timedelta(days=14), dt.timedelta(hours=1)),
    Phase("normal operation", None, dt.timedelta(days=1)),
)


def phase(since: dt.timedelta) -> Phase:
    """Returns the phase at a time after the sign-off."""
    return next(phase for phase in PHASES if phase.until is None or since < phase.until)


def is_due(
    now: dt.datetime, *, signed_at: dt.datetime | None, last: dt.datetime | None
) -> tuple[bool, str]:
    """Returns whether to look now, and why.

    Args:
        now: The time of the tick.
        signed_at: When the migration was signed off with a GO; None where it was not.
        last: When the last sample was taken.
    """
    if signed_at is None:
        return False, "not signed off yet: monitoring begins with the GO of migration/sign_off"
    current = phase(now - signed_at)
    # A sample is taken some seconds after its tick; half a tick of tolerance keeps the next one due.
    if last is None or last < signed_at or now - last >= current.every - TICK / 2:
        return True, current.name
    return False, f"{current.name}: the last sample was taken at {last:%Y-%m-%d %H:%M} UTC"


def signed_at(connection: Connection) -> dt.datetime | None:
    """Returns when the migration was last signed off with a GO that stands, None where it was not."""
    if not history.may(connection, bookkeeping.sign_offs, "SELECT"):
        return None
    query = sql.SQL(
        "SELECT /* migration-assets */ max(signed_at) FROM {} "
        "WHERE verdict = 'GO' AND withdrawn_at IS NULL"
    ).format(sql.Identifier(SCHEMA, bookkeeping.sign_offs.name))
    row = connection.execute(query).fetchone()
    return None if row is None else row[0]
