"""One pass over a collection and its entity table: what is wrong with its values and with its references.

A plain document whose row is the one that it must be costs one comparison, made for all of a batch together.
Every other one is judged by ``judge``, and held against its row in the same way and against its lines in the
books. A batch of documents and their rows are held at a time, and nothing that grows with the source.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import sqlalchemy as sa

from migration_assets.model import unique_keys
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.ranges import WHOLE, Range, ranges_of
from migration_assets.source.united import UnitedCollection
from migration_assets.target.connection import count_rows
from migration_assets.validation.comparison import AGREEMENT, IS_THERE, compared
from migration_assets.validation.counting import count_source
from migration_assets.validation.documents import (
    DOCUMENTS_PER_BATCH,
    Documents,
    Identities,
    SourceIds,
    ahead,
    batches,
    drawn_numbers,
)
from migration_assets.validation.evidence import Phases
from migration_assets.validation.expected import SOURCE_ID, Expected, ExpectedRows
from migration_assets.validation.findings import (
    Comparison,
    TypeFindings,
    What,
    failing_rows,
    totals_of,
)
from migration_assets.validation.identities import object_id_text, uuid_of
from migration_assets.validation.judged_documents import JudgedDocuments
from migration_assets.validation.odd_types import odd_types, odd_types_in, usual_types
from migration_assets.validation.placed_values import Mask
from migration_assets.validation.postgres_text import uuid_text
from migration_assets.validation.recorded_lines import Lines
from migration_assets.validation.rows import (
    ComparedTable,
    RowsOfDocuments,
    ids_in_pages,
    pending,
    table_name,
)
from migration_assets.validation.types import RowTypes, definition_findings

_ROWS_AT_ONCE = 2_000
BATCHES_PER_PART = 2
"""A part costs some 10 milliseconds besides its documents, most of them for the schemas."""
_BATCHES_JUDGED = 25
"""Batches whose rows the schema judges at once: to call it takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Part:
    """Documents of a collection that are compared by themselves, as another process can be told of them.

    Attributes:
        table: Name of the entity table.
        range: The documents.
        drawn: Numbers of those that are reported one by one, from 1.
        with_types: Whether to judge the types of their rows, too.
    """

    table: str
    range: Range
    drawn: Sequence[int] = ()
    with_types: bool = False


ComparePart = Callable[[Part], Comparison]
Shared = Callable[[Sequence[Part], ComparePart], Iterable[Comparison]]
"""Compares parts, here by the function that is given or elsewhere; what comes of them is in their order."""


def compare_documents(
    compared_table: ComparedTable,
    phases: Phases,
    *,
    sample_size: int,
    seed: int,
    with_types: bool = False,
    shared: Shared | None = None,
) -> Comparison:
    """Holds an entity table against its collection.

    Args:
        compared_table: The entity table and its source.
        phases: Where the seconds are added.
        sample_size: How many documents to report one by one.
        seed: Which ones: the same seed, the same numbers.
        with_types: Whether to judge the types of the rows, too.
        shared: Shares parts with other processes; None for one part, here.
    """
    source, table = compared_table.source, compared_table.table
    result = Comparison()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="types") as counting:
        counted = counting.submit(count_source, source, table.name, {})
        odd = counting.submit(odd_types, source, table.name, usual_types(table))
        with phases.phase("compare"):
            drawn = drawn_numbers(source, table.name, sample_size, seed)
            result.types = (
                definition_findings(compared_table.connection, table) if with_types else None
            )
            parts = _parts(source, table, drawn, is_one=shared is None)
            if result.types is not None:
                parts = [replace(part, with_types=True) for part in parts]
            compare = partial(compare_part, compared_table)
            if shared is None or len(parts) == 1:
                comparisons: Iterable[Comparison] = map(compare, parts)
            else:
                comparisons = shared(parts, compare)
            for comparison in comparisons:
                result.join(comparison)
            _finish(compared_table, result)
        with phases.phase("types"):
            result.totals += totals_of(
                "documents of",
                {table.name: counted.result().documents},
                {table.name: result.documents},
            )
            result.totals += totals_of("BSON type of", odd.result(), result.odd_types)
    return result


