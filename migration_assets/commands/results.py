"""What a run has left in the target's records: the sign-off, and the checks that have stopped it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from migration_assets.assets.keys import SIGN_OFF
from migration_assets.assets.tables import BLOCKING, step_of
from migration_assets.model import Model
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.occupants import is_ours
from migration_assets.target.sql import identifier
from migration_assets.validation.evidence import Severity

_CHECKS, _SIGN_OFFS = identifier(bookkeeping.check_results), identifier(bookkeeping.sign_offs)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the target's records ended before a run.

    Attributes:
        moment: The time by the target's clock.
        signed_at: When the last sign-off was recorded, None where there is none.
    """

    moment: dt.datetime
    signed_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class SignedOff:
    """A sign-off as it is on record.

    Attributes:
        signed_at: When.
        report: Its report.
    """

    signed_at: dt.datetime
    report: Mapping[str, Any]


def mark_of(connection: Connection) -> Mark:
    """Returns where the target's records end now."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    last = _last_sign_off(connection)
    return Mark(row[0], None if last is None else last.signed_at)


def signed_since(connection: Connection, mark: Mark) -> SignedOff | None:
    """Returns the sign-off that was recorded since a mark, None where there is none."""
    last = _last_sign_off(connection)
    return None if last is None or last.signed_at == mark.signed_at else last


def judged_steps(model: Model, connection: Connection, mark: Mark) -> set[str]:
    """Returns the steps of which the records say why they failed: a check is red, or the verdict is NO-GO.

    Args:
        model: The application's tables.
        connection: A connection to the target.
        mark: Where the records ended before the run.
    """
    if not is_ours(connection):
        return set()
    red = connection.execute(
        sql.SQL(
            "SELECT DISTINCT target_table FROM {} WHERE evaluated_at >= %s AND NOT passed "
            "AND severity = %s AND check_name = ANY(%s)"
        ).format(_CHECKS),
        [mark.moment, Severity.ERROR, list(BLOCKING)],
    )
    tables = {name for (name,) in red}
    steps = {
        step_of(*circle) for circle in model.circles if tables & {each.name for each in circle}
    }
    if signed_since(connection, mark) is not None:
        steps.add(SIGN_OFF.to_python_identifier())
    return steps


def _last_sign_off(connection: Connection) -> SignedOff | None:
    if not is_ours(connection):
        return None
    row = connection.execute(
        sql.SQL("SELECT signed_at, report FROM {} ORDER BY signed_at DESC LIMIT 1").format(
            _SIGN_OFFS
        )
    ).fetchone()
    return None if row is None else SignedOff(*row)
