"""The pairs of a relation in parts, so that what it takes to compare them does not grow with the relation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import sql

from migration_assets.validation.source_references import Mask, Positions, Uuids

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
        chosen: Mask = _numbers(left) % self.parts == self.number
        return chosen

    def condition(self, left: sql.Composable) -> sql.Composed:
        """Returns the same as a condition in SQL."""
        return sql.SQL(
            "mod(get_byte(uuid_send({0}), 13) * 64 + get_byte(uuid_send({0}), 14) / 4, {1}) = {2}"
        ).format(left, sql.Literal(self.parts), sql.Literal(self.number))

    def divided(self, lefts: Sequence[Uuids]) -> Iterator[Sequence[Positions]]:
        """Yields, for one smaller part after the other, which pairs are of it, few enough to compare at once.

        Args:
            lefts: The ids on the left of pairs of this part, for each of those that are compared.
        """
        parts = 1 + max(map(len, lefts)) // COMPARED_AT_ONCE
        numbers = [_numbers(left) // self.parts % parts for left in lefts]
        orders = [np.argsort(each, kind="stable") for each in numbers]
        ends = [np.cumsum(np.bincount(each, minlength=parts)) for each in numbers]
        for part in range(parts):
            yield [
                order[each[part - 1] if part else 0 : each[part]]
                for order, each in zip(orders, ends, strict=True)
            ]


def _numbers(left: Uuids) -> npt.NDArray[np.int16]:
    """Returns the 14 bits of each UUID."""
    data = left.view(np.uint8)
    high, low = (data[:, at].astype(np.int16) for at in (13, 14))
    numbers: npt.NDArray[np.int16] = high * np.int16(64) + low // np.int16(4)
    return numbers
