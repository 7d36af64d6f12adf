"""The pairs of a relation in parts, so that what it takes to compare them does not grow with the relation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from psycopg import sql

from migration_assets.validation.source_references import Mask, Uuids

COMPARED_AT_ONCE = 25_000
"""Pairs that are compared at once: to hold one takes 32 bytes, to compare it some 700."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the pairs of a relation; the id on the left decides which.

    What decides are 14 bits of the UUID that differ for ObjectIds made one after the other (their counter,
    section 4) as well as for hashes.

    Attributes:
        number: Which part, from 0.
        parts: How many parts there are.
    """

    number: int = 0
    parts: int = 1

    def holds(self, left: Uuids) -> Mask:
        """Returns which pairs are of this part."""
        data = left.view(np.uint8)
        high, low = (data[:, at].astype(np.int64) for at in (13, 14))
        chosen: Mask = (high * 64 + low // 4) % self.parts == self.number
        return chosen

    def condition(self, left: sql.Composable) -> sql.Composed:
        """Returns the same as a condition in SQL."""
        return sql.SQL(
            "mod(get_byte(uuid_send({0}), 13) * 64 + get_byte(uuid_send({0}), 14) / 4, {1}) = {2}"
        ).format(left, sql.Literal(self.parts), sql.Literal(self.number))

    def divided(self, pairs: int) -> Iterator[Part]:
        """Yields parts that together are this one, each with few enough of its pairs to be compared at once.

        Args:
            pairs: How many pairs this part has.
        """
        parts = self.parts * (1 + pairs // COMPARED_AT_ONCE)
        for number in range(self.number, parts, self.parts):
            yield Part(number, parts)
