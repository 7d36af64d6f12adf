"""Monitoring: queries on real servers, KPIs and their thresholds, history, forecast, schedule, alerts."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from typer.testing import CliRunner

from migration_assets.assets import monitoring
from migration_assets.assets.keys import CAPACITY, HEALTH, MONITORING, QUERIES
from migration_assets.assets.resources import TargetPostgres, WatchedPostgres
from migration_assets.cli import app
from migration_assets.commands import monitoring as commands
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.errors import MigrationError
from migration_assets.monitoring import (
    alerts,
    application,
    cadence,
    history,
    host,
    kpis,
    measures,
    queries,
    readings,
)
from migration_assets.monitoring.daily import daily, largest
from migration_assets.monitoring.forecast import LEAST_DAYS, MONTH, forecast
from migration_assets.monitoring.health import check_health
from migration_assets.monitoring.kpis import (
    BY_NAME,
    KPIS,
    RULES,
    KpiReading,
    Status,
    evaluate,
    worst,
)
from migration_assets.monitoring.redaction import without_literals
from migration_assets.monitoring.samples import Sample, take_sample
from migration_assets.nextcrm import TABLES
from migration_assets.settings import (
    ALERT_WEBHOOK,
    APPLICATION_URL,
    DAGSTER_URL,
    MONITOR_READINGS,
    TARGET_URL,
)
from migration_assets.target.connection import Connection, open_target
from migration_assets_tests import ROOT
from migration_assets_tests.support.properties import examples

RUNBOOK = ROOT / "docs" / "runbooks" / "monitoring.md"
OTHER_SERVERS = "MONITORING_TEST_URLS"
"""URLs of servers of other versions, with blanks between: superusers, `pg_stat_statements` preloaded."""

NOW = dt.datetime(2026, 11, 9, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
HOUR = 60 * MINUTE
DAY = 24 * HOUR
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SECRET = "hunter2-of-the-tests"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (APPLICATION_URL.name, ALERT_WEBHOOK.name, MONITOR_READINGS.name):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


# --- KPIs ---------------------------------------------------------------------------------------

OPERATIONS: list[tuple[str, float | None, float, float, int]] = [
    ("api_p50", 100, 200, 500, 5),
    ("api_p95", 200, 500, 1000, 5),
    ("api_p99", 500, 1000, 2000, 5),
    ("error_rate", 0.1, 1, 5, 5),
    ("uptime", 99.9, 99.9, 99, 5),
    ("active_users", None, -50, -80, 15),
    ("query_average", 50, 100, 500, 5),
    ("query_p95", 200, 500, 1000, 5),
    ("connections", 50, 150, 180, 5),
    ("pool_usage", 50, 80, 95, 5),
    ("cache_hit", 99, 95, 90, 15),
    ("deadlocks", 0, 1, 10, 15),
    ("replication_lag", None, 5, 30, 5),
    ("cpu", 70, 80, 95, 5),
    ("memory", 80, 90, 95, 5),
    ("disk", 70, 80, 90, 15),
    ("io_wait", 10, 30, 50, 5),
    ("network", 50, 80, 95, 5),
]
"""Section 4.2 of the operations: target, warning, critical, minutes."""


def test_kpis_are_those_of_the_operations() -> None:
    declared = [(kpi.name, kpi.target, kpi.warning, kpi.critical, kpi.minutes) for kpi in KPIS]
    assert declared == OPERATIONS
    assert {kpi.section for kpi in KPIS} == {"4.2"}
    assert [(rule.name, rule.warning, rule.critical, rule.section) for rule in RULES] == [
        ("longest_query", 5, None, "4.6"),
        ("dead_rows", 20, None, "4.6"),
    ]
    assert all(kpi.next_step for kpi in kpis.WATCHED)
    assert measures.readings(Sample(NOW, 0, _gauges()), []).keys() == BY_NAME.keys()


@pytest.mark.parametrize(("name", "target", "warning", "critical", "_"), OPERATIONS)
def test_thresholds(
    name: str, target: float | None, warning: float, critical: float, _: int
) -> None:
    kpi = BY_NAME[name]
    bad = 1 if critical > warning else -1
    assert kpi.is_floor is (bad < 0)

    def status(value: float) -> Status:
        return evaluate(kpi, KpiReading(value, "test")).status

    if target is not None:
        assert kpi.meets_target(target)
        assert not kpi.meets_target(target + bad * 0.001)
        assert status(target) is Status.OK
    assert status(warning) is Status.OK
    assert status(warning + bad * 0.001) is Status.WARNING
    assert status(critical) is Status.WARNING
    assert status(critical + bad * 0.001) is Status.CRITICAL


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rules_are_never_critical(rule: kpis.Kpi) -> None:
    assert evaluate(rule, KpiReading(rule.warning, "test")).status is Status.OK
    assert evaluate(rule, KpiReading(1e9, "test")).status is Status.WARNING
    assert rule.thresholds()[2] == "never"


def test_unmeasured_kpis_are_unknown_and_thin_ones_are_named() -> None:
    kpi = BY_NAME["cache_hit"]
    unknown = evaluate(kpi, KpiReading(None, "why"))
    thin = evaluate(kpi, KpiReading(0.0, "few", events=kpi.least - 1))
    enough = evaluate(kpi, KpiReading(0.0, "many", events=kpi.least))
    assert [evaluation.status for evaluation in (unknown, thin, enough)] == [
        Status.UNKNOWN,
        Status.TOO_LITTLE,
        Status.CRITICAL,
    ]
    assert unknown.summary == "Cache hit ratio: unknown, why"
    assert worst([unknown, thin]) is Status.TOO_LITTLE
    assert worst([unknown]) is Status.UNKNOWN
    assert worst([unknown, thin, enough]) is Status.CRITICAL
    missed = evaluate(BY_NAME["cpu"], KpiReading(75, "test"))
    assert missed.summary == "CPU 75 %: ok, target missed; test"


def test_runbook_has_every_kpi_query_and_the_right_uptime() -> None:
    text = RUNBOOK.read_text("utf-8")
    for kpi in kpis.WATCHED:
        target, warning, critical = kpi.thresholds()
        row = (
            f"| `{kpi.name}` | {kpi.title} | {target} | {warning} | {critical} | {kpi.next_step} |"
        )
        assert row in text
    for query in queries.QUERIES:
        assert f"| {query.number} | {query.name.replace('_', ' ')} |" in text
    assert f"{48 * 60 * 0.001:.1f} minutes" in text
    for variable in (
        APPLICATION_URL.name,
        ALERT_WEBHOOK.name,
        MONITOR_READINGS.name,
        TARGET_URL.name,
    ):
        assert variable in text


# --- From samples to readings -------------------------------------------------------------------


def _gauges(**numbers: float) -> dict[str, float]:
    usual = {
        "connections": 10,
        "connection_limit": 97,
        "blocks_hit": 0,
        "blocks_read": 0,
        "longest_seconds": 0,
        "dead_percent": 0,
        "deadlocks": 0,
        "counted_since": 1,
    }
    return {**usual, **numbers}


def _read(name: str, now: Sample, *before: Sample) -> KpiReading:
    return measures.readings(now, before)[name]


def test_rates_are_read_between_two_samples() -> None:
    first = Sample(NOW - 5 * MINUTE, 0, _gauges(blocks_hit=10_000, blocks_read=10_000))
    now = Sample(NOW, 0, _gauges(blocks_hit=10_950, blocks_read=10_050))
    assert _read("cache_hit", now, first) == KpiReading(
        95.0, "1,000 blocks of tables over the last 5 min", 1000.0
    )
    assert _read("cache_hit", now).value is None
    reset = replace(now, numbers={**now.numbers, "counted_since": 2})
    assert _read("cache_hit", reset, first).value is None
    assert _read("cache_hit", first, now).value is None  # it went down
    idle = _read("cache_hit", first, first)
    assert evaluate(BY_NAME["cache_hit"], idle).status is Status.TOO_LITTLE


def test_a_deadlock_within_five_minutes_is_not_twelve_an_hour() -> None:
    def at(minutes: int, deadlocks: int, since: int = 1) -> Sample:
        return Sample(NOW - minutes * MINUTE, 0, _gauges(deadlocks=deadlocks, counted_since=since))

    assert _read("deadlocks", at(0, 6), at(5, 5)).value == 1
    assert _read("deadlocks", at(0, 7), at(65, 1), at(60, 5), at(5, 7)).value == 2
    assert _read("deadlocks", at(0, 8), at(240, 0)).value == 2
    assert _read("deadlocks", at(0, 1, 2), at(60, 9), at(5, 0, 2)).value == 1
    assert _read("deadlocks", at(0, 1)).value is None


def test_queries_are_weighed_by_their_calls() -> None:
    before = Sample(NOW - MINUTE, 0, _gauges(), statements={"a": (100, 50.0), "c": (9, 9.0)})
    now = Sample(
        NOW,
        0,
        _gauges(),
        # a: 94 calls of 1 ms; b, new: 6 calls of 100 ms; c was reset
        statements={"a": (194, 144.0), "b": (6, 600.0), "c": (0, 0.0)},
    )
    assert _read("query_average", now, before).value == pytest.approx((94 + 600) / 100)
    assert _read("query_p95", now, before).value == 100
    assert _read("query_average", now, before).events == 100
    assert _read("query_average", now).value is None
    none = replace(now, statements=None, problems={"slow_queries": "no extension"})
    assert _read("query_p95", none, before) == KpiReading(None, "no extension")


def test_a_standby_that_is_gone_lags_since_it_was_seen() -> None:
    both = Sample(NOW - 10 * MINUTE, 0, _gauges(), standbys={"one": 0.1, "two": 0.2})
    later = Sample(NOW - 5 * MINUTE, 0, _gauges(), standbys={"one": 0.1})
    now = Sample(NOW, 0, _gauges(), standbys={"one": 3.0})
    assert _read("replication_lag", now, both, later).value == 600
    assert _read("replication_lag", now, later).value == 3
    assert _read("replication_lag", replace(now, standbys={})).value == 0
    old = replace(both, taken_at=NOW - 25 * HOUR)
    assert _read("replication_lag", now, old).value == 3


def test_host_is_read_between_two_samples() -> None:
    def at(minutes: int, **numbers: float) -> Sample:
        return Sample(NOW - minutes * MINUTE, 0, _gauges(**numbers))

    before = at(1, cpu_total=1000, cpu_idle=900, cpu_io_wait=10, network_bytes=0)
    now = at(
        0,
        cpu_total=2000,
        cpu_idle=1100,
        cpu_io_wait=60,
        memory_total=100e9,
        memory_available=9e9,
        disk_used=85e9,
        disk_free=15e9,
        network_bytes=6_000_000_000,
        network_limit=125_000_000,
    )
    reading_by_name = measures.readings(now, [before])
    values = [
        reading_by_name[name].value for name in ("cpu", "io_wait", "memory", "disk", "network")
    ]
    assert values == pytest.approx([80, 5, 91, 85, 80])
    elsewhere = measures.readings(at(0), [at(1)])
    for name in ("cpu", "io_wait", "memory", "disk", "network"):
        assert elsewhere[name] == KpiReading(None, host.ELSEWHERE)


def test_application_is_read_from_probes() -> None:
    good = [application.Probe(float(number), True) for number in range(1, 100)]
    now = Sample(NOW, 0, _gauges(), probes=[*good[50:], application.Probe(5000, False)])
    before = Sample(NOW - HOUR, 0, _gauges(), probes=good[:50])
    reading_by_name = measures.readings(now, [before])
    names = ("api_p50", "api_p95", "api_p99", "error_rate", "uptime")
    assert [reading_by_name[name].value for name in names] == [50, 95, 99, 1, 99]
    old = replace(before, taken_at=NOW - 2 * HOUR)
    assert measures.readings(now, [old])["error_rate"].value == 2
    assert measures.readings(now, [old])["uptime"].value == 99
    assert (
        measures.readings(replace(now, probes=None), [])["uptime"].origin == application.NOT_GIVEN
    )


def test_host_is_recognised_by_its_process(tmp_path: Path) -> None:
    @dataclass
    class Fake:
        pid: int
        port: int | None

        def execute(self, _: str) -> Fake:
            return self

        def fetchone(self) -> tuple[int, int | None]:
            return self.pid, self.port

    def is_here(pid: int, port: int | None) -> bool:
        return host.is_host_of(Fake(pid, port), proc=tmp_path)  # type: ignore[arg-type]

    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "comm").write_text("postgres\n")
    (tmp_path / "7" / "cmdline").write_text("postgres: app nextcrm 127.0.0.1(4711) idle\0")
    assert is_here(7, 4711)
    assert not is_here(7, 4712)  # another server's process of that number
    assert not is_here(7, None)
    assert not is_here(8, 4711)


# --- Readings of other tools --------------------------------------------------------------------


def test_readings_are_taken_and_a_stale_file_counts_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "readings.json"
    content = {"taken_at": NOW.isoformat(), "readings": {"api_p95": 130, "network": 7.5}}
    file.write_text(json.dumps(content))
    assert {name: reading.value for name, reading in readings.read(file, NOW).items()} == {
        "api_p95": 130,
        "network": 7.5,
    }
    stale = readings.read(file, NOW + HOUR)
    assert stale["api_p95"].value is None
    assert "renew" in stale["api_p95"].origin
    assert readings.given(["active_users=-60"])["active_users"].value == -60


@pytest.mark.parametrize("pair", ["nothing=1", "cpu=", "cpu=much", "cpu=nan", "cpu"])
def test_readings_that_are_none_are_refused(pair: str) -> None:
    with pytest.raises(MigrationError):
        readings.given([pair])


@pytest.mark.parametrize(
    "content", ["", "[]", '{"readings": {}}', '{"taken_at": "2026-11-09T12:00", "readings": {}}']
)
def test_files_that_are_none_are_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "readings.json"
    file.write_text(content)
    with pytest.raises(MigrationError, match=MONITOR_READINGS.name):
        readings.read(file, NOW)


# --- Text of statements -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("select 1, 'a''b' from \"Users\" where x = $1", 'select ?, ? from "Users" where x = $1'),
        (f"alter role app password '{SECRET}'", "alter role app password ?"),
        (f"select 1 -- {SECRET}\n, 2 /* {SECRET} */", "select ? , ?"),
        (f"select $q$ {SECRET} $q$, a$q$, 'x $q$ {SECRET}'", "select ?, a$q$, ?"),
        (f"select E'a\\'{SECRET}', 2", "select E…"),
        (f"insert into t values ('{SECRET}", "insert into t values (…"),
    ],
)
def test_literals_are_left_out(statement: str, expected: str) -> None:
    assert without_literals(statement) == expected


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["select ", "a$", '"b"', "E", "$1", " -- c\n", "/* d */", ".5", ", "]),
            st.tuples(
                st.sampled_from(["'", "E'", "$x$", "$$"]),
                st.text("'\\$x\"-*/ \n", max_size=4),
                st.text("'\\$x\"-*/ \n", max_size=4),
            ),
        ),
        max_size=6,
    )
)
@examples(150)
def test_no_literal_is_ever_shown(parts: list[str | tuple[str, str, str]]) -> None:
    """In any surroundings, in text that PostgreSQL would take."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part + " "
            continue
        quote, before, after = part
        inner = f"{before}{SECRET}{after}"
        if quote.endswith("'"):
            escaped = inner.replace("\\", "\\\\") if quote == "E'" else inner
            text += quote + escaped.replace("'", "''") + "' "
        else:
            text += quote + inner.replace("$", "") + quote + " "
    assert SECRET not in without_literals(text, length=10_000)


