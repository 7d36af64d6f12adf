"""The report of a sign-off as JSON: what the page shows, what machines read, what the digest is of.

The fields that validation reports of this kind have (operations 8.2) are here by those names; where their
documents disagree, it is `table`, `mongo` and `postgresql` everywhere, and `orphanedRecords` is a count.
The sample is all documents; what is drawn at random besides is in `drawnAtRandom`.
All of it is names, keys and counts, never values of documents.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import migration_assets
from migration_assets.model import Model, group_of, junction_of
from migration_assets.preflight.duration import Estimate
from migration_assets.sign_off.blockers import ORPHANED
from migration_assets.sign_off.check_states import TOUCHED, WARNING, check_state
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.recorded import REJECTED, BookCount, Load, Recorded
from migration_assets.sign_off.verdict import Verdict
from migration_assets.sign_off.waivers import Waived
from migration_assets.validation.evidence import Layer
from migration_assets.validation.pointers import DOCUMENTATION, statements

Json = dict[str, Any]
GREEN = frozenset({"passed", WARNING})
"""States of a check that do not stand against a GO."""

SLOWEST = 5
DOCUMENT = "docs/sign-off.md"


@dataclass(frozen=True, slots=True)
class Server:
    """A database without its credentials.

    Attributes:
        name: Name of the database.
        hosts: Where it is, host and port.
        version: Version of the server.
    """

    name: str
    hosts: Sequence[str]
    version: str


def _versions() -> dict[str, str]:
    return {
        "migration-assets": migration_assets.__version__,
        "python": platform.python_version(),
        "dagster": version("dagster"),
        "polars": version("polars"),
    }


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the record does not know.

    Attributes:
        source: The source database.
        target: The target database.
        now: When the report is made.
        estimate: How long such a migration takes, None where nothing was measured.
        versions: Of the programs.
    """

    source: Server
    target: Server
    now: dt.datetime
    estimate: Estimate | None = None
    versions: Mapping[str, str] = field(default_factory=_versions)


def report(recorded: Recorded, verdict: Verdict, around: Surroundings) -> Json:
    """Returns the report.

    Args:
        recorded: The record that the verdict was made from.
        verdict: The verdict.
        around: Servers, time and estimate.
    """
    tables = [_table(name, recorded) for name in recorded.model.tables]
    open_findings = [_finding(recorded.model, finding) for finding in verdict.findings]
    held = [waived for waived in verdict.waived if not waived.why_void]
    approval = verdict.approval
    return {
        "timestamp": _time(around.now),
        "overallStatus": _status(is_good=verdict.is_go),
        "verdict": {
            "word": verdict.word,
            "headline": verdict.headline,
            "signature": verdict.signature,
            "approver": approval.approver,
            "role": approval.role,
            "decision": approval.decision.value if approval.approver else "",
        },
        "databases": {"source": asdict(around.source), "target": asdict(around.target)},
        "versions": {
            **around.versions,
            "mongodb": around.source.version,
            "postgresql": around.target.version,
        },
        "summary": _summary(tables, recorded, verdict)
        | {
            "findings": len(open_findings),
            "waived": len(held),
            "documentsInNoTable": verdict.documents_in_no_table,
            "valuesLost": verdict.values_lost,
        },
        **_layers(tables),
        "findings": open_findings,
        "information": [_finding(recorded.model, finding) for finding in verdict.information],
        "waivers": [_waiver(recorded.model, waived) for waived in verdict.waived],
        "losses": [_line(line) for line in recorded.losses],
        "conversions": [_line(line, "documents") for line in recorded.conversions],
        "unmapped": [asdict(unmapped) for unmapped in recorded.unmapped],
        "timings": _timings(tables, recorded),
        "estimate": _estimate(around.estimate),
        "detailedResults": tables,
    }


