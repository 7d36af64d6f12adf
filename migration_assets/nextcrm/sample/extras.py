"""The faulty documents of a sample, and those that they need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import count, cycle, islice

from migration_assets.identity import source_id
from migration_assets.model import Rule
from migration_assets.nextcrm import ENTITIES
from migration_assets.nextcrm.sample.documents import Document
from migration_assets.nextcrm.sample.faults import FAULTS, FaultRow
from migration_assets.nextcrm.sample.hand import Extra, FaultContext
from migration_assets.nextcrm.sample.ledger import Entry, Expectation, SampleFault
from migration_assets.nextcrm.sample.places import Place, places
from migration_assets.nextcrm.sample.population import Population

UNKNOWN_COLLECTION = "legacy_Notes"

_FIRST_NUMBER = 1_000_000_000
"""Number of the first faulty document, beyond those of the clean ones."""


def extras(population: Population, rate: float) -> Mapping[str, list[Extra]]:
    """Returns the documents to add, by collection: the faulty ones, and those that they need.

    Each row of ``FAULTS`` occurs at least once for each sort of place that it applies to.

    Args:
        population: The clean documents.
        rate: Faults for each clean document.
    """
    random = population.random("faults")
    chosen: list[tuple[FaultRow, Place]] = []
    sorts: dict[tuple[object, ...], list[tuple[FaultRow, Place]]] = defaultdict(list)
    for name in sorted(ENTITIES):
        possible = [(row, place) for place in places(name) for row in FAULTS if row.applies(place)]
        for row, place in possible:
            sorts[(id(row), *place.sort)].append((row, place))
        shuffled = sorted(possible, key=lambda _: random.random())
        chosen += islice(cycle(shuffled), round(rate * len(population.ids(name))))
    chosen += [sort[int(random.random() * len(sort))] for sort in sorts.values()]
    numbers = count(_FIRST_NUMBER)
    added: dict[str, list[Extra]] = defaultdict(list)
    for row, place in chosen:
        for extra in _documents(row, place, population, numbers):
            added[extra.collection].append(extra)
    return added


def _documents(
    row: FaultRow, place: Place, population: Population, numbers: Iterator[int]
) -> Iterator[Extra]:
    number = next(numbers)
    identifier = population.extra_id(place.collection, number)
    random = population.random("fault", number)
    hand = FaultContext(place, population, random, numbers, number, identifier)
    value = row.make(hand)
    is_key = place.kind == Rule.KEY
    fields = {} if is_key else {place.field: value}
    own_id = value if is_key else hand.identifier
    expectation = row.expect(place)
    entry = Entry(place.collection, source_id(own_id), place.field, row.fault, expectation)
    yield Extra(place.collection, own_id, number, fields, (entry,))
    yield from hand.companions


def unknown_collection() -> tuple[Entry, list[Document]]:
    """Returns a collection that the model does not know, and what the ledger says of it."""
    entry = Entry(UNKNOWN_COLLECTION, "", "", SampleFault.UNKNOWN_COLLECTION, Expectation.UNMAPPED)
    documents: list[Document] = [
        {"_id": number, "note": f"faulty {number}", "old": {"system": True}} for number in range(3)
    ]
    return entry, documents
