"""A database as real ones are: their proportions, and the shapes that three years of versions left behind.

``COUNTS`` says how many documents there are, ``SHAPES`` what is odd about some of them, and ``OTHERS`` what
stands in collections that the model does not know. All three are lists to read; the rest fills them in.
Where a shape is dated, all documents of before that day have it, as in life.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from random import Random
from types import MappingProxyType
from typing import Any

from bson import ObjectId
from pymongo.database import Database

from migration_assets.identity import source_id
from migration_assets.model import Missing, Rule, Source, junction_of, sources
from migration_assets.nextcrm import ENTITIES, JUNCTIONS
from migration_assets.nextcrm.sample import words
from migration_assets.nextcrm.sample.documents import Document, described
from migration_assets.nextcrm.sample.generation import Progress, refuse_documents, write
from migration_assets.nextcrm.sample.ledger import Entry, Expectation, Ledger, OldShape
from migration_assets.nextcrm.sample.population import Population
from migration_assets.nextcrm.sample.shape import Shape, ShapeContext, scaled
from migration_assets.nextcrm.sample.shapes import SHAPES
from migration_assets.nextcrm.sample.values import ABSENT, Draw, pick, plain

COUNTS: Mapping[str, int] = MappingProxyType(
    {
        "Boards": 231,
        "Documents": 6,
        "Invoices": 2,
        "MyAccount": 1,
        "Sections": 393,
        "Tasks": 480,
        "Users": 7950,
        "crm_Accounts": 44,
        "crm_Accounts_Tasks": 10,
        "crm_Contacts": 43,
        "crm_Contracts": 1,
        "crm_Industry_Type": 3,
        "crm_Leads": 21,
        "crm_Opportunities": 27,
        "crm_Opportunities_Sales_Stages": 9,
        "crm_Opportunities_Type": 4,
        "crm_campaigns": 2,
        "gpt_models": 2,
        "openAi_keys": 2,
        "secondBrain_notions": 14,
        "systemServices": 1,
        "system_Modules_Enabled": 10,
        "tasksComments": 38,
    }
)
"""Documents at scale 1, as counted in a real database; its six Documents are the only ones added."""

STAFF = 12
"""The first users; the others are strangers who signed up."""

_START = 1_688_169_600
_SPAN = 533 * 86_400


def ever_slower(number: int, count: int) -> int:
    """Returns the second of a document: half of them in the first quarter of July 2023 to December 2024."""
    return _START + _SPAN * number**2 // count**2


OTHERS: Mapping[str, tuple[Document, ...]] = MappingProxyType(
    {
        "Account": tuple({"provider": "google", "userId": number} for number in range(2)),
        "Session": tuple({"sessionToken": f"SECRET-{number}"} for number in range(4)),
        "SetupIndustry": tuple({"name": name} for name in words.INDUSTRIES[:3]),
        "Translation": tuple(
            {"key": f"crm.{number}", "language": "cz", "text": "x"} for number in range(8)
        ),
        "User": ({"email": "first@example.org"},),
        "VerificationToken": ({"identifier": "first@example.org"},),
        "crm_campains": tuple(
            {"__v": 0, "name": name, "description": "example", "status": "ACTIVE"}
            for name in ("Social networks", "Cold calls", "Newsletter", "Fair")
        ),
        "gpt_Models": tuple({"model": name, "status": "ACTIVE"} for name in words.MODELS[:2]),
    }
)
"""Collections of older versions, each with what they hold."""

_MAY_LACK = (Rule.TEXT, Rule.BOOLEAN, Rule.JSON, Rule.REFERENCE)
_LACKING = 0.25
"""Share of the values of an optional field that a document lacks."""

_STAND_IN = {
    Missing.DEFAULT: Expectation.DEFAULTED,
    Missing.OBJECT_ID_TIME: Expectation.DERIVED,
    Missing.REJECT: Expectation.REJECTED,
}


class History(Population):
    """The documents of such a database: a pure function of scale and seed."""

    def __init__(self, *, scale: float, seed: int) -> None:
        super().__init__(scale=scale, seed=seed, timeline=ever_slower)
        self.arrays = _pairs(self)

    def _count(self, collection: str) -> int:
        shaped = [
            scaled(self, shape.first + shape.count)
            for shape in SHAPES
            if shape.collection == collection
        ]
        usual = COUNTS.get(collection, 0)
        return max(min(usual, 1), round(usual * self.scale), *shaped, 0)


Arrays = dict[tuple[str, str], dict[int, list[object]]]


"""What the arrays of ids hold, by collection and field and then by the document's number."""


