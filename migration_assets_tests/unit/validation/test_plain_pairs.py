"""The pairs of many documents at once, held against those of one document after the other."""

from __future__ import annotations

from typing import Any

import bson
import numpy as np
import pytest
from bson import Binary, Int64, ObjectId
from hypothesis import example, given
from hypothesis import strategies as st

from migration_assets.identity import document_uuid
from migration_assets.validation.documents import Documents
from migration_assets.validation.identities import object_id_uuid
from migration_assets.validation.partitions import COMPARED_AT_ONCE, joined, partitions
from migration_assets.validation.plain_pairs import PlainPairs
from migration_assets_tests.support.properties import examples

POOL = [ObjectId(b"\x61\x00%10d" % number) for number in range(16)]
OTHERS = ["id-1", "é", '"\\\0', "f" * 23, 1, Int64(1), Int64(2**40), Binary(bytes(16), 4)]
"""Ids of other types, two of which are the same."""
MOST = 1_000
"""Elements of the longest array that is taken apart together with others."""


def many(count: int) -> list[ObjectId]:
    """An array of so many different ObjectIds."""
    return [ObjectId(f"{number:024x}") for number in range(count)]


ARRAYS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.lists(st.sampled_from(POOL), max_size=12, unique=True),
    st.sampled_from([8, 9, 10, 11, 12, 99, 100, 101, MOST - 1, MOST, MOST + 1]).map(many),
    st.lists(st.sampled_from(POOL), max_size=4),
    st.lists(st.sampled_from([*POOL[:3], *OTHERS]), max_size=4),
    st.sampled_from([9, 10, 11, MOST]).map(lambda count: [f"id-{n}" for n in range(count)]),
    st.sampled_from([9, 10, 11, MOST]).map(lambda count: [f"id-{n:05}" for n in range(count)]),
    st.sampled_from([10, 11]).map(lambda count: [*range(count)]),
    st.lists(st.sampled_from([*POOL[:3], None, str(POOL[0]), "", 1.0, [POOL[0]]]), max_size=3),
    st.sampled_from([POOL[0], "text", {"0": POOL[0]}]),
)
DOCUMENTS = st.fixed_dictionaries(
    {"_id": st.one_of(st.sampled_from(POOL), st.sampled_from(POOL), st.sampled_from(OTHERS[:-3]))},
    optional={"array": ARRAYS, "other": st.just(1)},
)


def key_of(document: dict[str, Any]) -> bytes:
    return document_uuid("Users", document["_id"]).bytes


def is_plain(element: Any) -> bool:
    """Tells whether an element stands for one id, and can be stepped over."""
    if isinstance(element, str):
        return element != "" and not ObjectId.is_valid(element)
    return isinstance(element, (ObjectId, int, Binary))


def pairs_of(document: dict[str, Any], *, is_left: bool) -> list[bytes] | None:
    """Returns the pairs of a document, None where it is not plain."""
    array = document.get("array")
    if "other" in document:
        return None
    if array is None:
        return []
    if not isinstance(array, list):
        return None
    if not all(map(is_plain, array)):
        return None
    holder, others = key_of(document), [document_uuid("Tasks", element).bytes for element in array]
    if len({*others}) < len(others):
        return None
    return [holder + other if is_left else other + holder for other in others]


@examples(100)
@given(
    st.lists(
        st.tuples(DOCUMENTS, st.booleans()), max_size=10, unique_by=lambda pair: pair[0]["_id"]
    ),
    st.booleans(),
)
@example([], True)
@example([({"_id": POOL[0], "array": []}, True)], False)
@example(
    [({"_id": POOL[0], "array": [POOL[1]]}, True), ({"_id": POOL[2], "array": [POOL[1]]}, True)],
    True,
)
@example(
    [
        ({"_id": POOL[0], "array": [POOL[1], POOL[1]]}, True),
        ({"_id": POOL[1], "array": [POOL[0]]}, True),
    ],
    True,
)
def test_many_documents_have_the_pairs_of_each(
    batch: list[tuple[dict[str, Any], bool]], is_left: bool
) -> None:
    """Whatever stands beside a document in its batch; one that is no candidate has none."""
    documents = Documents.of(b"".join(bson.encode(document) for document, _ in batch))
    candidates = np.array([is_candidate for _, is_candidate in batch], dtype=np.bool_)
    expected = [
        pairs_of(document, is_left=is_left) if is_candidate else None
        for document, is_candidate in batch
    ]
    keys = b"".join(key_of(document) for document, _ in batch)
    plain_pairs = PlainPairs("array", "Tasks", is_left).of(documents, keys, candidates)
    assert plain_pairs.are_plain.tolist() == [pairs is not None for pairs in expected]
    assert plain_pairs.pairs.tolist() == [pair for pairs in expected for pair in pairs or []]
    have_array = [document.get("array") is not None for document, _ in batch]
    assert plain_pairs.arrays == sum(np.array(have_array, dtype=np.bool_) & plain_pairs.are_plain)


@pytest.mark.parametrize("lefts", [1, 7, 100_000])
@pytest.mark.parametrize("object_id", ["{:08x}0000000000000000", "{:024x}"])
def test_pairs_are_compared_in_parts_of_one_size(lefts: int, object_id: str) -> None:
    """Also those of one document, and those whose ids are made of a time alone, or of a count alone."""
    ids = [object_id_uuid(bytes.fromhex(object_id.format(number))) for number in range(100_000)]
    pairs = joined(ids[number % lefts] + right for number, right in enumerate(ids))
    parts = [part.height for (part,) in partitions([pairs])]
    assert sum(parts) == len(ids)
    assert max(parts) <= COMPARED_AT_ONCE
