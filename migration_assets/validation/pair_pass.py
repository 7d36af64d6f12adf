"""One pass over the arrays of a relation and their junction table: what is wrong with its pairs.

Both arrays are read again; the table must hold the union of what they say and nothing else. Pairs are held
as 32 bytes each, and compared in parts, as polars frames of all pairs of both sides.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import Junction, Side, junction_of, model_of
from migration_assets.target.connection import Connection
from migration_assets.validation.comparison import AGREEMENT, compared
from migration_assets.validation.documents import (
    Documents,
    Identities,
    SourceIds,
    batches,
)
from migration_assets.validation.evidence import SAMPLE_SIZE, Phases
from migration_assets.validation.exact_values import ASYMMETRIC, ORPHANED, REJECTED
from migration_assets.validation.findings import (
    Comparison,
    Fault,
    Total,
    TypeFindings,
    What,
    failing_rows,
)
from migration_assets.validation.identities import UUID_SIZE, object_id_text
from migration_assets.validation.judge import ArrayJudge
from migration_assets.validation.judged_remediations import rules_for
from migration_assets.validation.judging import JudgedDocument, Judging
from migration_assets.validation.known_ids import known_references
from migration_assets.validation.many_ids import uuid_texts
from migration_assets.validation.partitions import joined, partitions
from migration_assets.validation.plain_pairs import PairBytes, PlainPairs
from migration_assets.validation.postgres_text import uuid_text
from migration_assets.validation.recorded_lines import TableBooks
from migration_assets.validation.reference_faults import count_in, is_loss
from migration_assets.validation.reference_targets import source_id_of
from migration_assets.validation.rows import ComparedTable, packed
from migration_assets.validation.types import RowTypes, definition_findings

_FIELDS = 2
"""Columns of a pair."""
_JUDGED_AT_ONCE = 20_000
"""Pairs whose types are judged at once: as text one has 72 bytes."""


def compare_pairs(
    compared_table: ComparedTable,
    phases: Phases,
    *,
    sample_size: int,
    seed: int,
    with_types: bool = False,
) -> Comparison:
    """Holds a junction table against the arrays of its relation.

    Args:
        compared_table: The junction table and its source.
        phases: Where the seconds are added.
        sample_size: How many pairs to report one by one.
        seed: Which ones.
        with_types: Whether to judge the types of the pairs, too.
    """
    connection, table = compared_table.connection, compared_table.table
    relation = junction_of(table)
    assert relation is not None
    result = Comparison()
    with phases.phase("compare"):
        arrays = [_Array(compared_table, relation, *sides, result) for sides in relation.arrays()]
        sides = [array.pairs() for array in arrays]  # what it takes to read them is held no longer
        rows = _actual(connection, table, relation)
        result.pairs = len(rows)
        result.types = definition_findings(connection, table) if with_types else None
        if result.types is not None:
            _judge_types(table, relation, rows, result.types)
        drawn: list[pl.DataFrame] = []
        for there, *of_arrays in partitions([rows, *sides]):
            known = _known(of_arrays)
            actual = there.group_by("pair").agg(times=pl.len())
            _compare(result, known, actual, arrays, relation)
            known = known.join(actual, on="pair", how="left")
            result.rows += known.height
            _count_asymmetric(result, known, arrays)
            drawn.append(_drawn(known, sample_size, seed))
        result.sampled = _sampled(_drawn(pl.concat(drawn), sample_size, seed), arrays)
        result.totals.append(Total("pairs", result.rows, len(rows)))
    return result


class _Array:
    """One of the arrays that hold a relation."""

    def __init__(
        self,
        compared_table: ComparedTable,
        relation: Junction,
        holder: Side,
        name: str,
        other: Side,
        result: Comparison,
    ) -> None:
        table, remediations = compared_table.table, compared_table.remediations
        self.holder, self.name = holder, name
        self.is_left = holder == relation.left
        self.stale: set[bytes] = set()
        """Documents with an element on record as orphaned that leads to a row."""
        self._compared_table, self._result = compared_table, result
        self._known = known_references(compared_table.query, table)
        collection = holder.collection
        rules = rules_for(remediations, table, collection, name, self._known)
        self._read = remediations.fields_to_read(table, collection, name)
        self._books = TableBooks(compared_table, result.values, collection, name)
        entity = model_of(table).entities[collection]
        judge = partial(ArrayJudge, entity, name, other.collection, self._known, rules)
        self._judging = Judging(judge, self._known, rules, self._books, result)
        self._plain = PlainPairs(name, other.collection, self.is_left)

    def holder_of(self, pair: bytes) -> bytes:
        """Returns that id of a pair which is the document's that holds the array."""
        return pair[:UUID_SIZE] if self.is_left else pair[UUID_SIZE:]

    def source_id(self, pair: bytes) -> str | None:
        """Returns the document of a pair that holds the array, None where its `_id` is no ObjectId."""
        return object_id_text(self.holder_of(pair))

    def name_of(self, pair: bytes) -> str | None:
        """Returns the same, whatever its `_id` is: asked for where it is shown."""
        connection = self._compared_table.connection
        return source_id_of(connection, [self.holder.collection], self.holder_of(pair))

    def pairs(self) -> PairBytes:
        """Reads the array, compares what the books say of it, and returns the pairs that it knows."""
        blocks, source = [joined([])], self._compared_table.source
        for documents in batches(source, self.holder.collection, fields=self._read):
            blocks += self._of_batch(documents)
        if self._books.taken != self._books.recorded:
            self._books.find_strays(SourceIds(source, self.holder.collection))
        return np.concatenate(blocks)

    def _of_batch(self, documents: Documents) -> Iterator[PairBytes]:
        identities = Identities.of(self.holder.collection, documents)
        recorded = self._books.of(identities.source_ids)
        candidates = self._judging.without_judging(
            documents, identities, recorded, np.ones(len(documents), dtype=np.bool_)
        )
        plain = self._plain.of(documents, identities.keys, candidates)
        self._result.documents += plain.arrays
        self._result.references += len(plain.pairs)
        yield plain.pairs
        rest = [documents[number] for number in np.flatnonzero(~plain.are_plain).tolist()]
        judged = self._judging.judge(rest, recorded)
        yield joined(dict.fromkeys(chain.from_iterable(map(self._pairs_of, judged))))
        self._known.forget()

    def _pairs_of(self, judged: JudgedDocument) -> Iterator[bytes]:
        """Takes in what was judged of an array, and yields its pairs."""
        key, ids = judged.judgement.id, judged.judgement.row.get(self.name)
        self._find_lost(judged)
        self._result.documents += ids is not None
        self._result.references += len(ids or ())
        self._result.references += sum(line.kind == ORPHANED for line in judged.judgement.lines)
        yield from (key + other if self.is_left else other + key for other in ids or ())

    def _find_lost(self, judged: JudgedDocument) -> None:
        """Finds elements that are lost, as they are neither pairs nor on record."""
        if any(line.kind == ORPHANED for line in judged.unmatched.unfounded):
            self.stale.add(judged.judgement.id)
        for line in judged.unmatched.missing:
            lost = int(is_loss(line))
            if line.kind == REJECTED:
                lost = count_in(judged.document, self.name)
            for _ in range(lost):
                self._result.faults.add(
                    Fault.LOST,
                    source_id=judged.judgement.source_id,
                    identifier=judged.key,
                    name=self.name,
                )


