"""The documents of a batch as rows, and the books that explain what is not a row as it was.

Here the changes of the columns meet the document: a rejected document takes its changes with it, a
unique value goes to the first document that has it, and unknown fields are set aside.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any

import bson
import polars as pl
import sqlalchemy as sa
from bson.errors import BSONError

from migration_assets.conversion.columns import convert_columns, convert_keys
from migration_assets.conversion.values import (
    LOSSLESS,
    NOT_UNIQUE,
    NOT_UNIQUE_TOGETHER,
    ValueChange,
)
from migration_assets.identity import canonical, source_id
from migration_assets.known_ids import Loaded, Made
from migration_assets.model import Rule, Source, fields, sources, unique_keys
from migration_assets.remediation.applying import Acceptance, Remedied, Remedies
from migration_assets.source.connection import CODEC, Document
from migration_assets.source.elements import are_whole, hidden
from migration_assets.source.fields import UnreadableError
from migration_assets.source.reading import identifier, split
from migration_assets.source.walk import Batch, FieldFinder

Taken = dict[tuple[str, ...], set[tuple[Any, ...]]]
"""Values that documents have, by the columns that must be unique together."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that did not become a row, whole (section 6)."""

    source_id: str
    field: str | None
    reason: str
    document: str
    accepted_by: str | None = None
    deferred_until: str | None = None


@dataclass(frozen=True, slots=True)
class Issue:
    """One lossy conversion with the original value as canonical Extended JSON (section 6)."""

    source_id: str
    field: str
    kind: str
    element: int | None
    reason: str
    original: str
    accepted_by: str | None = None


@dataclass(slots=True)
class Books:
    """What bookkeeping says of some documents."""

    rejected: list[Rejected] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    conversions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """How often (field, kind, reason) happened without loss."""
    unmapped: list[tuple[str, str]] = field(default_factory=list)
    """(source id, the unknown fields as a document in canonical Extended JSON)."""
    remediations: list[Remedied] = field(default_factory=list)
    """Applications of remediations, to documents that were rejected, too."""

    def count(self, name: str, change: ValueChange) -> None:
        """Counts what happened without loss to a value of a field."""
        self.conversions[name, change.kind, change.reason] += 1

    def note(
        self, identifier: Any, name: str, change: ValueChange, value: Any, remedies: Remedies
    ) -> None:
        """Records what happened to the value of a field, or to one of its elements."""
        if change.kind in LOSSLESS:
            self.count(name, change)
            return
        original = value if change.element is None else change.original
        of_element = {} if change.element is None else {"element": change.original}
        self.issues.append(
            Issue(
                source_id=source_id(identifier),
                field=name,
                kind=change.kind,
                element=change.element,
                reason=change.reason,
                original=canonical(original),
                accepted_by=remedies.accepts(identifier, name, value, **of_element),
            )
        )


@dataclass(frozen=True, slots=True)
class ConvertedBatch:
    """A batch as it goes to PostgreSQL.

    Attributes:
        documents: How many documents were in it.
        rows: The rows, with the columns of the table in their order.
        books: What explains the difference.
        traced: The documents that left a line in the books, by their position.
        taken: Values of unique keys that its rows are the first to have, by the columns of the key.
    """

    documents: int
    rows: pl.DataFrame
    books: Books
    traced: Collection[int]
    taken: Taken = field(default_factory=dict)


