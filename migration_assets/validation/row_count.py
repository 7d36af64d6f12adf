"""Layer 1, ``row_count``: the books of section 2, from the two databases and the bookkeeping.

Both servers count; the loader's own counters are not asked. One identity a line: what the source has is
what the target has, and what is on record as explaining the rest.

    documents              = rows + rejected documents
    documents              = entries of the UUID map
    values of a column     = values in it - defaulted - derived + nulled + orphaned
                             + values in rejected documents + remediated ones
    elements of a column   = elements in it + dropped elements + elements in rejected documents
                             + remediated ones
    elements of a relation = pairs of that side + repeats + orphaned + altered elements
                             + elements of arrays that cannot be read + remediated ones
    rows of a relation     = distinct pairs

What was remediated is counted before less after, as the books have it. Each line is exact, for clean and for
dirty data alike, since every loss is on record one by one. In a reference an empty text is no value, as it
becomes NULL. Counts cannot tell which document lost what another gained, nor see a value that was altered
in its place, nor a field that the model does not know: the layer ``values`` does.

Where the books balance, what they say that somebody should have read is a warning: values that arrived
without loss, but not as they were, and documents with fields that the model does not know.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandera.polars as pa
import polars as pl
import sqlalchemy as sa

from migration_assets.model import Rule, junction_of, value_sources
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.validation.counting import (
    DROPPED,
    Measure,
    RecordedCounts,
    TargetCounts,
    count_source,
    count_target,
    measure_of,
    read_recorded,
)
from migration_assets.validation.evidence import SAMPLE_SIZE, Evidence, Layer, Phases, Severity
from migration_assets.validation.exact_values import (
    ALTERED,
    ASYMMETRIC,
    COERCED,
    DEFAULTED,
    DERIVED,
    NULLED,
    ORPHANED,
    REJECTED,
    REPEATED,
    UNMAPPED,
)
from migration_assets.validation.findings import failing
from migration_assets.validation.judged_remediations import REMEDIATED
from migration_assets.validation.key_digest import KeyDigest

LOAD_AGAIN = (
    "Materialize the table again (and the UUID map, if its line is wrong), then run this check: rows or "
    "lines of the books were lost, doubled or invented since they were loaded"
)
READ_IT = (
    "Nothing is lost, and nothing has to be done: read in migration.conversions and "
    "migration.unmapped_fields which fields these are; where another value should stand, write a "
    "remediation (docs/remediations.md)"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """One line of the books; a side that is missing makes it fail.

    Attributes:
        name: What is counted.
        source: What MongoDB has.
        target: What PostgreSQL has.
        explained: What is on record as not having arrived, less what has no source.
    """

    name: str
    source: int | None
    target: int | None
    explained: int | None = 0


def _balances(data: pa.PolarsData) -> pl.LazyFrame:
    balanced = pl.col("source").eq(pl.col("target") + pl.col("explained"))
    return data.lazyframe.select(balanced.fill_null(value=False))


_TYPES: Mapping[str, Any] = {
    "name": pl.String,
    "source": pl.Int64,
    "target": pl.Int64,
    "explained": pl.Int64,
}

BOOKS = pa.DataFrameSchema(checks=[pa.Check(_balances, name="source = target + explained")])
"""The schema of the books: every line balances."""

_TO_READ: Mapping[str, Any] = {
    "collection": pl.String,
    "field": pl.String,
    "kind": pl.String,
    "count": pl.Int64,
}


def check_row_count(
    source_database: SourceDatabase, connection: Connection, table: sa.Table
) -> Evidence:
    """Checks that the books of a table balance: rejected documents are part of them.

    That a document was rejected is no fault of the load; ``values`` says it. That values arrived without
    loss but not as they were, or that fields are unknown, is a warning; ``references`` has the one on
    asymmetric pairs.

    Args:
        source_database: The source database; a collection that is missing is an empty one.
        connection: A connection to the target; only read.
        table: An entity table or a junction table.

    Raises:
        psycopg.Error: The target cannot be read as the model says.
        PyMongoError: The source cannot be read.
    """
    phases = Phases()
    is_junction = junction_of(table) is not None
    with at_one_moment(connection, read_only=True), phases.phase("target"):
        recorded = read_recorded(connection, table.name, _measured(table))
        target = count_target(connection, table)
    with phases.phase("source"):
        identities = _of_pairs if is_junction else _of_documents
        lines = list(identities(source_database, table, target, recorded))
    with phases.phase("verdict"):
        frame = pl.DataFrame([asdict(line) for line in lines], schema=_TYPES)
        wrong = failing(BOOKS, frame)
        to_read = _to_read(recorded, table.name).to_dicts()
    is_balanced = not wrong
    rejected = recorded.documents
    by_kind = Counter[str]()
    for line in to_read:
        by_kind[line["kind"]] += line["count"]
    return Evidence(
        table=table.name,
        layer=Layer.ROW_COUNT,
        passed=is_balanced and not to_read,
        severity=Severity.WARN if is_balanced and to_read else Severity.ERROR,
        is_sound=is_balanced,
        summary=_summary(lines, wrong, rejected, by_kind),
        next_step=LOAD_AGAIN if wrong else READ_IT if to_read else "",
        counts={
            "documents": lines[0].source or 0,
            "rows": target.rows,
            "rejected": rejected,
            "identities": len(lines),
            "identities_that_fail": len(wrong),
            **by_kind,
        },
        failures=len(wrong) or by_kind.total(),
        sample=(wrong or to_read)[:SAMPLE_SIZE],
        rows=_digest(wrong),
        seconds=phases.seconds,
    )


def _digest(wrong: list[dict[str, Any]]) -> str:
    digest = KeyDigest()
    for line in wrong:
        digest.add(*line.values())
    return digest.text()


def _measured(table: sa.Table) -> Mapping[tuple[str, str], Measure]:
    """Returns what is counted of each (collection, field) that a table comes from, the key apart."""
    relation = junction_of(table)
    if relation is not None:
        arrays = [(holder.collection, array) for holder, array, _ in relation.arrays()]
        return dict.fromkeys(arrays, Measure.ELEMENTS)
    return {
        (table.name, source.field): measure_of(source.rule)
        for source in value_sources(table).values()
    }


def _to_read(recorded: RecordedCounts, table: str) -> pl.DataFrame:
    """Returns what somebody should read: lossless conversions by field, and documents with unknown fields."""
    lines: list[tuple[str, str | None, str, int]]
    lines = [(*key, count) for key, count in recorded.lossless.items() if key[2] != ASYMMETRIC]
    if recorded.unmapped:
        lines.append((table, None, UNMAPPED, recorded.unmapped))
    lines.sort(key=lambda line: -line[3])
    return pl.DataFrame(lines, schema=_TO_READ, orient="row")


def _summary(
    lines: list[Identity], wrong: list[dict[str, Any]], rejected: int, to_read: Counter[str]
) -> str:
    if wrong:
        names = ", ".join(str(line.get("name")) for line in wrong[:3])
        return f"{len(wrong)} of {len(lines)} lines of the books do not balance: {names}"
    first = lines[0]
    balanced = f"the books balance in {len(lines)} lines: {first.source} {first.name}"
    balance = f"{balanced}, {rejected} of them rejected" if rejected else balanced
    kinds = [f"{_IN_WORDS.get(kind, kind)}: {count}" for kind, count in sorted(to_read.items())]
    return "; ".join([balance, *kinds])


_IN_WORDS: Mapping[str, str] = {
    COERCED: "values coerced without loss",
    DEFAULTED: "defaults for missing values",
    DERIVED: "missing times taken from the ObjectId",
    REPEATED: "repeats of a pair, loaded once",
    UNMAPPED: "documents with fields that the model does not know, kept",
}


_IN_ANY_CASE = {REJECTED: 1, REMEDIATED: 1}
_VALUES = {NULLED: 1, DEFAULTED: -1, DERIVED: -1, **_IN_ANY_CASE}
_IDS = {ORPHANED: 1, ALTERED: 1, **_IN_ANY_CASE}
_TEXTS = {DROPPED: 1, **_IN_ANY_CASE}
_EXPLAINING: Mapping[Rule, Mapping[str, int]] = {
    Rule.REFERENCE: {ORPHANED: 1, DEFAULTED: -1, DERIVED: -1, **_IN_ANY_CASE},
    Rule.REFERENCE_ARRAY: _IDS,
    Rule.TEXT_ARRAY: _TEXTS,
    Rule.REFERENCE_TEXT_ARRAY: _TEXTS,
}
"""Kinds of lines that explain what the target does not have of the source, or has more. A reference held as
text is kept as it is where it is orphaned."""


def _of_documents(
    database: SourceDatabase, table: sa.Table, target: TargetCounts, recorded: RecordedCounts
) -> Iterator[Identity]:
    """Yields the lines of an entity table."""
    measured = {name: measure for (_, name), measure in _measured(table).items()}
    source = count_source(database, table.name, measured)
    yield Identity("documents", source.documents, target.rows, recorded.documents)
    yield Identity("identities in the UUID map", source.documents, target.identities)
    for column, of in value_sources(table).items():
        what = "elements" if measured[of.field] is Measure.ELEMENTS else "values"
        explained = recorded.explained(table.name, of.field, _EXPLAINING.get(of.rule, _VALUES))
        counted = source.fields[of.field], target.columns.get(column)
        yield Identity(f"{what} of {of.field}", *counted, explained)


def _of_pairs(
    database: SourceDatabase, table: sa.Table, target: TargetCounts, recorded: RecordedCounts
) -> Iterator[Identity]:
    """Yields the lines of a junction table: one for each array, and that no pair is there twice."""
    keys = [*_measured(table)]
    for key, other in zip(keys, reversed(keys), strict=True):
        collection, array = key
        source = count_source(database, collection, {array: Measure.ELEMENTS})
        explained = recorded.explained(*key, {REPEATED: 1, **_IDS})
        # The pairs of this side are the table's without those that only the other side has.
        explained -= recorded.counts[*other, ASYMMETRIC] if other != key else 0
        name = f"elements of {collection}.{array}"
        yield Identity(name, source.fields[array], target.rows, explained)
    yield Identity("different pairs", target.distinct, target.rows)
