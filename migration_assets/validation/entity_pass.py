"""One pass over a collection and its entity table: what is wrong with its values and with its references.

A plain document whose row is the one that it must be costs one comparison, made for all of a batch together.
Every other one is judged by ``judge``, and held against its row in the same way and against its lines in the
books. A batch of documents and their rows are held at a time, and nothing that grows with the source.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

from migration_assets.model import Rule, sources, unique_keys
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection, count_rows
from migration_assets.validation.comparison import AGREEMENT, IS_THERE, compared, means_same_json
from migration_assets.validation.counting import count_source
from migration_assets.validation.documents import (
    Documents,
    Identities,
    Mask,
    SourceIds,
    ahead,
    batches,
    drawn_numbers,
)
from migration_assets.validation.evidence import Phases
from migration_assets.validation.expected import SOURCE_ID, Expected, ExpectedRows
from migration_assets.validation.findings import Comparison, What, failing_rows, totals_of
from migration_assets.validation.identities import uuid_of, value_of
from migration_assets.validation.judged_documents import JudgedDocuments, source_id_of_row
from migration_assets.validation.known_ids import has_hex_texts, locked
from migration_assets.validation.odd_types import odd_types, odd_types_in, usual_types
from migration_assets.validation.postgres_text import uuid_text
from migration_assets.validation.recorded_lines import Lines
from migration_assets.validation.rows import RowsInStep, ids_in_pages, pending, table_name
from migration_assets.validation.types import types_of_rows

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
    with_types: bool = False,
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
        with_types: Whether to judge the types of the rows, too.
    """
    usual = usual_types(table)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="types") as counting:
        counted = counting.submit(count_source, source, table.name, {})
        odd = counting.submit(odd_types, source, table.name, usual)
        with phases.phase("compare"):
            drawn = drawn_numbers(source, table.name, sample_size, seed)
            comparison = _Pass(source, connection, table, drawn, remediations, usual)
            if with_types:
                comparison.result.types = types_of_rows(connection, table)
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


def recheck_documents(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    identifiers: Sequence[Any],
    *,
    remediations: Remediations,
) -> Comparison:
    """Holds some rows of an entity table against their documents, given the `_id`s of these."""
    comparison = _Pass(source, connection, table, (), remediations, usual_types(table))
    keys = [uuid_text(uuid_of(table.name, value_of(each))) for each in identifiers]
    with closing(comparison.books):
        found: set[str] = set()
        for documents in batches(source, table.name, chosen={"_id": {"$in": [*identifiers]}}):
            found.update(comparison.recheck(documents))
        comparison.finish_lines()
        comparison.add_strangers([key for key in dict.fromkeys(keys) if key not in found])
    return comparison.result


