"""Applying rules to documents as the loader decodes them, before any of them is converted.

A value is decided by the first rule of its field that matches. Where one decides a whole array, its elements
are left alone; so every position that is recorded is one in the source's own array.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migration_assets.conversion.values import type_name
from migration_assets.identity import canonical, source_id
from migration_assets.remediation.rules import Action, Match, Remediation
from migration_assets.source.connection import Document

_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Remedied:
    """One application of a rule, as it stands in the books.

    Attributes:
        source_id: The document.
        field: The field.
        rule: Name of the rule.
        element: Position in the array of the source, from 0; None for the whole value.
        original: What the source has, canonical Extended JSON; None where it has nothing.
        replacement: What it became; None where it was dropped.
    """

    source_id: str
    field: str
    rule: str
    element: int | None
    original: str | None
    replacement: str | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule as it is looked up: values by what makes them the same."""

    name: str
    match: Match
    values: frozenset[Any] | None
    types: frozenset[str] | None
    ids: frozenset[str] | None
    outcomes: Mapping[Any, Any] | None
    outcome: Any
    needs_value: bool

    @classmethod
    def of(cls, rule: Remediation) -> _Compiled:
        match, values, outcomes = rule.match, None, None
        if rule.action is Action.MAP:
            outcomes = {value_key(old.value): new.value for old, new in rule.replacements}
            values = frozenset(outcomes)
        elif match.values is not None:
            values = frozenset(value_key(each.value) for each in match.values)
        return cls(
            rule.name,
            match,
            values,
            None if match.types is None else frozenset(match.types),
            None if match.ids is None else frozenset(match.ids),
            outcomes,
            rule.value.value if rule.value is not None else _MISSING,
            # What is missing already is not dropped; an element that is null is.
            needs_value=rule.action is Action.DROP and not rule.elements,
        )

    def matches(self, identifier: Any, value: Any) -> bool:
        is_there = value is not None and value is not _MISSING
        if self.values is not None and not (is_there and value_key(value) in self.values):
            return False
        if self.types is not None and not (is_there and type_name(value) in self.types):
            return False
        if self.match.is_missing and is_there:
            return False
        if (self.match.is_any or self.needs_value) and not is_there:
            return False
        return self.ids is None or source_id(identifier) in self.ids

    def replacement(self, value: Any) -> Any:
        return self.outcome if self.outcomes is None else self.outcomes[value_key(value)]


@dataclass(slots=True)
class Remedies:
    """The rules for one collection, as the loader applies them.

    Attributes:
        rules: The rules, in the order of the file.
    """

    rules: Iterable[Remediation] = ()
    _whole: dict[str, list[_Compiled]] = field(init=False)
    _elements: dict[str, list[_Compiled]] = field(init=False)
    _accepting: list[tuple[Remediation, _Compiled]] = field(init=False)

    def __post_init__(self) -> None:
        self._whole, self._elements, self._accepting = defaultdict(list), defaultdict(list), []
        for rule in self.rules:
            compiled = _Compiled.of(rule)
            if rule.action is Action.ACCEPT or rule.field is None:
                self._accepting.append((rule, compiled))
            else:
                fields = self._elements if rule.elements else self._whole
                fields[rule.field].append(compiled)

    @property
    def changes(self) -> bool:
        """Whether a rule changes values."""
        return bool(self._whole or self._elements)

    def apply(self, document: Document) -> tuple[Document, list[Remedied]]:
        """Returns a document as it is to be converted, and what was done to it."""
        identifier = document["_id"]
        done: list[Remedied] = []
        made = document
        for name in dict.fromkeys([*self._whole, *self._elements]):
            value = document.get(name, _MISSING)
            changed, found = self._applied(identifier, name, value)
            if not found:
                continue
            done += found
            if made is document:
                made = dict(document)
            made.pop(name, None)
            if changed is not _MISSING:
                made[name] = changed
        return made, done

    def accepts(
        self, identifier: Any, name: str | None, value: Any, *, element: Any = _MISSING
    ) -> str | None:
        """Returns the rule that accepts the loss of a value, None where none does.

        Args:
            identifier: The `_id` of the document.
            name: The field; None for a document that cannot be read.
            value: The value of the field, as it was converted.
            element: The element of it that was lost, where not all of it was.
        """
        for rule, compiled in self._accepting:
            if rule.field not in (None, name):
                continue
            looked_at = element if rule.elements else value
            if rule.elements and element is _MISSING:
                continue
            if rule.field is None:
                # Whatever was lost, there or missing.
                if compiled.ids is None or source_id(identifier) in compiled.ids:
                    return rule.name
            elif compiled.matches(identifier, looked_at):
                return rule.name
        return None

    def accepts_whole(self, identifier: str) -> str | None:
        """Returns the rule that accepts a document that cannot be read, by its source id."""
        for rule, compiled in self._accepting:
            if rule.field is None and (compiled.ids is None or identifier in compiled.ids):
                return rule.name
        return None

    def _applied(self, identifier: Any, name: str, value: Any) -> tuple[Any, list[Remedied]]:
        rule = _first(self._whole.get(name, ()), identifier, value)
        if rule is not None:
            changed = rule.replacement(value)
            return changed, [_remedied(identifier, name, rule, None, value, changed)]
        if name not in self._elements or value is None or value is _MISSING:
            return value, []
        is_lone = type(value) is not list
        kept: list[Any] = []
        done: list[Remedied] = []
        for position, element in enumerate([value] if is_lone else value):
            rule = _first(self._elements[name], identifier, element)
            changed = element
            if rule is not None:
                changed = rule.replacement(element)
                done.append(_remedied(identifier, name, rule, position, element, changed))
            if changed is not _MISSING:
                kept.append(changed)
        if is_lone:
            return (kept[0] if kept else _MISSING), done
        return kept, done


def _first(rules: Iterable[_Compiled], identifier: Any, value: Any) -> _Compiled | None:
    return next((rule for rule in rules if rule.matches(identifier, value)), None)


def _remedied(
    identifier: Any, name: str, rule: _Compiled, element: int | None, old: Any, new: Any
) -> Remedied:
    texts = [None if each is _MISSING else canonical(each) for each in (old, new)]
    return Remedied(source_id(identifier), name, rule.name, element, *texts)


def value_key(value: Any) -> Any:
    """Returns what two values have in common that are the same to a rule: numbers where they are equal."""
    if type(value) is str:
        return "text", value
    if isinstance(value, int | float) and not isinstance(value, bool) and not _is_nan(value):
        return value
    return canonical(value)


def _is_nan(value: float) -> bool:
    return isinstance(value, float) and math.isnan(value)
