"""How many documents each collection has, and which ``_id`` each of them carries.

An ``_id`` is computed, not stored, so a collection can refer to any document of another one without
having generated it, whatever the size of the sample.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from random import Random
from types import MappingProxyType

from bson import ObjectId

from migration_assets.nextcrm import ENTITIES

EPOCH = datetime(1970, 1, 1)
START = 1_609_459_200
"""When the company began to use the application: 2021-01-01, in seconds."""
BEGINNING = EPOCH + timedelta(seconds=START)
SPAN = 4 * 365 * 86_400
"""How long it has used it, in seconds."""
LEAST = 12
"""Documents in the smallest collection: one for each turn of ``values.Field.scheduled``."""

SIZES: Mapping[str, int] = MappingProxyType(
    {
        "Boards": 100,
        "Documents": 4000,
        "Employees": 100,
        "ImageUpload": 50,
        "Invoices": 1500,
        "Sections": 400,
        "Tasks": 5000,
        "TodoList": 200,
        "Users": 100,
        "crm_Accounts": 1500,
        "crm_Accounts_Tasks": 2500,
        "crm_Contacts": 3500,
        "crm_Contracts": 500,
        "crm_Leads": 2000,
        "crm_Opportunities": 1500,
        "crm_campaigns": 30,
        "openAi_keys": 30,
        "secondBrain_notions": 20,
        "tasksComments": 4000,
    }
)
"""Documents of a collection at scale 1. The others hold settings: they stay at ``LEAST``."""

PAIRS: Mapping[str, int] = MappingProxyType(
    {
        "AccountWatchers": 1600,
        "BoardWatchers": 330,
        "ContactsToOpportunities": 1800,
        "DocumentsToAccounts": 2500,
        "DocumentsToContacts": 3500,
        "DocumentsToCrmAccountsTasks": 2000,
        "DocumentsToInvoices": 2000,
        "DocumentsToLeads": 1800,
        "DocumentsToOpportunities": 2000,
        "DocumentsToTasks": 3700,
    }
)
"""Pairs drawn for a relation at scale 1; a few of them coincide."""

EXTREME_IDS: Mapping[str, tuple[ObjectId, ...]] = MappingProxyType(
    {
        "ImageUpload": (
            ObjectId("0" * 24),
            ObjectId("507f1f77bcf86cd799439011"),
            ObjectId("7fffffffffffffffffffffff"),
            ObjectId("800000000000000000000000"),
            ObjectId("f" * 24),
        )
    }
)
"""Ids at the ends of the range, in a collection that nothing refers to."""

_BURST = 3
_PROCESSES = 8
_CACHED = 1 << 15
_pack = struct.Struct(">IQ").pack


def digest(*parts: object, size: int) -> bytes:
    """Returns ``size`` bytes that depend on the parts alone."""
    return blake2b("/".join(map(str, parts)).encode(), digest_size=size).digest()


Timeline = Callable[[int, int], int]
"""Says, from a document's number and how many there are, in which second it was created."""


def evenly(number: int, count: int) -> int:
    """Returns the second of a document in a company that works at the same pace all the time."""
    return START + number // _BURST * _BURST * SPAN // count


class SampleIds:
    """The ObjectIds of a collection: of increasing time, some in the same second, by number."""

    def __init__(self, collection: str, count: int, seed: int, timeline: Timeline = evenly) -> None:
        self._count = count
        self._timeline = timeline
        self._extremes = EXTREME_IDS.get(collection, ())
        self._processes = tuple(
            int.from_bytes(digest(seed, collection, process, size=5), "big") << 24
            for process in range(_PROCESSES)
        )
        self._first = int.from_bytes(digest(seed, collection, "counter", size=3), "big")
        self._cached = lru_cache(_CACHED)(self._at)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> ObjectId:
        return self._cached(number)

    def _at(self, number: int) -> ObjectId:
        if number < len(self._extremes):
            return self._extremes[number]
        process = self._processes[number * _PROCESSES // self._count]
        counter = (self._first + number) & 0xFFFFFF
        return ObjectId(_pack(self._seconds(number), process | counter))

    def created(self, number: int) -> datetime:
        """Returns when a document was created: the time in its id."""
        return EPOCH + timedelta(seconds=self._seconds(number))

    def _seconds(self, number: int) -> int:
        return self._timeline(number, self._count)


class Population:
    """The documents of a sample: a pure function of scale and seed.

    Attributes:
        scale: Size of the sample; 1 is about 27,000 documents.
        seed: Same seed and scale, same bytes.
    """

    def __init__(self, *, scale: float, seed: int, timeline: Timeline = evenly) -> None:
        if scale <= 0:
            raise ValueError(f"scale must be positive, not {scale}")
        self.scale = scale
        self.seed = seed
        self._ids = {name: SampleIds(name, self._count(name), seed, timeline) for name in ENTITIES}

    def _count(self, collection: str) -> int:
        return max(LEAST, round(SIZES.get(collection, 0) * self.scale))

    def ids(self, collection: str) -> SampleIds:
        """Returns the ids of a collection; their number is its number of documents."""
        return self._ids[collection]

    def pairs(self, relation: str) -> int:
        """Returns how many pairs to draw for a junction table."""
        return max(LEAST, round(PAIRS.get(relation, 1000) * self.scale))

    def extra_id(self, collection: str, *key: object) -> ObjectId:
        """Returns the id of a document outside the count: after the first, among the others in time."""
        value = digest(self.seed, collection, *key, size=12)
        created = START + 1 + int.from_bytes(value[:4], "big") % (SPAN - 1)
        return ObjectId(created.to_bytes(4, "big") + value[4:])

    def random(self, *key: object) -> Random:
        """Returns a source of random numbers of its own for a collection or a document."""
        return Random("/".join(map(str, (self.seed, *key))))  # noqa: S311 - a sample, not a secret