# --- Forecast -----------------------------------------------------------------------------------


def _sizes(count: int, daily_bytes: float, noise: Sequence[float] = (0,)) -> list[Any]:
    return [
        (NOW + day * DAY, int(10e9 + day * daily_bytes + noise[day % len(noise)]))
        for day in range(count)
    ]


def test_forecast_is_a_straight_line() -> None:
    # Section 4.8: (100 - 12) GB at 2 GB a month are 44 months.
    sizes = [(when, size - 10_000_000_000 + 12_000_000_000) for when, size in _sizes(8, 0)]
    sizes = [(when, int(size - (7 - day) * 2e9 / MONTH)) for day, (when, size) in enumerate(sizes)]
    prediction = forecast(sizes, limit=100_000_000_000)
    assert prediction.monthly == pytest.approx(2e9, rel=1e-4)
    assert prediction.days_left == pytest.approx(44 * MONTH, rel=1e-4)
    assert "full in 1,339 days" in prediction.summary()


def test_forecast_says_how_far_off_it_may_be() -> None:
    prediction = forecast(_sizes(14, 1e6, noise=(0, 3e6, -3e6)), limit=20_000_000_000)
    assert prediction.error > 0
    assert prediction.daily == pytest.approx(1e6, abs=prediction.error)
    assert prediction.earliest is not None
    assert prediction.days_left is not None
    assert prediction.earliest < prediction.days_left


