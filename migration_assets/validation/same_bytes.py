"""Tells which of many pairs of parts of two buffers are the same bytes, all of them together."""

from __future__ import annotations

import numpy as np

from migration_assets.validation.bson_places import Mask, Numbers, at_each_byte

WORD = 8
"""Bytes that are compared at once; so many must follow the last part in its buffer, whatever they are."""
LONGEST = 128
"""Bytes of the longest parts that are compared word by word; a longer one is worth a step of its own."""
_FIRST = np.array([(1 << 8 * size) - 1 for size in range(WORD + 1)], dtype=np.uint64)
"""What is left of a word by number of bytes: the first so many, which are its lowest."""


def are_same(
    left: bytes, left_starts: Numbers, right: bytes, right_starts: Numbers, sizes: Numbers
) -> Mask:
    """Tells which parts of one buffer are those of another.

    Args:
        left: The one buffer.
        left_starts: Where each of its parts begins.
        right: The other.
        right_starts: Where each of its parts begins.
        sizes: How many bytes both have, never less than none.
    """
    same: Mask = np.ones(len(sizes), dtype=np.bool_)
    long = np.flatnonzero(sizes > LONGEST)
    each = zip(*(n[long].tolist() for n in (left_starts, right_starts, sizes)), strict=True)
    same[long] = [left[a : a + size] == right[b : b + size] for a, b, size in each]
    left_words, right_words = (at_each_byte(buffer, f"<u{WORD}") for buffer in (left, right))
    rest = np.flatnonzero(sizes <= LONGEST)
    a, b, to_come = left_starts[rest], right_starts[rest], sizes[rest]
    while rest.size:
        differing = (left_words[a] ^ right_words[b]) & _FIRST[np.minimum(to_come, WORD)]
        same[rest[differing != 0]] = False
        goes_on = to_come > WORD
        rest, to_come = rest[goes_on], to_come[goes_on] - WORD
        a, b = a[goes_on] + WORD, b[goes_on] + WORD
    return same