class _Step(NamedTuple):
    """A batch of documents with what has to be held against it.

    Attributes:
        documents: The documents.
        identities: Who they are.
        rows: Their rows, and perhaps some more.
        recorded: Their lines in the books.
    """

    documents: Documents
    identities: Identities
    rows: pl.DataFrame
    recorded: Lines


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
        self.result = Comparison()
        # One thread reads ahead, the other looks things up: whoever holds it uses the connection.
        self._using = threading.Lock()
        query = locked(connection, self._using)
        self.judged = JudgedDocuments(connection, self._using, table, remediations, self.result)
        self.rules = {
            n: each.rule for n, each in sources(table).items() if each.rule is not Rule.KEY
        }
        self._json = {
            name: means_same_json for name, rule in self.rules.items() if rule is Rule.JSON
        }
        hex_texts = cache(partial(has_hex_texts, query))
        self._expected = ExpectedRows(table, self.judged.known.documents, hex_texts)
        # Who has a unique value depends on the documents before.
        self._is_for_judge = bool(unique_keys(table))
        self._rows = RowsInStep(connection, table, self.rules)
        self._found_rows = 0
        self._to_judge: list[pl.DataFrame] = []
        self._has_pending = pending(connection, table.name)
        self.books = self.judged.books

    def steps(self, given: Iterable[Documents]) -> Iterator[_Step]:
        """Yields batches of documents with the rows and the books that belong to them."""
        for documents in given:
            identities = Identities.of(self._table.name, documents)
            with self._using:
                rows = self._rows.next(
                    identities.own(), identities.ids[identities.others].to_list()
                )
                recorded = self.books.of(
                    identities.last(),
                    identities.source_ids,
                    identities.source_ids[identities.others].to_list(),
                )
            yield _Step(documents, identities, rows, recorded)

    def recheck(self, documents: Documents) -> list[str]:
        """Compares documents wherever they stand; returns their UUIDs."""
        identities = Identities.of(self._table.name, documents)
        ids = identities.ids.to_list()
        recorded = self.books.under(identities.source_ids.to_list())
        self.add(_Step(documents, identities, self._rows.of(ids).unique("id"), recorded))
        return ids

    def add(self, step: _Step) -> None:
        """Compares the next documents."""
        documents, identities, rows, recorded = step
        expected = self._expected.of(documents, identities)
        if self.result.types is not None:
            self.result.types.add(rows.drop(SOURCE_ID))
        lines = compared(expected.rows, rows, ["id"], self._json).head(len(documents))
        self._found_rows += lines[IS_THERE].to_list().count(True)
        are_plain = self._are_plain(step, expected, lines)
        self.result.references += int(expected.references[are_plain].sum())
        self.result.rows += int(np.count_nonzero(are_plain))
        others = np.flatnonzero(~are_plain).tolist()
        first = self.result.documents + 1
        compared_fields = np.full(len(documents), len(self.rules))
        equal_fields = compared_fields.copy()
        if others:
            for number in others:
                self.odd_types.update(odd_types_in(documents[number], self._usual))
            wanted = expected.rows["id"][others].implode()
            held = rows.filter(pl.col("id").is_in(wanted))
            judged = self.judged.compare([documents[number] for number in others], held, recorded)
            self._to_judge.append(judged.lines)
            compared_fields[others], equal_fields[others] = judged.compared, judged.equal
        lines = lines.filter(pl.Series(are_plain))
        self._to_judge.append(lines.drop("id"))
        for number in sorted(n - first for n in self._drawn if 0 <= n - first < len(documents)):
            self.result.sampled.append(
                {
                    "source_id": identities.source_ids[number],
                    "id": identities.ids[number],
                    "fields_compared": int(compared_fields[number]),
                    "fields_equal": int(equal_fields[number]),
                }
            )
        self.judged.known.forget()
        if len(self._to_judge) >= _BATCHES_JUDGED:
            self.finish_lines()
        self.result.documents += len(documents)

    def finish(self) -> None:
        """Compares what belongs to no document."""
        self.finish_lines()

        @cache
        def known() -> SourceIds:
            return SourceIds(self._source, self._table.name)

        self.books.finish(known)
        for key in self._rows.doubled:
            self.judged.differ(What.MISSING_IN_SOURCE, key, actual=key)
        rows = count_rows(self._connection, table_name(self._table))
        if self.result.types is not None:
            self.result.types.judge_rows()
            if self.result.types.counts["rows"] != rows or rows != self._found_rows:
                self.result.types = None
        if rows == self._found_rows and not self._has_pending:
            return
        for ids in ids_in_pages(self._connection, self._table):
            have = known().have([each.bytes for each in ids]).tolist()
            strangers = [str(each) for each, is_own in zip(ids, have, strict=True) if not is_own]
            for start in range(0, len(strangers), _ROWS_AT_ONCE):
                self.add_strangers(strangers[start : start + _ROWS_AT_ONCE])

    def finish_lines(self) -> None:
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
        if step.recorded:
            named = pl.Series([name for name, _ in step.recorded], dtype=pl.String).implode()
            found &= ~step.identities.source_ids.is_in(named).to_numpy()
        if self.judged.rules.changes:
            found &= ~step.identities.are_others()
            for number in np.flatnonzero(found).tolist():
                source_id = step.identities.source_ids[number]
                found[number] = not self.judged.rules.touch(step.documents[number], source_id)
        return found

    def add_strangers(self, keys: Sequence[str]) -> None:
        """Takes in rows that no document stands for, as far as they are there."""
        for row in self._rows.of(keys).iter_rows(named=True) if keys else ():
            self.judged.differ(What.MISSING_IN_SOURCE, row["id"], actual=row["id"])
            if self.judged.references:
                name = source_id_of_row(row["id"]) or row[SOURCE_ID]
                self.judged.references.invent(row["id"], name, row)
