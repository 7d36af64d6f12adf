"""Signing off: findings, waivers, the report in its three forms, its digest, and the page in a browser."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import stat
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from psycopg import sql
from rich.console import Console
from typer.testing import CliRunner

from migration_assets.assets.sign_off import SignOffConfig, run_config
from migration_assets.causes.losses import Loss
from migration_assets.causes.proposals import Confidence, Proposal
from migration_assets.causes.tracing import Cause, causes_of
from migration_assets.cli import app
from migration_assets.commands.signing import approval_of, withdraw_go
from migration_assets.embedded import Urls
from migration_assets.errors import MigrationError
from migration_assets.loading.dependencies import depends_on
from migration_assets.loading.merging import delete_pending
from migration_assets.loading.records import LoadResult, Merged, Tally
from migration_assets.model import referenced_tables
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.nextcrm.sample.values import SECRET_PREFIX
from migration_assets.preflight.duration import Estimate, Rehearsal
from migration_assets.settings import REPORTS, SOURCE_URL, TARGET_URL
from migration_assets.sign_off.dashboard import REASONS, dashboard, summary
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.page import MARKS as STATE_MARKS
from migration_assets.sign_off.page import WORDS
from migration_assets.sign_off.page import page as page_of
from migration_assets.sign_off.recorded import (
    BookCount,
    CheckResult,
    Load,
    Recorded,
    Unmapped,
    read_recorded,
)
from migration_assets.sign_off.report import (
    DOCUMENT,
    Server,
    Surroundings,
    canonical,
    digest,
    report,
)
from migration_assets.sign_off.signing import reports_directory
from migration_assets.sign_off.verdict import Verdict, judged
from migration_assets.sign_off.waivers import (
    Approval,
    Decision,
    Waiver,
    draft,
    kept,
    known_ids,
    parsed,
    read_waivers,
)
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.source.digests import fingerprints
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.checks import record, run_checks, state_of
from migration_assets.validation.evidence import Evidence, Layer, Severity
from migration_assets.validation.key_digest import rows_text
from migration_assets.validation.pointers import DOCUMENTATION, statements
from migration_assets_tests import ROOT
from migration_assets_tests.support.browsing import keep
from migration_assets_tests.support.loaded_sample import database_copy

if TYPE_CHECKING:
    from playwright.sync_api import Page


NOW = dt.datetime(2027, 1, 30, 12, tzinfo=dt.UTC)
PRINTS = dict.fromkeys(ENTITIES, "f")
LIKES = "Tasks:values:nulled:likes"
MARKS = ("rows", "books")
KEYS = 2**60 + 7
"""Of three documents, as the target sums their hashes."""


def load_of(table: str, position: int, version: str = "") -> Load:
    result = LoadResult(
        table,
        uuid.uuid4(),
        Merged(10 * position, 0, 0, 0, 0),
        Tally(documents=10 * position),
        seconds=0.5,
        stages={"read": 0.1, "merge": 0.2},
        size=1_000_000,
    )
    prints = {table: "f"} if table in ENTITIES else {}
    return Load(table, prints, version or f"v {table}", NOW, NOW, result.statistics())


def result_of(table: str, layer: Layer, **changes: Any) -> CheckResult:
    evidence = Evidence(
        table, layer, passed=True, severity=Severity.ERROR, summary="as it should be"
    )
    evidence = replace(evidence, counts={"documents": 10, "rows": 10}, seconds={"compare": 0.25})
    evidence = replace(evidence, **changes)
    return CheckResult(
        table,
        evidence.passed,
        evidence.severity,
        evidence.summary,
        json.loads(json.dumps(evidence.as_json())),
        NOW,
        {dependency.name: f"v {dependency.name}" for dependency in depends_on(TABLES[table])},
        *MARKS,
    )


@cache
def green() -> Mapping[tuple[str, str], CheckResult]:
    """The results of all checks where all are green. Nobody changes it."""
    return {(name, layer.value): result_of(name, layer) for name in TABLES for layer in Layer}


def recorded(
    *,
    losses: Sequence[BookCount] = (),
    results: Mapping[tuple[str, str], CheckResult | None] | None = None,
    **changes: Any,
) -> Recorded:
    """A record in which everything is green, apart from the arguments."""
    loads = {name: load_of(name, number) for number, name in enumerate(TABLES, start=1)}
    loads["uuid_map"] = load_of("uuid_map", 1)
    results_or_none: dict[tuple[str, str], CheckResult | None] = {**green(), **(results or {})}
    present_results = {key: result for key, result in results_or_none.items() if result is not None}
    marks = dict.fromkeys(TABLES, MARKS)
    causes = [caused_by(line) for line in losses]
    record = Recorded(
        NEXTCRM, loads=loads, results=present_results, losses=losses, causes=causes, marks=marks
    )
    return replace(record, **changes)


def lost(count: int, keys: int = KEYS) -> Recorded:
    """A record in which values of `Tasks.likes` were nulled."""
    red = result_of(
        "Tasks", Layer.VALUES, passed=False, failures=count, summary=f"on record: {count} nulled"
    )
    line = BookCount("Tasks", "Tasks", "likes", "nulled", "string fits no rule", count, count)
    return recorded(
        losses=[line], causes=[caused_by(line, keys)], results={("Tasks", "values"): red}
    )


def caused_by(line: BookCount, keys: int = KEYS) -> tuple[Cause, Proposal]:
    """The cause of the losses of a line, with a rule that resolves it."""
    loss = Loss(
        line.table, line.collection, line.field, line.kind, line.reason, line.count, keys=keys
    )
    (cause,) = causes_of([loss], {})
    rule = {"name": "x", "collection": line.collection, "field": line.field, "drop": True}
    return cause, Proposal([rule], Confidence.CHOICE, "map the values")


def waiver(**changes: Any) -> Waiver:
    return replace(Waiver(LIKES, 3, rows_text(KEYS), "Ann Example", "test data of 2019"), **changes)


def waiving(*waivers: Waiver) -> Approval:
    return Approval("Ann Example", "migration lead", waivers=waivers)


def made_report(record: Recorded, verdict: Verdict) -> dict[str, Any]:
    measured = Rehearsal(100.0, 1_000, 2_000_000, NOW, is_whole=True)
    return report(
        record,
        verdict,
        Surroundings(
            Server("nextcrm", ["mongo.example:27017"], "6.0"),
            Server("nextcrm", ["postgres.example:5432"], "18.0"),
            NOW,
            Estimate(measured, 2_000, 4_000_000),
        ),
    )


# --- Findings -----------------------------------------------------------------------------------


def test_all_green_is_go_and_nobody_has_signed() -> None:
    judgement = judged(recorded(), PRINTS)
    assert (judgement.word, judgement.findings, judgement.checks) == (
        "GO",
        [],
        len(TABLES) * len(Layer),
    )
    assert judgement.signature == "not signed"
    assert (
        judged(recorded(), PRINTS, waiving()).signature == "signed by Ann Example, migration lead"
    )


def stale(record: Recorded) -> Recorded:
    """`Users` changed after the table that refers to it was checked."""
    users = replace(record.loads["Users"], version="another")
    return replace(record, loads={**record.loads, "Users": users})


RED = result_of(
    "Tasks", Layer.TYPES, passed=False, is_sound=False, failures=2, summary="2 failures"
)
FINDINGS: dict[str, tuple[Recorded, Mapping[str, str], set[str]]] = {
    "never loaded": (
        replace(recorded(), loads={k: v for k, v in recorded().loads.items() if k != "Tasks"}),
        PRINTS,
        {"Tasks:load:missing"},
    ),
    "check missing": (
        recorded(results={("Tasks", "types"): None}),
        PRINTS,
        {"Tasks:types:missing"},
    ),
    "check failed": (
        recorded(results={("Tasks", "types"): RED}),
        PRINTS,
        {"Tasks:types:failed"},
    ),
    "check of an older load": (
        recorded(results={("Tasks", "types"): replace(RED, passed=True, load_id="older")}),
        PRINTS,
        {"Tasks:types:stale"},
    ),
    "rows touched since their checks": (
        recorded(marks=dict.fromkeys(TABLES, MARKS) | {"Tasks": ("others", "books")}),
        PRINTS,
        {"Tasks:target:touched"},
    ),
    "books touched since one check": (
        recorded(
            results={
                ("Tasks", "values"): replace(result_of("Tasks", Layer.VALUES), books_mark="others")
            }
        ),
        PRINTS,
        {"Tasks:target:touched"},
    ),
    "map touched": (recorded(is_map_touched=True), PRINTS, {"uuid_map:target:touched"}),
    "loaded by another program": (
        recorded(loaded_by_other=["Tasks", "uuid_map"]),
        PRINTS,
        {"Tasks:load:stale", "uuid_map:load:stale"},
    ),
    "documents that texts name changed after the check": (
        replace(
            recorded(), loads={**recorded().loads, "uuid_map": load_of("uuid_map", 1, "other")}
        ),
        PRINTS,
        {f"{name}:{layer}:stale" for name in ("TodoList", "Documents") for layer in Layer},
    ),
    "source written to": (recorded(), PRINTS | {"Tasks": "g"}, {"Tasks:source:written:Tasks"}),
    "index missing": (
        recorded(missing=["Users_email_key"]),
        PRINTS,
        {"constraints:constraints:missing:Users_email_key"},
    ),
    "foreign key of another": (
        recorded(differing=["Tasks_user_fkey"]),
        PRINTS,
        {"constraints:constraints:differs:Tasks_user_fkey"},
    ),
    "values nulled": (lost(3), PRINTS, {LIKES}),
    "a pair orphaned": (
        recorded(
            losses=[
                BookCount("DocumentsToTasks", "Documents", "tasksIDs", "orphaned", "no row", 1, 1)
            ]
        ),
        PRINTS,
        {"Documents:references:orphaned:tasksIDs"},
    ),
    "a document that cannot be read": (
        recorded(losses=[BookCount("Tasks", "Tasks", "", "rejected", "not valid BSON", 1, 1)]),
        PRINTS,
        {"Tasks:values:rejected"},
    ),
}


@pytest.mark.parametrize(("record", "prints", "ids"), FINDINGS.values(), ids=FINDINGS.keys())
def test_every_kind_of_finding_is_no_go(
    record: Recorded, prints: Mapping[str, str], ids: set[str]
) -> None:
    judgement = judged(record, prints)
    assert judgement.word == "NO-GO"
    assert {finding.id for finding in judgement.findings} == ids
    assert all(finding.what and finding.next_step for finding in judgement.findings)
    assert made_report(record, judgement)["overallStatus"] == "FAIL"


def test_change_of_a_table_makes_the_checks_of_those_that_refer_to_it_stale() -> None:
    finding_ids = {finding.id for finding in judged(stale(recorded()), PRINTS).findings}
    referring = [name for name, table in TABLES.items() if "Users" in referenced_tables(table)]
    assert finding_ids == {f"{name}:{layer}:stale" for name in referring for layer in Layer}


def test_red_check_that_losses_explain_only_in_part_stands_beside_them() -> None:
    record = lost(3)
    values = record.results["Tasks", "values"]
    unsound = replace(values, evidence={**values.evidence, "is_sound": False})
    record = replace(record, results={**record.results, ("Tasks", "values"): unsound})
    assert {finding.id for finding in judged(record, PRINTS).findings} == {
        LIKES,
        "Tasks:values:failed",
    }


def test_names_of_unknown_fields_are_bounded_and_counted_in_full(
    source: SourceDatabase, target: Connection
) -> None:
    """Of 20,000 names a report was a megabyte."""
    for source_id, count in (("a", 300), ("b", 2)):
        fields = json.dumps({f"{number}-{'x' * 300}": 1 for number in range(count)})
        target.execute(
            "INSERT INTO migration.unmapped_fields (target_table, collection, source_id, fields) "
            "VALUES ('Tasks', 'Tasks', %s, %s)",
            [source_id, fields],
        )
    (unmapped,) = read_recorded(NEXTCRM, target, source).unmapped
    assert (unmapped.documents, unmapped.names, len(unmapped.fields)) == (2, 300, 100)
    assert list(unmapped.fields.values())[:3] == [2, 2, 1]
    assert {len(name) for name in unmapped.fields} == {200}


def test_warnings_and_unknown_fields_and_collections_are_information() -> None:
    warns = result_of("Tasks", Layer.REFERENCES, passed=False, severity=Severity.WARN)
    record = recorded(
        results={("Tasks", "references"): warns},
        unmapped=[Unmapped("Tasks", 2, {"colour": 2}), Unmapped("legacy_Notes", 1, {})],
        left_out=["Tasks_fts"],
    )
    judgement = judged(record, PRINTS)
    assert judgement.word == "GO"
    information_text = "\n".join(finding.what for finding in judgement.information)
    assert len(judgement.information) == 4
    assert "2 documents with fields that the model does not know" in information_text
    assert "does not know this collection" in information_text


def test_unknown_collection_that_is_not_kept_as_it_is_cannot_be_waived() -> None:
    judgement = judged(recorded(), PRINTS, unkept={"legacy_Notes": (3, 2)})
    (finding,) = judgement.findings
    assert (judgement.word, finding.is_waivable) == ("NO-GO", False)
    assert "is not kept as it is: 3 documents in the source, 2 in the books" in finding.what
    assert "Materialize migration/uuid_map" in finding.next_step


# --- Waivers ------------------------------------------------------------------------------------


def test_waived_finding_is_go() -> None:
    judgement = judged(lost(3), PRINTS, waiving(waiver()))
    assert (judgement.word, list(judgement.findings)) == ("GO", [])
    assert [waived.waiver.reason for waived in judgement.waived] == ["test data of 2019"]


@pytest.mark.parametrize(
    ("record", "changes", "why"),
    [
        (lost(4), {}, "the rows behind it changed: it was given for 3, there are 4 now"),
        (lost(2), {}, "the rows behind it changed: it was given for 3, there are 2 now"),
        (lost(3, KEYS + 1), {}, "the rows behind it changed: it was given for 3 others"),
        (lost(3), {"until": dt.date(2020, 1, 1)}, "it ended on 2020-01-01"),
    ],
    ids=["grown", "fewer", "others", "ended"],
)
def test_void_waiver_is_no_go_and_says_why(record: Recorded, changes: Any, why: str) -> None:
    judgement = judged(record, PRINTS, waiving(waiver(**changes)))
    assert judgement.word == "NO-GO"
    assert [finding.id for finding in judgement.findings] == [LIKES]
    assert [waived.why_void for waived in judgement.waived] == [why]
    assert judgement.signature.startswith("not signed")


def earlier(record: Recorded, *waivers: Waiver) -> Recorded:
    """A record of a target that was signed off with waivers."""
    signed = report_of_waivers(waivers)
    return replace(record, waivers=kept(signed["waivers"], NOW))


def report_of_waivers(waivers: Sequence[Waiver]) -> dict[str, Any]:
    return made_report(lost(3), judged(lost(3), PRINTS, waiving(*waivers)))


def test_waiver_goes_on_to_hold_for_the_same_rows_until_it_is_withdrawn() -> None:
    judgement = judged(earlier(lost(3), waiver()), PRINTS)
    assert (judgement.word, judgement.signature) == ("GO", "not signed")
    assert [waived.waiver.since for waived in judgement.waived] == ["2027-01-30T12:00:00+00:00"]
    assert judged(earlier(lost(3, KEYS + 1), waiver()), PRINTS).word == "NO-GO"
    assert judged(earlier(lost(3), waiver(rows="0-0")), PRINTS).word == "NO-GO"  # it was void then
    assert judged(earlier(recorded(), waiver()), PRINTS).waived == []  # nothing is left to waive
    anew = judged(earlier(lost(3), waiver()), PRINTS, waiving(waiver(reason="again")))
    assert [(waived.waiver.reason, waived.waiver.since) for waived in anew.waived] == [
        ("again", "")
    ]
    assert judged(earlier(lost(3), waiver()), PRINTS, Approval(withdraws=True)).word == "NO-GO"


def test_day_of_the_first_sign_off_is_kept() -> None:
    record = earlier(lost(3), waiver())
    report = made_report(record, judged(record, PRINTS))
    (again,) = kept(report["waivers"], NOW + dt.timedelta(days=9))
    assert again == record.waivers[0]
    assert "(since 2027-01-30 12:00:00 UTC)" in dashboard(report)


def test_draft_has_what_was_seen_and_asks_for_name_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    (line,) = lost(3).losses
    record = replace(lost(3), causes=[*lost(3).causes, caused_by(replace(line, field="__v"))])
    report = made_report(
        record, judged(record, PRINTS, waiving(waiver(until=dt.date(2027, 1, 31))))
    )
    file.write_text(draft(report))
    with pytest.raises(MigrationError, match=r"waiver 1: name is missing.*reason is missing"):
        read_waivers(file)
    file.write_text(draft(report, "Bob").replace("reason: ''", "reason: seen"))
    assert read_waivers(file) == [
        Waiver("Tasks:values:nulled:__v", 3, rows_text(KEYS), "Bob", "seen"),
        waiver(until=dt.date(2027, 1, 31)),
    ]
    record = FINDINGS["check missing"][0]
    assert "finding:" not in draft(made_report(record, judged(record, PRINTS)))


def test_a_finding_that_nobody_has_checked_cannot_be_waived() -> None:
    record, prints, _ = FINDINGS["check missing"]
    judgement = judged(record, prints, waiving(waiver(finding="Tasks:types:missing")))
    assert judgement.word == "NO-GO"
    assert "nobody knows yet" in judgement.waived[0].why_void


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Finding("T", "", "", "c", "k", "a:b"), Finding("T", "", "", "c", "k", "a_b")),
        (Finding("T", "", "", "c", "k", "a:b"), Finding("T", "", "", "c", "k", "a%3Ab")),
        (
            Finding("T", "", "", "c", "k", "a.b"),
            Finding("T", "", "", "c", "k", "b", collection="a"),
        ),
        (
            Finding("T", "", "", "c", "k", "c", collection="a.b"),
            Finding("T", "", "", "c", "k", "b.c", collection="a"),
        ),
        (Finding("a:c", "", "", "c", "k"), Finding("a", "", "", "c", "c:k")),
    ],
)
def test_no_two_findings_have_one_id(one: Finding, other: Finding) -> None:
    assert one.id != other.id


def test_waiver_of_one_field_leaves_that_of_a_like_name() -> None:
    record = lost(3)
    lines = [replace(record.losses[0], field=name) for name in ("a:b", "a_b")]
    record = replace(record, causes=[caused_by(line) for line in lines])
    judgement = judged(record, PRINTS, waiving(waiver(finding="Tasks:values:nulled:a_b")))
    assert [finding.field for finding in judgement.findings] == ["a:b"]


@pytest.mark.parametrize(
    ("documents", "values", "headline"),
    [
        (0, 0, "GO"),
        (1, 0, "GO, with 1 document in no table"),
        (0, 2, "GO, with 2 values lost or altered"),
        (1200, 3, "GO, with 1,200 documents in no table and 3 values lost or altered"),
    ],
)
def test_go_says_what_somebody_has_accepted_to_lose(
    documents: int, values: int, headline: str
) -> None:
    record = recorded(documents_in_no_table=documents, values_lost=values)
    judgement = judged(record, PRINTS)
    assert (judgement.word, judgement.headline) == ("GO", headline)
    report = made_report(record, judgement)
    assert (report["verdict"]["word"], report["verdict"]["headline"]) == ("GO", headline)
    assert f">{headline}</strong>" in page_of(report, "0")
    assert f"## {headline}," in summary(report, "0")
    red = replace(record, missing=["Users_email_key"])
    assert judged(red, PRINTS).headline == "NO-GO"


def test_waiver_of_nothing_is_an_error_that_names_the_findings() -> None:
    with pytest.raises(MigrationError, match=f"waiver of Boards:x.*{LIKES}"):
        judged(lost(3), PRINTS, waiving(waiver(), waiver(finding="Boards:x")))


def test_error_names_the_most_similar_ids_first() -> None:
    ids = [f"Boards:values:nulled:field_{number}" for number in range(40)]
    message = known_ids([*ids, LIKES], "Tasks:values:nulled:like")
    assert message.startswith(f"the findings are: {LIKES}, ")
    assert message.endswith(" and 21 more, see the report")
    assert known_ids([], "x") == "there is no finding"


def test_approver_may_decline_and_must_have_a_name() -> None:
    judgement = judged(recorded(), PRINTS, Approval("Ann Example", decision=Decision.DECLINE))
    assert (judgement.word, judgement.signature) == ("NO-GO", "declined by Ann Example")
    for changes in ({"role": "DBA"}, {"decision": Decision.DECLINE}):
        with pytest.raises(MigrationError, match="without an approver"):
            Approval(**changes)


def test_an_approver_whose_terminal_is_not_utf_8_is_one_line() -> None:
    with pytest.raises(MigrationError, match="--approver: the text is not UTF-8"):
        approval_of(approver="J\udcfcrgen", role=None)
    with pytest.raises(MigrationError, match="--reason: the text is not UTF-8"):
        withdraw_go(Console(), "Ann", "\udcfc")


def test_waivers_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(
        f"- finding: {LIKES}\n  count: 3\n  rows: {rows_text(KEYS)}\n  name: Ann Example\n"
        "  reason: test data of 2019\n  until: 2027-01-31\n"
    )
    assert read_waivers(file) == [waiver(until=dt.date(2027, 1, 31))]
    file.write_text(json.dumps({"waivers": [waiver().as_json()]}))
    assert read_waivers(file) == [waiver()]


WRONG_FILES = {
    "no YAML": ("- {", "is not YAML, line 1"),
    "no list": ("finding: x", "is not a list of waivers"),
    "no mapping": ("- x", "waiver 1: is not a mapping"),
    "unknown key": (
        "- {finding: a, count: 1, rows: r, name: b, reason: c, who: d}",
        "waiver 1: 'who' is not known",
    ),
    "two mistakes": (
        "- {finding: a, count: true, reason: ' '}",
        "waiver 1: count is not a whole number above 0; waiver 1: rows is missing or no text; "
        "waiver 1: name is missing or no text; "
        "waiver 1: reason is missing or no text",
    ),
    "no date": (
        "- {finding: a, count: 1, rows: r, name: b, reason: c, until: soon}",
        "waiver 1: until is not a date",
    ),
    "twice": (
        "[{finding: a, count: 1, rows: r, name: b, reason: c}, "
        "{finding: a, count: 2, rows: r, name: b, reason: c}]",
        "a is waived twice",
    ),
}


@pytest.mark.parametrize(("text", "expected"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_wrong_file_of_waivers_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "waivers.yaml"
    file.write_text(text)
    with pytest.raises(MigrationError, match=re.escape(expected)):
        read_waivers(file)


def test_configuration_of_a_run_carries_the_approval() -> None:
    approval = Approval(
        "Ann Example", "DBA", Decision.DECLINE, [waiver(until=dt.date(2027, 1, 31)), waiver()]
    )
    approval = replace(
        approval, waivers=parsed([entry.as_json() for entry in approval.waivers][:1], "test")
    )
    approval = replace(approval, withdraws=True)
    (op,) = run_config(approval, "there")["ops"].values()
    config = op["config"] | {"decision": Decision.DECLINE}
    assert SignOffConfig(**config).approval() == approval


# --- Report -------------------------------------------------------------------------------------


def test_report_has_the_fields_of_a_validation_report() -> None:
    """Operations 8.2."""
    record = lost(3)
    report = made_report(record, judged(record, PRINTS))
    assert report["overallStatus"] == "FAIL"
    assert report["timestamp"] == "2027-01-30T12:00:00+00:00"
    summary = report["summary"]
    assert (summary["totalTables"], summary["tablesValidated"]) == (39, 39)
    assert (summary["tablesPassed"], summary["tablesFailed"]) == (38, 1)
    assert summary["recordsValidated"] == 10 * len(ENTITIES)
    assert summary["recordsMismatched"] == 3
    assert summary["recordsMatched"] == 10 * len(ENTITIES) - 3
    assert summary["matchPercentage"] == 98.96
    assert summary["totalRecords"] == sum(
        record.loads[name].statistics["documents"] for name in ENTITIES
    )
    assert report["rowCountValidation"] == {"status": "PASS", "discrepancies": []}
    assert report["sampleRecordValidation"]["status"] == "FAIL"
    assert report["referentialIntegrityValidation"] == {
        "status": "PASS",
        "orphanedRecords": 0,
        "brokenForeignKeys": 0,
    }
    assert report["dataTypeValidation"] == {"status": "PASS", "typeErrors": []}
    (tasks,) = [
        table_result
        for table_result in report["detailedResults"]
        if table_result["name"] == "Tasks"
    ]
    assert tasks["status"] == "FAIL"
    assert tasks["rowCount"] == {"mongo": 10, "postgresql": 10, "rejected": None, "match": True}
    assert tasks["sampleValidation"]["mismatched"] == 3
    assert tasks["foreignKeyValidation"].keys() >= {
        "totalForeignKeys",
        "validForeignKeys",
        "orphaned",
    }
    assert report["estimate"]["seconds"] == 100 * 2 * 1.5


def test_digest_is_of_the_canonical_form() -> None:
    record = recorded()
    report = made_report(record, judged(record, PRINTS))
    plain = json.dumps(report, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest(report) == hashlib.sha256(plain.encode()).hexdigest()
    again = json.loads(json.dumps({**report, "digest": digest(report)}, indent=2))
    assert digest(again) == digest(report)
    again["summary"]["rows"] += 1
    assert digest(again) != digest(report)
    assert canonical({"b": "é", "a": 1}) == '{"a":1,"b":"é"}'.encode()


def test_input_of_people_is_text_on_the_page_and_in_markdown() -> None:
    evil = "<script>alert(1)</script> [x](http://evil.example) *b*"
    judgement = judged(
        lost(3), PRINTS, replace(waiving(waiver(name=evil, reason=evil)), approver=evil)
    )
    report = made_report(lost(3), judgement)
    assert "<script" not in page_of(report, "0")
    texts = summary(report, "0") + dashboard(report)
    assert "<script" not in texts
    assert "[x](http" not in texts


def test_dashboard_leads_to_every_check_and_says_why_it_is_not_green() -> None:
    record = lost(3)
    results = {**record.results}
    del results["Boards", "types"]
    record = replace(record, results=results)
    report = made_report(record, judged(record, PRINTS))
    board, short = dashboard(report), summary(report, "0" * 64)
    for name in TABLES:
        for layer in Layer:
            assert f"](/assets/postgres/{name}?view=checks&checkDetail={layer})" in board
    assert "decisions left: **1**" in short
    assert len(short) < 1000  # Dagster shows no more without a click
    decisions, others = (
        board.index("### Decisions left, by cause"),
        board.index("### Other findings"),
    )
    assert decisions < board.index(LIKES) < others < board.index("Boards:types:missing")
    for state, count in (("failed", 1), ("missing", 1), ("passed", 4 * len(TABLES) - 2)):
        assert f"{STATE_MARKS[state]} {count} " in short
        assert f"- {STATE_MARKS[state]} {count} " in board
        assert REASONS.get(state, "") in board
    rows = [line for line in board.splitlines() if line.startswith("| [")]
    assert len(rows) == len(TABLES)
    assert {row.split("]")[0] for row in rows[:2]} == {"| [Tasks", "| [Boards"}


def test_every_state_of_a_check_has_a_mark_and_a_reason() -> None:
    assert STATE_MARKS.keys() == WORDS.keys()
    assert len({*STATE_MARKS.values()}) == len(STATE_MARKS)
    assert REASONS.keys() == STATE_MARKS.keys() - {"passed"}


def test_reports_directory_that_cannot_be_is_an_error_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MigrationError, match=REPORTS.name):
        reports_directory(tmp_path / "file" / "reports")
    assert reports_directory(tmp_path / "new" / "reports").is_dir()


def test_documentation_has_the_section_of_every_check() -> None:
    for place in DOCUMENTATION.values():
        path, _, anchor = place.partition("#")
        assert f"\n### {anchor}\n" in (ROOT / path).read_text()
    assert (ROOT / DOCUMENT).exists()


# --- On real servers ----------------------------------------------------------------------------


def pass_all(connection: Connection) -> None:
    """Records that every check passed, as after a clean run."""
    for name, table in TABLES.items():
        state = state_of(connection, table)
        for layer in Layer:
            evidence = Evidence(name, layer, passed=True, severity=Severity.ERROR, summary="passed")
            record(connection, evidence, state)


@pytest.fixture
def variables(
    small_migration: Urls, small_copy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Connection]:
    """A migrated target, as the command line sees it; all its checks have passed."""
    monkeypatch.setenv(SOURCE_URL.name, small_migration.mongodb_url)
    monkeypatch.setenv(TARGET_URL.name, small_copy)
    monkeypatch.setenv(REPORTS.name, str(tmp_path / "reports"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with open_target(small_copy) as connection:
        pass_all(connection)
        yield connection


@pytest.fixture(scope="module")
def small_source(small_migration: Urls) -> Iterator[SourceDatabase]:
    """The small source."""
    with open_source(small_migration.mongodb_url) as source:
        yield source


@pytest.fixture(scope="module")
def prints(small_source: SourceDatabase) -> Mapping[str, str]:
    """The fingerprints of the small source."""
    return fingerprints(small_source, ENTITIES)


@pytest.fixture(scope="module")
def checked(servers: Urls, small_migration: Urls) -> Iterator[Connection]:
    """A migrated target whose checks have all passed; changes to it are rolled back."""
    with (
        database_copy(servers, small_migration.postgres_url) as url,
        open_target(url) as connection,
    ):
        pass_all(connection)
        yield connection


def test_sql_beside_every_check_runs(variables: Connection) -> None:
    for layer in Layer:
        for statement in statements("crm_Accounts", layer).split(";"):
            if statement.strip():
                variables.execute(statement.encode())


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return result.exit_code, result.stdout + result.stderr


def test_books_say_which_rows_a_finding_is_about(
    variables: Connection, small_source: SourceDatabase, prints: Mapping[str, str]
) -> None:
    def rows() -> str:
        pass_all(variables)
        (finding,) = judged(read_recorded(NEXTCRM, variables, small_source), prints).findings
        assert (finding.id, finding.count) == (LIKES, 2)
        return finding.rows

    variables.execute(
        "INSERT INTO migration.issues (target_table, collection, source_id, field, kind, reason, original) "
        "SELECT 'Tasks', 'Tasks', id, 'likes', 'nulled', 'why', '1' FROM unnest('{a,b}'::text[]) id"
    )
    seen_rows = rows()
    assert re.fullmatch("(-?[0-9a-f]{4}){4}", seen_rows)
    variables.execute("UPDATE migration.issues SET source_id = 'c' WHERE source_id = 'a'")
    assert rows() != seen_rows
    variables.execute("UPDATE migration.issues SET source_id = 'a' WHERE source_id = 'c'")
    assert rows() == seen_rows  # in another order
    variables.execute("UPDATE migration.issues SET element = 1 WHERE source_id = 'a'")
    assert rows() != seen_rows
    variables.execute("UPDATE migration.issues SET element = NULL WHERE source_id = 'a'")
    assert rows() == seen_rows
    variables.execute("UPDATE migration.issues SET original = '2' WHERE source_id = 'a'")
    assert rows() != seen_rows  # another bad value of the same field is another loss


def test_a_waiver_of_a_cause_is_for_the_places_that_were_seen(
    variables: Connection, small_source: SourceDatabase, prints: Mapping[str, str]
) -> None:
    def rows() -> str:
        pass_all(variables)
        (finding,) = judged(read_recorded(NEXTCRM, variables, small_source), prints).findings
        assert (finding.id, finding.count) == ("Users:references:gone", 1)
        return finding.rows

    variables.execute(
        "INSERT INTO migration.issues (target_table, collection, source_id, field, kind, reason, original) "
        "VALUES ('Tasks', 'Tasks', 'a', 'user', 'orphaned', 'why', '\"' || repeat('a', 24) || '\"')"
    )
    seen_rows = rows()
    variables.execute("UPDATE migration.issues SET field = 'createdBy'")
    assert rows() != seen_rows
    variables.execute(
        "UPDATE migration.issues SET target_table = 'Boards', collection = 'Boards', field = 'user'"
    )
    assert rows() != seen_rows
    variables.execute("UPDATE migration.issues SET target_table = 'Tasks', collection = 'Tasks'")
    assert rows() == seen_rows


TOUCHES = {
    "rows deleted": ('DELETE FROM "BoardWatchers"', "BoardWatchers:target:touched"),
    "a value changed": ('UPDATE "Boards" SET icon = icon', "Boards:target:touched"),
    "a column without NOT NULL": (
        'ALTER TABLE "Boards" ALTER title DROP NOT NULL',
        "Boards:target:touched",
    ),
    "no primary key": (
        'ALTER TABLE "BoardWatchers" DROP CONSTRAINT "BoardWatchers_pkey"',
        "BoardWatchers:target:touched",
    ),
    "a line of the books": (
        "INSERT INTO migration.conversions VALUES ('Boards', 'Boards', 'title', 'coerced', 'why', 1)",
        "Boards:target:touched",
    ),
    "the map": (
        "DELETE FROM migration.uuid_map WHERE collection = 'Boards'",
        "uuid_map:target:touched",
    ),
    "a document that was kept": (
        "INSERT INTO migration.unmapped_fields VALUES ('uuid_map', 'legacy', '1', '{}')",
        "uuid_map:target:touched",
    ),
    "an index": (
        'DROP INDEX "Boards_user_idx"',
        "constraints:constraints:missing:Boards_user_idx",
    ),
    "a foreign key": (
        'ALTER TABLE "Boards" DROP CONSTRAINT "Boards_user_fkey"',
        "constraints:constraints:missing:Boards_user_fkey",
    ),
    "an older program": (
        "UPDATE migration.loads SET program = 'older' WHERE target_table = 'Boards'",
        "Boards:load:stale",
    ),
}


@pytest.mark.parametrize(("statement", "finding"), TOUCHES.values(), ids=TOUCHES.keys())
def test_a_change_after_the_checks_is_no_go(
    checked: Connection,
    small_source: SourceDatabase,
    prints: Mapping[str, str],
    statement: str,
    finding: str,
) -> None:
    with checked.transaction(force_rollback=True):
        checked.execute(statement.encode())
        judgement = judged(read_recorded(NEXTCRM, checked, small_source), prints)
    assert [open_finding.id for open_finding in judgement.findings] == [finding]


@pytest.mark.parametrize("loaded", ["gpt_models", "uuid_map"])
def test_check_of_older_data_that_ends_later_is_stale(
    servers: Urls, small_migration: Urls, prints: Mapping[str, str], loaded: str
) -> None:
    """A check covers the data that it has read: a load that ends during the check is not in it."""
    checked_table = "gpt_models" if loaded == "gpt_models" else "TodoList"
    anew = sql.SQL(
        "INSERT INTO migration.loads SELECT (jsonb_populate_record(l, jsonb_build_object('id', i, "
        "'version', i, 'finished_at', clock_timestamp()))).* FROM migration.loads l, gen_random_uuid() i "
        "WHERE target_table = {}"
    ).format(sql.Literal(loaded))

    def check(*_: object) -> list[Evidence]:
        with open_target(url) as other:
            other.execute(anew)
        return [
            Evidence(checked_table, Layer.TYPES, passed=True, severity=Severity.ERROR, summary="")
        ]

    with (
        database_copy(servers, small_migration.postgres_url) as url,
        open_target(url) as connection,
        open_source(small_migration.mongodb_url) as source,
    ):
        run_checks(source, connection, TABLES[checked_table], (Layer.TYPES,), check=check)
        judgement = judged(read_recorded(NEXTCRM, connection, source), prints)
    assert f"{checked_table}:types:stale" in {finding.id for finding in judgement.findings}


def test_rows_that_waited_for_their_deletion_are_no_touch_of_somebody_else(
    checked: Connection, small_source: SourceDatabase, prints: Mapping[str, str]
) -> None:
    with checked.transaction(force_rollback=True):
        checked.execute(
            "INSERT INTO migration.pending_deletes "
            "SELECT 'tasksComments', id FROM \"tasksComments\" LIMIT 1"
        )
        pass_all(checked)
        assert judged(read_recorded(NEXTCRM, checked, small_source), prints).word == "GO"
        assert delete_pending(NEXTCRM, checked) == 1
        assert judged(read_recorded(NEXTCRM, checked, small_source), prints).word == "GO"


def files_of_reports(directory: Path, words: Sequence[str], *, never: Sequence[str]) -> list[Path]:
    """Returns the files of reports with these verdicts; only their owner reads them, and no secret is in."""
    files = sorted(directory.iterdir())
    assert [path.name.partition("Z-")[2] for path in files] == [
        f"{word}.{kind}" for word in words for kind in ("html", "json")
    ]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = path.read_text()
        assert not any(secret in text for secret in never)
    return files


def test_damage_is_no_go_until_it_is_waived_and_other_damage_is_no_go_again(
    variables: Connection, small_migration: Urls, tmp_path: Path
) -> None:
    variables.execute('CREATE TEMP TABLE before AS SELECT id, api_key FROM "openAi_keys"')
    damage = sql.SQL(
        "UPDATE {table} SET api_key = CASE WHEN place = ANY({places}) THEN {secret} || {table}.id "
        "ELSE before.api_key END FROM (SELECT *, row_number() OVER (ORDER BY id) AS place FROM before) "
        "AS before WHERE {table}.id = before.id"
    )

    def damaged(*places: int) -> None:
        variables.execute(
            damage.format(
                table=sql.Identifier("openAi_keys"),
                places=sql.Literal(list(places)),
                secret=sql.Literal(SECRET_PREFIX),
            )
        )
        pass_all(variables)
        with open_source(small_migration.mongodb_url) as source:
            run_checks(source, variables, TABLES["openAi_keys"], (Layer.VALUES,))

    finding = "openAi_keys:values:failed"
    damaged(1)
    code, output = call("sign-off")
    assert code == 1
    assert "✗ openAi_keys: check values failed: 1 difference in" in output

    code, output = call(
        "sign-off", "--approver", "Ann Example", "--waive", f"{finding}=rotated key"
    )
    assert code == 0, output
    assert "signed by Ann Example; report: " in output
    row = variables.execute(
        "SELECT verdict, approver, role, decision, waivers, digest, report FROM migration.sign_offs "
        "ORDER BY signed_at DESC LIMIT 1"
    ).fetchone()
    assert row is not None
    assert row[:4] == ("GO", "Ann Example", None, "approve")
    assert [entry["reason"] for entry in row[4]] == ["rotated key"]
    assert row[5] == digest(row[6])

    code, output = call("sign-off")
    assert (code, f"! {finding} is waived by Ann Example" in output) == (0, True), output

    damaged(2)
    code, output = call("sign-off")
    assert code == 1, output
    assert (
        f"waiver of {finding} by Ann Example is void: the rows behind it changed: it was given for 1 others"
        in output
    )

    code, output = call("sign-off", "--approver", "Ann", "--waive", "Users:x=why")
    assert code == 2
    assert finding in output

    words = ("NO-GO", "GO", "GO", "NO-GO")
    password = (
        urlsplit(variables.info.dsn).password or urlsplit(small_migration.postgres_url).password
    )
    assert password
    files = files_of_reports(tmp_path / "reports", words, never=(SECRET_PREFIX, password))

    code, output = call("sign-off", "--verify", str(files[3]))
    assert (code, "is the report that was recorded" in output) == (0, True)
    changed = tmp_path / "changed.json"
    changed.write_text(files[3].read_text().replace("rotated key", "nothing"))
    code, output = call("sign-off", "--verify", str(changed))
    assert (code, "was changed" in output) == (1, True)


# --- The page in a real browser -----------------------------------------------------------------

_VARIABLES = """
    names => { const style = getComputedStyle(document.documentElement);
               return Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name)])) }
