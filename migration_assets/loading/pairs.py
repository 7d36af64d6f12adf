"""Loading a junction table: the union of the arrays that hold a relation on its two sides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import polars as pl
import sqlalchemy as sa
from bson import ObjectId
from psycopg import sql

from migration_assets.conversion.batches import Books, decoded
from migration_assets.conversion.columns import convert_keys
from migration_assets.conversion.values import Finding, Kind, Loaded, resolve, type_name
from migration_assets.identity import each_uuid, hex_uuids, object_id_uuids
from migration_assets.loading import ledger
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import Converted, Part, load, silent
from migration_assets.loading.loaded import ids_for
from migration_assets.loading.staging import (
    Staging,
    books_table,
    rows_table,
    sides_name,
    sides_table,
)
from migration_assets.model import Junction, Side, junction_of
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import Document, SourceDatabase
from migration_assets.source.reading import raw_batches
from migration_assets.source.snapshots import moment_read
from migration_assets.target.bookkeeping import conversions
from migration_assets.target.connection import Connection

REPEATED = "repeated"
ASYMMETRIC = "asymmetric"


def load_pairs(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
) -> LoadResult:
    """Brings a junction table to the state of its arrays.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The junction table; both tables that it refers to are loaded.
        say: Is told what an operator wants to know.
        remediations: What is corrected or accepted on the way.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    relation = junction_of(table)
    assert relation is not None
    sides = [relation.left.collection, relation.right.collection]
    # The arrays alone are read here, so what was read is known by the loads of both sides.
    based_on = ledger.latest_fingerprints(connection, sides)

    def parts(staging: Staging) -> Iterator[Part]:
        @cache
        def loaded() -> Loaded:
            return ids_for(staging.connection, table)

        def convert(holder: Side, array: str, other: Side, data: bytes) -> Converted:
            remedies = remedies_of(remediations, table, holder, array)
            converter = PairConverter(relation, holder, array, other, loaded(), remedies)
            return converter.convert(data)

        for sides in relation.arrays():
            holder, array, _ = sides
            for batch in raw_batches(source[holder.collection], projection={array: 1}):
                yield Part(holder.collection, batch.data, partial(convert, *sides))

    return load(
        connection,
        table,
        parts,
        fingerprints=lambda _: based_on,
        complete=lambda staging: _unite(staging, relation),
        moment=moment_read(source),
        say=say,
        remediations=remediations,
    )


def remedies_of(remediations: Remediations, table: sa.Table, holder: Side, array: str) -> Remedies:
    """Returns the rules that concern one array of a relation."""
    return Remedies(
        [
            rule
            for rule in remediations.of(table)
            if rule.collection == holder.collection and rule.field in (None, array)
        ]
    )