def canonical(content: Json) -> bytes:
    """Returns the canonical form of a report: keys sorted, no blanks, UTF-8."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(content: Json) -> str:
    """Returns the SHA-256 of the canonical form of a report, without a digest that it carries."""
    bare = {name: value for name, value in content.items() if name != "digest"}
    return hashlib.sha256(canonical(bare)).hexdigest()


def _time(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")


def _status(*, is_good: bool) -> str:
    return "PASS" if is_good else "FAIL"


def _percentage(part: int, whole: int) -> float:
    """Returns hundredths of a percent, rounded down: 100 is only what has no exception."""
    return 100.0 if part == whole else part * 10_000 // whole / 100


def _table(name: str, recorded: Recorded) -> Json:
    load = recorded.loads.get(name)
    checks = {layer.value: _check(name, layer, recorded) for layer in Layer}
    counted = {layer: check["counts"] for layer, check in checks.items()}
    books, values, references = (
        counted[layer] for layer in (Layer.ROW_COUNT, Layer.VALUES, Layer.REFERENCES)
    )
    total = references.get("references", 0)
    bad = references.get("orphaned", 0) + references.get("unresolved", 0)
    lost = [line for line in recorded.losses if line.table == name]
    compared = values.get("documents", 0)
    mismatched = min(compared, values.get("differences", 0) + sum(line.documents for line in lost))
    return {
        "name": name,
        "group": group_of(recorded.model.tables[name]),
        "isJunction": junction_of(recorded.model.tables[name]) is not None,
        "status": _status(is_good=all(check["state"] in GREEN for check in checks.values())),
        "rowCount": {
            "mongo": books.get("documents"),
            "postgresql": books.get("rows"),
            "rejected": books.get(REJECTED),
            "match": checks[Layer.ROW_COUNT]["state"] in GREEN,
        },
        "sampleValidation": {
            "sampleSize": compared,
            "matched": compared - mismatched,
            "mismatched": mismatched,
            "matchPercentage": _percentage(compared - mismatched, compared),
            "drawnAtRandom": values.get("sampled", 0),
            "fieldsCompared": values.get("sampled_fields_compared", 0),
            "fieldsMatched": values.get("sampled_fields_equal", 0),
        },
        "foreignKeyValidation": {
            "totalForeignKeys": total,
            "validForeignKeys": max(0, total - bad),
            "orphaned": references.get("orphaned", 0),
        },
        "load": _load(load),
        "checks": checks,
    }


def _check(name: str, layer: Layer, recorded: Recorded) -> Json:
    state, result = check_state(name, layer, recorded), recorded.results.get((name, layer))
    evidence: Mapping[str, Any] = {} if result is None else result.evidence
    return {
        "state": state,
        "summary": "" if result is None else result.summary,
        "nextStep": evidence.get("next_step", ""),
        "failures": evidence.get("failures", 0),
        "counts": evidence.get("counts", {}),
        "sample": [] if state == "passed" else evidence.get("sample", []),
        "seconds": round(sum(evidence.get("seconds", {}).values()), 3),
        "evaluatedAt": None if result is None else _time(result.evaluated_at),
        "documentation": DOCUMENTATION[layer],
        "sql": statements(name, layer),
    }


def _load(load: Load | None) -> Json | None:
    if load is None:
        return None
    numbers = load.statistics
    merged = numbers["merged"]
    rows = merged["inserted"] + merged["updated"] + merged["unchanged"]
    seconds = numbers["seconds"]
    return {
        "documents": numbers["documents"],
        "rows": rows,
        "rejected": numbers[REJECTED],
        **{name: merged[name] for name in ("inserted", "updated", "deleted", "unchanged")},
        "startedAt": _time(load.started_at),
        "finishedAt": _time(load.finished_at),
        "seconds": round(seconds, 3),
        "rowsPerSecond": round(rows / seconds) if seconds else 0,
        "bytesRead": numbers["size"],
        "stages": {name: round(spent, 3) for name, spent in numbers["stages"].items()},
    }


def _summary(tables: Sequence[Json], recorded: Recorded, verdict: Verdict) -> Json:
    entities = [table for table in tables if not table["isJunction"]]
    loaded = [table for table in tables if table["load"] is not None]
    slowest = sorted(loaded, key=lambda table: -table["load"]["seconds"])
    states = [check["state"] for table in tables for check in table["checks"].values()]
    compared = sum(table["sampleValidation"]["sampleSize"] for table in entities)
    matched = sum(table["sampleValidation"]["matched"] for table in entities)
    rows = sum(table["load"]["rows"] for table in loaded)
    seconds = sum(table["load"]["seconds"] for table in loaded)
    lost = dict.fromkeys((REJECTED, "altered", "nulled", ORPHANED), 0)
    for line in recorded.losses:
        lost[line.kind] = lost.get(line.kind, 0) + line.count
    return {
        "totalTables": len(tables),
        "tablesValidated": sum(
            not {"missing", "stale", TOUCHED}
            & {check["state"] for check in table["checks"].values()}
            for table in tables
        ),
        "tablesPassed": sum(table["status"] == "PASS" for table in tables),
        "tablesFailed": sum(table["status"] == "FAIL" for table in tables),
        "totalRecords": sum(
            table["load"]["documents"] for table in entities if table["load"] is not None
        ),
        "recordsValidated": compared,
        "recordsMatched": matched,
        "recordsMismatched": compared - matched,
        "matchPercentage": _percentage(matched, compared),
        "checks": verdict.checks,
        "checksPassed": sum(state in GREEN for state in states),
        "rows": rows,
        **lost,
        "losslessConversions": sum(line.count for line in recorded.conversions),
        "documentsWithUnmappedFields": sum(unmapped.documents for unmapped in recorded.unmapped),
        "loadSeconds": round(seconds, 3),
        "rowsPerSecond": round(rows / seconds) if seconds else 0,
        "slowestTables": [table["name"] for table in slowest[:SLOWEST]],
    }


def _layers(tables: Sequence[Json]) -> Json:
    def status(layer: Layer) -> str:
        return _status(is_good=all(table["checks"][layer]["state"] in GREEN for table in tables))

    def failed(layer: Layer) -> list[Json]:
        return [table for table in tables if table["checks"][layer]["state"] not in GREEN]

    compared = sum(table["sampleValidation"]["sampleSize"] for table in tables)
    matched = sum(table["sampleValidation"]["matched"] for table in tables)
    return {
        "rowCountValidation": {
            "status": status(Layer.ROW_COUNT),
            "discrepancies": [
                {
                    "table": table["name"],
                    "mongo": table["rowCount"]["mongo"],
                    "postgresql": table["rowCount"]["postgresql"],
                    "difference": _difference(table["rowCount"]),
                }
                for table in failed(Layer.ROW_COUNT)
            ],
        },
        "sampleRecordValidation": {
            "status": status(Layer.VALUES),
            "fieldMismatches": [
                {"table": table["name"], **line}
                for table in failed(Layer.VALUES)
                for line in table["checks"][Layer.VALUES]["sample"]
                if "fields_equal" not in line
            ],
            "matchPercentage": _percentage(matched, compared),
        },
        "referentialIntegrityValidation": {
            "status": status(Layer.REFERENCES),
            "orphanedRecords": sum(table["foreignKeyValidation"]["orphaned"] for table in tables),
            "brokenForeignKeys": sum(
                table["checks"][Layer.REFERENCES]["counts"].get("unresolved", 0) for table in tables
            ),
        },
        "dataTypeValidation": {
            "status": status(Layer.TYPES),
            "typeErrors": [
                {"table": table["name"], "what": what, "count": count}
                for table in failed(Layer.TYPES)
                for what, count in table["checks"][Layer.TYPES]["counts"].items()
                if ": " in what
            ],
        },
    }


def _difference(counted: Json) -> int | None:
    if counted["mongo"] is None or counted["postgresql"] is None:
        return None
    return int(counted["mongo"] - (counted[REJECTED] or 0) - counted["postgresql"])


def _timings(tables: Sequence[Json], recorded: Recorded) -> Json:
    loads, results = recorded.loads.values(), recorded.results.values()
    stages: dict[str, float] = {}
    for load in loads:
        for name, spent in load.statistics["stages"].items():
            stages[name] = stages.get(name, 0.0) + spent
    return {
        "firstLoadStartedAt": _time(min(load.started_at for load in loads)) if loads else None,
        "lastLoadFinishedAt": _time(max(load.finished_at for load in loads)) if loads else None,
        "lastCheckAt": _time(max(result.evaluated_at for result in results)) if results else None,
        "stages": {name: round(spent, 3) for name, spent in stages.items()},
        "checks": {
            layer.value: round(sum(table["checks"][layer]["seconds"] for table in tables), 3)
            for layer in Layer
        },
    }


def _estimate(estimate: Estimate | None) -> Json | None:
    if estimate is None:
        return None
    measured = estimate.measured
    return {
        "rehearsalSeconds": round(measured.seconds, 3),
        "rehearsalDocuments": measured.documents,
        "rehearsalBytes": measured.size,
        "rehearsalEndedAt": _time(measured.ended),
        "isWholeRun": measured.is_whole,
        "documents": estimate.documents,
        "bytes": estimate.size,
        "ratio": round(estimate.ratio, 4),
        "safetyFactor": estimate.factor,
        "seconds": round(estimate.seconds, 3),
    }


def _line(line: BookCount, *without: str) -> Json:
    return {name: value for name, value in asdict(line).items() if name not in without}


def _finding(model: Model, finding: Finding) -> Json:
    is_check = finding.check in set(Layer) and finding.table in model.tables
    return {
        "id": finding.id,
        "table": finding.table,
        "check": finding.check,
        "kind": finding.kind,
        "field": finding.about,
        "count": finding.count,
        "rows": finding.rows,
        "what": finding.what,
        "nextStep": finding.next_step,
        "rule": finding.rule,
        "documentation": DOCUMENTATION[Layer(finding.check)] if is_check else DOCUMENT,
        "sql": statements(finding.table, Layer(finding.check)) if is_check else "",
    }


def _waiver(model: Model, waived: Waived) -> Json:
    return {
        **waived.waiver.as_json(),
        "since": waived.waiver.since,
        "holds": not waived.why_void,
        "whyVoid": waived.why_void,
        "of": _finding(model, waived.finding),
    }