"""
PAIRS = [
    *[(front, "page") for front in ("text", "quiet", "link", "good", "bad", "warn")],
    *[(front, "panel") for front in ("text", "quiet", "link")],
    *[(front, f"{front}-panel") for front in ("good", "bad", "warn")],
    *[("text", f"{tone}-panel") for tone in ("good", "bad")],
]
"""Colours of text and of the background."""


def luminance(colour: str) -> float:
    """Returns the relative luminance of a colour `#rrggbb` (WCAG 2)."""
    parts = [int(colour.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_computed_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_page_in_a_browser(page: Page, tmp_path: Path) -> None:
    record = lost(3)
    other = BookCount("Boards", "Boards", "title", "altered", "U+0000 became U+FFFD", 2, 2)
    record = replace(
        record,
        losses=[*record.losses, other],
        causes=[*record.causes, caused_by(other)],
    )
    report = made_report(record, judged(record, PRINTS, waiving(waiver())))
    file = tmp_path / "report.html"
    file.write_text(page_of(report, digest(report)))
    requests: list[str] = []
    console_messages: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: console_messages.append(message.text))
    page.set_viewport_size({"width": 1200, "height": 1000})
    page.goto(file.as_uri())

    assert page.locator("#verdict").inner_text() == "NO-GO"
    assert "Ann Example" in page.locator("#signature").inner_text()
    assert page.locator(".finding").count() == 1
    assert "Boards:values:altered:title" in page.locator(".finding").inner_text()
    assert page.locator("#tables ~ div.scroll tbody tr td.check").count() == len(TABLES) * len(
        Layer
    )
    assert page.locator("svg[role=img]").count() == 2
    assert "test data of 2019" in page.locator("main").inner_text()
    assert digest(report) in page.locator("main").inner_text()
    keep(page, "sign-off-report")

    broken = page.evaluate(
        """() => [...document.querySelectorAll('a[href^="#"]')].map(link => link.getAttribute('href'))
                 .filter(name => !document.getElementById(decodeURIComponent(name.slice(1))))"""
    )
    assert broken == []
    others = page.evaluate("() => [...document.links].filter(a => a.protocol !== 'file:').length")
    assert others == 0
    page.get_by_label("values of Tasks: failed").click()
    assert page.url.endswith("#Tasks-values")
    assert "on record: 3 nulled" in page.locator(":target").inner_text()

    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours = page.evaluate(_VARIABLES, sorted({name for pair in PAIRS for name in pair}))
        for front, back in PAIRS:
            assert contrast(colours[front], colours[back]) >= 4.5, (scheme, front, back)
    background = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(20, 24, 29)"  # the dark colours are in use

    printed = page.pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert console_messages == []
