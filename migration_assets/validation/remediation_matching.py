"""What a remediation is for, and what it makes of a value, as far as the value alone tells (section 5)."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from functools import lru_cache
from typing import Any, Final

from bson import Int64

from migration_assets.remediation.rules import Action, Literal, NumberFormat, Remediation
from migration_assets.validation.bson_reader import read_document, type_as_read
from migration_assets.validation.extended_json import canonical

ABSENT: Final[Any] = object()
"""Stands where there is no value, not even null."""


@lru_cache(10_000)
def read(literal: Literal) -> Any:
    """Returns the value of a literal."""
    (value,) = read_document(literal.bson).values()
    return value


def is_there(value: Any) -> bool:
    """Tells whether there is a value, and not null."""
    return value is not None and value is not ABSENT


def is_of(rule: Remediation, source_id: str) -> bool:
    """Tells whether a rule is for a document, by its `_id`."""
    return rule.match.ids is None or source_id in rule.match.ids


def matches(rule: Remediation, value: Any, source_id: str) -> bool:
    """Tells whether a rule is for a value, as far as the value alone tells."""
    match = rule.match
    wanted = match.values
    if rule.action is Action.MAP:
        wanted = tuple(old for old, _ in rule.replacements)
    is_dropped_whole = rule.action is Action.DROP and not rule.elements
    needs_value = match.is_any or is_dropped_whole or bool(wanted or match.types)
    if (match.is_missing and is_there(value)) or (needs_value and not is_there(value)):
        return False
    if wanted is not None:
        key = _key(value, ignores_case=rule.ignores_case)
        if not any(_key_of(literal, ignores_case=rule.ignores_case) == key for literal in wanted):
            return False
    if match.types is not None and type_as_read(value) not in match.types:
        return False
    if rule.number is not None and _number(value, rule.number) is None:
        return False
    return is_of(rule, source_id)


def outcome(rule: Remediation, value: Any) -> Any:
    """Returns what a rule makes of a value that it is for; ``ABSENT`` where it is dropped."""
    if rule.number is not None:
        return _number(value, rule.number)
    if rule.action is not Action.MAP:
        return ABSENT if rule.value is None else read(rule.value)
    key = _key(value, ignores_case=rule.ignores_case)
    return next(
        read(new)
        for old, new in rule.replacements
        if _key_of(old, ignores_case=rule.ignores_case) == key
    )


def _key(value: Any, *, ignores_case: bool) -> Hashable:
    """Returns what is equal where values are the same to a rule: numbers as numbers, all else as written."""
    if ignores_case and type(value) is str:
        return canonical(value.casefold())
    is_number = type(value) in (int, Int64, float) and not math.isnan(value)
    return value if is_number else canonical(value)


@lru_cache(10_000)
def _key_of(literal: Literal, *, ignores_case: bool) -> Hashable:
    return _key(read(literal), ignores_case=ignores_case)


def _number(value: Any, form: NumberFormat) -> Any:
    """Returns the number that a text stands for in a format.

    Returns:
        ``ABSENT`` for a text that is as good as missing, None for a value that the format is not for.
    """
    if type(value) is not str:
        return None
    text = value.strip()
    if not text:
        return ABSENT if form.empty_is_missing else None
    groups = rf"[0-9]{{1,3}}(?:{re.escape(form.thousands)}[0-9]{{3}})+|" if form.thousands else ""
    fraction = rf"(?:{re.escape(form.decimal)}0+)?" if form.decimal else ""
    parts = re.fullmatch(rf"(-?)({groups}[0-9]+){fraction}", text)
    if parts is None or re.fullmatch("-?[0-9]+", value):
        return None
    digits = re.sub("[^0-9]", "", parts[2]).lstrip("0") or "0"
    is_small = len(digits) < 20 and int(digits) < 2**63
    return int(parts[1] + digits) if is_small else None
