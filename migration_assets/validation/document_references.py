"""The references of an entity table, compared with those of its collection.

Whole batches are compared with numpy and polars. A document that is not equal to its row there is looked
at again, value by value, as the rules of section 5 have it: not every difference is a fault.
"""

from __future__ import annotations

import math
import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS

from migration_assets.identity import document_uuid, source_id
from migration_assets.source.connection import Document, SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation import recorded_references as recorded
from migration_assets.validation import target_references as target
from migration_assets.validation.evidence import Phases
from migration_assets.validation.recorded_references import Records
from migration_assets.validation.source_references import (
    Mask,
    Positions,
    References,
    Uuids,
    references,
    timed,
)
from migration_assets.validation.target_references import ReferenceColumn
from migration_assets.validation.unresolved import Findings, Unresolved, What

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_ANY_TEXT = "\x00"
"""Stands for a text that is not compared here, since no reference is written like it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of an entity table with its collection.

    Attributes:
        source: The source.
        connection: A connection to the target.
        table: The table.
        columns: Its columns that hold references.
        batches: What the fields of these columns hold in the source.
        findings: Takes what is found.
        phases: Takes how long it took.
    """

    source: SourceDatabase
    connection: Connection
    table: sa.Table
    columns: Sequence[ReferenceColumn]
    batches: Iterator[References]
    findings: Findings
    phases: Phases

    def run(self) -> None:
        """Compares every document with its row, then looks for rows without a document."""
        matched = 0
        for batch in timed(self.batches, self.phases):
            self.findings.counts["documents"] += len(batch)
            self._count(batch)
            with self.phases.phase("comparison"):
                is_equal, rows = self._equal(batch)
            matched += rows
            with self.phases.phase("one by one"):
                self._look_again(batch, np.flatnonzero(batch.odd | ~is_equal))
        with self.phases.phase("comparison"):
            if matched != target.count_rows(self.connection, self.table):
                self._judge_strangers()

    def _count(self, batch: References) -> None:
        scalars = sum(int(each.present[~batch.odd].sum()) for each in batch.scalars.values())
        elements = sum(len(each.uuids) for each in batch.arrays.values())
        self.findings.counts["references"] += scalars + elements

    def _equal(self, batch: References) -> tuple[Mask, int]:
        """Returns which documents have a row with the same references, and how many have a row."""
        rows = target.rows(self.connection, self.table, self.columns, batch.ids)
        places = _places(batch.ids, rows.ids)
        has_row = places >= 0
        places = places[has_row]
        is_equal = has_row.copy()
        for column in self.columns:
            if column.is_array:
                is_equal &= self._equal_arrays(batch, column)
                continue
            ours = batch.scalars[column.field]
            is_wanted = ours.present[has_row]
            is_same = (rows.uuids[column.name][places] == ours.uuids[has_row]).all(axis=1)
            is_equal[has_row] &= rows.present[column.name][places] == is_wanted
            is_equal[has_row] &= is_same | ~is_wanted
        return is_equal, int(has_row.sum())

    def _equal_arrays(self, batch: References, column: ReferenceColumn) -> Mask:
        """Returns which documents have the same array in their row."""
        held = target.row_elements(self.connection, self.table, column, batch.ids)
        theirs = _elements_frame(_places(held.ids, batch.ids), held.positions, held.uuids)
        elements = batch.arrays[column.field]
        ours = _elements_frame(elements.documents, elements.positions, elements.uuids)
        both = ours.join(
            theirs,
            on=["document", "position"],
            how="full",
            coalesce=True,
        )
        is_same = (pl.col("low") == pl.col("low_right")) & (pl.col("high") == pl.col("high_right"))
        is_equal = np.ones(len(batch), dtype=np.bool_)
        is_equal[both.filter(~is_same.fill_null(value=False))["document"].to_numpy()] = False
        return is_equal

    def _look_again(self, batch: References, numbers: Positions) -> None:
        """Judges documents one by one that are odd, or not equal to their rows."""
        if not len(numbers):
            return
        rows = target.texts(self.connection, self.table, self.columns, batch.ids[numbers])
        documents = []
        for number in numbers.tolist():
            values, key = batch.document(number), batch.ids[number].tobytes()
            documents.append(_Document(key, source_id(values["_id"]), values, rows.get(key)))
            if batch.odd[number]:
                self.findings.counts["references"] += sum(
                    value not in (None, "")
                    for column in self.columns
                    for _, value in _elements(column, values)
                )
        self._judge(documents)

    def _judge_strangers(self) -> None:
        """Judges the rows that no document of the source stands for."""
        known = [batch.ids for batch in references(self.source, self.table.name, {})]
        ours = np.concatenate([np.empty((0, 2), dtype=np.uint64), *known])
        for ids in target.ids_in_pages(self.connection, self.table):
            strangers = ids[_places(ids, ours) < 0]
            if len(strangers):
                rows = target.texts(self.connection, self.table, self.columns, strangers)
                self._judge([_Document(key, None, {}, row) for key, row in rows.items()])

    def _judge(self, documents: Sequence[_Document]) -> None:
        resolvable = {column.name: self._resolvable(documents, column) for column in self.columns}
        known = [each.source_id for each in documents if each.source_id is not None]
        records = recorded.records(self.connection, self.table, self.table.name, known)
        self.findings.judge(
            found
            for document in documents
            for column in self.columns
            for found in judged(document, column, resolvable[column.name], records)
        )

    def _resolvable(
        self, documents: Sequence[_Document], column: ReferenceColumn
    ) -> frozenset[bytes]:
        """Returns those UUIDs of the documents' values in a column that may be referred to."""
        ids = {
            each
            for document in documents
            for _, value in _elements(column, document.values)
            for each in uuids_for(column.references, value)
        }
        existing = recorded.existing_documents if column.is_text else recorded.existing_rows
        return existing(self.connection, column.references, ids)