def _actual(connection: Connection, table: sa.Table, relation: Junction) -> PairBytes:
    query = sql.SQL("SELECT {}::uuid AS a, {}::uuid AS b FROM {}").format(
        sql.Identifier(relation.left.column),
        sql.Identifier(relation.right.column),
        sql.Identifier(table.name),
    )
    # A NULL cannot be, but if it is, it must show: it takes the place of an id that nobody has.
    pair = sql.SQL("uuid_send(coalesce(a, {nil})) || uuid_send(coalesce(b, {nil}))")
    nil = sql.Literal(uuid.UUID(int=0))
    return joined([packed(connection, query, pair.format(nil=nil))])


def _judge_types(
    table: sa.Table, relation: Junction, rows: PairBytes, findings: TypeFindings
) -> None:
    """Judges pairs as PostgreSQL writes them; by the definition of the table none has a NULL."""
    types = RowTypes(table, findings)
    for start in range(0, len(rows), _JUDGED_AT_ONCE):
        ids = rows[start : start + _JUDGED_AT_ONCE].view(f"V{UUID_SIZE}").reshape(-1, 2)
        of_sides = zip((relation.left, relation.right), ids.T, strict=True)
        types.add(
            pl.DataFrame({s.column: uuid_texts(side_ids.tobytes()) for s, side_ids in of_sides})
        )
    types.judge()


