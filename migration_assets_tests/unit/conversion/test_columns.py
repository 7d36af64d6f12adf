"""Section 5 of the design: the rules; a whole column converts like its single values."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bson
import polars as pl
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson import json_util as bson_json
from bson.datetime_ms import DatetimeMS
from hypothesis import example, given
from hypothesis import strategies as st

from migration_assets.conversion.columns import ConvertedColumn, convert_columns
from migration_assets.conversion.extended_json import relaxed_texts
from migration_assets.conversion.rules import LOADERS, dtype_of
from migration_assets.conversion.scalars import TIMESTAMP_END, TIMESTAMP_MINIMUM
from migration_assets.conversion.values import Kind, ValueChange
from migration_assets.identity import document_uuid
from migration_assets.known_ids import Loaded, assumed
from migration_assets.model import Missing, Rule, Source
from migration_assets.source.connection import CODEC
from migration_assets_tests.support.properties import examples
from migration_assets_tests.support.taken_apart import field_of

KNOWN = [ObjectId(f"{n:024x}") for n in (1, 2, 0xABCDEF)]
REJECTED = ObjectId("aaaaaaaaaaaaaaaaaaaaaaaa")
"""A document in the map without a row."""
UNKNOWN = ObjectId("ffffffffffffffffffffffff")
HEXADECIMAL = "0123456789abcdef01234567"
"""An `_id` that is a text, though it looks like an ObjectId."""


def _all(*values: Any) -> tuple[Any, ...]:
    return values


def uuids_of(*identifiers: Any) -> frozenset[bytes]:
    return frozenset(document_uuid("Others", identifier).bytes for identifier in identifiers)


ONLY_OBJECT_IDS = Loaded(
    rows={"Others": uuids_of(*KNOWN)}, documents={"Others": uuids_of(*KNOWN, REJECTED)}
)
OTHER_IDS = [HEXADECIMAL, ObjectId(HEXADECIMAL), 5]
OTHER_IDS_TOO = Loaded(
    rows={"Others": uuids_of(*KNOWN, *OTHER_IDS)},
    documents={"Others": uuids_of(*KNOWN, REJECTED, *OTHER_IDS)},
)
ASSUMED = assumed(["Others"], ["Others"], {})
ASSUMED_TEXTS = assumed(["Others"], ["Others"], {"Others": None})
OWN = ObjectId("507f1f77bcf86cd799439011")
OWN_TIME = 1350508407_000

ARRAYS = {rule for rule in LOADERS if rule.is_array}
DEFAULTS: dict[Rule, str | int | bool] = {
    Rule.TEXT: "Inactive",
    Rule.INTEGER: 0,
    Rule.BIGINT: 0,
    Rule.BOOLEAN: False,
    Rule.ENUM: "PENDING",
}


def source_for(rule: Rule, missing: Missing) -> Source:
    return Source(
        field="f",
        rule=rule,
        references="Others",
        missing=missing,
        default=DEFAULTS[rule] if missing is Missing.DEFAULT else None,
        labels=("ACTIVE", "PENDING") if rule is Rule.ENUM else (),
    )


def policies(rule: Rule) -> list[Missing]:
    if rule in ARRAYS:
        return [Missing.EMPTY_ARRAY]
    missing_policies = [Missing.NULL, Missing.REJECT]
    missing_policies += [Missing.DEFAULT] if rule in DEFAULTS else []
    missing_policies += [Missing.OBJECT_ID_TIME] if rule in (Rule.TEXT, Rule.TIMESTAMP) else []
    return missing_policies


COLUMNS = [(rule, missing) for rule in LOADERS for missing in policies(rule)]


def test_every_policy_is_tested() -> None:
    assert {missing for _, missing in COLUMNS} == set(Missing)
    shipped = {rule for rule in vars(Rule).values() if isinstance(rule, Rule)}
    assert {rule for rule, _ in COLUMNS} == shipped - {Rule.KEY}


# --- The rules, by example ---------------------------------------------------------------------

COERCED, ALTERED, NULLED, ORPHANED = Kind.COERCED, Kind.ALTERED, Kind.NULLED, Kind.ORPHANED
REJECT = "rejected"
K = KNOWN[2]
K_TEXT = str(document_uuid("Others", K))
K_UUID = document_uuid("Others", K).bytes
BINARY = Binary(b"\x00\x01", 4)

EXAMPLES: dict[Rule, list[tuple[Any, Any, list[Kind]]]] = {
    Rule.TEXT: [
        ("", "", []),
        ("  a\n", "  a\n", []),
        ("a\x00b\x00", "a\ufffdb\ufffd", [ALTERED]),
        (-7, "-7", [COERCED]),
        (Int64(2**53 + 1), "9007199254740993", [COERCED]),
        (0.1, "0.1", [COERCED]),
        (3.0, "3", [COERCED]),
        (1e22, "1e+22", [COERCED]),
        (True, "true", [COERCED]),
        (Decimal128("1.10"), "1.10", [COERCED]),
        (OWN, "507f1f77bcf86cd799439011", [COERCED]),
        (datetime(2024, 2, 29, 1, 2, 3, 4000), "2024-02-29T01:02:03.004Z", [COERCED]),
        (DatetimeMS(253_402_300_800_000), "+010000-01-01T00:00:00.000Z", [COERCED]),
        (DatetimeMS(-62_167_219_200_001), "-000001-12-31T23:59:59.999Z", [COERCED]),
        *((bad, None, [NULLED]) for bad in _all({}, [], ["a"], math.nan, math.inf, BINARY)),
        *(
            (bad, None, [NULLED])
            for bad in _all(Decimal128("NaN"), Code("x"), Regex("x"), MinKey())
        ),
    ],
    Rule.INTEGER: [
        (2**31 - 1, 2**31 - 1, []),
        (Int64(-(2**31)), -(2**31), []),
        (7.0, 7, [COERCED]),
        (Decimal128("7.0"), 7, [COERCED]),
        (Decimal128("7E+2"), 700, [COERCED]),
        ("-7", -7, [COERCED]),
        *((text, number, [ALTERED]) for text, number in (("-007", -7), ("+7", 7), ("-0", 0))),
        *((zero, 0, [ALTERED]) for zero in (-0.0, Decimal128("-0"))),
        *((bad, None, [NULLED]) for bad in _all(2**31, Int64(-(2**31) - 1), 2147483648.0)),
        *(
            (bad, None, [NULLED])
            for bad in _all(7.5, math.nan, math.inf, True, "", "+", "7.0", " 7")
        ),
        *(
            (bad, None, [NULLED])
            for bad in ("\u0667", "9" * 5000, Decimal128("7.5"), [7], OWN, BINARY)
        ),
    ],
    Rule.BIGINT: [
        (Int64(2**63 - 1), 2**63 - 1, []),
        (-1, -1, []),
        (str(-(2**63)), -(2**63), [COERCED]),
        (9007199254740993.0, 9007199254740992, [COERCED]),
        (Decimal128("9223372036854775807"), 2**63 - 1, [COERCED]),
        *((bad, None, [NULLED]) for bad in _all(2.0**63, str(2**63), Decimal128("1E+6000"), False)),
        (Decimal128("9223372036854775806.5"), None, [NULLED]),
    ],
    Rule.BOOLEAN: [
        (True, True, []),
        (False, False, []),
        *((one, True, [COERCED]) for one in (1, 1.0, Int64(1), Decimal128("1"), "true")),
        *((zero, False, [COERCED]) for zero in (0, -0.0, "false")),
        *((bad, None, [NULLED]) for bad in _all(2, 0.5, "True", "1", "", "yes", math.nan, [], OWN)),
    ],
    Rule.TIMESTAMP: [
        (datetime(1970, 1, 1), 0, []),
        (datetime(1969, 12, 31, 23, 59, 59, 999000), -1, []),
        (datetime(1, 1, 1), -62_135_596_800_000, []),
        (datetime(9999, 12, 31, 23, 59, 59, 999000), 253_402_300_799_999, []),
        (DatetimeMS(TIMESTAMP_MINIMUM), TIMESTAMP_MINIMUM, []),
        (DatetimeMS(TIMESTAMP_END - 1), TIMESTAMP_END - 1, []),
        ("1970-01-01", 0, [COERCED]),
        ("1970-01-01T00:00:00.001", 1, [COERCED]),
        ("1970-01-01T00:00:01Z", 1000, [COERCED]),
        ("1970-01-01T00:30:00+01:00", -1_800_000, [COERCED]),
        ("1970-01-01 00:00:00-0130", 5_400_000, [COERCED]),
        ("2000-02-29T23:59:59,5Z", 951_868_799_500, [COERCED]),
        ("-000001-01-01T00:00:00Z", -62_198_755_200_000, [COERCED]),
        ("1970-01-01T00:00:00.0019", 1, [ALTERED]),
        ("1970-01-01T00:00:00.0010", 1, [COERCED]),
        *((number, 5, [COERCED]) for number in (5, Int64(5), 5.0, Decimal128("5"))),
        *((bad, None, [NULLED]) for bad in _all("", "5", "now", "2001-02-29", "2001-13-01")),
        *(
            (bad, None, [NULLED])
            for bad in _all("2001-01-01T24:00", "2001-01-01T00:60", "2001-W01")
        ),
        *(
            (bad, None, [NULLED])
            for bad in _all("2001-01-01T00:00+24:00", "2001-01-01T00:00+00:60")
        ),
        *((bad, None, [NULLED]) for bad in _all(5.5, math.nan, True, OWN, [], {})),
        (DatetimeMS(TIMESTAMP_MINIMUM - 1), None, [NULLED]),
        (DatetimeMS(TIMESTAMP_END), None, [NULLED]),
        ("+294277-01-01T00:00:00Z", None, [NULLED]),
    ],
    Rule.ENUM: [
        ("ACTIVE", "ACTIVE", []),
        *((bad, None, [NULLED]) for bad in _all("active", "", "ACTIVE\x00", 1, True, ["ACTIVE"])),
    ],
    Rule.JSON: [
        ({"b": 1, "a": [True, None]}, '{"b":1,"a":[true,null]}', []),
        (0.1, "0.1", []),
        ("é\n", '"é\\n"', []),
        ([], "[]", []),
        (OWN, '{"$oid":"507f1f77bcf86cd799439011"}', []),
        (math.nan, '{"$numberDouble":"NaN"}', []),
        (Int64(5), "5", []),
        (datetime(2024, 1, 1), '{"$date":"2024-01-01T00:00:00Z"}', []),
        (datetime(1969, 1, 1), '{"$date":{"$numberLong":"-31536000000"}}', []),
        ("a\x00", '"a\ufffd"', [ALTERED]),
        ("a\\u0000", '"a\\\\u0000"', []),
        ("\\\x00", '"\\\\\ufffd"', [ALTERED]),
        ({"x": ["\x00\\u0000"]}, '{"x":["\ufffd\\\\u0000"]}', [ALTERED]),
    ],
    Rule.TEXT_ARRAY: [
        (["a", "", "a"], ["a", "", "a"], []),
        ([], [], []),
        ("a", ["a"], [COERCED]),
        (7, ["7"], [COERCED, COERCED]),
        ([7, "b"], ["7", "b"], [COERCED]),
        ([None, "b", None], ["b"], [ALTERED, ALTERED]),
        (["a", ["b"], {}], ["a"], [ALTERED, ALTERED]),
        (["a\x00"], ["a\ufffd"], [ALTERED]),
        ({}, [], [COERCED, ALTERED]),
    ],
    Rule.REFERENCE: [
        (K, K_UUID, []),
        (str(K), K_UUID, [COERCED]),
        (str(K).upper(), K_UUID, [COERCED]),
        *((single, K_UUID, [COERCED]) for single in _all([K], [str(K)])),
        ("", None, [COERCED]),
        *(
            (bad, None, [ORPHANED])
            for bad in _all(UNKNOWN, REJECTED, str(UNKNOWN), "x", 5, [UNKNOWN], [K, K], {})
        ),
        *((bad, None, [ORPHANED]) for bad in _all(f" {K}", str(K)[:-1], BINARY, K_TEXT, math.nan)),
    ],
    Rule.REFERENCE_ARRAY: [
        ([K, KNOWN[0], K], [K_UUID, document_uuid("Others", KNOWN[0]).bytes, K_UUID], []),
        (K, [K_UUID], [COERCED]),
        (str(K), [K_UUID], [COERCED, COERCED]),
        ([str(K), K], [K_UUID, K_UUID], [COERCED]),
        ([UNKNOWN, K, REJECTED, "x"], [K_UUID], [ORPHANED, ORPHANED, ORPHANED]),
        ([None, K], [K_UUID], [ALTERED]),
        (["", K], [K_UUID], [ALTERED]),
        (UNKNOWN, [], [COERCED, ORPHANED]),
        ([], [], []),
    ],
    Rule.REFERENCE_TEXT: [
        (str(K), K_TEXT, []),
        (str(K).upper(), K_TEXT, []),
        (K, K_TEXT, []),
        (str(REJECTED), str(document_uuid("Others", REJECTED)), []),  # it is in the map
        ("", "", []),
        (str(UNKNOWN), str(UNKNOWN), [ORPHANED]),
        ("anybody", "anybody", [ORPHANED]),
        (UNKNOWN, str(UNKNOWN), [ORPHANED]),
        (5, "5", [ORPHANED]),
        *((bad, None, [NULLED]) for bad in _all({}, math.nan, BINARY)),
    ],
    Rule.REFERENCE_TEXT_ARRAY: [
        ([str(K), K], [K_TEXT, K_TEXT], []),
        (str(K), [K_TEXT], [COERCED]),
        (["x", str(K), ""], ["x", K_TEXT, ""], [ORPHANED]),
        ([None, {}, str(K)], [K_TEXT], [ALTERED, ALTERED]),
    ],
}


def converted(
    source: Source,
    values: Sequence[Any],
    identifiers: Sequence[Any] | None = None,
    loaded: Loaded = ONLY_OBJECT_IDS,
) -> ConvertedColumn:
    owners = field_of(identifiers or [OWN] * len(values))
    columns = convert_columns({"c": source}, {"f": field_of(values), "_id": owners}, loaded)
    ((_, column),) = columns
    return column


def plain(series: pl.Series) -> list[Any]:
    if series.dtype == pl.Datetime("ms"):
        return series.cast(pl.Int64).to_list()
    return series.to_list()


CASES = [(rule, *case) for rule, cases in EXAMPLES.items() for case in cases]


@pytest.mark.parametrize(
    ("rule", "value", "expected", "kinds"),
    CASES,
    ids=[f"{rule}-{str(value)[:30]!r}-{n}" for n, (rule, value, *_) in enumerate(CASES)],
)
def test_rules(rule: Rule, value: Any, expected: Any, kinds: list[Kind]) -> None:
    """Nullable as declared: what is not convertible becomes NULL and is recorded."""
    policy = Missing.EMPTY_ARRAY if rule in ARRAYS else Missing.NULL
    column = converted(source_for(rule, policy), [value])
    assert plain(column.series) == [expected]
    assert [change.kind for _, change in column.changes] == kinds
    assert not column.rejections


@pytest.mark.parametrize("policy", [Missing.REJECT, Missing.DEFAULT])
@pytest.mark.parametrize("rule", sorted(set(LOADERS) - ARRAYS))
def test_what_is_not_convertible_rejects_where_not_null(rule: Rule, policy: Missing) -> None:
    """Even where the column has a default: a default stands for what is missing only."""
    if policy not in policies(rule):
        return
    for value, expected, _ in EXAMPLES[rule]:
        column = converted(source_for(rule, policy), [value])
        assert bool(column.rejections) == (expected is None), value
        assert plain(column.series) == [expected]
        assert not (column.rejections and column.changes)


@pytest.mark.parametrize(("rule", "default"), DEFAULTS.items())
def test_a_missing_value_becomes_the_default(rule: Rule, default: Any) -> None:
    column = converted(source_for(rule, Missing.DEFAULT), [None])
    assert plain(column.series) == [default]
    assert [change.kind for _, change in column.changes] == [Kind.DEFAULTED]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(Rule.TIMESTAMP, OWN_TIME), (Rule.TEXT, "2012-10-17T21:13:27.000Z")],
)
def test_a_missing_time_becomes_that_of_the_object_id(rule: Rule, expected: Any) -> None:
    column = converted(source_for(rule, Missing.OBJECT_ID_TIME), [None, None], [OWN, 5])
    assert plain(column.series) == [expected, None]
    assert [(row, change.kind) for row, change in column.changes] == [(0, Kind.DERIVED)]
    assert [row for row, _ in column.rejections] == [1]


@pytest.mark.parametrize("rule", LOADERS)
def test_null_stays_null_where_nullable(rule: Rule) -> None:
    policy = Missing.EMPTY_ARRAY if rule in ARRAYS else Missing.NULL
    column = converted(source_for(rule, policy), [None, None])
    assert column.series.to_list() == [[] if rule in ARRAYS else None] * 2
    assert (list(column.changes), list(column.rejections)) == ([], [])


def test_elements_are_recorded_with_place_and_original() -> None:
    source = source_for(Rule.REFERENCE_ARRAY, Missing.EMPTY_ARRAY)
    column = converted(source, [[K], [K, UNKNOWN, None, "x"]])
    assert [
        (row, change.kind, change.element, change.original) for row, change in column.changes
    ] == [(1, ORPHANED, 1, UNKNOWN), (1, ALTERED, 2, None), (1, ORPHANED, 3, "x")]


def test_a_text_id_that_looks_like_an_object_id_wins() -> None:
    by_text = document_uuid("Others", HEXADECIMAL)
    for rule, expected in ((Rule.REFERENCE, by_text.bytes), (Rule.REFERENCE_TEXT, str(by_text))):
        column = converted(source_for(rule, Missing.NULL), [HEXADECIMAL, 5], None, OTHER_IDS_TOO)
        assert column.series[0] == expected
        assert not column.changes


# --- A whole column like its single values ----------------------------------------------------------

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "\x00", "a\x00b", "true", "false", "7", "-12", "ACTIVE", "PENDING"]),
    st.sampled_from(
        ["2024-01-01", "2024-01-01T00:00:00.1234Z", "99999999999999999999", "é\\u0000"]
    ),
    st.sampled_from(
        [*(str(object_id).upper() for object_id in (*KNOWN, REJECTED, UNKNOWN)), HEXADECIMAL]
    ),
)
object_ids = st.sampled_from([*KNOWN, *KNOWN, REJECTED, UNKNOWN, ObjectId(HEXADECIMAL)])
integers = st.one_of(
    st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, 5])
)
doubles = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, -0.0, 7.0, 1e300]))
milliseconds = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([TIMESTAMP_MINIMUM, TIMESTAMP_MINIMUM - 1, TIMESTAMP_END - 1, TIMESTAMP_END]),
)
dates = st.one_of(
    st.integers(-62_135_596_800_000, 253_402_300_799_999).map(DatetimeMS),
    milliseconds.map(DatetimeMS),
)
decimals = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-100, max_value=100),
    st.sampled_from(["NaN", "-Infinity", "1E+6000", "5.00", "-0"]),
).map(lambda value: Decimal128(str(value)))
rare = st.one_of(
    st.binary(max_size=4),
    st.sampled_from([Binary(b"x", 4), MinKey(), MaxKey(), Timestamp(1, 2), Code("f()")]),
    st.sampled_from([Code("f()", {"a": ObjectId(b"x" * 12)}), Regex("a", "i"), Int64(1)]),
    st.builds(DBRef, st.sampled_from(["Others"]), object_ids),
)
scalars = st.one_of(
    st.none(), st.booleans(), integers, doubles, texts, object_ids, dates, decimals, rare
)
keys = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=3)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)

id_texts = object_ids.map(str) | texts | st.sampled_from(["", "id-1", 'a "b" \\ é', "\x00"])
EXPECTED: dict[Rule, st.SearchStrategy[Any]] = {
    Rule.TEXT: texts,
    Rule.INTEGER: integers,
    Rule.BIGINT: integers,
    Rule.BOOLEAN: st.booleans(),
    Rule.TIMESTAMP: dates,
    Rule.ENUM: st.sampled_from(["ACTIVE", "PENDING", "OTHER"]),
    Rule.JSON: texts | anything,
    Rule.TEXT_ARRAY: st.lists(texts, max_size=3),
    Rule.REFERENCE: object_ids | id_texts,
    Rule.REFERENCE_ARRAY: st.lists(object_ids, max_size=3) | st.lists(id_texts, max_size=3),
    Rule.REFERENCE_TEXT: id_texts,
    Rule.REFERENCE_TEXT_ARRAY: st.lists(id_texts, max_size=3),
}


def as_read(values: list[Any]) -> list[Any]:
    """The values as they come out of MongoDB."""
    decoded: list[Any] = bson.decode(bson.encode({"values": values}), CODEC)["values"]
    return decoded


def by_rules(
    source: Source, value: Any, identifier: Any, loaded: Loaded
) -> tuple[Any, list[ValueChange], str | None]:
    """One value by the rules alone: what it becomes, changes, and why the document is rejected."""
    if value is None:
        return instead(source, identifier)
    outcome = LOADERS[source.rule].exact(value, source, loaded)
    if outcome.value is None and source.missing not in (Missing.NULL, Missing.EMPTY_ARRAY):
        return None, [], outcome.changes[0].reason
    changes = [
        replace(change, kind=Kind.NULLED) if change.kind is Kind.UNCONVERTIBLE else change
        for change in outcome.changes
    ]
    return outcome.value, changes, None


def instead(source: Source, identifier: Any) -> tuple[Any, list[ValueChange], str | None]:
    """What stands for a missing value."""
    match source.missing:
        case Missing.NULL:
            return None, [], None
        case Missing.EMPTY_ARRAY:
            return [], [], None
        case Missing.DEFAULT:
            return source.default, [ValueChange(Kind.DEFAULTED, "missing or null")], None
        case Missing.OBJECT_ID_TIME if isinstance(identifier, ObjectId):
            seconds = int.from_bytes(identifier.binary[:4], "big")
            time = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
            derived = [ValueChange(Kind.DERIVED, "the ObjectId's own time")]
            return time if source.rule is Rule.TEXT else seconds * 1000, derived, None
        case _:
            return None, [], "missing or null, and the column is NOT NULL"


@pytest.mark.parametrize(("rule", "missing"), COLUMNS)
def test_a_whole_column_converts_like_its_single_values(rule: Rule, missing: Missing) -> None:
    source = source_for(rule, missing)
    expected = EXPECTED[rule]
    odd = st.one_of(expected, scalars, anything)

    def in_one_form(values: list[Any]) -> list[Any]:
        if rule is not Rule.JSON:
            return values
        # A number has several texts, as 7e-6 and 7e-06.
        return [None if value is None else parsed(value) for value in values]

    @examples(40)
    @example([7e-6], [5] * 12, ASSUMED)
    @given(
        st.lists(expected, max_size=6) | st.lists(odd, max_size=6),
        st.lists(object_ids | st.just(5), min_size=12, max_size=12),
        st.sampled_from([ONLY_OBJECT_IDS, OTHER_IDS_TOO, ASSUMED, ASSUMED_TEXTS]),
    )
    def check(values: list[Any], identifiers: list[Any], loaded: Loaded) -> None:
        values = as_read(values * 2)  # values repeat: of the same bytes, one is converted
        identifiers = identifiers[: len(values)]
        column = converted(source, values, identifiers, loaded)
        one_by_one = [
            by_rules(source, *pair, loaded) for pair in zip(values, identifiers, strict=True)
        ]
        assert (column.series.name, column.series.dtype) == ("c", dtype_of(rule))
        assert in_one_form(plain(column.series)) == in_one_form([value for value, *_ in one_by_one])
        expected_changes = [
            (row, change) for row, (_, changes, _) in enumerate(one_by_one) for change in changes
        ]
        assert repr(list(column.changes)) == repr(expected_changes)  # a NaN equals no other
        assert list(column.rejections) == [
            (row, reason) for row, (*_, reason) in enumerate(one_by_one) if reason is not None
        ]

    check()


@pytest.mark.parametrize("rule", [Rule.REFERENCE, Rule.REFERENCE_TEXT])
@pytest.mark.parametrize("identifier", [UNKNOWN, str(UNKNOWN), 5, "text", {"a": 1}])
def test_an_assumed_reference_converts_like_one_to_a_loaded_document(
    rule: Rule, identifier: Any
) -> None:
    source = source_for(rule, Missing.NULL)
    meant = ObjectId(identifier) if identifier == str(UNKNOWN) else identifier
    there = Loaded({"Others": uuids_of(meant)}, {"Others": uuids_of(meant)})
    exact, assumed_column = (converted(source, [identifier], None, ids) for ids in (there, ASSUMED))
    assert plain(assumed_column.series) == plain(exact.series) != [None]
    assert list(assumed_column.changes) == list(exact.changes)


def test_a_text_is_assumed_to_be_an_id_where_a_document_has_such_an_id() -> None:
    source = source_for(Rule.REFERENCE, Missing.NULL)
    as_text, as_object_id = (
        plain(converted(source, [HEXADECIMAL], None, ids).series)
        for ids in (ASSUMED_TEXTS, ASSUMED)
    )
    assert as_text == [document_uuid("Others", HEXADECIMAL).bytes]
    assert as_object_id == [document_uuid("Others", ObjectId(HEXADECIMAL)).bytes]


# --- Relaxed Extended JSON ---------------------------------------------------------------------


def parsed(text: str) -> Any:
    """JSON with the order of keys, and every digit."""
    return json.loads(text, object_pairs_hook=lambda pairs: ("object", pairs), parse_float=bits)


def bits(number_text: str) -> bytes:
    return struct.pack(">d", float(number_text))


@examples(100)
@given(st.lists(anything, max_size=4))
@example([Code("f()"), {"a": 1.5}])
@example([{"a": [Code("f()", {"x": 1})]}, {"b": math.inf}])
@example([DBRef("Others", ObjectId(b"x" * 12)), [DatetimeMS(2**62)]])
@example(
    [
        {"a": [None, {"b": math.nan}]},
        [None],
        math.inf,
        {"n": None, "c": Code("f()", {"x": math.nan})},
    ]
)
@example([{"n": None, "d": DBRef("Others", 1, None, {"more": -math.inf})}])
def test_relaxed_texts_are_those_of_bson(values: list[Any]) -> None:
    values = as_read(values)
    texts_ = relaxed_texts(values)
    assert len(texts_) == len(values)
    for value, text in zip(values, texts_, strict=True):
        if value is None:
            assert text is None
            continue
        assert text is not None
        reference = bson_json.dumps(value, json_options=bson_json.RELAXED_JSON_OPTIONS)
        assert parsed(text) == parsed(reference)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
@example(0.1 + 0.2)
@example(1e22)
def test_doubles_keep_every_digit(value: float) -> None:
    (text,) = relaxed_texts([{"v": [value]}])
    assert text is not None
    assert bits(text.removeprefix('{"v":[').removesuffix("]}")) == struct.pack(">d", value)
