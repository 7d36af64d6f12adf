"""Remediations as the judge applies them: the parsed rules are the loader's, this code is not (section 9).

What is missing is taken from other fields, ids are redirected, ids of other collections go to their field,
values are changed, and ids that came so are redirected, too. A value is changed by the first rule of its
field that matches. Rules for the elements of an array apply where no rule decides the array.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
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
from migration_assets.validation.bson_reader import Fields, UnreadableBsonError, read_document
from migration_assets.validation.extended_json import canonical
from migration_assets.validation.identities import (
    Ids,
    is_object_id_text,
    object_id_uuid,
    only_id,
    resolved,
    uuid_of,
)
from migration_assets.validation.remediation_matching import (
    ABSENT,
    is_of,
    is_there,
    matches,
    outcome,
    read,
)

REMEDIATED = "remediated"

_EMPTY = Ids()


class Change(NamedTuple):
    """What a rule makes of a value, or of one element of it.

    Attributes:
        rule: Name of the rule.
        field: The field.
        element: Position of the element; None for the whole value.
        original: What was there; ``ABSENT`` where there was nothing.
        replacement: What it becomes; ``ABSENT`` where it is dropped.
    """

    rule: str
    field: str
    element: int | None
    original: Any
    replacement: Any

    def text(self) -> str:
        """Returns what must stand in the books: rule, original and replacement."""
        sides = (self.original, self.replacement)
        return entry_text(
            self.rule, *(None if side is ABSENT else canonical(side) for side in sides)
        )


Decision = tuple[str, Any]
"""The rule that changes a value, and what it becomes."""
_Decide = Callable[[Any], Decision | None]
"""Decides on a value; None where it stays."""


def _asks(rule: Remediation) -> bool:
    """Tells whether what a rule is for hangs on what an id leads to."""
    return rule.match.is_orphaned or rule.match.of is not None


class JudgedRules:
    """The rules for one collection, or for one array of a relation.

    Attributes:
        changes: Whether a rule changes values.
        ask_for_ids: Whether what a rule does hangs on what an id leads to.
    """

    def __init__(
        self,
        rules: Sequence[Remediation] = (),
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

        def of(*actions: Action) -> list[Remediation]:
            return [rule for rule in rules if rule.action in actions]

        self._ids = ids
        self._array = array
        self._elsewhere = relation_arrays(entity) if entity is not None else frozenset()
        refers = references_of(entity) if entity is not None else {}
        self._refers = {
            name: reference for name, reference in refers.items() if self._is_told(name)
        }
        self._judging = of(*JUDGING)
        self._filling = of(Action.COPY, Action.MOVE)
        self._sending = of(Action.SEND_TO)
        self._ways: dict[str, dict[bytes, Decision]] = {}
        for rule in of(Action.REDIRECT):
            ways = self._ways.setdefault(rule.collection, {})
            for old, new in rule.replacements:
                ways.setdefault(uuid_of(rule.collection, read(old)), (rule.name, read(new)))
        self._changing: dict[str, list[Remediation]] = {}
        changing = of(Action.MAP, Action.SET, Action.DROP, Action.NUMBER)
        for rule in changing:
            self._changing.setdefault(str(rule.field), []).append(rule)
        is_redirected = any(
            reference.collection in self._ways for reference in self._refers.values()
        )
        self.changes = bool(self._filling or self._sending or self._changing or is_redirected)
        asking = [*self._sending, *filter(_asks, changing)]
        self.ask_for_ids = bool(asking) or any(map(_asks, self._judging))
        self._asking = {str(rule.field) for rule in asking}

    def touch(self, document: bytes, source_id: str) -> bool:
        """Tells whether a rule changes a document.

        Where a rule asks what an id leads to, it may be said of a document that stays as it is.

        Args:
            document: The document as BSON; one that is not readable is said to be changed.
            source_id: Its `_id`, as the books write it.
        """
        if not self.changes:
            return False
        try:
            values = read_document(document)
        except UnreadableBsonError:
            return True
        is_asked = any(is_there(values.get(name)) for name in self._asking)
        return is_asked or bool(self._applied(values, source_id))

    def remedied(self, fields: Fields, source_id: str) -> tuple[Fields, list[Change]]:
        """Returns the fields of a document as they are to be converted, and what was changed.

        What was changed in the arrays of relations is told where these are loaded, and nothing else there.
        """
        if not self.changes:
            return fields, []
        values = dict(fields)
        changes = self._applied(values, source_id)
        return (values if changes else fields), changes

    def accepted_by(
        self, source_id: str, name: str | None, value: Any, element: Any = ABSENT
    ) -> str | None:
        """Returns the rule that accepts a loss, None where none does.

        Args:
            source_id: The document.
            name: The field; None for a document that cannot be read.
            value: The value of the field, as it was converted.
            element: The element of it that was lost, where not all of it was.
        """
        rules = self._judged_by(source_id, name, value, element)
        return next((rule.name for rule in rules if rule.action is Action.ACCEPT), None)

    def document_accepted_by(
        self, source_id: str, lost: Iterable[tuple[str | None, Any]]
    ) -> str | None:
        """Returns the rules that take a rejected document from what stands against a GO.

        Args:
            source_id: The document.
            lost: The fields that keep it from being loaded, and their values.

        Returns:
            Their names, and the step that it waits for, as one text, as ``recorded_lines`` reads it; None
            where a field is left.
        """
        rules = [next(self._judged_by(source_id, *field), None) for field in lost]
        names = dict.fromkeys(rule.name for rule in rules if rule is not None)
        steps = dict.fromkeys(rule.until for rule in rules if rule is not None and rule.until)
        until = f" until {'; '.join(steps)}" if steps else ""
        return None if None in rules else ", ".join(names) + until

    def _judged_by(
        self, source_id: str, name: str | None, value: Any, element: Any = ABSENT
    ) -> Iterator[Remediation]:
        """Yields the rules that accept or defer a loss."""
        for rule in self._judging:
            if rule.field is None:
                is_for = is_of(rule, source_id)
            elif rule.field != name or (rule.elements and element is ABSENT):
                is_for = False
            else:
                is_for = self._matches(rule, element if rule.elements else value, source_id)
            if is_for:
                yield rule

    def _is_told(self, name: str) -> bool:
        return name == self._array if self._array is not None else name not in self._elsewhere

    def _applied(self, values: Fields, source_id: str) -> list[Change]:
        """Applies all rules to the values of a document; returns what was changed, as far as it is told."""
        changes = []
        for change in chain(
            self._moved(self._filling, values, source_id),
            self._redirected(values),
            self._moved(self._sending, values, source_id),
            self._changed(values, source_id),
            self._redirected(values),
        ):
            changes.append(change)
            if change.element is None:
                _put(values, change.field, change.replacement)
        return [change for change in changes if self._is_told(change.field)]

    def _moved(
        self, rules: Sequence[Remediation], values: Fields, source_id: str
    ) -> Iterator[Change]:
        """Yields what rules take from one field to another."""
        for rule in rules:
            start, end = str(rule.other), str(rule.field)
            if rule.action is Action.SEND_TO:
                start, end = end, start
                if not self._is_of_another(start, values.get(start), self._refers[end].collection):
                    continue
            value, before = values.get(start), values.get(end, ABSENT)
            if is_there(value) and not is_there(before) and is_of(rule, source_id):
                yield Change(rule.name, end, None, before, value)
                if rule.action is not Action.COPY:
                    yield Change(rule.name, start, None, value, ABSENT)

    def _redirected(self, values: Fields) -> Iterator[Change]:
        """Yields the ids that lead to another document."""
        for name, refers in self._refers.items():
            if refers.collection in self._ways and is_there(value := values.get(name)):
                decide = partial(self._way, refers)
                if refers.is_array:
                    yield from _changed_elements(values, name, decide)
                elif (decision := decide(_one_of(refers, value))) is not None:
                    yield Change(decision[0], name, None, value, decision[1])

    def _way(self, refers: Refers, value: Any) -> Decision | None:
        """Returns the rule that redirects an id, and where it leads."""
        ways, own = self._ways[refers.collection], uuid_of(refers.collection, value)
        if own in ways:
            return ways[own]
        if not is_object_id_text(value) or own in self._known(refers):
            return None
        return ways.get(object_id_uuid(bytes.fromhex(value)))

    def _changed(self, values: Fields, source_id: str) -> Iterator[Change]:
        """Yields what the first rule that matches makes of a value, or else of its elements."""
        for name, rules in self._changing.items():
            whole, of_elements = (
                partial(self._decided, [rule for rule in rules if rule.elements is are], source_id)
                for are in (False, True)
            )
            value = values.get(name, ABSENT)
            if (decision := whole(value)) is not None:
                yield Change(decision[0], name, None, value, decision[1])
            elif is_there(value):
                yield from _changed_elements(values, name, of_elements)

    def _decided(self, rules: Sequence[Remediation], source_id: str, value: Any) -> Decision | None:
        matching = (rule for rule in rules if self._matches(rule, value, source_id))
        return next(((rule.name, outcome(rule, value)) for rule in matching), None)

    def _matches(self, rule: Remediation, value: Any, source_id: str) -> bool:
        name, match = str(rule.field), rule.match
        if match.is_orphaned and not self._is_orphaned(name, value):
            return False
        if match.of is not None and not self._is_of_another(name, value, match.of):
            return False
        return matches(rule, value, source_id)

    def _is_orphaned(self, name: str, value: Any) -> bool:
        refers = self._refers[name]
        one = _one_of(refers, value)
        if not is_there(value) or one == "":
            return False
        return resolved(one, refers.collection, self._known(refers))[0] is None

    def _is_of_another(self, name: str, value: Any, collection: str) -> bool:
        """Tells whether a value is the id of a row of another collection, and of none of its own."""
        one = _one_of(self._refers[name], value)
        rows = self._ids.rows[collection]
        return self._is_orphaned(name, value) and resolved(one, collection, rows)[0] is not None

    def _known(self, refers: Refers) -> Container[bytes]:
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


def _put(values: Fields, name: str, value: Any) -> None:
    if value is ABSENT:
        values.pop(name, None)
    else:
        values[name] = value


def _changed_elements(values: Fields, name: str, decide: _Decide) -> Iterator[Change]:
    """Yields the elements of an array that change, and puts what it becomes; a lone value is one element."""
    value = values[name]
    is_lone = not isinstance(value, list)
    kept: list[Any] = []
    for position, element in enumerate([value] if is_lone else value):
        decision = decide(element)
        if decision is not None:
            yield Change(decision[0], name, position, element, decision[1])
        becomes = element if decision is None else decision[1]
        kept += [] if becomes is ABSENT else [becomes]
    _put(values, name, (kept or [ABSENT])[0] if is_lone else kept)


def _one_of(refers: Refers, value: Any) -> Any:
    """Returns the one id of a list where one id is expected (section 5)."""
    one = None if refers.is_array or refers.is_text else only_id(value)
    return value if one is None else one
