"""How often each rule was applied, from the books of what is loaded: names and counts, never values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from psycopg import ServerCursor, sql

from migration_assets.conversion.rules import loader_of
from migration_assets.conversion.values import LOSSLESS
from migration_assets.identity import from_canonical
from migration_assets.known_ids import Loaded
from migration_assets.loading.identities import COUNTED_AS, counted_of
from migration_assets.loading.lookup import Lookup
from migration_assets.model import Model, Source
from migration_assets.remediation.rules import (
    TWO_LINES,
    Action,
    Remediation,
    Remediations,
    place_of,
)
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.text import counted

_COUNTS = """
    SELECT rule, field, count(*), count(*) FILTER (WHERE is_lost) FROM (
        SELECT rule, field, EXISTS (
            SELECT FROM {rejected} d WHERE d.target_table = r.target_table
            AND d.collection = r.collection AND d.source_id = r.source_id) AS is_lost
        FROM {remediations} r
        UNION ALL SELECT accepted_by, field, false FROM {issues} WHERE accepted_by IS NOT NULL
        UNION ALL SELECT regexp_split_to_table(accepted_by, ', '), field, false
        FROM {rejected} WHERE accepted_by IS NOT NULL
    ) applied GROUP BY 1, 2
"""
_AT_ONCE = 5_000
"""Originals that are looked at together."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a rule did.

    Attributes:
        rule: Its name.
        collection: Its collection.
        field: Its field; empty where it accepts whatever a document loses.
        action: What it does.
        count: Values that it changed, or losses that it accepts or defers.
        rejected: How many of the values that it changed are of documents that were rejected nevertheless.
        fine: How many of the values that it changed would not have been lost.
        until: What the documents wait for that it defers.
        other: The collection that the documents count as.
        is_of_all: It is for all references to the collection.
    """

    rule: str
    collection: str
    field: str
    action: Action
    count: int
    rejected: int = 0
    fine: int = 0
    until: str = ""
    other: str = ""
    is_of_all: bool = False

    def said(self) -> str:
        """Returns that in words."""
        where = f"{self.collection}.{self.field}" if self.field else self.collection
        if self.is_of_all:
            where = f"references to {self.collection}"
        if self.action is Action.COUNTS_AS:
            documents = counted(self.count, "document")
            return f"counted {documents} of {where} as those of {self.other} by rule {self.rule}"
        if not self.count:
            return f"rule {self.rule} matched nothing in {where}"
        if self.action is Action.ACCEPT:
            noun = "loss" if self.count == 1 else "losses"
            return f"accepted {self.count:,} {noun} of {where} by rule {self.rule}"
        if self.action is Action.REDIRECT:
            references = counted(self.count, "reference")
            return f"redirected {references} to {where} by rule {self.rule}"
        if self.action is Action.DEFER:
            documents = counted(self.count, "document")
            return f"deferred {documents} of {where} by rule {self.rule}, until {self.until}"
        values = counted(self.count, "value")
        sentence = f"remediated {values} of {where} by rule {self.rule} ({self.action})"
        if self.rejected:
            sentence += f"; {self.rejected:,} of them in documents that are rejected nevertheless"
        return (
            f"{sentence}; {self.fine:,} of them would not have been lost" if self.fine else sentence
        )


def applied(model: Model, connection: Connection, remediations: Remediations) -> list[Applied]:
    """Returns what each rule of a file did, in the order of the file; those that did nothing too."""
    query = sql.SQL(_COUNTS).format(
        remediations=sql.Identifier(SCHEMA, bookkeeping.remediations.name),
        issues=sql.Identifier(SCHEMA, bookkeeping.issues.name),
        rejected=sql.Identifier(SCHEMA, bookkeeping.rejected_documents.name),
    )
    by_rule: dict[str, dict[str | None, tuple[int, int]]] = {}
    for rule, name, *numbers in connection.execute(query) if remediations.rules else ():
        by_rule.setdefault(rule, {})[name] = tuple(numbers)
    # What a file says of all references to a collection is one rule to whoever reads it.
    by_name = {rule.name: rule for rule in remediations.rules}
    return [
        _applied(model, connection, rule, by_rule.get(name, {})) for name, rule in by_name.items()
    ]


def _applied(
    model: Model,
    connection: Connection,
    rule: Remediation,
    by_field: Mapping[str | None, tuple[int, int]],
) -> Applied:
    if rule.action is Action.COUNTS_AS:
        by_field = {None: (_counted(connection, rule), 0)}
    numbers = [
        counts
        for name, counts in by_field.items()
        if rule.action not in TWO_LINES or name == rule.field
    ]
    is_of_all = bool(rule.references_to)
    return Applied(
        rule.name,
        rule.references_to or rule.collection,
        "" if is_of_all else rule.field or "",
        rule.action,
        count=sum(count for count, _ in numbers),
        rejected=sum(rejected for _, rejected in numbers),
        fine=_fine(model, connection, rule) if rule.changes_fine_values else 0,
        until=rule.until,
        other=rule.other or "",
        is_of_all=is_of_all,
    )


def _counted(connection: Connection, rule: Remediation) -> int:
    """Returns how many documents of a collection count as those of another, by the map."""
    query = sql.SQL(
        "SELECT coalesce(sum(count), 0)::bigint FROM {} "
        "WHERE target_table = %s AND collection = %s AND kind = %s AND reason = %s"
    ).format(sql.Identifier(SCHEMA, bookkeeping.conversions.name))
    parameters = [bookkeeping.uuid_map.name, rule.other, COUNTED_AS, counted_of(rule.collection)]
    return next((int(count) for (count,) in connection.execute(query, parameters)), 0)


def _fine(model: Model, connection: Connection, rule: Remediation) -> int:
    """Returns how many values that a rule changed would have arrived without loss."""
    table, source = place_of(model, rule)
    lookup = Lookup(connection, table)
    query = sql.SQL(
        "SELECT original, element IS NOT NULL FROM {} WHERE rule = %s AND original IS NOT NULL"
    ).format(sql.Identifier(SCHEMA, bookkeeping.remediations.name))
    with connection.transaction(), ServerCursor(connection, "originals") as cursor:
        cursor.execute(query, [rule.name])
        count = 0
        while page := cursor.fetchmany(_AT_ONCE):
            originals = [(from_canonical(text), is_element) for text, is_element in page]
            values = [
                [original] if is_of else original
                for original, is_of in originals
                if original is not None
            ]
            count += lookup.answered(partial(_fine_ones, values, source, lookup))
        return count


def _fine_ones(values: Sequence[Any], source: Source, loaded: Loaded) -> int:
    """Returns how many values would arrive without loss."""
    exact = loader_of(source.rule).exact
    outcomes = (exact(value, source, loaded) for value in values)
    return sum(all(change.kind in LOSSLESS for change in outcome.changes) for outcome in outcomes)
