"""The rules: each has a collection, a field, a match and an action. Nothing is applied here."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import bson
import sqlalchemy as sa

from migration_assets.model import (
    Missing,
    Model,
    Rule,
    Source,
    junction_of,
    model_of,
    sources,
)
from migration_assets.source.connection import CODEC
from migration_assets.source.elements import TYPE_NAMES

NUMBER = "number"
"""Stands for ``int``, ``long``, ``double`` and ``decimal``."""
NUMBERS = ("int", "long", "double", "decimal")
TYPES = (*NUMBERS, NUMBER, *(name for name in TYPE_NAMES if name not in NUMBERS))
"""The BSON types that a rule can match, as MongoDB's ``$type`` names them."""

_VALUE = "v"


class Action(enum.StrEnum):
    """The action of a rule on a matching value; the first matching rule of a field decides."""

    MAP = "map"
    """One value becomes another."""
    SET = "set"
    """It becomes a given value."""
    DROP = "drop"
    """It is treated as missing; an element leaves its array."""
    NUMBER = "number"
    """A text is read as a number, by a format."""
    COPY = "copy"
    """A missing value is taken from another field."""
    MOVE = "move"
    """The same, and the other field is no longer there."""
    SEND_TO = "send_to"
    """An id of another collection goes to another field, where nothing is there yet."""
    REDIRECT = "redirect"
    """Ids of one document become those of another, in whatever refers to its collection."""
    COUNTS_AS = "counts_as"
    """The documents of a collection that the model does not know count as those of another."""
    ACCEPT = "accept"
    """Nothing changes, but its loss no longer stands against a GO."""
    DEFER = "defer"
    """A rejected document waits for a later step, and does not stand against a GO."""


JUDGING = frozenset({Action.ACCEPT, Action.DEFER})
"""Actions that change nothing."""

TWO_LINES = frozenset({Action.MOVE, Action.SEND_TO})
"""What goes from one field to another has a line in the books for each of them."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that a rule names: a BSON document with this one field, which both readers of it can read."""

    bson: bytes

    @classmethod
    def of(cls, value: Any) -> Literal:
        """Returns the literal of a value as pymongo takes it.

        Raises:
            BSONError: BSON cannot hold it.
            OverflowError: It is a number beyond 64 bits.
        """
        return cls(bson.encode({_VALUE: value}, codec_options=CODEC))

    @property
    def value(self) -> Any:
        """The value as pymongo decodes it."""
        return bson.decode(self.bson, CODEC)[_VALUE]