def _parts(
    source: SourceDatabase, table: sa.Table, drawn: Sequence[int], *, is_one: bool
) -> list[Part]:
    """Returns the parts of a collection.

    Who has a unique value depends on the documents before, and of collections that count as one nobody
    knows how many documents a part has: they are one part.
    """
    collection = source[table.name]
    if is_one or unique_keys(table) or isinstance(collection, UnitedCollection):
        return [Part(table.name, WHOLE, drawn)]
    size = BATCHES_PER_PART * DOCUMENTS_PER_BATCH
    ranges = ranges_of(collection, size=size)
    drawn_of_part: list[list[int]] = [[] for _ in ranges]
    for number in drawn:
        part = min((number - 1) // size, len(ranges) - 1)
        drawn_of_part[part].append(number - part * size)
    return [
        Part(table.name, *range_and_drawn)
        for range_and_drawn in zip(ranges, drawn_of_part, strict=True)
    ]


def compare_part(compared_table: ComparedTable, part: Part) -> Comparison:
    """Holds some documents against their rows and their lines in the books."""
    of_part = _Pass(compared_table, part)
    documents = batches(compared_table.source, part.table, part=part.range)
    for batch in ahead(of_part.read(documents)):
        of_part.add(batch)
    of_part.finish()
    return of_part.result


def _finish(compared_table: ComparedTable, result: Comparison) -> None:
    """Compares what belongs to no document, when all parts have been compared."""
    connection, table = compared_table.connection, compared_table.table

    @cache
    def known() -> SourceIds:
        return SourceIds(compared_table.source, table.name)

    rows = count_rows(connection, table_name(table))
    if result.types is not None and not result.types.rows == rows == result.rows_found:
        result.types = None
    has_strangers = rows != result.rows_found or pending(compared_table)
    has_strays = result.lines_taken != result.all_lines
    if not has_strangers and not has_strays:
        return
    of_none = _Pass(compared_table, Part(table.name, Range(ids=())))
    if has_strays:
        of_none.books.find_strays(known())
    if has_strangers:
        before: uuid.UUID | None = None
        for ids in ids_in_pages(connection, table):
            strangers = []
            are_own = known().have([row_id.bytes for row_id in ids]).tolist()
            for row_id, is_own in zip(ids, are_own, strict=True):
                if row_id == before:
                    of_none.judged.differ(What.MISSING_IN_SOURCE, str(row_id), actual=str(row_id))
                elif not is_own:
                    strangers.append(str(row_id))
                before = row_id
            for start in range(0, len(strangers), _ROWS_AT_ONCE):
                of_none.add_strangers(strangers[start : start + _ROWS_AT_ONCE])
    result.join(of_none.result)


def recheck_documents(compared_table: ComparedTable, identifiers: Sequence[Any]) -> Comparison:
    """Holds some rows of an entity table against their documents, given the `_id`s of these."""
    table = compared_table.table
    part = Part(table.name, Range(ids=tuple(identifiers)))
    of_part = _Pass(compared_table, part)
    keys = [uuid_text(uuid_of(table.name, identifier)) for identifier in identifiers]
    ids_read: set[str] = set()
    for batch in of_part.read(batches(compared_table.source, table.name, part=part.range)):
        ids_read.update(batch.identities.ids)
        of_part.add(batch)
    of_part.finish()
    of_part.add_strangers([key for key in dict.fromkeys(keys) if key not in ids_read])
    return of_part.result


class _ReadBatch(NamedTuple):
    """A batch of documents with what has to be held against it.

    Attributes:
        documents: The documents.
        identities: Who they are.
        rows: Their rows, and perhaps some more.
    """

    documents: Documents
    identities: Identities
    rows: pl.DataFrame


class _Pass:
    """The comparison of one part of a collection, batch after batch."""

    def __init__(self, compared_table: ComparedTable, part: Part) -> None:
        table = compared_table.table
        self._table, self._part = table, part
        self._usual = usual_types(table)
        self.result = Comparison()
        self._using = compared_table.using
        self.judged = JudgedDocuments(compared_table, self.result)
        self.rules = {name: source.rule for name, source in self.judged.columns.items()}
        self._expected = ExpectedRows(table, self.judged.known.documents)
        # Who has a unique value depends on the documents before.
        self._is_for_judge = bool(unique_keys(table))
        self._rows = RowsOfDocuments(compared_table.connection, table, self.rules)
        self._types = None
        if part.with_types:
            self.result.types = TypeFindings()
            self._types = RowTypes(table, self.result.types)
        self._to_judge: list[pl.DataFrame] = []
        self.books = self.judged.books

    def read(self, documents_in_batches: Iterable[Documents]) -> Iterator[_ReadBatch]:
        """Yields batches of documents with their rows, and perhaps some more."""
        for documents in documents_in_batches:
            identities = Identities.of(self._table.name, documents)
            with self._using:
                are_in_order = self._part.range.ids is None and identities.are_object_ids
                rows = self._rows.of(identities.ids.to_list(), are_in_order=are_in_order)
            yield _ReadBatch(documents, identities, rows)

    def add(self, batch: _ReadBatch) -> None:
        """Compares the next documents."""
        documents, identities, rows = batch
        recorded = self.books.of(identities.source_ids)
        expected = self._expected.of(documents, identities)
        if self._types is not None:
            self._types.add(rows.drop(SOURCE_ID))
        lines = compared(expected.rows, rows, ["id"], self.judged.is_same).head(len(documents))
        self.result.rows_found += lines[IS_THERE].to_list().count(True)
        are_plain = self._are_plain(batch, recorded, expected, lines)
        self.result.references += int(expected.references[are_plain].sum())
        self.result.rows += int(np.count_nonzero(are_plain))
        others = np.flatnonzero(~are_plain).tolist()
        lines = lines.filter(pl.Series(are_plain))
        if others:
            for number in others:
                self.result.odd_types.update(odd_types_in(documents[number], self._usual))
            wanted = expected.rows["id"][others].implode()
            held = rows.filter(pl.col("id").is_in(wanted))
            judged = self.judged.compare([documents[number] for number in others], held, recorded)
            lines = pl.concat([lines, judged])
        self._to_judge.append(lines.drop("id"))
        self._sample(identities, lines)
        self.judged.known.forget()
        if len(self._to_judge) >= _BATCHES_JUDGED:
            self._judge_lines()
        self.result.documents += len(documents)

    def _sample(self, identities: Identities, lines: pl.DataFrame) -> None:
        """Reports the documents that were drawn; one that is rejected has no fields to compare."""
        first = self.result.documents + 1
        numbers = sorted(
            n - first for n in self._part.drawn if 0 <= n - first < len(identities.ids)
        )
        if not numbers:
            return
        of_columns = (pl.col(name) & pl.col(IS_THERE) for name in self.rules)
        are_equal = pl.sum_horizontal(pl.lit(0), *of_columns)  # a table may have a key alone
        equal = dict(lines.select("id", are_equal).iter_rows())
        for number in numbers:
            key = identities.ids[number]
            self.result.sampled.append(
                {
                    "source_id": identities.source_ids[number],
                    "id": key,
                    "fields_compared": len(self.rules) if key in equal else 0,
                    "fields_equal": equal.get(key, 0),
                }
            )

    def finish(self) -> None:
        """Compares what is left when all batches have been added."""
        self._judge_lines()
        self.result.lines_taken = self.books.taken
        self.result.all_lines = self.books.recorded
        if self._types is not None:
            self._types.judge()

    def _judge_lines(self) -> None:
        """Lets the schema judge all lines of both sides, equal or not."""
        if self._to_judge:
            lines = pl.concat(self._to_judge)
            self.result.unequal += len(failing_rows(AGREEMENT, lines))
            self._to_judge.clear()

    def _are_plain(
        self, batch: _ReadBatch, recorded: Lines, expected: Expected, lines: pl.DataFrame
    ) -> Mask:
        """Tells which documents, neither remedied nor on record, have just the row that is expected."""
        if self._is_for_judge:
            return np.zeros(len(batch.documents), dtype=np.bool_)
        agree = lines.select(pl.all_horizontal(pl.exclude("id"))).to_series().to_numpy()
        return self.judged.judging.without_judging(
            batch.documents, batch.identities, recorded, agree & ~expected.are_odd
        )

    def add_strangers(self, keys: Sequence[str]) -> None:
        """Takes in rows that no document stands for, as far as they are there."""
        for row in self._rows.of(keys).iter_rows(named=True) if keys else ():
            self.judged.differ(What.MISSING_IN_SOURCE, row["id"], actual=row["id"])
            if self.judged.references:
                name = object_id_text(uuid.UUID(row["id"]).bytes) or row[SOURCE_ID]
                self.judged.references.invent(row["id"], name, row)