def test_forecast_says_nothing_before_a_week() -> None:
    for count in (0, 1, LEAST_DAYS - 1):
        prediction = forecast(_sizes(count, 1e6), limit=1)
        assert (prediction.daily, prediction.days_left) == (None, None)
        assert f"{count} of the {LEAST_DAYS} days" in prediction.summary()


def test_forecast_without_growth_or_room() -> None:
    assert forecast(_sizes(8, -1e6), limit=20_000_000_000).days_left == math.inf
    assert "does not grow" in forecast(_sizes(8, -1e6), limit=20_000_000_000).summary()
    assert forecast(_sizes(8, 1e6), limit=1_000).days_left == 0
    assert "give the room" in forecast(_sizes(8, 1e6)).summary()


# --- Schedule -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "every"),
    [(0 * HOUR, 5 * MINUTE), (47 * HOUR, 5 * MINUTE), (48 * HOUR, HOUR), (14 * DAY, DAY)],
)
def test_cadence_is_computed_from_the_sign_off(since: dt.timedelta, every: dt.timedelta) -> None:
    assert cadence.phase(since).every == every
    signed_at = NOW - since

    def due(ago: dt.timedelta) -> bool:
        return cadence.is_due(NOW, signed_at=signed_at - DAY * 0, last=NOW - ago)[0]

    if since > every:
        assert due(every)
        assert due(every - MINUTE)  # taken some seconds after its tick
        assert not due(every - 3 * MINUTE)
    assert cadence.is_due(NOW, signed_at=signed_at, last=None)[0]


