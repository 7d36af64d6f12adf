"""A set of UUIDs, of which millions are held and thousands are looked up at once."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

_Keys = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
"""UUIDs as two numbers each: the first eight bytes, and all bytes mixed."""

_MIXER = 0x9E37_79B9_7F4A_7C15
"""Odd, so that UUIDs that share a half differ in what is mixed of both (2^64 by the golden ratio)."""

_ALL_BITS = (1 << 64) - 1
_VERSION_7 = 7
_HALVES_OF_ONE = struct.Struct(">QQ")


class UuidSet:
    """A set of UUIDs, 16 bytes each in memory, that tells of many at once whether it has them."""

    def __init__(self, uuids: bytes = b"") -> None:
        """Takes UUIDs, 16 bytes each, one after the other, none of them twice."""
        high, mixed = _keys(uuids)
        order = np.argsort(mixed)
        self._mixed = mixed[order]
        del mixed  # there may be millions of them
        self._high = high[order]
        # Only by chance are two mixed to the same.
        self._longest = 1
        while (self._mixed[self._longest :] == self._mixed[: -self._longest]).any():
            self._longest += 1
        self.are_of_object_ids = bool(
            (((self._high >> np.uint64(12)) & np.uint64(0xF)) == _VERSION_7).all()
        )

    def __len__(self) -> int:
        return len(self._mixed)

    def __contains__(self, uuid_bytes: object) -> bool:
        if not isinstance(uuid_bytes, bytes) or len(uuid_bytes) != _HALVES_OF_ONE.size:
            return False
        high, low = _HALVES_OF_ONE.unpack(uuid_bytes)
        mixed = (high * _MIXER & _ALL_BITS) ^ low
        at = int(self._mixed.searchsorted(np.uint64(mixed)))
        while at < len(self) and self._mixed.item(at) == mixed:
            if self._high.item(at) == high:
                return True
            at += 1
        return False

    def contain_each(self, uuids: bytes) -> npt.NDArray[np.bool_]:
        """Tells of UUIDs, 16 bytes each, one after the other, which the set has."""
        high, mixed = _keys(uuids)
        found = np.zeros(len(high), dtype=np.bool_)
        if not len(self):
            return found
        at = np.searchsorted(self._mixed, mixed)
        for _ in range(self._longest):
            here = np.minimum(at, len(self) - 1)
            found |= (self._mixed[here] == mixed) & (self._high[here] == high)
            at += 1
        return found


def _keys(uuids: bytes) -> _Keys:
    halves = np.frombuffer(uuids, dtype=">u8").reshape(-1, 2)
    high = halves[:, 0].astype(np.uint64)
    return high, high * np.uint64(_MIXER) ^ halves[:, 1]
