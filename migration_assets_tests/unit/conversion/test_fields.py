"""Fields found in the BSON of a whole batch equal what the driver decodes; nothing odd slips through."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import bson
import numpy as np
import pytest
from bson import Int64, ObjectId, Regex
from hypothesis import example, given
from hypothesis import strategies as st

from migration_assets.arrow import slices
from migration_assets.conversion.batches import BatchConverter, Books, readable
from migration_assets.errors import SourceError
from migration_assets.identity import document_uuid
from migration_assets.known_ids import Loaded
from migration_assets.loading.digests import DigestedBatch
from migration_assets.model import referenced_tables
from migration_assets.nextcrm import TABLES
from migration_assets.remediation.applying import Remedies
from migration_assets.source.connection import CODEC
from migration_assets.source.elements import BsonType
from migration_assets.source.fields import Field, UnreadableError
from migration_assets.source.reading import split
from migration_assets.source.walk import Batch, FieldFinder
from migration_assets_tests.support.bson_strategies import OBJECT_IDS, SCALARS, VALUES
from migration_assets_tests.support.properties import examples
from migration_assets_tests.support.taken_apart import field_of

WANTED = ["_id", "a", "name", "created_", "createdAt", "created_by_whom", "never there"]
OTHERS = ["", "b", "createdA", "createdAtt", "a.b", "$x", "é", "created_by_whom_else"]
NAMES = st.sampled_from([*WANTED[:-1], *OTHERS])
DOCUMENTS = st.lists(st.dictionaries(NAMES, SCALARS | VALUES, max_size=9), max_size=6)
WITHOUT_ID = st.lists(
    st.dictionaries(NAMES.filter(lambda name: name != "_id"), SCALARS | VALUES, max_size=9),
    max_size=4,
)


def encoded(documents: list[dict[str, Any]]) -> bytes:
    return b"".join(bson.encode(document, codec_options=CODEC) for document in documents)


def assert_found(batch: Batch, documents: list[dict[str, Any]]) -> None:
    """Compares found and decoded fields as text, in which NaN equals itself."""
    assert len(batch) == len(documents)
    for name in WANTED:
        values = batch.fields[name].values(range(len(documents)))
        assert repr(values) == repr([document.get(name) for document in documents])
    unknown = [row for row, document in enumerate(documents) if document.keys() - set(WANTED)]
    assert list(batch.strangers) == unknown
    for row, document in enumerate(documents):
        assert repr(batch.document(row)) == repr(document)


def look_at_everything(batch: Batch) -> None:
    for name in WANTED:
        batch.fields[name].check()
    for row in batch.strangers:
        batch.document(row)


@given(DOCUMENTS, DOCUMENTS)
@example([{"a": 1, "name": ""}, {"name": "x", "a": Regex("x")}], [{}, {"": None}])
def test_found_fields_are_those_that_the_driver_decodes(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    """In two batches, of which the second finds names that the first has taught."""
    finder = FieldFinder(WANTED)
    for documents in (first, second):
        data = encoded(documents)
        assert_found(finder.find(data), bson.decode_all(data, CODEC))


@given(WITHOUT_ID, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3))
@examples(150)
def test_documents_of_any_bytes_are_found_or_refused(
    documents: list[dict[str, Any]], changes: list[tuple[int, int]]
) -> None:
    """Bytes are changed after a document's length and `_id`, for which the server answers."""
    finder = FieldFinder(WANTED)
    changed: list[bytes] = []
    for document in documents:
        data = bytearray(encoded([{"_id": ObjectId(bytes(12))} | document | {"name": "x"}]))
        for place, byte in changes:
            data[21 + place % (len(data) - 22)] = byte
        changed.append(bytes(data))
    books = Books()
    readable_data = readable(b"".join(changed), books, Remedies())
    batch = finder.find(readable_data)
    look_at_everything(batch)
    assert_found(batch, bson.decode_all(readable_data, CODEC))
    assert len(batch) + len(books.rejected) == len(documents)
    if books.rejected:
        with pytest.raises(UnreadableError):
            look_at_everything(finder.find(b"".join(changed)))


