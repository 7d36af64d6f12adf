"""The losses of a run, before it: every document is converted in memory, and nothing is written.

It takes as long as converting does, and holds the ids that references may point to, as no target is asked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import polars as pl
import sqlalchemy as sa

from migration_assets.causes.books import is_secret, orphaned, rejected_for
from migration_assets.causes.losses import LONGEST_EXAMPLE, ORPHANED, Loss
from migration_assets.conversion.batches import BatchConverter, Books
from migration_assets.conversion.values import HOLDER_REJECTED
from migration_assets.known_ids import Loaded
from migration_assets.loading.identities import identities
from migration_assets.loading.pairs import PairConverter
from migration_assets.model import (
    Model,
    documents_referred_to,
    junction_of,
    model_of,
    referenced_tables,
)
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import (
    NO_REMEDIATIONS,
    TWO_LINES,
    Action,
    Remediations,
)
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.reading import raw_batches
from migration_assets.source.united import collections_of


@dataclass(slots=True)
class ExpectedLosses:
    """The losses that a run into an empty target would record.

    Attributes:
        losses: What would be lost.
        moved_from: The fields of rules that move a value, by name of the rule: the books have a second line,
            for the other field.
        applied: How often each rule would be applied, by its name.
        unknown_fields: In how many documents that become rows a field is that the model does not know, by
            collection and field.
    """

    moved_from: Mapping[str, str | None] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    applied: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, table: sa.Table, collection: str, books: Books) -> None:
        """Adds the books of a batch."""
        self.losses += _losses(table, collection, books)
        self.applied.update(
            remedied.rule
            for remedied in books.remediations
            if remedied.field == self.moved_from.get(remedied.rule, remedied.field)
        )
        accepted = [issue.accepted_by for issue in books.issues]
        accepted += [rejected.accepted_by for rejected in books.rejected]
        for names in filter(None, accepted):
            self.applied.update(names.split(", "))
        for _, fields in books.unmapped:
            self.unknown_fields.update((collection, name) for name in json.loads(fields))


def rehearse(
    model: Model, source: SourceDatabase, remediations: Remediations = NO_REMEDIATIONS
) -> ExpectedLosses:
    """Returns the losses that a run into an empty target would record.

    Args:
        model: The application's tables.
        source: The source database, with collections that count as others united.
        remediations: What is corrected or accepted on the way.
    """
    moving = (rule for rule in remediations.rules if rule.action in TWO_LINES)
    rehearsal = ExpectedLosses({rule.name: rule.field for rule in moving})
    for rule in remediations.rules:
        if rule.action is Action.COUNTS_AS and rule.other is not None:
            parts = collections_of(source, rule.other)
            if rule.collection in parts:
                rehearsal.applied[rule.name] += parts[rule.collection].count_documents({})
    rows: dict[str, frozenset[bytes]] = {}
    names = {name for table in model.tables.values() for name in documents_referred_to(table)}
    documents = {name: _ids(_identities(source, name)) for name in names}
    for name, table in model.tables.items():
        loaded = Loaded(
            # Of a table that comes later, which a circle has, every document counts as a row.
            rows={
                referenced: rows[referenced]
                if referenced in rows
                else _ids(_identities(source, referenced))
                for referenced in referenced_tables(table)
            },
            documents={other: documents[other] for other in documents_referred_to(table)},
        )
        if junction_of(table) is not None:
            for holder, books in _of_pairs(source, table, loaded, remediations):
                rehearsal.add(table, holder, books)
            continue
        converter = BatchConverter(
            table, loaded, {}, Remedies(remediations.of(table), table, loaded)
        )
        ids: list[pl.Series] = []
        for data in raw_batches(source[name]):
            converted = converter.convert(data)
            ids.append(converted.rows["id"])
            rehearsal.add(table, name, converted.books)
        rows[name] = _ids(ids)
    return rehearsal


def _identities(source: SourceDatabase, collection: str) -> Iterator[pl.Series]:
    for data in raw_batches(source[collection], projection={"_id": 1}):
        yield identities(collection, data)["id"]


def _ids(batches: Iterable[pl.Series]) -> frozenset[bytes]:
    return frozenset(chain.from_iterable(ids.to_list() for ids in batches))


def _of_pairs(
    source: SourceDatabase, table: sa.Table, loaded: Loaded, remediations: Remediations
) -> Iterator[tuple[str, Books]]:
    relation = junction_of(table)
    assert relation is not None
    for sides in relation.arrays():
        converter = PairConverter(table, remediations, sides, loaded)
        holder = converter.holder.collection
        for data in raw_batches(source[holder], projection=converter.projection):
            yield holder, converter.convert(data).books


def _losses(table: sa.Table, collection: str, books: Books) -> Iterator[Loss]:
    """Yields the losses in the books of a batch, equal ones counted together."""
    counted = Counter(
        (
            issue.field,
            issue.kind,
            issue.reason,
            issue.original
            if issue.kind == ORPHANED or len(issue.original) <= LONGEST_EXAMPLE
            else "",
            issue.source_id if issue.reason == HOLDER_REJECTED else None,
        )
        for issue in books.issues
        if issue.accepted_by is None
    )
    for (name, kind, reason, original, holder), count in counted.items():
        if kind == ORPHANED:
            yield orphaned(
                model_of(table), table.name, collection, name, reason, original, holder, count
            )
        else:
            originals = (
                (original,) if original and not is_secret(model_of(table), collection, name) else ()
            )
            yield Loss(table.name, collection, name, kind, reason, count, originals=originals)
    if table.name != collection:
        return  # an unreadable document is rejected with its own table, too
    for rejected in books.rejected:
        yield from rejected_for(
            model_of(table),
            table.name,
            collection,
            rejected.source_id,
            rejected.field or "",
            rejected.reason,
            rejected.document,
            is_accepted=rejected.accepted_by is not None,
        )
