"""The arrays of a relation held against the pairs and the books of their junction table.

Both arrays are read again and judged element by element; the table must hold the union of what they say
and nothing else. Pairs are held as 32 bytes each, in polars frames.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import Junction, Side, junction_of
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation import binary_copy
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.binary_copy import UUID_SIZE
from migration_assets.validation.books import (
    Books,
    recorded_conversions,
    recorded_lines,
    unmatched,
)
from migration_assets.validation.differences import Comparison, Total, What, totals_of
from migration_assets.validation.evidence import Phases
from migration_assets.validation.reading import batches, ids_for
from migration_assets.validation.reference import (
    ASYMMETRIC,
    Ids,
    identifier_of,
    judge_array,
    object_id_of,
    source_id_of,
    uuid_of,
)

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
) -> Comparison:
    """Holds a junction table against the arrays of its relation.

    Args:
        source: The source database.
        connection: A connection to the target, within a transaction.
        table: The junction table.
        phases: Where the seconds are added.
        sample_size: How many pairs to report one by one.
        seed: Which ones.
    """
    relation = junction_of(table)
    assert relation is not None
    result = Comparison()
    with phases.phase("ids"):
        ids = ids_for(connection, table)
    sides: list[pl.DataFrame] = []
    with phases.phase("compare"):
        for holder, array, other in relation.arrays():
            side = _Array(table.name, relation, holder, array, other, ids, result)
            side.read(source, connection)
            sides.append(side.frame(len(sides)))
        known = pl.concat(sides).group_by("pair").agg(pl.col("side").min(), count=pl.len())
        actual = _actual(connection, table, relation)
        result.rows = known.height
        _compare(result, known, actual, relation)
        _count_asymmetric(result, known, relation)
        result.sampled = _sampled(known, actual, relation, sample_size, seed)
    with phases.phase("books"):
        result.totals.append(Total("pairs", known.height, actual.height))
        result.totals += totals_of("lines", result.lines, recorded_lines(connection, table.name))
        result.totals += totals_of(
            "conversions", result.conversions, recorded_conversions(connection, table.name)
        )
    return result


@dataclass(slots=True)
class _Array:
    """One of the arrays that hold a relation.

    Attributes:
        table: Name of the junction table.
        relation: The relation.
        holder: The side whose documents hold the array.
        array: The field.
        other: The side that its elements point to.
        ids: The ids of the rows of both sides.
        result: Where findings go.
        pairs: The pairs of each batch, each once.
    """

    table: str
    relation: Junction
    holder: Side
    array: str
    other: Side
    ids: Ids
    result: Comparison
    pairs: list[pl.Series] = field(default_factory=list)

    def read(self, source: SourceDatabase, connection: Connection) -> None:
        """Judges the array of every document, and compares what the books say of it."""
        books = Books(connection, self.table, (self.holder.collection, self.array))
        for documents in batches(source, self.holder.collection, array=self.array):
            found: set[bytes] = set()
            object_ids = [
                data.hex() for kind, data in map(identifier_of, documents) if kind == bson.OBJECT_ID
            ]
            entries = books.upto(object_ids[-1]) if object_ids else {}
            for document in documents:
                found.update(self._judge(document, entries, books))
            self.pairs.append(pl.Series("pair", list(found), dtype=pl.Binary))
            for left in entries.values():
                self.result.differences.add_unfounded(left)
        self.result.differences.add_unfounded(books.rest())

    def frame(self, side: int) -> pl.DataFrame:
        """Returns the pairs that this array knows, with the number of the array."""
        pairs = pl.concat([pl.Series("pair", [], dtype=pl.Binary), *self.pairs])
        return pairs.to_frame().with_columns(side=pl.lit(side))

    def _judge(self, document: bytes, entries: dict[str, Any], books: Books) -> Iterator[bytes]:
        identifier = identifier_of(document)
        source_id = source_id_of(identifier)
        key = uuid_of(self.holder.collection, identifier)
        value = dict(bson.read_document(document, errors="replace")).get(self.array)
        self.result.documents += value is not None
        judged = judge_array(
            value,
            self.array,
            self.other.collection,
            self.ids.rows[self.other.collection],
            is_loaded=key in self.ids.rows[self.holder.collection],
        )
        mine = entries.pop(source_id, None) or books.others.pop(source_id, [])
        missing, unfounded = unmatched(judged.lines, mine)
        self.result.differences.add_missing(missing, source_id, str(uuid.UUID(bytes=key)))
        self.result.differences.add_unfounded(unfounded)
        self.result.lines.update(line.kind for line in judged.lines)
        self.result.conversions.update(
            (self.holder.collection, self.array, kind) for kind in judged.conversions
        )
        is_left = self.holder == self.relation.left
        return (key + each if is_left else each + key for each in judged.ids)


def _actual(connection: Connection, table: sa.Table, relation: Junction) -> pl.DataFrame:
    query = sql.SQL("SELECT {}::uuid, {}::uuid FROM {}").format(
        sql.Identifier(relation.left.column),
        sql.Identifier(relation.right.column),
        sql.Identifier(table.name),
    )
    pairs = [
        b"".join(cell or b"" for cell in binary_copy.cells(row))
        for row in binary_copy.rows(connection, query)
    ]
    return pl.DataFrame({"pair": pl.Series(pairs, dtype=pl.Binary)})


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


def _sampled(
    known: pl.DataFrame, actual: pl.DataFrame, relation: Junction, size: int, seed: int
) -> list[Mapping[str, Any]]:
    """Draws pairs at random, and says of each whether the table has it."""
    drawn = known.sort("pair").sample(min(size, known.height), seed=seed)
    there = set(drawn.join(actual, on="pair", how="semi")["pair"])
    arrays = list(relation.arrays())
    sampled: list[Mapping[str, Any]] = []
    for pair, side in drawn.select("pair", "side").iter_rows():
        sampled.append(
            {
                "source_id": _source_id(pair, arrays[side][0], relation),
                "id": _text_of(pair),
                "fields_compared": _FIELDS,
                "fields_equal": _FIELDS if pair in there else 0,
            }
        )
    return sampled


def _source_id(pair: bytes, holder: Side, relation: Junction) -> str | None:
    """Returns the source id of one side of a pair, None where its `_id` is no ObjectId."""
    key = pair[:UUID_SIZE] if holder == relation.left else pair[UUID_SIZE:]
    object_id = object_id_of(key)
    return object_id.hex() if object_id else None


def _text_of(pair: bytes) -> str:
    """Returns both ids of a pair; a pair of which one is NULL has only one."""
    parts = pair[:UUID_SIZE], pair[UUID_SIZE:]
    return "/".join(str(uuid.UUID(bytes=part)) for part in parts if part)
