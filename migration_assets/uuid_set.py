"""A set of UUIDs, of which millions are held and thousands are looked up at once."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

_Halves = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
"""UUIDs as two numbers each, the first eight bytes and the last."""

_VERSION_7 = 7
_HALVES_OF_ONE = struct.Struct(">QQ")


class UuidSet:
    """A set of UUIDs, 16 bytes each in memory, that tells of many at once whether it has them."""

    def __init__(self, uuids: bytes = b"") -> None:
        """Takes UUIDs, 16 bytes each, one after the other, none of them twice."""
        high, low = _halves(uuids)
        order = np.argsort(low)
        self._low = low[order]
        del low  # there may be millions of them
        self._high = high[order]
        # Few have the same low half: two ObjectIds that differ in their seconds alone.
        self._longest = 1
        while (self._low[self._longest :] == self._low[: -self._longest]).any():
            self._longest += 1
        self.are_of_object_ids = bool(
            (((self._high >> np.uint64(12)) & np.uint64(0xF)) == _VERSION_7).all()
        )

    def __len__(self) -> int:
        return len(self._low)

    def __contains__(self, uuid_bytes: object) -> bool:
        if not isinstance(uuid_bytes, bytes) or len(uuid_bytes) != _HALVES_OF_ONE.size:
            return False
        high, low = _HALVES_OF_ONE.unpack(uuid_bytes)
        at = int(self._low.searchsorted(np.uint64(low)))
        while at < len(self) and self._low.item(at) == low:
            if self._high.item(at) == high:
                return True
            at += 1
        return False

    def contain_each(self, uuids: bytes) -> npt.NDArray[np.bool_]:
        """Tells of UUIDs, 16 bytes each, one after the other, which the set has."""
        high, low = _halves(uuids)
        found = np.zeros(len(low), dtype=np.bool_)
        if not len(self):
            return found
        at = np.searchsorted(self._low, low)
        for _ in range(self._longest):
            here = np.minimum(at, len(self) - 1)
            found |= (self._low[here] == low) & (self._high[here] == high)
            at += 1
        return found


def _halves(uuids: bytes) -> _Halves:
    each = np.frombuffer(uuids, dtype=">u8").reshape(-1, 2)
    return each[:, 0].astype(np.uint64), each[:, 1].astype(np.uint64)
