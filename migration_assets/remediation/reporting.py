"""How often each rule was applied, from the books of what is loaded: names and counts, never values."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from migration_assets.remediation.rules import Action, Remediations
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
    """

    rule: str
    collection: str
    field: str
    action: Action
    count: int

    def said(self) -> str:
        """Returns that in words."""
        where = f"{self.collection}.{self.field}" if self.field else self.collection
        if not self.count:
            return f"rule {self.rule} matched nothing in {where}"
        if self.action is Action.ACCEPT:
            noun = "loss" if self.count == 1 else "losses"
            return f"accepted {self.count:,} {noun} of {where} by rule {self.rule}"
        noun = "value" if self.count == 1 else "values"
        return f"remediated {self.count:,} {noun} of {where} by rule {self.rule} ({self.action})"


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
        Applied(rule.name, rule.collection, rule.field or "", rule.action, counts.get(rule.name, 0))
        for rule in remediations.rules
    ]
