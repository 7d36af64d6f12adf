"""Section 4 of the design: a document's UUID is a pure function of its collection and `_id`."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, MaxKey, ObjectId
from hypothesis import example, given
from hypothesis import strategies as st

from migration_assets.conversion.columns import convert_keys
from migration_assets.identity import (
    canonical,
    document_uuid,
    from_canonical,
    hex_uuids,
    object_id,
    object_id_uuids,
    source_id,
    uuid_texts,
)
from migration_assets_tests.support.taken_apart import field_of

EXAMPLES = {
    "507f1f77bcf86cd799439011": "013a7092-e8d8-7bcf-a1b3-5e650e404400",  # of the design
    "000000000000000000000000": "00000000-0000-7000-8000-000000000000",
    "ffffffffffffffffffffffff": "03e7ffff-fc18-7fff-bfff-fffffffffc00",
    "000000010000000000000000": "00000000-03e8-7000-8000-000000000000",
    "00000000fff0000000000000": "00000000-0000-7fff-8000-000000000000",
    "00000000000fffffffffffff": "00000000-0000-7000-bfff-fffffffffc00",
    "000000000000000000000001": "00000000-0000-7000-8000-000000000400",
}

OTHERS: list[tuple[Any, str]] = [
    (7, '{"$numberInt":"7"}'),
    (Int64(7), '{"$numberInt":"7"}'),
    (7.0, '{"$numberInt":"7"}'),
    (-0.0, '{"$numberInt":"0"}'),
    (Decimal128("70E-1"), '{"$numberInt":"7"}'),
    (2**40, '{"$numberLong":"1099511627776"}'),
    (2.0**40, '{"$numberLong":"1099511627776"}'),
    (Decimal128("-9223372036854775808"), '{"$numberLong":"-9223372036854775808"}'),
    (2.0**63, '{"$numberDouble":"9.223372036854776e+18"}'),
    (Decimal128("1E+6000"), '{"$numberDecimal":"1E+6000"}'),
    (Decimal128("NaN"), '{"$numberDecimal":"NaN"}'),
    (float("-inf"), '{"$numberDouble":"-Infinity"}'),
    (7.5, '{"$numberDouble":"7.5"}'),
    (Decimal128("7.10"), '{"$numberDecimal":"7.10"}'),
    ("507f1f77bcf86cd799439011", '"507f1f77bcf86cd799439011"'),
    ("", '""'),
    ("příliš \x00", '"p\\u0159\\u00edli\\u0161 \\u0000"'),
    (True, "true"),
    (None, "null"),
    (datetime(1970, 1, 1, tzinfo=UTC), '{"$date":{"$numberLong":"0"}}'),
    (Binary(b"\x01\x02", 4), '{"$binary":{"base64":"AQI=","subType":"04"}}'),
    ({"b": 1, "a": "x"}, '{"b":{"$numberInt":"1"},"a":"x"}'),
    ({"a": ObjectId(b"\x00" * 12)}, '{"a":{"$oid":"000000000000000000000000"}}'),
    (MaxKey(), '{"$maxKey":1}'),
]

object_ids = st.binary(min_size=12, max_size=12).map(ObjectId)
lists_of_object_ids = st.lists(object_ids, max_size=20)


def joined(ids: list[ObjectId]) -> bytes:
    return b"".join(object_id.binary for object_id in ids)


@pytest.mark.parametrize(("hexadecimal", "expected"), EXAMPLES.items())
def test_examples(hexadecimal: str, expected: str) -> None:
    document_id = document_uuid("Users", ObjectId(hexadecimal))
    assert document_id == uuid.UUID(expected)
    assert object_id(document_id) == ObjectId(hexadecimal)


@given(object_ids)
def test_bits(identifier: ObjectId) -> None:
    document_id = document_uuid("Users", identifier)
    seconds = int.from_bytes(identifier.binary[:4], "big")
    other_bits = int.from_bytes(identifier.binary[4:], "big")
    bits = f"{document_id.int:0128b}"
    assert int(bits[:48], 2) == seconds * 1000
    assert (bits[48:52], bits[64:66], bits[118:]) == ("0111", "10", "0" * 10)
    assert int(bits[52:64] + bits[66:118], 2) == other_bits
    assert (document_id.version, document_id.variant) == (7, uuid.RFC_4122)


@given(object_ids)
def test_it_is_reversible_and_the_same_for_every_collection(identifier: ObjectId) -> None:
    assert object_id(document_uuid("Users", identifier)) == identifier
    assert document_uuid("Boards", identifier) == document_uuid("Users", identifier)


@given(object_ids, object_ids)
def test_it_sorts_as_object_ids_do(one: ObjectId, other: ObjectId) -> None:
    uuids = document_uuid("Users", one), document_uuid("Users", other)
    assert (one < other) == (uuids[0] < uuids[1])
    assert (one < other) == (uuids[0].bytes < uuids[1].bytes)  # as PostgreSQL sorts them


@given(lists_of_object_ids)
@example([ObjectId(b"\xff" * 12), ObjectId(b"\x00" * 12)])
def test_many_at_once_equal_one_by_one(ids: list[ObjectId]) -> None:
    one_by_one = [document_uuid("Users", identifier) for identifier in ids]
    all_at_once = object_id_uuids(joined(ids))
    assert all_at_once == b"".join(document_id.bytes for document_id in one_by_one)
    assert uuid_texts(all_at_once) == [str(document_id) for document_id in one_by_one]
    assert hex_uuids(all_at_once) == [document_id.hex for document_id in one_by_one]
    assert convert_keys("Users", field_of(ids)).to_list() == [
        document_id.bytes for document_id in one_by_one
    ]


def test_object_ids_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        object_id_uuids(b"\x00" * 13)


@given(st.uuids())
def test_other_uuids_were_made_from_no_object_id(identifier: uuid.UUID) -> None:
    original_id = object_id(identifier)
    assert original_id is None or document_uuid("Users", original_id) == identifier


@pytest.mark.parametrize(
    "bit",
    [0, 9, 62, 77, 80],
    ids=["first zero bit", "last zero bit", "variant", "version", "time is no second"],
)
def test_a_uuid_with_one_wrong_bit_is_not_ours(bit: int) -> None:
    ours = document_uuid("Users", ObjectId("507f1f77bcf86cd799439011"))
    assert object_id(uuid.UUID(int=ours.int ^ 1 << bit)) is None


def test_seconds_beyond_32_bits_are_not_ours() -> None:
    milliseconds = (1 << 32) * 1000
    assert object_id(uuid.UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62)) is None


@pytest.mark.parametrize(
    ("identifier", "extended_json"), OTHERS, ids=lambda value: repr(value)[:40]
)
def test_other_kinds_of_ids(identifier: Any, extended_json: str) -> None:
    assert source_id(identifier) == extended_json
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "mongodb:crm_Leads")
    expected = uuid.uuid5(namespace, extended_json)
    assert document_uuid("crm_Leads", identifier) == expected
    assert document_uuid("Users", identifier) != expected
    assert (expected.version, object_id(expected)) == (5, None)


def test_known_values_of_other_kinds() -> None:
    assert document_uuid("Users", 7) == uuid.UUID("f4c2a41c-56cf-55a1-9d91-71f02e36212f")
    assert document_uuid("Users", "a") == uuid.UUID("06110cc8-84ce-5105-9ebb-d6b327ae7618")


def test_other_kinds_are_all_different() -> None:
    uuids = {document_uuid("Users", identifier) for identifier, _ in OTHERS}
    assert len(uuids) == len({text for _, text in OTHERS})


def test_mixed_keys() -> None:
    ids: list[Any] = [
        ObjectId("507f1f77bcf86cd799439011"),
        *(identifier for identifier, _ in OTHERS),
    ]
    expected = [document_uuid("Users", identifier).bytes for identifier in ids]
    assert convert_keys("Users", field_of(ids)).to_list() == expected
    assert convert_keys("Users", field_of([])).to_list() == []


def test_source_id_of_an_object_id_is_its_hex() -> None:
    assert source_id(ObjectId("507F1F77BCF86CD799439011")) == "507f1f77bcf86cd799439011"


@pytest.mark.parametrize(
    "odd",
    [
        {"$oid": "nope"},
        {"$oid": ObjectId("a" * 24), "more": 1},
        {"$date": "x"},
        {"$numberLong": "zz"},
        {"$numberLong": "99999999999999999999"},
        {"$date": {"$numberLong": "99999999999999999999"}},
        {"$numberDecimal": "abc"},
        {"$binary": "x"},
        {"$timestamp": {"t": -1, "i": 1}},
        {"$code": 1},
        {"$minKey": 2},
    ],
)
def test_fields_that_look_like_extended_json_are_read_as_they_stand(odd: dict[str, Any]) -> None:
    document = {"_id": ObjectId("b" * 24), "odd": odd, "list": [odd], "plain": Int64(7)}
    assert from_canonical(canonical(document)) == document
