"""Where the fields of many documents stand in their BSON, found for all of them together.

Most documents of a collection have the same fields in nearly the same order, so all whose next field has a
name step over it at once, in a few operations on whole arrays. A document that holds anything else than is
expected of it is left out: it is for the reader of single documents, which knows all of BSON. The format:
https://bsonspec.org/spec.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from migration_assets.validation import bson_reader as bson
from migration_assets.validation.documents import PADDING, Documents, Mask, Numbers, at_each_byte

_WIDEST = 16
"""Bytes of the widest value that is read at a place."""
MISSING = 0
_LENGTH = 4
"""Bytes of the length that a document or an array begins with."""
_OBJECT_ID = 12
"""Bytes of an ObjectId."""
_EMPTY_ARRAY = 5
_MOST_ELEMENTS = 1_000
"""Elements of the longest array of ObjectIds that is read together with others."""
_ELEMENTS_END = np.cumsum(
    [0, *(1 + len(str(number)) + 1 + _OBJECT_ID for number in range(_MOST_ELEMENTS))]
)
"""Bytes of so many elements, each with its type, its name and a zero."""
_FIXED = {kind: size for kind, size in bson.FIXED_SIZES.items() if kind != bson.UNDEFINED}
_SIZED = {
    kind: bson.OVERHEADS[kind] for kind in (bson.STRING, bson.DOCUMENT, bson.ARRAY, bson.BINARY)
}
UNDERSTOOD = frozenset({*_FIXED, *_SIZED})
"""The types whose values can be stepped over."""


def _by_kind(numbers: Mapping[int, int]) -> Numbers:
    number_by_kind = np.zeros(256, dtype=np.int64)
    number_by_kind[list(numbers)] = list(numbers.values())
    return number_by_kind


_BYTES = _by_kind(_FIXED | _SIZED)
_HAS_LENGTH = _by_kind(dict.fromkeys(_SIZED, 1)) == 1
_LEAST = _by_kind({bson.STRING: 5, bson.DOCUMENT: 5, bson.ARRAY: 5, bson.BINARY: 5})
_ENDS_WITH_ZERO = _by_kind(dict.fromkeys((bson.STRING, bson.DOCUMENT, bson.ARRAY), 1)) == 1


@dataclass(frozen=True, slots=True)
class Places:
    """Where the values of a field stand, one for each document.

    Attributes:
        kinds: Their BSON types, 0 where the document has none.
        starts: Where each begins.
        ends: Where it ends.
    """

    kinds: npt.NDArray[np.uint8]
    starts: Numbers
    ends: Numbers

    def are_null(self) -> Mask:
        """Tells of which documents the value is missing or null."""
        are_null: Mask = (self.kinds == MISSING) | (self.kinds == bson.NULL)
        return are_null


@dataclass(frozen=True, slots=True)
class Found:
    """Documents taken apart.

    Attributes:
        data: The documents that were given, and perhaps others; places are places in it.
        are_whole: Those that consist of expected fields, each once, and nothing else.
        fields: The fields by name.
    """

    data: bytes
    are_whole: Mask
    fields: Mapping[str, Places]


@dataclass(slots=True)
class FieldPlaces:
    """Finds the fields of the documents of one collection, and learns their order on the way.

    Attributes:
        kinds: The types that a value of each field may have.
    """

    kinds: Mapping[str, frozenset[int]]
    _allowed: Mapping[bytes, Mask] = field(init=False)
    _order: list[bytes] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._allowed = {
            name.encode() + b"\x00": _by_kind(dict.fromkeys(kinds & UNDERSTOOD, 1)) == 1
            for name, kinds in self.kinds.items()
        }

    def find(self, documents: Documents) -> Found:
        """Takes documents apart."""
        walk = _PlacesWalk(documents, self._allowed, self._order)
        walk.run()
        fields = {name: walk.fields[name.encode() + b"\x00"] for name in self.kinds}
        return Found(walk.data, walk.are_alive & (walk.position == walk.last), fields)


class _PlacesWalk:
    """Documents, each at its next field."""

    def __init__(
        self, documents: Documents, allowed: Mapping[bytes, Mask], order: list[bytes]
    ) -> None:
        assert max(map(len, allowed)) + _WIDEST <= len(PADDING)
        self.data = documents.data
        self.bytes = np.frombuffer(self.data, dtype=np.uint8)
        self.allowed, self.order = allowed, order
        self.last = documents.ends - 1
        self.position = documents.starts + _LENGTH
        self.are_alive = self.bytes[self.last] == 0
        self.fields = {name: _nowhere(len(documents)) for name in allowed}

    def run(self) -> None:
        waiting = self._waiting(np.arange(len(self.last)))
        while waiting.size:
            has_moved = False
            for name in tuple(self.order):
                rows = waiting[self._are_at(name, self.position[waiting])]
                if rows.size:
                    self._step(name, rows)
                    has_moved = True
            if not has_moved:
                self._learn(int(waiting[0]))
            waiting = self._waiting(waiting)

    def _waiting(self, rows: Numbers) -> Numbers:
        waiting: Numbers = rows[self.are_alive[rows] & (self.position[rows] < self.last[rows])]
        return waiting

    def _are_at(self, name: bytes, position: Numbers) -> Mask:
        """Tells which positions are those of a field of a name, its zero included."""
        # An S compares as if padded with zeros, so the zero at the end of the name has to be there.
        are_at: Mask = at_each_byte(self.data, f"S{len(name)}")[position + 1] == name[:-1]
        return are_at

    def _step(self, name: bytes, rows: Numbers) -> None:
        """Moves documents over a field; leaves those out that hold something else than is expected."""
        places = self.fields[name]
        kinds = self.bytes[self.position[rows]]
        starts = self.position[rows] + 1 + len(name)
        lengths = np.where(_HAS_LENGTH[kinds], at_each_byte(self.data, "<i4")[starts], 0)
        ends = starts + _BYTES[kinds] + lengths
        fit = self.allowed[name][kinds] & (places.kinds[rows] == MISSING)
        fit &= (ends - starts >= _LEAST[kinds]) & (ends <= self.last[rows])
        before = np.where(fit, ends - 1, 0)
        fit &= ~_ENDS_WITH_ZERO[kinds] | (self.bytes[before] == 0)
        self.are_alive[rows[~fit]] = False
        rows = rows[fit]
        places.kinds[rows], places.starts[rows], places.ends[rows] = (
            kinds[fit],
            starts[fit],
            ends[fit],
        )
        self.position[rows] = ends[fit]

    def _learn(self, row: int) -> None:
        """Learns from a document in which order fields come, as it is stepped over by itself.

        All that have come to a field with another name are left out.
        """
        passed = [
            n for n, field_name in enumerate(self.order) if self.fields[field_name].kinds[row]
        ]
        place = passed[-1] if passed else -1
        while self._waiting(np.array([row])).size:
            start = int(self.position[row]) + 1
            name = self.data[start : self.data.index(0, start) + 1]
            if name not in self.allowed:
                self.are_alive[row] = False
                if len(name) <= len(PADDING):  # others may have it, too
                    rows = self._waiting(np.arange(len(self.last)))
                    self.are_alive[rows[self._are_at(name, self.position[rows])]] = False
                return
            if name not in self.order:
                self.order.insert(place + 1, name)
            place = self.order.index(name)
            self._step(name, np.array([row]))


def _nowhere(count: int) -> Places:
    starts, ends = (np.zeros(count, dtype=np.int64) for _ in range(2))
    return Places(np.zeros(count, dtype=np.uint8), starts, ends)


def object_ids_in(data: bytes, places: Places, rows: Numbers) -> tuple[Numbers, Numbers]:
    """Returns how many ObjectIds some arrays hold, and where they begin, one array after the other.

    Args:
        data: The documents.
        places: Where the values of a field stand.
        rows: Which of them, all of them arrays.

    Returns:
        -1 for an array that holds anything else, or very many: its document is for the ``judge``.
    """
    starts, sizes = places.starts[rows], (places.ends - places.starts)[rows]
    counts = np.minimum(np.searchsorted(_ELEMENTS_END, sizes - _EMPTY_ARRAY), _MOST_ELEMENTS)
    fit = sizes == _EMPTY_ARRAY + _ELEMENTS_END[counts]
    for number in range(int(counts[fit].max(initial=0))):
        head = b"%c%d" % (bson.OBJECT_ID, number)
        have = np.flatnonzero(fit & (counts > number))
        at = starts[have] + _LENGTH + _ELEMENTS_END[number]
        fit[have] = at_each_byte(data, f"S{len(head) + 1}")[at] == head
    lengths = counts[fit]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    elements = np.repeat(starts[fit] + _LENGTH, lengths) + _ELEMENTS_END[within + 1] - _OBJECT_ID
    return np.where(fit, counts, -1), elements
