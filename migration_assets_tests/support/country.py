"""A conversion rule that an application has for itself: two capital letters. The loader's half of it."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from migration_assets.conversion import plain
from migration_assets.conversion.rules import Loader
from migration_assets.conversion.values import Outcome, coerced, unconvertible
from migration_assets.known_ids import Loaded
from migration_assets.model import Rule, Source
from migration_assets.model.columns import Column, column

COUNTRY = Rule(
    "country",
    sa.Text(),
    accepts=("string",),
    loader="migration_assets_tests.support.country:LOADER",
    judge="migration_assets_tests.support.country_judge:JUDGED",
)


def country(name: str, *, required: bool = False) -> Column:
    """Returns a column of countries."""
    return column(name, COUNTRY, required=required)


def _exact(value: Any, source: Source, loaded: Loaded) -> Outcome:
    del source, loaded
    if type(value) is not str or re.fullmatch("[A-Za-z]{2}", value) is None:
        return unconvertible(value, "not a country")
    return Outcome(value) if value.isupper() else coerced(value.upper(), "letters as capitals")


LOADER = Loader(plain.texts, _exact, is_odd=lambda text, _: ~text.str.contains(r"^[A-Z]{2}$"))
