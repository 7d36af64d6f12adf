"""What a rule is: a collection, a field, what to match, and what to do about it. Nothing is applied here."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bson
import sqlalchemy as sa

from migration_assets.model import ENTITIES, JUNCTIONS, Rule, Source, junction_of, sources
from migration_assets.source.connection import CODEC

ARRAYS = frozenset({Rule.TEXT_ARRAY, Rule.REFERENCE_ARRAY, Rule.REFERENCE_TEXT_ARRAY})
NUMBER = "number"
"""Stands for ``int``, ``long``, ``double`` and ``decimal``."""
NUMBERS = ("int", "long", "double", "decimal")
TYPES = (
    *NUMBERS,
    NUMBER,
    "string",
    "bool",
    "date",
    "objectId",
    "object",
    "array",
    "binData",
    "regex",
    "timestamp",
    "javascript",
    "minKey",
    "maxKey",
)
"""The BSON types that a rule can match, as MongoDB's ``$type`` names them."""

_VALUE = "v"


class Action(enum.StrEnum):
    """What a rule does to what it matches; the first rule of a field that matches decides."""

    MAP = "map"
    """One value becomes another."""
    SET = "set"
    """It becomes a given value."""
    DROP = "drop"
    """It is treated as missing; an element leaves its array."""
    ACCEPT = "accept"
    """Nothing changes, but its loss no longer stands against a GO."""


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
    """What a rule looks for; of the first four one at most is given.

    Attributes:
        values: Values; numbers are the same where they are equal, whatever their type, all else where it
            is the same canonical Extended JSON.
        types: BSON types.
        is_missing: Missing or null.
        is_any: Anything but missing or null.
        ids: Documents, by source id; of all documents where None.
    """

    values: tuple[Literal, ...] | None = None
    types: tuple[str, ...] | None = None
    is_missing: bool = False
    is_any: bool = False
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Remediation:
    """One rule.

    Attributes:
        name: Its name, unique in the file; it stands in the books beside all that it did.
        collection: The collection.
        field: The field; None for an acceptance of whatever a document loses.
        match: What it looks for.
        action: What it does.
        elements: It looks at the elements of an array (a lone value is one), not at the array.
        replacements: For ``MAP``, what becomes what.
        value: For ``SET``, the value.
        changes_fine_values: It is meant to change values that would not be lost, too.
    """

    name: str
    collection: str
    field: str | None
    match: Match
    action: Action
    elements: bool = False
    replacements: tuple[tuple[Literal, Literal], ...] = ()
    value: Literal | None = None
    changes_fine_values: bool = False


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
        return tuple(
            rule
            for rule in self.rules
            if rule.collection in concerned
            and (rule.field is None or rule.field in concerned[rule.collection])
        )

    def digest(self, table: sa.Table) -> str:
        """Returns a digest of the rules that concern a table, an empty text where there is none."""
        rules = self.of(table)
        if not rules:
            return ""
        return hashlib.blake2b(repr(rules).encode(), digest_size=16).hexdigest()


NO_REMEDIATIONS = Remediations()


def fields_of(table: sa.Table) -> dict[str, frozenset[str]]:
    """Returns the fields that a table is made of, the key apart, by collection."""
    relation = junction_of(table)
    if relation is None:
        given = sources(table).values()
        return {table.name: frozenset(each.field for each in given if each.rule is not Rule.KEY)}
    held: dict[str, frozenset[str]] = {}
    for holder, array, _ in relation.arrays():
        held[holder.collection] = held.get(holder.collection, frozenset()) | {array}
    return held


_FINE_TYPES: Mapping[Rule, tuple[str, ...]] = {
    Rule.TEXT: ("string",),
    Rule.INTEGER: ("int", "long"),
    Rule.BIGINT: ("int", "long"),
    Rule.BOOLEAN: ("bool",),
    Rule.TIMESTAMP: ("date",),
    Rule.ENUM: ("string",),
    Rule.JSON: TYPES,
    Rule.TEXT_ARRAY: ("string",),
    Rule.REFERENCE: ("objectId",),
    Rule.REFERENCE_ARRAY: ("objectId",),
    Rule.REFERENCE_TEXT: ("string", "objectId"),
    Rule.REFERENCE_TEXT_ARRAY: ("string", "objectId"),
}


def fine_types(rule: Remediation) -> frozenset[str]:
    """Returns the BSON types that the field of a rule takes as they are (section 5), as far as it looks."""
    if rule.field is None:
        return frozenset()
    kind = place_of(rule)[1].rule
    if kind in ARRAYS and not rule.elements:
        return frozenset({"array"})
    return frozenset(_FINE_TYPES[kind])


def place_of(rule: Remediation) -> tuple[sa.Table, Source]:
    """Returns the table that the field of a rule becomes, and how: an array of a relation, as references."""
    entity = ENTITIES[rule.collection]
    for source in sources(entity).values():
        if source.field == rule.field:
            return entity, source
    return next(
        (table, Source(array, Rule.REFERENCE_ARRAY, references=other.collection))
        for table, relation in ((table, junction_of(table)) for table in JUNCTIONS.values())
        if relation is not None
        for holder, array, other in relation.arrays()
        if (holder.collection, array) == (rule.collection, rule.field)
    )


def arrays_of(collection: str) -> frozenset[str]:
    """Returns the fields of a collection that are arrays, those of relations included."""
    own = {each.field for each in sources(ENTITIES[collection]).values() if each.rule in ARRAYS}
    relations = (fields_of(table).get(collection, frozenset()) for table in JUNCTIONS.values())
    return frozenset(own.union(*relations))
