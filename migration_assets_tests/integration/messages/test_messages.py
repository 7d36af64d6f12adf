"""Messages: every template is filled without a gap, from values and from the target's own record."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from typer.testing import CliRunner

from migration_assets.cli import app
from migration_assets.errors import MigrationError
from migration_assets.messages import fields
from migration_assets.messages.fields import FIELDS
from migration_assets.messages.filling import fill, read_pairs, read_values
from migration_assets.messages.record import (
    MigrationRecord,
    RecordedLoad,
    progress,
    read_record,
    results,
)
from migration_assets.messages.templates import template, templates
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.settings import MESSAGE_VALUES, TARGET_URL
from migration_assets.target.connection import open_target
from migration_assets.validation.evidence import Layer
from migration_assets_tests import ROOT

DOCS = ROOT / "docs" / "messages"
EXAMPLE = DOCS / "values.example.yaml"
NOW = dt.datetime(2026, 11, 7, 16, tzinfo=dt.UTC)
START = dt.datetime(2026, 11, 7, 7, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)

OPERATIONS = [
    "announcement",
    "reminder",
    "final-reminder",
    "faq",
    "start",
    "progress",
    "delay",
    "success",
    "known-issues",
    "rollback",
    "follow-up",
    "briefing",
    "incident",
    "post-mortem",
]
"""The 14 messages of the operations, section 5; the status page comes on top."""


def _record(**changed: Any) -> MigrationRecord:
    """A finished migration: a minute for each table, 10 documents for each collection."""
    loads = [
        RecordedLoad(
            name,
            START + number * MINUTE,
            START + (number + 1) * MINUTE,
            documents=10,
            rows=10,
        )
        for number, name in enumerate(TABLES)
    ]
    usual: dict[str, Any] = {
        "model": NEXTCRM,
        "loads": tuple(loads),
        "documents": 10 * len(ENTITIES),
        "rejected": 0,
        "issues": 0,
        "unmapped": 0,
        "passed": len(TABLES) * len(Layer),
        "failed": 0,
        "has_constraints": True,
        "verdict": "GO",
        "uptime": 99.95,
    }
    return MigrationRecord(**{**usual, **changed})


def _fill(
    name: str, values: Mapping[str, str] | None = None, record: MigrationRecord | None = None
) -> tuple[str, list[str]]:
    chosen_values = read_values(EXAMPLE) if values is None else dict(values)
    message = fill(
        template(name), chosen_values, now=NOW, read_record=lambda _: record or _record()
    )
    return message.text, list(message.hints)


# --- Templates ----------------------------------------------------------------------------------


def test_templates_are_those_of_the_operations() -> None:
    assert list(templates()) == [*OPERATIONS, "status-page"]
    assert [entry.number for entry in templates().values()] == list(range(1, 16))
    for entry in templates().values():
        assert entry.placeholders(), entry.name
        assert set(entry.placeholders()) <= FIELDS.keys(), entry.name
        assert template(str(entry.number)) is entry
        # Whoever is told has somebody to ask, and users have the status page or the desk.
        if "all users" in entry.audience:
            assert "support_email" in entry.placeholders(), entry.name
    with pytest.raises(MigrationError, match="no template 'none'"):
        template("none")


def test_every_field_is_used_and_explained() -> None:
    used = {name for entry in templates().values() for name in entry.placeholders()}
    assert used == FIELDS.keys() - {"time_zone"}
    assert all(field.meaning for field in FIELDS.values())


def test_no_date_and_no_promise_is_written_into_a_template() -> None:
    for entry in templates().values():
        text = f"{entry.subject}\n{entry.body}"
        assert not re.search(r"\b20\d\d\b|\b\d{1,2}:\d\d\b", text), entry.name
        assert not re.search("|".join(fields._WEEKDAYS), text), entry.name
        assert not re.search(r"\d+\s*%", text), entry.name
        minutes = re.findall(r"(\S+) minutes", text)
        assert set(minutes) <= {"}}", "(120", "15"}, entry.name


def test_agenda_of_the_post_mortem_fills_two_hours() -> None:
    minutes = re.findall(r"^\d\. .*: (\d+)$", template("post-mortem").body, re.MULTILINE)
    assert sum(map(int, minutes)) == 120


def test_docs_list_every_template() -> None:
    text = (DOCS / "README.md").read_text("utf-8")
    for entry in templates().values():
        link = f"../../migration_assets/messages/templates/{entry.file}"
        row = (
            f"| {entry.number} | [{entry.name}]({link}) | {entry.audience} "
            f"| {entry.channel} | {entry.timing} |"
        )
        assert row in text
        assert (DOCS / link).exists()


def test_example_has_every_value_that_somebody_gives() -> None:
    field_names = {name for name, field in FIELDS.items() if not field.source}
    assert yaml.safe_load(EXAMPLE.read_text("utf-8")).keys() == field_names


# --- Filling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", templates())
def test_every_message_is_filled_from_the_example(name: str) -> None:
    text, _ = _fill(name)
    assert "{{" not in text
    assert "}}" not in text
    assert text.startswith("To: ")
    assert re.search(r"^Subject: \S.*$", text, re.MULTILINE)


@pytest.mark.parametrize("name", templates())
def test_every_gap_is_refused_by_name(name: str) -> None:
    example_values = read_values(EXAMPLE)
    for missing in template(name).needs():
        if FIELDS[missing].source:
            continue
        for empty in ({}, {missing: " "}):
            remaining_values = {
                key: value for key, value in example_values.items() if key != missing
            } | empty
            with pytest.raises(MigrationError, match=rf"\b{missing} \(") as raised:
                _fill(name, remaining_values)
            assert (
                f"--set name=value, or in the file that --values or {MESSAGE_VALUES.name}"
                in str(raised.value)
            )


def test_a_value_that_the_record_lacks_is_a_gap() -> None:
    example_values = read_values(EXAMPLE)
    empty = fill_without_record = _record(loads=(), documents=0, verdict=None, passed=0)
    with pytest.raises(MigrationError, match=r"progress_percent \(.*nothing was loaded since"):
        _fill("progress", example_values, empty)
    with pytest.raises(MigrationError, match=r"give window_start"):
        _fill(
            "status-page",
            {key: value for key, value in example_values.items() if key != "window_start"},
        )

    def unreachable(_: object) -> MigrationRecord | None:
        raise MigrationError("no connection", where="PostgreSQL", next_step="Start it")

    with pytest.raises(MigrationError, match=r"records_done \(.*no connection"):
        fill(template("progress"), example_values, now=NOW, read_record=unreachable)
    with pytest.raises(MigrationError, match="no record of a migration"):
        fill(template("progress"), example_values, now=NOW, read_record=lambda _: None)
    assert fill_without_record.tables == set()


def test_a_message_that_needs_no_record_reads_none() -> None:
    def never(_: object) -> MigrationRecord | None:
        raise AssertionError

    for name in ("announcement", "start", "rollback", "briefing", "incident", "post-mortem"):
        fill(template(name), read_values(EXAMPLE), now=NOW, read_record=never)


@pytest.mark.parametrize("name", ["success", "known-issues"])
@pytest.mark.parametrize("verdict", ["NO-GO", None])
def test_success_is_told_only_after_a_go(name: str, verdict: str | None) -> None:
    with pytest.raises(MigrationError, match="signed off with a GO"):
        _fill(name, record=_record(verdict=verdict))


def test_weekdays_are_worked_out() -> None:
    text, _ = _fill("start")
    assert "Started: Saturday, 7 November 2026, 08:00 (CET, UTC+01:00)" in text
    # The planning documents call this Thursday a Saturday.
    when = fields.moment("window_start", "2025-11-06T08:00Z", None)
    assert fields.shown_moment(when) == "Thursday, 6 November 2025, 08:00 (UTC)"
    summer = fields.moment("window_start", "2026-07-01T08:00", fields.time_zone("Europe/Prague"))
    assert fields.shown_moment(summer) == "Wednesday, 1 July 2026, 08:00 (CEST, UTC+02:00)"
    offset = fields.moment("window_start", "2026-07-01T08:00-03:30", None)
    assert fields.shown_moment(offset) == "Wednesday, 1 July 2026, 08:00 (UTC-03:30)"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window_start", "Saturday, 6 November 2025"),
        ("window_start", "2026-11-07T08:00"),  # without a zone
        ("window_end", "2026-11-07T07:00+00:00"),  # the start
        ("time_zone", "Middle/Earth"),
        ("rollback_minutes", "half an hour"),
        *(("rollback_minutes", number) for number in ("inf", "-Infinity", "nan", "1e999")),
        ("priority", "P0"),
        ("issues", "the list is slow"),
        ("issues", "[{description: slow, impact: all, status: open}]"),
        ("shifts", "[]"),
    ],
)
def test_values_that_are_none_are_refused(name: str, value: str) -> None:
    values = {"window_start": "2026-11-07T07:00+00:00", name: value}
    with pytest.raises(MigrationError, match=name):
        _fill("start", values)


def test_durations_and_the_next_report_are_computed() -> None:
    text, _ = _fill("announcement")
    assert "Expected duration: 46 hours" in text
    text, _ = _fill("delay")
    assert "That is 4 hours more." in text
    assert "next at Saturday, 7 November 2026, 21:00 (CET, UTC+01:00)" in text
    assert fields.shown_duration(dt.timedelta(minutes=61)) == "1 hour 1 minute"
    text, _ = _fill("post-mortem")
    assert "10:00 (CET, UTC+01:00) to Thursday, 12 November 2026, 12:00" in text


def test_lists_are_written_out() -> None:
    text, _ = _fill("known-issues")
    assert (
        "- **The invoice list is slow**\n  - impact: Opening it takes up to 5 seconds\n"
        "  - status: an index is being built\n  - workaround: Filter by month" in text
    )
    pairs = read_pairs(["issues=[{description: a, impact: b, status: c, workaround: d}]"])
    text, _ = _fill("known-issues", {**read_values(EXAMPLE), **pairs})
    assert "- **a**\n  - impact: b" in text


def test_values_are_not_filled_again() -> None:
    text, _ = _fill("start", {**read_values(EXAMPLE), "sender": "{{ support_email }}"})
    assert text.rstrip().endswith("{{ support_email }}")


@pytest.mark.parametrize("content", ["- a", "nothing: 1", "a: [", ""])
def test_files_that_are_none_are_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(content)
    with pytest.raises(MigrationError, match=r"values\.yaml"):
        read_values(file)
    with pytest.raises(MigrationError):
        read_pairs(["sender"])


# --- The record ---------------------------------------------------------------------------------


def test_progress_is_that_of_the_documents() -> None:
    finished_loads = _record().loads
    running = RecordedLoad("Users", START + 40 * MINUTE, None, documents=5, rows=0)
    entities = [load for load in finished_loads if load.table in ENTITIES and load.table != "Users"]
    record = _record(loads=(*entities[:14], running), verdict=None)
    now = START + 58 * MINUTE
    progress_fields = progress(record, now)
    assert (progress_fields["records_done"], progress_fields["records_total"]) == ("145", "290")
    assert progress_fields["progress_percent"] == "50"
    assert progress_fields["tables_done"] == "14"
    assert (
        progress_fields["current_step"] == f"loading table {list(TABLES).index('Users') + 1} of 39"
    )
    started = min(load.started_at for load in record.loads)
    assert progress_fields["expected_end"] == now + (now - started)
    assert progress(_record(loads=()), now) == {}


@pytest.mark.parametrize(
    ("changed", "step"),
    [
        ({}, "signed off: GO"),
        ({"verdict": None}, "final checks and sign-off"),
        ({"verdict": None, "has_constraints": False}, "building indexes and foreign keys"),
    ],
)
def test_steps_after_the_load(changed: Mapping[str, Any], step: str) -> None:
    assert progress(_record(**changed), NOW)["current_step"] == step


def test_records_that_were_not_moved_unchanged_are_named() -> None:
    assert results(_record())["known_items"] == "every record and every value was moved."
    known_items = str(results(_record(rejected=3, issues=1200, unmapped=1))["known_items"])
    assert known_items.startswith("3 records were set aside whole, 1,200 values could not be moved")
    assert results(_record())["validation_result"] == "156 of 156 checks passed, verdict GO"
    assert "record_total" not in results(_record(loads=_record().loads[1:]))


def test_sender_is_told_when_the_window_will_not_do() -> None:
    _, hints = _fill("progress")
    assert hints == []
    load = RecordedLoad("Users", START, None, documents=1, rows=0)
    _, hints = _fill("progress", record=_record(loads=(load,), verdict=None))
    assert hints == ["the estimated end is after the end of the window: decide, and send `delay`"]


def _check(connection: psycopg.Connection[Any], evaluated_at: dt.datetime) -> None:
    for table in TABLES:
        for layer in Layer:
            connection.execute(
                "INSERT INTO migration.check_results (target_table, check_name, passed, severity, "
                "summary, evidence, evaluated_at) VALUES (%s, %s, true, 'ERROR', '', '{}', %s)",
                [table, layer, evaluated_at],
            )


def _sign(connection: psycopg.Connection[Any], when: dt.datetime, verdict: str) -> None:
    connection.execute(
        "INSERT INTO migration.sign_offs (signed_at, verdict, report) VALUES (%s, %s, '{}')",
        [when, verdict],
    )


def test_record_is_read_from_the_target(small_copy: str, target_url: str) -> None:
    with open_target(target_url) as connection:
        assert read_record(NEXTCRM, connection, since=None) is None
    now = dt.datetime.now(tz=dt.UTC)
    with open_target(small_copy) as connection:
        _check(connection, now)
        _sign(connection, now - MINUTE, "NO-GO")
        _sign(connection, now, "GO")
        counted = sum(
            connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # type: ignore[index]
            for name in ENTITIES
        )
        record = read_record(NEXTCRM, connection, since=now - 60 * MINUTE)
        later = read_record(NEXTCRM, connection, since=now + MINUTE)
    assert record is not None
    assert later is not None
    assert record.tables == set(TABLES)
    assert record.moved == counted
    assert record.done == record.documents == counted  # the small sample is clean
    assert (record.verdict, record.passed, record.failed) == ("GO", 156, 0)
    assert record.has_constraints
    progress_fields = progress(record, now)
    assert (progress_fields["progress_percent"], progress_fields["tables_done"]) == ("100", "39")
    assert (later.loads, later.passed, later.verdict) == ((), 0, None)


# --- The command --------------------------------------------------------------------------------


@pytest.fixture
def command(small_copy: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv(TARGET_URL.name, small_copy)
    monkeypatch.delenv(MESSAGE_VALUES.name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["message", *arguments], catch_exceptions=False)
        return result.exit_code, result.stdout, " ".join(result.stderr.split())

    return run


def test_command_writes_messages(
    command: Any, small_copy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output, _ = command()
    assert code == 0
    assert all(f" {name} " in output for name in OPERATIONS)

    code, output, errors = command("final-reminder")
    assert (code, output) == (2, "")
    assert "6 placeholders would be empty: window_start (start of the window" in errors

    now = dt.datetime.now(tz=dt.UTC)
    window = [
        f"--set=window_start={(now - 60 * MINUTE).isoformat()}",
        f"--set=window_end={(now + 60 * MINUTE).isoformat()}",
        f"--values={EXAMPLE}",
    ]
    code, output, errors = command("success", *window)
    assert (code, output) == (2, "")
    assert "there is no sign-off since window_start" in errors
    with open_target(small_copy) as connection:
        _check(connection, now)
        _sign(connection, now, "GO")
    code, output, errors = command("8", *window)
    assert (code, errors) == (0, "")
    assert "156 of 156 checks passed, verdict GO" in output
    assert "every record and every value was moved" in output

    monkeypatch.setenv(MESSAGE_VALUES.name, str(EXAMPLE))
    file = tmp_path / "progress.md"
    code, output, errors = command("progress", *window[:2], f"--output={file}")
    assert (code, output, errors) == (0, "", "")
    text = file.read_text("utf-8")
    assert "Subject: NextCRM maintenance: 100 % done" in text
    assert "- Tables: 39 of 39" in text

    code, _, errors = command("nothing")
    assert code == 2
    assert "there is no template 'nothing'" in errors
