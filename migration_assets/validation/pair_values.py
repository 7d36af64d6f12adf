"""The arrays of a relation held against the pairs and the books of their junction table.

Both arrays are read again and judged element by element; the table must hold the union of what they say
and nothing else. Pairs are held as 32 bytes each, and compared in parts, as polars frames.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.arrow import of_width
from migration_assets.model import Junction, Side, junction_of
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation import binary_copy
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.binary_copy import UUID_SIZE
from migration_assets.validation.books import (
    REJECTED,
    Books,
    Entries,
    recorded_conversions,
    recorded_lines,
    unmatched,
)
from migration_assets.validation.bson_places import Documents
from migration_assets.validation.bson_reader import Value
from migration_assets.validation.differences import Comparison, Total, What, totals_of
from migration_assets.validation.evidence import Phases
from migration_assets.validation.extended_json import canonical
from migration_assets.validation.pair_parts import Part
from migration_assets.validation.plain_pairs import PAIR_DTYPE, PAIR_SIZE, PairBytes, PlainPairs
from migration_assets.validation.reading import batches, ids_for
from migration_assets.validation.reference import (
    ASYMMETRIC,
    ArrayJudgement,
    Ids,
    Line,
    identifier_of,
    is_null,
    judge_array,
    object_id_of,
    source_id_of,
    uuid_of,
)
from migration_assets.validation.remedied import REMEDIATED, JudgedRules, rules_for
from migration_assets.validation.source_references import Positions, Uuids

_WORDS = PAIR_SIZE // 8
_FIELDS = 2
"""Columns of a pair."""


def compare_pairs(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    phases: Phases,
    *,
    sample_size: int,
    seed: int,
    remediations: Remediations,
) -> Comparison:
    """Holds a junction table against the arrays of its relation.

    Args:
        source: The source database.
        connection: A connection to the target, within a transaction.
        table: The junction table.
        phases: Where the seconds are added.
        sample_size: How many pairs to report one by one.
        seed: Which ones.
        remediations: What must have been corrected or accepted on the way.
    """
    relation = junction_of(table)
    assert relation is not None
    result = Comparison()
    sides = _sides(source, connection, table, phases, result, remediations)
    with phases.phase("compare"):
        rows = _actual(connection, table, relation)
        drawn: list[pl.DataFrame] = []
        for chosen, *others in Part().divided([_left(pairs) for pairs in (rows, *sides)]):
            known, actual = _known(map(_frame, sides, others)), _frame(rows, chosen)
            result.rows += known.height
            _compare(result, known, actual, relation)
            _count_asymmetric(result, known, relation)
            is_there = pl.col("pair").is_in(actual["pair"].implode())
            drawn.append(_drawn(known, sample_size, seed).with_columns(is_there=is_there))
        result.sampled = _sampled(_drawn(pl.concat(drawn), sample_size, seed), relation)
    with phases.phase("books"):
        result.totals.append(Total("pairs", result.rows, len(rows)))
        result.totals += totals_of("lines", result.lines, recorded_lines(connection, table.name))
        result.totals += totals_of(
            "conversions", result.conversions, recorded_conversions(connection, table.name)
        )
    return result


def _sides(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    phases: Phases,
    result: Comparison,
    remediations: Remediations,
) -> Sequence[PairBytes]:
    """Returns the pairs that each array of a relation knows; what it takes to read them is held no longer."""
    relation = junction_of(table)
    assert relation is not None
    with phases.phase("ids"):
        ids = ids_for(connection, table)
    sides: list[PairBytes] = []
    with phases.phase("compare"):
        for position, (holder, name, _) in enumerate(relation.arrays()):
            books = Books(connection, table.name, (holder.collection, name))
            rules = rules_for(remediations, table, holder.collection, name)
            array = _Array(table, position, ids, books, result, rules)
            for documents in batches(source, holder.collection, array=name):
                array.add(documents)
            sides.append(array.finish())
    return sides


class _Array:
    """One of the arrays that hold a relation, document after document."""

    def __init__(
        self,
        table: sa.Table,
        position: int,
        ids: Ids,
        books: Books,
        result: Comparison,
        rules: JudgedRules,
    ) -> None:
        self._rules = rules
        relation = junction_of(table)
        assert relation is not None
        self._holder, self._array, self._other = list(relation.arrays())[position]
        self._is_left = self._holder == relation.left
        self._holders = ids.rows[self._holder.collection]
        self._others = ids.rows[self._other.collection]
        self._books = books
        self._result = result
        self._plain_pairs = PlainPairs(self._array, self._is_left, self._holders, self._others)
        self._pairs: list[PairBytes] = [_pairs([])]

    def add(self, documents: Documents) -> None:
        """Judges the arrays of the next documents, and compares what the books say of them."""
        object_ids = documents.object_ids()
        last = max(filter(None, object_ids), default=None)
        entries = {} if last is None else self._books.upto(last.hex())
        others: Iterable[bytes] = documents
        if not entries:
            plain, others = self._plain(documents, object_ids)
            self._pairs.append(plain)
        judged = [pair for document in others for pair in self._judged(document, entries)]
        self._pairs.append(_pairs(dict.fromkeys(judged)))
        for left in entries.values():
            self._result.differences.add_unfounded(left)

    def finish(self) -> PairBytes:
        """Returns the pairs that this array knows."""
        self._result.differences.add_unfounded(self._books.rest())
        return np.concatenate(self._pairs)

    def _plain(
        self, documents: Documents, object_ids: list[bytes | None]
    ) -> tuple[PairBytes, Documents]:
        """Returns the pairs of plain documents that remediations do not touch, and the other documents."""
        candidates = np.ones(len(documents), dtype=np.bool_)
        if self._rules.changes:
            candidates &= [
                name is not None and not self._rules.touch(document, name)
                for document, name in zip(documents, object_ids, strict=True)
            ]
        found = self._plain_pairs.of(documents, candidates)
        self._result.documents += found.arrays
        return found.pairs, documents.chosen(np.flatnonzero(~found.are_plain))

    def _judged(self, document: bytes, entries: dict[str, Entries]) -> list[bytes]:
        """Judges an array by the reference; returns its pairs."""
        identifier = identifier_of(document)
        source_id = source_id_of(identifier)
        key = uuid_of(self._holder.collection, identifier)
        judged = self._judgement(document, source_id, is_loaded=key in self._holders)
        mine = entries.pop(source_id, None) or self._books.others.pop(source_id, [])
        missing, unfounded = unmatched(judged.lines, mine)
        self._result.differences.add_missing(missing, source_id, str(uuid.UUID(bytes=key)))
        self._result.differences.add_unfounded(unfounded)
        self._result.lines.update(line.kind for line in judged.lines)
        self._result.conversions.update(
            (self._holder.collection, self._array, kind) for kind in judged.conversions
        )
        return [key + each if self._is_left else each + key for each in judged.ids]

    def _judgement(self, document: bytes, source_id: str, *, is_loaded: bool) -> ArrayJudgement:
        """Returns what must have become of an array; one that cannot be read is kept as its bytes."""
        try:
            fields = bson.read_whole(document)
        except bson.UnreadableError:
            whole = canonical((bson.BINARY, (0, document)))
            accepted_by = self._rules.accepted_by(source_id, None, None)
            return ArrayJudgement(lines=(Line(None, REJECTED, None, whole, accepted_by),))
        remedied, changes = self._rules.remedied(fields, source_id)
        value = dict(remedied).get(self._array)
        self._result.documents += not is_null(value)
        other = self._other.collection
        judged = judge_array(value, self._array, other, self._others, is_loaded=is_loaded)
        lines = [
            Line(change.field, REMEDIATED, change.element, change.text()) for change in changes
        ]
        lines += [self._accepted(line, source_id, value) for line in judged.lines]
        return replace(judged, lines=tuple(lines))

    def _accepted(self, line: Line, source_id: str, value: Value | None) -> Line:
        """Returns a line with the remediation that accepts it."""
        assert value is not None
        assert line.element is not None
        elements = value[1] if value[0] == bson.ARRAY else [value]
        lost = elements[line.element]
        accepted_by = self._rules.accepted_by(source_id, self._array, value, lost)
        return line._replace(accepted_by=accepted_by)


def _pairs(pairs: Iterable[bytes]) -> PairBytes:
    return np.frombuffer(b"".join(pairs), dtype=PAIR_DTYPE)


def _actual(connection: Connection, table: sa.Table, relation: Junction) -> PairBytes:
    query = sql.SQL("SELECT {}::uuid AS a, {}::uuid AS b FROM {}").format(
        sql.Identifier(relation.left.column),
        sql.Identifier(relation.right.column),
        sql.Identifier(table.name),
    )
    # A NULL cannot be, but if it is, it must show: it takes the place of an id that nobody has.
    pair = sql.SQL("uuid_send(coalesce(a, {nil})) || uuid_send(coalesce(b, {nil}))")
    nil = sql.Literal(uuid.UUID(int=0))
    return _pairs([binary_copy.packed(connection, query, pair.format(nil=nil))])


def _left(pairs: PairBytes) -> Uuids:
    """Returns the ids on the left of pairs."""
    return pairs.view(np.uint64).reshape(-1, _WORDS)[:, : _WORDS // 2]


def _frame(pairs: PairBytes, chosen: Positions) -> pl.DataFrame:
    """Returns some of the pairs as a frame."""
    return of_width(pairs[chosen].tobytes(), PAIR_SIZE).to_frame("pair")


def _known(sides: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Returns the pairs that arrays know, with the first array that does and how many do."""
    frames = [pairs.with_columns(side=pl.lit(number)) for number, pairs in enumerate(sides)]
    return pl.concat(frames).group_by("pair").agg(pl.col("side").min(), count=pl.len())


