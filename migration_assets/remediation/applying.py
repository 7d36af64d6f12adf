"""Applying rules to documents as the loader decodes them, before any of them is converted.

In this order: what is missing is taken from other fields, ids are redirected, ids of other collections go to
their field, values are changed, and ids that came so are redirected, too. A value is changed by the first
rule of its field that matches. Where one decides a whole array, its elements are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from bson import ObjectId

from migration_assets.identity import canonical, source_id, uuid_bytes
from migration_assets.known_ids import Loaded, is_object_id_text, only_id, uuid_of
from migration_assets.remediation.matching import MISSING, Compiled, is_there
from migration_assets.remediation.rules import (
    JUDGING,
    Action,
    Refers,
    Remediation,
    references_of,
    relation_arrays,
)
from migration_assets.source.connection import Document


@dataclass(frozen=True, slots=True)
class Remedied:
    """One application of a rule, as it stands in the books.

    Attributes:
        source_id: The document.
        field: The field.
        rule: Name of the rule.
        element: Position in the array, from 0; None for the whole value.
        original: What was there, canonical Extended JSON; None where there was nothing.
        replacement: What it became; None where it was dropped.
    """

    source_id: str
    field: str
    rule: str
    element: int | None
    original: str | None
    replacement: str | None


class Acceptance(NamedTuple):
    """The acceptance or deferral of a rejected document, which is no finding then.

    Attributes:
        rules: The rules, one for each field that keeps it from being loaded.
        until: The later step that it waits for; None where its loss is accepted.
    """

    rules: str
    until: str | None = None


class _Draft:
    """A document while rules are applied to it."""

    def __init__(self, document: Document) -> None:
        self.identifier = document["_id"]
        self.values = document
        self.done: list[Remedied] = []
        self._given = document

    def get(self, name: str) -> Any:
        return self.values.get(name, MISSING)

    def put(self, name: str, value: Any) -> None:
        if self.values is self._given:
            self.values = dict(self._given)
        self.values.pop(name, None)
        if value is not MISSING:
            self.values[name] = value

    def note(self, rule: str, name: str, element: int | None, old: Any, new: Any) -> None:
        texts = [None if value is MISSING else canonical(value) for value in (old, new)]
        self.done.append(Remedied(source_id(self.identifier), name, rule, element, *texts))

    def replace(self, rule: str, name: str, value: Any) -> None:
        """Replaces a whole value, and notes it."""
        self.note(rule, name, None, self.get(name), value)
        self.put(name, value)


Decide = Callable[[Any], tuple[str, Any] | None]
"""Returns for an element the rule that changes it, and what it becomes; None where it stays."""


class Remedies:
    """The rules for the documents of one collection, as the loader applies them."""

    def __init__(
        self,
        rules: Iterable[Remediation] = (),
        entity: sa.Table | None = None,
        loaded: Loaded | None = None,
        *,
        array: str | None = None,
    ) -> None:
        """Takes the rules, and what they may ask for.

        Args:
            rules: The rules, in the order of the file.
            entity: The table of the collection; None where no rule asks what its fields refer to.
            loaded: The ids that references may point to.
            array: The array of a relation, where nothing else is loaded; else such arrays are left to
                the tables of their relations.
        """
        self._loaded = loaded
        self._array = array
        self._elsewhere = relation_arrays(entity) if entity is not None else frozenset()
        refers = references_of(entity) if entity is not None else {}
        self._refers = {name: target for name, target in refers.items() if self._is_told(name)}
        self._filling: list[Compiled] = []
        self._sending: list[Compiled] = []
        self._whole: dict[str, list[Compiled]] = defaultdict(list)
        self._elements: dict[str, list[Compiled]] = defaultdict(list)
        self._redirects: dict[str, dict[bytes, tuple[str, Any]]] = defaultdict(dict)
        self._judging: list[Compiled] = []
        for rule in rules:
            if rule.action is not Action.COUNTS_AS:  # the source is read so
                self._add(Compiled.of(rule))

    def _add(self, rule: Compiled) -> None:
        action, name = rule.rule.action, rule.rule.field
        if action is Action.REDIRECT:
            to = rule.rule.collection
            for old, new in rule.rule.replacements:
                start = uuid_bytes(to, old.value)
                self._redirects[to].setdefault(start, (rule.name, new.value))
        elif action in JUDGING or name is None:
            self._judging.append(rule)
        elif action in (Action.COPY, Action.MOVE):
            self._filling.append(rule)
        elif action is Action.SEND_TO:
            self._sending.append(rule)
        else:
            (self._elements if rule.rule.elements else self._whole)[name].append(rule)

    @property
    def changes(self) -> bool:
        """Whether a rule changes values."""
        return bool(
            self._filling or self._redirects or self._sending or self._whole or self._elements
        )

    @property
    def looks_ids_up(self) -> bool:
        """Whether the effect of a rule may depend on whether an id exists."""
        rules = chain(self._judging, *self._whole.values(), *self._elements.values())
        matches = (rule.rule.match for rule in rules)
        return bool(self._sending or self._redirects) or any(
            match.is_orphaned or match.of is not None for match in matches
        )

    def apply(self, document: Document) -> tuple[Document, list[Remedied]]:
        """Returns a document as it will be converted, and the applications of rules to it.

        What was done to the arrays of relations is told where these are loaded, and nothing else there.
        """
        draft = _Draft(document)
        self._fill(draft)
        self._redirect(draft)
        self._send(draft)
        for name in dict.fromkeys([*self._whole, *self._elements]):
            self._change(draft, name)
        self._redirect(draft)
        return draft.values, [line for line in draft.done if self._is_told(line.field)]

    def accepts(
        self, identifier: Any, name: str | None, value: Any, *, element: Any = MISSING
    ) -> str | None:
        """Returns the rule that accepts the loss of a value, None where none does.

        Args:
            identifier: The `_id` of the document.
            name: The field; None for a document that cannot be read.
            value: The value of the field, as it was converted.
            element: The element of it that was lost, where not all of it was.
        """
        accepting = (rule for rule in self._judging if rule.rule.action is Action.ACCEPT)
        rule = self._first_for(accepting, identifier, name, value, element)
        return None if rule is None else rule.name

    def accepts_document(
        self, identifier: Any, lost: Sequence[tuple[str, Any]]
    ) -> Acceptance | None:
        """Returns the acceptance of a rejected document, None if a faulty field has none.

        Args:
            identifier: Its `_id`.
            lost: The fields that keep it from being loaded, and their values as they were converted.
        """
        rules: list[Remediation] = []
        for name, value in lost:
            rule = self._first_for(self._judging, identifier, name, value, MISSING)
            if rule is None:
                return None
            rules.append(rule)
        return _acceptance(rules)

    def accepts_unreadable(self, identifier: str) -> Acceptance | None:
        """Returns the acceptance of an unreadable document, by its source id."""
        accepting = (
            rule.rule
            for rule in self._judging
            if rule.rule.field is None and (rule.ids is None or identifier in rule.ids)
        )
        rule = next(accepting, None)
        return None if rule is None else _acceptance([rule])

    # What applies

    def _is_told(self, name: str) -> bool:
        return name == self._array if self._array is not None else name not in self._elsewhere

    def _first_for(
        self,
        rules: Iterable[Compiled],
        identifier: Any,
        name: str | None,
        value: Any,
        element: Any,
    ) -> Remediation | None:
        for compiled in rules:
            rule = compiled.rule
            if rule.field is None:
                # Whatever was lost, there or missing.
                if compiled.is_of(identifier):
                    return rule
            elif rule.field == name and not (rule.elements and element is MISSING):
                looked_at = element if rule.elements else value
                if self._matches(compiled, identifier, name, looked_at):
                    return rule
        return None

    def _matches(self, rule: Compiled, identifier: Any, name: str, value: Any) -> bool:
        match = rule.rule.match
        if match.is_orphaned and not self._is_orphaned(name, value):
            return False
        if match.of is not None and not self._is_of(name, value, match.of):
            return False
        return rule.matches(identifier, value)

    def _is_orphaned(self, name: str, value: Any) -> bool:
        refers = self._refers[name]
        one = _one_id(refers, value)
        return bool(is_there(one)) and one != "" and not self._is_known(refers, one)

    def _is_of(self, name: str, value: Any, collection: str) -> bool:
        """Tells whether a value is the id of a row of another collection, but of none of its own."""
        refers = self._refers[name]
        one = _one_id(refers, value)
        if self._loaded is None or not is_there(one) or self._is_known(refers, one):
            return False
        return uuid_of(one, collection, self._loaded.rows[collection]) is not None

    def _is_known(self, refers: Refers, value: Any) -> bool:
        if self._loaded is None:
            return True
        known = self._loaded.documents if refers.is_text else self._loaded.rows
        return uuid_of(value, refers.collection, known[refers.collection]) is not None

    # What is done, in its order

    def _fill(self, draft: _Draft) -> None:
        for rule in self._filling:
            name, other = rule.rule.field, rule.rule.other
            assert name is not None
            assert other is not None
            value = draft.get(other)
            if not is_there(value) or is_there(draft.get(name)):
                continue
            if rule.is_of(draft.identifier):
                draft.replace(rule.name, name, value)
                if rule.rule.action is Action.MOVE:
                    draft.replace(rule.name, other, MISSING)

    def _redirect(self, draft: _Draft) -> None:
        for name, refers in self._refers.items():
            ways = self._redirects.get(refers.collection)
            value = draft.get(name)
            if ways is None or not is_there(value):
                continue
            if refers.is_array:
                self._change_elements(draft, name, partial(self._way, ways, refers))
            elif (way := self._way(ways, refers, _one_id(refers, value))) is not None:
                rule, to = way
                draft.replace(rule, name, to)

    def _way(
        self, ways: Mapping[bytes, tuple[str, Any]], refers: Refers, value: Any
    ) -> tuple[str, Any] | None:
        """Returns the rule that redirects an id, and where it leads."""
        own = uuid_bytes(refers.collection, value)
        if own in ways:
            return ways[own]
        if not is_object_id_text(value):
            return None
        if self._loaded is not None:
            known = self._loaded.documents if refers.is_text else self._loaded.rows
            if own in known[refers.collection]:
                return None  # a document has this text as its `_id`
        return ways.get(uuid_bytes(refers.collection, ObjectId(value)))

    def _send(self, draft: _Draft) -> None:
        for rule in self._sending:
            name, other = rule.rule.field, rule.rule.other
            assert name is not None
            assert other is not None
            value = draft.get(name)
            if is_there(draft.get(other)) or not self._is_of(
                name, value, self._refers[other].collection
            ):
                continue
            if rule.is_of(draft.identifier):
                draft.replace(rule.name, other, value)
                draft.replace(rule.name, name, MISSING)

    def _change(self, draft: _Draft, name: str) -> None:
        value = draft.get(name)
        rule = self._first(self._whole.get(name, ()), draft.identifier, name, value)
        if rule is not None:
            draft.replace(rule.name, name, rule.replacement(value))
        elif name in self._elements and is_there(value):
            self._change_elements(draft, name, self._by_element_rules(draft.identifier, name))

    def _by_element_rules(self, identifier: Any, name: str) -> Decide:
        def decide(element: Any) -> tuple[str, Any] | None:
            rule = self._first(self._elements[name], identifier, name, element)
            return None if rule is None else (rule.name, rule.replacement(element))

        return decide

    def _first(
        self, rules: Iterable[Compiled], identifier: Any, name: str, value: Any
    ) -> Compiled | None:
        return next((rule for rule in rules if self._matches(rule, identifier, name, value)), None)

    @staticmethod
    def _change_elements(draft: _Draft, name: str, decide: Decide) -> None:
        value = draft.get(name)
        is_lone = type(value) is not list
        remaining: list[Any] = []
        is_changed = False
        for position, element in enumerate([value] if is_lone else value):
            changed = element
            if (decided := decide(element)) is not None:
                rule, changed = decided
                is_changed = True
                draft.note(rule, name, position, element, changed)
            if changed is not MISSING:
                remaining.append(changed)
        if is_changed:
            draft.put(name, (remaining[0] if remaining else MISSING) if is_lone else remaining)


def _acceptance(rules: Sequence[Remediation]) -> Acceptance:
    # A rule for all references to a collection is several here, of one name.
    names = dict.fromkeys(rule.name for rule in rules)
    until = "; ".join(dict.fromkeys(rule.until for rule in rules if rule.until))
    return Acceptance(", ".join(names), until or None)


def _one_id(refers: Refers, value: Any) -> Any:
    """Returns the one id of a list where one id is expected (section 5)."""
    return value if refers.is_array or refers.is_text else only_id(value)
