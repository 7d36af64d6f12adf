"""The values of one field in the documents of a batch: where each stands, and what it is read as.

Nothing is decoded that is not asked for; the type of every value is known from its own byte. The format:
https://bsonspec.org/spec.html.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import bson
import numpy as np
import numpy.typing as npt
import polars as pl
from bson.errors import BSONError

from migration_assets.arrow import Mask, slices
from migration_assets.identity import OBJECT_ID_BYTES
from migration_assets.source.connection import CODEC, Document
from migration_assets.source.elements import FIXED, NO_VALUE, BsonType, are_whole, hidden
from migration_assets.source.reading import split

Rows = npt.NDArray[np.int64]

_WORD = 8
_SHORTEST = 5
"""Bytes of an empty document."""
_SHORTEST_ELEMENT = 15
"""Bytes of an ObjectId as the first element of an array, with its type and name."""
_MOST_ELEMENTS = 1_000_000
"""Type and name of so many elements fit into a word each; a document of 16 MB holds fewer ObjectIds."""


class UnreadableError(Exception):
    """A document of a batch is not valid BSON, or the driver would hide something of it."""


@dataclass(frozen=True, slots=True)
class ObjectIdArrays:
    """The arrays of a field that hold ObjectIds and nothing else.

    Attributes:
        are_plain: Which documents have such an array.
        lengths: How many elements each has; 0 where it is no such array.
        object_ids: The elements, 12 bytes each, one array after the other.
    """

    are_plain: Mask
    lengths: Rows
    object_ids: bytes


@dataclass(frozen=True, slots=True)
class Field:
    """The values of one field in the documents of a batch.

    Attributes:
        data: The documents, one after the other, and some bytes more.
        kinds: The BSON type of each value, 0 where the document has none.
        starts: Where in the data each value begins.
        ends: Where it ends.
    """

    data: bytes
    kinds: npt.NDArray[np.uint8]
    starts: Rows
    ends: Rows

    def __len__(self) -> int:
        return len(self.kinds)

    def are(self, *kinds: int) -> Mask:
        """Tells of which documents the value has one of some types."""
        are_of_kinds: Mask = self.kinds == kinds[0]
        for kind in kinds[1:]:
            are_of_kinds |= self.kinds == kind
        return are_of_kinds

    def are_missing(self) -> Mask:
        """Tells of which documents the value is missing or null."""
        return self.are(*NO_VALUE)

    def strings(self) -> pl.Series:
        """Returns the values that are strings, empty ones for the others.

        Raises:
            UnreadableError: One is not valid UTF-8.
        """
        are_strings = self.are(BsonType.STRING)
        ends = np.where(are_strings, self.ends - 1, 0)
        before = np.maximum.accumulate(ends)
        starts = np.where(are_strings, self.starts + 4, before)
        try:
            return slices(self.data, starts, before).cast(pl.String)
        except pl.exceptions.ComputeError as error:
            raise UnreadableError from error

    def integers(self, rows: Rows, dtype: str) -> npt.NDArray[np.int64]:
        """Returns numbers of some documents, of a given width, such as ``<i4``."""
        return every_byte(self.data, dtype)[self.starts[rows]].astype(np.int64)

    def object_ids(self, rows: Rows) -> bytes:
        """Returns the ObjectIds of some documents, 12 bytes each."""
        return every_byte(self.data, "V12")[self.starts[rows]].tobytes()

    def object_id_arrays(self) -> ObjectIdArrays:
        """Returns the arrays that hold ObjectIds and nothing else."""
        rows = np.flatnonzero(self.are(BsonType.ARRAY))
        sizes = (self.ends - self.starts)[rows]
        offsets, heads, masks, names = _elements_up_to(int(sizes.max(initial=0)))
        lengths = np.searchsorted(offsets, sizes - 1)
        fit = offsets[lengths] == sizes - 1
        rows, lengths = rows[fit], lengths[fit]
        holders = np.repeat(np.arange(len(rows)), lengths)
        numbers = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        places = self.starts[rows][holders] + offsets[numbers]
        are_ids = (every_byte(self.data, "<u8")[places] & masks[numbers]) == heads[numbers]
        fit = np.ones(len(rows), dtype=np.bool_)
        fit[holders[~are_ids]] = False
        are_plain = np.zeros(len(self), dtype=np.bool_)
        are_plain[rows] = fit
        counted = np.zeros(len(self), dtype=np.int64)
        counted[rows[fit]] = lengths[fit]
        within = fit[holders]
        places = (places + names[numbers])[within]
        return ObjectIdArrays(are_plain, counted, every_byte(self.data, "V12")[places].tobytes())

    def check(self) -> None:
        """Decodes what the walk over the fields has not read.

        Raises:
            UnreadableError: A value is not valid BSON, or the driver would hide something of it.
        """
        are_read = self.are_missing() | self.are(*FIXED) | self.object_id_arrays().are_plain
        self.values(np.flatnonzero(~are_read).tolist())

    def values(self, rows: Iterable[int]) -> list[Any]:
        """Returns the values of some documents as pymongo decodes them, None where missing.

        Raises:
            UnreadableError: One is not valid BSON, or the driver would hide something of it.
        """
        chosen = np.fromiter(rows, dtype=np.int64)
        places = zip(
            *(numbers[chosen].tolist() for numbers in (self.kinds, self.starts, self.ends)),
            strict=True,
        )
        # One document for all of them, each under its number: the driver takes it apart at once.
        fields = b"".join(
            b"%c%d\x00%b" % (kind or BsonType.NULL, number, self.data[start:end])
            for number, (kind, start, end) in enumerate(places)
        )
        (document,) = decoded_whole(
            (len(fields) + _SHORTEST).to_bytes(4, "little") + fields + b"\x00"
        )
        return list(document.values())

    def every(self) -> list[Any]:
        """Returns :meth:`values` of all documents."""
        return self.values(range(len(self)))

    def of(self, rows: Rows) -> Field:
        """Returns the field in some of the documents."""
        return Field(self.data, self.kinds[rows], self.starts[rows], self.ends[rows])

    def distinct(self) -> tuple[Rows, Rows]:
        """Returns the first document with each value, and for all documents which of these has theirs.

        Two values are the same where their types and bytes are.
        """
        numbers: dict[tuple[int, bytes], int] = {}
        places = zip(self.kinds.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True)
        which = np.array(
            [
                numbers.setdefault((kind, self.data[start:end]), len(numbers))
                for kind, start, end in places
            ],
            dtype=np.int64,
        )
        return np.unique(which, return_index=True)[1], which

    def value(self, row: int) -> Any:
        """Returns one of :meth:`values`."""
        return self.values([row])[0]


def decoded_whole(data: bytes) -> list[Document]:
    """Returns documents, given as BSON one after the other, as pymongo decodes them.

    Raises:
        UnreadableError: One is not valid BSON, or the driver would hide something of it.
    """
    try:
        documents = bson.decode_all(data, CODEC)
    except BSONError as error:
        raise UnreadableError from error
    if not are_whole(documents, data) and any(map(hidden, split(data))):
        raise UnreadableError
    return documents


Elements = tuple[Rows, npt.NDArray[np.uint64], npt.NDArray[np.uint64], Rows]


def _elements_up_to(size: int) -> Elements:
    """Returns how the elements of arrays of ObjectIds stand in so many bytes.

    For each element: where it begins, its type and name as a word with a mask, and the bytes of these.
    """
    count = 16
    while count * _SHORTEST_ELEMENT < size:
        count *= 2
    return _first_elements(min(count, _MOST_ELEMENTS))


@cache
def _first_elements(count: int) -> Elements:
    heads = [b"%c%d\x00" % (BsonType.OBJECT_ID, number) for number in range(count)]
    names = np.array(list(map(len, heads)))
    offsets = 4 + np.append(0, np.cumsum(names + OBJECT_ID_BYTES))
    values = np.frombuffer(b"".join(head.ljust(_WORD, b"\x00") for head in heads), dtype="<u8")
    masks = np.uint64(0xFFFF_FFFF_FFFF_FFFF) >> (np.uint64(8) * (_WORD - names).astype(np.uint64))
    return offsets, values, masks, names


def every_byte(data: bytes, dtype: str) -> npt.NDArray[Any]:
    """Returns data as numbers, one beginning at every byte."""
    width = np.dtype(dtype).itemsize
    count = max(len(data) - width + 1, 0)
    return np.ndarray((count,), dtype=dtype, buffer=data, strides=(1,))
