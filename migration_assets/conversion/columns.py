"""A column at a time: fast where a value is as expected, value by value where it is not.

The guard of the fast path is the type that the BSON of every value bears, so a value that does not fit cannot
slip through. What is odd is decoded and goes through the rules of ``values``, which say what each did; the
clean values around it stay on the fast path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from bson import ObjectId

from migration_assets.arrow import Mask, null_where, of_width
from migration_assets.conversion.extended_json import relaxed_texts
from migration_assets.conversion.values import (
    INTEGER_RANGE,
    RULES,
    TIMESTAMP_END,
    TIMESTAMP_MINIMUM,
    Assumed,
    Finding,
    Kind,
    Loaded,
    Outcome,
    is_object_id_text,
    iso_8601,
)
from migration_assets.identity import UUID_BYTES, document_uuid, object_id_uuids, uuid_texts
from migration_assets.model import Missing, Rule, Source
from migration_assets.source.elements import BsonType
from migration_assets.source.fields import Field

DTYPES: Mapping[Rule, pl.DataType] = {
    Rule.KEY: pl.Binary(),
    Rule.TEXT: pl.String(),
    Rule.INTEGER: pl.Int64(),
    Rule.BIGINT: pl.Int64(),
    Rule.BOOLEAN: pl.Boolean(),
    Rule.TIMESTAMP: pl.Datetime("ms"),
    Rule.ENUM: pl.String(),
    Rule.JSON: pl.String(),
    Rule.TEXT_ARRAY: pl.List(pl.String()),
    Rule.REFERENCE: pl.Binary(),
    Rule.REFERENCE_ARRAY: pl.List(pl.Binary()),
    Rule.REFERENCE_TEXT: pl.String(),
    Rule.REFERENCE_TEXT_ARRAY: pl.List(pl.String()),
}
"""Polars type of the converted column; UUIDs are 16 bytes."""


@dataclass(frozen=True, slots=True)
class ConvertedColumn:
    """A converted column of a batch.

    Attributes:
        series: The values, in the order of the documents; NULL where a document is rejected.
        findings: (row, what happened) for every value that did not arrive as it is.
        rejections: (row, reason) for every value that its NOT NULL column cannot do without.
    """

    series: pl.Series
    findings: Sequence[tuple[int, Finding]] = ()
    rejections: Sequence[tuple[int, str]] = ()


def convert_keys(collection: str, identifiers: Field) -> pl.Series:
    """Returns the UUIDs of documents as 16 bytes each (section 4)."""
    rows = np.arange(len(identifiers))
    if identifiers.are(BsonType.OBJECT_ID).all():
        uuids = object_id_uuids(identifiers.object_ids(rows))
        return of_width(uuids, UUID_BYTES).alias("id")
    one_by_one = [document_uuid(collection, value).bytes for value in identifiers.values(rows)]
    return pl.Series("id", one_by_one, dtype=pl.Binary)


def convert_column(
    name: str, source: Source, values: Field, identifiers: Field, loaded: Loaded
) -> ConvertedColumn:
    """Converts the values of a field, one for each document.

    Args:
        name: Name of the column.
        source: Where the values come from and by which rule they are converted.
        values: The values.
        identifiers: The `_id` of each document, for a derived time.
        loaded: The ids that a reference may point to.

    Raises:
        UnreadableError: A value is not valid BSON, or the driver would hide something of it.
    """
    are_missing = values.are_missing()
    series, are_odd = _FAST[source.rule](values, source)
    if _is_looked_up(source, loaded):
        are_odd[:] = True
    are_odd &= ~are_missing
    if source.missing not in (Missing.NULL, Missing.EMPTY_ARRAY):
        are_odd |= are_missing
    series = series.alias(name)
    if not are_odd.any():
        return ConvertedColumn(series)
    odd = np.flatnonzero(are_odd).tolist()
    return _with_odd(series, odd, source, values, identifiers, loaded)


def _is_looked_up(source: Source, loaded: Loaded) -> bool:
    """Tells whether what a reference becomes is not known from its value alone."""
    if source.references is None:
        return False
    if not loaded.are_assumed:
        return True
    # A text may be one of a document, or stand for an ObjectId.
    ids = loaded.documents.get(source.references)
    is_text = source.rule in (Rule.REFERENCE_TEXT, Rule.REFERENCE_TEXT_ARRAY)
    return is_text and isinstance(ids, Assumed) and ids.texts != frozenset()


def _with_odd(
    series: pl.Series,
    odd: Sequence[int],
    source: Source,
    values: Field,
    identifiers: Field,
    loaded: Loaded,
) -> ConvertedColumn:
    """Puts the odd values of a column in their places, one by one."""
    is_nullable = source.missing in (Missing.NULL, Missing.EMPTY_ARRAY)
    converted: list[Any] = []
    findings: list[tuple[int, Finding]] = []
    rejections: list[tuple[int, str]] = []
    rule, owners = _remembering(RULES[source.rule], source, loaded), identifiers.values(odd)
    for row, value, owner in zip(odd, values.values(odd), owners, strict=True):
        is_missing = value is None
        outcome = _missing(source, owner) if is_missing else rule(value)
        converted.append(outcome.value)
        if outcome.value is None and not is_nullable:
            rejections.append((row, _reason(outcome)))
            continue
        for finding in outcome.findings:
            is_nulled = finding.kind is Kind.UNCONVERTIBLE
            findings.append((row, replace(finding, kind=Kind.NULLED) if is_nulled else finding))
    places = pl.Series(odd, dtype=pl.UInt32)
    whole = _scattered(series, places, _series(source.rule, converted))
    return ConvertedColumn(whole, findings, rejections)


def _remembering(
    rule: Callable[[Any, Source, Loaded], Outcome], source: Source, loaded: Loaded
) -> Callable[[Any], Outcome]:
    """Returns a rule that is asked once for each text and ObjectId: many documents refer to a few."""
    outcomes: dict[Any, Outcome] = {}

    def outcome_of(value: Any) -> Outcome:
        if type(value) not in (str, ObjectId):
            return rule(value, source, loaded)
        if value not in outcomes:
            outcomes[value] = rule(value, source, loaded)
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
    if not outcome.findings:
        return "missing or null, and the column is NOT NULL"
    return outcome.findings[0].reason


def _missing(source: Source, identifier: Any) -> Outcome:
    """Returns what stands for a missing or null value of a NOT NULL column (section 5)."""
    match source.missing:
        case Missing.DEFAULT:
            return Outcome(source.default, (Finding(Kind.DEFAULTED, "missing or null"),))
        case Missing.OBJECT_ID_TIME if isinstance(identifier, ObjectId):
            milliseconds = int.from_bytes(identifier.binary[:4], "big") * 1000
            value = iso_8601(milliseconds) if source.rule is Rule.TEXT else milliseconds
            return Outcome(value, (Finding(Kind.DERIVED, "the ObjectId's own time"),))
        case _:
            return Outcome(None)


def _series(rule: Rule, values: list[Any]) -> pl.Series:
    if rule is Rule.TIMESTAMP:
        return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime("ms"))
    return pl.Series(values, dtype=DTYPES[rule])


Fast = tuple[pl.Series, Mask]
"""A column, and which of its values are odd: they are converted one by one. NULL stands for missing ones."""

Convert = Callable[[Field, Source], Fast]


def _strings(values: Field, source: Source) -> Fast:
    texts = values.strings()
    are_odd = ~values.are(BsonType.STRING) | texts.str.contains("\x00", literal=True).to_numpy()
    if source.longest is not None:
        are_odd |= (texts.str.len_bytes() > source.longest).to_numpy()
    return null_where(texts, values.are_missing()), are_odd


def _labels(values: Field, source: Source) -> Fast:
    texts = values.strings()
    are_odd = ~(values.are(BsonType.STRING) & texts.is_in(list(source.labels)).to_numpy())
    return null_where(texts, values.are_missing()), are_odd


def _integers(values: Field, source: Source) -> Fast:
    numbers = np.zeros(len(values), dtype=np.int64)
    for kind, dtype in ((BsonType.INT32, "<i4"), (BsonType.INT64, "<i8")):
        rows = np.flatnonzero(values.are(kind))
        numbers[rows] = values.integers(rows, dtype)
    are_odd = ~values.are(BsonType.INT32, BsonType.INT64)
    if source.rule is Rule.INTEGER:
        low, high = INTEGER_RANGE
        are_odd |= (numbers < low) | (numbers > high)
    return null_where(pl.Series(numbers), are_odd), are_odd


def _booleans(values: Field, source: Source) -> Fast:
    del source
    are_booleans = values.are(BsonType.BOOLEAN)
    truths = np.zeros(len(values), dtype=np.bool_)
    truths[are_booleans] = values.integers(np.flatnonzero(are_booleans), "u1") == 1
    return null_where(pl.Series(truths), ~are_booleans), ~are_booleans


def _dates(values: Field, source: Source) -> Fast:
    del source
    milliseconds = np.zeros(len(values), dtype=np.int64)
    rows = np.flatnonzero(values.are(BsonType.DATE))
    milliseconds[rows] = values.integers(rows, "<i8")
    are_in_range = (milliseconds >= TIMESTAMP_MINIMUM) & (milliseconds < TIMESTAMP_END)
    are_odd = ~(values.are(BsonType.DATE) & are_in_range)
    return null_where(pl.Series(milliseconds).cast(pl.Datetime("ms")), are_odd), are_odd


def _each_once(convert: Convert) -> Convert:
    """Returns what converts each value of a batch once, where several documents have it."""

    def converted(values: Field, source: Source) -> Fast:
        firsts, which = values.distinct()
        series, are_odd = convert(values.of(firsts), source)
        return series.gather(which), are_odd[which]

    return converted


def _json(values: Field, source: Source) -> Fast:
    del source
    texts = pl.Series(relaxed_texts(values.every()), dtype=pl.String)
    # Nothing else than these can be what jsonb cannot hold.
    are_odd = texts.str.contains_any(["\\u0000", "-0.0"]).fill_null(value=False)
    return texts, are_odd.to_numpy()


def _string_arrays(values: Field, source: Source) -> Fast:
    del source
    arrays, are_odd = _arrays(values, lambda text: type(text) is str and "\x00" not in text)
    texts = pl.Series(list(chain.from_iterable(arrays)), dtype=pl.String)
    return _lists(texts, list(map(len, arrays))), are_odd


def _arrays(values: Field, is_plain: Callable[[Any], bool]) -> tuple[list[list[Any]], Mask]:
    """Returns the arrays whose elements are all plain, empty ones for the others, and which those are."""
    arrays: list[list[Any]] = []
    odd: list[bool] = []
    for value in values.every():
        is_odd = value is not None and not (type(value) is list and all(map(is_plain, value)))
        odd.append(is_odd)
        arrays.append([] if is_odd or value is None else value)
    return arrays, np.array(odd, dtype=np.bool_)


def _references(values: Field, source: Source) -> Fast:
    del source
    are_ids = values.are(BsonType.OBJECT_ID)
    uuids = object_id_uuids(values.object_ids(np.flatnonzero(are_ids)))
    placed = np.zeros(len(values), dtype=f"V{UUID_BYTES}")
    placed[are_ids] = np.frombuffer(uuids, dtype=placed.dtype)
    return null_where(of_width(placed.tobytes(), UUID_BYTES), ~are_ids), ~are_ids


def _reference_arrays(values: Field, source: Source) -> Fast:
    del source
    arrays = values.object_id_arrays()
    elements = of_width(object_id_uuids(arrays.object_ids), UUID_BYTES)
    return _lists(elements, arrays.lengths), ~arrays.are_plain


def _reference_texts(values: Field, source: Source) -> Fast:
    del source
    are_strings = values.are(BsonType.STRING).tolist()
    given = zip(values.strings(), are_strings, strict=True)
    texts = [text if is_string else None for text, is_string in given]
    known = _known_texts({text for text in texts if text is not None})
    uuids = [None if text is None else known.get(text) for text in texts]
    series = pl.Series(uuids, dtype=pl.String)
    return series, np.array([each is None for each in uuids], dtype=np.bool_)


def _reference_text_arrays(values: Field, source: Source) -> Fast:
    del source
    arrays, are_odd = _arrays(values, is_object_id_text)
    known = _known_texts(set(chain.from_iterable(arrays)))
    elements = [known[text] for text in chain.from_iterable(arrays)]
    return _lists(pl.Series(elements, dtype=pl.String), list(map(len, arrays))), are_odd


def _known_texts(texts: set[str]) -> dict[str, str]:
    """Returns the UUIDs as text of those texts that are ObjectIds."""
    ids = list(filter(is_object_id_text, texts))
    uuids = object_id_uuids(bytes.fromhex("".join(ids)))
    return dict(zip(ids, uuid_texts(uuids), strict=True))


def _lists(elements: pl.Series, lengths: Sequence[int] | npt.NDArray[np.int64]) -> pl.Series:
    """Returns elements in lists of the given lengths.

    Grouped by polars: it would make a Series in Python of each list that it is given.
    """
    rows = pl.int_range(len(lengths), dtype=pl.UInt32, eager=True)
    grouped = (
        pl.DataFrame(
            {
                "row": rows.repeat_by(pl.Series(lengths, dtype=pl.UInt32)).explode().drop_nulls(),
                "list": elements,
            }
        )
        .group_by("row", maintain_order=True)
        .agg("list")
    )
    lists = rows.to_frame("row").join(grouped, on="row", how="left", maintain_order="left")["list"]
    return lists.fill_null([])


_FAST: Mapping[Rule, Convert] = {
    Rule.TEXT: _strings,
    Rule.INTEGER: _integers,
    Rule.BIGINT: _integers,
    Rule.BOOLEAN: _booleans,
    Rule.TIMESTAMP: _dates,
    Rule.ENUM: _labels,
    Rule.JSON: _each_once(_json),
    Rule.TEXT_ARRAY: _each_once(_string_arrays),
    Rule.REFERENCE: _references,
    Rule.REFERENCE_ARRAY: _reference_arrays,
    Rule.REFERENCE_TEXT: _reference_texts,
    Rule.REFERENCE_TEXT_ARRAY: _each_once(_reference_text_arrays),
}
