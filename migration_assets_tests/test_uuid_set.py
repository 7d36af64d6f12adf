"""A set of UUIDs, held against Python's own."""

from __future__ import annotations

import struct
import time
import uuid

from bson import ObjectId
from hypothesis import example, given
from hypothesis import strategies as st

from migration_assets.identity import document_uuid, object_id_uuids
from migration_assets.uuid_set import UuidSet

OF_OBJECT_IDS = st.binary(min_size=12, max_size=12).map(
    lambda each: document_uuid("Users", ObjectId(each)).bytes
)
UUIDS = st.one_of(OF_OBJECT_IDS, st.uuids().map(lambda each: each.bytes))


def with_halves(high: int, low: int) -> bytes:
    return uuid.UUID(int=high << 64 | low).bytes


ALIKE = [with_halves(high, low) for high in (0, 1, 2**64 - 1) for low in (0, 7, 2**64 - 1)]
"""UUIDs that share a half with others."""


@given(st.lists(UUIDS, unique=True, max_size=20), st.lists(UUIDS, max_size=20))
@example(ALIKE, [])
@example(ALIKE[::2], ALIKE)
@example([], ALIKE)
def test_it_has_what_it_was_given(held: list[bytes], asked: list[bytes]) -> None:
    found = UuidSet(b"".join(held))
    queries = [*held, *asked]
    expected = [each in set(held) for each in queries]
    assert found.contain_each(b"".join(queries)).tolist() == expected
    assert [each in found for each in queries] == expected
    assert len(found) == len(held)
    assert found.are_of_object_ids == all(each[6] >> 4 == 7 for each in held)


def test_what_is_no_uuid_is_in_no_set() -> None:
    held = UuidSet(ALIKE[0])
    assert ALIKE[0] in held
    assert ALIKE[0][:-1] not in held
    assert ALIKE[0] + b"\0" not in held
    assert str(uuid.UUID(bytes=ALIKE[0])) not in held


def test_ids_made_of_a_time_alone_are_found_as_fast_as_others() -> None:
    """As seeds and imports make them: their UUIDs share a half."""
    of_times = b"".join(struct.pack(">I8x", second) for second in range(100_000))
    uuids = object_id_uuids(of_times)
    started = time.perf_counter()
    held = UuidSet(uuids)
    assert held.contain_each(uuids).all()
    assert not held.contain_each(object_id_uuids(struct.pack(">I8x", 100_000))).any()
    assert (
        time.perf_counter() - started < 2
    )  # it took a minute when the set was ordered by one half
