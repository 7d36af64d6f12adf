"""Parts of a rule that depend on neither the model nor each other: values, ids, types, formats.

What YAML cannot carry is Extended JSON (`{$oid: ...}`, `{$date: ...}`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml
from bson import DatetimeConversion, ObjectId, json_util
from bson.errors import BSONError

from migration_assets.identity import source_id
from migration_assets.remediation.rules import NUMBER, NUMBERS, TYPES, Literal, NumberFormat
from migration_assets.remediation.sense import CASE, FINE
from migration_assets.remediation.strict_yaml import (
    OBJECT_ID,
    MistakeError,
    Mistakes,
    check,
    line_of,
    one_or_some,
    only_true,
    plain,
    text_of,
)

_FORMAT = ("thousands", "decimal", "empty")
_SOURCE_ID = (
    "an id is 24 hex digits, or what stands as source_id in the books "
    "(an `_id` that is a text: '\"text\"')"
)
_OPTIONS = json_util.JSONOptions(
    json_mode=json_util.JSONMode.RELAXED,
    tz_aware=False,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)


def literal(node: yaml.Node) -> Literal:
    """Returns a value; null is a mistake."""
    value = plain(node)
    what = "null is no value: match it with `missing: true`, make it so with `drop: true`"
    check(value is not None, node, what)
    return _of_json(node, json.dumps(value), "is no valid Extended JSON value")


def identifier(node: yaml.Node) -> Literal:
    """Returns an `_id`, given as the books have it, or as Extended JSON."""
    value = plain(node)
    if not isinstance(value, str):
        return literal(node)
    if OBJECT_ID.fullmatch(value):
        return Literal.of(ObjectId(value))
    return _of_json(node, value, _SOURCE_ID)


def source_id_of(node: yaml.Node) -> str:
    """Returns an `_id` as the books have it."""
    return source_id(identifier(node).value)


def types_of(node: yaml.Node) -> tuple[str, ...]:
    """Returns the BSON types that one or some names stand for, sorted."""
    types: set[str] = set()
    for named in one_or_some(node):
        name = text_of(named, "type")
        check(name in TYPES, named, f"there is no type {name!r}; there are {', '.join(TYPES)}")
        types.update(NUMBERS if name == NUMBER else [name])
    return tuple(sorted(types))


def number_format(node: yaml.Node, mistakes: Mistakes) -> NumberFormat:
    """Returns how numbers are written in texts; unknown keys are noted."""
    under = mistakes.mapping(node, _FORMAT)
    check(under, node, f"`number` is empty; it takes {', '.join(_FORMAT)}")
    thousands, decimal = (_mark(under[name], name) if name in under else "" for name in _FORMAT[:2])
    check(not thousands or thousands != decimal, node, "`thousands` and `decimal` are the same")
    if "empty" in under:
        what = "`empty` can only be `missing`: else leave it out"
        check(text_of(under["empty"], "empty") == "missing", under["empty"], what)
    return NumberFormat(thousands, decimal, "empty" in under)


def _of_json(node: yaml.Node, text: str, what: str) -> Literal:
    try:
        return Literal.of(json_util.loads(text, json_options=_OPTIONS))
    except (ValueError, TypeError, OverflowError, BSONError):
        raise MistakeError(line_of(node), what) from None


def _mark(node: yaml.Node, key: str) -> str:
    mark = text_of(node, key)
    is_mark = len(mark) == 1 and not mark.isalnum() and mark not in "+-"
    check(is_mark, node, f"`{key}` is one character that is no letter, digit or sign")
    return mark


def _until(node: yaml.Node, key: str) -> str:
    until = text_of(node, key).strip()
    check(until, node, f"`{key}` says in words which later step the document waits for")
    return until


def _value(node: yaml.Node, key: str) -> Literal:
    value = None if plain(node) is None else literal(node)
    what = f"to {key} null is to drop: write `drop: true`"
    if value is None or value.value is None:
        raise MistakeError(line_of(node), what)
    return value


PARTS: Mapping[str, Callable[[yaml.Node, str], Any]] = {
    "reason": text_of,
    FINE: only_true,
    CASE: only_true,
    "set": _value,
    "drop": only_true,
    "accept": only_true,
    "defer": _until,
}
"""Keys that stand by themselves, and what reads them."""
