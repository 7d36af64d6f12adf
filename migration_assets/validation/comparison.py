"""Two frames held against each other: what is expected, and what is there.

Rows by their id, pairs by their two ids, lines of the books by what they speak of: all by ``compared``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import orjson
import pandera.polars as pa
import polars as pl

from migration_assets.validation.extended_json import meaning

IS_EXPECTED, IS_THERE = "is expected", "is there"
_IS = "is"
_MAY_LOSE_DIGITS = re.compile(r"[0-9][0-9.]{15,}|(?:^|[\[:,\s-])[0-9.]+[eE]").search
"""Finds what may be a number with more digits than a double keeps: of 16 or more, or with an exponent."""


IsSame = Callable[[str, str], bool]
"""Tells whether two texts that differ are the same."""


def compared(
    expected: pl.DataFrame,
    actual: pl.DataFrame,
    key: Sequence[str],
    is_same: Mapping[str, IsSame] = MappingProxyType({}),
) -> pl.DataFrame:
    """Returns what two frames have in common: a line for each key that either side has.

    Args:
        expected: What must be there, no key twice.
        actual: What is there, with the same columns, no key twice.
        key: The columns that both are known by; NULL is a key as any other.
        is_same: Tells of columns whether two of their texts are the same.

    Returns:
        The key, in the order of what is expected and then of the rest; ``IS_EXPECTED`` and ``IS_THERE``; and
        for each other column whether both sides are the same, NULL being the same as NULL alone.
    """
    names = [*key]
    if expected[names].equals(actual[names]):
        is_expected = is_there = _true(expected.height)
    else:
        keys = pl.concat([expected[names], actual[names]]).unique(maintain_order=True)
        expected, actual = (
            keys.join(
                side.with_columns(pl.lit(value=True).alias(_IS)),
                on=key,
                how="left",
                nulls_equal=True,
                maintain_order="left",
            )
            for side in (expected, actual)
        )
        is_expected, is_there = expected[_IS].is_not_null(), actual[_IS].is_not_null()
    others = [name for name in expected.columns if name not in (*names, _IS)]
    return pl.DataFrame(
        [
            *expected[names],
            is_expected.alias(IS_EXPECTED),
            is_there.alias(IS_THERE),
            *(_same(expected[name], actual[name], is_same.get(name)) for name in others),
        ]
    )


def _same(expected: pl.Series, actual: pl.Series, is_same: IsSame | None) -> pl.Series:
    """Tells where two columns are the same."""
    if expected.equals(actual):  # a fifth of the time that it takes to say where
        return _true(len(expected)).alias(expected.name)
    same = expected.eq_missing(actual)
    if is_same is None:
        return same
    rest = (~same & expected.is_not_null() & actual.is_not_null()).arg_true()
    if not len(rest):
        return same
    # Tags and notes repeat: of the same two texts one pair is looked at.
    pairs = [*zip(expected[rest].to_list(), actual[rest].to_list(), strict=True)]
    is_same_by_pair = {pair: is_same(*pair) for pair in dict.fromkeys(pairs)}
    return same.scatter(
        rest, pl.Series([is_same_by_pair[pair] for pair in pairs], dtype=pl.Boolean)
    )


def _true(height: int) -> pl.Series:
    return pl.Series([True]).new_from_index(0, height)


def means_same_json(left: str, right: str) -> bool:
    """Tells whether two texts mean the same JSON: numbers by their value, with every digit of them."""
    if left == right:
        return True
    try:
        may_lose_digits = _MAY_LOSE_DIGITS(left) or _MAY_LOSE_DIGITS(right)
        if not may_lose_digits and _sorted(left) == _sorted(right):
            return True
        return bool(meaning(left) == meaning(right))
    except (ValueError, ArithmeticError):
        return False


def _sorted(text: str) -> bytes:
    return orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)


def _agree(data: pa.PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.all_horizontal(pl.selectors.boolean()))


AGREEMENT = pa.DataFrameSchema(checks=[pa.Check(_agree, name="both sides agree")])
"""The verdict on all lines of two frames that were ``compared``; a missing side is a difference."""