@dataclass(frozen=True, slots=True)
class PairConverter:
    """Converts the arrays on one side of a relation.

    Attributes:
        relation: The relation.
        holder: The side whose documents hold the array.
        array: The field that is the array.
        other: The side that its elements point to.
        loaded: The ids of both sides' rows.
        remedies: The rules that are applied before conversion.
    """

    relation: Junction
    holder: Side
    array: str
    other: Side
    loaded: Loaded
    remedies: Remedies = field(default_factory=Remedies)

    def convert(self, data: bytes) -> tuple[int, pl.DataFrame, Books]:
        """Returns how many elements a batch of documents holds, their pairs, and the books."""
        books = Books()
        given = list(decoded(data, books))
        books.accept_unreadable(self.remedies)
        documents = self._arrays(given)
        count = sum(len(value) if type(value) is list else 1 for _, value in documents)
        if self.remedies.changes:
            remedied = [self.remedies.apply(document) for document in given]
            books.remediations += [each for _, done in remedied for each in done]
            documents = self._arrays(document for document, _ in remedied)
        pairs = self._fast(documents)
        if pairs is None:
            pairs = self._one_by_one(documents, books)
        rows = self._frame(*pairs)
        unique = rows.unique(maintain_order=True)
        if repeats := rows.height - unique.height:
            reason = "the same pair again in the same array"
            books.conversions[self.array, REPEATED, reason] += repeats
        return count, unique, books

    def _arrays(self, documents: Iterable[Document]) -> list[tuple[Any, Any]]:
        """Returns `_id` and array of the documents that have one."""
        return [
            (document["_id"], value)
            for document in documents
            if (value := document.get(self.array)) is not None
        ]

    def _frame(self, holders: list[str], elements: list[str]) -> pl.DataFrame:
        sides = {self.holder.column: holders, self.other.column: elements}
        is_left = self.holder == self.relation.left
        return pl.DataFrame(
            {
                side.column: pl.Series(sides[side.column], dtype=pl.String)
                for side in (self.relation.left, self.relation.right)
            }
        ).with_columns(side=pl.lit(0 if is_left else 1, dtype=pl.Int64))

    def _fast(self, documents: Sequence[tuple[Any, Any]]) -> tuple[list[str], list[str]] | None:
        """Returns the pairs as hex, None where not every value is an ObjectId of a loaded row."""
        if not {list}.issuperset({type(value) for _, value in documents}):
            return None
        holders = [identifier for identifier, value in documents for _ in value]
        elements = [element for _, value in documents for element in value]
        if not {ObjectId}.issuperset(map(type, holders + elements)):
            return None
        left = object_id_uuids(b"".join([each.binary for each in holders]))
        right = object_id_uuids(b"".join([each.binary for each in elements]))
        are_loaded = self.loaded.rows[self.holder.collection].issuperset(
            each_uuid(left)
        ) and self.loaded.rows[self.other.collection].issuperset(each_uuid(right))
        return (hex_uuids(left), hex_uuids(right)) if are_loaded else None

    def _one_by_one(
        self, documents: Sequence[tuple[Any, Any]], books: Books
    ) -> tuple[list[str], list[str]]:
        holders: list[str] = []
        elements: list[str] = []
        keys = convert_keys(self.holder.collection, [identifier for identifier, _ in documents])
        loaded = self.loaded.rows[self.holder.collection]
        for key, (identifier, value) in zip(keys, documents, strict=True):
            array = value
            if type(value) is not list:
                array = [value]
                reason = f"{type_name(value)} as one element"
                coerced = Finding(Kind.COERCED, reason)
                books.note(identifier, self.array, coerced, value, self.remedies)
            is_loaded = bytes.fromhex(key) in loaded
            for position, element in enumerate(array):
                found, finding = self._element(element, position, is_holder_loaded=is_loaded)
                if finding is not None:
                    books.note(identifier, self.array, finding, value, self.remedies)
                if found is not None:
                    holders.append(key)
                    elements.append(found.hex())
        return holders, elements

    def _element(
        self, element: Any, position: int, *, is_holder_loaded: bool
    ) -> tuple[bytes | None, Finding | None]:
        if element is None or element == "":
            what = "null" if element is None else "empty string"
            return None, Finding(Kind.ALTERED, f"{what} element dropped", position, element)
        if not is_holder_loaded:
            reason = "the document that holds it was rejected"
            return None, Finding(Kind.ORPHANED, reason, position, element)
        outcome = resolve(element, self.other.collection, self.loaded.rows[self.other.collection])
        if outcome is None:
            reason = f"no row of {self.other.collection} has this id"
            return None, Finding(Kind.ORPHANED, reason, position, element)
        return outcome.value, outcome.findings[0] if outcome.findings else None


def _unite(staging: Staging, relation: Junction) -> int:
    """Replaces the staged pairs of both sides by their union; returns the asymmetric ones.

    A pair that only one of two arrays has is counted under the array that has it.
    """
    target = staging.target
    rows, sides = rows_table(target), sides_table(target)
    keys = sql.SQL(", ").join(
        sql.Identifier(side.column) for side in (relation.left, relation.right)
    )
    connection = staging.connection
    connection.execute(
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(rows, sql.Identifier(sides_name(target)))
    )
    connection.execute(
        sql.SQL("CREATE UNLOGGED TABLE {} AS SELECT DISTINCT {} FROM {}").format(rows, keys, sides)
    )
    if len(list(relation.arrays())) == 1:
        return 0
    counted = connection.execute(
        sql.SQL(
            "SELECT side, count(*) FROM (SELECT min(side) AS side FROM {} GROUP BY {} "
            "HAVING count(*) = 1) one GROUP BY side"
        ).format(sides, keys)
    ).fetchall()
    for side, count in counted:
        holder = (relation.left, relation.right)[side]
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
                count,
            ],
        )
    return sum(count for _, count in counted)