def _compare(
    result: Comparison, known: pl.DataFrame, actual: pl.DataFrame, relation: Junction
) -> None:
    arrays = list(relation.arrays())
    missing = known.join(actual, on="pair", how="anti").sort("pair")
    for pair, side in missing.select("pair", "side").iter_rows():
        holder, array, _ = arrays[side]
        result.differences.add(
            What.MISSING_IN_TARGET,
            source_id=_source_id(pair, holder, relation),
            identifier=_text_of(pair),
            name=array,
            expected=pair,
        )
    unknown = actual.join(known, on="pair", how="anti").sort("pair")
    doubled = actual.filter(pl.col("pair").is_duplicated() & ~pl.col("pair").is_first_distinct())
    for (pair,) in pl.concat([unknown, doubled]).unique(maintain_order=True).iter_rows():
        result.differences.add(
            What.MISSING_IN_SOURCE,
            source_id=_source_id(pair, relation.left, relation),
            identifier=_text_of(pair),
            actual=pair,
        )


def _count_asymmetric(result: Comparison, known: pl.DataFrame, relation: Junction) -> None:
    """Counts the pairs that only one of two arrays has, under that array (section 5)."""
    arrays = list(relation.arrays())
    if len(arrays) == 1:
        return
    for side, count in known.filter(pl.col("count") == 1)["side"].value_counts().iter_rows():
        holder, array, _ = arrays[side]
        result.conversions[holder.collection, array, ASYMMETRIC] += count


