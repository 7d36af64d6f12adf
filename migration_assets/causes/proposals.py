"""Proposed rules for a cause, in the form of the file of remediations, for a person to decide on."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from bson import ObjectId

from migration_assets.causes.losses import ALTERED, EXAMPLES, REJECTED
from migration_assets.causes.origins import TEXTS, document_named, first_with_value_of
from migration_assets.causes.tracing import GONE, REPEATED, Cause
from migration_assets.identity import from_canonical
from migration_assets.model import Model, Rule, Source, sources
from migration_assets.remediation.rules import references_of
from migration_assets.source.connection import SourceDatabase
from migration_assets.text import printable

CHOOSE = "CHOOSE"
"""Stands in a rule where a person has to choose a value."""

Yaml = Mapping[str, Any]

_TRUE = frozenset({"active", "yes", "on", "1", "true", "public", "enabled"})
_FALSE = frozenset({"inactive", "no", "off", "0", "false", "private", "disabled"})
_NUMBER = re.compile(r"-?[0-9]{1,3}(?:(?P<thousands>[., '])[0-9]{3})*(?:(?P<decimal>[.,])[0-9]+)?")
_NO_PART_OF_NAME = re.compile(r"[^A-Za-z0-9_.:-]")
LONGEST_NAME = 100
_DIGITS = re.compile(r"-?[0-9]+")
_KNOWN_COLLECTION = re.compile(
    r"documents of (?P<name>.+?)(?:, an unknown collection(?P<near> of a near name)?)?"
)


class Confidence(enum.StrEnum):
    """How sure a proposal is."""

    HIGH = "high"
    """Every value has one meaning."""
    MEDIUM = "medium"
    """It keeps or loses what most would; read it."""
    CHOICE = "a choice"
    """A person has to choose; the rule is no more than its form."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Rules that would resolve a cause.

    Attributes:
        rules: The rules, as YAML has them.
        confidence: How sure it is.
        why: What they do, in words.
    """

    rules: Sequence[Yaml]
    confidence: Confidence
    why: str

    def text(self) -> str:
        """Returns the rules as YAML, a line for each."""
        return "".join(rule_text(rule) for rule in self.rules)


def rule_text(rule: Yaml) -> str:
    """Returns a rule as an entry of the file, in one line."""
    line = yaml.safe_dump(
        rule, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True
    )
    line = line.strip()
    if printable(line) != line:
        # A name that holds the end of a line: YAML takes JSON, with its escapes.
        line = printable(json.dumps(rule, ensure_ascii=False))
    return f"- {line}\n"


def rule_name(*parts: str) -> str:
    """Returns a valid name for a rule, made of names that may hold any character."""
    return _NO_PART_OF_NAME.sub("_", "-".join(filter(None, parts)))[:LONGEST_NAME]


def proposals(
    model: Model, causes: Sequence[Cause], lookup: SourceDatabase, *, with_values: bool = False
) -> list[tuple[Cause, Proposal]]:
    """Returns each cause with the rules that would resolve it.

    To accept what is altered in a field is a choice where the field loses more: the rule would accept
    that, too.

    Args:
        model: The application's tables.
        causes: All causes there are.
        lookup: The source database, where documents are looked up.
        with_values: As for :func:`proposal`.
    """
    lost = {
        (collection, field)
        for cause in causes
        for _, collection, field, kind in cause.direct
        if kind != ALTERED
    }
    proposed_rules = []
    for cause in causes:
        proposed = proposal(model, cause, lookup, with_values=with_values)
        if cause.root.kind == ALTERED and (cause.root.collection, cause.root.field) in lost:
            why = "decide on the other losses of this field first: to accept it accepts them, too"
            proposed = replace(proposed, confidence=Confidence.CHOICE, why=why)
        proposed_rules.append((cause, proposed))
    return proposed_rules


def proposal(
    model: Model, cause: Cause, lookup: SourceDatabase, *, with_values: bool = False
) -> Proposal:
    """Returns the rules that would resolve a cause.

    Args:
        model: The application's tables.
        cause: The cause.
        lookup: The source database, where documents are looked up.
        with_values: The rules may hold values of documents: they go to a file that only its owner reads.
    """
    if cause.root.kind == GONE:
        if cause.root.known_from == TEXTS and with_values and (named := _of_names(cause, lookup)):
            return named
        return _of_missing(model, cause)
    if cause.root.kind == REPEATED:
        return _of_repeated(cause, lookup)
    source = _source(model, cause.root.collection, cause.root.field)
    texts = _texts(cause.originals)
    if source is not None and texts and source.rule in _OF_TEXTS:
        proposed = _OF_TEXTS[source.rule](cause, source, texts)
        if proposed is not None:
            return proposed
    accepted = _rule(cause, match="any", accept=True)
    if not cause.root.field:
        # Without a field, `any` would accept whatever any document of the collection loses.
        unreadable = sorted(name for of, name in cause.documents if of == cause.root.collection)
        accepted = _rule(cause, match={"ids": unreadable}, accept=True)
    if cause.root.kind == ALTERED:
        return Proposal([accepted], Confidence.MEDIUM, "accept the values as they were altered")
    if cause.root.kind != REJECTED:
        return Proposal([accepted], Confidence.CHOICE, "accept the loss, or map the values")
    if source is not None and cause.originals == {"null"}:
        rule = _rule(cause, match="missing", set=CHOOSE)
        return Proposal([rule], Confidence.CHOICE, "choose what stands for a missing value")
    if source is not None and cause.originals:
        rule = _rule(cause, map=[{"from": CHOOSE, "to": CHOOSE}])
        return Proposal([rule], Confidence.CHOICE, "choose what each value becomes")
    return Proposal([accepted], Confidence.CHOICE, "accept that the documents are in no table")


def _rule(cause: Cause, **action: Any) -> Yaml:
    root = cause.root
    name = "-".join(filter(None, [root.collection, root.field, root.kind]))
    field = {"field": root.field} if root.field else {}
    return {"name": name, "collection": root.collection, **field, **action}


def _of_repeated(cause: Cause, lookup: SourceDatabase) -> Proposal:
    """Returns rules for repeated documents: references to the later one go to the first."""
    root = cause.root
    later = sorted(name for collection, name in cause.documents if collection == root.collection)
    firsts = {
        name: first_with_value_of(lookup, root.collection, root.field, name) for name in later
    }
    ways = {name: first for name, first in firsts.items() if first not in (None, name)}
    name = f"{root.collection}-doubled"
    accepted: Yaml = {
        "name": f"{name}-later",
        "collection": root.collection,
        "match": {"ids": later},
    }
    if not ways:
        return Proposal(
            [{**accepted, "accept": True}],
            Confidence.CHOICE,
            "accept that the later documents are in no table",
        )
    rules: list[Yaml] = [
        {"name": name, "collection": root.collection, "redirect": ways},
        # What refers to a document of which the first is not known would be lost with it.
        {**accepted, "match": {"ids": sorted(ways)}, "accept": True},
    ]
    why = "what refers to the later document refers to the first; the later one is in no table"
    if len(ways) < len(later):
        why += f"; for {len(later) - len(ways)} the first is not known, they stay findings"
    return Proposal(rules, Confidence.MEDIUM, why)


def _of_missing(model: Model, cause: Cause) -> Proposal:
    root = cause.root
    match = _KNOWN_COLLECTION.fullmatch(root.known_from)
    if match is not None and match["near"]:
        rule = {
            "name": rule_name(match["name"], "as", root.collection),
            "collection": match["name"],
            "counts_as": root.collection,
        }
        return Proposal([rule], Confidence.HIGH, f"count {match['name']} as {root.collection}")
    if match is not None and match["name"] in model.entities:
        return _of_another(model, cause, match["name"])
    are_required = any(kind == REJECTED for *_, kind in cause.direct)
    are_optional = any(kind != REJECTED for *_, kind in cause.direct)
    rules: list[Yaml] = []
    lacking = "texts" if root.known_from == TEXTS else "missing"
    orphans = {"references_to": root.collection, "match": "orphaned"}
    if are_required:
        rules.append(
            {"name": f"{root.collection}-instead-of-{lacking}", **orphans, "set": {"$oid": CHOOSE}}
        )
    if are_optional:
        rules.append({"name": f"{root.collection}-{lacking}", **orphans, "accept": True})
    why = (
        f"choose the document of {root.collection} that takes over"
        if are_required
        else (f"accept that references to documents of {root.collection} which are gone stay empty")
    )
    return Proposal(rules, Confidence.CHOICE if are_required else Confidence.MEDIUM, why)


def _of_names(cause: Cause, lookup: SourceDatabase) -> Proposal | None:
    """Returns a rule that takes texts for the names of documents; none where no document has such a name."""
    texts = [from_canonical(name) for name in cause.missing_ids]
    ids = {text: document_named(lookup, cause.root.collection, text) for text in texts}
    ids_by_name = {text: value for text, value in ids.items() if isinstance(value, ObjectId)}
    if not ids_by_name:
        return None
    rules = [
        {
            "name": f"{collection}-{field}-by-name",
            "collection": collection,
            "field": field,
            "map": {text: {"$oid": str(value)} for text, value in sorted(ids_by_name.items())},
        }
        for _, collection, field, _ in cause.direct
    ]
    return Proposal(
        rules, Confidence.HIGH, f"the texts are names of documents of {cause.root.collection}"
    )


def _of_another(model: Model, cause: Cause, other: str) -> Proposal:
    """Returns the proposal for ids of another collection: another field takes them, or they wait."""
    rules: list[Yaml] = []
    waits = False
    for _, collection, field, kind in cause.direct:
        fits = [
            name
            for name, refers in references_of(model.entities[collection]).items()
            if refers.collection == other and not refers.is_array
        ]
        name = f"{collection}-{field}-of-{other}"
        place = {"name": name, "collection": collection, "field": field}
        if len(fits) == 1 and kind != REJECTED:
            rules.append({**place, "send_to": fits[0]})
        elif kind == REJECTED:
            waits = True
            rules.append(
                {
                    **place,
                    "match": {"of": other},
                    "defer": f"the application can keep {other} there",
                }
            )
        else:
            rules.append({**place, "match": {"of": other}, "accept": True})
    why = (
        "keep the documents until a later step can take them"
        if waits
        else f"send the ids to the field for {other}"
    )
    return Proposal(rules, Confidence.MEDIUM, why)


def _labels(cause: Cause, source: Source, texts: Sequence[str]) -> Proposal | None:
    by_fold = {label.casefold(): label for label in source.labels}
    label_of = {text: by_fold.get(text.strip().casefold()) for text in texts}
    labels = sorted({label for label in label_of.values() if label})
    if not labels:
        return None
    rule = _rule(cause, ignore_case=True, map={label: label for label in labels})
    if all(label_of.values()):
        return Proposal([rule], Confidence.HIGH, "the labels, in whatever case")
    return Proposal(
        [rule], Confidence.MEDIUM, "the labels, in whatever case; other values stay findings"
    )


def _booleans(cause: Cause, _: Source, texts: Sequence[str]) -> Proposal | None:
    words = {text.strip().casefold() for text in texts}
    if not words <= _TRUE | _FALSE:
        return None
    pairs = [
        {"from": sorted(words & meaning), "to": value}
        for meaning, value in ((_TRUE, True), (_FALSE, False))
        if words & meaning
    ]
    return Proposal(
        [_rule(cause, ignore_case=True, map=pairs)], Confidence.HIGH, "words for true and false"
    )


def _numbers(cause: Cause, _: Source, texts: Sequence[str]) -> Proposal | None:
    thousands, decimals, is_empty = set(), set(), False
    for text in texts:
        bare = text.strip()
        is_empty = is_empty or not bare
        number_match = _NUMBER.fullmatch(bare)
        if number_match is None:
            if bare and not _DIGITS.fullmatch(bare):
                return None
            continue
        thousands |= {number_match["thousands"]} - {None}
        decimals |= {number_match["decimal"]} - {None}
    # A lone group of three, 1.500, is read as thousands: the columns take whole numbers.
    if len(thousands) > 1 or len(decimals) > 1 or thousands & decimals:
        return None
    number = {
        **({"thousands": thousands.pop()} if thousands else {}),
        **({"decimal": decimals.pop()} if decimals else {}),
        **({"empty": "missing"} if is_empty else {}),
    }
    return (
        Proposal([_rule(cause, number=number)], Confidence.MEDIUM, "numbers as they were typed")
        if number
        else None
    )


_OF_TEXTS: Mapping[Rule, Callable[[Cause, Source, Sequence[str]], Proposal | None]] = {
    Rule.ENUM: _labels,
    Rule.BOOLEAN: _booleans,
    Rule.INTEGER: _numbers,
    Rule.BIGINT: _numbers,
}


def _texts(originals: Iterable[str]) -> list[str]:
    """Returns originals as texts if all of them are texts, else an empty list."""
    values = [from_canonical(original) for original in originals]
    if len(values) > EXAMPLES or not all(isinstance(value, str) for value in values):
        return []
    return values


def _source(model: Model, collection: str, field: str) -> Source | None:
    columns = sources(model.entities[collection]).values() if collection in model.entities else ()
    return next((source for source in columns if source.field == field), None)
