"""The verdict: what stands against a GO, read from the target's own record and from the source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from psycopg import sql

from migration_assets.model import TABLES, referenced_tables
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.catalog import differing_constraints, missing_constraints
from migration_assets.target.connection import Connection
from migration_assets.target.ddl import search_indexes
from migration_assets.validation.evidence import Layer, Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that stands against a GO.

    Attributes:
        table: Table or collection that it is about.
        what: What is wrong, in words without values.
        next_step: What to do about it.
    """

    table: str
    what: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """GO where nothing stands against it.

    Attributes:
        findings: What stands against a GO.
        checks: How many checks were expected.
    """

    findings: Sequence[Finding]
    checks: int

    @property
    def is_go(self) -> bool:
        """Whether the migration can be signed off."""
        return not self.findings

    @property
    def word(self) -> str:
        """``GO`` or ``NO-GO``."""
        return "GO" if self.is_go else "NO-GO"


@dataclass(frozen=True, slots=True)
class _Load:
    id: str
    fingerprints: Mapping[str, str]
    changed: int
    """Position, among all loads, of the latest one that changed a row of the table."""


_LOADS = """
    WITH finished AS (
        SELECT *, row_number() OVER (ORDER BY finished_at, id) AS position
        FROM {loads} WHERE finished_at IS NOT NULL
    )
    SELECT DISTINCT ON (l.target_table) l.target_table, l.id::text, l.fingerprints, changed.position
    FROM finished l JOIN finished changed ON changed.id = l.version
    ORDER BY l.target_table, l.position DESC
"""

_RESULTS = """
    SELECT r.target_table, r.check_name, r.load_id::text, r.passed, r.severity, r.summary,
           (SELECT count(*) FROM {loads} l
            WHERE l.finished_at IS NOT NULL AND l.finished_at <= r.evaluated_at)
    FROM {results} r
"""


def verdict(connection: Connection, fingerprints: Mapping[str, str]) -> Verdict:
    """Returns what stands against a GO.

    A check counts only when it is of the latest load of its table, and was run after the last change
    of every table that it refers to.

    Args:
        connection: A connection to the target.
        fingerprints: Of every collection of the source, as it is now.
    """
    names = {
        "loads": sql.Identifier(SCHEMA, bookkeeping.loads.name),
        "results": sql.Identifier(SCHEMA, bookkeeping.check_results.name),
    }
    additions = search_indexes()
    with connection.transaction():
        loads = {
            table: _Load(load_id, prints, changed)
            for table, load_id, prints, changed in connection.execute(
                sql.SQL(_LOADS).format(**names)
            )
        }
        results = {
            (table, check): rest
            for table, check, *rest in connection.execute(sql.SQL(_RESULTS).format(**names))
        }
        differing = differing_constraints(connection)
        missing = [name for name in missing_constraints(connection) if name not in additions]
    found: list[Finding] = []
    for name in TABLES:
        found += _table_findings(name, loads, results, fingerprints)
    if missing:
        what = f"{len(missing)} indexes or foreign keys are missing, {missing[0]} among them"
        found.append(Finding("constraints", what, "Materialize migration/constraints"))
    if differing:
        what = f"{len(differing)} indexes or foreign keys differ from the model, {min(differing)} among them"
        found.append(
            Finding("constraints", what, "Drop them, then materialize migration/constraints")
        )
    return Verdict(found, checks=len(TABLES) * len(Layer))


def _table_findings(
    name: str,
    loads: Mapping[str, _Load],
    results: Mapping[tuple[str, str], Sequence[object]],
    fingerprints: Mapping[str, str],
) -> list[Finding]:
    load = loads.get(name)
    if load is None:
        return [Finding(name, "was never loaded", f"Materialize postgres/{name}")]
    found = [
        Finding(
            name,
            f"collection {collection} was written to after it was read",
            "Freeze writes to the source, then migrate again",
        )
        for collection, fingerprint in load.fingerprints.items()
        if fingerprints.get(collection) != fingerprint
    ]
    again = f"Run the checks of postgres/{name}"
    for layer in Layer:
        result = results.get((name, layer))
        if result is None:
            found.append(Finding(name, f"check {layer} never ran", again))
            continue
        load_id, passed, severity, summary, loads_before = result
        changed = [each for each in referenced_tables(TABLES[name]) if each in loads]
        is_stale = load_id != load.id or any(
            loads[each].changed > int(str(loads_before)) for each in changed
        )
        if is_stale:
            found.append(Finding(name, f"check {layer} is older than the data", again))
        elif not passed and severity == Severity.ERROR:
            found.append(Finding(name, f"check {layer} failed: {summary}", again))
    return found


def record(connection: Connection, made: Verdict) -> None:
    """Keeps a verdict in ``migration.sign_offs``."""
    with connection.transaction():
        connection.execute(
            sql.SQL(
                "INSERT INTO {} (signed_at, verdict, report) VALUES (clock_timestamp(), %s, %s)"
            ).format(sql.Identifier(SCHEMA, bookkeeping.sign_offs.name)),
            [made.word, json.dumps(asdict(made))],
        )


def latest(connection: Connection) -> Verdict | None:
    """Returns the verdict that was recorded last, None where there is none."""
    row = connection.execute(
        sql.SQL("SELECT report FROM {} ORDER BY signed_at DESC LIMIT 1").format(
            sql.Identifier(SCHEMA, bookkeeping.sign_offs.name)
        )
    ).fetchone()
    if row is None:
        return None
    report = row[0]
    return Verdict([Finding(**each) for each in report["findings"]], report["checks"])