def test_nothing_is_due_before_the_sign_off_and_at_once_after_it() -> None:
    assert cadence.is_due(NOW, signed_at=None, last=None) == (
        False,
        "not signed off yet: monitoring begins with the GO of migration/sign_off",
    )
    rehearsed = cadence.is_due(NOW, signed_at=NOW - MINUTE, last=NOW - 2 * MINUTE)
    assert rehearsed == (True, "the first 48 hours")


# --- The twelve queries on real servers ---------------------------------------------------------


def test_files_of_sql_monitoring_are_those_of_the_package() -> None:
    text_by_file = {
        file.name: file.read_text("utf-8")
        for file in sorted((ROOT / "sql" / "monitoring").glob("*.sql"))
    }
    assert text_by_file == queries.files(), "write them anew with `migration-assets sql`"
    assert [query.number for query in queries.QUERIES] == list(range(1, 13))
    named = {query.file(version) for query in queries.QUERIES for version in (150_000, 180_000)}
    assert named == text_by_file.keys()
    for name, text in text_by_file.items():
        assert text.startswith(f"-- {int(name[:2])} ")
        assert re.search(r"^-- Tells: .*^-- Thresholds: ", text, re.MULTILINE | re.DOTALL), name
        assert "/* migration-assets */" in text  # by which the monitor knows its own statements


def test_every_query_runs_on_an_empty_database(target_url: str) -> None:
    with open_target(target_url) as connection:
        for query in queries.QUERIES:
            answer = queries.ask(connection, query)
            if query.name == "slow_queries":
                assert answer.problem == queries.NO_STATEMENTS
                continue
            assert not answer.problem, query
            assert answer.columns
        usual = readings.given(["memory=1", "disk=1"])  # those of the machine are not meant here
        health = check_health(connection, pause=0, other_readings=usual)
    assert not health.is_recorded
    assert health.status is Status.OK
    assert {result.status for result in health.results if result.kpi.name == "cache_hit"} == {
        Status.TOO_LITTLE
    }


