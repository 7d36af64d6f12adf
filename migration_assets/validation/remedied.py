"""Remediations as the judge applies them: the parsed rules are the loader's, this code is not (section 9).

A value is decided by the first rule of its field that matches. Rules for the elements of an array apply
where no rule decides the array; a position is one in the source's own array.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from migration_assets.remediation.rules import Action, Literal, Remediation, Remediations
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import Fields, Value
from migration_assets.validation.extended_json import canonical

REMEDIATED = "remediated"

_ABSENT = object()
_NULLISH = frozenset({bson.NULL, bson.UNDEFINED})
_NUMBERS = frozenset({bson.INT32, bson.INT64, bson.DOUBLE})
_SAME_TYPES = {
    bson.SYMBOL: "string",
    bson.DB_POINTER: "object",
    bson.CODE_WITH_SCOPE: "javascript",
}
"""Deprecated types are what every driver reads."""


class Change(NamedTuple):
    """What a rule makes of a value, or of one element of it.

    Attributes:
        rule: Name of the rule.
        field: The field.
        element: Position of the element; None for the whole value.
        original: What the source has; None where it has nothing.
        literal: What it becomes; None where it is dropped.
    """

    rule: str
    field: str
    element: int | None
    original: Value | None
    literal: Literal | None

    def text(self) -> str:
        """Returns what must stand in the books: rule, original and replacement."""
        original = None if self.original is None else canonical(self.original)
        replacement = None if self.literal is None else canonical(read(self.literal))
        return entry_text(self.rule, original, replacement)


class JudgedRules:
    """The rules for one collection, or for one array of it."""

    def __init__(self, rules: Iterable[Remediation] = ()) -> None:
        listed = list(rules)
        self._changing = [rule for rule in listed if rule.action is not Action.ACCEPT]
        self._accepting = [rule for rule in listed if rule.action is Action.ACCEPT]
        self._fields = list(dict.fromkeys(str(rule.field) for rule in self._changing))
        self._encoded = {name.encode(): name for name in self._fields}

    @property
    def changes(self) -> bool:
        """Whether a rule changes values."""
        return bool(self._changing)

    @property
    def fields(self) -> Sequence[str]:
        """The fields that rules change."""
        return self._fields

    def touch(self, document: bytes, object_id: bytes) -> bool:
        """Tells whether a rule changes a document, reading nothing but the fields that rules are for.

        Args:
            document: The document as BSON; one that is not readable may be said to be changed.
            object_id: Its `_id`.
        """
        if not self._changing:
            return False
        values: dict[str, Value] = {}
        try:
            for kind, name, start, _ in bson.spans(document):
                if name in self._encoded:
                    values[self._encoded[name]] = bson.read_value(kind, document, start)
        except bson.UnreadableError:
            return True
        source_id = object_id.hex()
        return any(self._changes(name, values.get(name), source_id) for name in self._fields)

    def remedied(self, given: Fields, source_id: str) -> tuple[Fields, list[Change]]:
        """Returns the fields of a document as they are to be converted, and what was changed."""
        values = dict(given)
        changes = [
            change
            for name in self._fields
            for change in self._changes(name, values.get(name), source_id)
        ]
        if not changes:
            return given, []
        for name in {change.field for change in changes}:
            mine = [change for change in changes if change.field == name]
            replaced = _replaced(values.get(name), mine)
            if replaced is None:
                del values[name]
            else:
                values[name] = replaced
        return list(values.items()), changes

    def accepted_by(
        self, source_id: str, name: str | None, value: Value | None, element: object = _ABSENT
    ) -> str | None:
        """Returns the rule that accepts a loss, None where none does.

        Args:
            source_id: The document.
            name: The field; None for a document that cannot be read.
            value: The value of the field, as it was converted.
            element: The element of it that was lost, where not all of it was.
        """
        for rule in self._accepting:
            if rule.field is None:
                if _is_of(rule, source_id):
                    return rule.name
            elif rule.field == name:
                if rule.elements and element is _ABSENT:
                    continue
                looked_at: Any = element if rule.elements else value
                if _matches(rule, looked_at, source_id):
                    return rule.name
        return None

    def _changes(self, name: str, value: Value | None, source_id: str) -> list[Change]:
        mine = [rule for rule in self._changing if rule.field == name]
        for rule in mine:
            if not rule.elements and _matches(rule, value, source_id):
                return [Change(rule.name, name, None, value, _outcome(rule, value))]
        if value is None or value[0] in _NULLISH:
            return []
        found = []
        for position, element in enumerate(_elements(value)):
            for rule in mine:
                if rule.elements and _matches(rule, element, source_id):
                    outcome = _outcome(rule, element)
                    found.append(Change(rule.name, name, position, element, outcome))
                    break
        return found


NO_RULES = JudgedRules()


def rules_for(
    remediations: Remediations, table: sa.Table, collection: str, array: str
) -> JudgedRules:
    """Returns the rules for one array of a relation."""
    concerned = (rule for rule in remediations.of(table) if rule.collection == collection)
    return JudgedRules(rule for rule in concerned if rule.field is None or rule.field == array)


def read(literal: Literal) -> Value:
    """Returns the value of a literal."""
    return bson.read_document(literal.bson)[0][1]


def entry_text(rule: str, original: str | None, replacement: str | None) -> str:
    """Returns a line of ``migration.remediations`` as one text, as ``books`` reads it."""
    sides = ("" if side is None else side for side in (original, replacement))
    return f"[{json.dumps(rule)},{','.join(f'[{side}]' for side in sides)}]"


def _elements(value: Value) -> list[Value]:
    return list(value[1]) if value[0] == bson.ARRAY else [value]


def _replaced(value: Value | None, changes: list[Change]) -> Value | None:
    """Returns what a value becomes; None where nothing is left of it."""
    if changes[0].element is None:
        return None if changes[0].literal is None else read(changes[0].literal)
    assert value is not None
    by_position = {change.element: change.literal for change in changes}
    kept: list[Value] = []
    for position, element in enumerate(_elements(value)):
        if position not in by_position:
            kept.append(element)
        elif (literal := by_position[position]) is not None:
            kept.append(read(literal))
    if value[0] == bson.ARRAY:
        return bson.ARRAY, kept
    return kept[0] if kept else None


def _outcome(rule: Remediation, value: Value | None) -> Literal | None:
    if rule.action is not Action.MAP:
        return rule.value
    assert value is not None
    return next(new for old, new in rule.replacements if _is_same(read(old), value))


def _matches(rule: Remediation, value: Value | None, source_id: str) -> bool:
    match = rule.match
    is_there = value is not None and value[0] not in _NULLISH
    wanted = [old for old, _ in rule.replacements] if rule.action is Action.MAP else match.values
    if wanted is not None and not (
        value is not None and is_there and any(_is_same(read(each), value) for each in wanted)
    ):
        return False
    if match.types is not None and not (
        value is not None and is_there and _type(value) in match.types
    ):
        return False
    is_dropped_whole = rule.action is Action.DROP and not rule.elements
    if (match.is_missing and is_there) or ((match.is_any or is_dropped_whole) and not is_there):
        return False
    return _is_of(rule, source_id)


def _is_of(rule: Remediation, source_id: str) -> bool:
    return rule.match.ids is None or source_id in rule.match.ids


def _type(value: Value) -> str:
    return _SAME_TYPES.get(value[0]) or bson.TYPE_NAMES[value[0]]


def _is_same(left: Value, right: Value) -> bool:
    """Tells whether two values are the same to a rule: numbers as numbers, all else as written."""
    if left[0] in _NUMBERS and right[0] in _NUMBERS and left[1] == right[1]:
        return True
    return canonical(left) == canonical(right)
