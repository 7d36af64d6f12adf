"""One pass over the arrays of a relation and their junction table: what is wrong with its pairs.

Both arrays are read again; the table must hold the union of what they say and nothing else. Pairs are held
as 32 bytes each, and compared in parts, as polars frames of all pairs of both sides.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.model import Junction, Side, junction_of
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import Value
from migration_assets.validation.comparison import AGREEMENT, compared
from migration_assets.validation.documents import (
    Documents,
    Identities,
    SourceIds,
    batches,
)
from migration_assets.validation.evidence import SAMPLE_SIZE, Phases
from migration_assets.validation.exact_values import ASYMMETRIC, ORPHANED, is_null
from migration_assets.validation.extended_json import canonical
from migration_assets.validation.findings import (
    Comparison,
    Fault,
    Total,
    What,
    failing_rows,
)
from migration_assets.validation.identities import (
    UUID_SIZE,
    identifier_of,
    object_id_of,
    uuid_of,
)
from migration_assets.validation.identities import (
    source_id_of as source_id_in,
)
from migration_assets.validation.judge import ArrayJudgement, Line, acceptance_text, judge_array
from migration_assets.validation.judged_remediations import REMEDIATED, rules_for
from migration_assets.validation.known_ids import known_references, locked
from migration_assets.validation.partitions import joined, partitions
from migration_assets.validation.plain_pairs import PairBytes, PlainPairs
from migration_assets.validation.postgres_text import uuid_text
from migration_assets.validation.recorded_lines import (
    REJECTED,
    Books,
    Lines,
    Unmatched,
)
from migration_assets.validation.reference_faults import count_in, is_loss
from migration_assets.validation.reference_targets import source_id_of
from migration_assets.validation.rows import packed

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
    with phases.phase("compare"):
        arrays = [
            _Array(source, connection, table, *sides, remediations, result)
            for sides in relation.arrays()
        ]
        sides = [array.pairs() for array in arrays]  # what it takes to read them is held no longer
        rows = _actual(connection, table, relation)
        result.pairs = len(rows)
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
        source: SourceDatabase,
        connection: Connection,
        table: sa.Table,
        holder: Side,
        name: str,
        other: Side,
        remediations: Remediations,
        result: Comparison,
    ) -> None:
        relation = junction_of(table)
        assert relation is not None
        self.holder, self.name = holder, name
        self.is_left = holder == relation.left
        self.stale: set[bytes] = set()
        """Documents with an element on record as orphaned that leads to a row."""
        self._source, self._result, self._other = source, result, other.collection
        self._known = known_references(locked(connection, threading.Lock()), table)
        ids = self._known.ids
        self._rules = rules_for(remediations, table, holder.collection, name, ids)
        self._read = remediations.fields_to_read(table, holder.collection, name)
        self._connection, self._table = connection, table.name
        self._plain = PlainPairs(name, self.is_left)

    def holder_of(self, pair: bytes) -> bytes:
        """Returns that id of a pair which is the document's that holds the array."""
        return pair[:UUID_SIZE] if self.is_left else pair[UUID_SIZE:]

    def source_id(self, pair: bytes) -> str | None:
        """Returns the document of a pair that holds the array, None where its `_id` is no ObjectId."""
        object_id = object_id_of(self.holder_of(pair))
        return object_id.hex() if object_id else None

    def name_of(self, pair: bytes) -> str | None:
        """Returns the same, whatever its `_id` is: asked for where it is shown."""
        return source_id_of(self._connection, [self.holder.collection], self.holder_of(pair))

    def pairs(self) -> PairBytes:
        """Reads the array, compares what the books say of it, and returns the pairs that it knows."""
        found = [joined([])]

        @cache
        def known() -> SourceIds:
            return SourceIds(self._source, self.holder.collection)

        books = Books(
            self._result.values,
            self._connection,
            threading.Lock(),
            self._table,
            self.holder.collection,
            self.name,
        )
        with closing(books):
            for documents in batches(self._source, self.holder.collection, fields=self._read):
                found += self._of_batch(documents, books)
            books.finish()
            if books.taken != books.others:
                books.finish_others(known)
        return np.concatenate(found)

    def _of_batch(self, documents: Documents, books: Books) -> Iterator[PairBytes]:
        identities = Identities.of(self.holder.collection, documents)
        names = identities.source_ids.to_list()
        others = [names[number] for number in identities.others]
        recorded = books.of(identities.last(), names, others)
        are_recorded = {name for name, _ in recorded}
        are_plain = np.array([name not in are_recorded for name in names], dtype=np.bool_)
        if self._rules.changes:
            are_plain &= ~identities.are_others()
            for number in np.flatnonzero(are_plain).tolist():
                are_plain[number] = not self._rules.touch(documents[number], names[number])
        plain = self._plain.of(documents, identities.keys, are_plain)
        self._result.documents += plain.arrays
        self._result.references += len(plain.pairs)
        yield plain.pairs
        rest = [documents[number] for number in np.flatnonzero(~plain.are_plain).tolist()]
        # What a rule makes of an element hangs on the first answer, and refers to something else.
        for _ in range(2 if self._rules.ask_for_ids else 1):
            for document in rest:
                source_id, _ = self._identity(document)
                self._judgement(document, source_id, is_loaded=True)  # notes all that it refers to
            self._known.ask()
        yield joined(dict.fromkeys(self._judged(rest, recorded, books)))
        self._known.forget()

    def _identity(self, document: bytes) -> tuple[str, bytes]:
        """Returns the source id and the UUID of a document, which is noted to be asked for."""
        identifier = identifier_of(document)
        key = uuid_of(self.holder.collection, identifier)
        _ = key in self._known.rows[self.holder.collection]
        return source_id_in(identifier), key

    def _judged(self, documents: Sequence[bytes], recorded: Lines, books: Books) -> Iterator[bytes]:
        """Judges arrays one by one, compares what the books say of them, and yields their pairs."""
        names = [self._identity(document) for document in documents]
        judgements = []
        for document, (source_id, key) in zip(documents, names, strict=True):
            is_loaded = key in self._known.rows[self.holder.collection]
            judged, value = self._judgement(document, source_id, is_loaded=is_loaded)
            judgements.append(judged)
            self._result.documents += not is_null(value)
        keys = [uuid_text(key) for _, key in names]
        expected = {
            (source_id, key): judged.lines
            for (source_id, _), key, judged in zip(names, keys, judgements, strict=True)
        }
        unmatched = books.compare(expected, recorded)
        for document, (source_id, key), judged in zip(documents, names, judgements, strict=True):
            self._find_lost(document, source_id, key, unmatched[source_id])
            self._result.references += len(judged.ids)
            self._result.references += sum(line.kind == ORPHANED for line in judged.lines)
            self._result.lines.update(line.kind for line in judged.lines)
            self._result.conversions.update(
                (self.holder.collection, self.name, kind) for kind in judged.conversions
            )
            yield from (key + each if self.is_left else each + key for each in judged.ids)

    def _find_lost(self, document: bytes, source_id: str, key: bytes, unmatched: Unmatched) -> None:
        """Finds elements that are lost, as they are neither pairs nor on record."""
        if any(line.kind == ORPHANED for line in unmatched.unfounded):
            self.stale.add(key)
        for line in unmatched.missing:
            lost = int(is_loss(line))
            if line.kind == REJECTED:
                lost = sum(count for _, count in count_in(document, [self.name]))
            for _ in range(lost):
                self._result.faults.add(
                    Fault.LOST, source_id=source_id, identifier=uuid_text(key), name=self.name
                )

    def _judgement(
        self, document: bytes, source_id: str, *, is_loaded: bool
    ) -> tuple[ArrayJudgement, Value | None]:
        """Returns what must have become of an array, and its value; unreadable ones are kept as bytes."""
        try:
            fields = bson.read_whole(document)
        except bson.UnreadableError:
            whole = canonical((bson.BINARY, (0, document)))
            accepted = self._rules.document_accepted_by(source_id, [(None, None)])
            accepted_by = acceptance_text(*accepted)
            return ArrayJudgement(lines=(Line(None, REJECTED, None, whole, accepted_by),)), None
        remedied, changes = self._rules.remedied(fields, source_id)
        value = dict(remedied).get(self.name)
        known = self._known.rows[self._other]
        judged = judge_array(value, self.name, self._other, known, is_loaded=is_loaded)
        lines = [
            Line(change.field, REMEDIATED, change.element, change.text()) for change in changes
        ]
        lines += [self._accepted(line, source_id, value) for line in judged.lines]
        return replace(judged, lines=tuple(lines)), value

    def _accepted(self, line: Line, source_id: str, value: Value | None) -> Line:
        """Returns a line with the remediation that accepts it."""
        assert value is not None
        assert line.element is not None
        elements = value[1] if value[0] == bson.ARRAY else [value]
        lost = elements[line.element]
        accepted_by = self._rules.accepted_by(source_id, self.name, value, lost)
        return line._replace(accepted_by=accepted_by)


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
        object_id = object_id_of(pair[:UUID_SIZE])
        source_id = object_id.hex() if object_id else None
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
