"""Where the fields of a batch of documents stand in its BSON, found for all documents at once.

Most documents of a collection have the same fields in nearly the same order. So the walk is by field: all
documents whose next field has a name step over it together, in a few operations on whole arrays. Nothing is
decoded on the way; the type of every value is known from its own byte, so nothing can be taken for what it is
not. What cannot be read this way raises :class:`UnreadableError`. The format: https://bsonspec.org/spec.html.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import bson
import numpy as np
import numpy.typing as npt
import polars as pl
from bson.errors import BSONError

from migration_assets.arrow import Mask, slices
from migration_assets.identity import OBJECT_ID_BYTES
from migration_assets.source.connection import CODEC, Document
from migration_assets.source.elements import FIXED, SIZED, BsonType, are_whole, elements, hidden
from migration_assets.source.reading import document_bounds, split

Rows = npt.NDArray[np.int64]

_PADDING = bytes(16)
"""Lets the last bytes of a batch be read as whole words."""
_WORD = 8
_NO_NAME = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""What a document that is through has in the place of its next field: no name is learned that is not UTF-8.

Whether a document is through is for its position to say: the bytes of a field may be these, too."""
_LEARNED = 1_000
"""Names of fields that are looked for in all documents at once; further ones document by document."""
_LOOKED_FOR = 5 * _LEARNED
"""How often a name is looked for in a batch, where names are many or in ever other orders: about 50 ms."""