@pytest.mark.skipif(not os.environ.get(OTHER_SERVERS), reason=f"{OTHER_SERVERS} is not set")
def test_every_query_runs_on_other_versions() -> None:
    for url in os.environ[OTHER_SERVERS].split():
        with psycopg.connect(url, autocommit=True) as maintenance:
            maintenance.execute("DROP DATABASE IF EXISTS monitoring_test WITH (FORCE)")
            maintenance.execute("CREATE DATABASE monitoring_test")
        with open_target(url.rpartition("/")[0] + "/monitoring_test") as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute('CREATE TABLE "Mixed Case" (id int PRIMARY KEY)')
            for query in queries.QUERIES:
                assert not queries.ask(connection, query).problem, (url, query)
            assert check_health(connection, pause=0).results


def _answer(connection: Connection, name: str) -> list[dict[str, Any]]:
    query = next(query for query in queries.QUERIES if query.name == name)
    answer = queries.ask(connection, query)
    assert not answer.problem
    return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def test_queries_tell_of_a_migrated_database(small_copy: str) -> None:
    with open_target(small_copy) as connection:
        connection.execute('DELETE FROM "Documents"')
        connection.execute('SELECT count(*) FROM "Users"')
        connection.execute("SELECT pg_stat_force_next_flush()")
        connection.execute("SELECT 1")
        name = small_copy.rpartition("/")[2]
        (health,) = _answer(connection, "health")
        assert (health["database"], health["connection_limit"]) == (name, 97)
        assert health["connections"] >= 1
        activity = {row["table"]: row for row in _answer(connection, "table_activity")}
        assert activity['public."Users"']["sequential_scans"] >= 1
        (bloat,) = (
            row for row in _answer(connection, "bloat") if row["table"] == 'public."Documents"'
        )
        assert bloat["estimated_dead_rows"] > 0
        assert bloat["dead_percent"] > 0
        used = {row["index"] for row in _answer(connection, "index_usage")}
        unused = {row["index"] for row in _answer(connection, "unused_indexes")}
        assert "Users_pkey" in used - unused
        assert "Users_active_idx" in used
        (cache,) = _answer(connection, "cache_hit_ratio")
        assert cache["table_blocks_hit"] > 0


def test_counts_are_exact(small_copy: str) -> None:
    with open_target(small_copy) as connection:
        tables = {table.name: table.rows for table in largest(connection, top=100)}
        assert tables.keys() == TABLES.keys()
        for name, rows in tables.items():
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
            assert connection.execute(query).fetchone() == (rows,)
        assert sum(rows or 0 for rows in tables.values()) > 400
        assert len(largest(connection)) == 10


def test_locks_and_statements_are_shown_without_values(small_copy: str) -> None:
    with (
        open_target(small_copy) as watching,
        psycopg.connect(small_copy) as holding,
        closing(psycopg.connect(small_copy)) as waiting,
    ):
        holding.execute('LOCK TABLE "Users"')
        blocked = threading.Thread(
            target=lambda: waiting.execute(
                sql.SQL('UPDATE "Users" SET password = {}').format(sql.Literal(SECRET))
            )
        )
        blocked.start()
        try:
            locks: list[dict[str, Any]] = []
            deadline = time.monotonic() + 10
            while not locks and time.monotonic() < deadline:
                locks = _answer(watching, "locks")
            (lock,) = locks
            assert lock["relation"] == '"Users"'
            assert lock["pid"] == waiting.info.backend_pid
            assert lock["blocked_by"] == [holding.info.backend_pid]
            active = {row["pid"]: row for row in _answer(watching, "active_queries")}
            assert active[waiting.info.backend_pid]["query"] == 'UPDATE "Users" SET password = ?'
            assert active[holding.info.backend_pid]["state"] == "idle in transaction"
            states = {row["state"] for row in _answer(watching, "connections")}
            assert {"active", "idle in transaction"} <= states
        finally:
            holding.rollback()
            blocked.join(10)


def test_a_role_without_privileges_is_told_so(small_copy: str) -> None:
    role, password = "watching_nobody", "only-for-the-test"
    url = re.sub(r"//[^@]*@", f"//{role}:{password}@", small_copy)
    with open_target(small_copy) as owner:
        owner.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                sql.Identifier(role), sql.Literal(password)
            )
        )
        try:
            with open_target(url) as connection:
                health = check_health(connection, pause=0)
                report = daily(connection, health)
        finally:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    result_by_kpi = {result.kpi.name: result for result in health.results}
    for name in ("longest_query", "replication_lag", "query_average"):
        assert result_by_kpi[name].status is Status.UNKNOWN
        assert result_by_kpi[name].reading.origin == queries.NO_PRIVILEGE
    assert result_by_kpi["connections"].status is Status.OK
    assert result_by_kpi["disk"].status is Status.UNKNOWN
    assert not health.is_recorded
    assert {table.problem for table in report.tables} == {"this role may not read it"}


def test_statements_are_counted_wherever_the_extension_is(target_url: str) -> None:
    with open_target(target_url) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
        connection.execute("CREATE EXTENSION pg_stat_statements SCHEMA elsewhere")
        before, _ = take_sample(connection)
        for number in range(30):
            connection.execute("SELECT %s::int, pg_sleep(0.001)", [number])
        connection.execute(sql.SQL("SELECT {}").format(sql.Literal(SECRET)))
        health = check_health(connection, before=[before])
        slow = _answer(connection, "slow_queries")
    result_by_kpi = {result.kpi.name: result for result in health.results}
    average = result_by_kpi["query_average"]
    assert average.status is Status.OK
    assert average.reading.events == 31  # not those of the monitor itself
    assert average.reading.value is not None
    assert average.reading.value >= 0.9
    assert any(row["query"].startswith("SELECT $1::int, pg_sleep") for row in slow)
    assert SECRET not in str(slow)
    assert not any("pg_stat_activity" in row["query"] for row in slow)


