"""Whether a rule makes sense: by itself, on the field that it is for, and after the rules before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from migration_assets.identity import source_id
from migration_assets.model import Model, Rule, Source, referenced_tables, sources
from migration_assets.remediation.matching import value_key
from migration_assets.remediation.rules import (
    JUDGING,
    Action,
    Literal,
    Match,
    Refers,
    Remediation,
    fine_types,
    place_of,
    references_of,
)

Mistake = tuple[str, str]
"""The key of a rule, and what is wrong with it."""

FINE = "changes_fine_values"
CASE = "ignore_case"
BY_ITSELF = frozenset(
    {Action.MAP, Action.NUMBER, Action.COPY, Action.MOVE, Action.REDIRECT, Action.SEND_TO}
)
"""Actions that say themselves what they are for."""
_IDS_ALONE = BY_ITSELF - {Action.MAP, Action.REDIRECT}
"""Those of them that take no other match than the documents."""


def mistakes_of(model: Model, rule: Remediation) -> Iterator[Mistake]:
    """Yields the mistakes of a rule, as far as rule and model show them."""
    action, match = rule.action, rule.match
    if match.is_missing and (action is Action.MAP or (action is Action.DROP and not rule.elements)):
        yield "match", f"nothing is there to {action} where the value is missing"
    if action is Action.MAP and match.values is not None:
        yield "match", "`map` names its values itself: leave out `values`"
    if action in _IDS_ALONE and match != Match(ids=match.ids):
        yield "match", f"`{action}` says itself what it is for: `match` takes `ids` alone"
    if action is Action.REDIRECT and match != Match():
        yield "match", "`redirect` says itself what it is for: leave out `match`"
    if rule.elements and action in _IDS_ALONE:
        yield "elements", f"`elements` is not for `{action}`"
    if rule.ignores_case and action is not Action.MAP:
        yield CASE, f"`{CASE}` is for `map`"
    if rule.field is not None:
        yield from _of_field(model, rule, rule.field)
    yield from _of_width(model, rule)
    if rule.field is None and match != Match(is_any=match.is_any, ids=match.ids):
        yield "match", "without `field`, `match` takes `any` or `ids` only"


def _of_field(model: Model, rule: Remediation, name: str) -> Iterator[Mistake]:
    """Yields the mistakes of a rule whose field is of another kind than the rule needs."""
    table, source = place_of(model, rule)
    references = references_of(model.entities[rule.collection])
    refers, match = references.get(name), rule.match
    if rule.number is not None and source.rule not in (Rule.INTEGER, Rule.BIGINT):
        yield "number", f"`number` is for a field of numbers; {name} is {source.rule}"
    if rule.action in (Action.COPY, Action.MOVE):
        yield from _of_copy(model, rule, source)
    if rule.action is Action.SEND_TO:
        to = references.get(str(rule.other))
        if refers is None or to is None or not (_is_one_id(refers) and _is_one_id(to)):
            yield (
                "send_to",
                f"`send_to` is from a field of one id to another; {name} and {rule.other} "
                "are not both such",
            )
        elif refers.collection == to.collection:
            yield "send_to", f"{name} and {rule.other} refer to the same collection"
    if not (match.is_orphaned or match.of):
        return
    if refers is None:
        yield "match", f"`orphaned` and `of` are for fields of ids; {name} is {source.rule}"
        return
    if refers.is_array and not rule.elements:
        yield "match", f"{name} is an array of ids: say `elements: true`"
    others = set(referenced_tables(table)) - {refers.collection}
    if match.of is not None and match.of not in others:
        yield (
            "match",
            f"`of` takes a collection that another field of {rule.collection} refers to: "
            f"{', '.join(sorted(others)) or 'no other'}",
        )


def _of_copy(model: Model, rule: Remediation, source: Source) -> Iterator[Mistake]:
    """Yields the mistakes of a copy from a field that the model declares as another kind."""
    known = sources(model.entities[rule.collection]).values()
    other = {column.field: column for column in known}.get(str(rule.other))
    kinds = {Rule.BIGINT: Rule.INTEGER, Rule.REFERENCE: Rule.REFERENCE_ARRAY}
    if other is None:
        return
    of, to = (kinds.get(kind, kind) for kind in (other.rule, source.rule))
    if of is not to and to is not Rule.TEXT:
        yield rule.action, f"{rule.other} is {other.rule}, and {rule.field} is {source.rule}"
    if other.references != source.references:
        yield rule.action, f"{rule.other} and {rule.field} do not refer to the same collection"


def _is_one_id(refers: Refers) -> bool:
    return not refers.is_array and not refers.is_text


def _of_width(model: Model, rule: Remediation) -> Iterator[Mistake]:
    """Yields a mistake if a rule changes valid values without saying so."""
    match = rule.match
    is_wide = (
        rule.action in (Action.SET, Action.DROP)
        and match.ids is None
        and (match.is_any or bool(fine_types(model, rule) & set(match.types or ())))
    )
    if is_wide and not rule.changes_fine_values:
        yield (
            "match",
            "the rule matches values that are fine, too, and would change them: match what would be lost "
            f"alone (`values`, `ids`), or add `{FINE}: true` where it is meant",
        )
    if rule.changes_fine_values and not is_wide:
        yield FINE, f"`{FINE}` is for a rule that would match values that are fine"


def mistake_of_ends(pairs: Sequence[tuple[Literal, Literal]]) -> str:
    """Returns what is wrong with redirects that others of them lead on; empty where nothing is."""
    ways = {source_id(old.value): source_id(new.value) for old, new in pairs}
    for start, end in ways.items():
        at, passed = end, {start}
        while at in ways and at not in passed:
            passed.add(at)
            at = ways[at]
        if at in passed:
            return "it leads in a circle: a document is redirected to itself in the end"
        if len(passed) > 1:
            return "it leads to a document that is redirected itself: name the last one"
    return ""


@dataclass(slots=True)
class Earlier:
    """What the rules before one decide, by the name of the first rule that does."""

    _decided: dict[tuple[object, ...], str] = field(default_factory=dict)
    _redirected: dict[tuple[str, str], str] = field(default_factory=dict)
    _ends: dict[tuple[str, str], str] = field(default_factory=dict)
    _of_all: set[str] = field(default_factory=set)

    def mistakes(self, rule: Remediation) -> Iterator[str]:
        """Adds a rule; yields a mistake if an earlier one decides the same, so that it can never apply."""
        if rule.action is Action.REDIRECT:
            yield from self._detours(rule)
        if rule.match.ids is not None or rule.field is None:
            return
        for value in _decided_by(rule):
            earlier = self._decided.setdefault((*_place(rule), value), rule.name)
            if earlier != rule.name:
                yield f"rule {earlier} decides the same before {rule.name}"
                return

    def mistakes_of_all(self, rules: Sequence[Remediation]) -> Iterator[str]:
        """The same of a rule for all references to a collection, which is one for each field."""
        for rule in rules:
            # An earlier rule for a single field decides there; a rule for all fields would never apply.
            earlier = self._decided.setdefault((*_place(rule), "orphaned"), rule.name)
            if earlier != rule.name and earlier in self._of_all:
                yield f"rule {earlier} decides the same before {rule.name}"
        self._of_all.update(rule.name for rule in rules)

    def _detours(self, rule: Remediation) -> Iterator[str]:
        """Yields a mistake if another rule contradicts a redirect, or redirects its target."""
        for old, new in rule.replacements:
            start, end = ((rule.collection, source_id(way.value)) for way in (old, new))
            earlier = self._redirected.setdefault(start, rule.name)
            self._ends.setdefault(end, rule.name)
            onward = self._redirected.get(end, rule.name), self._ends.get(start, rule.name)
            for other in (earlier, *onward):
                if other != rule.name:
                    yield (
                        f"rule {other} redirects the same document, "
                        f"or to one that {rule.name} redirects"
                    )
                    return


def _place(rule: Remediation) -> tuple[object, ...]:
    stage: object = rule.action in JUDGING
    if rule.action in (Action.COPY, Action.MOVE):
        stage = Action.COPY, rule.other
    elif rule.action is Action.SEND_TO:
        stage = Action.SEND_TO, rule.other
    return rule.collection, rule.field, rule.elements, stage


def _decided_by(rule: Remediation) -> list[object]:
    """Returns what a rule decides on in its field: values, types, or a word."""
    match = rule.match
    values = [old for old, _ in rule.replacements] or list(match.values or ())
    if values:
        return [value_key(value.value) for value in values]
    words = {
        "missing": match.is_missing,
        "any": match.is_any,
        "orphaned": match.is_orphaned,
        f"of {match.of}": match.of is not None,
        "itself": match == Match(),
    }
    return [*(match.types or ()), *(word for word, is_meant in words.items() if is_meant)]
