"""The columns of a batch: one ``select`` made from the model, and the odd values one by one.

The raw frame has two columns for each of the table's: the values that could be read from their BSON at
once, and which there are. What is odd is decoded and goes through the exact path of its rule, which
says what was done to it; the clean values around it stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from bson import ObjectId

from migration_assets.arrow import of_width
from migration_assets.conversion.rules import dtype_of, loader_of
from migration_assets.conversion.scalars import iso_8601
from migration_assets.conversion.values import Kind, Outcome, ValueChange
from migration_assets.identity import UUID_BYTES, object_id_uuids, uuid_bytes
from migration_assets.known_ids import Assumed, Loaded
from migration_assets.model import Missing, Rule, Source
from migration_assets.source.elements import BsonType
from migration_assets.source.fields import Field

_IS_THERE, _IS_ODD = "\x00is there", "\x00is odd"
"""What the names of columns beside those of the table end with: no name in PostgreSQL has a U+0000."""
_NULLABLE = frozenset({Missing.NULL, Missing.EMPTY_ARRAY})


@dataclass(frozen=True, slots=True)
class ConvertedColumn:
    """A converted column of a batch.

    Attributes:
        series: The values, in the order of the documents; NULL where a document is rejected.
        changes: (row, what happened) for every value that did not arrive as it is.
        rejections: (row, reason) for every value that its NOT NULL column cannot do without.
    """

    series: pl.Series
    changes: Sequence[tuple[int, ValueChange]] = ()
    rejections: Sequence[tuple[int, str]] = ()


def convert_keys(collection: str, identifiers: Field) -> pl.Series:
    """Returns the UUIDs of documents as 16 bytes each (section 4)."""
    rows = np.arange(len(identifiers))
    if identifiers.are(BsonType.OBJECT_ID).all():
        uuids = object_id_uuids(identifiers.object_ids(rows))
        return of_width(uuids, UUID_BYTES).alias("id")
    one_by_one = [uuid_bytes(collection, value) for value in identifiers.values(rows)]
    return pl.Series("id", one_by_one, dtype=pl.Binary)


def convert_columns(
    columns: Mapping[str, Source], fields: Mapping[str, Field], loaded: Loaded
) -> Iterator[tuple[str, ConvertedColumn]]:
    """Yields columns of a batch by name, converted.

    Args:
        columns: Where the values of each come from and by which rule they are converted; not the key.
        fields: The fields by name, that of `_id` too, for a derived time.
        loaded: The ids that a reference may point to.

    Raises:
        UnreadableError: A value is not valid BSON, or the driver would hide something of it.
    """
    raw: dict[str, pl.Series] = {}
    for name, source in columns.items():
        values = fields[source.field]
        raw[name] = loader_of(source.rule).read(values, source)
        raw[name + _IS_THERE] = pl.Series(~values.are_missing())
    chosen = (
        expression
        for name, source in columns.items()
        for expression in _chosen(name, source, loaded)
    )
    converted = pl.DataFrame(raw).select(chosen)
    for name, source in columns.items():
        series = converted[name]
        odd = converted[name + _IS_ODD].arg_true()
        if odd.is_empty():
            yield name, ConvertedColumn(series)
        else:
            values, identifiers = fields[source.field], fields["_id"]
            yield name, _with_odd(series, odd, source, values, identifiers, loaded)


def _chosen(name: str, source: Source, loaded: Loaded) -> Iterator[pl.Expr]:
    """Yields the expressions of a column: its values, and which of them are odd."""
    loader, read = loader_of(source.rule), pl.col(name)
    yield loader.value(read)
    is_odd = read.is_null() | loader.is_odd(read, source)
    if _is_looked_up(source, loaded):
        is_odd = pl.lit(value=True)
    if source.missing in _NULLABLE:
        is_odd &= pl.col(name + _IS_THERE)
    yield is_odd.alias(name + _IS_ODD)


def _is_looked_up(source: Source, loaded: Loaded) -> bool:
    """Tells whether what a reference becomes is not known from its value alone."""
    if source.references is None:
        return False
    if not loaded.are_assumed:
        return True
    # A text may be one of a document, or stand for an ObjectId.
    ids = loaded.documents.get(source.references)
    return source.rule.refers_to_documents and isinstance(ids, Assumed) and ids.texts != frozenset()


def _with_odd(
    series: pl.Series,
    odd: pl.Series,
    source: Source,
    values: Field,
    identifiers: Field,
    loaded: Loaded,
) -> ConvertedColumn:
    """Puts the odd values of a column in their places, one by one."""
    converted: list[Any] = []
    changes: list[tuple[int, ValueChange]] = []
    rejections: list[tuple[int, str]] = []
    rule, rows = _remembering(source, loaded), odd.to_list()
    for row, value, owner in zip(rows, values.values(rows), identifiers.values(rows), strict=True):
        outcome = _missing(source, owner) if value is None else rule(value)
        converted.append(outcome.value)
        if outcome.value is None and source.missing not in _NULLABLE:
            rejections.append((row, _reason(outcome)))
            continue
        for change in outcome.changes:
            is_nulled = change.kind is Kind.UNCONVERTIBLE
            changes.append((row, replace(change, kind=Kind.NULLED) if is_nulled else change))
    whole = _scattered(series, odd, _series(source.rule, converted))
    return ConvertedColumn(whole, changes, rejections)


def _remembering(source: Source, loaded: Loaded) -> Callable[[Any], Outcome]:
    """Returns a rule that is asked once for each text and ObjectId: many documents refer to a few."""
    exact = loader_of(source.rule).exact
    outcomes: dict[Any, Outcome] = {}

    def outcome_of(value: Any) -> Outcome:
        if type(value) not in (str, ObjectId):
            return exact(value, source, loaded)
        if value not in outcomes:
            outcomes[value] = exact(value, source, loaded)
        return outcomes[value]

    return outcome_of


def _scattered(series: pl.Series, places: pl.Series, values: pl.Series) -> pl.Series:
    """Returns a column with some of its values replaced."""
    if len(places) == len(series):
        return values.alias(series.name)
    if not isinstance(series.dtype, pl.List):
        return series.scatter(places, values)
    # polars 2.1 cannot scatter lists: take each from the values where there is one.
    chosen = pl.Series([-1] * len(series), dtype=pl.Int64)
    chosen = chosen.scatter(places, pl.Series(range(len(places)), dtype=pl.Int64))
    taken = values.gather(chosen.clip(0))
    return taken.zip_with(chosen >= 0, series).alias(series.name)


def _reason(outcome: Outcome) -> str:
    if not outcome.changes:
        return "missing or null, and the column is NOT NULL"
    return outcome.changes[0].reason


def _missing(source: Source, identifier: Any) -> Outcome:
    """Returns what stands for a missing or null value of a NOT NULL column (section 5)."""
    match source.missing:
        case Missing.DEFAULT:
            return Outcome(source.default, (ValueChange(Kind.DEFAULTED, "missing or null"),))
        case Missing.OBJECT_ID_TIME if isinstance(identifier, ObjectId):
            milliseconds = int.from_bytes(identifier.binary[:4], "big") * 1000
            value = iso_8601(milliseconds) if source.rule is Rule.TEXT else milliseconds
            return Outcome(value, (ValueChange(Kind.DERIVED, "the ObjectId's own time"),))
        case _:
            return Outcome(None)


def _series(rule: Rule, values: list[Any]) -> pl.Series:
    dtype = dtype_of(rule)
    if dtype.is_temporal():
        return pl.Series(values, dtype=pl.Int64).cast(dtype)
    return pl.Series(values, dtype=dtype)
