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

from migration_assets.validation import bson_reader as bson
from migration_assets.validation.documents import Documents
from migration_assets.validation.many_ids import IDENTIFIERS, IS_ID
from migration_assets.validation.placed_values import (
    LENGTH,
    MISSING,
    PADDING,
    UNDERSTOOD,
    Mask,
    Numbers,
    Places,
    among,
    are_named,
    at_each_byte,
    places_after,
)

_WIDEST = 16
"""Bytes of the widest value that is read at a place."""
_MOST_NAMES = 1_000
_NAMES = [b"%d\0" % number for number in range(_MOST_NAMES)]
"""The names of the elements of an array, each with its zero."""
_NAME_SIZES = np.array([*map(len, _NAMES)])
_HEADS_END = np.cumsum([0, *(_NAME_SIZES + 1)])
"""Bytes of the types and names of so many elements."""
_NAME_WORDS = np.array([int.from_bytes(name, "little") for name in _NAMES], dtype=np.uint64)
_NAME_MASKS = np.array([(1 << 8 * len(name)) - 1 for name in _NAMES], dtype=np.uint64)


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
            name.encode() + b"\x00": among(kinds & UNDERSTOOD) for name, kinds in self.kinds.items()
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
        self.position = documents.starts + LENGTH
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
        return are_named(self.data, name, position)

    def _step(self, name: bytes, rows: Numbers) -> None:
        """Moves documents over a field; leaves those out that hold something else than is expected."""
        places = self.fields[name]
        found, fit = places_after(self.data, self.position[rows], len(name), self.last[rows])
        fit &= self.allowed[name][found.kinds] & (places.kinds[rows] == MISSING)
        self.are_alive[rows[~fit]] = False
        rows, found = rows[fit], found.of(fit)
        places.kinds[rows], places.starts[rows], places.ends[rows] = (
            found.kinds,
            found.starts,
            found.ends,
        )
        self.position[rows] = found.ends

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


def elements_in(data: bytes, arrays: Places) -> tuple[Numbers, Places]:
    """Returns how many ids some arrays hold, and where these stand, one array after the other.

    Args:
        data: The documents.
        arrays: Where the arrays stand.

    Returns:
        -1 for an array that holds anything else: its document is for the ``judge``.
    """
    counts, elements = _elements_alike(data, arrays)
    others = np.flatnonzero(counts < 0)
    if not others.size:
        return counts, elements
    holders = [np.repeat(np.arange(len(counts)), np.maximum(counts, 0))]
    parts = [elements]
    for array in others.tolist():
        ids = _ids_in(data, int(arrays.starts[array]))
        if ids is not None:
            counts[array] = len(ids)
            holders.append(np.full(len(ids), array))
            parts.append(Places(*(np.array(numbers) for numbers in zip(*ids, strict=True))))
    in_order = np.argsort(np.concatenate(holders), kind="stable")
    kinds = np.concatenate([part.kinds for part in parts])
    starts = np.concatenate([part.starts for part in parts])
    ends = np.concatenate([part.ends for part in parts])
    return counts, Places(kinds, starts, ends).of(in_order)


def _elements_alike(data: bytes, arrays: Places) -> tuple[Numbers, Places]:
    """Returns the same, and -1 also for arrays whose ids are not all of one type and size, or very many."""
    begin, last = arrays.starts + LENGTH, arrays.ends - 1
    firsts, are_alike = places_after(data, begin, len(_NAMES[0]), last)
    are_alike &= IS_ID[firsts.kinds]
    sizes = np.where(are_alike, firsts.ends - firsts.starts, 0)
    counts = np.full(len(begin), -1)
    low = 0
    for digits in range(1, len(_NAMES[-1])):
        # As long as names have so many digits, all elements with their types and names have one size.
        size = sizes + digits + 2
        more, rest = np.divmod(last - begin - _HEADS_END[low] - low * sizes, size)
        fit = are_alike & (rest == 0) & (more > 0) & (low + more <= 10**digits)
        counts[fit] = low + more[fit]
        low = 10**digits
    counts[begin == last] = 0
    lengths = np.maximum(counts, 0)
    holders = np.repeat(np.arange(len(counts)), lengths)
    numbers = np.arange(len(holders)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    positions = begin[holders] + _HEADS_END[numbers] + numbers * sizes[holders]
    elements, fit = places_after(data, positions, _NAME_SIZES[numbers], last[holders])
    words = at_each_byte(data, "<u8")[positions + 1]
    fit &= (words & _NAME_MASKS[numbers]) == _NAME_WORDS[numbers]
    fit &= elements.kinds == firsts.kinds[holders]
    fit &= elements.ends - elements.starts == sizes[holders]
    if not fit.all():
        counts[holders[~fit]] = -1
        elements = elements.of(counts[holders] >= 0)
    return counts, elements


def _ids_in(data: bytes, begin: int) -> list[tuple[int, int, int]] | None:
    """Returns type, start and end of each id in an array; None where it holds anything else."""
    ids = []
    try:
        for number, (kind, name, start, end) in enumerate(bson.spans(data, begin)):
            if kind not in IDENTIFIERS or name != b"%d" % number:
                return None
            ids.append((kind, start, end))
    except bson.UnreadableBsonError:
        return None
    return ids
