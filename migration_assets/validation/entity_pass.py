"""One pass over a collection and its entity table: what is wrong with its values and with its references.

A plain document whose row is the one that it must be costs one comparison of bytes. Every other one is
judged by ``reference``, and held against its row field by field and against its lines in the books. A batch
of documents and their rows are held at a time, and nothing that grows with the source.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa
from pymongo.read_concern import ReadConcern

from migration_assets.model import Rule, sources, unique_columns
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection, count_rows
from migration_assets.uuid_set import UuidSet
from migration_assets.validation import binary_copy
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.books import (
    REJECTED,
    Books,
    Entries,
    Entry,
    add_missing,
    add_unfounded,
    expected_lines,
    unmatched,
)
from migration_assets.validation.bson_places import Documents
from migration_assets.validation.counting import count_source
from migration_assets.validation.evidence import Phases
from migration_assets.validation.extended_json import means_same
from migration_assets.validation.findings import (
    AGREEMENT,
    Comparison,
    What,
    failing_rows,
    totals_of,
)
from migration_assets.validation.identities import object_id_of
from migration_assets.validation.json_cells import parsed_cell
from migration_assets.validation.known_ids import has_hex_texts, known_references, locked
from migration_assets.validation.plain_rows import Equal, PlainRows, selected, usual_kinds
from migration_assets.validation.reading import (
    Identities,
    RowsInStep,
    ahead,
    batches,
    divided,
    document_ids,
    ids_in_pages,
    odd_types,
    pending,
    table_name,
)
from migration_assets.validation.reference import Judge, Judgement
from migration_assets.validation.reference_faults import DocumentReferences
from migration_assets.validation.remedied import JudgedRules

_MAP = "uuid_map"
_ROWS_AT_ONCE = 2_000
_BATCHES_JUDGED = 50
"""Batches whose rows the schema judges at once: to call it takes some milliseconds."""
_FIELDS = {"expected": pl.Int64, "actual": pl.Int64}


def compare_documents(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    phases: Phases,
    *,
    sample_size: int,
    seed: int,
    remediations: Remediations,
) -> Comparison:
    """Holds an entity table against its collection.

    Args:
        source: The source database.
        connection: A connection to the target, within a transaction.
        table: The entity table.
        phases: Where the seconds are added.
        sample_size: How many documents to report one by one.
        seed: Which ones: the same seed, the same numbers.
        remediations: What must have been corrected or accepted on the way.
    """
    usual = usual_types(table)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="types") as counting:
        counted = counting.submit(count_source, source, table.name, {})
        odd = counting.submit(odd_types, source, table.name, usual)
        with phases.phase("compare"):
            drawn = drawn_numbers(source, table.name, sample_size, seed)
            comparison = _Pass(source, connection, table, drawn, remediations, usual)
            with closing(comparison.books):
                for step in ahead(comparison.steps(batches(source, table.name))):
                    comparison.add(step)
                comparison.finish()
        with phases.phase("types"):
            result = comparison.result
            result.totals += totals_of(
                "documents of",
                {table.name: counted.result().documents},
                {table.name: result.documents},
            )
            result.totals += totals_of("BSON type of", odd.result(), comparison.odd_types)
    return result


def usual_types(table: sa.Table) -> Mapping[str, AbstractSet[str]]:
    """Returns the BSON types that the fields of plain documents have, by MongoDB's names."""
    return {
        name: {bson.TYPE_NAMES[kind] for kind in kinds}
        for name, kinds in usual_kinds(table).items()
    }


def drawn_numbers(source: SourceDatabase, collection: str, size: int, seed: int) -> list[int]:
    """Draws the numbers of documents, in `_id` order, that are reported one by one."""
    # An estimate is of the present, also where the documents are read as of a moment.
    present = source[collection].with_options(read_concern=ReadConcern())
    total = present.estimated_document_count()
    drawn = random.Random(seed)  # noqa: S311 - a sample to look at, not a secret
    return drawn.sample(range(1, total + 1), min(size, total))