RAW_NAMES = st.sampled_from(
    [
        *(name.encode() for name in (*WANTED[1:], *OTHERS)),
        b"\xff" * 7,
        b"\xff" * 8,
        b"\xc3",
        b"c" * 15,
    ]
) | st.binary(max_size=9).map(lambda name: name.replace(b"\x00", b"\xff"))
RAW_VALUES = st.sampled_from(
    [
        (BsonType.MIN_KEY, b""),
        (BsonType.MAX_KEY, b""),
        (BsonType.NULL, b""),
        (BsonType.UNDEFINED, b""),
        (BsonType.BOOLEAN, b"\x01"),
        (BsonType.INT32, b"\xff" * 4),
        (BsonType.INT64, b"\x00" * 8),
        (BsonType.DATE, b"\xff" * 8),
        (BsonType.OBJECT_ID, b"\x00" * 12),
        (BsonType.OBJECT_ID, b"\xff" * 12),
        (BsonType.DECIMAL128, b"\xff" * 16),
        (BsonType.STRING, b"\x01\x00\x00\x00\x00"),
        (BsonType.STRING, b"\x03\x00\x00\x00a\x00\x00"),
        (BsonType.BINARY, b"\x03\x00\x00\x00\x00\x00\xff\x00"),
        (BsonType.DOCUMENT, b"\x05\x00\x00\x00\x00"),
        (BsonType.ARRAY, b"\x08\x00\x00\x00\xff0\x00\x00"),
        (BsonType.REGEX, b"x\x00\x00"),
    ]
)
RAW_DOCUMENTS = st.lists(
    st.lists(st.tuples(RAW_NAMES, RAW_VALUES), max_size=6, unique_by=lambda field: field[0]),
    max_size=5,
)


def raw(fields: list[tuple[bytes, tuple[int, bytes]]]) -> bytes:
    body = b"".join(bytes([kind]) + name + b"\x00" + value for name, (kind, value) in fields)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\x00"


def is_readable(fields: list[tuple[bytes, tuple[int, bytes]]]) -> bool:
    names = [name for name, _ in fields]
    return all(name.decode(errors="replace").encode() == name for name in names)


LOST = [
    (b"a", (BsonType.NULL, b"")),
    (b"\xff" * 7, (BsonType.MIN_KEY, b"")),
    (b"b", (BsonType.NULL, b"")),
]


@given(RAW_DOCUMENTS)
@example([LOST])
@example([LOST[:2]])
@example([[(b"a", (BsonType.INT32, b"a\x00\x00\x00"))], [(b"", (BsonType.INT64, b"a" * 8))]])
def test_no_bytes_of_a_document_pass_for_its_end(
    documents: list[list[tuple[bytes, tuple[int, bytes]]]],
) -> None:
    """Compared byte by byte with the fields that the documents were built from."""
    finder = FieldFinder(WANTED)
    data = b"".join(map(raw, documents))
    if not all(map(is_readable, documents)):
        with pytest.raises(UnreadableError):
            finder.find(data)
        return
    batch = finder.find(data)
    for name in WANTED:
        field = batch.fields[name]
        for row, fields in enumerate(documents):
            value = batch.data[field.starts[row] : field.ends[row]]
            expected = dict(fields).get(name.encode(), (BsonType.NONE, b""))
            assert (field.kinds[row], value) == expected
    known = {name.encode() for name in WANTED}
    rows_with_strangers = [
        row for row, fields in enumerate(documents) if dict(fields).keys() - known
    ]
    assert list(batch.strangers) == rows_with_strangers


@pytest.mark.parametrize(
    "data",
    [
        bytes(4),
        bytes(64),
        b"\x04" + bytes(7),
        b"\xff" * 8,
        bson.encode({})[:-1],
        bson.encode({}) + b"\x05",
    ],
)
def test_lengths_that_do_not_add_up_are_refused(data: bytes) -> None:
    """A length of 0 led to an endless loop."""
    for take_apart in (FieldFinder(["a"]).find, lambda data: list(split(data))):
        with pytest.raises(SourceError, match="lengths do not add up"):
            take_apart(data)
    with pytest.raises(SourceError, match="lengths do not add up"):
        DigestedBatch("Users", data)


def test_an_array_as_large_as_a_document_can_hold() -> None:
    """A word holds type and name of a million elements; more raised an OverflowError."""
    ids = [ObjectId(bytes(12))] * 780_000
    arrays = FieldFinder(["f"]).find(bson.encode({"f": ids})).fields["f"].object_id_arrays()
    assert arrays.lengths.tolist() == [780_000]
    assert arrays.object_ids == bytes(12) * 780_000


def test_a_field_that_occurs_twice_is_refused() -> None:
    once = bson.encode({"a": 1})[4:-1]
    for twice in (once + once, once + bson.encode({"b": Regex("x")})[4:-1] + once):
        data = (len(twice) + 5).to_bytes(4, "little") + twice + b"\x00"
        with pytest.raises(UnreadableError):
            FieldFinder(["a"]).find(encoded([{"a": 2}]) + data)


def test_documents_with_a_thousand_names_are_taken_apart_one_by_one() -> None:
    documents = [{f"{row}.{number}": number for number in range(60)} for row in range(40)]
    for row, document in enumerate(documents):
        document["a"] = row
    batch = FieldFinder(WANTED).find(encoded(documents))
    assert batch.fields["a"].values(range(40)) == list(range(40))
    assert list(batch.strangers) == list(range(40))