@dataclass(slots=True)
class BatchConverter:
    """Converts the batches of one collection, in order.

    Attributes:
        table: The entity table.
        loaded: The ids that references may point to.
        taken: Values of unique keys that earlier documents have, by the columns of the key; None where
            these are not looked at.
        remedies: The rules that are applied before conversion.
    """

    table: sa.Table
    loaded: Loaded
    taken: Taken | None = field(default_factory=dict)
    remedies: Remedies = field(default_factory=Remedies)
    _columns: Mapping[str, Source] = field(init=False)
    _finder: FieldFinder = field(init=False)
    _elsewhere: frozenset[str] = field(init=False)
    """Fields that the model knows and that no column of the table holds: those of junction tables."""

    def __post_init__(self) -> None:
        known, columns = fields(self.table), sources(self.table)
        self._columns = {n: source for n, source in columns.items() if source.rule is not Rule.KEY}
        self._finder = FieldFinder(known)
        self._elsewhere = known - {source.field for source in columns.values()}
        if self.taken is not None:
            self.taken = {key: self.taken.get(key, set()) for key in unique_keys(self.table)}

    def convert(self, data: bytes) -> ConvertedBatch:
        """Returns the rows and books of a batch of BSON documents, whose unique values are taken then."""
        converted = self.loaded.answered(partial(self.attempt, data))
        for key, values in converted.taken.items():
            if self.taken is not None:
                self.taken[key] |= values
        return converted

    def attempt(self, data: bytes) -> ConvertedBatch:
        """Returns the same by the ids that are known so far, and leaves unique values as they were."""
        return of_readable(data, self._finder, self.remedies, self._converted)

    def unique_values(self, data: bytes) -> pl.DataFrame:
        """Returns what documents have in the columns that must be unique, whether they become rows or not."""
        return self.loaded.answered(
            partial(of_readable, data, self._finder, self.remedies, self._unique_values)
        )

    def _unique_values(self, as_read: Batch, books: Books) -> pl.DataFrame:
        del books
        batch, _ = remedied_batch(as_read, self._finder, self.remedies)
        columns = {name: sources(self.table)[name] for name in columns_of_keys(self.table)}
        return pl.DataFrame(
            converted.series for _, converted in convert_columns(columns, batch.fields, self.loaded)
        )

    def _converted(self, as_read: Batch, books: Books) -> ConvertedBatch:
        batch, remedied = remedied_batch(as_read, self._finder, self.remedies)
        identifiers = batch.fields["_id"]
        columns = [convert_keys(self.table.name, identifiers)]
        changes: list[tuple[int, str, ValueChange]] = []
        rejections: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for name, converted in convert_columns(self._columns, batch.fields, self.loaded):
            origin = self._columns[name].field
            columns.append(converted.series)
            changes += [(row, origin, change) for row, change in converted.changes]
            for row, reason in converted.rejections:
                rejections[row].append((origin, reason))
        unmapped = list(self._unmapped(batch))
        for name in self._elsewhere:
            batch.fields[name].check()
        count = len(batch) + len(books.rejected)
        are_all_readable = not books.rejected
        rows = pl.DataFrame(columns).select(sources(self.table).keys())
        taken = self._reject_repeats(rows, rejections)
        losses = _losses(changes, rejections)
        for row, wrong in sorted(rejections.items()):
            lost = [(name, batch.fields[name].value(row)) for name, _ in wrong]
            accepted = self.remedies.accepts_document(identifiers.value(row), lost)
            books.rejected.append(_rejected(as_read.document(row), wrong, losses[row], accepted))
        self._note(batch, [change for change in changes if change[0] not in rejections], books)
        for _, applications in remedied:
            books.remediations += applications
        books.unmapped += [(of, unknown) for row, of, unknown in unmapped if row not in rejections]
        if rejections:
            rows = rows.filter(~pl.int_range(pl.len()).is_in(list(rejections)))
        traced: Collection[int] = {
            *rejections,
            *batch.strangers,
            *(row for row, *_ in changes),
            *(row for row, _ in remedied),
        }
        # Without those that cannot be read, positions are others: all count then.
        traced = traced if are_all_readable else range(count)
        return ConvertedBatch(count, rows, books, traced, taken)

    def _note(
        self, batch: Batch, changes: Iterable[tuple[int, str, ValueChange]], books: Books
    ) -> None:
        """Notes what happened; nothing is decoded for what lost nothing, which may be every row."""
        lossy: dict[str, list[tuple[int, ValueChange]]] = defaultdict(list)
        for row, name, change in changes:
            if change.kind in LOSSLESS:
                books.count(name, change)
            else:
                lossy[name].append((row, change))
        for name, of_field in lossy.items():
            # Together, and once for the elements of an array, which may be 100,000.
            rows = list(dict.fromkeys(row for row, _ in of_field))
            owners = batch.fields["_id"].values(rows), batch.fields[name].values(rows)
            decoded = dict(zip(rows, zip(*owners, strict=True), strict=True))
            for row, change in of_field:
                identifier_, value = decoded[row]
                books.note(identifier_, name, change, value, self.remedies)

    def _reject_repeats(
        self, rows: pl.DataFrame, rejections: dict[int, list[tuple[str, str]]]
    ) -> Taken:
        """Gives a unique value to the first document in `_id` order that becomes a row (section 5)."""
        newly: Taken = {}
        for key, taken in (self.taken or {}).items():
            reason = NOT_UNIQUE if len(key) == 1 else NOT_UNIQUE_TOGETHER
            names = [sources(self.table)[column].field for column in key]
            added = newly[key] = set()
            for row, values in enumerate(rows.select(key).iter_rows()):
                if None in values:
                    continue
                if values in taken or values in added:
                    rejections[row] += [(name, reason) for name in names]
                elif row not in rejections:
                    added.add(values)
        return newly

    def _unmapped(self, batch: Batch) -> Iterator[tuple[int, str, str]]:
        """Yields row, source id and unknown fields of the documents that have some."""
        for row in batch.strangers:
            document = batch.document(row)
            unknown = {name: value for name, value in document.items() if name not in batch.fields}
            yield row, source_id(document["_id"]), canonical(unknown)