_BYTES: Mapping[int, int] = {**FIXED, **SIZED}
"""Bytes of a value of a type, without the length that it begins with."""
_ENDS_WITH_ZERO = frozenset(
    {BsonType.STRING, BsonType.CODE, BsonType.SYMBOL, BsonType.DOCUMENT, BsonType.ARRAY}
)
_SHORTEST = 5
"""Bytes of an empty string, document or array."""
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
        found: Mask = self.kinds == kinds[0]
        for kind in kinds[1:]:
            found |= self.kinds == kind
        return found

    def are_missing(self) -> Mask:
        """Tells of which documents the value is missing or null."""
        return self.are(BsonType.NONE, BsonType.NULL, BsonType.UNDEFINED)

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
        return _every_byte(self.data, dtype)[self.starts[rows]].astype(np.int64)

    def object_ids(self, rows: Rows) -> bytes:
        """Returns the ObjectIds of some documents, 12 bytes each."""
        return _every_byte(self.data, "V12")[self.starts[rows]].tobytes()

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
        are_ids = (_every_byte(self.data, "<u8")[places] & masks[numbers]) == heads[numbers]
        fit = np.ones(len(rows), dtype=np.bool_)
        fit[holders[~are_ids]] = False
        are_plain = np.zeros(len(self), dtype=np.bool_)
        are_plain[rows] = fit
        counted = np.zeros(len(self), dtype=np.int64)
        counted[rows[fit]] = lengths[fit]
        within = fit[holders]
        places = (places + names[numbers])[within]
        return ObjectIdArrays(are_plain, counted, _every_byte(self.data, "V12")[places].tobytes())

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
        found = zip(
            *(each[chosen].tolist() for each in (self.kinds, self.starts, self.ends)), strict=True
        )
        # One document for all of them, each under its number: the driver takes it apart at once.
        fields = b"".join(
            b"%c%d\x00%b" % (kind or BsonType.NULL, number, self.data[start:end])
            for number, (kind, start, end) in enumerate(found)
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
        each = zip(self.kinds.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True)
        which = np.array(
            [
                numbers.setdefault((kind, self.data[start:end]), len(numbers))
                for kind, start, end in each
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents taken apart.

    Attributes:
        data: The documents as BSON, one after the other, and some bytes more.
        starts: Where each begins.
        ends: Where each ends.
        fields: The fields that were asked for.
        strangers: The documents that have other fields.
    """

    data: bytes
    starts: Rows
    ends: Rows
    fields: Mapping[str, Field]
    strangers: Sequence[int]

    def __len__(self) -> int:
        return len(self.starts)

    def bson_of(self, row: int) -> bytes:
        """Returns a document as BSON."""
        return self.data[self.starts[row] : self.ends[row]]

    def document(self, row: int) -> Document:
        """Returns a document as pymongo decodes it.

        Raises:
            UnreadableError: It is not valid BSON, or the driver would hide something of it.
        """
        return decoded_whole(self.bson_of(row))[0]


@dataclass(slots=True)
class FieldFinder:
    """Takes the batches of a collection apart, and learns the names of its fields on the way.

    Attributes:
        wanted: The fields to find.
    """

    wanted: Collection[str]
    _names: list[bytes] = field(default_factory=list)

    def find(self, data: bytes) -> Batch:
        """Takes documents, given as BSON one after the other, apart.

        Raises:
            UnreadableError: One of them is not valid BSON, or has a field twice.
        """
        walk = _Walk(data, self.wanted, self._names)
        walk.run()
        empty = walk.new_field()
        fields = {name: walk.fields.get(name.encode(), empty) for name in self.wanted}
        strangers = np.flatnonzero(walk.strangers).tolist()
        return Batch(walk.data, walk.starts, walk.last + 1, fields, strangers)


class _Walk:
    """All documents of a batch, each at its next field."""

    def __init__(self, data: bytes, wanted: Collection[str], names: list[bytes]) -> None:
        bounds = np.array(document_bounds(data), dtype=np.int64)
        self.starts = bounds[:-1]
        self.data = data + _PADDING
        self.wanted = frozenset(name.encode() for name in wanted)
        self.names = names
        self.fields: dict[bytes, Field] = {}
        self.strangers = np.zeros(len(self.starts), dtype=np.bool_)
        self.last = bounds[1:] - 1
        self._words = _every_byte(self.data, "<u8")
        self._lengths = _every_byte(self.data, "<i4")
        self._bytes = np.frombuffer(self.data, dtype=np.uint8)
        self._position = self.starts + 4
        self._next = self._words[self._position]
        self._move(np.arange(len(self.starts)), self._position)

    def new_field(self) -> Field:
        count = len(self.starts)
        places = (np.zeros(count, dtype=np.int64) for _ in range(2))
        return Field(self.data, np.zeros(count, dtype=np.uint8), *places)

    def run(self) -> None:
        waiting = np.flatnonzero(self._position != self.last)
        looked_for = 0
        while waiting.size:
            has_moved = False
            for name in tuple(self.names) if looked_for < _LOOKED_FOR else ():
                looked_for += 1
                at_name = self._at(name, waiting)
                if at_name.size:
                    self._step(name, at_name)
                    has_moved = True
            if not has_moved and not self._learn(int(waiting[0])):
                for row in waiting.tolist():
                    self._alone(row)
            waiting = waiting[self._position[waiting] != self.last[waiting]]

    def _at(self, name: bytes, waiting: Rows) -> Rows:
        """Returns those of the waiting documents whose next field has a name."""
        first, *others = _words_of(name)
        rows: Rows = waiting[(self._next[waiting] & first.mask) == first.value]
        for number, word in enumerate(others, start=1):
            words = self._words[self._position[rows] + number * _WORD]
            rows = rows[(words & word.mask) == word.value]
        return rows

    def _step(self, name: bytes, rows: Rows) -> None:
        """Moves documents over a field."""
        kinds = self._next[rows].astype(np.uint8)
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            self._step_over(name, kind, rows[kinds == kind])

    def _step_over(self, name: bytes, kind: int, rows: Rows) -> None:
        """Moves documents over a field of a type."""
        if kind not in _BYTES:
            for row in rows.tolist():
                self._alone(row)
            return
        starts = self._position[rows] + (len(name) + 2)
        last = self.last[rows]
        _demand(starts <= last)
        ends = starts + _BYTES[kind]
        if kind in SIZED:
            lengths = self._lengths[starts]
            _demand(lengths >= 0)
            ends += lengths
        _demand(ends <= last)
        if kind in _ENDS_WITH_ZERO:
            _demand(ends - starts >= _SHORTEST)
            _demand(self._bytes[ends - 1] == 0)
        if kind == BsonType.BOOLEAN:
            _demand(self._bytes[starts] <= 1)
        self._note(name, kind, rows, starts, ends)
        self._move(rows, ends)

    def _note(self, name: bytes, kind: int, rows: Rows, starts: Rows, ends: Rows) -> None:
        if name not in self.wanted:
            self.strangers[rows] = True
            return
        if name not in self.fields:
            self.fields[name] = self.new_field()
        found = self.fields[name]
        _demand(found.kinds[rows] == 0)
        found.kinds[rows], found.starts[rows], found.ends[rows] = kind, starts, ends

    def _move(self, rows: Rows, position: Rows) -> None:
        self._position[rows] = position
        words = self._words[position]
        are_through = position == self.last[rows]
        _demand(are_through == ((words & np.uint64(0xFF)) == 0))
        words[are_through] = _NO_NAME
        self._next[rows] = words

    def _learn(self, row: int) -> bool:
        """Learns the names of a document's next fields; tells whether there was room for one."""
        place, known = 0, set(self.names)
        count = len(known)
        for _, name, at, _ in _fields_of(self.data, int(self.starts[row])):
            if name in known:
                place = self.names.index(name) + 1
            elif at > self._position[row] and len(self.names) < _LEARNED:
                self.names.insert(place, name)
                known.add(name)
                place += 1
        return len(self.names) > count

    def _alone(self, row: int) -> None:
        """Takes one document apart by itself."""
        for found in self.fields.values():
            found.kinds[row] = BsonType.NONE
        last = int(self.last[row])
        position = int(self.starts[row]) + 4
        names: set[bytes] = set()
        for kind, name, start, end in _fields_of(self.data, int(self.starts[row])):
            if name in names or end > last:
                raise UnreadableError
            names.add(name)
            position = end
            if name not in self.wanted:
                self.strangers[row] = True
                continue
            if name not in self.fields:
                self.fields[name] = self.new_field()
            found = self.fields[name]
            found.kinds[row], found.starts[row], found.ends[row] = kind, start, end
        if position != last:
            raise UnreadableError
        self._position[row] = last
        self._next[row] = _NO_NAME


def _fields_of(data: bytes, start: int) -> Iterator[tuple[int, bytes, int, int]]:
    try:
        for kind, name, at, end in elements(data, start):
            name.decode()
            yield kind, name, at, end
    except (IndexError, KeyError, ValueError) as error:
        raise UnreadableError from error


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


def _demand(is_so: Mask) -> None:
    if not is_so.all():
        raise UnreadableError


@dataclass(frozen=True, slots=True)
class _Word:
    """Eight bytes or fewer as a little-endian number, and the mask of those that count."""

    value: np.uint64
    mask: np.uint64

    @classmethod
    def of(cls, part: bytes, *, skip: int = 0) -> _Word:
        mask = bytes(skip) + b"\xff" * (len(part) - skip)
        numbers = (int.from_bytes(each, "little") for each in (part, mask))
        return cls(*map(np.uint64, numbers))


@lru_cache(maxsize=4 * _LEARNED)
def _words_of(name: bytes) -> list[_Word]:
    """Returns the words that a field begins with: a byte for its type, its name and a zero."""
    whole = b"\x00" + name + b"\x00"
    parts = [whole[start : start + _WORD] for start in range(0, len(whole), _WORD)]
    return [_Word.of(part, skip=number == 0) for number, part in enumerate(parts)]


def _every_byte(data: bytes, dtype: str) -> npt.NDArray[Any]:
    """Returns data as numbers, one beginning at every byte."""
    width = np.dtype(dtype).itemsize
    count = max(len(data) - width + 1, 0)
    return np.ndarray((count,), dtype=dtype, buffer=data, strides=(1,))
