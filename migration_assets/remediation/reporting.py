"""How often each rule was applied, from the books of what is loaded: names and counts, never values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import ServerCursor, sql

from migration_assets.conversion.values import LOSSLESS, RULES, Loaded
from migration_assets.identity import from_canonical
from migration_assets.loading.loaded import ids_for
from migration_assets.model import Source
from migration_assets.remediation.rules import Action, Remediation, Remediations, place_of
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection

_COUNTS = """
    SELECT rule, count(*) FROM (
        SELECT rule FROM {remediations}
        UNION ALL SELECT accepted_by FROM {issues} WHERE accepted_by IS NOT NULL
        UNION ALL SELECT accepted_by FROM {rejected} WHERE accepted_by IS NOT NULL
    ) applied GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a rule did.

    Attributes:
        rule: Its name.
        collection: Its collection.
        field: Its field; empty where it accepts whatever a document loses.
        action: What it does.
        count: Values that it changed in documents that were loaded, or losses that it accepts.
        fine: How many of the values that it changed would not have been lost.
    """

    rule: str
    collection: str
    field: str
    action: Action
    count: int
    fine: int = 0

    def said(self) -> str:
        """Returns that in words."""
        where = f"{self.collection}.{self.field}" if self.field else self.collection
        if not self.count:
            return f"rule {self.rule} matched nothing in {where}"
        if self.action is Action.ACCEPT:
            noun = "loss" if self.count == 1 else "losses"
            return f"accepted {self.count:,} {noun} of {where} by rule {self.rule}"
        noun = "value" if self.count == 1 else "values"
        said = f"remediated {self.count:,} {noun} of {where} by rule {self.rule} ({self.action})"
        return f"{said}; {self.fine:,} of them would not have been lost" if self.fine else said


def applied(connection: Connection, remediations: Remediations) -> list[Applied]:
    """Returns what each rule of a file did, in the order of the file; those that did nothing too."""
    query = sql.SQL(_COUNTS).format(
        remediations=sql.Identifier(SCHEMA, bookkeeping.remediations.name),
        issues=sql.Identifier(SCHEMA, bookkeeping.issues.name),
        rejected=sql.Identifier(SCHEMA, bookkeeping.rejected_documents.name),
    )
    counts: dict[str, int] = {}
    if remediations.rules:
        counts = dict(connection.execute(query).fetchall())
    return [
        Applied(
            rule.name,
            rule.collection,
            rule.field or "",
            rule.action,
            counts.get(rule.name, 0),
            _fine(connection, rule) if rule.changes_fine_values else 0,
        )
        for rule in remediations.rules
    ]


def _fine(connection: Connection, rule: Remediation) -> int:
    """Returns how many values that a rule changed would have arrived without loss."""
    table, source = place_of(rule)
    loaded = ids_for(connection, table)
    query = sql.SQL(
        "SELECT original, element IS NOT NULL FROM {} WHERE rule = %s AND original IS NOT NULL"
    ).format(sql.Identifier(SCHEMA, bookkeeping.remediations.name))
    with connection.transaction(), ServerCursor(connection, "originals") as cursor:
        return sum(
            _is_fine([value] if is_element else value, source, loaded)
            for original, is_element in cursor.execute(query, [rule.name])
            if (value := from_canonical(original)) is not None
        )


def _is_fine(value: Any, source: Source, loaded: Loaded) -> bool:
    findings = RULES[source.rule](value, source, loaded).findings
    return all(each.kind in LOSSLESS for each in findings)
