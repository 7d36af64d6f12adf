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

from migration_assets.validation.documents import Documents
from migration_assets.validation.many_ids import IDENTIFIERS
from migration_assets.validation.placed_values import (
    LENGTH,
    MISSING,
    PADDING,
    UNDERSTOOD,
    Mask,
    Numbers,
    Places,
    are_named,
    by_kind,
    places_after,
)

_WIDEST = 16
"""Bytes of the widest value that is read at a place."""
_MOST_ELEMENTS = 1_000
"""Elements of the longest array that is taken apart together with others."""
_IS_ID = by_kind(dict.fromkeys(IDENTIFIERS, 1)) == 1


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
            name.encode() + b"\x00": by_kind(dict.fromkeys(kinds & UNDERSTOOD, 1)) == 1
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
        -1 for an array that holds anything else, or very many: its document is for the ``judge``.
    """
    counts = np.zeros(len(arrays.starts), dtype=np.int64)
    position, last = arrays.starts + LENGTH, arrays.ends - 1
    rows = np.flatnonzero(position < last)
    found: list[tuple[Numbers, Places]] = []
    for number in range(_MOST_ELEMENTS):
        if not rows.size:
            break
        name = b"%d\0" % number
        elements, fit = places_after(data, position[rows], len(name), last[rows])
        fit &= _IS_ID[elements.kinds] & are_named(data, name, position[rows])
        if not fit.all():
            counts[rows[~fit]] = -1
            rows, elements = rows[fit], elements.of(fit)
        found.append((rows, elements))
        counts[rows] += 1
        position[rows] = elements.ends
        rows = rows[position[rows] < last[rows]]
    counts[rows] = -1
    holders = np.concatenate([rows for rows, _ in found] or [rows])
    in_order = np.argsort(holders, kind="stable")
    in_order = in_order[counts[holders[in_order]] >= 0]
    kinds, starts, ends = (
        np.concatenate([getattr(elements, name) for _, elements in found] or [rows])[in_order]
        for name in ("kinds", "starts", "ends")
    )
    return counts, Places(kinds, starts, ends)
