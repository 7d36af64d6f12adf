"""Parts of two buffers compared all together, held against the comparison of one with one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from migration_assets.validation.same_bytes import LONGEST, WORD, are_same

AFTER = b"after..."
"""What follows the last part: never the same on both sides."""
assert len(AFTER) == WORD
SIZES = [0, 1, 7, 8, 9, 15, 16, 17, LONGEST - 1, LONGEST, LONGEST + 1, LONGEST + 8, 5 * LONGEST]

CONTENT = st.one_of(
    st.text(max_size=3 * WORD).map(str.encode),
    st.binary(max_size=3 * WORD),
    st.text(alphabet="\x00a", max_size=2 * WORD + 1).map(str.encode),
    st.sampled_from(SIZES).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draws two parts of one size that are the same, nearly the same, or anything."""
    one = draw(CONTENT)
    match draw(st.sampled_from(["same", "nearly", "any"])):
        case "nearly" if one:
            place = draw(st.integers(0, len(one) - 1))
            other = bytearray(one)
            other[place] ^= draw(st.integers(1, 255))
            return one, bytes(other)
        case "any":
            return one, draw(st.binary(min_size=len(one), max_size=len(one)))
        case _:
            return one, one


def compared(parts: list[tuple[bytes, bytes]], between: bytes = b"") -> list[bool]:
    """Compares parts that stand in two buffers, what is between them in one of these only."""
    left = b"".join(one for one, _ in parts)
    right = b"".join(between + other for _, other in parts)
    sizes = np.array([len(one) for one, _ in parts], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    shifted = starts + len(between) * np.arange(1, len(parts) + 1)
    return list(are_same(left + AFTER, starts, right + AFTER[::-1], shifted, sizes))


@settings(deadline=None)
@given(st.lists(pairs(), max_size=12), st.binary(max_size=WORD + 1))
@example([], b"")
@example([(b"", b"")], b"")
@example([(b"a\x00", b"a\x01"), (b"", b"")], b"")
def test_parts_are_the_same_where_their_bytes_are(
    parts: list[tuple[bytes, bytes]], between: bytes
) -> None:
    """Whatever stands before, between and after them."""
    assert compared(parts, between) == [one == other for one, other in parts]


@pytest.mark.parametrize("size", SIZES)
def test_one_other_bit_anywhere_is_seen(size: int) -> None:
    """In every byte, of parts of every size around those that are whole words."""
    whole = bytes(range(1, 256)) * 3
    parts = [(whole[:size], whole[:size])]
    for place in range(size):
        for bit in range(8):
            other = bytearray(whole[:size])
            other[place] ^= 1 << bit
            parts.append((whole[:size], bytes(other)))
    assert compared(parts) == [True] + [False] * 8 * size


@pytest.mark.parametrize("size", SIZES)
def test_what_follows_a_part_does_not_count(size: int) -> None:
    """A part ends where it ends, also in the middle of a word."""
    content = b"x" * size
    sizes, starts = np.array([size]), np.array([0])
    assert are_same(content + b"\x00" * 8, starts, content + b"\xff" * 8, starts, sizes)[0]
