"""Reading the file of remediations. An error lists all its mistakes, each with its line.

What YAML cannot carry is Extended JSON (`{$oid: ...}`, `{$date: ...}`). A message names keys, rules,
collections and fields, and no value, since values can be personal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import yaml

from migration_assets.errors import RemediationError
from migration_assets.model import Model, fields
from migration_assets.remediation.matching import value_key
from migration_assets.remediation.parts import (
    PARTS,
    identifier,
    literal,
    number_format,
    source_id_of,
    types_of,
)
from migration_assets.remediation.rules import (
    NO_REMEDIATIONS,
    Action,
    Literal,
    Match,
    Remediation,
    Remediations,
    arrays_of,
    refer_to,
    relation_arrays,
)
from migration_assets.remediation.sense import (
    BY_ITSELF,
    CASE,
    FINE,
    Earlier,
    mistake_of_ends,
    mistakes_of,
)
from migration_assets.remediation.strict_yaml import (
    MistakeError,
    Mistakes,
    boolean,
    check,
    composed,
    elements,
    hint,
    is_nothing,
    line_of,
    one_or_some,
    only_true,
    plain,
    required,
    some_elements,
    text_of,
)
from migration_assets.settings import REMEDIATIONS

VERSION = 1

Nodes = Mapping[str, yaml.Node]
"""What stands under each key of a rule."""

_ACTIONS = tuple(action.value for action in Action)
_RULE = ("name", "collection", "field", "elements", "match", "reason", FINE, CASE, *_ACTIONS)
_REFERENCES = "references_to"
_REFERRING = ("name", _REFERENCES, "match", "reason", "set", "drop", "accept")
_COUNTING = ("name", "collection", "reason", "counts_as")
_WORDS = ("missing", "any", "orphaned")
_MATCH = ("values", "type", *_WORDS, "of", "ids")
_PAIR = ("from", "to")
_KEY = "_id"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")


def load_remediations(model: Model, path: str | None = None) -> Remediations:
    """Returns the rules of a file, of the one that ``MIGRATION_REMEDIATIONS`` names where none is given.

    Args:
        model: The application's tables.
        path: The file; an empty text is none.

    Raises:
        RemediationError: It cannot be read, or it has mistakes.
    """
    chosen = path or REMEDIATIONS.read()
    if chosen is None:
        return NO_REMEDIATIONS
    try:
        text = Path(chosen).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RemediationError(
            f"cannot be read ({type(error).__name__})",
            where=f"remediations {chosen}",
            next_step=f"Check the path, and that it is UTF-8; unset {REMEDIATIONS.name} for no rules",
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
    rules = parsing.mistakes.part(parsing.rules, text) or []
    if parsing.mistakes:
        raise RemediationError(
            "; ".join(f"line {line}: {what}" for line, what in sorted(parsing.mistakes)),
            where=f"remediations {file}",
            next_step="Correct the file; docs/remediations.md has its form",
        )
    return Remediations(tuple(rules), file)


@dataclass(slots=True)
class _Parsing:
    """Parses one text.

    Attributes:
        model: The application's tables.
        mistakes: The mistakes found so far.
    """

    model: Model
    mistakes: Mistakes = field(default_factory=Mistakes)
    _lines: dict[str, int] = field(default_factory=dict)
    """The lines of the names of rules."""
    _counted: dict[str, str] = field(default_factory=dict)
    """The rules that count collections as others, by collection."""
    _earlier: Earlier = field(default_factory=Earlier)

    def rules(self, text: str) -> list[Remediation]:
        """Returns the rules that could be read."""
        root = composed(text)
        if root is None:
            raise MistakeError(1, "is empty: it needs `version: 1` and `rules`")
        top = self.mistakes.mapping(root, ("version", "rules"))
        version = required(root, top, "version")
        check(plain(version) == VERSION, version, f"version must be {VERSION}")
        listed = required(root, top, "rules")
        if is_nothing(listed):
            return []  # a draft without any rule left
        return [rule for entry in elements(listed) for rule in self._rules(entry)]

    def _rules(self, entry: yaml.Node) -> Sequence[Remediation]:
        """Returns the rules of an entry of the file."""
        keys = [key.value for key, _ in entry.value] if isinstance(entry, yaml.MappingNode) else []
        is_of_all = _REFERENCES in keys
        allowed = _REFERRING if is_of_all else _RULE
        before = len(self.mistakes)
        nodes = self.mistakes.part(self.mistakes.mapping, entry, allowed)
        if nodes is None:
            return ()
        if is_of_all:
            return self.mistakes.part(self._referring, entry, nodes) or ()
        if Action.COUNTS_AS in nodes:
            rule = self.mistakes.part(self._counting, entry, nodes)
        else:
            rule = self._rule(entry, nodes, before)
        return () if rule is None else (rule,)

    def _referring(self, entry: yaml.Node, nodes: Nodes) -> Sequence[Remediation]:
        """Returns a rule for each field that refers to a collection.

        `set` is for the fields that cannot be empty, `drop` and `accept` for all others: nothing that has
        to be decided is lost by the way.
        """
        name = self._name(entry, nodes)
        collection = self._known_collection(nodes[_REFERENCES], _REFERENCES)
        action = _action(entry, nodes)
        match = self._match(entry, nodes, action)
        what = f"`{_REFERENCES}` is for ids that are orphaned: `match: orphaned`"
        check(match == Match(is_orphaned=True), nodes.get("match", entry), what)
        parts = {
            key: PARTS[key](nodes[key], key) for key in _REFERRING if key in nodes & PARTS.keys()
        }
        is_set = action is Action.SET
        rules = [
            Remediation(
                *(name, holder, of, match, action),
                elements=is_array,
                value=parts.get("set"),
                references_to=collection,
            )
            for holder, of, is_array in refer_to(self.model, collection, required=is_set)
        ]
        kind = "that cannot be empty" if is_set else "that can be empty"
        check(rules, nodes[_REFERENCES], f"no field {kind} refers to {collection}")
        for what in self._earlier.mistakes_of_all(rules):
            raise MistakeError(line_of(entry), what)
        return rules

    def _counting(self, entry: yaml.Node, nodes: Nodes) -> Remediation:
        """Returns a rule that counts a collection as another."""
        name = self._name(entry, nodes)
        for key, node in nodes.items():
            what = f"`{key}` is not for `counts_as`, which is for a whole collection"
            check(key in _COUNTING, node, what)
        node = required(entry, nodes, "collection")
        collection = text_of(node, "collection")
        what = f"the model knows {collection}: only other collections can count as one"
        check(collection not in self.model.entities, node, what)
        is_name = (
            collection and not collection.startswith("system.") and not set("$\0") & set(collection)
        )
        check(is_name, node, "this is no name of a collection")
        as_one = self._known_collection(nodes[Action.COUNTS_AS], Action.COUNTS_AS)
        earlier = self._counted.setdefault(collection, name)
        check(earlier == name, node, f"rule {earlier} says already what {collection} counts as")
        return Remediation(name, collection, None, Match(), Action.COUNTS_AS, other=as_one)

    def _rule(self, entry: yaml.Node, nodes: Nodes, before: int) -> Remediation | None:
        """Returns a rule of one field; each part is read whatever is wrong with the others.

        It is None, and not judged, where there are more mistakes than before.
        """
        part = self.mistakes.part
        name = part(self._name, entry, nodes) or ""
        collection = part(self._collection, entry, nodes)
        action = part(_action, entry, nodes)
        of = None if collection is None else part(self._field, entry, nodes, collection, action)
        is_of_elements = bool(part(self._elements, nodes, collection, of))
        match = part(self._match, entry, nodes, action) or Match()
        replacements = part(self._replacements, nodes) or ()
        other = part(self._other, nodes, action, collection)
        number = part(number_format, nodes["number"], self.mistakes) if "number" in nodes else None
        parts = {key: part(PARTS[key], nodes[key], key) for key in PARTS if key in nodes}
        if len(self.mistakes) > before or collection is None or action is None:
            return None
        rule = Remediation(
            *(name, collection, of, match, action, is_of_elements, replacements),
            value=parts.get("set"),
            other=other,
            number=number,
            ignores_case=CASE in nodes,
            until=parts.get("defer") or "",
            changes_fine_values=FINE in nodes,
        )
        # Its other mistakes may follow from the first one.
        for key, what in [*mistakes_of(self.model, rule)][:1]:
            self.mistakes.append((line_of(nodes.get(key, entry)), what))
        self.mistakes += ((line_of(entry), what) for what in self._earlier.mistakes(rule))
        return rule

    def _name(self, entry: yaml.Node, nodes: Nodes) -> str:
        node = required(entry, nodes, "name")
        name = text_of(node, "name")
        what = "a name has letters, digits and -_.: and at most 100 of them"
        check(_NAME.fullmatch(name), node, what)
        line = self._lines.get(name)
        check(line is None, node, f"the name {name} is that of line {line} already")
        self._lines[name] = line_of(node)
        return name

    def _collection(self, entry: yaml.Node, nodes: Nodes) -> str:
        return self._known_collection(required(entry, nodes, "collection"), "collection")

    def _known_collection(self, node: yaml.Node, key: str) -> str:
        name, known = text_of(node, key), self.model.entities
        check(name in known, node, f"there is no collection {name!r}{hint(name, known)}")
        return name

    def _field(
        self, entry: yaml.Node, nodes: Nodes, collection: str, action: Action | None
    ) -> str | None:
        if action is Action.REDIRECT and "field" in nodes:
            what = "`redirect` is for every field that refers to the collection"
            raise MistakeError(line_of(nodes["field"]), what)
        if "field" not in nodes and action in (Action.ACCEPT, Action.DEFER, Action.REDIRECT, None):
            return None
        node = required(entry, nodes, "field")
        name = text_of(node, "field")
        check(name != _KEY, node, "`_id` cannot be remediated: identities are made of it")
        return self._known_field(node, name, collection)

    def _known_field(self, node: yaml.Node, name: str, collection: str) -> str:
        known = fields(self.model.entities[collection]) - {_KEY}
        meant = hint(name, sorted(known))
        check(name in known, node, f"the model knows no field {name!r} of {collection}{meant}")
        return name

    def _elements(self, nodes: Nodes, collection: str | None, of: str | None) -> bool:
        if "elements" not in nodes or not boolean(nodes["elements"], "elements"):
            return False
        if collection is not None:
            what = "`elements` is for a field that is an array of texts or ids"
            check(of in arrays_of(self.model.entities[collection]), nodes["elements"], what)
        return True

    def _match(self, entry: yaml.Node, nodes: Nodes, action: Action | None) -> Match:
        if "match" not in nodes:
            what = "`match` is missing: it says what the rule is for"
            check(action in BY_ITSELF, entry, what)
            return Match()
        node = nodes["match"]
        if isinstance(node, yaml.ScalarNode):
            word = text_of(node, "match")
            what = (
                f"`match` is one of the words {', '.join(_WORDS)}, or has keys{hint(word, _WORDS)}"
            )
            check(word in _WORDS, node, what)
            return Match(
                is_missing=word == "missing", is_any=word == "any", is_orphaned=word == "orphaned"
            )
        under = self.mistakes.mapping(node, _MATCH)
        kinds = [name for name in _MATCH if name in under and name != "ids"]
        what = f"one of {', '.join(kinds)} is enough: they exclude another"
        check(len(kinds) < 2, node, what)
        check(under, node, "`match` is empty: it says what the rule is for")
        values, types, ids = under.get("values"), under.get("type"), under.get("ids")
        is_missing, is_any, is_orphaned = (
            word in under and only_true(under[word], word) for word in _WORDS
        )
        return Match(
            None if values is None else tuple(map(literal, some_elements(values))),
            None if types is None else types_of(types),
            is_missing,
            is_any,
            is_orphaned,
            self._known_collection(under["of"], "of") if "of" in under else None,
            None if ids is None else tuple(sorted(map(source_id_of, some_elements(ids)))),
        )

    def _replacements(self, nodes: Nodes) -> tuple[tuple[Literal, Literal], ...]:
        key = next((name for name in (Action.MAP, Action.REDIRECT) if name in nodes), None)
        if key is None:
            return ()
        node, read = nodes[key], literal if key is Action.MAP else identifier
        pairs: list[tuple[Literal, Literal]] = []
        if isinstance(node, yaml.MappingNode):
            pairs = [(read(old), read(new)) for old, new in node.value]
        else:
            for listed in some_elements(node):
                pair = self.mistakes.mapping(listed, _PAIR)
                old, new = (required(listed, pair, name) for name in _PAIR)
                pairs += [(read(one), read(new)) for one in one_or_some(old)]
        check(pairs, node, f"`{key}` is empty")
        keys = {value_key(old.value, ignores_case=CASE in nodes) for old, _ in pairs}
        check(len(keys) == len(pairs), node, f"`{key}` has one value twice")
        what = mistake_of_ends(pairs) if key is Action.REDIRECT else ""
        check(not what, node, what)
        return tuple(pairs)

    def _other(self, nodes: Nodes, action: Action | None, collection: str | None) -> str | None:
        """Returns the other field that a rule names."""
        if action not in (Action.COPY, Action.MOVE, Action.SEND_TO):
            return None
        node = nodes[action]
        name = text_of(node, action)
        what = f"`{action}` names another field of the document, and not `_id`"
        check(name not in ("", _KEY) and "\0" not in name, node, what)
        if collection is None:
            return name
        is_other = "field" not in nodes or text_of(nodes["field"], "field") != name
        check(is_other, node, f"`{action}` names another field than `field`")
        if action is Action.SEND_TO:
            return self._known_field(node, name, collection)
        what = f"{name} holds a relation: both sides of it are read already"
        check(name not in relation_arrays(self.model.entities[collection]), node, what)
        return name


def _action(entry: yaml.Node, nodes: Nodes) -> Action:
    named = [name for name in _ACTIONS if name in nodes]
    has = f"it has {' and '.join(named)}" if named else "it has none"
    check(len(named) == 1, entry, f"a rule has exactly one of {', '.join(_ACTIONS)}; {has}")
    return Action(named[0])
