"""Loading a junction table: the union of the arrays that hold a relation on its two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.arrow import Mask, of_width
from migration_assets.conversion.batches import (
    Books,
    ConvertedBatch,
    of_readable,
    remedied_batch,
)
from migration_assets.conversion.columns import convert_keys
from migration_assets.conversion.plain import IdArrays, id_arrays
from migration_assets.conversion.values import HOLDER_REJECTED, Kind, ValueChange, resolve
from migration_assets.identity import UUID_BYTES, uuid_bytes
from migration_assets.known_ids import Loaded
from migration_assets.loading import ledger
from migration_assets.loading.first_load import create_staged
from migration_assets.loading.jobs import Conversion, Job, Reading
from migration_assets.loading.lookup import Lookup
from migration_assets.loading.relations import (
    Doubtful,
    are_there_any,
    holders_of_orphans,
    orphaned_pairs,
    removed_pairs,
)
from migration_assets.loading.staging import Staging, books_table, rows_table
from migration_assets.model import Junction, Side, junction_of, model_of
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.source.elements import type_name
from migration_assets.source.fields import Field
from migration_assets.source.walk import Batch, FieldFinder
from migration_assets.target.bookkeeping import conversions
from migration_assets.target.connection import Connection
from migration_assets.target.sql import identifier

REPEATED = "repeated"
ASYMMETRIC = "asymmetric"


@dataclass(frozen=True)
class PairsJob(Job):
    """Brings a junction table to the state of its arrays; both tables that it refers to are loaded."""

    @property
    def relation(self) -> Junction:
        """The relation that the table holds."""
        relation = junction_of(self.table)
        assert relation is not None
        return relation

    def readings(self, source: SourceDatabase) -> list[Reading]:
        """Returns the arrays, which alone are read."""
        del source
        return [
            Reading(
                holder.collection,
                array,
                tuple(self.remediations.fields_to_read(self.table, holder.collection, array)),
            )
            for holder, array, _ in self.relation.arrays()
        ]

    def conversion(self, staging: Staging, reading: Reading) -> Conversion:
        """Returns what converts an array."""
        sides = next(
            sides
            for sides in self.relation.arrays()
            if (sides[0].collection, sides[1]) == (reading.collection, reading.array)
        )
        return self._converter(sides, self.ids(staging.connection)).convert

    @property
    def looks_ids_up(self) -> bool:
        """Whether what an array becomes hangs on more than its document, since rules ask."""
        return any(
            remedies_of(self.remediations, self.table, holder, array).looks_ids_up
            for holder, array, _ in self.relation.arrays()
        )

    def _converter(self, sides: tuple[Side, str, Side], ids: Loaded) -> PairConverter:
        return PairConverter(self.table, self.remediations, sides, ids)

    def fingerprints(
        self, connection: Connection, contents: Mapping[str, ContentDigest]
    ) -> Mapping[str, str]:
        """Returns the fingerprints of both sides, as their loads know them: arrays alone are read here."""
        del contents
        sides = [self.relation.left.collection, self.relation.right.collection]
        return ledger.latest_fingerprints(connection, sides)

    def complete(self, source: SourceDatabase, staging: Staging) -> None:
        """Stages the union of both sides, once arrays were converted again of which a pair leads nowhere."""
        connection, rows = staging.connection, rows_table(self.table)
        create_staged(connection, rows, identifier(self.table))
        united = _unite(staging, self.relation)
        if not self.looks_ids_up and are_there_any(connection, [orphaned_pairs(self.table)]):
            self._relate(source, staging)
            connection.execute(sql.SQL("TRUNCATE {}").format(rows))
            united = _unite(staging, self.relation)
        _note_asymmetric(staging, self.relation, united)

    def _relate(self, source: SourceDatabase, staging: Staging) -> None:
        staging.connection.execute(sql.SQL("ANALYZE {}").format(staging.batches_table))
        before = self.ids(staging.connection)
        lookup = Lookup(staging.connection, self.table)
        for sides in self.relation.arrays():
            holder, array, _ = sides
            side = _number(self.relation, holder)
            converter = self._converter(sides, before)
            Doubtful(
                source=source,
                staging=staging,
                collection=holder.collection,
                queries=[holders_of_orphans(staging, sides, side)],
                remove=removed_pairs(staging, holder, side),
                before=converter.convert,
                exactly=self._converter(sides, lookup).convert,
                array=array,
                fields=converter.projection,
            ).convert_again()


def _number(relation: Junction, holder: Side) -> int:
    """Returns how the side of a pair is staged that holds its array."""
    return 0 if holder == relation.left else 1


def remedies_of(
    remediations: Remediations,
    table: sa.Table,
    holder: Side,
    array: str,
    loaded: Loaded | None = None,
) -> Remedies:
    """Returns the rules that concern one array of a relation."""
    rules = remediations.of_array(table, holder.collection, array)
    entity = model_of(table).entities[holder.collection]
    return Remedies(rules, entity, loaded, array=array)


class PairConverter:
    """Converts the arrays on one side of a relation.

    Attributes:
        holder: The side whose documents hold the array.
        projection: The fields to read, as MongoDB takes them.
    """

    def __init__(
        self,
        table: sa.Table,
        remediations: Remediations,
        sides: tuple[Side, str, Side],
        loaded: Loaded,
    ) -> None:
        """Takes one of the arrays of a junction table, as ``Junction.arrays`` yields it."""
        self.holder, self._array, self._other = sides
        relation = junction_of(table)
        assert relation is not None
        self._relation = relation
        self._loaded = loaded
        self._remedies = remedies_of(remediations, table, self.holder, self._array, loaded)
        read = remediations.fields_to_read(table, self.holder.collection, self._array)
        self.projection = dict.fromkeys(read, 1)
        self._finder = FieldFinder(("_id", self._array))

    def convert(self, data: bytes) -> ConvertedBatch:
        """Returns how many elements a batch of documents holds, their pairs, and the books."""
        return self._loaded.answered(
            partial(of_readable, data, self._finder, self._remedies, self._converted)
        )

    def _converted(self, as_read: Batch, books: Books) -> ConvertedBatch:
        values = as_read.fields[self._array]
        arrays = id_arrays(values, self._other.collection)
        count = _elements_in(values, arrays)
        batch, remedied = remedied_batch(as_read, self._finder, self._remedies)
        books.remediations += [
            application for _, applications in remedied for application in applications
        ]
        identifiers = batch.fields["_id"]
        if batch is not as_read:
            values = batch.fields[self._array]
            arrays = id_arrays(values, self._other.collection)
        holders, elements, are_odd = self._fast(identifiers, values, arrays)
        rows = np.flatnonzero(are_odd).tolist()
        odd = list(zip(identifiers.values(rows), values.values(rows), strict=True))
        more = self._one_by_one(odd, books)
        frame = self._frame(
            holders.append(pl.Series(more[0], dtype=pl.Binary)),
            elements.append(pl.Series(more[1], dtype=pl.Binary)),
        )
        unique = frame.unique(maintain_order=True)
        if repeats := frame.height - unique.height:
            reason = "the same pair again in the same array"
            books.conversions[self._array, REPEATED, reason] += repeats
        return ConvertedBatch(count, unique, books, traced=())

    def _frame(self, holders: pl.Series, elements: pl.Series) -> pl.DataFrame:
        sides = {self.holder.column: holders, self._other.column: elements}
        relation = (self._relation.left, self._relation.right)
        return pl.DataFrame({side.column: sides[side.column] for side in relation}).with_columns(
            side=pl.lit(_number(self._relation, self.holder), dtype=pl.Int64)
        )

    def _fast(
        self, identifiers: Field, values: Field, arrays: IdArrays
    ) -> tuple[pl.Series, pl.Series, Mask]:
        """Returns both sides of the pairs of those arrays that hold plain ids alone, if ids are assumed.

        And which documents have another array, whose pairs are not among them.
        """
        are_plain = arrays.are_plain & self._loaded.are_assumed
        own = convert_keys(self.holder.collection, identifiers)
        holders = np.repeat(np.arange(len(values)), arrays.lengths)
        kept = are_plain[holders]
        elements = of_width(arrays.uuids, UUID_BYTES).filter(pl.Series(kept))
        return own.gather(holders[kept]), elements, ~are_plain & ~values.are_missing()

    def _one_by_one(
        self, documents: Sequence[tuple[Any, Any]], books: Books
    ) -> tuple[list[bytes], list[bytes]]:
        holders: list[bytes] = []
        elements: list[bytes] = []
        loaded = self._loaded.rows[self.holder.collection]
        for document_id, value in documents:
            key = uuid_bytes(self.holder.collection, document_id)
            array = value
            if type(value) is not list:
                array = [value]
                reason = f"{type_name(value)} as one element"
                coerced = ValueChange(Kind.COERCED, reason)
                books.note(document_id, self._array, coerced, value, self._remedies)
            is_loaded = key in loaded
            for position, element in enumerate(array):
                other_id, change = self._element(element, position, is_holder_loaded=is_loaded)
                if change is not None:
                    books.note(document_id, self._array, change, value, self._remedies)
                if other_id is not None:
                    holders.append(key)
                    elements.append(other_id)
        return holders, elements

    def _element(
        self, element: Any, position: int, *, is_holder_loaded: bool
    ) -> tuple[bytes | None, ValueChange | None]:
        if element is None or element == "":
            what = "null" if element is None else "empty string"
            return None, ValueChange(Kind.ALTERED, f"{what} element dropped", position, element)
        if not is_holder_loaded:
            return None, ValueChange(Kind.ORPHANED, HOLDER_REJECTED, position, element)
        outcome = resolve(
            element, self._other.collection, self._loaded.rows[self._other.collection]
        )
        if outcome is None:
            reason = f"no row of {self._other.collection} has this id"
            return None, ValueChange(Kind.ORPHANED, reason, position, element)
        return outcome.value, outcome.changes[0] if outcome.changes else None


def _elements_in(values: Field, arrays: IdArrays) -> int:
    others = np.flatnonzero(~arrays.are_plain & ~values.are_missing()).tolist()
    counted = [len(value) if type(value) is list else 1 for value in values.values(others)]
    return int(arrays.lengths.sum()) + sum(counted)


def _unite(staging: Staging, relation: Junction) -> int:
    """Stages the union of the pairs of both sides; returns how many there are."""
    keys = sql.SQL(", ").join(
        sql.Identifier(side.column) for side in (relation.left, relation.right)
    )
    insert = sql.SQL("INSERT INTO {0} ({1}) SELECT DISTINCT {1} FROM {2}").format(
        rows_table(staging.target), keys, staging.batches_table
    )
    return staging.connection.execute(insert).rowcount


def _note_asymmetric(staging: Staging, relation: Junction, united: int) -> None:
    """Counts the pairs that only one of two arrays has, under that array."""
    if len(list(relation.arrays())) == 1:
        return
    # A side has each of its pairs once, so those that it lacks are the other's alone.
    counted = "SELECT count(*) FILTER (WHERE side = 1), count(*) FILTER (WHERE side = 0) FROM {}"
    connection, target = staging.connection, staging.target
    of_others = connection.execute(sql.SQL(counted).format(staging.batches_table)).fetchone()
    assert of_others is not None
    for holder, of_other in zip((relation.left, relation.right), of_others, strict=True):
        if united == of_other:
            continue
        connection.execute(
            sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s, %s)").format(
                books_table(conversions.name)
            ),
            [
                target.name,
                holder.collection,
                holder.array,
                ASYMMETRIC,
                "only this side of the relation has the pair",
                united - of_other,
            ],
        )
