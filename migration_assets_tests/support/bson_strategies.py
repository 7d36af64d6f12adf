"""BSON values of every type that pymongo writes, for properties."""

from __future__ import annotations

import re
from typing import Any

from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

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
