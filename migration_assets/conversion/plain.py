"""The values of a field that are as its column expects, read from their BSON for a batch at once.

Each function takes a field, with what the model says of it, and returns one value for each document: NULL,
or an empty array, where it is missing; NULL too where it is of another type or cannot be read at once: such a
one is odd. The guard is the type that the BSON of every value bears, so nothing can be taken for what it is
not.

An id is plain where it is an ObjectId, or a text that can stand for none: what a text of 24 hex digits refers
to hangs on which documents there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from bson import ObjectId

from migration_assets.arrow import Mask, null_where, of_width
from migration_assets.conversion.extended_json import relaxed_texts
from migration_assets.identity import UUID_BYTES, object_id_uuids, uuid_bytes, uuid_texts
from migration_assets.known_ids import is_object_id_text
from migration_assets.model import Source
from migration_assets.source.elements import BsonType
from migration_assets.source.fields import Field, Rows

Read = Callable[[Field, Source], pl.Series]


def _each_once(read: Read) -> Read:
    """Returns what reads each value of a batch once, where several documents have it."""

    def read_once(field: Field, source: Source) -> pl.Series:
        firsts, which = field.distinct()
        return read(field.of(firsts), source).gather(which)

    return read_once


def texts(field: Field, _: Source) -> pl.Series:
    """Returns strings."""
    return null_where(field.strings(), ~field.are(BsonType.STRING))


def integers(field: Field, _: Source) -> pl.Series:
    """Returns integers of 32 and 64 bits."""
    return _numbers(field, {BsonType.INT32: "<i4", BsonType.INT64: "<i8"})


def booleans(field: Field, _: Source) -> pl.Series:
    """Returns booleans."""
    return _numbers(field, {BsonType.BOOLEAN: "u1"}) == 1


def milliseconds(field: Field, _: Source) -> pl.Series:
    """Returns dates as milliseconds since 1970."""
    return _numbers(field, {BsonType.DATE: "<i8"})


def _numbers(field: Field, widths: dict[BsonType, str]) -> pl.Series:
    numbers = np.zeros(len(field), dtype=np.int64)
    for kind, dtype in widths.items():
        rows = np.flatnonzero(field.are(kind))
        numbers[rows] = field.integers(rows, dtype)
    return null_where(pl.Series(numbers), ~field.are(*widths))


def uuids(field: Field, source: Source) -> pl.Series:
    """Returns the UUIDs of plain ids, 16 bytes each."""
    are_ids = field.are(BsonType.OBJECT_ID)
    placed = np.zeros(len(field), dtype=f"V{UUID_BYTES}")
    uuids_of_ids = object_id_uuids(field.object_ids(np.flatnonzero(are_ids)))
    placed[are_ids] = np.frombuffer(uuids_of_ids, dtype=placed.dtype)
    of_ids = of_width(placed.tobytes(), UUID_BYTES, ~are_ids)
    if not field.are(BsonType.STRING).any():
        return of_ids
    id_texts = texts(field, source)
    plain_texts = list(filter(_is_plain_text_id, id_texts.unique()))
    known = pl.Series(
        [uuid_bytes(str(source.references), text) for text in plain_texts], dtype=pl.Binary
    )
    of_texts = id_texts.replace_strict(plain_texts, known, default=None, return_dtype=pl.Binary)
    return of_ids.zip_with(pl.Series(are_ids), of_texts)


def _is_plain_text_id(value: Any) -> bool:
    return type(value) is str and value != "" and not is_object_id_text(value)


@dataclass(frozen=True, slots=True)
class IdArrays:
    """The arrays of a field that hold plain ids and nothing else.

    Attributes:
        are_plain: Which documents have such an array.
        lengths: How many elements each has; 0 where it is no such array.
        uuids: The UUIDs of the elements, 16 bytes each, one array after the other.
    """

    are_plain: Mask
    lengths: Rows
    uuids: bytes


def id_arrays(field: Field, collection: str) -> IdArrays:
    """Returns the arrays of ids of a collection."""
    arrays = field.object_id_arrays()
    of_ids = object_id_uuids(arrays.object_ids)
    rows = np.flatnonzero(field.are(BsonType.ARRAY) & ~arrays.are_plain)
    values = dict(zip(rows.tolist(), field.values(rows), strict=True))
    arrays_of_texts = {row: a for row, a in values.items() if all(map(_is_plain_text_id, a))}
    if not arrays_of_texts:
        return IdArrays(arrays.are_plain, arrays.lengths, of_ids)
    are_plain, lengths = arrays.are_plain.copy(), arrays.lengths.copy()
    rows_of_texts = np.array([*arrays_of_texts])
    are_plain[rows_of_texts] = True
    lengths[rows_of_texts] = [*map(len, arrays_of_texts.values())]
    texts_in_order = [*chain.from_iterable(arrays_of_texts.values())]
    known = {text: uuid_bytes(collection, text) for text in {*texts_in_order}}
    of_texts = b"".join(known[text] for text in texts_in_order)
    holders = [
        np.repeat(np.arange(len(field)), arrays.lengths),
        np.repeat(rows_of_texts, lengths[rows_of_texts]),
    ]
    in_order = np.argsort(np.concatenate(holders), kind="stable")
    elements = np.frombuffer(of_ids + of_texts, dtype=f"V{UUID_BYTES}")[in_order]
    return IdArrays(are_plain, lengths, elements.tobytes())


def uuid_arrays(field: Field, source: Source) -> pl.Series:
    """Returns the UUIDs of arrays of plain ids."""
    arrays = id_arrays(field, str(source.references))
    elements = of_width(arrays.uuids, UUID_BYTES)
    return null_where(_lists(elements, arrays.lengths), ~(arrays.are_plain | field.are_missing()))


@_each_once
def json_texts(field: Field, _: Source) -> pl.Series:
    """Returns any values as relaxed Extended JSON."""
    return pl.Series(relaxed_texts(field.every()), dtype=pl.String)


@_each_once
def text_arrays(field: Field, _: Source) -> pl.Series:
    """Returns arrays of strings without U+0000."""
    return _arrays(field, lambda text: type(text) is str and "\x00" not in text)


def uuid_texts_of_ids(field: Field, source: Source) -> pl.Series:
    """Returns the UUIDs, as texts, of texts that are ids or stand for ObjectIds."""
    return _uuid_texts(texts(field, source), source)


@_each_once
def uuid_text_arrays(field: Field, source: Source) -> pl.Series:
    """Returns the UUIDs, as texts, of arrays of texts that are ids or stand for ObjectIds."""
    arrays = _arrays(field, lambda text: type(text) is str and text != "")
    elements = _uuid_texts(arrays.explode(empty_as_null=False, keep_nulls=False), source)
    lists = _lists(elements, arrays.list.len().fill_null(0).to_numpy())
    return null_where(lists, arrays.is_null().to_numpy())


def _uuid_texts(id_texts: pl.Series, source: Source) -> pl.Series:
    """Returns the UUIDs as texts of ids as texts, each once, and NULL for empty texts."""
    ids = list(filter(None, id_texts.unique()))
    known = b"".join(
        uuid_bytes(str(source.references), ObjectId(text) if is_object_id_text(text) else text)
        for text in ids
    )
    return id_texts.replace_strict(ids, uuid_texts(known), default=None, return_dtype=pl.String)


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