# --- History ------------------------------------------------------------------------------------


def test_samples_are_kept_and_read_again(target: Connection) -> None:
    first = check_health(target, pause=0)
    assert first.is_recorded
    second = check_health(target, other_readings={"cpu": KpiReading(97.0, "test")})
    samples = history.recent(target)
    assert [sample.taken_at for sample in samples] == [
        first.sample.taken_at,
        second.sample.taken_at,
    ]
    assert samples[-1].numbers == second.sample.numbers
    assert history.last_taken(target) == second.sample.taken_at
    assert history.last_critical(target) == (second.sample.taken_at, ["cpu"])
    assert history.statuses(target, span=DAY)["cpu"]["critical"] == 1
    assert len(history.sizes(target)) == 1
    status = target.execute(
        "SELECT status FROM migration.monitoring_samples ORDER BY taken_at"
    ).fetchall()
    assert status[-1] == ("critical",)


def test_only_the_newest_sample_has_its_statements(target: Connection) -> None:
    for minutes in (10, 5):
        sample = Sample(
            dt.datetime.now(tz=dt.UTC) - minutes * MINUTE,
            1,
            _gauges(),
            statements={"a": (minutes, 1.0)},
            probes=[application.Probe(1.5, True)],
        )
        history.record(target, sample, [])
    old, new = history.recent(target)
    assert old.statements is None
    assert {name: tuple(counts) for name, counts in (new.statements or {}).items()} == {
        "a": (5, 1.0)
    }
    assert new.probes == [application.Probe(1.5, True)]


def test_sizes_are_one_for_each_day(target: Connection) -> None:
    for hours in (0, 1, 30):
        history.record(target, Sample(NOW + hours * HOUR, hours, _gauges()), [])
    assert history.sizes(target) == [(NOW + HOUR, 1), (NOW + 30 * HOUR, 30)]


def test_go_of_the_sign_off_is_found(target: Connection) -> None:
    assert cadence.signed_at(target) is None
    for hours, verdict in ((0, "GO"), (1, "GO"), (2, "NO-GO")):
        _sign(target, NOW + hours * HOUR, verdict)
    assert cadence.signed_at(target) == NOW + HOUR


def _sign(connection: Connection, when: dt.datetime, verdict: str = "GO") -> None:
    connection.execute(
        "INSERT INTO migration.sign_offs (signed_at, verdict, report) VALUES (%s, %s, '{}')",
        [when, verdict],
    )


# --- Alerts -------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """A local server that gives fixed answers, and keeps the requests."""

    answers: list[int] = field(default_factory=lambda: [200])
    requests: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    delay: float = 0.0

    PATH: ClassVar[str] = f"/hooks/{SECRET}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.PATH}"


@contextmanager
def receiving(*answers: int, delay: float = 0.0) -> Iterator[Receiver]:
    receiver = Receiver(list(answers), delay=delay)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            receiver.requests.append(
                {"path": self.path, **json.loads(self.rfile.read(length) or "{}")}
            )
            time.sleep(receiver.delay)
            self._answer()

        def do_GET(self) -> None:
            receiver.requests.append({"path": self.path})
            self._answer()

        def _answer(self) -> None:
            status = receiver.answers[min(len(receiver.requests), len(receiver.answers)) - 1]
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


ALERT = alerts.Alert(alerts.AlertKind.CRITICAL, "cpu", ["CPU 97 %"])


def test_alert_is_delivered_as_json() -> None:
    with receiving(200) as receiver:
        assert alerts.tell(ALERT, receiver.url)
    (post,) = receiver.requests
    assert post == {
        "path": Receiver.PATH,
        "text": "[CRITICAL] cpu\nCPU 97 %",
        "kind": "critical",
        "title": "cpu",
        "lines": ["CPU 97 %"],
    }


@pytest.mark.parametrize(
    ("answers", "is_told", "posts"),
    [
        ([503, 429, 200], True, 3),
        ([500, 500, 500, 200], False, 3),
        ([404, 200], False, 1),
        ([302, 200], False, 1),
    ],
)
def test_delivery_is_tried_again_where_that_may_help(
    answers: list[int], is_told: bool, posts: int
) -> None:
    with receiving(*answers) as receiver:
        assert alerts.tell(ALERT, receiver.url, pause=0) is is_told
    assert [post["path"] for post in receiver.requests] == [Receiver.PATH] * posts


def test_failure_to_deliver_is_logged_without_the_url(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), receiving(200, delay=0.5) as receiver:
        assert not alerts.tell(ALERT, receiver.url, attempts=1, timeout=0.05)
        closed = receiver.url
    assert not alerts.tell(ALERT, closed, pause=0)
    assert not alerts.tell(ALERT, f"ftp://host/{SECRET}", pause=0)
    assert not alerts.tell(ALERT, f"http://[{SECRET}", pause=0)
    assert not alerts.tell(ALERT, f"http://host:port/{SECRET}", pause=0)
    failures = [record.message for record in caplog.records if "not delivered" in record.message]
    assert len(failures) == 5
    assert "TimeoutError" in failures[0]
    assert "ConnectionRefusedError" in failures[1]
    assert SECRET not in caplog.text
    assert caplog.text.count("[CRITICAL] cpu") == 5


