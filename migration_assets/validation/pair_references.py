"""The pairs of a junction table, compared with the arrays that hold its relation.

The table has the union of two arrays, so its pairs and theirs are compared as sets, with polars. An
element whose pair the table does not have is looked at again: it may be on record as orphaned.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import sqlalchemy as sa

from migration_assets.identity import UUID_BYTES, object_id, source_id
from migration_assets.model import Junction, Side
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation import recorded_references as recorded
from migration_assets.validation import target_references as target
from migration_assets.validation.document_references import uuids_for
from migration_assets.validation.evidence import SAMPLE_SIZE, Phases
from migration_assets.validation.pair_parts import Part
from migration_assets.validation.remedied import rules_for
from migration_assets.validation.source_references import (
    Positions,
    References,
    Uuids,
    array_references,
    timed,
    uuids_of,
)
from migration_assets.validation.unresolved import Findings, Unresolved, What

PAIRS_AT_A_TIME = 500_000
"""Pairs of the table that are held at a time, with those of the arrays: for more, arrays are read again."""

_PAIR = ("left_low", "left_high", "right_low", "right_high")
_SLICE = 20_000

_Block = tuple[Uuids, Uuids, Positions]
"""Pairs: ids on the left, ids on the right, positions of the elements."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of a junction table with the arrays that hold its relation.

    Attributes:
        source: The source.
        connection: A connection to the target.
        table: The junction table.
        relation: The relation.
        findings: Takes what is found.
        phases: Takes how long it took.
        remediations: What must have been corrected on the way.
    """

    source: SourceDatabase
    connection: Connection
    table: sa.Table
    relation: Junction
    findings: Findings
    phases: Phases
    remediations: Remediations

    def run(self) -> None:
        """Compares the pairs of the table with those of each array, so many at a time."""
        count = self.findings.counts["pairs"] = target.count_rows(self.connection, self.table)
        parts = 1 + count // PAIRS_AT_A_TIME
        for number in range(parts):
            self._read(Part(number, parts))

    def _read(self, part: Part) -> None:
        """Reads a part of the pairs and compares them, so many at once."""
        arrays = [_Array.of(self, part, *sides) for sides in self.relation.arrays()]
        with self.phases.phase("comparison"):
            left, right = target.pairs(self.connection, self.table, part)
            table = left, right, np.zeros(len(left), dtype=np.int64)
        blocks = [table, *(array.pairs() for array in arrays)]
        with self.phases.phase("comparison"):
            for chosen in part.divided([left for left, *_ in blocks]):
                self._compare(arrays, *map(_frame, blocks, chosen))

    def _compare(self, arrays: Sequence[_Array], table: pl.DataFrame, *held: pl.DataFrame) -> None:
        sides: list[tuple[_Array, pl.DataFrame]] = []
        for array, pairs in zip(arrays, held, strict=True):
            array.judge_missing(pairs.join(table, on=_PAIR, how="anti"))
            sides.append((array, pairs.select(_PAIR).unique()))
        known = pl.concat([pairs for _, pairs in sides])
        self._judge_invented(table.join(known, on=_PAIR, how="anti"))
        if len(sides) > 1:
            (array, ours), (other_array, theirs) = sides
            self._count_asymmetric(array, ours, theirs, table)
            self._count_asymmetric(other_array, theirs, ours, table)

    def _judge_invented(self, invented: pl.DataFrame) -> None:
        """Judges the pairs that no array has."""
        for some in invented.iter_slices(_SLICE):
            self.findings.judge(
                Unresolved(
                    source_id=None,
                    id=f"{left} {right}",
                    field=self.relation.right.column,
                    what=What.INVENTED,
                    source=None,
                    target=right,
                    points_to_row=True,
                )
                for left, right in _pairs(some)
            )

    def _count_asymmetric(
        self, array: _Array, ours: pl.DataFrame, theirs: pl.DataFrame, table: pl.DataFrame
    ) -> None:
        """Counts the pairs of the table that only one of its two arrays has."""
        alone = ours.join(theirs, on=_PAIR, how="anti").join(table, on=_PAIR, how="semi")
        self.findings.counts["asymmetric"] += alone.height
        room = SAMPLE_SIZE - len(self.findings.asymmetric)
        self.findings.asymmetric += [
            {
                "source_id": array.source_id(array.holder_of(left, right)),
                "id": f"{left} {right}",
                "field": array.name,
                "what": "asymmetric",
            }
            for left, right in _pairs(alone.head(room))
        ]


@dataclass(frozen=True, slots=True)
class _Element:
    """An element of an array that has to be looked at again.

    Attributes:
        source_id: The document that holds it.
        holder: Its UUID, 16 bytes.
        position: Position in the array, from 0.
        uuids: The UUIDs that the element may stand for, 16 bytes each.
    """

    source_id: str
    holder: bytes
    position: int
    uuids: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Array:
    """One array of a relation.

    Attributes:
        owner: The comparison that it is read for.
        part: The part of its pairs that is read.
        holder: The side whose documents hold it.
        name: The field.
        other: The side that its elements point to.
        batches: What it holds in the source.
        odd_ids: Source ids of documents that hold more than ObjectIds, by UUID.
    """

    owner: Comparison
    part: Part
    holder: Side
    name: str
    other: Side
    batches: Iterator[References]
    odd_ids: dict[bytes, str] = field(default_factory=dict)

    @classmethod
    def of(cls, owner: Comparison, part: Part, holder: Side, name: str, other: Side) -> _Array:
        """Returns an array; to read it begins at once."""
        rules = rules_for(owner.remediations, owner.table, holder.collection, name)
        batches = array_references(owner.source, holder.collection, name, rules)
        return cls(owner, part, holder, name, other, batches)

    @property
    def is_left(self) -> bool:
        """Whether documents of the left side hold it."""
        return self.holder == self.owner.relation.left

    def holder_of(self, left: str, right: str) -> str:
        """Returns that id of a pair which is the document's that holds the array."""
        return left if self.is_left else right

    def source_id(self, key: str) -> str | None:
        """Returns the source id of a document that holds the array."""
        return recorded.source_id_of(self.owner.connection, self.holder.collection, key)

    def pairs(self) -> _Block:
        """Returns the pairs of the array, with the positions of the elements."""
        nobody = uuids_of(b"")
        found: list[_Block] = [(nobody, nobody, np.zeros(0, dtype=np.int64))]
        for batch in timed(self.batches, self.owner.phases):
            elements = batch.arrays[self.name]
            holders = batch.ids[elements.documents]
            found.append(self._mine(holders, elements.uuids, elements.positions))
            with self.owner.phases.phase("one by one"):
                found.append(self._odd_pairs(batch))
        self.owner.findings.counts["references"] += sum(len(left) for left, *_ in found)
        left, right, each_position = (np.concatenate(each) for each in zip(*found, strict=True))
        return left, right, each_position

    def _mine(self, holders: Uuids, others: Uuids, positions: Positions) -> _Block:
        left, right = (holders, others) if self.is_left else (others, holders)
        is_mine = self.part.holds(left)
        return left[is_mine], right[is_mine], positions[is_mine]

    def _odd_pairs(self, batch: References) -> _Block:
        """Returns the pairs of documents that hold more than ObjectIds; judges what is no pair."""
        elements = [
            element
            for number in np.flatnonzero(batch.odd).tolist()
            for element in self._odd_elements(batch, number)
        ]
        loaded = recorded.existing_rows(
            self.owner.connection,
            self.other.collection,
            {each for element in elements for each in element.uuids},
        )
        resolved = [
            (element, next((each for each in element.uuids if each in loaded), None))
            for element in elements
        ]
        if self.part.number == 0:
            unresolved = [element for element, found in resolved if found is None]
            self.owner.findings.counts["references"] += len(unresolved)
            self._judge(unresolved)
        pairs = [(element, found) for element, found in resolved if found is not None]
        return self._mine(
            uuids_of(b"".join(element.holder for element, _ in pairs)),
            uuids_of(b"".join(found for _, found in pairs)),
            np.array([element.position for element, _ in pairs], dtype=np.int64),
        )

    def _odd_elements(self, batch: References, number: int) -> Iterator[_Element]:
        document, key = batch.document(number), batch.ids[number].tobytes()
        name = self.odd_ids[key] = source_id(document["_id"])
        value = document.get(self.name)
        for position, element in enumerate(value if isinstance(value, list) else [value]):
            if element not in (None, ""):
                yield _Element(name, key, position, uuids_for(self.other.collection, element))

    def judge_missing(self, missing: pl.DataFrame) -> None:
        """Judges the elements whose pair the table does not have."""
        for some in missing.iter_slices(_SLICE):
            elements = []
            for (left, right), position in zip(_pairs(some), some["position"], strict=True):
                holder, other = (left, right) if self.is_left else (right, left)
                key = uuid.UUID(holder)
                name = self.odd_ids.get(key.bytes) or str(object_id(key))
                elements.append(_Element(name, key.bytes, position, [uuid.UUID(other).bytes]))
            self._judge(elements)

    def _judge(self, elements: Sequence[_Element]) -> None:
        """Judges elements that have no pair: they have to be on record, and to lead nowhere."""
        if not elements:
            return
        connection = self.owner.connection
        names = {element.source_id for element in elements}
        records = recorded.records(connection, self.owner.table, self.holder.collection, names)
        holders = recorded.existing_rows(
            connection, self.holder.collection, {element.holder for element in elements}
        )
        others = recorded.existing_rows(
            connection,
            self.other.collection,
            {each for element in elements for each in element.uuids},
        )
        unresolved = []
        for element in elements:
            is_recorded = (
                element.source_id in records.rejected
                or (element.source_id, self.name, element.position) in records.issues
            )
            is_loaded = element.holder in holders and not others.isdisjoint(element.uuids)
            if is_loaded or not is_recorded:
                what = What.STALE if is_recorded else What.LOST
                unresolved.append(self._unresolved(element, what, is_loaded=is_loaded))
        self.owner.findings.judge(unresolved)

    def _unresolved(self, element: _Element, what: What, *, is_loaded: bool) -> Unresolved:
        return Unresolved(
            source_id=element.source_id,
            id=str(uuid.UUID(bytes=element.holder)),
            field=self.name,
            what=what,
            source=str(uuid.UUID(bytes=element.uuids[-1])),
            target=None,
            points_to_row=is_loaded,
        )


def _frame(block: _Block, chosen: Positions) -> pl.DataFrame:
    """Returns some pairs as a frame."""
    left, right, positions = (each[chosen] for each in block)
    return pl.DataFrame(
        {**dict(zip(_PAIR, (*left.T, *right.T), strict=True)), "position": positions}
    )


def _pairs(frame: pl.DataFrame) -> Iterator[tuple[str, str]]:
    """Yields the ids of pairs as text."""
    data = frame.select(_PAIR).to_numpy(order="c").tobytes()
    for start in range(0, len(data), 2 * UUID_BYTES):
        left, right = data[start : start + UUID_BYTES], data[start + UUID_BYTES :][:UUID_BYTES]
        yield str(uuid.UUID(bytes=left)), str(uuid.UUID(bytes=right))
