"""Where the fields of a batch of documents stand in its BSON, found for all documents at once.

Most documents of a collection have the same fields in nearly the same order. So the walk is by field: all
documents whose next field has a name step over it together, in a few operations on whole arrays. Nothing is
decoded on the way; the type of every value is known from its own byte, so nothing can be taken for what it is
not. What cannot be read this way raises :class:`UnreadableError`. The format: https://bsonspec.org/spec.html.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from migration_assets.arrow import Mask
from migration_assets.source.connection import Document
from migration_assets.source.elements import (
    FIXED,
    SIZED,
    BsonType,
    elements,
)
from migration_assets.source.fields import Field, Rows, UnreadableError, decoded_whole, every_byte
from migration_assets.source.reading import document_bounds

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
        self._words = every_byte(self.data, "<u8")
        self._lengths = every_byte(self.data, "<i4")
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

    def _note(
        self, name: bytes, kind: int, rows: Rows | int, starts: Rows | int, ends: Rows | int
    ) -> None:
        if name not in self.wanted:
            self.strangers[rows] = True
            return
        if name not in self.fields:
            self.fields[name] = self.new_field()
        places = self.fields[name]
        _demand(places.kinds[rows] == 0)
        places.kinds[rows], places.starts[rows], places.ends[rows] = kind, starts, ends

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
        for other in self.fields.values():
            other.kinds[row] = BsonType.NONE
        last = int(self.last[row])
        position = int(self.starts[row]) + 4
        names: set[bytes] = set()
        for kind, name, start, end in _fields_of(self.data, int(self.starts[row])):
            if name in names or end > last:
                raise UnreadableError
            names.add(name)
            position = end
            self._note(name, kind, row, start, end)
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
        numbers = (int.from_bytes(text, "little") for text in (part, mask))
        return cls(*map(np.uint64, numbers))


@lru_cache(maxsize=4 * _LEARNED)
def _words_of(name: bytes) -> list[_Word]:
    """Returns the words that a field begins with: a byte for its type, its name and a zero."""
    whole = b"\x00" + name + b"\x00"
    parts = [whole[start : start + _WORD] for start in range(0, len(whole), _WORD)]
    return [_Word.of(part, skip=number == 0) for number, part in enumerate(parts)]
