"""What PostgreSQL must write of the rows of plain documents, a column at a time.

A column accepts values of its own type as they are (section 5). A document with any other value, or with one
that takes a closer look, is odd: of its row nothing is said here, it is for the ``judge``. So is a document
that has another row: only what is equal here is settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
import sqlalchemy as sa

from migration_assets.model import Missing, Rule, fields, sources, value_sources
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.documents import Documents, Identities
from migration_assets.validation.field_places import FieldPlaces, Found, elements_in
from migration_assets.validation.known_ids import KnownIds
from migration_assets.validation.many_ids import IDENTIFIERS, source_ids
from migration_assets.validation.placed_values import Mask, Numbers
from migration_assets.validation.plain_values import Values
from migration_assets.validation.rules import RULES

SOURCE_ID = "uuid_map"
"""What the source id that the map gives a row is called beside the columns of its table."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What is expected of documents.

    Attributes:
        rows: Their rows, in their order: ``id``, ``SOURCE_ID`` and the columns, each as text.
        are_odd: Of which of them the row says nothing but whose it is.
        references: How many references each of the others has.
    """

    rows: pl.DataFrame
    are_odd: Mask
    references: Numbers


class ExpectedRows:
    """Makes the rows of the documents of a collection.

    Args:
        table: The entity table.
        documents: By collection, the documents that references held as text may point to.
    """

    def __init__(self, table: sa.Table, documents: Mapping[str, KnownIds]) -> None:
        self._columns = value_sources(table)
        self._documents = documents
        of_columns = {source.field for source in sources(table).values()}
        self._elsewhere = sorted(fields(table) - of_columns)
        self._finder = FieldPlaces(usual_kinds(table))

    def of(self, documents: Documents, identities: Identities) -> Expected:
        """Returns the rows of documents."""
        taken_apart = self._finder.find(documents)
        are_odd = ~taken_apart.are_whole
        references = np.zeros(len(documents), dtype=np.int64)
        for name in self._elsewhere:
            _leave_out_others(taken_apart, name, are_odd)
        rows = {"id": identities.ids, SOURCE_ID: identities.source_ids}
        for name, source in self._columns.items():
            places = taken_apart.fields[source.field]
            are_null = places.are_null()
            stands_for_null = None
            if source.missing is Missing.EMPTY_ARRAY:
                stands_for_null = "{}"
            elif source.rule is not Rule.JSON and source.missing is not Missing.NULL:
                are_odd |= are_null
            at = np.flatnonzero(~are_null & ~are_odd)
            values = Values(
                taken_apart.data, places, at, are_odd, references, source, self._documents
            )
            series = RULES[source.rule].texts(values) if at.size else pl.Series(dtype=pl.String)
            rows[name] = _spread(series, at, len(documents), stands_for_null)
        return Expected(pl.DataFrame(rows), are_odd, references)


def usual_kinds(table: sa.Table) -> Mapping[str, frozenset[int]]:
    """Returns the BSON types that the fields of plain documents have: all others are for the ``judge``."""
    elsewhere = frozenset({bson.ARRAY, bson.NULL})
    return (
        dict.fromkeys(fields(table), elsewhere)
        | {
            source.field: RULES[source.rule].kinds | {bson.NULL}
            for source in sources(table).values()
        }
        | {"_id": IDENTIFIERS}
    )


def _leave_out_others(taken_apart: Found, name: str, are_odd: Mask) -> None:
    """Leaves documents out with an array, which a junction table holds, that is not one of plain ids."""
    places = taken_apart.fields[name]
    at = np.flatnonzero((places.kinds == bson.ARRAY) & ~are_odd)
    counts, elements = elements_in(taken_apart.data, places.of(at))
    are_odd[at[counts < 0]] = True
    others = np.flatnonzero(elements.kinds != bson.OBJECT_ID)
    if others.size:
        names = source_ids(taken_apart.data, elements.of(others), of_references=True)
        holders = np.repeat(at, np.maximum(counts, 0))[others]
        are_odd[holders[names.is_null().to_numpy()]] = True


def _spread(series: pl.Series, at: Numbers, count: int, otherwise: str | None) -> pl.Series:
    """Returns a column with values in some places, and something in all others."""
    if len(at) == count:
        return series
    empty = pl.Series([otherwise], dtype=pl.String).new_from_index(0, count)
    return empty.scatter(at, series) if len(at) else empty
