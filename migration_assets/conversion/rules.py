"""The loader's record of each rule: how a column of it is read, what of it takes a closer look, and how.

A batch is one ``select`` that is made from these (``columns``). What follows from the type of a column stands
in ``migration_assets.model.rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.conversion import exact, plain
from migration_assets.conversion.exact import Exact
from migration_assets.conversion.scalars import (
    BIGINT_RANGE,
    INTEGER_RANGE,
    TIMESTAMP_END,
    TIMESTAMP_MINIMUM,
)
from migration_assets.model import Rule, Source
from migration_assets.model.rules import declared_at


@dataclass(frozen=True, slots=True)
class Loader:
    """What the loader makes of the values of a rule.

    Attributes:
        read: Reads the values of a field that are as expected, NULL for the others (``plain``).
        exact: Converts one value, whatever it is, and says what it did to it.
        value: The column, from what was read.
        is_odd: Which of the values that were read are for ``exact`` all the same.
    """

    read: plain.Read
    exact: Exact
    value: Callable[[pl.Expr], pl.Expr] = lambda read: read
    is_odd: Callable[[pl.Expr, Source], pl.Expr] = lambda _, __: pl.lit(value=False)


@cache
def loader_of(rule: Rule) -> Loader:
    """Returns the loader's record of a rule.

    Raises:
        ValueError: A rule of an application's own names none.
    """
    if rule in LOADERS:
        return LOADERS[rule]
    loader: Loader = declared_at(rule.loader)
    return loader


@cache
def dtype_of(rule: Rule) -> pl.DataType:
    """Returns the polars type of a converted column: a UUID is 16 bytes, a time milliseconds."""
    if rule.element is not None:
        return pl.List(dtype_of(rule.element))
    match rule.type:
        case pg.UUID():
            return pl.Binary()
        case sa.Boolean():
            return pl.Boolean()
        case sa.Integer():
            return pl.Int64()
        case sa.TIMESTAMP():
            return pl.Datetime("ms")
        case _:
            return pl.String()


def _is_unfit_text(text: pl.Expr, source: Source) -> pl.Expr:
    has_nul = text.str.contains("\x00", literal=True)
    return has_nul if source.longest is None else has_nul | (text.str.len_bytes() > source.longest)


LOADERS: Mapping[Rule, Loader] = {
    Rule.TEXT: Loader(plain.texts, exact.text, is_odd=_is_unfit_text),
    Rule.INTEGER: Loader(
        plain.integers,
        exact.integer(*INTEGER_RANGE),
        is_odd=lambda number, _: ~number.is_between(*INTEGER_RANGE),
    ),
    Rule.BIGINT: Loader(plain.integers, exact.integer(*BIGINT_RANGE)),
    Rule.BOOLEAN: Loader(plain.booleans, exact.boolean),
    Rule.TIMESTAMP: Loader(
        plain.milliseconds,
        exact.timestamp,
        value=lambda milliseconds: milliseconds.cast(dtype_of(Rule.TIMESTAMP)),
        is_odd=lambda time, _: ~time.is_between(TIMESTAMP_MINIMUM, TIMESTAMP_END, closed="left"),
    ),
    Rule.ENUM: Loader(
        plain.texts, exact.choice, is_odd=lambda text, source: ~text.is_in(source.labels)
    ),
    Rule.JSON: Loader(
        plain.json_texts,
        exact.json,
        # Nothing else than these can be what jsonb cannot hold.
        is_odd=lambda json, _: json.str.contains_any(["\\u0000", "-0.0"]),
    ),
    Rule.TEXT_ARRAY: Loader(plain.text_arrays, exact.each(exact.text)),
    Rule.REFERENCE: Loader(plain.uuids, exact.reference),
    Rule.REFERENCE_ARRAY: Loader(plain.uuid_arrays, exact.each(exact.reference)),
    Rule.REFERENCE_TEXT: Loader(plain.uuid_texts_of_ids, exact.reference_text),
    Rule.REFERENCE_TEXT_ARRAY: Loader(plain.uuid_text_arrays, exact.each(exact.reference_text)),
}
