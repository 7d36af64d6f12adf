"""Matching a rule with a value, as far as the value alone decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migration_assets.identity import canonical, source_id
from migration_assets.remediation.rules import Action, NumberFormat, Remediation
from migration_assets.source.elements import type_name

MISSING: Any = object()
"""Stands for no value."""

_LARGEST = 2**63 - 1
_DIGITS = frozenset("0123456789")
_GROUP = 3


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule prepared for matching: values by their key."""

    rule: Remediation
    values: frozenset[Any] | None
    types: frozenset[str] | None
    ids: frozenset[str] | None
    outcomes: Mapping[Any, Any] | None
    outcome: Any

    @classmethod
    def of(cls, rule: Remediation) -> Compiled:
        """Returns a rule prepared for matching."""
        match, values, outcomes = rule.match, None, None
        if rule.action is Action.MAP:
            outcomes = {
                value_key(old.value, ignores_case=rule.ignores_case): new.value
                for old, new in rule.replacements
            }
            values = frozenset(outcomes)
        elif match.values is not None:
            values = frozenset(value_key(literal.value) for literal in match.values)
        return cls(
            rule,
            values,
            None if match.types is None else frozenset(match.types),
            None if match.ids is None else frozenset(match.ids),
            outcomes,
            rule.value.value if rule.value is not None else MISSING,
        )

    @property
    def name(self) -> str:
        """The name of the rule."""
        return self.rule.name

    def is_of(self, identifier: Any) -> bool:
        """Whether the rule applies to a document."""
        return self.ids is None or source_id(identifier) in self.ids

    def matches(self, identifier: Any, value: Any) -> bool:
        """Whether the rule applies to a value, as far as the value alone decides."""
        match = self.rule.match
        has_value = is_there(value)
        if self.values is not None and not (has_value and self._key(value) in self.values):
            return False
        if self.types is not None and not (has_value and type_name(value) in self.types):
            return False
        if match.is_missing and has_value:
            return False
        # A missing value is not dropped; a null element is.
        needs_value = self.rule.action is Action.DROP and not self.rule.elements
        if (match.is_any or needs_value) and not has_value:
            return False
        if self.rule.number is not None and read_number(value, self.rule.number) is value:
            return False
        return self.is_of(identifier)

    def replacement(self, value: Any) -> Any:
        """Returns the replacement of a matching value; ``MISSING`` for none."""
        if self.rule.number is not None:
            number = read_number(value, self.rule.number)
            return MISSING if number is None else number
        return self.outcome if self.outcomes is None else self.outcomes[self._key(value)]

    def _key(self, value: Any) -> Any:
        return value_key(value, ignores_case=self.rule.ignores_case)


def value_key(value: Any, *, ignores_case: bool = False) -> Any:
    """Returns the key that values share if they are the same to a rule, as equal numbers are."""
    if type(value) is str:
        return "text", value.casefold() if ignores_case else value
    if isinstance(value, int | float) and not isinstance(value, bool) and not _is_nan(value):
        return value
    return canonical(value)


def read_number(value: Any, written: NumberFormat) -> Any:
    """Returns the integer that a text stands for in a format, None for one that is as good as missing.

    What does not fit the format, or is digits alone and so needs no rule, is returned as it is.
    """
    if type(value) is not str:
        return value
    text = value.strip()
    if not text:
        return None if written.empty_is_missing else value
    sign, unsigned = (-1, text[1:]) if text.startswith("-") else (1, text)
    whole, *fraction = unsigned.split(written.decimal) if written.decimal else [unsigned]
    groups = whole.split(written.thousands) if written.thousands else [whole]
    is_grouped = len(groups) == 1 or (
        len(groups[0]) <= _GROUP and all(len(group) == _GROUP for group in groups[1:])
    )
    parts = [*groups, *fraction]
    if (
        not is_grouped
        or len(fraction) > 1
        or not all(part and set(part) <= _DIGITS for part in parts)
    ):
        return value
    if any(part.strip("0") for part in fraction) or (text == value and len(parts) == 1):
        return value
    digits = "".join(groups).lstrip("0") or "0"
    if len(digits) > len(str(_LARGEST)) or int(digits) > _LARGEST:
        return value
    return sign * int(digits)


def is_there(value: Any) -> bool:
    """Tells whether there is a value: null is none."""
    return value is not None and value is not MISSING


def _is_nan(value: float) -> bool:
    return isinstance(value, float) and math.isnan(value)
