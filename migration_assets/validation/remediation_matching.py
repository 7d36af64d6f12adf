"""What a remediation is for, and what it makes of a value, as far as the value alone tells (section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from migration_assets.remediation.rules import Action, Literal, NumberFormat, Remediation
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import Value
from migration_assets.validation.extended_json import canonical

_NUMBERS = frozenset({bson.INT32, bson.INT64, bson.DOUBLE})


def read(literal: Literal) -> Value:
    """Returns the value of a literal."""
    return bson.read_document(literal.bson)[0][1]


def outcome(rule: Remediation, value: Value | None) -> Value | None:
    """Returns what a rule makes of a value that it is for; None where it is dropped."""
    if rule.number is not None:
        return _number(value, rule.number)
    if rule.action is not Action.MAP:
        return None if rule.value is None else read(rule.value)
    assert value is not None
    return next(read(new) for old, new in rule.replacements if _is_mapped(rule, old, value))


def _number(value: Value | None, given: NumberFormat) -> Value | None:
    """Returns the number that a text stands for; None where it is as good as missing."""
    found = _number_in(value, given)
    if not found:
        return None
    number = int(found[1] + re.sub("[^0-9]", "", found[2]))
    return (bson.INT32 if -(2**31) <= number < 2**31 else bson.INT64), number


def _number_in(value: Value | None, given: NumberFormat) -> Mapping[int, str] | None:
    """Returns sign and digits of a text that fits a format: nothing for a missing one, None for others."""
    if value is None or value[0] not in bson.TEXTUAL:
        return None
    text = value[1].strip()
    if not text:
        return {} if given.empty_is_missing else None
    groups = rf"[0-9]{{1,3}}(?:{re.escape(given.thousands)}[0-9]{{3}})+|" if given.thousands else ""
    fraction = rf"(?:{re.escape(given.decimal)}0+)?" if given.decimal else ""
    found = re.fullmatch(rf"(-?)({groups}[0-9]+){fraction}", text)
    if found is None or re.fullmatch("-?[0-9]+", value[1]):
        return None
    digits = re.sub("[^0-9]", "", found[2]).lstrip("0")
    is_small = len(digits) < 20 and int(digits or 0) < 2**63
    return {1: found[1], 2: found[2]} if is_small else None


def matches(rule: Remediation, value: Value | None, source_id: str) -> bool:
    """Tells whether a rule is for a value, as far as the value alone tells."""
    match = rule.match
    has_value = is_there(value)
    if rule.action is Action.MAP and not (
        value is not None
        and has_value
        and any(_is_mapped(rule, old, value) for old, _ in rule.replacements)
    ):
        return False
    if match.values is not None and not (
        value is not None and has_value and any(_is_same(read(one), value) for one in match.values)
    ):
        return False
    if match.types is not None and not (
        value is not None and has_value and bson.type_as_read(value) in match.types
    ):
        return False
    is_dropped_whole = rule.action is Action.DROP and not rule.elements
    if (match.is_missing and has_value) or ((match.is_any or is_dropped_whole) and not has_value):
        return False
    if rule.number is not None and _number_in(value, rule.number) is None:
        return False
    return is_of(rule, source_id)


def is_of(rule: Remediation, source_id: str) -> bool:
    """Tells whether a rule is for a document, by its `_id`."""
    return rule.match.ids is None or source_id in rule.match.ids


def is_there(value: Value | None) -> bool:
    """Tells whether there is a value, and not null."""
    return value is not None and value[0] not in bson.NULLISH


def _is_mapped(rule: Remediation, old: Literal, value: Value) -> bool:
    wanted = read(old)
    if rule.ignores_case and wanted[0] in bson.TEXTUAL and value[0] in bson.TEXTUAL:
        return bool(wanted[1].casefold() == value[1].casefold())
    return _is_same(wanted, value)


def _is_same(left: Value, right: Value) -> bool:
    """Tells whether two values are the same to a rule: numbers as numbers, all else as written."""
    if left[0] in _NUMBERS and right[0] in _NUMBERS and left[1] == right[1]:
        return True
    return canonical(left) == canonical(right)
