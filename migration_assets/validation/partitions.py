"""Pairs in parts, few enough to compare at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from migration_assets.arrow import of_width
from migration_assets.validation.documents import Numbers
from migration_assets.validation.plain_pairs import PAIR_DTYPE, PAIR_SIZE, PairBytes

COMPARED_AT_ONCE = 25_000
"""Pairs that are compared at once: to hold one takes 32 bytes, to compare it some 700."""


def joined(pairs: Iterable[bytes]) -> PairBytes:
    """Returns pairs given as 32 bytes each."""
    return np.frombuffer(b"".join(pairs), dtype=PAIR_DTYPE)


def partitions(blocks: Sequence[PairBytes]) -> Iterator[list[pl.DataFrame]]:
    """Yields pairs in parts, few enough to compare at once; the id on the left decides where one belongs.

    What decides are 14 bits of the UUID that differ for ObjectIds made one after the other (their counter,
    section 4) as well as for hashes.
    """
    parts = 1 + max(map(len, blocks)) // COMPARED_AT_ONCE
    numbers = [_numbers(pairs) % parts for pairs in blocks]
    orders = [np.argsort(each, kind="stable") for each in numbers]
    ends = [np.cumsum(np.bincount(each, minlength=parts)) for each in numbers]
    for part in range(parts):
        yield [
            _frame(pairs, order[each[part - 1] if part else 0 : each[part]])
            for pairs, order, each in zip(blocks, orders, ends, strict=True)
        ]


def _numbers(pairs: PairBytes) -> npt.NDArray[np.int16]:
    """Returns the 14 bits of each pair."""
    data = pairs.view(np.uint8).reshape(-1, PAIR_SIZE)
    high, low = (data[:, at].astype(np.int16) for at in (13, 14))
    numbers: npt.NDArray[np.int16] = high * np.int16(64) + low // np.int16(4)
    return numbers


def _frame(pairs: PairBytes, chosen: Numbers) -> pl.DataFrame:
    """Returns some of the pairs as a frame."""
    return of_width(pairs[chosen].tobytes(), PAIR_SIZE).to_frame("pair")
