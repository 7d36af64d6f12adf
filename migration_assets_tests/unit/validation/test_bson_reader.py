"""The judge's BSON reader sees what pymongo sees, and what pymongo does not: repeated names, bad bytes."""

from __future__ import annotations

import math
import struct
import uuid
from collections.abc import Callable
from typing import Any

import bson
import pytest
from bson import Binary, DBRef, Decimal128, ObjectId
from bson.codec_options import DatetimeConversion
from hypothesis import example, given
from hypothesis import strategies as st

from migration_assets.errors import SourceError
from migration_assets.source.connection import CODEC
from migration_assets.validation import bson_reader, extended_json
from migration_assets.validation.bson_reader import UnreadableBsonError, read_document
from migration_assets.validation.counting import outline
from migration_assets.validation.documents import Documents, Identities
from migration_assets.validation.identities import identifier_of, source_id_of, uuid_of
from migration_assets_tests.support.bson_strategies import (
    DOCUMENTS,
)

MILLISECONDS = CODEC.with_options(datetime_conversion=DatetimeConversion.DATETIME_MS)


def as_texts(value: Any) -> Any:
    """Replaces what cannot be compared: NaN is not equal to itself, nor a Decimal128 to its text."""
    if isinstance(value, dict):
        return {name: as_texts(field_value) for name, field_value in value.items()}
    if isinstance(value, list):
        return [as_texts(element) for element in value]
    if isinstance(value, Decimal128):
        return str(value)
    if isinstance(value, float):
        return struct.pack("<d", value) if not math.isnan(value) else "NaN"
    return value


def element(kind: int, name: str, data: bytes) -> bytes:
    return bytes([kind]) + name.encode() + b"\x00" + data


def document(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\x00"


def text(value: bytes) -> bytes:
    return struct.pack("<i", len(value) + 1) + value + b"\x00"


@given(DOCUMENTS)
@example({"binary": [Binary(b"old", 2), b"", Binary(b"x", 255)], "code": bson.Code("f", {"a": {}})})
def test_a_document_is_read_as_pymongo_reads_it(given_document: dict[str, Any]) -> None:
    raw = bson.encode(given_document, codec_options=CODEC)
    assert as_texts(read_document(raw)) == as_texts(bson.decode(raw, MILLISECONDS))


@given(DOCUMENTS)
def test_types_are_those_of_the_bytes(given_document: dict[str, Any]) -> None:
    raw = bson.encode(given_document, codec_options=CODEC)
    fields = read_document(raw)
    assert [name.decode() for _, name, _, _ in bson_reader.spans(raw)] == list(fields)
    for kind, name, start, end in bson_reader.spans(raw):
        alone = document(element(kind, name.decode(), raw[start:end]))
        again = as_texts(bson.decode(alone, MILLISECONDS))
        assert again == as_texts({name.decode(): fields[name.decode()]})
        assert as_texts(bson_reader.read_value(kind, raw[start:end])) == again[name.decode()]
        is_code = kind == bson_reader.CODE_WITH_SCOPE
        as_read = bson_reader.TYPE_NAMES[bson_reader.CODE if is_code else kind]
        assert bson_reader.type_as_read(fields[name.decode()]) == as_read


@given(st.lists(DOCUMENTS, max_size=3))
def test_a_reply_is_split_into_its_documents(documents: list[dict[str, Any]]) -> None:
    raw = [bson.encode(fields, codec_options=CODEC) for fields in documents]
    assert [*Documents.of(b"".join(raw))] == raw


@pytest.mark.parametrize("size", [0, 4, -5, -(2**31), 2**31 - 1, 30])
def test_an_impossible_length_in_a_reply_is_a_clear_error(size: int) -> None:
    complete = bson.encode({"_id": ObjectId()})
    wrong = struct.pack("<i", size) + complete[4:]
    with pytest.raises(SourceError, match=f"document 2 of a reply has a length of {size} bytes"):
        Documents.of(complete + wrong)


def test_a_reply_that_ends_within_a_length_is_a_clear_error() -> None:
    with pytest.raises(SourceError, match="document 2 of a reply"):
        Documents.of(bson.encode({"_id": ObjectId()}) + b"\0\0")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("true", "1"),
        ("1", "1.0"),
        ("0", "-0"),
        ("[true]", "[1]"),
        ('{"a":false}', '{"a":0}'),
        ('{"a":1}', '{"a":2,"a":1}'),
        ('{"a":1,"a":1}', '{"a":1}'),
        ('{"a":1,"a":2}', '{"a":2,"a":1}'),
        ('["number","1"]', "1"),
        ('["object",[["a","b"]]]', '{"a":"b"}'),
        ("1", '"1"'),
        ("null", "1"),
        ("x", "1"),
    ],
)
def test_originals_that_differ_are_not_the_same_json(left: str, right: str) -> None:
    assert not extended_json.is_same_json(left, right)
    assert not extended_json.is_same_json(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [('{"a":1,"b":[2.5,null]}', '{ "b": [2.5, null], "a": 1 }'), ('"\u00e9"', '"\\u00e9"')],
)
def test_originals_written_differently_are_the_same_json(left: str, right: str) -> None:
    assert extended_json.is_same_json(left, right)


