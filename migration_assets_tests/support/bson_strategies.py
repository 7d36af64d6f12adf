"""BSON values of every type that pymongo writes, for properties; and what the judge's reader calls them."""

from __future__ import annotations

import re
from typing import Any

import bson
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

from migration_assets.source.connection import CODEC
from migration_assets.validation import bson_reader
from migration_assets.validation.bson_reader import Fields, Value

INT64 = st.integers(-(2**63), 2**63 - 1)
OBJECT_IDS = st.binary(min_size=12, max_size=12).map(ObjectId)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
DOUBLES = st.floats() | st.integers(-(2**60), 2**60).map(float)
DECIMALS = st.binary(min_size=16, max_size=16).map(Decimal128.from_bid) | st.sampled_from(
    ["0", "-0", "1", "1.0", "-7", "2.5", "1E+3", "1E-7", "0E+10", "NaN", "-Infinity", "1E+6144"]
).map(Decimal128)
DATES = st.builds(DatetimeMS, INT64) | st.builds(DatetimeMS, st.integers(-(10**14), 10**14))
BINARIES = st.builds(Binary, st.binary(max_size=8), st.sampled_from([0, 1, 3, 4, 5, 6, 128]))
_FLAGS = {"i": re.I, "m": re.M, "s": re.S, "x": re.X}
REGEXES = st.builds(Regex, NAMES, st.sets(st.sampled_from(list(_FLAGS.values()))).map(sum))
UINT32 = st.integers(0, 2**32 - 1)


SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.builds(Int64, INT64),
    DOUBLES,
    TEXTS,
    OBJECT_IDS,
    DATES,
    DECIMALS,
    BINARIES,
    REGEXES,
    st.builds(Timestamp, UINT32, UINT32),
    st.builds(Code, TEXTS),
    st.builds(Code, TEXTS, st.dictionaries(NAMES, st.integers(0, 9), max_size=2)),
    st.sampled_from([MinKey(), MaxKey()]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
DOCUMENTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(NAMES, VALUES, max_size=6)


def value_of(value: Any) -> Value:
    """Returns the judge's reading of a value: a document of it alone, written by pymongo."""
    ((_, read),) = bson_reader.read_document(bson.encode({"": value}, codec_options=CODEC))
    return read


def fields_named(fields: Fields) -> dict[str, Any]:
    """Returns a document as pymongo decodes it, from the judge's reading of it."""
    return {name: decoded(value) for name, value in fields}


def decoded(value: Value) -> Any:
    """Returns a value as pymongo decodes it, from the judge's reading of it."""
    kind, data = value
    match kind:
        case bson_reader.DOCUMENT:
            return fields_named(data)
        case bson_reader.ARRAY:
            return [decoded(each) for each in data]
        case bson_reader.BINARY:
            return data[1] if data[0] == 0 else Binary(data[1], data[0])
        case bson_reader.OBJECT_ID:
            return ObjectId(data)
        case bson_reader.DATE:
            return DatetimeMS(data)
        case bson_reader.REGEX:
            return Regex(data[0], sum(_FLAGS[letter] for letter in data[1]))
        case bson_reader.CODE:
            return Code(data)
        case bson_reader.CODE_WITH_SCOPE:
            return Code(data[0], fields_named(data[1]))
        case bson_reader.INT64:
            return Int64(data)
        case bson_reader.TIMESTAMP:
            return Timestamp(*data)
        case bson_reader.DECIMAL128:
            return data
        case bson_reader.MIN_KEY:
            return MinKey()
        case bson_reader.MAX_KEY:
            return MaxKey()
        case _:
            return data
