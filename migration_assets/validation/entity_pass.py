"""One pass over a collection and its entity table: what is wrong with its values and with its references.

A plain document whose row is the one that it must be costs one comparison, made for all of a batch together.
Every other one is judged by ``judge``, and held against its row in the same way and against its lines in the
books. A batch of documents and their rows are held at a time, and nothing that grows with the source.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa
from pymongo.read_concern import ReadConcern

from migration_assets.model import Rule, sources, unique_columns
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection, count_rows
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
from migration_assets.validation.comparison import AGREEMENT, IS_THERE, compared
from migration_assets.validation.counting import count_source
from migration_assets.validation.documents import (
    Documents,
    Identities,
    Mask,
    ahead,
    batches,
)
from migration_assets.validation.evidence import Phases
from migration_assets.validation.expected import SOURCE_ID, Expected, ExpectedRows
from migration_assets.validation.findings import Comparison, What, failing_rows, totals_of
from migration_assets.validation.identities import object_id_of
from migration_assets.validation.judge import Judge, Judgement
from migration_assets.validation.judged_remediations import JudgedRules
from migration_assets.validation.known_ids import has_hex_texts, known_references, locked
from migration_assets.validation.odd_types import odd_types, odd_types_in, usual_types
from migration_assets.validation.postgres_text import uuid_text, value_text
from migration_assets.validation.reference_faults import DocumentReferences
from migration_assets.validation.rows import RowsInStep, ids_in_pages, pending, table_name
from migration_assets.validation.source_ids import SourceIds

_ROWS_AT_ONCE = 2_000
_BATCHES_JUDGED = 50
"""Batches whose rows the schema judges at once: to call it takes some milliseconds."""


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
        rows: Their rows, and perhaps some more.
        entries: Lines in the books by source id.
    """

    documents: Documents
    identities: Identities
    rows: pl.DataFrame
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
        self.odd_types: Counter[tuple[str, str]] = Counter()
        self._usual = usual
        self._drawn = drawn
        given = sources(table)
        self._rules_of = {n: each.rule for n, each in given.items() if each.rule is not Rule.KEY}
        self._json = [name for name, rule in self._rules_of.items() if rule is Rule.JSON]
        self._fields = {SOURCE_ID: SOURCE_ID} | {n: given[n].field for n in self._rules_of}
        self.result = Comparison()
        # One thread reads ahead, the other looks things up: whoever holds it uses the connection.
        self._using = threading.Lock()
        query = locked(connection, self._using)
        self._known = known_references(query, table)
        self._references = DocumentReferences(given, self._known, self.result)
        self._rules = JudgedRules(remediations.of(table), table, self._known.ids)
        self._judge = Judge(table, self._known.ids, self._rules)
        hex_texts = cache(partial(has_hex_texts, query))
        self._expected = ExpectedRows(table, self._known.documents, hex_texts)
        # Who has a unique value depends on the documents before.
        self._is_for_judge = bool(unique_columns(table))
        self._rows = RowsInStep(connection, table, self._rules_of)
        self._found_rows = 0
        self._to_judge: list[pl.DataFrame] = []
        self._has_pending = pending(connection, table.name)
        self.books = Books(connection, table.name, table.name)

    def steps(self, given: Iterable[Documents]) -> Iterator[_Step]:
        """Yields batches of documents with the rows and the books that belong to them."""
        for documents in given:
            identities = Identities.of(self._table.name, documents)
            with self._using:
                rows = self._rows.next(
                    identities.own(), identities.ids[identities.others].to_list()
                )
                entries = self.books.of(
                    identities.last(),
                    identities.source_ids,
                    identities.source_ids[identities.others].to_list(),
                    self._add_unfounded,
                )
            yield _Step(documents, identities, rows, entries)

    def add(self, step: _Step) -> None:
        """Compares the next documents."""
        documents, identities, rows, entries = step
        expected = self._expected.of(documents, identities)
        lines = compared(expected.rows, rows, "id", self._json).head(len(documents))
        self._found_rows += lines[IS_THERE].to_list().count(True)
        are_plain = self._are_plain(step, expected, lines)
        self.result.references += int(expected.references[are_plain].sum())
        self.result.rows += int(np.count_nonzero(are_plain))
        others = np.flatnonzero(~are_plain).tolist()
        self._ask(documents[number] for number in others)
        first = self.result.documents + 1
        equal = np.full(len(documents), len(self._rules_of))
        rejected = np.zeros(len(documents), dtype=np.bool_)
        if others:
            wanted = expected.rows["id"][others].implode()
            row_of = {
                row["id"]: row
                for row in rows.filter(pl.col("id").is_in(wanted)).iter_rows(named=True)
            }
            for number in others:
                self.odd_types.update(odd_types_in(documents[number], self._usual))
            judgements = [self._judge.judge(documents[number]) for number in others]
            for number, judgement in zip(others, judgements, strict=True):
                row = row_of.get(uuid_text(judgement.id))
                rejected[number] = not self._examine(documents[number], judgement, row, entries)
            kept = [each for each in judgements if not each.rejections]
            judged = self._compare_judged(kept, [*row_of.values()])
            equal[others] = 0
            equal[[n for n in others if not rejected[n]]] = judged
        lines = lines.filter(pl.Series(are_plain))
        self._to_judge.append(lines.drop("id"))
        for number in self._drawn_of(first, len(documents)):
            self.result.sampled.append(
                {
                    "source_id": identities.source_ids[number],
                    "id": identities.ids[number],
                    "fields_compared": 0 if rejected[number] else len(self._rules_of),
                    "fields_equal": int(equal[number]),
                }
            )
        self._known.forget()
        if len(self._to_judge) >= _BATCHES_JUDGED:
            self._judge_rows()
        self.result.documents += len(documents)

    def finish(self) -> None:
        """Compares what belongs to no document."""
        self._judge_rows()

        @cache
        def known() -> SourceIds:
            return SourceIds(self._source, self._table.name)

        for entry in self.books.rest(known):
            self._add_unfounded(entry)
        for key in self._rows.doubled:
            self._differ(What.MISSING_IN_SOURCE, key, actual=key)
        rows = count_rows(self._connection, table_name(self._table))
        if rows == self._found_rows and not self._has_pending:
            return
        for ids in ids_in_pages(self._connection, self._table):
            have = known().have([each.bytes for each in ids]).tolist()
            strangers = [str(each) for each, is_own in zip(ids, have, strict=True) if not is_own]
            for start in range(0, len(strangers), _ROWS_AT_ONCE):
                self._add_strangers(strangers[start : start + _ROWS_AT_ONCE])

    def _judge_rows(self) -> None:
        """Lets the schema judge all lines of both sides, equal or not."""
        if self._to_judge:
            lines = pl.concat(self._to_judge)
            self.result.unequal += len(failing_rows(AGREEMENT, lines))
            self._to_judge.clear()

    def _are_plain(self, step: _Step, expected: Expected, lines: pl.DataFrame) -> Mask:
        """Tells which documents, neither remedied nor on record, have just the row that is expected."""
        if self._is_for_judge:
            return np.zeros(len(step.documents), dtype=np.bool_)
        agree = lines.select(pl.all_horizontal(pl.exclude("id"))).to_series().to_numpy()
        found: Mask = agree & ~expected.are_odd
        if step.entries:
            named = pl.Series([*step.entries], dtype=pl.String).implode()
            found &= ~step.identities.source_ids.is_in(named).to_numpy()
        if self._rules.changes:
            found &= ~step.identities.are_others()
            for number in np.flatnonzero(found).tolist():
                source_id = step.identities.source_ids[number]
                found[number] = not self._rules.touch(step.documents[number], source_id)
        return found

    def _drawn_of(self, first: int, count: int) -> list[int]:
        """Returns which of so many documents are drawn, the first of which has a number."""
        return sorted(n - first for n in self._drawn if first <= n < first + count)

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
        self,
        document: bytes,
        judgement: Judgement,
        row: Mapping[str, str | None] | None,
        entries: dict[str, Entries],
    ) -> bool:
        """Holds a judged document against the books and its references; tells whether it must have a row."""
        mine = entries.pop(judgement.source_id, [])
        lines = expected_lines(judgement)
        missing, unfounded = unmatched(lines, mine, self._text)
        identifier = uuid_text(judgement.id)
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
            is_lost = not (is_recorded or row is not None)
            self._references.reject(document, judgement, is_lost=is_lost)
            if row is not None and not self._waits(identifier):
                self._differ(What.MISSING_IN_SOURCE, identifier, actual=repr(row), judged=judgement)
                self._references.invent(identifier, judgement.source_id, row)
            return False
        self.result.rows += 1
        if row is None:
            self._references.lose(judgement)
        else:
            self._references.compare(judgement, row, missing, unfounded)
        return True

    def _compare_judged(
        self, judgements: Sequence[Judgement], rows: Sequence[Mapping[str, str | None]]
    ) -> list[int]:
        """Holds documents that must have a row against it; returns how many fields of each are equal."""
        expected = pl.DataFrame(
            [
                [
                    uuid_text(judgement.id),
                    judgement.source_id,
                    *(value_text(rule, judgement.row[n]) for n, rule in self._rules_of.items()),
                ]
                for judgement in judgements
            ],
            schema=dict.fromkeys(self._rows.columns, pl.String),
            orient="row",
        )
        actual = pl.DataFrame(rows, schema=expected.schema)
        actual = actual.join(expected.select("id"), on="id", how="semi")
        lines = compared(expected, actual, "id", self._json)
        self._to_judge.append(lines.drop("id"))
        row_of = {row["id"]: row for row in rows}
        equal: list[int] = []
        for judgement, line, wanted in zip(
            judgements, lines.iter_rows(named=True), expected.iter_rows(named=True), strict=True
        ):
            held = row_of.get(line["id"])
            if held is None:
                self._differ(
                    What.MISSING_IN_TARGET, line["id"], expected=repr(wanted), judged=judgement
                )
                equal.append(0)
                continue
            wrong = [name for name in self._fields if not line[name]]
            for name in wrong:
                sides = wanted[name], held[name]
                self._differ(What.DIFFERS, line["id"], self._fields[name], *sides, judged=judgement)
            equal.append(len(self._rules_of) - sum(name != SOURCE_ID for name in wrong))
        return equal

    def _add_strangers(self, keys: Sequence[str]) -> None:
        """Takes in rows that no document stands for."""
        for key in keys:
            self._differ(What.MISSING_IN_SOURCE, key, actual=key)
        if self._references:
            for row in self._rows.of(keys).iter_rows(named=True):
                name = _source_id_of(row["id"]) or row[SOURCE_ID]
                self._references.invent(row["id"], name, row)

    def _add_unfounded(self, entry: Entry) -> None:
        add_unfounded(self.result.values, entry)

    def _waits(self, key: str) -> bool:
        """Tells whether a row only waits for its deletion."""
        with self._using:
            return self._has_pending and pending(self._connection, self._table.name, key)

    def _text(self, entry: Entry) -> str:
        with self._using:
            return self.books.text(entry)

    def _differ(
        self,
        what: What,
        key: str,
        name: str | None = None,
        expected: str | None = None,
        actual: str | None = None,
        *,
        judged: Judgement | None = None,
    ) -> None:
        self.result.values.add(
            what,
            source_id=judged.source_id if judged else _source_id_of(key),
            identifier=key,
            name=name,
            expected=None if expected is None else expected.encode(),
            actual=None if actual is None else actual.encode(),
        )


def _source_id_of(key: str) -> str | None:
    object_id = object_id_of(uuid.UUID(key).bytes)
    return object_id.hex() if object_id else None
