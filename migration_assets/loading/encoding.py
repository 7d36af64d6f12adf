"""Frames in the CSV dialect of PostgreSQL's COPY: NULL is nothing, an empty string is ``""``."""

from __future__ import annotations

import io

import polars as pl

from migration_assets.conversion.values import timestamp_literal

_FIRST_PLAIN = -62_135_596_800_000
"""0001-01-01 in milliseconds since 1970; before it, PostgreSQL wants the suffix BC."""
_LAST_PLAIN = 253_402_300_799_999
"""The last millisecond of 9999; after it, polars writes a sign that PostgreSQL does not read."""


_TIMESTAMP = "%Y-%m-%d %H:%M:%S%.3f"


def csv(frame: pl.DataFrame) -> bytes:
    """Returns the rows of a frame for ``COPY ... FROM STDIN (FORMAT csv)``."""
    written = io.BytesIO()
    encoded = frame.with_columns(
        _encoded(series) for series in frame if isinstance(series.dtype, pl.List | pl.Datetime)
    )
    encoded.write_csv(written, include_header=False, datetime_format=_TIMESTAMP)
    return written.getvalue()


def _encoded(series: pl.Series) -> pl.Series:
    return _array_literals(series) if isinstance(series.dtype, pl.List) else _timestamps(series)


def _timestamps(series: pl.Series) -> pl.Series:
    milliseconds = series.to_physical()
    beyond = ~milliseconds.is_between(_FIRST_PLAIN, _LAST_PLAIN)
    places = beyond.fill_null(value=False).arg_true()
    if places.is_empty():
        return series
    literals = [timestamp_literal(each) for each in milliseconds.gather(places)]
    plain = series.scatter(places, None).dt.strftime(_TIMESTAMP)
    return plain.scatter(places, pl.Series(literals, dtype=pl.String))


def _array_literals(series: pl.Series) -> pl.Series:
    escaped = (
        pl.element()
        .str.replace_all("\\", "\\\\", literal=True)
        .str.replace_all('"', '\\"', literal=True)
    )
    quoted = pl.lit('"') + escaped + pl.lit('"')
    literal = pl.lit("{") + pl.col(series.name).list.eval(quoted).list.join(",") + pl.lit("}")
    return series.to_frame().select(literal.alias(series.name)).to_series()
