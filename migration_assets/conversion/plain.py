"""The values of a field that are as its column expects, read from their BSON for a batch at once.

Each function takes a field and returns one value for each document: NULL, or an empty array, where it is
missing; NULL too where it is of another type or cannot be read at once: such a one is odd. The guard is the
type that the BSON of every value bears, so nothing can be taken for what it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from migration_assets.arrow import null_where, of_width
from migration_assets.conversion.extended_json import relaxed_texts
from migration_assets.identity import UUID_BYTES, object_id_uuids, uuid_texts
from migration_assets.known_ids import is_object_id_text
from migration_assets.source.elements import BsonType
from migration_assets.source.fields import Field

Read = Callable[[Field], pl.Series]


def _each_once(read: Read) -> Read:
    """Returns what reads each value of a batch once, where several documents have it."""

    def read_once(field: Field) -> pl.Series:
        firsts, which = field.distinct()
        return read(field.of(firsts)).gather(which)

    return read_once


def texts(field: Field) -> pl.Series:
    """Returns strings."""
    return null_where(field.strings(), ~field.are(BsonType.STRING))


def integers(field: Field) -> pl.Series:
    """Returns integers of 32 and 64 bits."""
    return _numbers(field, {BsonType.INT32: "<i4", BsonType.INT64: "<i8"})


def booleans(field: Field) -> pl.Series:
    """Returns booleans."""
    return _numbers(field, {BsonType.BOOLEAN: "u1"}) == 1


def milliseconds(field: Field) -> pl.Series:
    """Returns dates as milliseconds since 1970."""
    return _numbers(field, {BsonType.DATE: "<i8"})


def _numbers(field: Field, widths: dict[BsonType, str]) -> pl.Series:
    numbers = np.zeros(len(field), dtype=np.int64)
    for kind, dtype in widths.items():
        rows = np.flatnonzero(field.are(kind))
        numbers[rows] = field.integers(rows, dtype)
    return null_where(pl.Series(numbers), ~field.are(*widths))


def uuids(field: Field) -> pl.Series:
    """Returns the UUIDs of ObjectIds, 16 bytes each."""
    are_ids = field.are(BsonType.OBJECT_ID)
    placed = np.zeros(len(field), dtype=f"V{UUID_BYTES}")
    uuids_of_ids = object_id_uuids(field.object_ids(np.flatnonzero(are_ids)))
    placed[are_ids] = np.frombuffer(uuids_of_ids, dtype=placed.dtype)
    return of_width(placed.tobytes(), UUID_BYTES, ~are_ids)


def uuid_arrays(field: Field) -> pl.Series:
    """Returns the UUIDs of arrays of ObjectIds."""
    arrays = field.object_id_arrays()
    elements = of_width(object_id_uuids(arrays.object_ids), UUID_BYTES)
    return null_where(_lists(elements, arrays.lengths), ~(arrays.are_plain | field.are_missing()))


@_each_once
def json_texts(field: Field) -> pl.Series:
    """Returns any values as relaxed Extended JSON."""
    return pl.Series(relaxed_texts(field.every()), dtype=pl.String)


@_each_once
def text_arrays(field: Field) -> pl.Series:
    """Returns arrays of strings without U+0000."""
    return _arrays(field, lambda text: type(text) is str and "\x00" not in text)


def uuid_texts_of_ids(field: Field) -> pl.Series:
    """Returns the UUIDs, as texts, of texts that stand for ObjectIds."""
    return _uuid_texts(texts(field))


@_each_once
def uuid_text_arrays(field: Field) -> pl.Series:
    """Returns the UUIDs, as texts, of arrays of texts that stand for ObjectIds."""
    arrays = _arrays(field, is_object_id_text)
    elements = _uuid_texts(arrays.explode(empty_as_null=False, keep_nulls=False))
    lists = _lists(elements, arrays.list.len().fill_null(0).to_numpy())
    return null_where(lists, arrays.is_null().to_numpy())


def _uuid_texts(id_texts: pl.Series) -> pl.Series:
    """Returns the UUIDs as texts of ObjectIds as texts, each once, and NULL for other texts."""
    ids = list(filter(is_object_id_text, id_texts.unique()))
    known = uuid_texts(object_id_uuids(bytes.fromhex("".join(ids))))
    return id_texts.replace_strict(ids, known, default=None, return_dtype=pl.String)


def _arrays(field: Field, is_plain: Callable[[Any], bool]) -> pl.Series:
    """Returns the arrays whose elements are all plain texts."""
    arrays: list[list[str] | None] = []
    for value in field.every():
        is_array = type(value) is list and all(map(is_plain, value))
        arrays.append(value if is_array else [] if value is None else None)
    lengths = [len(array or ()) for array in arrays]
    elements = pl.Series(list(chain.from_iterable(filter(None, arrays))), dtype=pl.String)
    return null_where(_lists(elements, lengths), np.array([array is None for array in arrays]))


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