@dataclass(frozen=True, slots=True)
class _Document:
    """A document, or a row without one, as far as its references are concerned.

    Attributes:
        id: Its UUID, 16 bytes.
        source_id: None for a row without a document.
        values: What it holds, by field; nothing for a row without a document.
        row: What its row holds as text, by column; None where it has no row.
    """

    id: bytes
    source_id: str | None
    values: Document
    row: Mapping[str, Sequence[str | None]] | None


@dataclass(frozen=True, slots=True)
class _Expected:
    """What the rules of section 5 make of one value of the source, which is not null.

    Attributes:
        uuids: The UUIDs that it may stand for, the one that it stands for as it is first.
        resolved: That of them which may be referred to, None where there is none.
        wanted: What the target holds for it, as text; None for nothing.
        is_reference: It is more than an empty text, unless that is the `_id` of a document.
        is_recorded: The books say that it was lost on the way.
    """

    uuids: Sequence[bytes]
    resolved: bytes | None
    wanted: str | None
    is_reference: bool
    is_recorded: bool

    @property
    def is_unresolved(self) -> bool:
        """It is a reference to nothing that may be referred to."""
        return self.is_reference and self.resolved is None

    @property
    def texts(self) -> Sequence[str]:
        """The UUIDs that it may stand for, as text."""
        return [str(uuid.UUID(bytes=each)) for each in self.uuids]

    def missing(self) -> What:
        """Returns what it is where the target does not hold what is wanted."""
        return What.STALE if self.is_recorded and self.resolved is not None else What.LOST


_Difference = tuple[What, _Expected | None, str | None]
"""What is wrong, what the source has, and what the target has instead."""


def uuids_for(collection: str, value: Any) -> tuple[bytes, ...]:
    """Returns the UUIDs that a value may stand for, in the order in which they are tried (section 5).

    Args:
        collection: The collection that it points to.
        value: A value as pymongo decodes it: an `_id` as it is, or an ObjectId in 24 hex digits.
    """
    ids = [document_uuid(collection, value).bytes]
    if type(value) is str and _OBJECT_ID.fullmatch(value):
        ids.append(document_uuid(collection, ObjectId(value)).bytes)
    return tuple(ids)


def judged(
    document: _Document,
    column: ReferenceColumn,
    resolvable: frozenset[bytes],
    records: Records,
) -> Iterator[Unresolved]:
    """Yields what is not in order with the references that a document has in one column.

    Args:
        document: The document with its row.
        column: The column.
        resolvable: Those UUIDs of the document's values that may be referred to.
        records: What the books say of the document.
    """
    expected = [
        _expected(
            column,
            value,
            resolvable,
            is_recorded=(document.source_id, column.field, element) in records.issues,
        )
        for element, value in _elements(column, document.values)
    ]
    differences: Iterator[_Difference]
    if document.row is not None:
        compared = _array_differences if column.is_array else _scalar_differences
        differences = compared(column, expected, document.row[column.name])
    elif document.source_id in records.rejected:
        return
    else:
        differences = ((What.LOST, one, None) for one in expected if one.is_reference)
    for what, one, held in differences:
        yield Unresolved(
            source_id=document.source_id,
            id=str(uuid.UUID(bytes=document.id)),
            field=column.field,
            what=what,
            source=one.texts[-1] if one is not None else None,
            target=held,
            points_to_row=one is None or one.resolved is not None,
        )


