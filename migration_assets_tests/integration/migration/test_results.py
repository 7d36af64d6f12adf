"""The result of a run for a command: the records in the target since the run began."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from migration_assets.commands.results import judged_steps, mark_of, signed_since
from migration_assets.nextcrm import NEXTCRM
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.evidence import Layer, Severity


def record_check(
    connection: Connection, table: str, layer: Layer, severity: Severity, *, passed: bool = False
) -> None:
    connection.execute(
        "INSERT INTO migration.check_results "
        "(target_table, check_name, passed, severity, summary, evidence, evaluated_at) "
        "VALUES (%s, %s, %s, %s, '', '{}', clock_timestamp())",
        [table, layer, passed, severity],
    )


def record_sign_off(connection: Connection, signed_at: dt.datetime, word: str) -> None:
    connection.execute(
        "INSERT INTO migration.sign_offs (signed_at, verdict, report) VALUES (%s, %s, %s)",
        [signed_at, word, json.dumps({"word": word})],
    )


def test_a_red_check_of_the_run_says_why_its_step_failed(target: Connection) -> None:
    record_check(target, "Users", Layer.ROW_COUNT, Severity.ERROR)
    before = mark_of(target)
    assert judged_steps(NEXTCRM, target, before) == set()  # that one is of an earlier run
    record_check(target, "Boards", Layer.ROW_COUNT, Severity.ERROR)
    record_check(target, "Tasks", Layer.VALUES, Severity.ERROR)  # it stops nothing
    record_check(target, "crm_Leads", Layer.TYPES, Severity.WARN)
    record_check(target, "Sections", Layer.TYPES, Severity.ERROR, passed=True)
    assert judged_steps(NEXTCRM, target, before) == {"postgres__Boards"}


@pytest.mark.parametrize("hours", [-1, 1], ids=["clock that is late", "clock that is early"])
def test_a_sign_off_of_the_run_is_one_that_was_not_there_before(
    target: Connection, hours: int
) -> None:
    here = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    record_sign_off(target, here, "GO")
    before = mark_of(target)
    assert signed_since(target, before) is None
    record_sign_off(target, here + dt.timedelta(seconds=1), "NO-GO")
    sign_off = signed_since(target, before)
    assert sign_off is not None
    assert (sign_off.signed_at, sign_off.report) == (
        here + dt.timedelta(seconds=1),
        {"word": "NO-GO"},
    )
    assert judged_steps(NEXTCRM, target, before) == {"migration__sign_off"}


def test_where_nothing_was_migrated_nothing_is_on_record(target_url: str) -> None:
    with open_target(target_url) as connection:
        before = mark_of(connection)
        assert before.signed_at is None
        assert signed_since(connection, before) is None
        assert judged_steps(NEXTCRM, connection, before) == set()