@pytest.mark.parametrize("step", [1, 7, -1], ids=["one order", "other orders", "reversed"])
def test_a_document_of_many_unknown_fields_costs_no_more_than_its_bytes(step: int) -> None:
    """It took 7 seconds: each name was learned singly, and then all were searched again."""
    names = [f"{number}" for number in range(900)]
    documents = [dict.fromkeys((names[row:] + names[:row])[::step], 1) for row in range(50)]
    finder = FieldFinder(WANTED)
    started = time.perf_counter()
    for _ in range(2):
        assert list(finder.find(encoded(documents)).strangers) == list(range(50))
    assert time.perf_counter() - started < 2


def test_no_documents() -> None:
    batch = FieldFinder(WANTED).find(b"")
    assert (len(batch), batch.fields["a"].values([]), list(batch.strangers)) == (0, [], [])
    assert batch.fields["a"].strings().to_list() == []
    assert batch.fields["a"].object_id_arrays().object_ids == b""


@given(st.lists(st.lists(OBJECT_IDS | SCALARS, max_size=12) | SCALARS, max_size=6))
@example([[ObjectId(bytes(12))] * 1_001, [ObjectId(bytes(12))] * 9 + ["x" * 7]])
def test_arrays_of_object_ids(values: list[Any]) -> None:
    arrays = field_of(values).object_id_arrays()
    plain = [
        value
        if type(value) is list and all(type(element) is ObjectId for element in value)
        else None
        for value in values
    ]
    assert arrays.are_plain.tolist() == [array is not None for array in plain]
    assert arrays.lengths.tolist() == [len(array or []) for array in plain]
    assert arrays.object_ids == b"".join(
        element.binary for array in plain for element in array or []
    )


ALIKE: list[Any] = [Int64(0), 0.0, -0.0, False, None, "", "a", [], {}, ["a"]]


@given(st.lists(st.sampled_from(ALIKE), max_size=20))
@example([Int64(0), 0.0, Int64(0)])
def test_values_are_the_same_where_their_types_and_bytes_are(values: list[Any]) -> None:
    firsts, which = field_of(values).distinct()
    encoded_values = [encoded([{"f": value}]) for value in values]
    assert [encoded_values[firsts[number]] for number in which] == encoded_values
    assert firsts.tolist() == [
        encoded_values.index(encoded_value) for encoded_value in dict.fromkeys(encoded_values)
    ]


def test_an_element_with_another_name_is_no_plain_array() -> None:
    """Its name may be anything: of the same length, the ObjectId would be read from another place."""
    for name in (b"1", b"\x00"):
        elements = b"\x07" + name + b"\x00" + bytes(12)
        array = (len(elements) + 5).to_bytes(4, "little") + elements + b"\x00"
        document = b"\x04f\x00" + array + b"\x00"
        data = (len(document) + 4).to_bytes(4, "little") + document
        arrays = FieldFinder(["f"]).find(data).fields["f"].object_id_arrays()
        assert arrays.are_plain.tolist() == [False]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20) | st.none() | st.just(7)))
def test_strings(values: list[Any]) -> None:
    field = field_of(values)
    assert field.strings().to_list() == [value if type(value) is str else "" for value in values]
    assert field.are(BsonType.STRING).tolist() == [type(value) is str for value in values]


def test_a_string_that_is_no_utf_8_is_refused() -> None:
    data = encoded([{"f": "a"}]) + encoded([{"f": "b"}]).replace(b"b", b"\xff")
    with pytest.raises(UnreadableError):
        FieldFinder(["f"]).find(data).fields["f"].strings()


@pytest.mark.parametrize(
    ("starts", "ends"),
    [([0, 2], [3, 4]), ([0, 4], [2, 6]), ([3], [2]), ([-1], [1]), ([4, 0], [5, 1])],
)
def test_parts_that_overlap_or_stand_outside_are_refused(
    starts: list[int], ends: list[int]
) -> None:
    with pytest.raises(ValueError, match="overlap or stand outside"):
        slices(b"abcde", np.array(starts), np.array(ends))


def test_an_array_is_decoded_once_for_all_that_is_lost_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was decoded anew for each element: 100,000 unknown ids took hours."""
    decoded: Counter[int] = Counter()
    values = Field.values

    def counting(field: Field, rows: Iterable[int]) -> list[Any]:
        chosen = list(rows)
        decoded[count] += len(chosen)
        return values(field, chosen)

    monkeypatch.setattr(Field, "values", counting)
    table = TABLES["Boards"]
    known = frozenset([document_uuid("Users", ObjectId(bytes(12))).bytes])
    loaded = Loaded(dict.fromkeys(referenced_tables(table), known), {})
    board = {"title": "t", "description": "d", "user": ObjectId(bytes(12))}
    for count in (2, 200):
        strangers = [ObjectId(number.to_bytes(12, "big")) for number in range(1, count + 1)]
        data = encoded(
            [{"_id": stranger, **board, "sharedWith": strangers} for stranger in strangers[:2]]
        )
        converted = BatchConverter(table, loaded).convert(data)
        elements = [issue.element for issue in converted.books.issues]
        assert elements == [*range(count), *range(count)]
    assert decoded[2] == decoded[200] > 0
