"""Layer 3, ``references``: every reference of the source is in the target or on record, and leads somewhere.

Three questions (section 9): does an id point nowhere, did the target lose a reference that the source
has, did either side lose a pair. Whole batches are compared with numpy and polars; what is not equal
there is looked at again, document by document, by the rules of section 5 as ``_judged`` spells them
out. Nothing is shared with the loader but ``identity``.

What is unresolved in the end becomes a frame, and a pandera schema gives the verdict.
"""

from __future__ import annotations

import enum
import math
import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandera.polars as pa
import polars as pl
import sqlalchemy as sa
from bson import Decimal128, ObjectId
from bson.datetime_ms import DatetimeMS
from pandera.api.polars.types import PolarsData

from migration_assets.identity import document_uuid, object_id, source_id
from migration_assets.model import Junction, Rule, Side, junction_of
from migration_assets.source.connection import Document, SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation import target_references as target
from migration_assets.validation.evidence import (
    SAMPLE_SIZE,
    Evidence,
    Layer,
    Phases,
    Severity,
    failure_cases,
)
from migration_assets.validation.source_references import (
    Mask,
    References,
    Uuids,
    array_references,
    references,
    uuids_of,
)
from migration_assets.validation.target_references import ReferenceColumn

PAIRS_AT_A_TIME = 1_000_000
"""Pairs of a junction table that are held in memory; a larger one is compared in several passes."""

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_SAMPLE_ORDER = ("source_id", "id", "field", "what")


class What(enum.StrEnum):
    """What is wrong with a reference."""

    LOST = "lost"
    """The source has it, the target does not, and nothing is recorded."""
    DIFFERENT = "different"
    """The target has another one in its place, or has them in another order."""
    INVENTED = "invented"
    """The target has one that the source does not have."""
    DANGLING = "dangling"
    """It points to no row."""
    GONE = "gone"
    """It points to a row whose document is gone from the source."""
    STALE = "stale"
    """It is recorded as lost on the way, but the document that it points to is a row by now."""
    UNRECORDED = "unrecorded"
    """It is kept as text, points to no document, and that is not recorded."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A reference that is not in order.

    Attributes:
        source_id: The document that holds it; None where only the row is known.
        id: The row; of a pair, the ids of both rows.
        field: The field, or the column where only the row is known.
        element: Position in the array, from 0.
        what: What is wrong.
        source: The UUID that it should be; None where the source has none.
        target: The UUID or text that it is; None where the target has none.
        points_to_a_row: Whether what stands in the target leads anywhere.
    """

    source_id: str | None
    id: str
    field: str
    what: What
    source: str | None
    target: str | None
    element: int | None = None
    points_to_a_row: bool = True


def _as_in_source(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key) == pl.col("source"))


UNRESOLVED = pa.DataFrameSchema(
    {
        "source_id": pa.Column(pl.String, nullable=True),
        "id": pa.Column(pl.String),
        "field": pa.Column(pl.String),
        "element": pa.Column(pl.Int64, nullable=True),
        "what": pa.Column(pl.String),
        "source": pa.Column(pl.String),
        "target": pa.Column(pl.String, pa.Check(_as_in_source, name="as in the source")),
        "points_to_a_row": pa.Column(pl.Boolean, pa.Check.eq(True)),
    },
    name="references that are not in order",
)
"""The verdict on references that may not be in order: a missing side is a difference (section 9)."""

ON_RECORD = pa.DataFrameSchema(
    {
        "orphaned": pa.Column(pl.Int64, pa.Check.eq(0)),
        "asymmetric": pa.Column(pl.Int64, pa.Check.eq(0)),
    },
    name="references on record",
)
"""The verdict on what the source's own data is at fault for: every one is in the books."""


@dataclass(slots=True)
class _Findings:
    """What was found so far: totals, and a sample of keys."""

    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    sample: list[dict[str, Any]] = field(default_factory=list)

    def judge(self, found: Iterable[Unresolved]) -> None:
        """Takes in references that may not be in order."""
        lines = [asdict(each) for each in found]
        frame = pl.DataFrame(
            lines, schema={name: each.dtype.type for name, each in UNRESOLVED.columns.items()}
        )
        failed = frame[failure_cases(UNRESOLVED, frame)["index"].unique().sort().to_list()]
        self.kinds.update(failed["what"].to_list())
        room = SAMPLE_SIZE - len(self.sample)
        self.sample += failed.head(room).select(_SAMPLE_ORDER).to_dicts()

    @property
    def unresolved(self) -> int:
        """How many references are not in order."""
        return sum(self.kinds.values())


def check_references(
    source_database: SourceDatabase, connection: Connection, table: sa.Table
) -> Evidence:
    """Checks the references of a table, or the pairs of a junction table.

    Args:
        source_database: The source; only ids and references are read.
        connection: A connection to the target, in autocommit mode.
        table: The table, loaded.

    Returns:
        The evidence. It is not sound where a reference is unresolved and not on record. References
        that are on record as orphaned are an error too, for the source's data is at fault; pairs
        that only one of two arrays has are a warning.
    """
    findings, phases = _Findings(), Phases()
    with target.snapshot(connection):
        columns = target.reference_columns(connection, table)
        findings.judge(())
        relation = junction_of(table)
        if relation is not None:
            _Pairs(source_database, connection, table, relation, findings, phases).compare()
        elif columns:
            _Documents(source_database, connection, table, columns, findings, phases).compare()
        with phases.phase("leading nowhere"):
            _judge_targets(connection, table, columns, findings)
        with phases.phase("books"):
            findings.counts["orphaned"] = target.count_orphaned(connection, table)
            _complete_sample(connection, table, findings)
    return _evidence(table, findings, phases)