IDS: st.SearchStrategy[Any] = st.one_of(
    st.binary(min_size=12, max_size=12).map(ObjectId), st.integers(0, 9), st.none(), st.text()
)
STRANGE_FIRST = st.sampled_from(
    [
        {},
        {"_": ObjectId()},
        {"_ie": ObjectId()},
        {"_id2": ObjectId()},
        {"other": {"_id": ObjectId()}},
        {"": None},
    ]
)


@given(
    st.lists(st.one_of(st.fixed_dictionaries({"_id": IDS}, optional={"more": IDS}), STRANGE_FIRST))
)
def test_documents_are_cut_out_of_a_reply(given_documents: list[dict[str, Any]]) -> None:
    raw = [bson.encode(fields, codec_options=CODEC) for fields in given_documents]
    documents = Documents.of(b"".join(raw))
    assert list(documents) == raw
    identities = Identities.of("Users", documents)
    for number, document_bytes in enumerate(raw):
        identifier = identifier_of(document_bytes)
        assert identities.source_ids[number] == source_id_of(identifier)
        assert identities.ids[number] == str(uuid.UUID(bytes=uuid_of("Users", identifier)))
    are_object_ids = [isinstance(identifier_of(each), ObjectId) for each in raw]
    assert identities.are_object_ids is all(are_object_ids)


DEPRECATED = document(
    element(0x06, "undefined", b""),
    element(0x0E, "symbol", text(b"symbol")),
    element(0x0C, "pointer", text(b"collection") + bytes(range(12))),
)


def test_deprecated_types_are_seen_and_written_as_drivers_read_them() -> None:
    fields = read_document(DEPRECATED)
    pointer = DBRef("collection", ObjectId(bytes(range(12))))
    assert fields == {"undefined": None, "symbol": "symbol", "pointer": pointer}
    assert list(map(bson_reader.type_as_read, fields.values())) == ["null", "string", "object"]
    kinds = [bson_reader.TYPE_NAMES[kind] for kind, *_ in bson_reader.spans(DEPRECATED)]
    assert kinds == ["undefined", "symbol", "dbPointer"]


def test_a_repeated_name_is_seen_twice() -> None:
    twice = document(element(0x0A, "a", b""), element(0x08, "a", b"\x01"))
    assert bson.decode(twice) == {"a": True}
    deep = document(element(0x04, "array", document(element(0x03, "0", twice))))
    scope = struct.pack("<i", 4 + len(text(b"f")) + len(twice)) + text(b"f") + twice
    in_scope = document(element(0x0F, "code", scope))
    for with_repeated_name in (twice, deep, in_scope):
        with pytest.raises(UnreadableBsonError, match="a field occurs twice"):
            read_document(with_repeated_name)
    once = {"a": [{"a": 1}, {"a": bson.Code("", {"a": 1})}]}
    assert read_document(bson.encode(once)) == once


def test_text_that_is_not_utf_8_is_unreadable_but_counted() -> None:
    bad = document(element(0x02, "name", text(b"caf\xe9")))
    with pytest.raises(UnreadableBsonError):
        read_document(bad)
    assert outline(bad) == {"name": True}
    for half_character in (b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"):
        with pytest.raises(UnreadableBsonError):
            read_document(document(element(0x02, "name", text(half_character))))


VALID = bson.encode(
    {
        "_id": ObjectId(),
        "text": "some text",
        "binary": Binary(b"bytes", 5),
        "array": [1, {"a": True}],
        "code": bson.Code("f", {"a": 1}),
    }
)


def _read(raw: bytes) -> None:
    read_document(raw)


def _span(raw: bytes) -> None:
    list(bson_reader.spans(raw))


@pytest.mark.parametrize("read_bytes", [_read, _span])
@given(data=st.data())
def test_damaged_bytes_are_unreadable_or_readable_and_nothing_else(
    read_bytes: Callable[[bytes], None], data: st.DataObject
) -> None:
    damaged = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(VALID) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(VALID)))])
    for raw in (bytes(damaged), cut):
        try:
            read_bytes(raw)
        except UnreadableBsonError:
            continue


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x05\x00\x00\x00",
        b"\x06\x00\x00\x00\x00",
        VALID[:-1],
        VALID + b"\x00",
        document(element(0x08, "a", b"\x02")),
        document(element(0x02, "a", struct.pack("<i", 0) + b"\x00")),
        document(element(0x02, "a", struct.pack("<i", -5) + b"\x00")),
        document(
            element(0x05, "a", struct.pack("<i", 9) + b"\x02" + struct.pack("<i", 9) + b"12345")
        ),
        document(element(0x20, "a", b"")),
        document(b"\x10a"),
    ],
)
def test_what_is_not_bson_is_unreadable(raw: bytes) -> None:
    with pytest.raises(UnreadableBsonError):
        read_document(raw)
    with pytest.raises(bson.errors.InvalidBSON):
        bson.decode(raw)
