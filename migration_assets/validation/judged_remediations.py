"""Remediations as the judge applies them: the parsed rules are the loader's, this code is not (section 9).

What is missing is taken from other fields, ids are redirected, ids of other collections go to their field,
values are changed, and ids that came so are redirected, too. A value is changed by the first rule of its
field that matches. Rules for the elements of an array apply where no rule decides the array.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from migration_assets.model import model_of
from migration_assets.remediation.rules import (
    JUDGING,
    Action,
    Refers,
    Remediation,
    Remediations,
    references_of,
    relation_arrays,
)
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import Fields, Value
from migration_assets.validation.extended_json import canonical
from migration_assets.validation.identities import (
    Ids,
    is_object_id_text,
    object_id_uuid,
    only_id,
    resolved,
    uuid_of,
)
from migration_assets.validation.remediation_matching import is_of, is_there, matches, outcome, read

REMEDIATED = "remediated"

_ABSENT = object()
_EMPTY = Ids()


class Change(NamedTuple):
    """What a rule makes of a value, or of one element of it.

    Attributes:
        rule: Name of the rule.
        field: The field.
        element: Position of the element; None for the whole value.
        original: What was there; None where there was nothing.
        replacement: What it becomes; None where it is dropped.
    """

    rule: str
    field: str
    element: int | None
    original: Value | None
    replacement: Value | None

    def text(self) -> str:
        """Returns what must stand in the books: rule, original and replacement."""
        sides = (self.original, self.replacement)
        return entry_text(self.rule, *(None if side is None else canonical(side) for side in sides))


Values = dict[str, Value]
_Decide = Callable[[Value], "tuple[str, Value | None] | None"]
"""Returns the rule that changes an element, and what it becomes; None where it stays."""


class JudgedRules:
    """The rules for one collection, or for one array of a relation."""

    def __init__(
        self,
        rules: Iterable[Remediation] = (),
        entity: sa.Table | None = None,
        ids: Ids = _EMPTY,
        *,
        array: str | None = None,
    ) -> None:
        """Takes the rules, and what they may ask for.

        Args:
            rules: The rules, in the order of the file.
            entity: The table of the collection; None where no rule asks what its fields refer to.
            ids: What references may point to.
            array: The array of a relation, where nothing else is loaded; else such arrays are left to
                the tables of their relations.
        """
        self.ask_for_ids: bool
        """Whether what a rule does hangs on what an id leads to."""
        listed = [rule for rule in rules if rule.action is not Action.COUNTS_AS]
        self._ids = ids
        self._array = array
        self._elsewhere = relation_arrays(entity) if entity is not None else frozenset()
        refers = references_of(entity) if entity is not None else {}
        self._refers = {name: each for name, each in refers.items() if self._is_told(name)}
        self._judging = [rule for rule in listed if rule.action in JUDGING]
        redirecting = [rule for rule in listed if rule.action is Action.REDIRECT]
        self._ways: dict[str, dict[bytes, tuple[str, Value | None]]] = {}
        for rule in redirecting:
            ways = self._ways.setdefault(rule.collection, {})
            for old, new in rule.replacements:
                ways.setdefault(uuid_of(rule.collection, read(old)), (rule.name, read(new)))
        self._filling = [rule for rule in listed if rule.action in (Action.COPY, Action.MOVE)]
        self._sending = [rule for rule in listed if rule.action is Action.SEND_TO]
        special = {*self._filling, *self._sending, *redirecting, *self._judging}
        self._changing = [rule for rule in listed if rule not in special]
        names = [
            *(rule.field for rule in listed if rule.action not in JUDGING),
            *(rule.other for rule in listed),
            *(name for name, each in self._refers.items() if each.collection in self._ways),
        ]
        self.ask_for_ids = bool(self._sending) or any(
            rule.match.is_orphaned or rule.match.of for rule in listed
        )
        self._asking = {
            str(rule.field)
            for rule in (*self._changing, *self._sending)
            if rule in self._sending or rule.match.is_orphaned or rule.match.of
        }
        self._names = list(dict.fromkeys(filter(None, names)))
        self._encoded = {name.encode(): name for name in self._names}

    @property
    def changes(self) -> bool:
        """Whether a rule changes values."""
        return bool(self._names)

    def touch(self, document: bytes, source_id: str) -> bool:
        """Tells whether a rule changes a document, reading nothing but the fields that rules are for.

        Where a rule asks what an id leads to, it may be said of a document that stays as it is.

        Args:
            document: The document as BSON; one that is not readable may be said to be changed.
            source_id: Its `_id`, as the books write it.
        """
        if not self._names:
            return False
        values: Values = {}
        try:
            for kind, name, start, _ in bson.spans(document):
                if name in self._encoded:
                    values[self._encoded[name]] = bson.read_value(kind, document, start)
        except bson.UnreadableError:
            return True
        if any(is_there(values.get(name)) for name in self._asking):
            return True
        return bool(self._applied(values, source_id))

    def remedied(self, given: Fields, source_id: str) -> tuple[Fields, list[Change]]:
        """Returns the fields of a document as they are to be converted, and what was changed.

        What was changed in the arrays of relations is told where these are loaded, and nothing else there.
        """
        if not self._names:
            return given, []
        values = dict(given)
        changes = self._applied(values, source_id)
        return (list(values.items()) if changes else given), changes

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
        for rule in self._judging:
            if rule.action is Action.ACCEPT and self._judges(rule, source_id, name, value, element):
                return rule.name
        return None

    def document_accepted_by(
        self, source_id: str, lost: Sequence[tuple[str | None, Value | None]]
    ) -> tuple[str | None, str | None]:
        """Returns the rules that take a rejected document from what stands against a GO.

        Args:
            source_id: The document.
            lost: The fields that keep it from being loaded, and their values.

        Returns:
            Their names, and the step that it waits for; None where a field is left, and for no step.
        """
        names: list[str] = []
        steps: list[str] = []
        for name, value in lost:
            judging = (each for each in self._judging if self._judges(each, source_id, name, value))
            rule = next(judging, None)
            if rule is None:
                return None, None
            names += [] if rule.name in names else [rule.name]
            steps += [] if rule.until in ("", *steps) else [rule.until]
        return ", ".join(names), "; ".join(steps) or None

    def _judges(
        self,
        rule: Remediation,
        source_id: str,
        name: str | None,
        value: Value | None,
        element: object = _ABSENT,
    ) -> bool:
        if rule.field is None:
            return is_of(rule, source_id)
        if rule.field != name or (rule.elements and element is _ABSENT):
            return False
        looked_at: Any = element if rule.elements else value
        return self._matches(rule, name, looked_at, source_id)

    def _is_told(self, name: str) -> bool:
        return name == self._array if self._array is not None else name not in self._elsewhere

    def _applied(self, values: Values, source_id: str) -> list[Change]:
        """Applies all rules to the values of a document; returns what was changed, as far as it is told."""
        changes: list[Change] = []
        for rule in self._filling:
            self._fill(rule, values, source_id, changes)
        self._redirect(values, changes)
        for rule in self._sending:
            self._send(rule, values, source_id, changes)
        for name in dict.fromkeys(str(rule.field) for rule in self._changing):
            self._change(name, values, source_id, changes)
        self._redirect(values, changes)
        return [change for change in changes if self._is_told(change.field)]

    def _fill(
        self, rule: Remediation, values: Values, source_id: str, changes: list[Change]
    ) -> None:
        name, other = str(rule.field), str(rule.other)
        value = values.get(other)
        if not is_there(value) or is_there(values.get(name)) or not is_of(rule, source_id):
            return
        _replace(values, changes, Change(rule.name, name, None, values.get(name), value))
        if rule.action is Action.MOVE:
            _replace(values, changes, Change(rule.name, other, None, value, None))

    def _send(
        self, rule: Remediation, values: Values, source_id: str, changes: list[Change]
    ) -> None:
        name, other = str(rule.field), str(rule.other)
        value = values.get(name)
        is_meant = self._is_of_another(name, value, self._refers[other].collection)
        if is_meant and not is_there(values.get(other)) and is_of(rule, source_id):
            _replace(values, changes, Change(rule.name, other, None, values.get(other), value))
            _replace(values, changes, Change(rule.name, name, None, value, None))

    def _redirect(self, values: Values, changes: list[Change]) -> None:
        for name, refers in self._refers.items():
            value = values.get(name)
            if refers.collection not in self._ways or value is None or not is_there(value):
                continue
            if refers.is_array:
                _change_elements(values, name, changes, partial(self._way, refers))
            elif (found := self._way(refers, _one_of(refers, value))) is not None:
                _replace(values, changes, Change(found[0], name, None, value, found[1]))

    def _way(self, refers: Refers, value: Value) -> tuple[str, Value | None] | None:
        """Returns the rule that redirects an id, and where it leads."""
        ways, own = self._ways[refers.collection], uuid_of(refers.collection, value)
        if own in ways:
            return ways[own]
        if not is_object_id_text(value) or own in self._known(refers):
            return None
        return ways.get(object_id_uuid(bytes.fromhex(value[1])))

    def _change(self, name: str, values: Values, source_id: str, changes: list[Change]) -> None:
        mine = [rule for rule in self._changing if rule.field == name]
        value = values.get(name)
        for rule in mine:
            if not rule.elements and self._matches(rule, name, value, source_id):
                change = Change(rule.name, name, None, value, outcome(rule, value))
                _replace(values, changes, change)
                return

        def decide(element: Value) -> tuple[str, Value | None] | None:
            for rule in mine:
                if rule.elements and self._matches(rule, name, element, source_id):
                    return rule.name, outcome(rule, element)
            return None

        if value is not None and is_there(value):
            _change_elements(values, name, changes, decide)

    def _matches(self, rule: Remediation, name: str, value: Value | None, source_id: str) -> bool:
        if rule.match.is_orphaned and not self._is_orphaned(name, value):
            return False
        if rule.match.of is not None and not self._is_of_another(name, value, rule.match.of):
            return False
        return matches(rule, value, source_id)

    def _is_orphaned(self, name: str, value: Value | None) -> bool:
        if value is None or not is_there(value):
            return False
        refers = self._refers[name]
        one = _one_of(refers, value)
        is_empty = one[0] in bson.TEXTUAL and not one[1]
        is_known = resolved(one, refers.collection, self._known(refers))[0] is not None
        return is_there(one) and not is_empty and not is_known

    def _is_of_another(self, name: str, value: Value | None, collection: str) -> bool:
        """Tells whether a value is the id of a row of another collection, and of none of its own."""
        return (
            self._is_orphaned(name, value)
            and value is not None
            and resolved(
                _one_of(self._refers[name], value), collection, self._ids.rows[collection]
            )[0]
            is not None
        )

    def _known(self, refers: Refers) -> Any:
        known = self._ids.documents if refers.is_text else self._ids.rows
        return known.get(refers.collection, frozenset())


NO_RULES = JudgedRules()


def rules_for(
    remediations: Remediations, table: sa.Table, collection: str, array: str, ids: Ids = _EMPTY
) -> JudgedRules:
    """Returns the rules for one array of a relation."""
    rules = remediations.of_array(table, collection, array)
    return JudgedRules(rules, model_of(table).entities[collection], ids, array=array)


def entry_text(rule: str, original: str | None, replacement: str | None) -> str:
    """Returns a line of ``migration.remediations`` as one text, as ``recorded_lines`` reads it."""
    sides = ("" if side is None else side for side in (original, replacement))
    return f"[{json.dumps(rule)},{','.join(f'[{side}]' for side in sides)}]"


def _replace(values: Values, changes: list[Change], change: Change) -> None:
    """Puts a whole value in its place."""
    changes.append(change)
    if change.replacement is not None:
        values[change.field] = change.replacement
    else:
        values.pop(change.field, None)


def _change_elements(values: Values, name: str, changes: list[Change], decide: _Decide) -> None:
    value = values[name]
    is_lone = value[0] != bson.ARRAY
    kept: list[Value] = []
    before = len(changes)
    for position, element in enumerate([value] if is_lone else value[1]):
        decided = decide(element)
        if decided is None:
            kept.append(element)
            continue
        changes.append(Change(decided[0], name, position, element, decided[1]))
        kept += [] if decided[1] is None else [decided[1]]
    if len(changes) == before:
        return
    if not is_lone:
        values[name] = bson.ARRAY, kept
    elif kept:
        values[name] = kept[0]
    else:
        del values[name]


def _one_of(refers: Refers, value: Value) -> Value:
    """Returns the one id of a list where one id is expected (section 5)."""
    one = None if refers.is_array or refers.is_text else only_id(value)
    return value if one is None else one