@dataclass(frozen=True, slots=True)
class Match:
    """The match of a rule; besides ``ids``, at most one attribute is given.

    Attributes:
        values: Values; numbers are the same where they are equal, whatever their type, all else where it
            is the same canonical Extended JSON.
        types: BSON types.
        is_missing: Missing or null.
        is_any: Anything but missing or null.
        is_orphaned: An id that would be lost since no document that was loaded has it.
        of: An id that a document of this collection has which was loaded, and none of the field's own.
        ids: Documents, by source id; of all documents where None.
    """

    values: tuple[Literal, ...] | None = None
    types: tuple[str, ...] | None = None
    is_missing: bool = False
    is_any: bool = False
    is_orphaned: bool = False
    of: str | None = None
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How numbers are written in texts; blanks around them do not count.

    Attributes:
        thousands: What stands between groups of three digits; empty for nothing.
        decimal: What stands before the fraction; empty for nothing.
        empty_is_missing: A text without anything but blanks is treated as missing.
    """

    thousands: str = ""
    decimal: str = ""
    empty_is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Remediation:
    """One rule.

    Attributes:
        name: Its name, unique in the file; it stands in the books beside all that it did.
        collection: The collection; for ``REDIRECT`` the one that is referred to. The model knows all but
            that of ``COUNTS_AS``.
        field: The field; None for whatever a document loses, and for ``REDIRECT``.
        match: What it looks for.
        action: What it does.
        elements: It looks at the elements of an array (a lone value is one), not at the array.
        replacements: For ``MAP`` what becomes what, for ``REDIRECT`` which `_id` becomes which.
        value: For ``SET``, the value.
        other: The field that ``COPY`` and ``MOVE`` take it from, or that ``SEND_TO`` sends it to; for
            ``COUNTS_AS`` the collection that it counts as.
        number: For ``NUMBER``, the format.
        ignores_case: For ``MAP``, texts are the same in capitals or not.
        until: For ``DEFER``, the step that the document waits for, in words.
        changes_fine_values: It is meant to change values that would not be lost, too.
        references_to: The collection, where the file says it of all references to one; each field that
            refers to it has a rule of the same name then.
    """

    name: str
    collection: str
    field: str | None
    match: Match
    action: Action
    elements: bool = False
    replacements: tuple[tuple[Literal, Literal], ...] = ()
    value: Literal | None = None
    other: str | None = None
    number: NumberFormat | None = None
    ignores_case: bool = False
    until: str = ""
    changes_fine_values: bool = False
    references_to: str = ""


@dataclass(frozen=True, slots=True)
class Remediations:
    """All rules of a file, in its order.

    Attributes:
        rules: The rules.
        file: Its path as given; empty where there is none.
    """

    rules: tuple[Remediation, ...] = ()
    file: str = ""

    def of(self, table: sa.Table) -> tuple[Remediation, ...]:
        """Returns the rules that concern a table: its fields, or the arrays of its relation."""
        if not self.rules:
            return ()
        concerned = fields_of(table)
        return tuple(rule for rule in self.rules if _concerns(rule, table, concerned))

    @property
    def counted_as(self) -> Mapping[str, tuple[str, ...]]:
        """The collections that count as one, by the name of that one."""
        counted: dict[str, tuple[str, ...]] = {}
        for rule in self.rules:
            if rule.action is Action.COUNTS_AS and rule.other is not None:
                counted[rule.other] = (*counted.get(rule.other, ()), rule.collection)
        return counted

    def of_array(self, table: sa.Table, collection: str, array: str) -> tuple[Remediation, ...]:
        """Returns the rules that concern one array of a relation."""
        return tuple(
            rule
            for rule in self.of(table)
            if rule.action is Action.REDIRECT
            or (rule.collection == collection and rule.field in (None, array))
        )

    def fields_to_read(self, table: sa.Table, collection: str, array: str) -> tuple[str, ...]:
        """Returns the fields that the pairs of one array of a relation come from, the array first."""
        others = (rule.other for rule in self.of_array(table, collection, array))
        return tuple(dict.fromkeys([array, *filter(None, others)]))

    def digest(self, table: sa.Table) -> str:
        """Returns a digest of the rules that concern a table, an empty text where there is none."""
        rules = self.of(table)
        if not rules:
            return ""
        return hashlib.blake2b(repr(rules).encode(), digest_size=16).hexdigest()


NO_REMEDIATIONS = Remediations()


def _concerns(rule: Remediation, table: sa.Table, concerned: Mapping[str, frozenset[str]]) -> bool:
    if rule.action is Action.REDIRECT:
        return any(
            refers.collection == rule.collection and name in names
            for collection, names in concerned.items()
            for name, refers in references_of(model_of(table).entities[collection]).items()
        )
    if rule.action is Action.COUNTS_AS:
        return rule.other in concerned
    if rule.collection not in concerned:
        return False
    # A moved value is no longer in the document, whichever table it moves to.
    is_taken = rule.action is Action.MOVE and rule.collection == table.name
    names = concerned[rule.collection]
    return is_taken or rule.field is None or rule.field in names or rule.other in names


def fields_of(table: sa.Table) -> dict[str, frozenset[str]]:
    """Returns the fields that a table is made of, the key apart, by collection."""
    relation = junction_of(table)
    if relation is None:
        columns = sources(table).values()
        return {
            table.name: frozenset(column.field for column in columns if column.rule is not Rule.KEY)
        }
    held: dict[str, frozenset[str]] = {}
    for holder, array, _ in relation.arrays():
        held[holder.collection] = held.get(holder.collection, frozenset()) | {array}
    return held


def fine_types(model: Model, rule: Remediation) -> frozenset[str]:
    """Returns the BSON types that the field of a rule takes as they are (section 5), as far as it looks."""
    if rule.field is None:
        return frozenset()
    kind = place_of(model, rule)[1].rule
    if kind.is_array and not rule.elements:
        return frozenset({"array"})
    return frozenset(TYPES if kind.accepts is None else kind.accepts)


def place_of(model: Model, rule: Remediation) -> tuple[sa.Table, Source]:
    """Returns the table that the field of a rule becomes, and how: an array of a relation, as references."""
    entity = model.entities[rule.collection]
    for source in sources(entity).values():
        if source.field == rule.field:
            return entity, source
    return next(
        (table, Source(array, Rule.REFERENCE_ARRAY, references=other.collection))
        for table, relation in ((table, junction_of(table)) for table in model.junctions.values())
        if relation is not None
        for holder, array, other in relation.arrays()
        if (holder.collection, array) == (rule.collection, rule.field)
    )


@dataclass(frozen=True, slots=True)
class Refers:
    """The target of the ids in a field.

    Attributes:
        collection: The collection.
        is_array: The field holds many of them.
        is_text: They are kept as text, and point to any document, loaded or not.
    """

    collection: str
    is_array: bool
    is_text: bool


def refer_to(model: Model, collection: str, *, required: bool) -> Iterator[tuple[str, str, bool]]:
    """Yields collection, field and whether it is an array, of the fields that refer to a collection.

    Args:
        model: The application's tables.
        collection: The collection that they refer to.
        required: Those whose column cannot be empty, else all others.
    """
    for holder in model.entities:
        for name, refers in references_of(model.entities[holder]).items():
            columns = sources(model.entities[holder]).values()
            missing = next(
                (column.missing for column in columns if column.field == name), Missing.NULL
            )
            if refers.collection == collection and (missing is Missing.REJECT) is required:
                yield holder, name, refers.is_array


@cache
def references_of(entity: sa.Table) -> Mapping[str, Refers]:
    """Returns the fields of a collection that hold ids, the arrays of relations included."""
    references = {
        column.field: Refers(
            column.references, column.rule.is_array, column.rule.refers_to_documents
        )
        for column in sources(entity).values()
        if column.references is not None
    }
    for relation in map(junction_of, model_of(entity).junctions.values()):
        assert relation is not None
        for holder, array, other in relation.arrays():
            if holder.collection == entity.name:
                references[array] = Refers(other.collection, is_array=True, is_text=False)
    return references


@cache
def relation_arrays(entity: sa.Table) -> frozenset[str]:
    """Returns the arrays of a collection that become pairs of junction tables."""
    return frozenset().union(
        *(
            fields_of(table).get(entity.name, frozenset())
            for table in model_of(entity).junctions.values()
        )
    )


def arrays_of(entity: sa.Table) -> frozenset[str]:
    """Returns the fields of a collection that are arrays, those of relations included."""
    own = {column.field for column in sources(entity).values() if column.rule.is_array}
    return relation_arrays(entity) | own