class _Step(NamedTuple):
    """A batch of documents with what has to be held against it.

    Attributes:
        documents: The documents.
        identities: Who they are.
        rows: The rows by id.
        entries: Lines in the books by source id.
    """

    documents: Documents
    identities: Identities
    rows: dict[bytes, bytes]
    entries: dict[str, Entries]


class _Pass:
    """The comparison of one collection, batch after batch."""

    def __init__(
        self,
        source: SourceDatabase,
        connection: Connection,
        table: sa.Table,
        drawn: Sequence[int],
        remediations: Remediations,
        usual: Mapping[str, AbstractSet[str]],
    ) -> None:
        self._source, self._connection, self._table = source, connection, table
        self._drawn = drawn
        given = sources(table)
        names = [name for name in selected(table) if given[name].rule is not Rule.KEY]
        self._columns = {name: given[name].rule for name in names}
        self._fields = {name: given[name].field for name in names}
        self.result = Comparison()
        self.odd_types: Counter[tuple[str, str]] = Counter()
        self._usual = {name.encode(): (name, types) for name, types in usual.items()}
        # One thread reads ahead, the other looks things up: whoever holds it uses the connection.
        self._using = threading.Lock()
        query = locked(connection, self._using)
        self._known = known_references(query, table)
        self._references = DocumentReferences(names, given, self._known, self.result)
        self._rules = JudgedRules(remediations.of(table), table.name, self._known.ids)
        self._judge = Judge(table, self._known.ids, self._rules)
        # Who has a unique value depends on the documents before: that is not for plain rows to know.
        self._plain = (
            None
            if unique_columns(table)
            else PlainRows(table, self._known.documents, cache(partial(has_hex_texts, query)))
        )
        self._rows = RowsInStep(connection, table, self._columns)
        self._found_rows = 0
        self._to_judge: list[pl.DataFrame] = []
        self._has_pending = pending(connection, table.name)
        self.books = Books(connection, table.name, table.name)

    def steps(self, given: Iterable[Documents]) -> Iterator[_Step]:
        """Yields batches of documents with the rows and the books that belong to them."""
        for documents in given:
            identities = Identities.of(self._table.name, documents)
            others = [identities.keys[number] for number in identities.others]
            with self._using:
                rows = self._rows.next(identities.own(), others)
                entries = self.books.of(
                    identities.last(),
                    identities.names(),
                    [*identities.others.values()],
                    self._add_unfounded,
                )
            yield _Step(documents, identities, rows, entries)

    def add(self, step: _Step) -> None:
        """Compares the next documents."""
        documents, identities, rows, entries = step
        matched = [rows.get(key) for key in identities.keys]
        self._found_rows += len(matched) - matched.count(None)
        plain = self._equal(documents, identities, matched, entries)
        self.result.references += plain.references
        self.result.rows += int(np.count_nonzero(plain.mask))
        self._ask(documents[number] for number in np.flatnonzero(~plain.mask).tolist())
        first = self.result.documents + 1
        are_drawn = np.isin(np.arange(first, first + len(documents)), self._drawn)
        expected, actual = (np.full(len(documents), len(self._columns)) for _ in range(2))
        for number in np.flatnonzero(~plain.mask | are_drawn).tolist():
            if not plain.mask[number]:
                compared = self._examine(documents[number], matched[number], entries)
                expected[number], actual[number] = compared
            if are_drawn[number]:
                name = identities.object_ids[number]
                self.result.sampled.append(
                    {
                        "source_id": name.hex() if name else identities.others[number],
                        "id": _text_of(identities.keys[number]),
                        "fields_compared": int(expected[number]),
                        "fields_equal": int(actual[number]),
                    }
                )
        self._known.forget()
        self._to_judge.append(pl.DataFrame({"expected": expected, "actual": actual}))
        if len(self._to_judge) >= _BATCHES_JUDGED:
            self._judge_rows()
        self.result.documents += len(documents)

    def finish(self) -> None:
        """Compares what belongs to no document."""
        self._judge_rows()

        @cache
        def known() -> UuidSet:
            return document_ids(self._source, self._table.name)

        for entry in self.books.rest(known):
            self._add_unfounded(entry)
        for key in self._rows.doubled:
            self._differ(What.MISSING_IN_SOURCE, key, actual=key)
        rows = count_rows(self._connection, table_name(self._table))
        if rows == self._found_rows and not self._has_pending:
            return
        for ids in ids_in_pages(self._connection, self._table):
            are_known = known().contain_each(ids).tolist()
            strangers = [key for key, own in zip(divided(ids), are_known, strict=True) if not own]
            for start in range(0, len(strangers), _ROWS_AT_ONCE):
                self._add_strangers(strangers[start : start + _ROWS_AT_ONCE])

    def _judge_rows(self) -> None:
        """Lets the schema judge all rows, equal or not: how many fields must be equal, and how many are.

        The values themselves are compared as the bytes that both servers sent, a column of a batch at a time;
        to make frames of both sides first would decode every value of them.
        """
        frame = pl.concat([pl.DataFrame(schema=_FIELDS), *self._to_judge])
        self.result.unequal += len(failing_rows(AGREEMENT, frame))
        self._to_judge.clear()

    def _equal(
        self,
        documents: Documents,
        identities: Identities,
        rows: list[bytes | None],
        entries: Collection[str],
    ) -> Equal:
        """Tells which documents, neither remedied nor on record, are plain and have their row."""
        are_equal = np.zeros(len(documents), dtype=np.bool_)
        if self._plain is None:
            return Equal(are_equal, 0)
        candidates = {number: row for number, row in enumerate(rows) if row}
        if entries:
            names = identities.names()
            candidates = {n: row for n, row in candidates.items() if names[n] not in entries}
        if self._rules.changes:
            object_ids = identities.object_ids
            candidates = {
                number: row
                for number, row in candidates.items()
                if (name := object_ids[number]) and not self._rules.touch(documents[number], name)
            }
        chosen = list(candidates)
        others = {
            at: identities.others[number]
            for at, number in enumerate(chosen if identities.others else ())
            if number in identities.others
        }
        found = self._plain.equal(documents.chosen(chosen), [*candidates.values()], others)
        are_equal[chosen] = found.mask
        return Equal(are_equal, found.references)

    def _ask(self, documents: Iterable[bytes]) -> None:
        """Asks for all that documents refer to, which judging them once tells."""
        if not self._known:
            return
        given = list(documents) if self._rules.ask_for_ids else documents
        # What a rule makes of a value hangs on the first answer, and refers to something else.
        for _ in range(2 if self._rules.ask_for_ids else 1):
            asking = Judge(self._table, self._known.ids, self._rules)
            for document in given:
                asking.judge(document)
            self._known.ask()

    def _examine(
        self, document: bytes, row: bytes | None, entries: dict[str, Entries]
    ) -> tuple[int, int]:
        """Judges a document by the reference, and compares it field by field and with the books.

        Returns:
            How many fields were compared, and how many are equal.
        """
        self._count_odd_types(document)
        judgement = self._judge.judge(document)
        mine = entries.pop(judgement.source_id, [])
        lines = expected_lines(judgement)
        missing, unfounded = unmatched(lines, mine, self._text)
        identifier = _text_of(judgement.id)
        add_missing(self.result.values, missing, judgement.source_id, identifier, self._text)
        for entry in unfounded:
            self._add_unfounded(entry)
        self.result.lines.update(line.kind for line in lines)
        self.result.conversions.update(
            (self._table.name, name, kind) for name, kind in judgement.conversions
        )
        if judgement.rejections:
            is_recorded = not any(
                line.kind == REJECTED and other is None for line, other in missing
            )
            self._add_rejected(document, judgement, row, is_recorded=is_recorded)
            return 0, 0
        self.result.rows += 1
        if row is None:
            whole = repr(judgement.row).encode()
            self._differ(What.MISSING_IN_TARGET, judgement.id, expected=whole, judged=judgement)
            self._references.lose(judgement)
            return len(judgement.row), 0
        _, source_id, *cells = binary_copy.cells(row)
        self._references.compare(judgement, cells, missing, unfounded)
        return self._compare_row(judgement, source_id, cells)

    def _compare_row(
        self, judgement: Judgement, source_id: bytes | None, cells: Sequence[bytes | None]
    ) -> tuple[int, int]:
        equal = 0
        expected: bytes | None = judgement.source_id.encode()
        if source_id != expected:
            self._differ(What.DIFFERS, judgement.id, _MAP, expected, source_id, judged=judgement)
        for (column, rule), cell in zip(self._columns.items(), cells, strict=True):
            expected, actual = _sides(rule, judgement.row[column], cell)
            if expected == actual:
                equal += 1
                continue
            name = self._fields[column]
            self._differ(What.DIFFERS, judgement.id, name, expected, actual, judged=judgement)
        return len(judgement.row), equal

    def _add_rejected(
        self, document: bytes, judgement: Judgement, row: bytes | None, *, is_recorded: bool
    ) -> None:
        """Compares a document that must not have become a row."""
        is_there = row is not None
        self._references.reject(document, judgement, is_lost=not (is_recorded or is_there))
        if row is not None and not self._waits(judgement.id):
            self._differ(What.MISSING_IN_SOURCE, judgement.id, actual=row, judged=judgement)
            cells = binary_copy.cells(row)[2:]
            self._references.invent(judgement.id, judgement.source_id, cells)

    def _add_strangers(self, keys: Sequence[bytes]) -> None:
        """Takes in rows that no document stands for."""
        for key in keys:
            self._differ(What.MISSING_IN_SOURCE, key, actual=key)
        if self._references:
            for key, row in self._rows.of(keys).items():
                _, mapped, *cells = binary_copy.cells(row)
                name = _source_id_of(key) or (mapped.decode() if mapped else None)
                self._references.invent(key, name, cells)

    def _add_unfounded(self, entry: Entry) -> None:
        add_unfounded(self.result.values, entry)

    def _waits(self, key: bytes) -> bool:
        """Tells whether a row only waits for its deletion."""
        with self._using:
            return self._has_pending and pending(self._connection, self._table.name, key)

    def _text(self, entry: Entry) -> str:
        with self._using:
            return self.books.text(entry)

    def _differ(
        self,
        what: What,
        key: bytes,
        name: str | None = None,
        expected: bytes | None = None,
        actual: bytes | None = None,
        *,
        judged: Judgement | None = None,
    ) -> None:
        self.result.values.add(
            what,
            source_id=judged.source_id if judged else _source_id_of(key),
            identifier=_text_of(key),
            name=name,
            expected=expected,
            actual=actual,
        )

    def _count_odd_types(self, document: bytes) -> None:
        seen: set[bytes] = set()  # the server counts the first of two fields with one name
        try:
            for kind, name, _, _ in bson.spans(document):
                if name in self._usual and name not in seen:
                    known, usual = self._usual[name]
                    if bson.TYPE_NAMES[kind] not in usual:
                        self.odd_types[known, bson.TYPE_NAMES[kind]] += 1
                seen.add(name)
        except bson.UnreadableError:
            # The document is rejected as unreadable; the server's count shows what was not seen.
            return


def _source_id_of(key: bytes) -> str | None:
    object_id = object_id_of(key)
    return object_id.hex() if object_id else None


def _text_of(identifier: bytes) -> str:
    return str(uuid.UUID(bytes=identifier))


def _sides(rule: Rule, value: Any, cell: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Returns both sides of a column as bytes that are the same where the values are."""
    if rule is not Rule.JSON or value is None or cell is None:
        is_json = rule is Rule.JSON and value is not None
        return repr(value).encode() if is_json else binary_copy.cell(rule, value), cell
    actual = parsed_cell(cell)
    expected = repr(value).encode()
    return expected, expected if means_same(value, actual) else repr(actual).encode()
