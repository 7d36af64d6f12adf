"""What the servers count, and what the bookkeeping says of the difference: the numbers of ``row_count``.

A field is measured alike on both sides: a value, a reference (an empty text is none, as it becomes NULL) or
the elements of an array (a lone value is one).
"""

from __future__ import annotations

import base64
import enum
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from psycopg import ServerCursor, sql

from migration_assets.model import Rule, junction_of, value_sources
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.united import collections_of
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.exact_values import ALTERED, REJECTED
from migration_assets.validation.judged_remediations import REMEDIATED

DROPPED = "dropped"
"""The kind of an element that is altered and no text: there is nothing of it."""
_FETCHED = 500
_EMPTY_TEXT = b"\x01\x00\x00\x00\x00"


class Measure(enum.Enum):
    """What is counted of a field."""

    VALUES = "values"
    REFERENCES = "references"
    ELEMENTS = "elements"


def measure_of(rule: Rule) -> Measure:
    """Returns what is counted of the fields of a rule."""
    if rule.is_array:
        return Measure.ELEMENTS
    return Measure.REFERENCES if rule.refers_to_rows else Measure.VALUES


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What MongoDB counts: documents, and the measure of each field."""

    documents: int
    fields: Mapping[str, int]


def count_source(
    database: SourceDatabase, collection: str, measured: Mapping[str, Measure]
) -> SourceCounts:
    """Counts documents and fields of a collection on the server, in one pass."""
    names = list(measured)
    field_sums = {
        f"f{index}": {"$sum": _expression(f"${name}", measured[name])}
        for index, name in enumerate(names)
    }
    pipeline: list[dict[str, Any]] = [{"$group": {"_id": None, "n": {"$sum": 1}, **field_sums}}]
    sums = Counter[str]()
    # Each by itself, so that what unites them is held against it.
    for part in collections_of(database, collection).values():
        for line in part.aggregate(pipeline):
            sums.update({key: count for key, count in line.items() if key != "_id"})
    return SourceCounts(
        documents=sums["n"], fields={name: sums[f"f{index}"] for index, name in enumerate(names)}
    )


def _expression(path: str, measure: Measure) -> dict[str, Any]:
    """Returns what a field counts for in a document; nothing where it is missing, null or undefined."""
    # $ifNull takes all three for null, and nothing else. $in and not $eq: with nothing but $eq, MongoDB 6
    # runs the pipeline on another engine, which takes twice the time for many fields.
    nothing = [None, ""] if measure is Measure.REFERENCES else [None]
    counted = {"$cond": [{"$in": [{"$ifNull": [path, None]}, nothing]}, 0, 1]}
    if measure is Measure.ELEMENTS:
        return {"$cond": [{"$isArray": path}, {"$size": path}, counted]}
    return counted


@dataclass(frozen=True, slots=True)
class TargetCounts:
    """What PostgreSQL counts.

    Attributes:
        rows: Rows, without those that wait for their deletion.
        columns: By column, values that are not NULL, or elements of arrays.
        distinct: Different pairs of a junction table; else the rows.
        identities: Entries of the UUID map for the collection.
    """

    rows: int
    columns: Mapping[str, int] = field(default_factory=dict)
    distinct: int = 0
    identities: int = 0


def count_target(connection: Connection, table: sa.Table) -> TargetCounts:
    """Counts rows and values of a table on the server, in one pass."""
    if junction_of(table) is not None:
        return _count_pairs(connection, table)
    columns = {name: source.rule for name, source in value_sources(table).items()}
    counted = [
        sql.SQL(
            "coalesce(sum(cardinality(t.{})), 0)::bigint" if rule.is_array else "count(t.{})"
        ).format(sql.Identifier(name))
        for name, rule in columns.items()
    ]
    query = sql.SQL(
        "SELECT count(*), (SELECT count(*) FROM {map} WHERE collection = {name}), {counted} "
        "FROM {table} t WHERE NOT EXISTS "
        "(SELECT FROM {pending} p WHERE p.target_table = {name} AND p.id = t.id)"
    ).format(
        map=_book(bookkeeping.uuid_map),
        name=sql.Literal(table.name),
        counted=sql.SQL(", ").join(counted or [sql.SQL("NULL").format()]),
        table=sql.Identifier(table.name),
        pending=_book(bookkeeping.pending_deletes),
    )
    rows, identities, *values = connection.execute(query).fetchone() or (0, 0)
    return TargetCounts(rows, dict(zip(columns, values, strict=False)), rows, identities)


def _count_pairs(connection: Connection, table: sa.Table) -> TargetCounts:
    # Grouped by hash: count(DISTINCT t.*) would sort all pairs, which takes five times as long.
    query = sql.SQL(
        "SELECT coalesce(sum(n), 0)::bigint, count(*) FROM (SELECT count(*) n FROM {} t GROUP BY t) q"
    ).format(sql.Identifier(table.name))
    rows, distinct = connection.execute(query).fetchone() or (0, 0)
    return TargetCounts(rows, distinct=distinct)


@dataclass(slots=True)
class RecordedCounts:
    """What the bookkeeping says of a table.

    Attributes:
        counts: By (collection, field, kind): lossy and lossless conversions, ``DROPPED`` elements, and the
            measure of the field in ``REJECTED`` documents and of what was ``REMEDIATED`` in others, before
            less after.
        lossless: How many of these are lossless conversions.
        documents: How many documents were rejected.
        unmapped: How many documents have fields that the model does not know.
    """

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    lossless: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    documents: int = 0
    unmapped: int = 0

    def explained(self, collection: str, name: str, kinds: Mapping[str, int]) -> int:
        """Returns what lines of some kinds explain of a field, each with its sign."""
        return sum(sign * self.counts[collection, name, kind] for kind, sign in kinds.items())


def read_recorded(
    connection: Connection, table: str, measured: Mapping[tuple[str, str], Measure]
) -> RecordedCounts:
    """Reads what the bookkeeping says of a table; call it within a transaction.

    Args:
        connection: A connection to the target.
        table: The table.
        measured: What is counted of each (collection, field) in rejected documents.
    """
    recorded = RecordedCounts()
    for collection, name, kind, is_dropped, count in connection.execute(
        sql.SQL(
            "SELECT collection, field, kind, element IS NOT NULL AND original !~ '^\"', count(*) "
            "FROM {issues} WHERE target_table = {table} GROUP BY 1, 2, 3, 4 UNION ALL "
            "SELECT collection, field, kind, NULL, sum(count)::bigint FROM {conversions} "
            "WHERE target_table = {table} GROUP BY 1, 2, 3"
        ).format(
            issues=_book(bookkeeping.issues),
            conversions=_book(bookkeeping.conversions),
            table=sql.Literal(table),
        )
    ):
        recorded.counts[collection, name, kind] += count
        if is_dropped is None:
            recorded.lossless[collection, name, kind] += count
        elif is_dropped and kind == ALTERED:
            recorded.counts[collection, name, DROPPED] += count
    for collection, document in _rejected(connection, table):
        recorded.documents += 1
        for (of, name), measure in measured.items():
            if of == collection:
                recorded.counts[of, name, REJECTED] += _measured(document.get(name), measure)
    _add_remediated(connection, table, measured, recorded)
    unmapped = sql.SQL("SELECT count(*) FROM {} WHERE target_table = {}").format(
        _book(bookkeeping.unmapped_fields), sql.Literal(table)
    )
    recorded.unmapped = sum(count for (count,) in connection.execute(unmapped))
    return recorded


def _add_remediated(
    connection: Connection,
    table: str,
    measured: Mapping[tuple[str, str], Measure],
    recorded: RecordedCounts,
) -> None:
    query = sql.SQL(
        # Of rejected documents, whatever the source has is accounted for.
        "SELECT collection, field, element IS NOT NULL, original, replacement, count(*) FROM {} r "
        "WHERE target_table = {table} AND NOT EXISTS (SELECT FROM {} d WHERE d.target_table = {table} "
        "AND d.collection = r.collection AND d.source_id = r.source_id) GROUP BY 1, 2, 3, 4, 5"
    ).format(
        _book(bookkeeping.remediations),
        _book(bookkeeping.rejected_documents),
        table=sql.Literal(table),
    )
    for collection, name, is_element, *texts, count in connection.execute(query):
        measure = measured.get((collection, name))
        if measure is None:
            continue  # a line of a field that is not loaded here: the layer `values` finds it
        if is_element:
            before, after = (int(text is not None) for text in texts)
        else:
            values = (None if text is None else json.loads(text) for text in texts)
            before, after = (_measured(value, measure) for value in values)
        recorded.counts[collection, name, REMEDIATED] += (before - after) * count


def _rejected(connection: Connection, table: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields (collection, document) of what was rejected, as canonical Extended JSON."""
    query = sql.SQL("SELECT collection, document FROM {} WHERE target_table = {}").format(
        _book(bookkeeping.rejected_documents), sql.Literal(table)
    )
    with ServerCursor(connection, "rejected") as cursor:
        cursor.itersize = _FETCHED
        for collection, text in cursor.execute(query):
            document: dict[str, Any] = json.loads(text)
            if "_id" not in document and "$binary" in document:
                document = outline(base64.b64decode(document["$binary"]["base64"]))
            yield collection, document


def outline(document: bytes) -> dict[str, Any]:
    """Returns the fields of a document, readable or not, as far as the server counts them.

    Returns:
        None for no value, a list for an array, an empty text for an empty text, True for anything else; the
        first of two fields with one name, and nothing behind what cannot be divided into fields.
    """
    fields: dict[str, Any] = {}
    with suppress(bson.UnreadableBsonError):
        for kind, name, start, end in bson.spans(document):
            value: Any = _outlined(kind, document[start:end])
            if kind == bson.ARRAY:
                array = document[start:end]
                value = [_outlined(code, array[at:to]) for code, _, at, to in bson.spans(array)]
            fields.setdefault(name.decode(errors="replace"), value)
    return fields


def _outlined(kind: int, data: bytes) -> Any:
    if kind in bson.NULLISH:
        return None
    return "" if kind in bson.TEXTUAL and data == _EMPTY_TEXT else True


def _measured(value: Any, measure: Measure) -> int:
    if value is None or (measure is Measure.REFERENCES and value == ""):
        return 0
    return len(value) if measure is Measure.ELEMENTS and isinstance(value, list) else 1


def _book(table: sa.Table) -> sql.Identifier:
    return sql.Identifier(SCHEMA, table.name)
