"""Pairs in parts, few enough to compare at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from migration_assets.arrow import of_width
from migration_assets.validation.placed_values import Numbers
from migration_assets.validation.plain_pairs import PAIR_DTYPE, PAIR_SIZE, PairBytes

COMPARED_AT_ONCE = 25_000
"""Pairs that are compared at once: to hold one takes 32 bytes, to compare it some 700."""

_FACTORS = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93]
)
"""Odd numbers without a pattern, one for each 8 bytes of a pair."""


def joined(pairs: Iterable[bytes]) -> PairBytes:
    """Returns pairs given as 32 bytes each."""
    return np.frombuffer(b"".join(pairs), dtype=PAIR_DTYPE)


def partitions(blocks: Sequence[PairBytes]) -> Iterator[list[pl.DataFrame]]:
    """Yields pairs in parts, few enough to compare at once; a hash of both ids decides where one belongs."""
    parts = 1 + max(map(len, blocks)) // COMPARED_AT_ONCE
    numbers = [_hashes(pairs) % parts for pairs in blocks]
    orders = [np.argsort(numbers_of_block, kind="stable") for numbers_of_block in numbers]
    ends = [
        np.cumsum(np.bincount(numbers_of_block, minlength=parts)) for numbers_of_block in numbers
    ]
    for part in range(parts):
        yield [
            _frame(pairs, order[ends_of_block[part - 1] if part else 0 : ends_of_block[part]])
            for pairs, order, ends_of_block in zip(blocks, orders, ends, strict=True)
        ]


def _hashes(pairs: PairBytes) -> npt.NDArray[np.uint16]:
    """Returns a hash of each pair."""
    words = pairs.view(np.uint64).reshape(-1, len(_FACTORS))
    hashes: npt.NDArray[np.uint16] = (words @ _FACTORS >> np.uint64(48)).astype(np.uint16)
    return hashes


def _frame(pairs: PairBytes, chosen: Numbers) -> pl.DataFrame:
    """Returns some of the pairs as a frame."""
    return of_width(pairs[chosen].tobytes(), PAIR_SIZE).to_frame("pair")
