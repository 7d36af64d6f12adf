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
    are_values = np.arange(len(bounds) - 1) % 2 == 0
    return divided(data, bounds).filter(pl.Series(are_values))


def divided(data: bytes, bounds: Places, are_null: Mask | None = None) -> pl.Series:
    """Returns data, divided into binary values that follow one another, without copying it.

    Args:
        data: The values.
        bounds: Where the first begins, and where each ends.
        are_null: Which of them are NULL, whatever stands there; None where none is.

    Raises:
        ValueError: A value ends before it begins, or after the data.
    """
    if len(bounds) == 1:
        return pl.Series(dtype=pl.Binary)
    if bounds[0] < 0 or bounds[-1] > len(data) or (np.diff(bounds) < 0).any():
        raise ValueError("the parts overlap or stand outside of the data")
    are_values = None if are_null is None else np.packbits(~are_null, bitorder="little")
    buffers = [are_values, bounds.astype("<i8", copy=False), data]
    array = nanoarrow.c_array_from_buffers(nanoarrow.large_binary(), len(bounds) - 1, buffers)
    return pl.Series(array)


def of_width(data: bytes, width: int, are_null: Mask | None = None) -> pl.Series:
    """Returns data, divided into binary values of so many bytes each, NULL in some places."""
    return divided(data, np.arange(0, len(data) + 1, width), are_null)


def null_where(series: pl.Series, are_null: Mask) -> pl.Series:
    """Returns a column with NULL in some of its places."""
    if not are_null.any():
        return series
    return series.zip_with(pl.Series(~are_null), pl.Series([None], dtype=series.dtype))