def test_without_a_webhook_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert alerts.tell(ALERT, None)
        assert alerts.tell(alerts.Alert(alerts.AlertKind.RECOVERED, "over"), None)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_the_same_is_told_once_an_hour() -> None:
    memory = alerts.Memory()
    kinds: list[str] = []
    steps: list[tuple[int, dict[str, str]]] = [
        (0, {}),
        (5, {"cpu": "CPU"}),
        (10, {"cpu": "CPU"}),
        (15, {"cpu": "CPU", "disk": "Disk"}),
        (20, {"disk": "Disk"}),
        (75, {"disk": "Disk"}),
        (80, {}),
        (85, {}),
        (90, {"disk": "Disk"}),
    ]
    for minutes, wrong in steps:
        now = NOW + minutes * MINUTE
        alert = alerts.decide(wrong, memory, now)
        kinds.append(f"{minutes} {alert.title}" if alert else "")
        told = None if alert is None else True
        memory = alerts.remember(memory, str(minutes), wrong, now, told=told)
        assert alerts.Memory.from_cursor(memory.cursor()) == memory
    assert [kind for kind in kinds if kind] == [
        "5 NextCRM's database: cpu",
        "15 NextCRM's database: cpu, disk",
        "75 NextCRM's database: disk",
        "80 no longer critical: disk",
        "90 NextCRM's database: disk",
    ]
    undelivered = alerts.remember(alerts.Memory(), "1", {"cpu": "CPU"}, NOW, told=False)
    assert undelivered == alerts.Memory()  # so it is tried again


def test_application_is_probed() -> None:
    with receiving(200, 500, 302) as receiver:
        probes = application.probe(receiver.url, requests=3)
    assert [probe.is_good for probe in probes] == [True, False, True]
    assert all(probe.milliseconds > 0 for probe in probes)
    (refused,) = application.probe(receiver.url, requests=1)
    assert not refused.is_good
    with pytest.raises(MigrationError, match=APPLICATION_URL.name) as raised:
        application.probe(f"file:///{SECRET}")
    assert SECRET not in str(raised.value)


# --- Dagster ------------------------------------------------------------------------------------


def _run(instance: dg.DagsterInstance, url: str) -> dg.ExecuteInProcessResult:
    """Runs the job by itself: resolving all 39 tables each time takes longer than the run."""
    defs = dg.Definitions(
        assets=[monitoring.monitoring_assets()],
        jobs=[dg.define_asset_job(monitoring.MONITOR, monitoring.selection())],
        resources={"watched": WatchedPostgres(url=url)},
    )
    return defs.resolve_job_def(monitoring.MONITOR).execute_in_process(
        instance=instance, raise_on_error=False, run_config=QUIET
    )


def test_monitoring_is_no_part_of_a_migration() -> None:
    defs = build_defs()
    for job in (MIGRATE, VALIDATE):
        layer = defs.resolve_job_def(job).asset_layer
        assert not any(key.path[0] == MONITORING for key in layer.selected_asset_keys)
        checks = layer.asset_graph.asset_check_keys
        assert not any(key.asset_key.path[0] == MONITORING for key in checks)
    layer = defs.resolve_job_def(monitoring.MONITOR).asset_layer
    assert layer.selected_asset_keys == {HEALTH, QUERIES, CAPACITY}
    assert len(layer.asset_graph.asset_check_keys) == len(KPIS) + len(RULES)
    # A migration holds the target against other runs; watching it must not.
    assert monitoring.monitoring_assets().required_resource_keys == {"watched", "io_manager"}
    watched = build_defs(target=TargetPostgres(url="postgresql://host/name")).resources or {}
    assert watched["watched"] == WatchedPostgres(url="postgresql://host/name")


