"""UUIDs of many ObjectIds at once, as PostgreSQL writes them (section 4)."""

from __future__ import annotations

import numpy as np
import polars as pl

from migration_assets.arrow import of_width

OBJECT_ID_SIZE = 12
UUID_SIZE = 16
_TEXT_SIZE = 36
_DIGITS = [at for at in range(_TEXT_SIZE) if at not in (8, 13, 18, 23)]
"""Where the digits of a UUID stand, between the dashes."""


def uuids_of(object_ids: bytes) -> bytes:
    """Returns the UUIDs of ObjectIds, both one after the other."""
    words = np.frombuffer(object_ids, dtype=[("seconds", ">u4"), ("rest", ">u8")])
    seconds, rest = words["seconds"].astype(np.uint64), words["rest"].astype(np.uint64)
    found = np.empty((len(words), 2), dtype=">u8")
    found[:, 0] = seconds * np.uint64(1000) << np.uint64(16)
    found[:, 0] |= np.uint64(7 << 12) | rest >> np.uint64(52)
    found[:, 1] = np.uint64(1 << 63) | (rest & np.uint64((1 << 52) - 1)) << np.uint64(10)
    return found.tobytes()


def uuid_texts(uuids: bytes) -> pl.Series:
    """Returns UUIDs, 16 bytes each, as PostgreSQL writes them."""
    count = len(uuids) // UUID_SIZE
    texts = np.full((count, _TEXT_SIZE), ord("-"), dtype=np.uint8)
    texts[:, _DIGITS] = np.frombuffer(uuids.hex().encode(), dtype=np.uint8).reshape(
        count, 2 * UUID_SIZE
    )
    return of_width(texts.tobytes(), _TEXT_SIZE).cast(pl.String)


def hex_texts(object_ids: bytes) -> pl.Series:
    """Returns ObjectIds, 12 bytes each, as 24 hex digits."""
    return of_width(object_ids.hex().encode(), 2 * OBJECT_ID_SIZE).cast(pl.String)
