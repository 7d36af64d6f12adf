"""Values of BSON where they stand in a reply of the server: many of them, as arrays of numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from migration_assets.validation import bson_reader as bson

Numbers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PADDING = bytes(256)
"""Stands after the last document, since names and values are looked for at its end, too."""
MISSING = 0
LENGTH = 4
"""Bytes of the length that a text, a document or an array begins with."""
_FIXED = {kind: size for kind, size in bson.FIXED_SIZES.items() if kind != bson.UNDEFINED}
_SIZED = {
    kind: bson.OVERHEADS[kind] for kind in (bson.STRING, bson.DOCUMENT, bson.ARRAY, bson.BINARY)
}
UNDERSTOOD = frozenset({*_FIXED, *_SIZED})
"""The types whose values can be stepped over."""


def among(kinds: Iterable[int]) -> Mask:
    """Tells of each BSON type whether it is one of some."""
    are_among = np.zeros(256, dtype=np.bool_)
    are_among[list(kinds)] = True
    return are_among


_BYTES = np.array([(_FIXED | _SIZED).get(kind, 0) for kind in range(256)])
_IS_UNDERSTOOD = among(UNDERSTOOD)
_HAS_LENGTH = among(_SIZED)
_LEAST = np.where(_HAS_LENGTH, 5, 0)
_ENDS_WITH_ZERO = among((bson.STRING, bson.DOCUMENT, bson.ARRAY))


@dataclass(frozen=True, slots=True)
class Places:
    """Where values stand.

    Attributes:
        kinds: Their BSON types, 0 where there is none.
        starts: Where each begins.
        ends: Where it ends.
    """

    kinds: npt.NDArray[np.uint8]
    starts: Numbers
    ends: Numbers

    def are_null(self) -> Mask:
        """Tells which values are missing or null."""
        are_null: Mask = (self.kinds == MISSING) | (self.kinds == bson.NULL)
        return are_null

    def of(self, numbers: Numbers | Mask) -> Places:
        """Returns where some of them stand."""
        return Places(self.kinds[numbers], self.starts[numbers], self.ends[numbers])

    def cut_out(self, data: bytes) -> list[tuple[int, bytes]]:
        """Returns the values by themselves, each with its type."""
        bounds = zip(self.kinds.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True)
        return [(kind, data[start:end]) for kind, start, end in bounds]


def at_each_byte(data: bytes, dtype: str) -> npt.NDArray[Any]:
    """Returns data as values, one beginning at every byte."""
    width = np.dtype(dtype).itemsize
    count = max(len(data) - width + 1, 0)
    return np.ndarray((count,), dtype=dtype, buffer=data, strides=(1,))


def are_named(data: bytes, name: bytes, positions: Numbers) -> Mask:
    """Tells at which positions a field has a name, given with the zero that it ends with."""
    # An S compares as if padded with zeros, so the zero at the end of the name has to be there.
    are_named: Mask = at_each_byte(data, f"S{len(name)}")[positions + 1] == name[:-1]
    return are_named


def places_after(
    data: bytes, positions: Numbers, name_size: int | Numbers, last: Numbers
) -> tuple[Places, Mask]:
    """Returns where the values of fields stand, and which of them are whole and can be stepped over.

    Args:
        data: The documents.
        positions: Where the fields begin.
        name_size: Bytes of their names, each with its zero.
        last: The last byte of the document of each.
    """
    kinds = at_each_byte(data, "u1")[positions]
    starts = positions + 1 + name_size
    lengths = np.where(_HAS_LENGTH[kinds], at_each_byte(data, "<i4")[starts], 0)
    ends = starts + _BYTES[kinds] + lengths
    fit = _IS_UNDERSTOOD[kinds] & (ends - starts >= _LEAST[kinds]) & (ends <= last)
    before = np.where(fit, ends - 1, 0)
    fit &= ~_ENDS_WITH_ZERO[kinds] | (at_each_byte(data, "u1")[before] == 0)
    return Places(kinds, starts, ends), fit