def _elements(column: ReferenceColumn, values: Document) -> Sequence[tuple[int | None, Any]]:
    """Returns the values of a field that are not null, with their positions in an array."""
    value = values.get(column.field)
    if value is None:
        return []
    if not column.is_array:
        return [(None, value)]
    elements = value if isinstance(value, list) else [value]
    return [(position, each) for position, each in enumerate(elements) if each is not None]


def _expected(
    column: ReferenceColumn, value: Any, resolvable: frozenset[bytes], *, is_recorded: bool
) -> _Expected:
    ids = uuids_for(column.references, value)
    resolved = next((each for each in ids if each in resolvable), None)
    wanted = str(uuid.UUID(bytes=resolved)) if resolved is not None else None
    if column.is_text and (resolved is None or value == ""):
        wanted = _kept_text(value)
    is_reference = value != "" or (resolved is not None and not column.is_text)
    return _Expected(ids, resolved, wanted, is_reference, is_recorded)


def _kept_text(value: Any) -> str | None:
    """Returns a value that is no id as a text column keeps it, None where no text stands for it."""
    match value:
        case ObjectId():
            return str(value)
        case float() if not math.isfinite(value):
            return None
        case Decimal128() if not value.to_decimal().is_finite():
            return None
        case bool() | int() | float() | Decimal128() | datetime() | DatetimeMS():
            return _ANY_TEXT
        case _:
            return value.replace("\x00", "\ufffd") if type(value) is str else None


def _scalar_differences(
    column: ReferenceColumn, expected: Sequence[_Expected], row: Sequence[str | None]
) -> Iterator[_Difference]:
    """Yields what is wrong with a column that holds one reference."""
    held = row[0]
    one = expected[0] if expected else None
    if one is None or not one.is_reference:
        if held not in (None, ""):
            yield What.INVENTED, None, held
    elif _is_wanted(held, one):
        if one.is_unresolved and not one.is_recorded:
            yield (What.LOST if held is None else What.UNRECORDED), one, held
    elif held is None:
        yield one.missing(), one, None
    elif not _is_dangling(column, held, one):
        yield What.DIFFERENT, one, held


def _array_differences(
    column: ReferenceColumn, expected: Sequence[_Expected], row: Sequence[str | None]
) -> Iterator[_Difference]:
    """Yields what is wrong with a column that holds an array of references."""
    present = Counter(row)
    wanted = Counter[str | None](one.wanted for one in expected if one.wanted is not None)
    missing, surplus = wanted - present, present - wanted
    differences: list[_Difference] = []
    kept: list[_Expected] = []
    for one in expected:
        if one.wanted is not None and one.wanted != _ANY_TEXT and missing[one.wanted] > 0:
            missing[one.wanted] -= 1
            if one.is_reference:
                differences.append((one.missing(), one, None))
            continue
        if one.wanted is not None:
            kept.append(one)
        if one.is_unresolved and not one.is_recorded:
            what = What.LOST if one.wanted is None else What.UNRECORDED
            differences.append((what, one, one.wanted))
    extras = [
        held
        for held in surplus.elements()
        if held != "" and not any(_is_dangling(column, held, one) for one in expected)
    ]
    differences += [(What.INVENTED, None, held) for held in extras[missing[_ANY_TEXT] :]]
    if not differences and len(kept) == len(row):
        pairs = zip(kept, row, strict=True)
        out_of_order = [(one, held) for one, held in pairs if not _is_wanted(held, one)]
        differences += [(What.DIFFERENT, one, held) for one, held in out_of_order[:1]]
    yield from differences


def _is_wanted(held: str | None, one: _Expected) -> bool:
    return held == one.wanted or (one.wanted == _ANY_TEXT and held is not None)


def _is_dangling(column: ReferenceColumn, held: str | None, one: _Expected) -> bool:
    """Tells whether the target has what the source has, and it leads nowhere.

    That is reported by itself, for every id in the target (``target_references``).
    """
    return not column.is_text and one.resolved is None and held in one.texts


def _places(ids: Uuids, among: Uuids) -> Positions:
    """Returns where each of some ids stands among others, -1 where it does not."""
    keys = ["low", "high"]
    others = pl.DataFrame(_halves(among)).with_row_index("place").unique(keys, keep="any")
    found = pl.DataFrame(_halves(ids)).join(others, on=keys, how="left", maintain_order="left")
    places: Positions = found["place"].cast(pl.Int64).fill_null(-1).to_numpy()
    return places


def _elements_frame(documents: Positions, positions: Positions, uuids: Uuids) -> pl.DataFrame:
    return pl.DataFrame({"document": documents, "position": positions, **_halves(uuids)})


def _halves(ids: Uuids) -> dict[str, Any]:
    return {"low": ids[:, 0], "high": ids[:, 1]}
