"""What a shape is: the values that an older version left in some documents, and what makes them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bson import ObjectId

from migration_assets.nextcrm.sample.documents import Document
from migration_assets.nextcrm.sample.ledger import Expectation, OldShape
from migration_assets.nextcrm.sample.population import Population


@dataclass(frozen=True, slots=True)
class ShapeContext:
    """The context of the maker of a value.

    Attributes:
        population: The documents of this database.
        turn: The document's number among those of its shape.
        created: When it was created.
        document: The document as it would be today.
    """

    population: Population
    turn: int
    created: datetime
    document: Document

    def id_at(self, collection: str, number: int) -> ObjectId:
        """Returns the id of a document by its number at scale 1."""
        return self.population.ids(collection)[scaled(self.population, number)]

    def id_of(self, collection: str) -> ObjectId:
        """Returns the id of one of a collection's documents, another one each time."""
        ids = self.population.ids(collection)
        return ids[self.turn % len(ids)]

    def deleted(self, collection: str) -> ObjectId:
        """Returns the id of a document that was deleted: the same one everywhere at scale 1."""
        number = self.turn % max(1, round(self.population.scale))
        return self.population.extra_id(collection, "deleted", number)


Value = object | Callable[[ShapeContext], object]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is odd about some documents of a collection.

    Attributes:
        kind: What it is.
        collection: Where.
        fields: What stands in their fields: values, or what makes one; ``ABSENT`` for no field.
        expects: What the migration makes of a field, without rules; where nothing is said: of a missing
            field what the model says, of an unknown one that it is kept, else nothing.
        until: All documents created before this day have it.
        since: But not those from before this one.
        count: So many have it, where no day is given ...
        first: ... from the document of this number on. Both are multiplied by a scale above 1.
    """

    kind: OldShape
    collection: str
    fields: Mapping[str, Value]
    expects: Mapping[str, Expectation | Callable[[object], Expectation]] = field(
        default_factory=dict
    )
    until: str = ""
    since: str = ""
    count: int = 0
    first: int = 0

    def numbers(self, population: Population) -> range:
        """Returns the numbers of the documents that have it."""
        ids = population.ids(self.collection)
        if self.until:
            day = datetime.fromisoformat
            numbers = range(len(ids))
            start = bisect_left(numbers, day(self.since), key=ids.created) if self.since else 0
            return range(start, max(1, bisect_left(numbers, day(self.until), key=ids.created)))
        start = scaled(population, self.first)
        return range(start, start + scaled(population, self.count))


def scaled(population: Population, number: int) -> int:
    """Returns a number of documents at the scale of a database, never less than at scale 1."""
    return round(number * max(1, population.scale))


def by_turn(*values: object) -> Callable[[ShapeContext], object]:
    """Returns what gives one value after the other."""
    return lambda hand: values[hand.turn % len(values)]


def created(hand: ShapeContext) -> object:
    """Returns when the document was created."""
    return hand.created


def changed(hand: ShapeContext) -> object:
    """Returns when the document was changed: three days later."""
    return hand.created + timedelta(days=3)


def id_of(collection: str) -> Callable[[ShapeContext], object]:
    """Returns what gives the id of one of a collection's documents."""
    return lambda hand: hand.id_of(collection)


def id_at(collection: str, number: int) -> Callable[[ShapeContext], object]:
    """Returns what gives the id of a document by its number at scale 1."""
    return lambda hand: hand.id_at(collection, number)


def deleted(collection: str) -> Callable[[ShapeContext], object]:
    """Returns what gives the id of a document that was deleted."""
    return lambda hand: hand.deleted(collection)


def and_deleted(name: str, collection: str) -> Callable[[ShapeContext], object]:
    """Returns what adds the id of a deleted document to what the array holds."""
    return lambda hand: [*_array(hand.document.get(name)), hand.deleted(collection)]


def _array(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def misspelt(hand: ShapeContext) -> object:
    """Returns the id of a document of a collection whose name is misspelt."""
    return hand.population.extra_id("crm_campains", hand.turn % 4)


def of_digits(value: object) -> Expectation:
    """Returns what becomes of a text where a number is expected."""
    return Expectation.COERCED if str(value).isdigit() else Expectation.REJECTED
