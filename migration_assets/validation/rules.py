"""What the judge knows of each conversion rule, one record a rule: all that it takes to add one here.

What one value becomes stands in ``exact_values``, what many do at once in ``plain_values``, what the values
of a column have to be in ``aspects``. None of it is the loader's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from migration_assets.model import Rule, Source
from migration_assets.model.rules import declared_at
from migration_assets.validation import aspects as be
from migration_assets.validation import bson_reader as bson
from migration_assets.validation import exact_values as exact
from migration_assets.validation.aspects import Aspect
from migration_assets.validation.exact_values import Convert
from migration_assets.validation.many_ids import IDENTIFIERS
from migration_assets.validation.placed_values import UNDERSTOOD
from migration_assets.validation.plain_values import Values
from migration_assets.validation.postgres_text import (
    array_text,
    boolean_text,
    timestamp_text,
    uuid_array_text,
    uuid_text,
)


@dataclass(frozen=True, slots=True)
class JudgedRule:
    """What the judge knows of a rule.

    Attributes:
        read_as: The PostgreSQL type that a column is read as, so that a wrong type with the right values is
            for the layer ``types`` to find; None for its own.
        kinds: The BSON types that a column accepts as they are.
        exact: What one value becomes, or one element of an array, and why where that is a loss.
        texts: What many values of these types become, as PostgreSQL writes them.
        text: A converted value as PostgreSQL writes it.
        aspects: What the values of a column have to be.
    """

    read_as: str | None
    kinds: frozenset[int]
    exact: Convert
    texts: Callable[[Values], pl.Series]
    text: Callable[[Any], str]
    aspects: Callable[[Source], Sequence[Aspect]]

    def written(self, value: Any) -> str | None:
        """Returns a value as ``judge.Judgement.row`` has it as PostgreSQL writes it, None for NULL."""
        return None if value is None else self.text(value)


def _always(*aspects: Aspect) -> Callable[[Source], Sequence[Aspect]]:
    return lambda _: aspects


_TEXT = JudgedRule(
    read_as="text",
    kinds=frozenset({bson.STRING}),
    exact=exact.text,
    texts=Values.texts,
    text=str,
    aspects=_always(be.IS_TEXT),
)
_REFERENCE = JudgedRule(
    read_as="uuid",
    kinds=IDENTIFIERS,
    exact=exact.reference,
    texts=Values.ids,
    text=uuid_text,
    aspects=_always(be.IS_UUID),
)
_REFERENCE_TEXT = replace(_TEXT, exact=exact.reference_text, texts=Values.references_as_text)


def _integer(type_: str, bits: int) -> JudgedRule:
    return JudgedRule(
        read_as=type_,
        kinds=frozenset({bson.INT32, bson.INT64}),
        exact=exact.integer,
        texts=Values.integers,
        text=str,
        aspects=_always(be.integer(bits)),
    )


def _array(
    element: JudgedRule,
    texts: Callable[[Values], pl.Series],
    text: Callable[[Any], str],
    *aspects: Aspect,
) -> JudgedRule:
    return JudgedRule(
        read_as=f"{element.read_as}[]",
        kinds=frozenset({bson.ARRAY}),
        exact=element.exact,
        texts=texts,
        text=text,
        aspects=_always(*aspects),
    )


class _Rules(dict[Rule, JudgedRule]):
    def __missing__(self, rule: Rule) -> JudgedRule:
        """Returns the record that a rule names which an application has for itself."""
        judged: JudgedRule = declared_at(rule.judge)
        return judged


RULES: Mapping[Rule, JudgedRule] = _Rules(
    {
        Rule.KEY: _REFERENCE,
        Rule.TEXT: _TEXT,
        Rule.INTEGER: _integer("integer", 32),
        Rule.BIGINT: _integer("bigint", 64),
        Rule.BOOLEAN: JudgedRule(
            read_as="boolean",
            kinds=frozenset({bson.BOOLEAN}),
            exact=exact.boolean,
            texts=Values.booleans,
            text=boolean_text,
            aspects=_always(be.IS_BOOLEAN),
        ),
        Rule.TIMESTAMP: JudgedRule(
            read_as="timestamp",  # without its precision: a digit beyond the millisecond must show
            kinds=frozenset({bson.DATE}),
            exact=exact.timestamp,
            texts=Values.times,
            text=timestamp_text,
            aspects=_always(be.IS_TIME),
        ),
        Rule.ENUM: replace(
            _TEXT,
            read_as=None,
            exact=exact.label,
            aspects=lambda source: [be.label(source)],
        ),
        Rule.JSON: JudgedRule(
            read_as="jsonb",
            kinds=UNDERSTOOD,
            exact=exact.json,
            texts=Values.json,
            text=str,
            aspects=_always(be.IS_JSON),
        ),
        Rule.REFERENCE: _REFERENCE,
        Rule.REFERENCE_TEXT: _REFERENCE_TEXT,
        Rule.TEXT_ARRAY: _array(_TEXT, Values.arrays_of_texts, array_text, *be.ARE_TEXTS),
        Rule.REFERENCE_ARRAY: _array(
            _REFERENCE, Values.arrays_of_ids, uuid_array_text, *be.ARE_UUIDS
        ),
        Rule.REFERENCE_TEXT_ARRAY: _array(
            _REFERENCE_TEXT, Values.arrays_of_references_as_text, array_text, *be.ARE_TEXTS
        ),
    }
)
