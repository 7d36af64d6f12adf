"""The context of the maker of a faulty value, and the documents that it adds to the sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from bson import Binary, ObjectId

from migration_assets.identity import source_id
from migration_assets.model import Rule, sources
from migration_assets.nextcrm import ENTITIES
from migration_assets.nextcrm.sample.documents import Document, SampleCollection
from migration_assets.nextcrm.sample.ledger import Entry, Expectation, SampleFault
from migration_assets.nextcrm.sample.places import REQUIRED, Place
from migration_assets.nextcrm.sample.population import BEGINNING, Population
from migration_assets.nextcrm.sample.values import ABSENT, SECRET_PREFIX


@dataclass(frozen=True, slots=True)
class Extra:
    """A document that is added to the clean sample.

    Attributes:
        collection: Its collection.
        identifier: Its `_id`.
        number: A number that no other document has.
        fields: What differs from a document of ordinary values.
        entries: What the ledger says of it; nothing where it only completes another one.
    """

    collection: str
    identifier: object
    number: int
    fields: Mapping[str, object]
    entries: tuple[Entry, ...] = ()

    def document(self, collection: SampleCollection) -> Document:
        """Returns the document as it is stored."""
        created = BEGINNING
        if isinstance(self.identifier, ObjectId):
            created = self.identifier.generation_time.replace(tzinfo=None)
        document = collection.document(self.identifier, self.number, created)
        document.update(self.fields)
        return {name: value for name, value in document.items() if value is not ABSENT}


@dataclass(slots=True)
class FaultContext:
    """The context of the maker of a faulty value.

    Attributes:
        place: Where the value goes.
        population: The clean documents.
        random: Random numbers of its own.
        numbers: Yields numbers that no other document of the sample has.
        number: The document's own one.
        identifier: The document's `_id`.
        companions: Further documents that the fault needs.
    """

    place: Place
    population: Population
    random: Random
    numbers: Iterator[int]
    number: int
    identifier: object
    companions: list[Extra] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        """Returns a text that no other document has, recognizable where it is a secret."""
        return f"{SECRET_PREFIX if self.place.secret else ''}faulty {self.number}"

    def moment(self) -> datetime:
        """Returns a time in the years of the sample, to the millisecond."""
        return BEGINNING + timedelta(milliseconds=self.random.getrandbits(36))

    def stranger(self) -> ObjectId:
        """Returns the id of a clean document, which knows nothing of this one."""
        ids = self.population.ids(self.place.references)
        return ids[int(self.random.random() * len(ids))]

    def partner(self) -> object:
        """Returns the id of a document that may be referred to; in a relation it knows this one too."""
        if not self.place.mirror:
            return self.stranger()
        return self._companion({self.place.mirror: [self.identifier]})

    def nobody(self) -> ObjectId:
        """Returns an id that no document has."""
        return self.population.extra_id(self.place.references, "nobody", self.number)

    def rejected(self) -> object:
        """Returns the id of a document that cannot be loaded, since a NOT NULL value is not convertible."""
        name = next(
            source.field
            for source in sources(ENTITIES[self.place.references]).values()
            if source.missing in REQUIRED and source.rule not in (Rule.KEY, Rule.REFERENCE_TEXT)
        )
        return self._companion({name: {}}, name, SampleFault.DOCUMENT, Expectation.REJECTED)

    def odd(self, fault: SampleFault) -> object:
        """Returns the id of a document whose `_id` is no ObjectId."""
        fields = {self.place.mirror: [self.identifier]} if self.place.mirror else {}
        return self._companion(fields, "_id", fault, Expectation.ACCEPTED)

    def first_value(self) -> object:
        """Returns the value that the first document of the collection has in this field."""
        collection = SampleCollection(self.place.collection, self.population)
        return next(collection.documents())[self.place.field]

    def _companion(
        self,
        fields: Mapping[str, object],
        name: str = "",
        fault: SampleFault | None = None,
        expectation: Expectation = Expectation.ACCEPTED,
    ) -> object:
        collection, number = self.place.references, next(self.numbers)
        identifier: object = self.population.extra_id(collection, number)
        if fault is not None and fault in ODD_IDS:
            identifier = ODD_IDS[fault](self.population, collection, number)
        entries: tuple[Entry, ...] = ()
        if fault is not None:
            entries = (Entry(collection, source_id(identifier), name, fault, expectation),)
        self.companions.append(Extra(collection, identifier, number, fields, entries))
        return identifier


ODD_IDS: Mapping[SampleFault, Callable[[Population, str, int], object]] = {
    SampleFault.ID_STRING: lambda _population, _collection, number: f"legacy:{number}",
    SampleFault.ID_INTEGER: lambda _population, _collection, number: number,
    SampleFault.ID_UUID: lambda _population, _collection, number: Binary.from_uuid(
        UUID(int=number)
    ),
    SampleFault.ID_DOCUMENT: lambda _population, _collection, number: {
        "system": "old",
        "no": number,
    },
    SampleFault.ID_HEX: lambda population, name, number: str(
        population.extra_id(name, "hex", number)
    ),
}