def _drawn(known: pl.DataFrame, size: int, seed: int) -> pl.DataFrame:
    """Draws pairs at random: the same seed, the same ones."""
    return known.sort("pair").sample(min(size, known.height), seed=seed)


def _sampled(drawn: pl.DataFrame, relation: Junction) -> list[Mapping[str, Any]]:
    """Says of the pairs that were drawn whether the table has them."""
    arrays = list(relation.arrays())
    return [
        {
            "source_id": _source_id(pair, arrays[side][0], relation),
            "id": _text_of(pair),
            "fields_compared": _FIELDS,
            "fields_equal": _FIELDS if is_there else 0,
        }
        for pair, side, is_there in drawn.select("pair", "side", "is_there").iter_rows()
    ]


def _source_id(pair: bytes, holder: Side, relation: Junction) -> str | None:
    """Returns the source id of one side of a pair, None where its `_id` is no ObjectId."""
    key = pair[:UUID_SIZE] if holder == relation.left else pair[UUID_SIZE:]
    object_id = object_id_of(key)
    return object_id.hex() if object_id else None


def _text_of(pair: bytes) -> str:
    """Returns both ids of a pair."""
    return "/".join(str(uuid.UUID(bytes=part)) for part in (pair[:UUID_SIZE], pair[UUID_SIZE:]))