def test_job_checks_every_kpi_and_sensor_tells(
    small_copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dg.DagsterInstance.ephemeral() as instance, receiving(200) as receiver:
        cursor, outcome = monitoring.look(instance, None, NOW, webhook=receiver.url)
        assert (cursor, outcome) == (None, "the job monitor has not run yet")

        result = _run(instance, small_copy)
        assert result.success
        checks = {
            evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()
        }
        assert checks.keys() == BY_NAME.keys()
        assert checks["connections"].passed
        assert checks["cache_hit"].passed
        assert not checks["api_p95"].passed
        assert checks["api_p95"].severity is dg.AssetCheckSeverity.WARN
        metadata_by_key = {
            event.asset_key: event.materialization.metadata
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None
        }
        assert metadata_by_key.keys() == {HEALTH, QUERIES, CAPACITY}
        assert "Connections" in metadata_by_key[HEALTH]
        assert [name for name in metadata_by_key[QUERIES] if name[:2].isdigit()] == [
            f"{query.number:02} {query.title}" for query in queries.QUERIES
        ]
        assert f"of the {LEAST_DAYS} days" in str(metadata_by_key[CAPACITY]["forecast"].value)

        cursor, outcome = monitoring.look(instance, None, NOW, webhook=receiver.url)
        assert outcome in ("nothing to tell", "critical: told")  # the machine may be at its limit
        receiver.requests.clear()
        with closed_port() as port:
            monkeypatch.setenv(APPLICATION_URL.name, f"http://127.0.0.1:{port}/{SECRET}")
            critical = _run(instance, small_copy)
        assert critical.success  # a critical KPI is no failure of the run
        cursor, outcome = monitoring.look(instance, cursor, NOW, webhook=receiver.url)
        assert outcome == "critical: told"
        assert "API errors 100 %" in receiver.requests[0]["text"]
        assert monitoring.look(instance, cursor, NOW, webhook=receiver.url) == (
            cursor,
            "no new run",
        )

        monkeypatch.delenv(APPLICATION_URL.name)
        with closed_port() as port:
            failed = _run(instance, f"postgresql://nobody:{SECRET}@127.0.0.1:{port}/none")
        assert not failed.success
        again, outcome = monitoring.look(
            instance, cursor, NOW, webhook=f"http://127.0.0.1:{port}/", pause=0
        )
        assert (again, outcome) == (cursor, "failed: not delivered")
        cursor, outcome = monitoring.look(instance, again, NOW, webhook=receiver.url)
        assert outcome == "failed: told"
        assert "TargetError" in receiver.requests[-1]["text"]
        assert SECRET not in json.dumps([post["text"] for post in receiver.requests])


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of this machine on which nothing answers."""
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_sensor_keeps_its_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ALERT_WEBHOOK.name, raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=None)
        result = monitoring.monitoring_sensor()(context)
    assert isinstance(result, dg.SensorResult)
    assert result.skip_reason == dg.SkipReason("the job monitor has not run yet")


def test_schedule_looks_when_it_is_due(tables_url: str, target: Connection) -> None:
    def tick(url: str = tables_url, after: dt.timedelta = 0 * MINUTE) -> object:
        with dg.build_schedule_context(
            resources={"watched": WatchedPostgres(url=url)},
            scheduled_execution_time=dt.datetime.now(tz=dt.UTC) + after,
        ) as context:
            return monitoring.monitoring_schedule()(context)

    assert isinstance(tick(), dg.SkipReason)
    _sign(target, dt.datetime.now(tz=dt.UTC) - MINUTE)
    assert isinstance(tick(), dg.RunRequest)
    check_health(target, pause=0)
    assert isinstance(tick(), dg.SkipReason)
    assert isinstance(tick(after=5 * MINUTE), dg.RunRequest)
    assert isinstance(tick(after=49 * HOUR), dg.RunRequest)
    with closed_port() as port:  # the run fails, and the sensor tells
        assert isinstance(tick(f"postgresql://127.0.0.1:{port}/none"), dg.RunRequest)


# --- Commands -----------------------------------------------------------------------------------


@pytest.fixture
def command(small_copy: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(TARGET_URL.name, small_copy)
    monkeypatch.delenv(DAGSTER_URL.name, raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["monitor", *arguments], catch_exceptions=False)
        return result.exit_code, " ".join(result.output.split())

    return run


def test_command_looks_alerts_and_reports(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [f"--reading={name}=1" for name in ("cpu", "memory", "disk", "io_wait")]
    code, output = command(*usual)
    assert code == 0
    assert "18 KPIs" in output
    assert "not measured: API p50" in output
    with receiving(200) as receiver:
        monkeypatch.setenv(ALERT_WEBHOOK.name, receiver.url)
        for reading in ("replication_lag=31", "replication_lag=32", "replication_lag=1"):
            code, output = command(*usual, "--alert", f"--reading={reading}")
            assert code == int(reading != "replication_lag=1")
            assert SECRET not in output
    assert [post["kind"] for post in receiver.requests][:1] == ["critical"]
    assert [post["kind"] for post in receiver.requests][-1:] == ["recovered"]
    assert len(receiver.requests) in (2, 3)  # the hour may change between two looks

    code, output = command(*usual, "--daily", "--room=500")
    assert code == 0
    for part in (
        "Daily report",
        "no forecast yet",
        "10 largest tables",
        "Replication lag",
        "dead rows",
    ):
        assert part in output
    assert command("--query=1")[0] == 0
    code, output = command("--query=13")
    assert (code, "from 1 to 12" in output) == (2, True)
    code, output = command("--reading=nothing=1")
    assert (code, "there is no KPI 'nothing'" in output) == (2, True)


def test_command_tells_that_the_target_is_out_of_reach(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_port() as port, receiving(200) as receiver:
        monkeypatch.setenv(TARGET_URL.name, f"postgresql://u:{SECRET}@127.0.0.1:{port}/none")
        monkeypatch.setenv(ALERT_WEBHOOK.name, receiver.url)
        code, output = command("--alert")
    assert code == 2
    assert SECRET not in output
    assert [post["kind"] for post in receiver.requests] == ["failed"]


def test_live_view_keeps_nothing(
    small_copy: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    monkeypatch.setenv(TARGET_URL.name, small_copy)
    code = commands.watch(Console(width=120), 0.01, pairs=["cpu=99"], rounds=2)
    assert code is commands.MonitorExit.CRITICAL
    assert capsys.readouterr().out.count("not part of the history") == 2
    with open_target(small_copy) as connection:
        assert history.recent(connection) == []
