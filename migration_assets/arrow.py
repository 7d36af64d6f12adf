"""Columns of parts of a buffer, handed to polars as Arrow has them, without a Python object for each."""

from __future__ import annotations

import nanoarrow
import numpy as np
import numpy.typing as npt
import polars as pl

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def slices(data: bytes, starts: Places, ends: Places) -> pl.Series:
    """Returns parts of data, in the order in which they stand in it, as binary values, without copying them.

    In Arrow's arrays a value follows the other at once. So what stands between two parts is a value too at
    first, and left out again.

    Raises:
        ValueError: A part begins before the last one ends, or ends after the data.
    """
    if not len(starts):
        return pl.Series(dtype=pl.Binary)
    bounds = np.empty(2 * len(starts), dtype="<i8")
    bounds[0::2], bounds[1::2] = starts, ends
    if bounds[0] < 0 or bounds[-1] > len(data) or (np.diff(bounds) < 0).any():
        raise ValueError("the parts overlap or stand outside of the data")
    buffers = [None, bounds, data]
    array = nanoarrow.c_array_from_buffers(nanoarrow.large_binary(), len(bounds) - 1, buffers)
    return pl.Series(array).gather_every(2)


def hex_digits(values: bytes, width: int, places: Mask | None = None) -> pl.Series:
    """Returns values of the same width as hex digits.

    Args:
        values: The values, one after the other.
        width: Bytes of each.
        places: Where among empty texts they belong; None where there are no others.
    """
    digits = values.hex().encode()
    are_there = np.ones(len(values) // width, dtype=np.bool_) if places is None else places
    lengths = np.where(are_there, 2 * width, 0)
    ends = np.cumsum(lengths)
    return slices(digits, ends - lengths, ends).cast(pl.String)