def _known(sides: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Returns the pairs that arrays have: the first array that has one, and how many do."""
    frames = [pairs.with_columns(side=pl.lit(number)) for number, pairs in enumerate(sides)]
    return pl.concat(frames).group_by("pair").agg(pl.col("side").min(), arrays=pl.len())


def _compare(
    result: Comparison,
    known: pl.DataFrame,
    actual: pl.DataFrame,
    arrays: Sequence[_Array],
    relation: Junction,
) -> None:
    """Holds the pairs that arrays have, each once, against those of the table."""
    once = known.select("pair", times=pl.lit(1, pl.UInt32))
    lines = compared(once, actual, ["pair"])
    wrong = lines[failing_rows(AGREEMENT, lines.drop("pair"))].select("pair").sort("pair")
    result.unequal += wrong.height
    held = wrong.join(known, on="pair", how="left").join(actual, on="pair", how="left")
    for line in held.sort("pair").iter_rows(named=True):
        pair, side = line["pair"], line["side"]
        if line["times"] is None:
            having = arrays if line["arrays"] > 1 else [arrays[side]]
            result.values.add(
                What.MISSING_IN_TARGET,
                source_id=having[0].source_id(pair),
                identifier=_text_of(pair),
                name=having[0].name,
                expected=pair,
            )
            for array in having:
                key = array.holder_of(pair)
                result.faults.add(
                    Fault.STALE if key in array.stale else Fault.LOST,
                    source_id=array.source_id(pair),
                    identifier=uuid_text(key),
                    name=array.name,
                )
            continue
        source_id = object_id_text(pair[:UUID_SIZE])
        for _ in range(line["times"] - (side is not None)):
            result.values.add(
                What.MISSING_IN_SOURCE,
                source_id=source_id,
                identifier=_text_of(pair),
                actual=pair,
            )
            result.faults.add(
                Fault.INVENTED,
                source_id=source_id,
                identifier=_text_of(pair, " "),
                name=relation.right.column,
            )


def _count_asymmetric(result: Comparison, known: pl.DataFrame, arrays: Sequence[_Array]) -> None:
    """Counts the pairs that only one of two arrays has, under that array (section 5)."""
    if len(arrays) == 1:
        return
    alone = known.filter(pl.col("arrays") == 1)
    for side, count in alone["side"].value_counts().iter_rows():
        result.conversions[arrays[side].holder.collection, arrays[side].name, ASYMMETRIC] += count
    there = alone.drop_nulls("times")
    result.asymmetric += there.height
    room = SAMPLE_SIZE - len(result.asymmetric_sample)
    for pair, side in there.select("pair", "side").head(room).iter_rows():
        result.asymmetric_sample.append(
            {
                "source_id": arrays[side].name_of(pair),
                "id": _text_of(pair, " "),
                "field": arrays[side].name,
                "what": "asymmetric",
            }
        )


def _drawn(known: pl.DataFrame, size: int, seed: int) -> pl.DataFrame:
    """Draws pairs at random: the same seed, the same ones."""
    return known.sort("pair").sample(min(size, known.height), seed=seed)


def _sampled(drawn: pl.DataFrame, arrays: Sequence[_Array]) -> list[Mapping[str, Any]]:
    """Says of the pairs that were drawn whether the table has them."""
    return [
        {
            "source_id": arrays[side].source_id(pair),
            "id": _text_of(pair),
            "fields_compared": _FIELDS,
            "fields_equal": _FIELDS if times else 0,
        }
        for pair, side, times in drawn.select("pair", "side", "times").iter_rows()
    ]


def _text_of(pair: bytes, between: str = "/") -> str:
    """Returns both ids of a pair."""
    return between.join(uuid_text(part) for part in (pair[:UUID_SIZE], pair[UUID_SIZE:]))
