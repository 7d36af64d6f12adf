"""A conversion rule that an application has for itself: the judge's half, made without the loader's."""

from __future__ import annotations

from typing import Any

from migration_assets.model import Source
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.aspects import Aspect
from migration_assets.validation.exact_values import COERCED, UNFIT, Result
from migration_assets.validation.identities import Ids
from migration_assets.validation.plain_values import Values
from migration_assets.validation.rules import JudgedRule

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _exact(value: Any, source: Source, ids: Ids) -> Result:
    del source, ids
    if type(value) is not str or len(value) != 2 or not _LETTERS.issuperset(value):
        return Result(None, UNFIT, "not a country")
    return Result(value.upper(), None if value == value.upper() else COERCED)


JUDGED = JudgedRule(
    read_as="text",
    kinds=frozenset({bson.STRING}),
    exact=_exact,
    texts=Values.texts,
    text=str,
    aspects=lambda _: [
        Aspect("two capital letters", lambda value: value.str.contains("^[A-Z]{2}$"))
    ],
)