def _pairs(history: History) -> Arrays:
    """Returns the relations as both sides hold them."""
    drawn = {
        "AccountWatchers": (29, 1, STAFF),
        "BoardWatchers": (114, 2, STAFF),
        "ContactsToOpportunities": (12, 3, 27),
        "DocumentsToAccounts": (4, 1, 44),
        "DocumentsToContacts": (3, 1, 43),
    }
    arrays: Arrays = defaultdict(lambda: defaultdict(list))
    for name, (count, stride, rights) in drawn.items():
        relation = junction_of(JUNCTIONS[name])
        assert relation is not None
        lefts = len(history.ids(relation.left.collection))
        for pair in range(scaled(history, count)):
            left = (lefts - 1 - pair * stride) % lefts
            right = (7 * pair + pair // rights) % min(
                scaled(history, rights), len(history.ids(relation.right.collection))
            )
            numbers = {relation.left: left, relation.right: right}
            for holder, array, other in relation.arrays():
                ids = arrays[holder.collection, array][numbers[holder]]
                ids.append(history.ids(other.collection)[numbers[other]])
    return arrays


class _Books:
    """The ledger and the rejected documents of the collections made so far."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._rejected: set[tuple[str, object]] = set()

    def is_rejected(self, collection: str | None, identifier: object) -> bool:
        return isinstance(identifier, ObjectId) and (collection, identifier) in self._rejected

    def add(self, collection: str, identifier: object, entries: list[Entry]) -> None:
        """Adds the odd shapes of a document; of a rejected one, only the pairs are booked besides."""
        if any(entry.expectation is Expectation.REJECTED for entry in entries):
            self._rejected.add((collection, identifier))
            columns = {item.field for item in sources(ENTITIES[collection]).values()}
            entries = [
                entry
                if entry.expectation is Expectation.ORPHANED and entry.field not in columns
                else replace(entry, expectation=Expectation.REJECTED)
                for entry in entries
            ]
        self.entries += entries


def generate_history(
    database: Database[Any],
    *,
    scale: float = 1.0,
    seed: int = 1,
    progress: Progress | None = None,
) -> Ledger:
    """Writes a NextCRM database of the proportions and with the old shapes of real ones.

    Args:
        database: A database without documents.
        scale: Size; 1 is about 9,290 documents. Below 1 there are fewer users, tasks, sections and
            boards, and every old shape nevertheless.
        seed: Same seed and scale, same bytes.
        progress: Is called after each batch.

    Returns:
        What was written, with an entry for each field of an old shape.

    Raises:
        ValueError: The database has documents, or the scale is not positive.
    """
    refuse_documents(database)
    history, books = History(scale=scale, seed=seed), _Books()
    written = {
        name: write(database, name, _documents(name, history, books), progress) for name in ENTITIES
    }
    _add_lost_pairs(history, books)
    kind = OldShape.OLD_COLLECTION
    for name, documents in OTHERS.items():
        numbered = [
            {"_id": history.extra_id(name, number), **document}
            for number, document in enumerate(documents)
        ]
        written[name] = write(database, name, numbered, progress)
        books.entries += [
            Entry(name, source_id(document["_id"]), "", kind, Expectation.UNMAPPED)
            for document in numbered
        ]
    return Ledger(
        documents=MappingProxyType({name: count for name, count in written.items() if count}),
        entries=tuple(sorted(books.entries)),
    )


def _documents(collection: str, history: History, books: _Books) -> Iterator[Document]:
    """Yields the documents of a collection, and enters into the books what is odd about them."""
    ids, random = history.ids(collection), history.random("history", collection)
    columns = [item for item in sources(ENTITIES[collection]).values() if item.rule is not Rule.KEY]
    draws = [(item, _draw(collection, item, history)) for item in columns]
    shapes = [(shape, shape.numbers(history)) for shape in SHAPES if shape.collection == collection]
    for number in range(len(ids)):
        created = ids.created(number)
        document: Document = {"_id": ids[number]}
        for item, draw in draws:
            lacks = item.missing is Missing.NULL and item.rule in _MAY_LACK
            if not lacks or random.random() >= _LACKING:
                document[item.field] = draw(random, number, created)
        for (holder, name), held in history.arrays.items():
            if holder == collection and number in held:
                document[name] = list(held[number])
        if "created_by" in document and "createdBy" in document:
            document["created_by"] = document["createdBy"]
        entries = []
        for shape, numbers in shapes:
            if number in numbers:
                hand = ShapeContext(history, number - numbers.start, created, document)
                entries += _put(shape, hand, document)
        entries += _consequences(collection, columns, document, books)
        books.add(collection, document["_id"], entries)
        yield document


def _put(shape: Shape, hand: ShapeContext, document: Document) -> list[Entry]:
    """Puts a shape into a document and returns what the ledger says of it."""
    columns = sources(ENTITIES[shape.collection])
    by_field = {item.field: item for item in columns.values()}
    entries = []
    values = {
        name: value(hand) if callable(value) else value for name, value in shape.fields.items()
    }
    for name, value in values.items():
        expected = shape.expects.get(name)
        if callable(expected):
            expected = expected(value)
        if expected is None and name not in by_field and value is not ABSENT:
            expected = Expectation.UNMAPPED
        elif expected is None and (value is ABSENT or value is None) and name in by_field:
            expected = _STAND_IN.get(by_field[name].missing)
        if shape.kind is OldShape.DOUBLED_USER and shape.collection == "Users" and hand.turn % 2:
            expected = Expectation.REJECTED
        document.pop(name, None)
        if value is not ABSENT:
            document[name] = value
        entries.append(
            Entry(
                shape.collection,
                source_id(document["_id"]),
                name,
                shape.kind,
                expected or Expectation.ACCEPTED,
            )
        )
    return entries


def _consequences(
    collection: str, columns: list[Source], document: Document, books: _Books
) -> list[Entry]:
    """Returns what follows for a document that refers to rejected ones."""
    entries = []
    for item in columns:
        if not books.is_rejected(item.references, document.get(item.field)):
            continue
        expected = Expectation.REJECTED if item.missing is Missing.REJECT else Expectation.ORPHANED
        entries.append(
            Entry(
                collection, source_id(document["_id"]), item.field, OldShape.TO_REJECTED, expected
            )
        )
    return entries


def _add_lost_pairs(history: History, books: _Books) -> None:
    """Enters the elements of arrays that hold or belong to a document that is rejected."""
    for table in JUNCTIONS.values():
        relation = junction_of(table)
        for holder, name, other in relation.arrays() if relation else ():
            for number, ids in history.arrays.get((holder.collection, name), {}).items():
                identifier = history.ids(holder.collection)[number]
                books.entries += [
                    Entry(
                        holder.collection,
                        source_id(identifier),
                        name,
                        OldShape.TO_REJECTED,
                        Expectation.ORPHANED,
                    )
                    for element in ids
                    if books.is_rejected(other.collection, element)
                    or books.is_rejected(holder.collection, identifier)
                ]


def _draw(collection: str, source: Source, history: History) -> Draw:
    """Returns what draws the ordinary values of a field: people are staff, and things lie in order."""
    name = (collection, source.field)
    parents = {
        ("Sections", "board"): "Boards",
        ("Tasks", "section"): "Sections",
    }
    if collection == "Users" and source.field in _OF_USERS:
        return _OF_USERS[source.field]
    if name in parents:
        ids, count = history.ids(parents[name]), len(history.ids(collection))
        return lambda _random, number, _created: ids[number * len(ids) // count]
    if source.references == "Users" and source.rule is Rule.REFERENCE:
        return pick([history.ids("Users")[number] for number in range(STAFF)])
    if source.rule is Rule.REFERENCE_ARRAY:
        return lambda _random, _number, _created: []
    return described(collection, source) or plain(source, history)


def _staff_only(values: Mapping[int, object], other: object) -> Draw:
    def draw(_random: Random, number: int, _created: datetime) -> object:
        return values.get(number, other)

    return draw


_OF_USERS: Mapping[str, Draw] = MappingProxyType(
    {
        "email": lambda _random, number, _created: f"user.{number}@example.org",
        "is_admin": _staff_only({0: True, 1: True}, False),
        "is_account_admin": _staff_only({1: True, 2: True}, False),
        "userStatus": _staff_only(dict.fromkeys(range(STAFF), "ACTIVE"), "PENDING"),
        "userLanguage": pick(("en", "en", "cz", "de")),
    }
)
