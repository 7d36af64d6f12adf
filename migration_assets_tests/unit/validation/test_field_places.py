"""The fields of many documents located together, and how much is read for it."""

from __future__ import annotations

import random

import bson
import pytest

from migration_assets.validation import field_places
from migration_assets.validation.bson_reader import INT32, STRING
from migration_assets.validation.documents import Documents
from migration_assets.validation.field_places import FieldPlaces
from migration_assets.validation.placed_values import Mask, Numbers

NAMES = [f"field{number}" for number in range(40)]
COUNT = 500


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many documents each search for the name of a field looked at."""
    sizes: list[int] = []
    are_at = field_places._PlacesWalk._are_at

    def counted(walk: field_places._PlacesWalk, name: bytes, position: Numbers) -> Mask:
        sizes.append(len(position))
        return are_at(walk, name, position)

    monkeypatch.setattr(field_places._PlacesWalk, "_are_at", counted)
    return sizes


def finder() -> FieldPlaces:
    return FieldPlaces(dict.fromkeys(NAMES, frozenset({INT32, STRING})))


def taken_apart(documents: list[dict[str, int]]) -> field_places.Found:
    return finder().find(Documents.of(b"".join(map(bson.encode, documents))))


def test_an_order_is_learnt_from_one_document(compared: list[int]) -> None:
    places = taken_apart([dict.fromkeys(NAMES, 7)] * COUNT)
    assert places.are_whole.all()
    assert sum(compared) <= COUNT * len(NAMES)


def test_documents_with_an_unknown_field_are_left_out_together(compared: list[int]) -> None:
    places = taken_apart([{"field0": 1, "unknown": 1}, {"field0": 1}] * (COUNT // 2))
    assert places.are_whole.tolist() == [False, True] * (COUNT // 2)
    assert sum(compared) <= 4 * COUNT


@pytest.mark.parametrize("name", ["unknown", "u" * 300, ""])
def test_a_field_of_any_name_leaves_out_its_own_documents_alone(name: str) -> None:
    places = taken_apart([{"field1": 1}, {"field0": 1, name: 1}, {"field1": 1, "field0": 1}])
    assert places.are_whole.tolist() == [True, False, True]


def test_fields_are_found_in_any_order() -> None:
    draw = random.Random(0)
    documents = [
        {name: number for number, name in enumerate(draw.sample(NAMES, draw.randint(0, 9)))}
        for _ in range(COUNT)
    ]
    places = taken_apart(documents)
    assert places.are_whole.all()
    for name in NAMES:
        field = places.fields[name]
        for number, document in enumerate(documents):
            start, end = int(field.starts[number]), int(field.ends[number])
            assert bool(field.kinds[number]) is (name in document)
            if name in document:
                assert places.data[start:end] == document[name].to_bytes(4, "little")
