"""A column at a time: fast where every value is of the expected type, value by value where not.

The guard of the fast path is the set of Python types that the BSON of the column decoded to, so a value
that does not fit cannot slip through; the slow path applies the rules of ``values`` and says what
each did. One such value slows down its own column of its own batch, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any

import polars as pl
from bson import Int64, ObjectId

from migration_assets.conversion.extended_json import relaxed
from migration_assets.conversion.values import (
    INTEGER_RANGE,
    RULES,
    Finding,
    Kind,
    Loaded,
    iso_8601,
)
from migration_assets.identity import document_uuid, each_uuid, hex_uuids, object_id_uuids
from migration_assets.model import Missing, Rule, Source

DTYPES: Mapping[Rule, pl.DataType] = {
    Rule.KEY: pl.String(),
    Rule.TEXT: pl.String(),
    Rule.INTEGER: pl.Int64(),
    Rule.BIGINT: pl.Int64(),
    Rule.BOOLEAN: pl.Boolean(),
    Rule.TIMESTAMP: pl.Datetime("ms"),
    Rule.ENUM: pl.String(),
    Rule.JSON: pl.String(),
    Rule.TEXT_ARRAY: pl.List(pl.String()),
    Rule.REFERENCE: pl.String(),
    Rule.REFERENCE_ARRAY: pl.List(pl.String()),
    Rule.REFERENCE_TEXT: pl.String(),
    Rule.REFERENCE_TEXT_ARRAY: pl.List(pl.String()),
}
"""Polars type of the converted column; UUIDs are 32 hex digits."""

_NONE = type(None)
_binary: Callable[[ObjectId], bytes] = attrgetter("binary")


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


def convert_keys(collection: str, identifiers: Sequence[Any]) -> pl.Series:
    """Returns the UUIDs of documents as 32 hex digits each (section 4)."""
    if set(map(type, identifiers)) == {ObjectId}:
        uuids = object_id_uuids(b"".join(map(_binary, identifiers)))
        return pl.Series("id", hex_uuids(uuids), dtype=pl.String)
    uuids_one_by_one = [document_uuid(collection, value).hex for value in identifiers]
    return pl.Series("id", uuids_one_by_one, dtype=pl.String)


def convert_column(
    name: str,
    source: Source,
    values: Sequence[Any],
    identifiers: Sequence[Any],
    loaded: Loaded,
) -> ConvertedColumn:
    """Converts the values of a field, one for each document.

    Args:
        name: Name of the column.
        source: Where the values come from and by which rule they are converted.
        values: The values as pymongo decodes them, None where missing.
        identifiers: The `_id` of each document, for a derived time.
        loaded: The ids that a reference may point to.
    """
    converter = _Converter(name, source, loaded)
    fast = _FAST[source.rule](values, source, loaded)
    if fast is not None:
        series = fast.alias(name)
        if source.missing is Missing.NULL or not series.null_count():
            return ConvertedColumn(series)
    return converter.one_by_one(values, identifiers)


@dataclass(frozen=True, slots=True)
class _Converter:
    """The slow path: a column value by value."""

    name: str
    source: Source
    loaded: Loaded

    def one_by_one(self, values: Sequence[Any], identifiers: Sequence[Any]) -> ConvertedColumn:
        rule = RULES[self.source.rule]
        is_nullable = self.source.missing in (Missing.NULL, Missing.EMPTY_ARRAY)
        converted: list[Any] = []
        findings: list[tuple[int, Finding]] = []
        rejections: list[tuple[int, str]] = []
        for row, value in enumerate(values):
            if value is None:
                stand_in, finding = self._missing(identifiers[row])
                converted.append(stand_in)
                if finding is not None:
                    findings.append((row, finding))
                elif stand_in is None and not is_nullable:
                    rejections.append((row, "missing or null, and the column is NOT NULL"))
                continue
            outcome = rule(value, self.source, self.loaded)
            converted.append(outcome.value)
            if outcome.value is None and not is_nullable:
                rejections.append((row, outcome.findings[0].reason))
                continue
            for finding in outcome.findings:
                is_nulled = finding.kind is Kind.UNCONVERTIBLE
                findings.append((row, replace(finding, kind=Kind.NULLED) if is_nulled else finding))
        return ConvertedColumn(self._series(converted), findings, rejections)

    def _missing(self, identifier: Any) -> tuple[Any, Finding | None]:
        match self.source.missing:
            case Missing.EMPTY_ARRAY:
                return [], None
            case Missing.DEFAULT:
                return self.source.default, Finding(Kind.DEFAULTED, "missing or null")
            case Missing.OBJECT_ID_TIME if isinstance(identifier, ObjectId):
                milliseconds = int.from_bytes(identifier.binary[:4], "big") * 1000
                derived = Finding(Kind.DERIVED, "the ObjectId's own time")
                is_text = self.source.rule is Rule.TEXT
                return (iso_8601(milliseconds) if is_text else milliseconds), derived
            case _:
                return None, None

    def _series(self, values: list[Any]) -> pl.Series:
        match self.source.rule:
            case Rule.REFERENCE:
                values = [None if value is None else value.hex() for value in values]
            case Rule.REFERENCE_ARRAY:
                values = [[item.hex() for item in value] for value in values]
            case Rule.TIMESTAMP:
                return pl.Series(self.name, values, dtype=pl.Int64).cast(pl.Datetime("ms"))
            case _:
                pass
        return pl.Series(self.name, values, dtype=DTYPES[self.source.rule])


def _strings(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    del source, loaded
    if not {str, _NONE}.issuperset(map(type, values)):
        return None
    series = pl.Series(values, dtype=pl.String)
    return None if series.str.contains("\x00", literal=True).any() else series


def _labels(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    del loaded
    if not {str, _NONE}.issuperset(map(type, values)):
        return None
    return pl.Series(values, dtype=pl.String) if {*source.labels, None}.issuperset(values) else None


def _integers(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    del loaded
    if not {int, Int64, _NONE}.issuperset(map(type, values)):
        return None
    series = pl.Series(values, dtype=pl.Int64)
    low, high = INTEGER_RANGE
    fits = source.rule is Rule.BIGINT or series.is_between(low, high).all()
    return series if fits else None


def _booleans(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    del source, loaded
    fits = {bool, _NONE}.issuperset(map(type, values))
    return pl.Series(values, dtype=pl.Boolean) if fits else None


def _dates(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    del source, loaded
    # Every date that Python's calendar has, PostgreSQL's has too.
    fits = {datetime, _NONE}.issuperset(map(type, values))
    # Built in microseconds: three times as fast in polars 2.1 as in milliseconds.
    return pl.Series(values, dtype=pl.Datetime("us")).cast(pl.Datetime("ms")) if fits else None


def _json(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    del source, loaded
    texts = [None if value is None else relaxed(value) for value in values]
    has_nul = any("\\u0000" in text for text in texts if text is not None)
    return None if has_nul else pl.Series(texts, dtype=pl.String)


def _string_arrays(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    del source, loaded
    if not {list, _NONE}.issuperset(map(type, values)):
        return None
    arrays = [value or [] for value in values]
    if not {str}.issuperset(map(type, chain.from_iterable(arrays))):
        return None
    if any("\x00" in text for text in chain.from_iterable(arrays)):
        return None
    return pl.Series(arrays, dtype=pl.List(pl.String))


def _references(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    if not {ObjectId, _NONE}.issuperset(map(type, values)):
        return None
    assert source.references is not None
    uuids = object_id_uuids(b"".join([value.binary for value in values if value is not None]))
    if not loaded.rows[source.references].issuperset(each_uuid(uuids)):
        return None
    found = iter(hex_uuids(uuids))
    texts = [None if value is None else next(found) for value in values]
    return pl.Series(texts, dtype=pl.String)


def _slow(values: Sequence[Any], source: Source, loaded: Loaded) -> pl.Series | None:
    """Stands for the rules whose columns are too few to need a fast path."""
    del values, source, loaded
    return None


_FAST: Mapping[Rule, Callable[[Sequence[Any], Source, Loaded], pl.Series | None]] = {
    Rule.TEXT: _strings,
    Rule.INTEGER: _integers,
    Rule.BIGINT: _integers,
    Rule.BOOLEAN: _booleans,
    Rule.TIMESTAMP: _dates,
    Rule.ENUM: _labels,
    Rule.JSON: _json,
    Rule.TEXT_ARRAY: _string_arrays,
    Rule.REFERENCE: _references,
    Rule.REFERENCE_ARRAY: _slow,
    Rule.REFERENCE_TEXT: _slow,
    Rule.REFERENCE_TEXT_ARRAY: _slow,
}
