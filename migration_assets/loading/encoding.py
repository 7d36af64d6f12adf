"""Frames in the binary format of PostgreSQL's COPY: rows of cells, each with its length, -1 for NULL.

The server takes the bytes of a cell for a value of its column's type, whatever they were meant to be. So
every column is encoded as the type that its table declares, and a number that does not fit into it is an
error here. Formats: https://www.postgresql.org/docs/current/sql-copy.html, and the ``recv`` functions of
the types.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.arrow import Mask, divided, null_where, of_width

_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_LENGTH = np.dtype(">i4")
_EPOCH = 946_684_800_000
"""2000-01-01, from which PostgreSQL counts, in milliseconds since 1970."""
_JSONB_VERSION = pl.Series([b"\x01"], dtype=pl.Binary)
_OIDS: Mapping[type, int] = {pg.UUID: 2950, sa.Text: 25}

Content = Callable[[pl.Series], pl.Series]
"""Makes the bytes of each cell of a column, without their length; NULL where the value is."""


def binary(frames: Iterable[pl.DataFrame], columns: Sequence[sa.Column[object]]) -> Iterator[bytes]:
    """Yields rows, piece by piece, for ``COPY ... FROM STDIN (FORMAT binary)``.

    Args:
        frames: The rows.
        columns: What the columns of each frame are in the target, in their order.

    Raises:
        polars.exceptions.PolarsError: A value does not fit the type of its column.
    """
    contents = [_content(column.type) for column in columns]
    count = pl.Series([struct.pack(">h", len(columns))], dtype=pl.Binary)
    yield _HEADER
    for frame in frames:
        # One column after the other, and then by rows: what moves are places, and the bytes once at the end.
        cells = pl.concat(
            [content(series) for content, series in zip(contents, frame, strict=True)]
        )
        parts = [count.new_from_index(0, frame.height), _lengths(cells), _filled(cells, b"")]
        yield _joined(pl.concat(parts, rechunk=True).gather(_by_rows(frame.height, len(columns))))
    yield _TRAILER


def _lengths(cells: pl.Series) -> pl.Series:
    """Returns the length that stands before each cell."""
    lengths = _filled(cells.bin.size().cast(pl.Int32), -1).to_numpy().astype(_LENGTH)
    return of_width(lengths.tobytes(), lengths.itemsize)


@lru_cache(maxsize=2)
def _by_rows(rows: int, columns: int) -> pl.Series:
    """Returns where of each row the count of its cells stands, and then length and content of each cell.

    What is given are the counts of all rows, the lengths of all cells by columns, and their contents too.
    """
    cells = np.arange(rows, rows + columns * rows, dtype=np.uint32).reshape(columns, rows).T
    order = np.empty((rows, 1 + 2 * columns), dtype=np.uint32)
    order[:, 0] = np.arange(rows)
    order[:, 1::2], order[:, 2::2] = cells, cells + columns * rows
    return pl.Series(order.ravel())


def _joined(values: pl.Series) -> bytes:
    """Returns values one after the other."""
    content_bytes = values.cast(pl.List(pl.UInt8)).explode(empty_as_null=False)
    return content_bytes.to_numpy().tobytes()


def _content(type_: sa.types.TypeEngine[object]) -> Content:
    """Returns what makes the contents of a column of a type."""
    match type_:
        case pg.ARRAY():
            item, oid = _content(type_.item_type), _OIDS[type(type_.item_type)]
            return lambda series: _arrays(series, item, oid)
        case pg.JSONB():
            return lambda series: _JSONB_VERSION + series.cast(pl.Binary)
        case pg.UUID():
            return lambda series: series
        case sa.SmallInteger():
            return lambda series: _numbers(series.cast(pl.Int16), ">i2")
        case sa.BigInteger():
            return lambda series: _numbers(series.cast(pl.Int64), ">i8")
        case sa.Integer():
            return lambda series: _numbers(series.cast(pl.Int32), ">i4")
        case sa.Boolean():
            return lambda series: _numbers(series.cast(pl.UInt8), "u1")
        case sa.TIMESTAMP():
            return lambda series: _numbers((series.to_physical() - _EPOCH) * 1000, ">i8")
        case sa.String():  # texts and enums
            return lambda series: series.cast(pl.Binary)
        case _:
            raise TypeError(f"there is no encoder of {type_!r}")


def _numbers(series: pl.Series, dtype: str) -> pl.Series:
    numbers = _filled(series, 0).to_numpy().astype(dtype)
    return of_width(numbers.tobytes(), numbers.itemsize, _nulls(series))


def _nulls(series: pl.Series) -> Mask | None:
    """Returns which places of a column are NULL, None where none is."""
    return series.is_null().to_numpy() if series.null_count() else None


def _filled(series: pl.Series, value: object) -> pl.Series:
    """Returns a series with a value in the place of NULL; polars takes its time where there is none, too."""
    return series.fill_null(value) if series.null_count() else series


def _arrays(series: pl.Series, item: Content, oid: int) -> pl.Series:
    """Returns arrays of one dimension."""
    counts = _filled(series.list.len(), 0).to_numpy().astype(np.int64)
    elements = item(series.filter(pl.Series(counts > 0)).explode())
    cells = _lengths(elements) + _filled(elements, b"")
    ends = np.append(0, np.cumsum(cells.bin.size().to_numpy().astype(np.int64)))
    bounds = ends[np.append(0, np.cumsum(counts))]
    heads = pl.Series([_array_head(count, oid) for count in counts.tolist()], dtype=pl.Binary)
    arrays = heads + divided(_joined(cells), bounds)
    are_null = _nulls(series)
    return arrays if are_null is None else null_where(arrays, are_null)


@cache
def _array_head(count: int, oid: int) -> bytes:
    """Returns dimensions, flags and type of the elements; then their number and the index of the first."""
    if not count:
        return struct.pack(">iiI", 0, 0, oid)
    return struct.pack(">iiIii", 1, 0, oid, count, 1)
