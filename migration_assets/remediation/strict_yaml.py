"""YAML without ambiguity, and the mistakes of a text, each with its line.

YAML guesses: `no` would be a boolean, `010` eight, `500.000` the number 500. Here such words must be quoted.
A message names keys and no value, since values can be personal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import yaml

Part = TypeVar("Part")

OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_FRACTION = re.compile(r"-?(?:0|[1-9][0-9]*)\.(?:0|[0-9]*[1-9])")
_LIKE_A_NUMBER = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?0[xXoObB][0-9a-fA-F_]+|[-+]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?|[-+]?\.(?:inf|nan)",
    re.IGNORECASE,
)
"""What one or the other version of YAML reads as a number."""
_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "false": False}
_QUOTE_NUMBER = (
    "quote it where it is a text; a number has no +, no zeros around it, no _ and no exponent"
)


class MistakeError(Exception):
    """A mistake in a text: its line, and what is wrong."""


class Mistakes(list[tuple[int, str]]):
    """The mistakes of a text, each with its line, from 1."""

    def part(self, read: Callable[..., Part], *arguments: object) -> Part | None:
        """Reads a part; one with a mistake, which is noted, is None, so that the others are read too."""
        try:
            return read(*arguments)
        except MistakeError as mistake:
            self.append(mistake.args)
            return None

    def mapping(self, node: yaml.Node, allowed: Collection[str]) -> Mapping[str, yaml.Node]:
        """Returns the node under each key of a mapping; unknown and repeated keys are noted."""
        check(isinstance(node, yaml.MappingNode), node, f"must have keys: {', '.join(allowed)}")
        nodes: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            if name not in allowed:
                meant = hint(name, allowed) or f"; there are {', '.join(allowed)}"
                self.append((line_of(key), f"there is no key {name!r}{meant}"))
            elif name in nodes:
                self.append((line_of(key), f"the key {name!r} is there twice"))
            nodes[name] = value
        return nodes


def check(is_right: object, node: yaml.Node, what: str) -> None:
    """Raises a mistake unless something is right."""
    if not is_right:
        raise MistakeError(line_of(node), what)


def line_of(node: yaml.Node) -> int:
    """Returns the line where a node begins."""
    return node.start_mark.line + 1


def required(node: yaml.Node, nodes: Mapping[str, yaml.Node], key: str) -> yaml.Node:
    """Returns the node under a key of a mapping, which must exist."""
    check(key in nodes, node, f"`{key}` is missing")
    return nodes[key]


def composed(text: str) -> yaml.Node | None:
    """Returns the root of a text, None where it is empty.

    Raises:
        MistakeError: It is no YAML, or has an anchor: an alias can make a text mean more than its reviewers
            see.
    """
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise MistakeError(line, "anchors and aliases are not taken: write it out")
        return yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise MistakeError(line, f"no valid YAML: {error.problem}") from None
    except yaml.YAMLError:
        raise MistakeError(1, "no valid YAML: a character that it does not allow") from None


def is_nothing(node: yaml.Node) -> bool:
    """Tells whether a key has no value."""
    return node.tag == f"{_TAG}null" and not node.value


def elements(node: yaml.Node) -> list[yaml.Node]:
    """Returns the elements of a list, which may be empty."""
    check(isinstance(node, yaml.SequenceNode), node, "must be a list")
    return list(node.value)


def some_elements(node: yaml.Node) -> list[yaml.Node]:
    """Returns the elements of a list, which must not be empty."""
    check(elements(node), node, "the list is empty")
    return elements(node)


def one_or_some(node: yaml.Node) -> list[yaml.Node]:
    """Returns the elements of a list, or a lone node as a list."""
    return some_elements(node) if isinstance(node, yaml.SequenceNode) else [node]


def text_of(node: yaml.Node, key: str) -> str:
    """Returns a text."""
    value = plain(node)
    check(isinstance(value, str), node, f"{key} must be a text")
    return str(value)


def boolean(node: yaml.Node, key: str) -> bool:
    """Returns a boolean."""
    value = plain(node)
    check(isinstance(value, bool), node, f"{key} must be true or false")
    return bool(value)


def only_true(node: yaml.Node, key: str) -> bool:
    """Returns True, the only valid value."""
    check(boolean(node, key), node, f"{key} can only be true: else leave it out")
    return True


def plain(node: yaml.Node) -> Any:
    """Returns a node as JSON has it."""
    if isinstance(node, yaml.SequenceNode):
        return [plain(element) for element in node.value]
    if not isinstance(node, yaml.MappingNode):
        return _scalar(node)
    values: dict[str, Any] = {}
    for key, value in node.value:
        name = _scalar(key) if isinstance(key, yaml.ScalarNode) else None
        if not isinstance(name, str) or name in values:
            what = "a key must be a text, in quotes where it is none, and be there once"
            raise MistakeError(line_of(key), what)
        values[name] = plain(value)
    return values


def _scalar(node: yaml.Node) -> Any:
    """Returns an unambiguous scalar; a number if it is written as in JSON."""
    tag, text = node.tag.removeprefix(_TAG), str(node.value)
    is_plain = getattr(node, "style", None) is None
    # 24 hex digits, such as 64e9..., are an id where no version of YAML reads an integer.
    is_object_id = tag == "str" and OBJECT_ID.fullmatch(text) is not None
    if is_plain and _LIKE_A_NUMBER.fullmatch(text) and not is_object_id:
        if tag == "int" and _INTEGER.fullmatch(text):
            return int(text)
        if tag == "float" and _FRACTION.fullmatch(text) and repr(float(text)) == text:
            return float(text)
        read_as = "a number" if tag == "str" else tag
        check(False, node, f"YAML reads it as {read_as}: {_QUOTE_NUMBER}")
    if tag == "null" and text == "null":
        return None
    if tag == "bool" and text in _BOOLEANS:
        return _BOOLEANS[text]
    check(tag != "timestamp", node, "quote it where it is a text; a time is {$date: ...}")
    check(tag == "str", node, f"YAML reads it as {tag}: quote it where it is a text")
    return text


def hint(name: str, known: Iterable[str]) -> str:
    """Returns a suggestion for a misspelt name, an empty text where there is none."""
    alike = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(name.lower(), alike, n=3, cutoff=0.7)
    return f"; did you mean {' or '.join(alike[match] for match in close)}?" if close else ""
