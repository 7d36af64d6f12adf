"""Reading the file of remediations. All its mistakes are told at once, each with its line.

YAML guesses: `no` would be a boolean, `010` eight, `500.000` the number 500. Here such words must be quoted,
and what YAML cannot carry is Extended JSON (`{$oid: ...}`, `{$date: ...}`). A message names keys, rules,
collections and fields, and no value, since values can be personal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from bson import DatetimeConversion, ObjectId, json_util
from bson.errors import BSONError

from migration_assets.errors import RemediationError
from migration_assets.identity import source_id
from migration_assets.model import Model, Rule, Source, fields, referenced_tables, sources
from migration_assets.remediation.applying import value_key
from migration_assets.remediation.rules import (
    JUDGING,
    NO_REMEDIATIONS,
    NUMBER,
    NUMBERS,
    TYPES,
    Action,
    Literal,
    Match,
    NumberFormat,
    Refers,
    Remediation,
    Remediations,
    arrays_of,
    fine_types,
    place_of,
    refer_to,
    references_of,
    relation_arrays,
)
from migration_assets.urls import REMEDIATIONS_VARIABLE, variable

VERSION = 1

Part = TypeVar("Part")

_ACTIONS = tuple(action.value for action in Action)
_TOP = ("version", "rules")
_FINE = "changes_fine_values"
_CASE = "ignore_case"
_RULE = ("name", "collection", "field", "elements", "match", "reason", _FINE, _CASE, *_ACTIONS)
_REFERENCES = "references_to"
_REFERRING = ("name", _REFERENCES, "match", "reason", "set", "drop", "accept")
_WORDS = ("missing", "any", "orphaned")
_MATCH = ("values", "type", "missing", "any", "orphaned", "of", "ids")
_PAIR = ("from", "to")
_FORMAT = ("thousands", "decimal", "empty")
_BY_ITSELF = frozenset(
    {
        Action.MAP,
        Action.NUMBER,
        Action.COPY,
        Action.MOVE,
        Action.REDIRECT,
        Action.SEND_TO,
        Action.COUNTS_AS,
    }
)
"""Actions that say themselves what they are for."""
_IDS_ALONE = _BY_ITSELF - {Action.MAP, Action.REDIRECT, Action.COUNTS_AS}
"""Those of them that take no other match than the documents."""
_KEY = "_id"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])")
_LIKE_A_NUMBER = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?0[xXoObB][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?|[-+]?\.(?:inf|nan)",
    re.IGNORECASE,
)
"""What one or the other version of YAML reads as a number."""
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "false": False}
_QUOTE_NUMBER = (
    "quote it where it is a text; a number has no +, no zeros around it, no _ and no exponent"
)
_SOURCE_ID = (
    "an id is 24 hex digits, or what stands as source_id in the books "
    "(an `_id` that is a text: '\"text\"')"
)
_OPTIONS = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED,
    tz_aware=False,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


def load_remediations(model: Model, path: str | None = None) -> Remediations:
    """Returns the rules of a file, of the one that ``MIGRATION_REMEDIATIONS`` names where none is given.

    Args:
        model: The application's tables.
        path: The file; an empty text is none.

    Raises:
        RemediationError: It cannot be read, or it has mistakes.
    """
    chosen = path or variable(REMEDIATIONS_VARIABLE)
    if chosen is None:
        return NO_REMEDIATIONS
    try:
        text = Path(chosen).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RemediationError(
            f"cannot be read ({type(error).__name__})",
            where=f"remediations {chosen}",
            next_step=f"Check the path, and that it is UTF-8; unset {REMEDIATIONS_VARIABLE} for no rules",
        ) from None
    return _parsed(model, text, chosen)


@lru_cache(maxsize=1)
def _parsed(model: Model, text: str, file: str) -> Remediations:
    """Parses once what each step of a run loads: YAML takes 45 ms for 250 lines."""
    return parse_remediations(model, text, file=file)


def parse_remediations(model: Model, text: str, *, file: str = "remediations") -> Remediations:
    """Returns the rules of a text in YAML.

    Args:
        model: The application's tables.
        text: The text.
        file: What it is called in errors.

    Raises:
        RemediationError: It has mistakes; all of them are named, each with its line.
    """
    parsing = _Parsing(model)
    rules = parsing.rules(text)
    if parsing.mistakes:
        said = "; ".join(f"line {line}: {what}" for line, what in sorted(parsing.mistakes))
        raise RemediationError(
            said,
            where=f"remediations {file}",
            next_step="Correct the file; docs/remediations.md has its form",
        )
    return Remediations(tuple(rules), file)


class _MistakeError(Exception):
    """A node is not as it must be; it has been noted already."""


@dataclass(slots=True)
class _Parsing:
    """Parses one text.

    Attributes:
        model: The application's tables.
        mistakes: (line, what is wrong) of what was found so far.
    """

    model: Model
    mistakes: list[tuple[int, str]] = field(default_factory=list)
    _names: dict[str, int] = field(default_factory=dict)
    _decided: dict[tuple[object, ...], str] = field(default_factory=dict)
    _redirected: dict[tuple[str, str], str] = field(default_factory=dict)
    _counted: dict[str, str] = field(default_factory=dict)
    _of_all: set[str] = field(default_factory=set)
    _ends: dict[tuple[str, str], str] = field(default_factory=dict)

    def rules(self, text: str) -> list[Remediation]:
        """Returns the rules that could be read."""
        try:
            # An alias can make a text mean more than its reviewers see.
            for event in yaml.parse(text, yaml.SafeLoader):
                if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                    mark = event.start_mark
                    said = "anchors and aliases are not taken: write it out"
                    self._note(mark.line if mark else 0, said)
                    return []
            root = yaml.compose(text, yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._note(mark.line if mark else 0, f"no valid YAML: {error.problem}")
            return []
        except yaml.YAMLError:
            self._note(0, "no valid YAML: a character that it does not allow")
            return []
        if root is None:
            self._note(0, "is empty: it needs `version: 1` and `rules`")
            return []
        try:
            top = self._mapping(root, _TOP)
            self._version(root, top)
            listed = self._required(root, top, "rules")
            if listed.tag == f"{_TAG}null" and not listed.value:
                return []  # a draft of which nobody has kept a rule
            return [rule for node in self._sequence(listed) for rule in self._rules(node)]
        except _MistakeError:
            return []

    def _version(self, root: yaml.Node, top: Mapping[str, yaml.Node]) -> None:
        node = self._required(root, top, "version")
        if self._plain(node) != VERSION:
            self._fail(node, f"version must be {VERSION}")

    def _rules(self, node: yaml.Node) -> Sequence[Remediation]:
        """Returns the rules that an entry of the file stands for."""
        is_of_all = isinstance(node, yaml.MappingNode) and any(
            key.value == _REFERENCES for key, _ in node.value
        )
        if is_of_all:
            return self._part(lambda: self._referring(node)) or ()
        rule = self._rule(node)
        return () if rule is None else (rule,)

    def _referring(self, node: yaml.Node) -> Sequence[Remediation]:
        """Returns a rule for each field that refers to a collection.

        `set` is for the fields that cannot be empty, `drop` and `accept` for all others: nothing that has
        to be decided is lost by the way.
        """
        given = self._mapping(node, _REFERRING)
        name = self._name(node, given)
        collection = self._known_collection(given[_REFERENCES], _REFERENCES)
        action = self._action(node, given)
        if self._match(node, given, action) != Match(is_orphaned=True):
            self._fail(
                given["match"], f"`{_REFERENCES}` is for ids that are orphaned: `match: orphaned`"
            )
        value = self._value(given)
        for key in ("drop", "accept"):
            self._only_true(given, key)
        if "reason" in given:
            self._text(given["reason"], "reason")
        fields_concerned = [*refer_to(self.model, collection, required=action is Action.SET)]
        if not fields_concerned:
            kind = "that cannot be empty" if action is Action.SET else "that can be empty"
            self._fail(given[_REFERENCES], f"no field {kind} refers to {collection}")
        rules = [
            Remediation(
                name,
                holder,
                of,
                Match(is_orphaned=True),
                action,
                elements=is_array,
                value=value,
                references_to=collection,
            )
            for holder, of, is_array in fields_concerned
        ]
        for rule in rules:
            stage = rule.action in JUDGING
            place = (rule.collection, rule.field, rule.elements, stage, "orphaned")
            # One for a single field that stands before decides there; another for all would never apply.
            earlier = self._decided.setdefault(place, name)
            if earlier != name and earlier in self._of_all:
                self._fail(node, f"rule {earlier} decides the same before {name}")
        self._of_all.add(name)
        return rules

    def _rule(self, node: yaml.Node) -> Remediation | None:
        before = len(self.mistakes)
        try:
            given = self._mapping(node, _RULE)
        except _MistakeError:
            return None
        if Action.COUNTS_AS in given:
            return self._part(lambda: self._counting(node, given))
        name = self._part(lambda: self._name(node, given)) or ""
        collection = self._part(lambda: self._collection(node, given))
        action = self._part(lambda: self._action(node, given))
        of = None
        if collection is not None:
            of = self._part(lambda: self._field(node, given, collection, action))
        elements = bool(self._part(lambda: self._elements(given, collection, of)))
        match = self._part(lambda: self._match(node, given, action)) or Match()
        replacements = self._part(lambda: self._replacements(given)) or ()
        value = self._part(lambda: self._value(given))
        other = self._part(lambda: self._other(given, action, collection))
        number = self._part(lambda: self._number(given))
        until = self._part(lambda: self._until(given)) or ""
        for key in ("drop", "accept", _FINE, _CASE):
            self._part(lambda key=key: self._only_true(given, key))  # type: ignore[misc]
        if "reason" in given:
            self._part(lambda: self._text(given["reason"], "reason"))
        if len(self.mistakes) > before or collection is None or action is None:
            return None
        rule = Remediation(
            name,
            collection,
            of,
            match,
            action,
            elements,
            replacements,
            value,
            other,
            number,
            _CASE in given,
            until,
            changes_fine_values=_FINE in given,
        )
        self._part(lambda: self._require_sense(node, given, rule))
        self._require_undecided(node, rule)
        return rule

    def _counting(self, node: yaml.Node, given: Mapping[str, yaml.Node]) -> Remediation:
        """Returns a rule that counts a collection as another."""
        name = self._name(node, given)
        for key in given:
            if key not in ("name", "collection", "reason", Action.COUNTS_AS):
                self._fail(
                    given[key], f"`{key}` is not for `counts_as`, which is for a whole collection"
                )
        found = self._required(node, given, "collection")
        collection = self._text(found, "collection")
        if collection in self.model.entities:
            self._fail(
                found, f"the model knows {collection}: only other collections can count as one"
            )
        if not collection or collection.startswith("system.") or set("$\0") & set(collection):
            self._fail(found, "this is no name of a collection")
        as_one = self._known_collection(given[Action.COUNTS_AS], Action.COUNTS_AS)
        earlier = self._counted.setdefault(collection, name)
        if earlier != name:
            self._fail(found, f"rule {earlier} says already what {collection} counts as")
        return Remediation(name, collection, None, Match(), Action.COUNTS_AS, other=as_one)

    def _name(self, node: yaml.Node, given: Mapping[str, yaml.Node]) -> str:
        found = self._required(node, given, "name")
        name = self._text(found, "name")
        if not _NAME.fullmatch(name):
            self._fail(found, "a name has letters, digits and -_.: and at most 100 of them")
        if name in self._names:
            self._fail(found, f"the name {name} is that of line {self._names[name]} already")
        self._names[name] = found.start_mark.line + 1
        return name

    def _collection(self, node: yaml.Node, given: Mapping[str, yaml.Node]) -> str:
        return self._known_collection(self._required(node, given, "collection"), "collection")

    def _known_collection(self, node: yaml.Node, key: str) -> str:
        name = self._text(node, key)
        if name not in self.model.entities:
            self._fail(
                node, f"there is no collection {name!r}{_hint(name, list(self.model.entities))}"
            )
        return name

    def _field(
        self,
        node: yaml.Node,
        given: Mapping[str, yaml.Node],
        collection: str,
        action: Action | None,
    ) -> str | None:
        if action is Action.REDIRECT and "field" in given:
            self._fail(
                given["field"], "`redirect` is for every field that refers to the collection"
            )
        if "field" not in given and action in (Action.ACCEPT, Action.DEFER, Action.REDIRECT, None):
            return None
        found = self._required(node, given, "field")
        name = self._text(found, "field")
        known = fields(self.model.entities[collection]) - {_KEY}
        if name == _KEY:
            self._fail(found, "`_id` cannot be remediated: identities are made of it")
        if name not in known:
            hint = _hint(name, sorted(known))
            self._fail(found, f"the model knows no field {name!r} of {collection}{hint}")
        return name

    def _action(self, node: yaml.Node, given: Mapping[str, yaml.Node]) -> Action:
        found = [name for name in _ACTIONS if name in given]
        if len(found) != 1:
            said = f"it has {' and '.join(found)}" if found else "it has none"
            self._fail(node, f"a rule has exactly one of {', '.join(_ACTIONS)}; {said}")
        return Action(found[0])

    def _elements(
        self, given: Mapping[str, yaml.Node], collection: str | None, of: str | None
    ) -> bool:
        if "elements" not in given:
            return False
        node = given["elements"]
        wanted = self._boolean(node, "elements")
        if (
            wanted
            and collection is not None
            and (of is None or of not in arrays_of(self.model.entities[collection]))
        ):
            self._fail(node, "`elements` is for a field that is an array of texts or ids")
        return wanted

    def _match(
        self, node: yaml.Node, given: Mapping[str, yaml.Node], action: Action | None
    ) -> Match:
        if "match" not in given:
            if action not in _BY_ITSELF:
                self._fail(node, "`match` is missing: it says what the rule is for")
            return Match()
        node = given["match"]
        if isinstance(node, yaml.ScalarNode):
            word = self._text(node, "match")
            if word not in _WORDS:
                hint = _hint(word, _WORDS)
                self._fail(
                    node, f"`match` is one of the words {', '.join(_WORDS)}, or has keys{hint}"
                )
            return Match(
                is_missing=word == "missing", is_any=word == "any", is_orphaned=word == "orphaned"
            )
        found = self._mapping(node, _MATCH)
        chosen = [name for name in _MATCH[:-1] if name in found]
        if len(chosen) > 1:
            self._fail(
                given["match"], f"one of {', '.join(chosen)} is enough: they exclude another"
            )
        if not found:
            self._fail(given["match"], "`match` is empty: it says what the rule is for")
        types, values, ids = found.get("type"), found.get("values"), found.get("ids")
        return Match(
            values=None if values is None else tuple(map(self._literal, self._some(values))),
            types=None if types is None else self._types(types),
            is_missing="missing" in found and self._true(found["missing"], "missing"),
            is_any="any" in found and self._true(found["any"], "any"),
            is_orphaned="orphaned" in found and self._true(found["orphaned"], "orphaned"),
            of=None if "of" not in found else self._known_collection(found["of"], "of"),
            ids=None if ids is None else tuple(sorted(map(self._source_id, self._some(ids)))),
        )

    def _types(self, node: yaml.Node) -> tuple[str, ...]:
        nodes = self._some(node) if isinstance(node, yaml.SequenceNode) else [node]
        found: set[str] = set()
        for each in nodes:
            name = self._text(each, "type")
            if name not in TYPES:
                self._fail(each, f"there is no type {name!r}; there are {', '.join(TYPES)}")
            found.update(NUMBERS if name == NUMBER else [name])
        return tuple(sorted(found))

    def _source_id(self, node: yaml.Node) -> str:
        value = self._plain(node)
        if not isinstance(value, str):
            return source_id(self._literal(node).value)
        if _OBJECT_ID.fullmatch(value):
            return value
        try:
            return source_id(json_util.loads(value, json_options=_OPTIONS))
        except (ValueError, TypeError, BSONError):
            self._fail(node, _SOURCE_ID)

    def _replacements(
        self, given: Mapping[str, yaml.Node]
    ) -> tuple[tuple[Literal, Literal], ...] | None:
        key = next((name for name in (Action.MAP, Action.REDIRECT) if name in given), None)
        if key is None:
            return None
        node, read = given[key], self._literal if key is Action.MAP else self._identifier
        pairs: list[tuple[Literal, Literal]] = []
        if isinstance(node, yaml.MappingNode):
            pairs = [(read(old), read(new)) for old, new in node.value]
        else:
            for each in self._some(node):
                pair = self._mapping(each, _PAIR)
                old, new = (self._required(each, pair, name) for name in _PAIR)
                many = self._some(old) if isinstance(old, yaml.SequenceNode) else [old]
                pairs += [(read(one), read(new)) for one in many]
        if not pairs:
            self._fail(node, f"`{key}` is empty")
        ignores_case = _CASE in given
        seen = [value_key(old.value, ignores_case=ignores_case) for old, _ in pairs]
        if len(set(seen)) < len(seen):
            self._fail(node, f"`{key}` has one value twice")
        if key is Action.REDIRECT:
            self._require_ends(node, pairs)
        return tuple(pairs)

    def _require_ends(self, node: yaml.Node, pairs: Sequence[tuple[Literal, Literal]]) -> None:
        """Notes redirects that lead to a document that is redirected itself: in a circle, or by a detour."""
        ways = {source_id(old.value): source_id(new.value) for old, new in pairs}
        for start, end in ways.items():
            at, passed = end, {start}
            while at in ways and at not in passed:
                passed.add(at)
                at = ways[at]
            if at in passed:
                self._fail(
                    node, "it leads in a circle: a document is redirected to itself in the end"
                )
            if len(passed) > 1:
                self._fail(
                    node, "it leads to a document that is redirected itself: name the last one"
                )

    def _identifier(self, node: yaml.Node) -> Literal:
        """Returns an `_id`, given as the books have it, or as Extended JSON."""
        value = self._plain(node)
        if isinstance(value, str) and _OBJECT_ID.fullmatch(value):
            return Literal.of(ObjectId(value))
        if not isinstance(value, str):
            return self._literal(node)
        try:
            return Literal.of(json_util.loads(value, json_options=_OPTIONS))
        except (ValueError, TypeError, OverflowError, BSONError):
            self._fail(node, _SOURCE_ID)

    def _other(
        self, given: Mapping[str, yaml.Node], action: Action | None, collection: str | None
    ) -> str | None:
        """Returns the other field that a rule names."""
        if action not in (Action.COPY, Action.MOVE, Action.SEND_TO):
            return None
        node = given[action]
        name = self._text(node, action)
        if name == _KEY or not name or "\0" in name:
            self._fail(node, f"`{action}` names another field of the document, and not `_id`")
        if collection is None:
            return name
        of = given.get("field")
        if of is not None and self._text(of, "field") == name:
            self._fail(node, f"`{action}` names another field than `field`")
        if action is Action.SEND_TO and name not in fields(self.model.entities[collection]):
            hint = _hint(name, sorted(fields(self.model.entities[collection]) - {_KEY}))
            self._fail(node, f"the model knows no field {name!r} of {collection}{hint}")
        if action is not Action.SEND_TO and name in relation_arrays(
            self.model.entities[collection]
        ):
            self._fail(node, f"{name} holds a relation: both sides of it are read already")
        return name

    def _number(self, given: Mapping[str, yaml.Node]) -> NumberFormat | None:
        if "number" not in given:
            return None
        node = given["number"]
        found = self._mapping(node, _FORMAT)
        if not found:
            self._fail(node, f"`number` is empty; it takes {', '.join(_FORMAT)}")
        marks = [self._mark(found[name], name) if name in found else "" for name in _FORMAT[:2]]
        if marks[0] and marks[0] == marks[1]:
            self._fail(node, "`thousands` and `decimal` are the same")
        if "empty" in found and self._text(found["empty"], "empty") != "missing":
            self._fail(found["empty"], "`empty` can only be `missing`: else leave it out")
        return NumberFormat(marks[0], marks[1], "empty" in found)

    def _mark(self, node: yaml.Node, name: str) -> str:
        text = self._text(node, name)
        if len(text) != 1 or text.isalnum() or text in "+-":
            self._fail(node, f"`{name}` is one character that is no letter, digit or sign")
        return text

    def _until(self, given: Mapping[str, yaml.Node]) -> str:
        if "defer" not in given:
            return ""
        text = self._text(given["defer"], "defer").strip()
        if not text:
            self._fail(
                given["defer"], "`defer` says in words which later step the document waits for"
            )
        return text

    def _value(self, given: Mapping[str, yaml.Node]) -> Literal | None:
        if "set" not in given:
            return None
        literal = self._literal(given["set"], is_null_fine=True)
        if literal.value is None:
            self._fail(given["set"], "to set null is to drop: write `drop: true`")
        return literal

    def _only_true(self, given: Mapping[str, yaml.Node], name: str) -> None:
        if name in given:
            self._true(given[name], name)

    def _require_sense(
        self, node: yaml.Node, given: Mapping[str, yaml.Node], rule: Remediation
    ) -> None:
        where = given.get("match", node)
        match = rule.match
        is_nothing = rule.action is Action.MAP or (rule.action is Action.DROP and not rule.elements)
        if match.is_missing and is_nothing:
            self._fail(where, f"nothing is there to {rule.action} where the value is missing")
        if rule.action is Action.MAP and match.values is not None:
            self._fail(where, "`map` names its values itself: leave out `values`")
        if rule.action in _IDS_ALONE and match != Match(ids=match.ids):
            self._fail(
                where, f"`{rule.action}` says itself what it is for: `match` takes `ids` alone"
            )
        if rule.action is Action.REDIRECT and match != Match():
            self._fail(where, "`redirect` says itself what it is for: leave out `match`")
        if rule.elements and rule.action in _IDS_ALONE:
            self._fail(given["elements"], f"`elements` is not for `{rule.action}`")
        if rule.ignores_case and rule.action is not Action.MAP:
            self._fail(given[_CASE], f"`{_CASE}` is for `map`")
        self._require_fitting(where, given, rule)
        self._require_meant(node, given, rule)
        if rule.field is None and match != Match(is_any=match.is_any, ids=match.ids):
            self._fail(where, "without `field`, `match` takes `any` or `ids` only")

    def _require_fitting(
        self, where: yaml.Node, given: Mapping[str, yaml.Node], rule: Remediation
    ) -> None:
        """Notes a rule whose field is not of the kind that it is for."""
        name, collection, match = rule.field, rule.collection, rule.match
        if name is None:
            return
        refers, (table, source) = (
            references_of(self.model.entities[collection]).get(name),
            place_of(self.model, rule),
        )
        if rule.number is not None and source.rule not in (Rule.INTEGER, Rule.BIGINT):
            self._fail(
                given["number"], f"`number` is for a field of numbers; {name} is {source.rule}"
            )
        if rule.action in (Action.COPY, Action.MOVE):
            self._require_same_kind(given[rule.action], rule, source)
        if rule.action is Action.SEND_TO:
            to = references_of(self.model.entities[collection]).get(str(rule.other))
            if refers is None or to is None or {_ONE_ID} != {_kind(refers), _kind(to)}:
                self._fail(
                    given["send_to"],
                    f"`send_to` is from a field of one id to another; {name} "
                    f"and {rule.other} are not both such",
                )
            if refers.collection == to.collection:
                self._fail(
                    given["send_to"], f"{name} and {rule.other} refer to the same collection"
                )
        if not (match.is_orphaned or match.of):
            return
        if refers is None:
            self._fail(where, f"`orphaned` and `of` are for fields of ids; {name} is {source.rule}")
        if refers.is_array and not rule.elements:
            self._fail(where, f"{name} is an array of ids: say `elements: true`")
        known = referenced_tables(table)
        if match.of is not None and (match.of not in known or match.of == refers.collection):
            others = ", ".join(sorted(set(known) - {refers.collection})) or "no other"
            self._fail(
                where,
                f"`of` takes a collection that another field of {collection} refers to: {others}",
            )

    def _require_same_kind(self, node: yaml.Node, rule: Remediation, source: Source) -> None:
        """Notes a copy from a field that the model knows as another kind."""
        others = {
            each.field: each for each in sources(self.model.entities[rule.collection]).values()
        }
        other = others.get(str(rule.other))
        kinds = {Rule.BIGINT: Rule.INTEGER, Rule.REFERENCE: Rule.REFERENCE_ARRAY}
        if other is None:
            return
        of, to = (kinds.get(each, each) for each in (other.rule, source.rule))
        if of is not to and to is not Rule.TEXT:
            self._fail(node, f"{rule.other} is {other.rule}, and {rule.field} is {source.rule}")
        if other.references != source.references:
            self._fail(node, f"{rule.other} and {rule.field} do not refer to the same collection")

    def _require_meant(
        self, node: yaml.Node, given: Mapping[str, yaml.Node], rule: Remediation
    ) -> None:
        """Notes a rule that changes values which are fine, where it does not say that this is meant."""
        is_wide = (
            rule.action in (Action.SET, Action.DROP)
            and rule.match.ids is None
            and (
                rule.match.is_any
                or bool(fine_types(self.model, rule) & set(rule.match.types or ()))
            )
        )
        if is_wide and not rule.changes_fine_values:
            self._fail(
                given.get("match", node),
                "it matches values that are fine, too, and would change them: match what would be lost "
                f"alone (`values`, `ids`), or add `{_FINE}: true` where it is meant",
            )
        if rule.changes_fine_values and not is_wide:
            self._fail(
                given[_FINE], f"`{_FINE}` is for a rule that would match values that are fine"
            )

    def _require_undecided(self, node: yaml.Node, rule: Remediation) -> None:
        """Notes a rule that would never apply, since an earlier one decides the same value."""
        if rule.action is Action.REDIRECT:
            self._require_one_way(node, rule)
        if rule.match.ids is not None or rule.field is None:
            return
        stage: object = rule.action in JUDGING
        if rule.action in (Action.COPY, Action.MOVE):
            stage = Action.COPY, rule.other
        elif rule.action is Action.SEND_TO:
            stage = Action.SEND_TO, rule.other
        place = (rule.collection, rule.field, rule.elements, stage)
        keys = [literal for literal, _ in rule.replacements] or list(rule.match.values or ())
        wanted: list[object] = [value_key(each.value) for each in keys] or [
            *(rule.match.types or ()),
            *(["missing"] if rule.match.is_missing else []),
            *(["any"] if rule.match.is_any else []),
            *(["orphaned"] if rule.match.is_orphaned else []),
            *(["of " + rule.match.of] if rule.match.of else []),
            *(["itself"] if rule.match == Match() else []),
        ]
        for each in wanted:
            earlier = self._decided.setdefault((*place, each), rule.name)
            if earlier != rule.name:
                self._note(
                    node.start_mark.line, f"rule {earlier} decides the same before {rule.name}"
                )
                return

    def _require_one_way(self, node: yaml.Node, rule: Remediation) -> None:
        """Notes a redirect that another rule contradicts or leads on."""
        for old, new in rule.replacements:
            start, end = (
                (rule.collection, source_id(old.value)),
                (rule.collection, source_id(new.value)),
            )
            earlier = self._redirected.setdefault(start, rule.name)
            self._ends.setdefault(end, rule.name)
            onward = self._redirected.get(end, rule.name), self._ends.get(start, rule.name)
            for other in (earlier, *onward):
                if other != rule.name:
                    self._note(
                        node.start_mark.line,
                        f"rule {other} redirects the same document, or to one that {rule.name} redirects",
                    )
                    return

    # What a node holds

    def _mapping(self, node: yaml.Node, allowed: tuple[str, ...]) -> Mapping[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"must have keys: {', '.join(allowed)}")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name not in allowed:
                hint = _hint(name, allowed) or f"; there are {', '.join(allowed)}"
                self._note(key.start_mark.line, f"there is no key {name!r}{hint}")
            elif name in found:
                self._note(key.start_mark.line, f"the key {name!r} is there twice")
            found[name] = value
        return found

    def _sequence(self, node: yaml.Node) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, "must be a list")
        return list(node.value)

    def _some(self, node: yaml.Node) -> list[yaml.Node]:
        found = self._sequence(node)
        if not found:
            self._fail(node, "the list is empty")
        return found

    def _text(self, node: yaml.Node, name: str) -> str:
        value = self._plain(node)
        if not isinstance(value, str):
            self._fail(node, f"{name} must be a text")
        return value

    def _boolean(self, node: yaml.Node, name: str) -> bool:
        value = self._plain(node)
        if not isinstance(value, bool):
            self._fail(node, f"{name} must be true or false")
        return value

    def _true(self, node: yaml.Node, name: str) -> bool:
        if not self._boolean(node, name):
            self._fail(node, f"{name} can only be true: else leave it out")
        return True

    def _literal(self, node: yaml.Node, *, is_null_fine: bool = False) -> Literal:
        plain = self._plain(node)
        if plain is None and not is_null_fine:
            self._fail(
                node,
                "null is no value: match it with `missing: true`, make it so with `drop: true`",
            )
        try:
            value = json_util.loads(json.dumps(plain), json_options=_OPTIONS)
            return Literal.of(value)
        except (ValueError, TypeError, OverflowError, BSONError):
            self._fail(node, "is no valid Extended JSON value")

    def _plain(self, node: yaml.Node) -> Any:
        """Returns a node as JSON has it."""
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(each) for each in node.value]
        if isinstance(node, yaml.MappingNode):
            made: dict[str, Any] = {}
            for key, value in node.value:
                name = self._scalar(key) if isinstance(key, yaml.ScalarNode) else None
                if not isinstance(name, str) or name in made:
                    self._fail(
                        key, "a key must be a text, in quotes where it is none, and be there once"
                    )
                made[name] = self._plain(value)
            return made
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        """Returns a scalar where it can mean one thing only; a number where it is written as JSON does."""
        tag, text = node.tag.removeprefix(_TAG), str(node.value)
        is_plain = getattr(node, "style", None) is None
        if is_plain and _LIKE_A_NUMBER.fullmatch(text) and not self._is_object_id(tag, text):
            if tag == "int" and _INTEGER.fullmatch(text):
                return int(text)
            if tag == "float" and _FRACTION.fullmatch(text) and repr(float(text)) == text:
                return float(text)
            read_as = "a number" if tag == "str" else tag
            self._fail(node, f"YAML reads it as {read_as}: {_QUOTE_NUMBER}")
        if tag == "str":
            return text
        if tag == "null" and text == "null":
            return None
        if tag == "bool" and text in _BOOLEANS:
            return _BOOLEANS[text]
        if tag == "timestamp":
            self._fail(node, "quote it where it is a text; a time is {$date: ...}")
        return self._fail(node, f"YAML reads it as {tag}: quote it where it is a text")

    @staticmethod
    def _is_object_id(tag: str, text: str) -> bool:
        """Tells whether a text is 24 hex digits, such as 64e9..., and no version of YAML's integer."""
        return tag == "str" and _OBJECT_ID.fullmatch(text) is not None

    def _required(self, node: yaml.Node, given: Mapping[str, yaml.Node], name: str) -> yaml.Node:
        if name not in given:
            self._fail(node, f"`{name}` is missing")
        return given[name]

    # What is wrong

    def _part(self, read: Callable[[], Part]) -> Part | None:
        """Reads a part, None where it has a mistake, so that the others are read too."""
        try:
            return read()
        except _MistakeError:
            return None

    def _note(self, line: int, what: str) -> None:
        self.mistakes.append((line + 1, what))

    def _fail(self, node: yaml.Node, what: str) -> NoReturn:
        self._note(node.start_mark.line, what)
        raise _MistakeError


_ONE_ID = "one id"


def _kind(refers: Refers) -> str:
    return "many" if refers.is_array else "text" if refers.is_text else _ONE_ID


def _hint(name: str, known: Sequence[str]) -> str:
    """Returns what may have been meant, nothing where that is not to be guessed."""
    alike = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), alike, n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(alike[each] for each in close)}?" if close else ""
