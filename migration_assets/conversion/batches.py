"""The documents of a batch as rows, and the books that explain what is not a row as it was.

Here the findings of the columns meet the document: a rejected document takes its findings with it, a
unique value goes to the first document that has it, and unknown fields are set aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import bson
import polars as pl
import sqlalchemy as sa
from bson.errors import BSONError

from migration_assets.conversion.columns import convert_column, convert_keys
from migration_assets.conversion.values import LOSSLESS, Finding, Loaded
from migration_assets.identity import canonical, source_id
from migration_assets.model import Rule, fields, sources, unique_columns
from migration_assets.remediation.applying import Remedied, Remedies
from migration_assets.source.connection import CODEC, Document
from migration_assets.source.elements import are_whole, hidden
from migration_assets.source.reading import identifier, split


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that did not become a row, whole (section 6)."""

    source_id: str
    field: str | None
    reason: str
    document: str
    accepted_by: str | None = None


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
    """Applications of remediations to documents that were loaded."""

    def note(
        self, identifier: Any, name: str, found: Finding, value: Any, remedies: Remedies
    ) -> None:
        """Records what happened to the value of a field, or to one of its elements."""
        if found.kind in LOSSLESS:
            self.conversions[name, found.kind, found.reason] += 1
            return
        original = value if found.element is None else found.original
        of_element = {} if found.element is None else {"element": found.original}
        self.issues.append(
            Issue(
                source_id=source_id(identifier),
                field=name,
                kind=found.kind,
                element=found.element,
                reason=found.reason,
                original=canonical(original),
                accepted_by=remedies.accepts(identifier, name, value, **of_element),
            )
        )

    def accept_unreadable(self, remedies: Remedies) -> None:
        """Marks the documents that could not be read, and whose loss a rule accepts."""
        self.rejected = [
            each
            if each.field is not None
            else replace(each, accepted_by=remedies.accepts_whole(each.source_id))
            for each in self.rejected
        ]


@dataclass(frozen=True, slots=True)
class ConvertedBatch:
    """A batch as it goes to PostgreSQL.

    Attributes:
        documents: How many documents were in it.
        rows: The rows, with the columns of the table in their order.
        books: What explains the difference.
    """

    documents: int
    rows: pl.DataFrame
    books: Books


@dataclass(slots=True)
class BatchConverter:
    """Converts the batches of one collection, in order.

    Attributes:
        table: The entity table.
        loaded: The ids that references may point to.
        taken: Values of unique columns that earlier documents have, by column.
        remedies: The rules that are applied before conversion.
    """

    table: sa.Table
    loaded: Loaded
    taken: dict[str, set[Any]] = field(default_factory=dict)
    remedies: Remedies = field(default_factory=Remedies)
    _known: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._known = fields(self.table)
        for name in unique_columns(self.table):
            self.taken.setdefault(name, set())

    def convert(self, data: bytes) -> ConvertedBatch:
        """Returns the rows and books of a batch of BSON documents."""
        books = Books()
        given = list(decoded(data, books))
        books.accept_unreadable(self.remedies)
        count = len(given) + len(books.rejected)
        documents, remedied = self._remedied(given)
        identifiers = [document["_id"] for document in documents]
        columns: list[pl.Series] = []
        findings: list[tuple[int, str, Finding]] = []
        rejections: dict[int, tuple[str, str]] = {}
        origins = sources(self.table)
        of_fields = _transposed(documents, [source.field for source in origins.values()])
        for (name, source), values in zip(origins.items(), of_fields, strict=True):
            if source.rule is Rule.KEY:
                columns.append(convert_keys(self.table.name, identifiers))
                continue
            converted = convert_column(name, source, values, identifiers, self.loaded)
            columns.append(converted.series)
            findings += [(row, source.field, found) for row, found in converted.findings]
            for row, reason in converted.rejections:
                rejections.setdefault(row, (source.field, reason))
        rows = pl.DataFrame(columns)
        self._reject_repeats(rows, rejections)
        for row, (name, reason) in sorted(rejections.items()):
            accepted_by = self.remedies.accepts(identifiers[row], name, documents[row].get(name))
            books.rejected.append(_rejected(given[row], name, reason, accepted_by))
        for row, name, found in findings:
            if row not in rejections:
                value = documents[row].get(name)
                books.note(identifiers[row], name, found, value, self.remedies)
        for row, done in remedied:
            if row not in rejections:
                books.remediations += done
        books.unmapped += self._unmapped(documents, rejections)
        if rejections:
            rows = rows.filter(~pl.int_range(pl.len()).is_in(list(rejections)))
        return ConvertedBatch(count, rows, books)

    def _remedied(
        self, given: list[Document]
    ) -> tuple[list[Document], list[tuple[int, list[Remedied]]]]:
        """Returns the documents as they are converted, and what was done to which of them."""
        if not self.remedies.changes:
            return given, []
        documents: list[Document] = []
        remedied: list[tuple[int, list[Remedied]]] = []
        for row, document in enumerate(given):
            made, done = self.remedies.apply(document)
            documents.append(made)
            if done:
                remedied.append((row, done))
        return documents, remedied

    def _reject_repeats(self, rows: pl.DataFrame, rejections: dict[int, tuple[str, str]]) -> None:
        """Gives a unique value to the first document in `_id` order (section 5)."""
        for name, taken in self.taken.items():
            for row, value in enumerate(rows[name]):
                if row in rejections or value is None:
                    continue
                if value in taken:
                    reason = "an earlier document has the same value, and it must be unique"
                    rejections[row] = (name, reason)
                else:
                    taken.add(value)

    def _unmapped(
        self, documents: Sequence[Document], rejections: Mapping[int, Any]
    ) -> Iterator[tuple[str, str]]:
        if not set().union(*documents) - self._known:
            return
        for row, document in enumerate(documents):
            unknown = {name: document[name] for name in document.keys() - self._known}
            if unknown and row not in rejections:
                in_order = {name: unknown[name] for name in document if name in unknown}
                yield source_id(document["_id"]), canonical(in_order)


def _transposed(documents: Sequence[Document], names: Sequence[str]) -> Iterable[Sequence[Any]]:
    """Returns the values of each field, None where it is missing.

    Taken a document at a time, whose values lie close together in memory, which halves the time.
    """
    if not documents:
        return [()] * len(names)
    return zip(*[[*map(document.get, names)] for document in documents], strict=True)


def decoded(data: bytes, books: Books) -> Iterator[Document]:
    """Yields the documents of a batch.

    One that is not valid BSON, or of which the driver hides something, is rejected with its bytes.
    """
    try:
        documents = bson.decode_all(data, CODEC)
    except BSONError:
        documents = []
    if are_whole(documents, data):
        yield from documents
        return
    for document in split(data):
        try:
            decoded_alone = bson.decode(document, CODEC)
        except BSONError as error:
            reason: str | None = f"not valid BSON: {type(error).__name__}"
        else:
            reason = None if are_whole([decoded_alone], document) else hidden(document)
        if reason is None:
            yield decoded_alone
            continue
        whole = canonical(bson.Binary(document))
        books.rejected.append(Rejected(source_id(identifier(document)), None, reason, whole))


def _rejected(document: Document, name: str, reason: str, accepted_by: str | None) -> Rejected:
    of_document = source_id(document["_id"])
    return Rejected(of_document, name, reason, canonical(document), accepted_by)