def columns_of_keys(table: sa.Table) -> list[str]:
    """Returns the columns of a table's unique keys, each once."""
    return list(dict.fromkeys(chain.from_iterable(unique_keys(table))))


def remedied_batch(
    as_read: Batch, finder: FieldFinder, remedies: Remedies
) -> tuple[Batch, list[tuple[int, list[Remedied]]]]:
    """Returns the documents as they are converted, and what rules did to which of them."""
    if not remedies.changes:
        return as_read, []
    documents: list[bytes] = []
    remedied: list[tuple[int, list[Remedied]]] = []
    for row in range(len(as_read)):
        document, applications = remedies.apply(as_read.document(row))
        documents.append(
            bson.encode(document, codec_options=CODEC) if applications else as_read.bson_of(row)
        )
        if applications:
            remedied.append((row, applications))
    return finder.find(b"".join(documents)), remedied


def of_readable(
    data: bytes,
    finder: FieldFinder,
    remedies: Remedies,
    convert: Callable[[Batch, Books], Made],
) -> Made:
    """Converts a batch; where a document of it cannot be read, that one is rejected and the others go on."""
    try:
        return convert(finder.find(data), Books())
    except UnreadableError:
        books = Books()
        return convert(finder.find(readable(data, books, remedies)), books)


def readable(data: bytes, books: Books, remedies: Remedies) -> bytes:
    """Returns the documents of a batch that can be read.

    One that is not valid BSON, or of which the driver hides something, is rejected with its bytes.
    """
    kept: list[bytes] = []
    for document in split(data):
        try:
            decoded_alone = bson.decode(document, CODEC)
        except BSONError as error:
            reason: str | None = f"not valid BSON: {type(error).__name__}"
        else:
            reason = None if are_whole([decoded_alone], document) else hidden(document)
        if reason is None:
            kept.append(document)
            continue
        own_id, whole = source_id(identifier(document)), canonical(bson.Binary(document))
        accepted = remedies.accepts_unreadable(own_id)
        books.rejected.append(Rejected(own_id, None, reason, whole, *(accepted or ())))
    return b"".join(kept)


def _losses(
    changes: Iterable[tuple[int, str, ValueChange]], rejections: Mapping[int, Any]
) -> Mapping[int, list[tuple[str, str]]]:
    """Returns what rejected documents would lose besides, once each, by row: (field, reason)."""
    losses_of: dict[int, dict[tuple[str, str], None]] = defaultdict(dict)
    for row, name, change in changes if rejections else ():  # which may be of every row
        if row in rejections and change.kind not in LOSSLESS:
            losses_of[row][name, change.reason] = None
    return defaultdict(list, {row: [*lost] for row, lost in losses_of.items()})


def _rejected(
    document: Document,
    wrong: Sequence[tuple[str, str]],
    lost: Sequence[tuple[str, str]],
    accepted: Acceptance | None,
) -> Rejected:
    """Returns a document that is rejected, with all that is wrong with it at once."""
    reason = wrong[0][1]
    if len(wrong) > 1:
        reason = "; ".join(f"{name}: {why}" for name, why in wrong)
    if lost:
        reason += f" (besides, {'; '.join(f'{name}: {why}' for name, why in lost)})"
    return Rejected(
        source_id(document["_id"]),
        ", ".join(dict.fromkeys(name for name, _ in wrong)),
        reason,
        canonical(document),
        *(accepted or ()),
    )
