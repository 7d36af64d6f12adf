"""The judge: section 5 rule by rule, and that it and the loader, which share no code, agree on any value."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from json import loads
from typing import Any

import bson
import polars as pl
import pytest
import sqlalchemy as sa
from bson import Binary, Code, Decimal128, Int64, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st
from polars import selectors
from psycopg import sql

from migration_assets.conversion.batches import BatchConverter, Books
from migration_assets.conversion.extended_json import relaxed_texts
from migration_assets.identity import canonical, document_uuid, source_id
from migration_assets.known_ids import Loaded
from migration_assets.model import Rule, columns, source_of, sources
from migration_assets.model.columns import Column
from migration_assets.nextcrm import ENTITIES, ENUMS
from migration_assets.source.connection import CODEC
from migration_assets.source.reading import identifier
from migration_assets.validation.bson_reader import read_document, spans
from migration_assets.validation.comparison import compared, means_same_json
from migration_assets.validation.documents import Documents, Identities
from migration_assets.validation.exact_values import FIRST_TIMESTAMP, LAST_TIMESTAMP
from migration_assets.validation.expected import SOURCE_ID, ExpectedRows, usual_kinds
from migration_assets.validation.extended_json import meaning
from migration_assets.validation.identities import (
    Ids,
    object_id_of,
    source_id_of,
    uuid_of,
)
from migration_assets.validation.judge import ArrayJudge, Judge, Judgement, Line
from migration_assets.validation.known_ids import KnownIds
from migration_assets.validation.postgres_text import uuid_text
from migration_assets.validation.rules import RULES
from migration_assets_tests.support.bson_strategies import (
    DATES,
    DECIMALS,
    INT64,
    OBJECT_IDS,
    TEXTS,
    VALUES,
)
from migration_assets_tests.support.properties import examples

OWN = ObjectId("507f1f77bcf86cd799439011")
KNOWN = ObjectId("5f0000000000000000000001")
REJECTED = ObjectId("5f0000000000000000000002")
"""A document in the map without a row."""
UNKNOWN = ObjectId("5f0000000000000000000003")
HEX_ID = "5f0000000000000000000004"
"""An `_id` that is a text."""
OTHER_IDS = [HEX_ID, 'legacy:"1é\\\0', 7, Binary(bytes(16), 4), {"a": 1, "b": [Int64(2)]}]


def uuids(*identifiers: Any) -> frozenset[bytes]:
    return frozenset(document_uuid("Users", identifier).bytes for identifier in identifiers)


# An empty text is no reference, even where it is the `_id` of a document.
ROWS = {"Users": uuids(KNOWN, "", *OTHER_IDS)}
DOCUMENT_IDS = {"Users": uuids(KNOWN, REJECTED, "", *OTHER_IDS)}
IDS = Ids(ROWS, DOCUMENT_IDS)
LOADED = Loaded(ROWS, DOCUMENT_IDS)
KNOWN_UUID = document_uuid("Users", KNOWN)

LANGUAGE = next(enum for enum in ENUMS if enum.name == "Language")


def table_with(column: Column, name: str = "Things") -> sa.Table:
    return sa.Table(name, sa.MetaData(), columns.key(), column, info={"group": "test"})


def column_of(rule: Rule, **options: Any) -> Column:
    """Returns a column ``value`` of a rule, made as the model makes its own."""
    builders: dict[Rule, Any] = {
        Rule.TEXT: columns.text,
        Rule.INTEGER: columns.integer,
        Rule.BIGINT: columns.bigint,
        Rule.BOOLEAN: columns.boolean,
        Rule.TIMESTAMP: columns.timestamp,
        Rule.ENUM: lambda name, **options: columns.choice(name, LANGUAGE, **options),
        Rule.JSON: columns.json,
        Rule.TEXT_ARRAY: columns.text_array,
        Rule.REFERENCE: lambda name, **options: columns.reference(
            name, "Users", foreign_key=False, **options
        ),
        Rule.REFERENCE_ARRAY: lambda name: columns.reference_array(name, "Users"),
        Rule.REFERENCE_TEXT: lambda name, **options: columns.reference_text(
            name, "Users", **options
        ),
        Rule.REFERENCE_TEXT_ARRAY: lambda name: columns.reference_text_array(name, "Users"),
    }
    column: Column = builders[rule]("value", **options)
    return column


def judged(document: dict[str, Any], table: sa.Table) -> Judgement:
    return Judge(table, IDS).judge(bson.encode(document, codec_options=CODEC))


def kept_originals(judgement: Judgement) -> dict[str, str]:
    """Returns what the books keep of a judged document, by what happened to it."""
    return {line.kind: line.original for line in judgement.lines}


def outcome(rule: Rule, value: Any, **options: Any) -> tuple[Any, str]:
    """Returns what becomes of a value, and the one thing that happened to it."""
    judgement = judged({"_id": OWN, "value": value}, table_with(column_of(rule, **options)))
    happened = [kind for _, kind in judgement.conversions] + [line.kind for line in judgement.lines]
    assert len(happened) <= 1, happened
    return judgement.row.get("value"), happened[0] if happened else "accepted"


ACCEPTED, COERCED, NULLED, ALTERED, ORPHANED = (
    "accepted",
    "coerced",
    "nulled",
    "altered",
    "orphaned",
)
DAY = datetime(2024, 2, 29, 23, 59, 59, 999000)
DAY_MS = 1_709_251_199_999

TEXT_CASES: list[tuple[Any, Any, str]] = [
    ("text", "text", ACCEPTED),
    ("", "", ACCEPTED),
    ("a\x00b\x00", "a\ufffdb\ufffd", ALTERED),
    (-7, "-7", COERCED),
    (Int64(2**63 - 1), "9223372036854775807", COERCED),
    (1.0, "1", COERCED),
    (-0.0, "-0", COERCED),
    (0.1 + 0.2, "0.30000000000000004", COERCED),
    (1e22, "1e+22", COERCED),
    (True, "true", COERCED),
    (False, "false", COERCED),
    (Decimal128("10.50"), "10.50", COERCED),
    (Decimal128("1E+3"), "1E+3", COERCED),
    (KNOWN, str(KNOWN), COERCED),
    (DAY, "2024-02-29T23:59:59.999Z", COERCED),
    (DatetimeMS(-62_167_219_200_001), "-000001-12-31T23:59:59.999Z", COERCED),
    (DatetimeMS(253_402_300_800_000), "+010000-01-01T00:00:00.000Z", COERCED),
    (float("nan"), None, NULLED),
    (float("-inf"), None, NULLED),
    (Decimal128("NaN"), None, NULLED),
    (Decimal128("Infinity"), None, NULLED),
    ({}, None, NULLED),
    ([], None, NULLED),
    (["text"], None, NULLED),
    (Binary(b"text"), None, NULLED),
    (Regex("a"), None, NULLED),
    (Code("f"), None, NULLED),
    (Timestamp(1, 1), None, NULLED),
    (MinKey(), None, NULLED),
]
INTEGER_CASES: list[tuple[Any, Any, str]] = [
    (2**31 - 1, 2**31 - 1, ACCEPTED),
    (Int64(-(2**31)), -(2**31), ACCEPTED),
    (-0.0, 0, ALTERED),
    (Decimal128("-0.00"), 0, ALTERED),
    (7.0, 7, COERCED),
    (Decimal128("7.00"), 7, COERCED),
    (Decimal128("7E+2"), 700, COERCED),
    ("-7", -7, COERCED),
    ("-0", 0, ALTERED),
    ("007", 7, ALTERED),
    ("+7", 7, ALTERED),
    ("-" + "0" * 50 + "7", -7, ALTERED),
    *((text, None, NULLED) for text in ("+", "-", "+-7", "7+", " 7")),
    (7.5, None, NULLED),
    (float("nan"), None, NULLED),
    (Decimal128("7.5"), None, NULLED),
    (Decimal128("1E+6000"), None, NULLED),
    ("7.0", None, NULLED),
    (" 7", None, NULLED),
    ("", None, NULLED),
    ("\u0667", None, NULLED),
    (True, None, NULLED),
    (DAY, None, NULLED),
    (KNOWN, None, NULLED),
    ([7], None, NULLED),
]
BOOLEAN_CASES: list[tuple[Any, Any, str]] = [
    (True, True, ACCEPTED),
    (False, False, ACCEPTED),
    (0, False, COERCED),
    (Int64(1), True, COERCED),
    (1.0, True, COERCED),
    (Decimal128("0.0"), False, COERCED),
    ("true", True, COERCED),
    ("false", False, COERCED),
    ("True", None, NULLED),
    ("1", None, NULLED),
    ("", None, NULLED),
    (2, None, NULLED),
    (0.5, None, NULLED),
    ([True], None, NULLED),
]
TIMESTAMP_CASES: list[tuple[Any, Any, str]] = [
    (DAY, DAY_MS, ACCEPTED),
    (DatetimeMS(FIRST_TIMESTAMP), FIRST_TIMESTAMP, ACCEPTED),
    (DatetimeMS(LAST_TIMESTAMP), LAST_TIMESTAMP, ACCEPTED),
    (DatetimeMS(FIRST_TIMESTAMP - 1), None, NULLED),
    (DatetimeMS(LAST_TIMESTAMP + 1), None, NULLED),
    ("2024-02-29T23:59:59.999Z", DAY_MS, COERCED),
    ("2024-02-29T23:59:59.999", DAY_MS, COERCED),
    ("2024-03-01T01:59:59.999+02:00", DAY_MS, COERCED),
    ("2024-02-29T21:29:59,999000-0230", DAY_MS, COERCED),
    ("2024-02-29 23:59", DAY_MS - 59_999, COERCED),
    ("2024-02-29T23:59:59.999+00", DAY_MS, COERCED),
    ("2024-02-29T23:59:59.999+00:", None, NULLED),
    ("1970-01-01", 0, COERCED),
    ("-004713-11-24T00:00:00Z", FIRST_TIMESTAMP, COERCED),
    ("+294276-12-31T23:59:59.999Z", LAST_TIMESTAMP, COERCED),
    ("+294277-01-01T00:00:00Z", None, NULLED),
    ("2024-02-29T23:59:59.9999Z", DAY_MS, ALTERED),
    ("2023-02-29", None, NULLED),
    ("2024-02-29T24:00:00Z", None, NULLED),
    ("2024-02-29T23:60:00Z", None, NULLED),
    ("2024-02-29T23:59:60Z", None, NULLED),
    ("2024-13-01", None, NULLED),
    ("29.2.2024", None, NULLED),
    ("tomorrow", None, NULLED),
    ("", None, NULLED),
    (0, 0, COERCED),
    (Int64(DAY_MS), DAY_MS, COERCED),
    (float(DAY_MS), DAY_MS, COERCED),
    (Decimal128("0"), 0, COERCED),
    (0.5, None, NULLED),
    (Int64(2**63 - 1), None, NULLED),
    (True, None, NULLED),
    (Timestamp(1, 1), None, NULLED),
    (KNOWN, None, NULLED),
]
ENUM_CASES: list[tuple[Any, Any, str]] = [
    ("cz", "cz", ACCEPTED),
    ("CZ", None, NULLED),
    (" cz", None, NULLED),
    ("", None, NULLED),
    (1, None, NULLED),
]
REFERENCE_CASES: list[tuple[Any, Any, str]] = [
    (KNOWN, KNOWN_UUID.bytes, ACCEPTED),
    *((identifier, document_uuid("Users", identifier).bytes, ACCEPTED) for identifier in OTHER_IDS),
    (str(KNOWN), KNOWN_UUID.bytes, COERCED),
    (str(KNOWN).upper(), KNOWN_UUID.bytes, COERCED),
    ("", None, COERCED),
    (REJECTED, None, ORPHANED),
    (UNKNOWN, None, ORPHANED),
    (str(UNKNOWN), None, ORPHANED),
    ("legacy:2", None, ORPHANED),
    *(
        (seven, document_uuid("Users", 7).bytes, ACCEPTED)
        for seven in (Int64(7), 7.0, Decimal128("7.0"))
    ),
    ([KNOWN], KNOWN_UUID.bytes, COERCED),
    ([str(KNOWN)], KNOWN_UUID.bytes, COERCED),
    *(
        (value, None, ORPHANED)
        for value in ([UNKNOWN], [KNOWN, KNOWN], [], [""], [None], [[KNOWN]])
    ),
    (ObjectId(HEX_ID), None, ORPHANED),
    (False, None, ORPHANED),
]
REFERENCE_TEXT_CASES: list[tuple[Any, Any, str]] = [
    (str(KNOWN), str(KNOWN_UUID), ACCEPTED),
    (str(KNOWN).upper(), str(KNOWN_UUID), ACCEPTED),
    (KNOWN, str(KNOWN_UUID), ACCEPTED),
    (str(REJECTED), str(document_uuid("Users", REJECTED)), ACCEPTED),
    (HEX_ID, str(document_uuid("Users", HEX_ID)), ACCEPTED),
    ("", "", ACCEPTED),
    (str(UNKNOWN), str(UNKNOWN), ORPHANED),
    ("not an id", "not an id", ORPHANED),
    ("a\x00", "a\ufffd", ORPHANED),
    (8, "8", ORPHANED),
    ({}, None, NULLED),
]


@pytest.mark.parametrize(
    ("rule", "value", "expected", "kind"),
    [
        (rule, *case)
        for rule, cases in (
            (Rule.TEXT, TEXT_CASES),
            (Rule.INTEGER, INTEGER_CASES),
            (Rule.INTEGER, [(Int64(2**31), None, NULLED), (-(2.0**40), None, NULLED)]),
            (Rule.BIGINT, INTEGER_CASES),
            (Rule.BIGINT, [(Int64(-(2**63)), -(2**63), ACCEPTED), (2.0**63, None, NULLED)]),
            (Rule.BIGINT, [("9223372036854775808", None, NULLED), (f"{7:050}", 7, ALTERED)]),
            (Rule.BOOLEAN, BOOLEAN_CASES),
            (Rule.TIMESTAMP, TIMESTAMP_CASES),
            (Rule.ENUM, ENUM_CASES),
            (Rule.REFERENCE, REFERENCE_CASES),
            (Rule.REFERENCE_TEXT, REFERENCE_TEXT_CASES),
        )
        for case in cases
    ],
    ids=repr,
)
def test_a_rule_in_a_nullable_column(rule: Rule, value: Any, expected: Any, kind: str) -> None:
    result, happened = outcome(rule, value)
    assert (type(result), result, happened) == (type(expected), expected, kind)
    raw = bson.encode({"_id": OWN, "value": value}, codec_options=CODEC)
    assert_agreement(table_with(column_of(rule)), [raw])


@pytest.mark.parametrize(("digit", "expected"), [("0", (0, ALTERED)), ("1", (None, NULLED))])
def test_thousands_of_digits(digit: str, expected: tuple[Any, str]) -> None:
    """Python reads no more than 4300 of them."""
    assert outcome(Rule.BIGINT, digit * 5000) == expected
    raw = bson.encode({"_id": OWN, "value": digit * 5000})
    assert_agreement(table_with(column_of(Rule.BIGINT)), [raw])


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        (Rule.TEXT, {}),
        (Rule.INTEGER, 0.5),
        (Rule.BIGINT, True),
        (Rule.BOOLEAN, 2),
        (Rule.TIMESTAMP, "now"),
        (Rule.ENUM, "CZ"),
        (Rule.REFERENCE, REJECTED),
        (Rule.REFERENCE, ""),
        (Rule.REFERENCE_TEXT, []),
    ],
)
def test_what_is_not_convertible_rejects_the_document_where_not_null(
    rule: Rule, value: Any
) -> None:
    assert outcome(rule, value)[1] in (NULLED, ORPHANED, COERCED)
    document = {"_id": OWN, "value": value, "other": [1]}
    judgement = judged(document, table_with(column_of(rule, required=True)))
    assert [name for name, _ in judgement.rejections] == ["value"]
    assert (judgement.row, judgement.conversions) == ({}, ())
    assert kept_originals(judgement) == {"rejected": canonical(document)}


NOTHING = object()


@pytest.mark.parametrize("value", [None, NOTHING])
@pytest.mark.parametrize(
    ("column", "expected", "kind"),
    [
        (lambda: columns.text("value"), None, ACCEPTED),
        (lambda: columns.text("value", default="Inactive"), None, ACCEPTED),
        (lambda: columns.boolean("value", default=False), None, ACCEPTED),
        (lambda: columns.timestamp("value", default=columns.NOW), None, ACCEPTED),
        (lambda: columns.json("value"), None, ACCEPTED),
        (lambda: columns.text_array("value"), [], ACCEPTED),
        (lambda: columns.reference_array("value", "Users"), [], ACCEPTED),
        (lambda: columns.reference_text_array("value", "Users"), [], ACCEPTED),
        (lambda: columns.boolean("value", required=True, default=True), True, "defaulted"),
        (lambda: columns.bigint("value", required=True, default=0), 0, "defaulted"),
        (lambda: columns.timestamp("value", required=True), 1_350_508_407_000, "derived"),
        (
            lambda: columns.text("value", required=True, derived=True),
            "2012-10-17T21:13:27.000Z",
            "derived",
        ),
        (lambda: columns.text("value", required=True), None, "rejected"),
        (
            lambda: columns.reference("value", "Users", required=True, foreign_key=False),
            None,
            "rejected",
        ),
    ],
)
def test_a_missing_or_null_value(
    value: object, column: Callable[[], Column], expected: Any, kind: str
) -> None:
    document = {"_id": OWN} if value is NOTHING else {"_id": OWN, "value": value}
    judgement = judged(document, table_with(column()))
    happened = [kind for _, kind in judgement.conversions] + ["rejected"] * bool(
        judgement.rejections
    )
    assert (judgement.row.get("value"), happened or [ACCEPTED]) == (expected, [kind])


def test_version_is_zero_where_it_is_missing() -> None:
    judgement = judged({"_id": OWN}, table_with(columns.version()))
    assert (judgement.row, judgement.conversions) == ({"__v": 0}, (("__v", "defaulted"),))


def test_a_time_cannot_be_derived_from_another_id() -> None:
    table = table_with(columns.timestamp("value", required=True))
    assert [name for name, _ in judged({"_id": "text"}, table).rejections] == ["value"]


def array_outcome(rule: Rule, value: Any) -> tuple[Any, list[tuple[str, int | None, str]], int]:
    """Returns the elements, (kind, element, original) of each loss, and how many were coerced."""
    judgement = judged({"_id": OWN, "value": value}, table_with(column_of(rule)))
    assert {kind for _, kind in judgement.conversions} <= {COERCED}
    losses = [(line.kind, line.element, line.original) for line in judgement.lines]
    return judgement.row["value"], losses, len(judgement.conversions)


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        (Rule.TEXT_ARRAY, ["b", "", "a", "b"], (["b", "", "a", "b"], [], 0)),
        (Rule.TEXT_ARRAY, "lone", (["lone"], [], 1)),
        (Rule.TEXT_ARRAY, [1, True, "x"], (["1", "true", "x"], [], 2)),
        (Rule.TEXT_ARRAY, ["x", None], (["x"], [(ALTERED, 1, "null")], 0)),
        (Rule.TEXT_ARRAY, [{}, "x"], (["x"], [(ALTERED, 0, "{}")], 0)),
        (Rule.TEXT_ARRAY, {}, ([], [(ALTERED, 0, "{}")], 1)),
        (Rule.TEXT_ARRAY, ["\x00"], (["\ufffd"], [(ALTERED, 0, '"\\u0000"')], 0)),
        (Rule.REFERENCE_ARRAY, [KNOWN, KNOWN], ([KNOWN_UUID.bytes] * 2, [], 0)),
        (Rule.REFERENCE_ARRAY, str(KNOWN), ([KNOWN_UUID.bytes], [], 2)),
        (Rule.REFERENCE_ARRAY, [None, KNOWN], ([KNOWN_UUID.bytes], [(ALTERED, 0, "null")], 0)),
        (Rule.REFERENCE_ARRAY, ["", KNOWN], ([KNOWN_UUID.bytes], [(ALTERED, 0, '""')], 0)),
        (Rule.REFERENCE_ARRAY, ["a"], ([], [(ORPHANED, 0, '"a"')], 0)),
        (Rule.REFERENCE_ARRAY, [REJECTED], ([], [(ORPHANED, 0, canonical(REJECTED))], 0)),
        (Rule.REFERENCE_TEXT_ARRAY, [str(KNOWN), ""], ([str(KNOWN_UUID), ""], [], 0)),
        (Rule.REFERENCE_TEXT_ARRAY, ["a"], (["a"], [(ORPHANED, 0, '"a"')], 0)),
        (
            Rule.REFERENCE_TEXT_ARRAY,
            [None, {}],
            ([], [(ALTERED, 0, "null"), (ALTERED, 1, "{}")], 0),
        ),
    ],
    ids=repr,
)
def test_an_array_is_converted_element_by_element(rule: Rule, value: Any, expected: Any) -> None:
    assert array_outcome(rule, value) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([0.1 + 0.2, 1.0, Int64(2**63 - 1)], "[0.30000000000000004, 1, 9223372036854775807]"),
        ({"b": True, "a": None}, '{"a": null, "b": true}'),
        (DAY, '{"$date": "2024-02-29T23:59:59.999Z"}'),
        (datetime(2024, 2, 29), '{"$date": "2024-02-29T00:00:00Z"}'),
        (datetime(1969, 12, 31), '{"$date": {"$numberLong": "-86400000"}}'),
        (DatetimeMS(2**53), '{"$date": {"$numberLong": "9007199254740992"}}'),
        (DatetimeMS(253402300799999), '{"$date": "9999-12-31T23:59:59.999Z"}'),
        (DatetimeMS(253402300800000), '{"$date": {"$numberLong": "253402300800000"}}'),
        (float("nan"), '{"$numberDouble": "NaN"}'),
        (Decimal128("1.0"), '{"$numberDecimal": "1.0"}'),
        (KNOWN, f'{{"$oid": "{KNOWN}"}}'),
        ({"$ref": "c", "$id": 1}, '{"$ref": "c", "$id": 1}'),
        ("\\u0000", '"\\\\u0000"'),
    ],
)
def test_any_value_is_json(value: Any, text: str) -> None:
    result, happened = outcome(Rule.JSON, value)
    assert happened == ACCEPTED
    assert means_same_json(result, text)


def test_json_without_negative_zero_is_altered() -> None:
    value = {"a": [-0.0, -0.05, 0.0, "-0.0", bson.Code("-0.0", {"b": -0.0})], "-0.0": 1}
    result, happened = outcome(Rule.JSON, value)
    assert happened == ALTERED
    text = '{"a": [0.0, -0.05, 0.0, "-0.0", {"$code": "-0.0", "$scope": {"b": 0}}], "-0.0": 1}'
    assert means_same_json(result, text)
    assert not means_same_json("-0.0", "0.0")
    raw = [bson.encode({"_id": OWN, "value": value}), bson.encode({"_id": KNOWN, "value": "-0.0"})]
    assert_agreement(table_with(column_of(Rule.JSON)), raw)


def test_json_without_nul_is_altered() -> None:
    result, happened = outcome(Rule.JSON, [{"a": "x\x00"}, "\\u0000"])
    assert (loads(result), happened) == ([{"a": "x\ufffd"}, "\\u0000"], ALTERED)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("0.30000000000000004", "0.3"),
        ("1", "true"),
        ("0", "false"),
        ("1", '"1"'),
        ("[1,2]", "[2,1]"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("18446744073709551617", "18446744073709551616"),
        ('{"a": 1e-400}', '{"a": 0}'),
        ("[1,-1E-400]", "[1,-0.0]"),
    ],
)
def test_json_that_differs(left: str, right: str) -> None:
    assert not means_same_json(left, right)
    assert meaning(left) != meaning(right)
    assert meaning(left) == meaning(left)


@pytest.mark.parametrize(("left", "right"), [("1.0", "1"), ("1e3", "1000"), ("0.0", "0")])
def test_a_number_is_the_same_however_it_is_written(left: str, right: str) -> None:
    assert means_same_json(f"[{left}]", f"[{right}]")


def test_a_unique_value_goes_to_the_first_document() -> None:
    judge = Judge(ENTITIES["Users"], Ids())
    first, second = ({"_id": ObjectId(), "email": "5", "created_on": DAY} for _ in range(2))
    third = {"_id": ObjectId(), "email": 5}
    rejected = {"_id": ObjectId(), "email": "6", "is_admin": "?"}
    fourth = {"_id": ObjectId(), "email": "6"}
    judgements = [
        judge.judge(bson.encode(document)) for document in (first, second, third, rejected, fourth)
    ]
    assert [[name for name, _ in judgement.rejections] for judgement in judgements] == [
        [],
        ["email"],
        ["email"],
        ["is_admin"],
        [],
    ]
    assert not judge.judge(bson.encode(first)).rejections


def test_unknown_fields_are_kept_in_order() -> None:
    judgement = judged(
        {"_id": OWN, "z": 1, "value": "x", "a": None}, table_with(column_of(Rule.TEXT))
    )
    assert kept_originals(judgement) == {"unmapped": '{"z":{"$numberInt":"1"},"a":null}'}
    assert not kept_originals(judged({"_id": OWN}, table_with(column_of(Rule.TEXT))))


def test_arrays_of_relations_are_not_unknown() -> None:
    user = {"_id": OWN, "email": "", "watching_boardsIDs": [KNOWN]}
    assert "unmapped" not in kept_originals(
        Judge(ENTITIES["Users"], Ids()).judge(bson.encode(user))
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw.replace(b"caf\xc3\xa9", b"caf\xe9\xe9"),
        lambda raw: raw.replace(b"b\0", b"a\0"),
    ],
    ids=["text that is not UTF-8", "a field twice"],
)
def test_a_document_that_cannot_be_a_row_without_loss_is_kept_as_its_bytes(damage: Any) -> None:
    raw = damage(bson.encode({"_id": OWN, "a": "caf\u00e9", "b": ["x"]}))
    judgement = Judge(table_with(column_of(Rule.TEXT)), IDS).judge(raw)
    assert [name for name, _ in judgement.rejections] == [None]
    assert kept_originals(judgement) == {"rejected": canonical(Binary(raw))}
    assert (judgement.id, judgement.source_id) == (document_uuid("Things", OWN).bytes, str(OWN))


NULL_ELEMENT = Line("a", ALTERED, 0, "null", reason="null element dropped")
EMPTY_ELEMENT = Line("a", ALTERED, 0, '""', reason="empty string element dropped")
PAIR_CASES: list[tuple[Any, bool, list[Any], list[Line], list[str]]] = [
    (None, True, [], [], []),
    ([], True, [], [], []),
    ([KNOWN, HEX_ID], True, [KNOWN, HEX_ID], [], []),
    ([KNOWN, str(KNOWN)], True, [KNOWN, KNOWN], [], [COERCED, "repeated"]),
    (KNOWN, True, [KNOWN], [], [COERCED]),
    ([None, ""], True, [], [NULL_ELEMENT, EMPTY_ELEMENT._replace(element=1)], []),
    ("", True, [], [EMPTY_ELEMENT], [COERCED]),
    (
        [KNOWN, 8],
        True,
        [KNOWN],
        [
            Line(
                "a",
                ORPHANED,
                1,
                '{"$numberInt":"8"}',
                reason="no row of Users has this id",
            )
        ],
        [],
    ),
    (
        [None, KNOWN],
        False,
        [],
        [
            NULL_ELEMENT,
            Line(
                "a",
                ORPHANED,
                1,
                canonical(KNOWN),
                reason="the document that holds it was rejected",
            ),
        ],
        [],
    ),
]


@pytest.mark.parametrize(
    ("value", "is_loaded", "ids", "lines", "conversions"), PAIR_CASES, ids=repr
)
def test_an_array_of_a_relation(
    value: Any, is_loaded: bool, ids: list[Any], lines: list[Line], conversions: list[str]
) -> None:
    holder = document_uuid("Things", OWN).bytes
    known = Ids({"Things": {holder} if is_loaded else frozenset(), **ROWS})
    judge = ArrayJudge(table_with(column_of(Rule.TEXT)), "a", "Users", known)
    judgement = judge.judge(bson.encode({"_id": OWN, "a": value, "more": 1}, codec_options=CODEC))
    assert (judgement.row["a"] or []) == [
        document_uuid("Users", identifier).bytes for identifier in ids
    ]
    assert list(judgement.lines) == lines
    assert list(judgement.conversions) == [("a", kind) for kind in conversions]
    assert judgement.id == holder


@given(OBJECT_IDS | VALUES.filter(lambda value: not isinstance(value, list)))
def test_identities_are_those_of_the_design(identifier: Any) -> None:
    identifier = bson.decode(bson.encode({"": identifier}, codec_options=CODEC), CODEC)[""]
    (value,) = read_document(bson.encode({"_id": identifier}, codec_options=CODEC)).values()
    assert uuid_of("Users", value) == document_uuid("Users", identifier).bytes
    assert source_id_of(value) == source_id(identifier)
    original_id = object_id_of(uuid_of("Users", value))
    assert original_id == (identifier.binary if isinstance(identifier, ObjectId) else None)


# The loader and the judge on the same documents.

ISO_TIMES = st.from_regex(
    r"\A([0-9]{4}|[+-](0[0-9]{5}|29427[5-8]))-[01][0-9]-[0-3][0-9]"
    r"([Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]([.,][0-9]{1,6})?)?(Z|z|[+-][01][0-9](:?([0-5][0-9])?)?)?)?\Z"
)
LIKELY: dict[Rule, st.SearchStrategy[Any]] = {
    Rule.TEXT: TEXTS,
    Rule.INTEGER: st.integers(-(2**32), 2**32).map(lambda n: n if abs(n) < 2**31 else Int64(n)),
    Rule.BIGINT: st.builds(Int64, INT64),
    Rule.BOOLEAN: st.sampled_from([0, 1, 0.0, 1.0, "true", "false", Int64(1), Decimal128("1.0")]),
    Rule.TIMESTAMP: DATES | ISO_TIMES | st.builds(Int64, INT64) | st.floats(allow_nan=False),
    Rule.ENUM: st.sampled_from([*LANGUAGE.enums, "CZ"]),
    Rule.JSON: VALUES,
    Rule.REFERENCE: st.sampled_from([KNOWN, REJECTED, UNKNOWN, *OTHER_IDS]).flatmap(
        lambda identifier: st.sampled_from(
            [identifier, str(identifier), str(identifier).upper(), ""]
        )
    ),
}
LIKELY[Rule.REFERENCE_TEXT] = LIKELY[Rule.REFERENCE]
for array, of in (
    (Rule.TEXT_ARRAY, Rule.TEXT),
    (Rule.REFERENCE_ARRAY, Rule.REFERENCE),
    (Rule.REFERENCE_TEXT_ARRAY, Rule.REFERENCE),
):
    LIKELY[array] = st.lists(LIKELY[of] | VALUES, max_size=4) | LIKELY[of]
DIGITS = st.from_regex(r"\A-?[0-9]{1,21}\Z")
ANY = VALUES | DIGITS | DECIMALS | st.just(NOTHING)

COMBINATIONS: list[tuple[Rule, dict[str, Any]]] = [
    *((rule, {}) for rule in LIKELY),
    *((rule, {"required": True}) for rule in LIKELY if not rule.is_array and rule != Rule.JSON),
    (Rule.TEXT, {"required": True, "default": "Inactive"}),
    (Rule.TEXT, {"required": True, "derived": True}),
    (Rule.TEXT, {"default": "Inactive"}),
    (Rule.BIGINT, {"required": True, "default": 0}),
    (Rule.BOOLEAN, {"required": True, "default": True}),
    (Rule.BOOLEAN, {"default": False}),
    (Rule.ENUM, {"required": True, "default": "en"}),
    (Rule.TIMESTAMP, {"required": True, "default": columns.NOW}),
]
IDENTIFIERS = OBJECT_IDS | st.sampled_from(OTHER_IDS)


def converted(table: sa.Table, documents: list[bytes]) -> tuple[dict[bytes, dict[str, Any]], Books]:
    """Returns what the loader makes of documents: rows by id, and the books."""
    batch = BatchConverter(table, LOADED).convert(b"".join(documents))
    rows = {}
    # As numbers: Python's own dates end at 9999.
    times = batch.rows.with_columns(selectors.datetime().to_physical())
    for row in times.iter_rows(named=True):
        rows[row.pop("id")] = row
    return rows, batch.books


def assert_agreement(table: sa.Table, documents: list[bytes]) -> None:
    """Asserts that the judge expects of documents exactly what the loader makes of them."""
    rows, books = converted(table, documents)
    judge = Judge(table, IDS)
    judgements = [judge.judge(document) for document in documents]
    expected = {judgement.id: judgement.row for judgement in judgements if not judgement.rejections}
    assert rows.keys() == expected.keys()
    for key, row in expected.items():
        for name, value in row.items():
            is_json = value is not None and source_of(table.columns[name]).rule is Rule.JSON
            loaded = rows[key][name]
            assert means_same_json(loaded, value) if is_json else loaded == value, name
            assert type(loaded) is type(value)
    assert Counter(
        (name, str(kind)) for (name, kind, _) in books.conversions.elements()
    ) == Counter(pair for judgement in judgements for pair in judgement.conversions)
    lines = [
        (judgement.source_id, line)
        for judgement in judgements
        for line in judgement.lines
        if line.kind not in ("rejected", "unmapped")
    ]
    issues = [
        (
            issue.source_id,
            Line(issue.field, str(issue.kind), issue.element, issue.original, reason=issue.reason),
        )
        for issue in books.issues
    ]
    assert Counter(issues) == Counter(lines)
    assert sorted(books.unmapped) == sorted(
        (judgement.source_id, kept_originals(judgement)["unmapped"])
        for judgement in judgements
        if "unmapped" in kept_originals(judgement)
    )
    rejected = {judgement.source_id: judgement for judgement in judgements if judgement.rejections}
    assert sorted(judgement.source_id for judgement in books.rejected) == sorted(rejected)
    for line in books.rejected:
        judgement = rejected[line.source_id]
        reasons = dict(judgement.rejections)
        assert line.field in reasons
        if line.field is not None:  # of what cannot be read the driver says why
            assert line.reason == reasons[line.field]
        assert line.document == kept_originals(judgement)["rejected"]


@pytest.mark.parametrize(("rule", "options"), COMBINATIONS, ids=repr)
@given(data=st.data())
@examples(25)
def test_the_loader_and_the_judge_agree(
    rule: Rule, options: dict[str, Any], data: st.DataObject
) -> None:
    values = data.draw(st.lists(LIKELY[rule] | ANY, min_size=1, max_size=12))
    identifiers = data.draw(
        st.lists(IDENTIFIERS, min_size=len(values), max_size=len(values), unique_by=canonical)
    )
    documents = [
        {"_id": identifier} if value is NOTHING else {"_id": identifier, "value": value}
        for identifier, value in zip(identifiers, values, strict=True)
    ]
    raw = [bson.encode(document, codec_options=CODEC) for document in documents]
    assert_agreement(table_with(column_of(rule, **options)), raw)


LONGEST = 20
AROUND = [
    "x" * 20,
    "x" * 21,
    "é" * 10,
    "é" * 10 + "x",
    "x" * 17 + "\0",
    "x" * 18 + "\0",
    "y" * 9000,
    5,
]
"""Texts of a column of which an index takes 20 bytes; U+0000 counts as the three of U+FFFD."""
TOO_LONG = "{} bytes, too long for an index of the application, which takes 20"


@pytest.mark.parametrize("options", [{}, {"required": True}, {"required": True, "default": "x"}])
def test_a_text_that_no_index_takes_is_not_convertible(options: dict[str, Any]) -> None:
    column = column_of(Rule.TEXT, **options)
    column.info["source"] = replace(source_of(column), longest=LONGEST)
    table = table_with(column)
    documents: list[dict[str, Any]] = [
        {"_id": ObjectId(f"{number:024x}"), "value": value} for number, value in enumerate(AROUND)
    ]
    raw = [bson.encode(document, codec_options=CODEC) for document in documents]
    assert_agreement(table, raw)
    judgements = [Judge(table, IDS).judge(document) for document in raw]
    reasons = [
        line.reason for judgement in judgements for line in judgement.lines if line.kind == NULLED
    ]
    reasons += [reason for judgement in judgements for _, reason in judgement.rejections]
    assert reasons == [TOO_LONG.format(size) for size in (21, 21, 21, "9,000")]
    # Loaded as it is, it is not plain either.
    for value, document, judgement in zip(AROUND, raw, judgements, strict=True):
        if isinstance(value, str) and "\0" not in value:
            unaltered = replace(judgement, row={"value": value})
            row = row_of(table, unaltered, document)
            (is_plain,) = equal(table, [document], [row])
            assert is_plain == (len(value.encode()) <= LONGEST)


def raw_document(*elements: tuple[int, bytes, bytes]) -> bytes:
    """Returns a document of (type, name, bytes of the value), as no driver would write it."""
    own = (0x07, b"_id", OWN.binary)
    body = b"".join(bytes([kind]) + name + b"\0" + data for kind, name, data in (own, *elements))
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


ONE, TWO = (1).to_bytes(4, "little"), (2).to_bytes(4, "little")
TWICE_WITHIN = b"\x13\0\0\0\x10a\0" + ONE + b"\x10a\0" + TWO + b"\0"


NULL_DATABASE = bson.encode({"$ref": "c", "$id": 1, "$db": None})
IN_AN_ARRAY = bson.encode({"0": {"deep": [bson.Regex("a", "i")]}}).replace(b"a\0i\0", b"a\0g\0")


def test_an_identifier_that_cannot_be_read_is_its_bytes() -> None:
    """The driver decodes both to the same value, which can identify neither."""
    pairs = [
        (b"\x02\x02\0\0\0\xe9\0", b"\x02\x02\0\0\0\xe8\0"),
        (b"\x03" + TWICE_WITHIN, b"\x03" + TWICE_WITHIN.replace(ONE, b"\x03\0\0\0")),
    ]
    table = table_with(column_of(Rule.TEXT))
    for pair in pairs:
        bodies = [
            encoded_id[:1] + b"_id\0" + encoded_id[1:] + b"\x0aother\0\0" for encoded_id in pair
        ]
        raw = [(len(body) + 4).to_bytes(4, "little") + body for body in bodies]
        assert_agreement(table, raw)
        alone = [bodies[0][: -len(b"\x0aother\0\0")] + b"\0"]
        alone = [(len(body) + 4).to_bytes(4, "little") + body for body in alone]
        assert identifier(alone[0]) == identifier(raw[0]) != identifier(raw[1])


@pytest.mark.parametrize(
    ("rule", "raw"),
    [
        (Rule.INTEGER, raw_document((0x10, b"value", ONE), (0x10, b"value", TWO))),
        (Rule.INTEGER, raw_document((0x10, b"other", ONE), (0x10, b"other", TWO))),
        (Rule.JSON, raw_document((0x03, b"value", TWICE_WITHIN))),
        (Rule.JSON, raw_document((0x04, b"value", b"\x1b\0\0\0\x030\0" + TWICE_WITHIN + b"\0"))),
        (
            Rule.JSON,
            raw_document(
                (0x0F, b"value", b"\x1d\0\0\0\x02\0\0\0x\0" + TWICE_WITHIN),
            ),
        ),
        (Rule.TEXT, raw_document((0x0B, b"value", b"a\0g\0"))),
        (Rule.JSON, raw_document((0x0B, b"value", b"a\0ii\0"))),
        (Rule.JSON, raw_document((0x04, b"value", IN_AN_ARRAY))),
        (Rule.JSON, raw_document((0x03, b"value", NULL_DATABASE))),
    ],
    ids=[
        "a field twice",
        "an unknown field twice",
        "a name twice within JSON",
        "a name twice within an array",
        "a name twice within the scope of code",
        "a regex option",
        "a regex option twice",
        "a regex option deep within",
        "a DBRef with null for a database",
    ],
)
def test_the_loader_sees_what_the_driver_hides(rule: Rule, raw: bytes) -> None:
    clean = bson.encode({"_id": KNOWN, "value": None})
    table = table_with(column_of(rule))
    assert_agreement(table, [raw, clean])
    rows, books = converted(table, [raw, clean])
    assert len(rows) == len(books.rejected) == 1
    assert "twice" in books.rejected[0].reason or "has" in books.rejected[0].reason


@pytest.mark.parametrize(
    "raw",
    [
        raw_document((0x0B, b"value", b"a\0mi\0")),
        raw_document((0x04, b"value", bson.encode({"x": 1, "y": [2]}))),
        raw_document((0x03, b"value", bson.encode({"$id": 1, "$ref": "c"}))),
        raw_document((0x03, b"value", bson.encode({"$ref": "c", "$db": None}))),
    ],
    ids=["order of options", "names in an array", "order of a DBRef", "no DBRef"],
)
def test_what_is_written_differently_is_not_lost(raw: bytes) -> None:
    table = table_with(column_of(Rule.JSON))
    assert_agreement(table, [raw])
    assert len(converted(table, [raw])[0]) == 1


@pytest.mark.parametrize(
    ("rule", "raw"),
    [
        (Rule.TEXT, raw_document((0x0E, b"value", b"\x02\0\0\0x\0"))),
        (Rule.JSON, raw_document((0x0E, b"value", b"\x02\0\0\0x\0"))),
        (Rule.TEXT, raw_document((0x06, b"value", b""))),
        (Rule.JSON, raw_document((0x06, b"value", b""))),
        (Rule.JSON, raw_document((0x0C, b"value", b"\x02\0\0\0c\0" + KNOWN.binary))),
        (Rule.TEXT, raw_document((0x02, b"other", b"\x02\0\0\0\xe9\0"))),
        (Rule.TEXT, raw_document((0x02, b"\xe9", b"\x02\0\0\0x\0"))),
    ],
    ids=["symbol", "symbol as JSON", "undefined", "undefined as JSON", "DBPointer", "text", "name"],
)
def test_the_loader_and_the_judge_agree_on_the_deprecated_and_the_broken(
    rule: Rule, raw: bytes
) -> None:
    assert_agreement(table_with(column_of(rule)), [raw])


# Documents that are held against their rows without decoding.


def together(*documents: bytes) -> Documents:
    return Documents.of(b"".join(documents))


Row = dict[str, str | None]


def equal(
    table: sa.Table,
    documents: list[bytes],
    rows: list[Row],
    *,
    ids: Ids = IDS,
) -> list[bool]:
    """Returns whether each document is plain and equals its row."""

    def query(_: sql.Composed, parameters: list[Any]) -> list[tuple[bytes]]:
        asked_ids = map(bytes.fromhex, parameters[0].strip("{}").split(","))
        return [(asked_id,) for asked_id in asked_ids if asked_id in ids.documents["Users"]]

    known = {"Users": KnownIds(query, sql.SQL("").format())}
    given_documents = together(*documents)
    identities = Identities.of(table.name, given_documents)
    expected = ExpectedRows(table, known).of(given_documents, identities)
    json = {
        name: means_same_json for name, source in sources(table).items() if source.rule is Rule.JSON
    }
    are_equal = []
    for number, row in enumerate(rows):
        sides = expected.rows[number], pl.DataFrame([row], schema=expected.rows.schema)
        lines = compared(*sides, ["id"], json)
        agree = lines.select(pl.all_horizontal(pl.exclude("id"))).to_series()
        are_equal.append(bool(agree.all()) and not expected.are_odd[number])
    return are_equal


def row_of(table: sa.Table, judgement: Judgement, document: bytes) -> Row:
    """The row that must be there for a judged document, as PostgreSQL writes it."""
    values = bson.decode(document, CODEC)
    row: Row = {"id": uuid_text(judgement.id), SOURCE_ID: judgement.source_id}
    for name, source in sources(table).items():
        if source.rule is Rule.JSON:
            (row[name],) = relaxed_texts([values.get(source.field)])
        elif source.rule is not Rule.KEY:
            row[name] = RULES[source.rule].written(judgement.row[name])
    return row


def test_half_a_character_beside_a_fraction_is_another_text() -> None:
    """Python reads it from an escape, though PostgreSQL writes none."""
    assert not means_same_json('["\\ud800x", 0.5]', '["\ufffdx", 0.5]')


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "options"), COMBINATIONS, ids=repr)
@given(data=st.data())
@examples(50)
def test_a_document_is_plain_only_where_nothing_happened(
    rule: Rule, options: dict[str, Any], data: st.DataObject
) -> None:
    value = data.draw(LIKELY[rule] | ANY)
    document: dict[str, Any] = {"_id": data.draw(IDENTIFIERS)}
    if value is not NOTHING:
        document["value"] = value
    if data.draw(st.booleans()):
        document["other"] = 1
    raw = bson.encode(document, codec_options=CODEC)
    table = table_with(column_of(rule, **options))
    judgement = Judge(table, IDS).judge(raw)
    if judgement.rejections:
        return
    row = row_of(table, judgement, raw)
    (is_equal,) = equal(table, [raw], [row])
    if judgement.lines or judgement.conversions:
        assert not is_equal
    if is_equal:
        usual = usual_kinds(table)
        assert all(kind in usual[name.decode()] for kind, name, _, _ in spans(raw))
    column = data.draw(st.sampled_from(sorted(row)))
    text = row[column] or ""
    place = data.draw(st.integers(0, len(text)))
    letter = data.draw(st.sampled_from('0 1x{}[]"\\,.-'))
    others = {
        None,
        text[:place] + letter + text[place + 1 :],
        text[:place] + text[place + 1 :],
        text[:place] + letter + text[place:],
    } - {row[column]}
    damaged_rows = [{**row, column: other} for other in others]
    for other, is_same in zip(others, equal(table, [raw] * len(others), damaged_rows), strict=True):
        if is_same:
            assert column == "value"
            assert rule is Rule.JSON  # of which many texts mean the same
            assert means_same_json(text, other or "")


CLEAN: dict[Rule, list[Any]] = {
    Rule.TEXT: ["", "é" * 3000],
    Rule.INTEGER: [-5, Int64(2**31 - 1)],
    Rule.BIGINT: [-5, Int64(-(2**63))],
    Rule.BOOLEAN: [True, False],
    Rule.TIMESTAMP: [DAY, DatetimeMS(FIRST_TIMESTAMP), DatetimeMS(LAST_TIMESTAMP)],
    Rule.JSON: [
        [],
        {},
        [{"a": [None, True, 1, Int64(2**60), 0.1, 1e300, "é", DAY, OWN, {}]}],
        5,
        "x",
    ],
    Rule.TEXT_ARRAY: [[], ["", "é", "x" * 200], ["x"] * 12],
    Rule.REFERENCE: [KNOWN, *OTHER_IDS[1:4]],
    Rule.REFERENCE_ARRAY: [[], [KNOWN, KNOWN], [KNOWN] * 12, OTHER_IDS[1:4]],
    Rule.REFERENCE_TEXT: ["", str(KNOWN), HEX_ID, OTHER_IDS[1]],
    Rule.REFERENCE_TEXT_ARRAY: [[], [str(KNOWN)] * 3, ["", HEX_ID, OTHER_IDS[1]]],
}


@pytest.mark.parametrize("rule", CLEAN)
def test_clean_values_of_every_rule_are_plain(rule: Rule) -> None:
    table = table_with(column_of(rule))
    nothing: list[dict[str, Any]] = [{"_id": OWN, "value": None}, {"_id": OWN}]
    documents: list[dict[str, Any]] = [{"_id": OWN, "value": value} for value in CLEAN[rule]]
    for document in [*documents, *nothing]:
        raw = bson.encode(document, codec_options=CODEC)
        row = row_of(table, Judge(table, IDS).judge(raw), raw)
        assert equal(table, [raw], [row]) == [True], document


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-0.0, "0"),
        (-0.0, "0.0"),
        (0.1, "0.1000000000000000055"),
        (1, "true"),
        (1, "1.5"),
        (1.5, "1"),
        (True, "1"),
        (None, "false"),
        ("1", "1"),
        ([1, 2], "[2, 1]"),
        ([1], "[1, 1]"),
        ([], "{}"),
        ({}, "[]"),
        ({"a": 1}, '{"a": 1, "b": null}'),
        ({"a": 1, "b": None}, '{"a": 1}'),
        (OWN, f'"{OWN}"'),
        ("x", '"x'),
        ({"$ref": "c", "$id": 1, "$db": None}, '{"$ref": "c", "$id": 1, "$db": null}'),
        ([{"$ref": "c", "$id": 1, "$db": None}], '[{"$ref": "c", "$id": 1, "$db": null}]'),
        ("\0", '"\\u0000"'),
        (["a\0"], '["a\\u0000"]'),
        (["a\0"], '["a\ufffd"]'),
        ([-0.0], "[-0.0]"),
    ],
)
def test_jsonb_that_means_something_else(value: Any, text: str) -> None:
    table = table_with(column_of(Rule.JSON))
    row: Row = {"id": str(document_uuid("Things", OWN)), SOURCE_ID: str(OWN), "value": text}
    assert equal(table, [bson.encode({"_id": OWN, "value": value})], [row]) == [False]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12), st.booleans()), max_size=8))
def test_many_documents_compare_with_their_rows_like_one(
    accounts: list[tuple[bool, int, bool]],
) -> None:
    table = ENTITIES["crm_Accounts"]
    ids = Ids({"Users": ROWS["Users"], "crm_Industry_Type": frozenset()})
    documents, rows = [], []
    for number, (is_short, watched, is_wrong) in enumerate(accounts):
        account: dict[str, Any] = {"_id": ObjectId(bytes([number]) * 12), "__v": 1}
        account |= {"name": "x" * number, "createdBy": KNOWN, "createdAt": DAY}
        account |= {} if is_short else {"vat": "", "fax": None}
        account["watchers"] = [KNOWN] * watched
        raw = bson.encode(account)
        row = row_of(table, Judge(table, ids).judge(raw), raw)
        documents.append(raw)
        rows.append({**row, "name": str(row["name"]).replace("x", "y", 1)} if is_wrong else row)
    are_equal = equal(table, documents, rows)
    alone = [
        equal(table, [document], [row])[0] for document, row in zip(documents, rows, strict=True)
    ]
    assert are_equal == alone
    assert are_equal == [not wrong or not number for number, (_, _, wrong) in enumerate(accounts)]


def test_values_of_the_same_bytes_are_compared_with_their_own_texts() -> None:
    table = table_with(column_of(Rule.JSON))
    one, smallest = Int64(1), 5e-324
    assert bson.encode({"": one})[6:] == bson.encode({"": smallest})[6:]
    documents, rows, expected = [], [], []
    cases = [(one, "1"), (one, "2"), (smallest, "1"), (one, "1"), (smallest, "5e-324")]
    cases.append((Int64(2**40 + 1), "1"))
    for number, (value, text) in enumerate(cases):
        identifier = ObjectId(bytes([number]) * 12)
        key = str(document_uuid("Things", identifier))
        row: Row = {"id": key, SOURCE_ID: str(identifier), "value": text}
        rows.append(row)
        documents.append(bson.encode({"_id": identifier, "value": value}))
        expected.append(str(value) == text)
    assert equal(table, documents, rows) == expected
    assert expected == [True, False, False, True, True, False]


def test_a_text_that_may_be_two_identifiers_is_not_plain() -> None:
    """It is one document's `_id` as an ObjectId and another's as a text: the judge decides."""
    table = table_with(column_of(Rule.REFERENCE_TEXT))
    raw = bson.encode({"_id": KNOWN, "value": HEX_ID})
    row = row_of(table, Judge(table, IDS).judge(raw), raw)
    of_object_id, of_text = document_uuid("Users", ObjectId(HEX_ID)), document_uuid("Users", HEX_ID)
    assert row["value"] == str(of_text)
    row["value"] = str(of_object_id)
    for others in ([], [HEX_ID]):
        ids = Ids({}, {"Users": uuids(ObjectId(HEX_ID), *others)})
        assert equal(table, [raw], [row], ids=ids) == [not others]


@pytest.mark.parametrize(
    ("rule", "value"),
    [(Rule.REFERENCE_TEXT, str(KNOWN)), (Rule.REFERENCE_TEXT_ARRAY, [str(KNOWN)])],
    ids=lambda parameter: parameter.name if isinstance(parameter, Rule) else "",
)
def test_a_text_reference_to_a_missing_document_is_not_plain(rule: Rule, value: Any) -> None:
    """Not even where the row holds the same text: the reference is orphaned."""
    table = table_with(column_of(rule))
    raw = bson.encode({"_id": OWN, "value": value})
    row = row_of(table, Judge(table, IDS).judge(raw), raw)
    nobody = {"Users": uuids(REJECTED)}
    for ids, is_plain in ((IDS, True), (Ids(nobody, nobody), False)):
        assert equal(table, [raw], [row], ids=ids) == [is_plain]


def test_a_clean_document_is_plain() -> None:
    account: dict[str, Any] = {
        "_id": OWN,
        "__v": Int64(3),
        "createdAt": DAY,
        "createdBy": KNOWN,
        "assigned_to": None,
        "name": "x" * 2000,
        "vat": "",
        "watchers": [KNOWN],
    }
    table = ENTITIES["crm_Accounts"]
    ids = Ids({"Users": ROWS["Users"], "crm_Industry_Type": frozenset()})
    raw = bson.encode(account)
    row = row_of(table, Judge(table, ids).judge(raw), raw)
    assert equal(table, [raw, raw], [row, row]) == [True, True]
    twice = raw.replace(b"vat\0", b"fax\0").replace(b"assigned_to\0", b"fax\0")
    twice = struct.pack("<i", len(twice)) + twice[4:]
    broken_array = raw.replace(b"\x070\0" + KNOWN.binary, b"\x020\0" + KNOWN.binary)
    for other in (
        twice,
        broken_array,
        raw.replace(b"_id", b"_ix"),
        raw.replace(KNOWN.binary, REJECTED.binary),
    ):
        assert other != raw
        assert equal(table, [other], [row]) == [False]


DOCUMENT = bson.encode({"_id": OWN, "value": "text", "other": ["a"]})


@given(st.data())
def test_damaged_bytes_are_not_plain_or_mean_the_same(data: st.DataObject) -> None:
    table = table_with(column_of(Rule.TEXT))
    judge = Judge(table, IDS)
    document = bson.encode({"_id": OWN, "value": "text"})
    row = row_of(table, judge.judge(document), document)
    damaged = bytearray(document)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(4, len(document) - 1))] = data.draw(st.integers(0, 255))
    (is_equal,) = equal(table, [bytes(damaged)], [row])
    judgement = judge.judge(bytes(damaged))
    assert judgement.row or judgement.rejections
    if is_equal:
        assert judgement == judge.judge(document)
