"""Frames through a real COPY: values arrive unchanged, to the last character."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, LiteralString

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.schema import CreateTable

from migration_assets.conversion.scalars import TIMESTAMP_END, TIMESTAMP_MINIMUM
from migration_assets.embedded import Urls, fresh_database
from migration_assets.loading.encoding import binary
from migration_assets.target.connection import Connection, open_target
from migration_assets_tests.support.properties import examples

TEXTS = [
    "",
    " ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    '"',
    '""',
    "'",
    ",",
    ",,",
    "\\",
    "\\\\",
    "\\.",
    "\n\\.\n",
    "\\.\n",
    "\\N",
    "NULL",
    "null",
    "{}",
    '{"a",NULL}',
    'a,b\n"c"\\d\r\ne\'f',
    "\x01\x08\x0b\x0c\x1b\x7f\x85\xa0",
    "\u2028\ufeff\ufffd",
    "😀🏳️‍🌈",
    "\U0010ffff",
    "e\u0301 ﬁ ß İ",
    "x" * 100_000,
]

TIMES = {
    TIMESTAMP_MINIMUM: "4714-11-24 00:00:00 BC",
    -62_198_755_200_000: "0002-01-01 00:00:00 BC",
    -62_135_596_800_001: "0001-12-31 23:59:59.999 BC",
    -62_135_596_800_000: "0001-01-01 00:00:00",
    -59_011_459_200_000: "0100-01-01 00:00:00",
    -1: "1969-12-31 23:59:59.999",
    0: "1970-01-01 00:00:00",
    951_782_400_000: "2000-02-29 00:00:00",
    253_402_300_799_999: "9999-12-31 23:59:59.999",
    253_402_300_800_000: "10000-01-01 00:00:00",
    TIMESTAMP_END - 1: "294276-12-31 23:59:59.999",
}


COPIED = sa.Table(
    "copied",
    sa.MetaData(),
    sa.Column("a", sa.Text()),
    sa.Column("b", sa.Text()),
    sa.Column("texts", pg.ARRAY(sa.Text())),
    sa.Column("uuid", pg.UUID()),
    sa.Column("uuids", pg.ARRAY(pg.UUID())),
    sa.Column("time", pg.TIMESTAMP(precision=3)),
    sa.Column("whole", sa.BigInteger()),
    sa.Column("half", sa.Integer()),
    sa.Column("quarter", sa.SmallInteger()),
    sa.Column("truth", sa.Boolean()),
    sa.Column("json", pg.JSONB()),
    sa.Column("enum", pg.ENUM("one", "two", name="label", create_type=False)),
)


@pytest.fixture(scope="module")
def database(servers: Urls) -> Iterator[Connection]:
    with fresh_database(servers) as urls, open_target(urls.postgres_url) as connection:
        connection.execute("CREATE TYPE label AS ENUM ('one', 'two')")
        created: Any = str(CreateTable(COPIED).compile(dialect=pg.dialect()))  # type: ignore[no-untyped-call]
        connection.execute(created)
        connection.execute("ALTER TABLE copied ADD COLUMN number serial")
        yield connection


def copied(database: Connection, frame: pl.DataFrame, selected: LiteralString) -> list[Any]:
    """The rows of a frame after they went to PostgreSQL and back."""
    columns = ", ".join(frame.columns)
    database.execute("TRUNCATE copied RESTART IDENTITY")
    statement: Any = f"COPY copied ({columns}) FROM STDIN (FORMAT binary)"
    with database.transaction(), database.cursor() as cursor, cursor.copy(statement) as copy:
        for piece in binary([frame], [COPIED.columns[name] for name in frame.columns]):
            copy.write(piece)
    rows = database.execute(b"SELECT " + selected.encode() + b" FROM copied ORDER BY number")
    return [row[0] if len(row) == 1 else row for row in rows]


def texts(*values: str | None) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_texts(database: Connection, text: str) -> None:
    frame = pl.DataFrame({"a": texts(text, None, text), "b": texts(None, text, text)})
    assert copied(database, frame, "a, b") == [(text, None), (None, text), (text, text)]


def test_an_empty_string_is_not_null(database: Connection) -> None:
    values = ["", None, "", None]
    assert copied(database, pl.DataFrame({"a": values, "b": "x"}), "a") == values
    assert copied(database, pl.DataFrame({"a": values}), "a") == values


def test_every_line_of_its_own(database: Connection) -> None:
    frame = pl.DataFrame({"a": TEXTS})
    assert copied(database, frame, "a") == TEXTS


@pytest.mark.parametrize(
    "array",
    [[], [""], ["", ""], ["NULL"], ["null", "{}", "{"], ["}", ",", " ", "a b"], TEXTS],
    ids=lambda array: repr(array)[:30],
)
def test_arrays_of_texts(database: Connection, array: list[str]) -> None:
    arrays = [array, [], ["other"], array, None]
    frame = pl.DataFrame({"texts": pl.Series(arrays, dtype=pl.List(pl.String))})
    assert copied(database, frame, "texts") == arrays
    assert copied(database, frame[:1], "texts") == [array]


def test_arrays_of_uuids(database: Connection) -> None:
    arrays = [[uuid.UUID("013a7092e8d87bcfa1b35e650e404400")] * 2, [], None, [uuid.UUID(int=7)]]
    values = [None if array is None else [element.bytes for element in array] for array in arrays]
    frame = pl.DataFrame({"uuids": pl.Series(values, dtype=pl.List(pl.Binary))})
    assert copied(database, frame, "uuids") == arrays


def test_uuids(database: Connection) -> None:
    uuids = [uuid.UUID("013a7092e8d87bcfa1b35e650e404400"), None, uuid.UUID(int=0)]
    series = pl.Series([value and value.bytes for value in uuids], dtype=pl.Binary)
    assert copied(database, pl.DataFrame({"uuid": series}), "uuid") == uuids


def test_labels(database: Connection) -> None:
    labels = ["two", None, "one"]
    assert copied(database, pl.DataFrame({"enum": labels}), "enum::text") == labels
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        copied(database, pl.DataFrame({"enum": ["three"]}), "enum::text")


def test_bytes_that_are_no_uuid_are_an_error(database: Connection) -> None:
    for no_uuid in (b"", b"x" * 15, b"x" * 17):
        with pytest.raises((psycopg.DataError, psycopg.errors.ProtocolViolation)):
            copied(database, pl.DataFrame({"uuid": [no_uuid]}), "uuid")


@pytest.mark.parametrize(("name", "bits"), [("whole", 64), ("half", 32), ("quarter", 16)])
def test_numbers_to_the_ends_of_their_types(database: Connection, name: str, bits: int) -> None:
    ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, -1, 0, None]
    frame = pl.DataFrame({name: pl.Series(ends, dtype=pl.Int64)})
    assert copied(database, frame, name) == ends


@pytest.mark.parametrize(("name", "bits"), [("half", 32), ("quarter", 16)])
def test_a_number_that_does_not_fit_is_an_error(name: str, bits: int) -> None:
    for number in (-(2 ** (bits - 1)) - 1, 2 ** (bits - 1)):
        frame = pl.DataFrame({name: pl.Series([number], dtype=pl.Int64)})
        with pytest.raises(pl.exceptions.PolarsError):
            list(binary([frame], [COPIED.columns[name]]))


def test_a_type_without_encoder_is_an_error() -> None:
    frame = pl.DataFrame({"a": ["x"]})
    with pytest.raises(TypeError, match="no encoder"):
        list(binary([frame], [sa.Column("a", sa.LargeBinary())]))


def test_timestamps(database: Connection) -> None:
    series = pl.Series([*TIMES, None], dtype=pl.Int64).cast(pl.Datetime("ms"))
    assert copied(database, pl.DataFrame({"time": series}), "time::text") == [*TIMES.values(), None]


@pytest.mark.parametrize("time", TIMES)
def test_a_timestamp_alone(database: Connection, time: int) -> None:
    series = pl.Series([time], dtype=pl.Int64).cast(pl.Datetime("ms"))
    assert copied(database, pl.DataFrame({"time": series}), "time::text") == [TIMES[time]]


def test_numbers_and_booleans(database: Connection) -> None:
    frame = pl.DataFrame(
        {
            "whole": pl.Series([-(2**63), 2**63 - 1, 0, None], dtype=pl.Int64),
            "truth": pl.Series([True, False, None, True], dtype=pl.Boolean),
        }
    )
    assert copied(database, frame, "whole, truth") == frame.rows()


def test_json(database: Connection) -> None:
    frame = pl.DataFrame({"json": ['{"a":"\\"x\\\\, {}"}', "null", '"\\n,"', None, "[]"]})
    expected = ['{"a": "\\"x\\\\, {}"}', "null", '"\\n,"', None, "[]"]
    assert copied(database, frame, "json::text") == expected


def test_no_rows(database: Connection) -> None:
    frame = pl.DataFrame(
        schema={"a": pl.String, "texts": pl.List(pl.String), "time": pl.Datetime("ms")}
    )
    assert copied(database, frame, "a") == []


anything = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
special = st.text(st.sampled_from('",{}\\.\n\r\tN ab'))
either = st.none() | anything | special
epoch = datetime(1970, 1, 1)
rows_of_texts = st.lists(
    st.tuples(either, either, st.lists(anything | special, max_size=3)), min_size=1, max_size=5
)


@examples(100)
@given(rows_of_texts)
@example([("\\.", None, ["\\."])])
def test_any_texts(database: Connection, rows: list[tuple[str | None, str | None, Any]]) -> None:
    schema: dict[str, Any] = {"a": pl.String, "b": pl.String, "texts": pl.List(pl.String)}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    assert copied(database, frame, "a, b, texts") == rows


@examples(50)
@given(st.lists(st.integers(TIMESTAMP_MINIMUM, TIMESTAMP_END - 1), min_size=1, max_size=20))
def test_any_timestamps(database: Connection, times: list[int]) -> None:
    series = pl.Series(times, dtype=pl.Int64).cast(pl.Datetime("ms"))
    # To the millisecond: extract gives a numeric.
    milliseconds = "(extract(epoch FROM time) * 1000)::bigint"
    assert copied(database, pl.DataFrame({"time": series}), milliseconds) == times
    as_python = [epoch + timedelta(milliseconds=t) for t in times if abs(t) < 60_000_000_000_000]
    frame = pl.DataFrame({"time": pl.Series(as_python, dtype=pl.Datetime("ms"))})
    assert copied(database, frame, "time") == as_python
