"""The pairs of the relations, so that both sides agree and nobody has to remember them.

The pairs of a relation are numbered. Pair ``k`` connects slot ``(a·k + b) mod m`` on the left with slot
``(c·k + d) mod n`` on the right, so each side finds the numbers of its pairs, and with them the other
side, by arithmetic. Slots are shared out unevenly: the oldest documents have the most, as in life.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, isqrt
from random import Random

from bson import ObjectId

from migration_assets.model import Side, junction_of
from migration_assets.nextcrm import JUNCTIONS
from migration_assets.nextcrm.sample.population import Population, SampleIds
from migration_assets.nextcrm.sample.values import ABSENT


@dataclass(frozen=True, slots=True)
class _Half:
    """One side of a relation: its documents, its slots and how pairs fall on them.

    Attributes:
        ids: The ids of the collection.
        participants: How many of its documents take part.
        slots: How many slots they share.
        factor: ``a`` or ``c``.
        shift: ``b`` or ``d``.
        inverse: The factor's inverse, to go back from a slot to its pairs.
    """

    ids: SampleIds
    participants: int
    slots: int
    factor: int
    shift: int
    inverse: int

    def document(self, pair: int) -> ObjectId:
        """Returns the document that a pair connects."""
        slot = (self.factor * pair + self.shift) % self.slots
        rank = slot * slot * self.participants // (self.slots * self.slots)
        return self.ids[rank + rank // 2]

    def pairs(self, rank: int, limit: int) -> list[int]:
        """Returns the pairs below a limit of the participant with this rank."""
        return [
            pair
            for slot in range(self._first_slot(rank), self._first_slot(rank + 1))
            for pair in range((slot - self.shift) * self.inverse % self.slots, limit, self.slots)
        ]

    def _first_slot(self, rank: int) -> int:
        """Returns the first slot that belongs to a rank: the smallest that ``document`` leads to it."""
        if not rank:
            return 0
        return isqrt((rank * self.slots * self.slots - 1) // self.participants) + 1


def _rank(number: int) -> int | None:
    """Returns the rank among the participants: two of three documents take part, the third never."""
    return number - (number + 1) // 3 if number % 3 != 2 else None


def _participants(ids: SampleIds) -> int:
    return len(ids) - len(ids) // 3


def _half(ids: SampleIds, slots: int, random: Random) -> _Half:
    shift, factor = int(random.random() * slots), 1 + int(random.random() * slots)
    while gcd(factor, slots) != 1:
        factor += 1
    return _Half(ids, _participants(ids), slots, factor, shift, pow(factor, -1, slots))


def _halves(population: Population, name: str, left: Side, right: Side) -> dict[Side, _Half]:
    """Returns both sides of a relation; their numbers of slots are coprime, so pairs do not repeat."""
    random = population.random(name)
    lefts, rights = population.ids(left.collection), population.ids(right.collection)
    slots = _participants(lefts)
    others = next(count for count in range(_participants(rights), 0, -1) if gcd(count, slots) == 1)
    return {left: _half(lefts, slots, random), right: _half(rights, others, random)}


@dataclass(frozen=True, slots=True)
class _IdArray:
    """A field that holds ids: the side it belongs to, and the side its ids point to."""

    field: str
    holder: _Half
    other: _Half
    limit: int


class Relations:
    """The arrays of ids that the documents of a collection hold."""

    def __init__(self, population: Population, collection: str) -> None:
        self._arrays: list[_IdArray] = []
        for name in sorted(JUNCTIONS):
            relation = junction_of(JUNCTIONS[name])
            if relation is None:
                continue
            halves = _halves(population, name, relation.left, relation.right)
            for holder, field, other in relation.arrays():
                if holder.collection == collection:
                    limit = population.pairs(name)
                    self._arrays.append(_IdArray(field, halves[holder], halves[other], limit))

    def fill(self, document: dict[str, object], number: int) -> None:
        """Sets the arrays of a document; without a pair: missing, null or empty, each in turn."""
        rank = _rank(number)
        for turn, array in enumerate(self._arrays):
            pairs = [] if rank is None else array.holder.pairs(rank, array.limit)
            value: object = list(dict.fromkeys(map(array.other.document, pairs)))
            if not pairs:
                value = (ABSENT, None, value)[(number // 3 + turn) % 3]
            if value is not ABSENT:
                document[array.field] = value