def _judge_targets(
    connection: Connection,
    table: sa.Table,
    columns: Sequence[ReferenceColumn],
    findings: _Findings,
) -> None:
    """Looks for ids in the target that lead nowhere, foreign key or not."""
    pending = target.has_pending(connection)
    for column in columns:
        for keys, ids in target.pointing_nowhere(connection, table, column):
            findings.judge(_pointing(column, What.DANGLING, keys, ids))
        if column.references in pending:
            for keys, ids in target.pointing_to_gone(connection, table, column):
                findings.judge(_pointing(column, What.GONE, keys, ids))


def _pointing(
    column: ReferenceColumn, what: What, keys: Sequence[str], ids: Sequence[str]
) -> Iterator[Unresolved]:
    for key, pointed in zip(keys, ids, strict=True):
        yield Unresolved(
            source_id=None,
            id=_dashed(key),
            field=column.field,
            what=what,
            source=pointed,
            target=pointed,
            points_to_a_row=False,
        )


@dataclass(frozen=True, slots=True)
class _Resolvable:
    """The ids that references may point to, as far as a batch asks for them.

    Attributes:
        rows: By table, ids of its rows.
        documents: By collection, ids of its documents, loaded or not.
    """

    rows: Mapping[str, frozenset[bytes]]
    documents: Mapping[str, frozenset[bytes]]

    def by(self, column: ReferenceColumn) -> frozenset[bytes]:
        """Returns the ids that a column may hold."""
        return (self.documents if column.is_text else self.rows)[column.references]


@dataclass(frozen=True, slots=True)
class _Documents:
    """The comparison of an entity table with its collection."""

    source: SourceDatabase
    connection: Connection
    table: sa.Table
    columns: Sequence[ReferenceColumn]
    findings: _Findings
    phases: Phases

    def compare(self) -> None:
        """Compares every document with its row, then looks for rows without a document."""
        fields = {column.field: column.rule for column in self.columns}
        batches = references(self.source, self.table.name, fields)
        matched = 0
        while (batch := self._next(batches)) is not None:
            self.findings.counts["documents"] += len(batch)
            with self.phases.phase("target"):
                equal, found = self._equal(batch)
            matched += found
            self._count(batch)
            with self.phases.phase("one by one"):
                self._look_again(batch, np.flatnonzero(batch.odd | ~equal).tolist())
        with self.phases.phase("rows without a document"):
            if matched != target.count_rows(self.connection, self.table):
                self._judge_strangers()

    def _next(self, batches: Iterator[References]) -> References | None:
        with self.phases.phase("source"):
            return next(batches, None)

    def _count(self, batch: References) -> None:
        plain = ~batch.odd
        self.findings.counts["references"] += sum(
            int((scalars.present & plain).sum()) for scalars in batch.scalars.values()
        ) + sum(len(elements.uuids) for elements in batch.arrays.values())

    def _equal(self, batch: References) -> tuple[Mask, int]:
        """Returns which documents have a row with the same references, and how many have a row."""
        rows = target.rows(self.connection, self.table, self.columns, batch.ids)
        order = _joined(batch.ids, rows.ids)
        has_row = order >= 0
        equal = has_row.copy()
        for column in self.columns:
            if column.is_array:
                equal &= self._equal_arrays(batch, column)
                continue
            scalars = batch.scalars[column.field]
            present = rows.present[column.name][order[has_row]]
            same = (rows.uuids[column.name][order[has_row]] == scalars.uuids[has_row]).all(axis=1)
            expected = scalars.present[has_row]
            equal[has_row] &= (present == expected) & (same | ~expected)
        return equal, int(has_row.sum())

    def _equal_arrays(self, batch: References, column: ReferenceColumn) -> Mask:
        """Returns the documents whose row has the same array."""
        elements = batch.arrays[column.field]
        ours = (
            _frame(batch.ids[elements.documents])
            .with_columns(position=elements.positions, document=elements.documents)
            .hstack(_frame(elements.uuids, "uuid"))
        )
        held = target.row_elements(self.connection, self.table, column, batch.ids)
        theirs = (
            _frame(held.ids)
            .with_columns(position=held.positions)
            .hstack(_frame(held.uuids, "uuid"))
            .filter(held.present)
        )
        documents = _frame(batch.ids).with_row_index("document")
        same = ours.join(theirs, on=theirs.columns)
        counts = (
            ours.group_by("document").len("ours"),
            same.group_by("document").len("same"),
            _frame(held.ids).join(documents, on=["low", "high"]).group_by("document").len("theirs"),
        )
        equal = np.ones(len(batch), dtype=np.bool_)
        del counts
        return equal

    def _look_again(self, batch: References, numbers: Sequence[int]) -> None: ...

    def _judge_strangers(self) -> None: ...
