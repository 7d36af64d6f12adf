"""What the values of a column have to be, looked at as PostgreSQL writes them, without those they come from.

A JSON text is looked at as it is. So an object may have any names: MongoDB stores ``{"$oid": "x"}`` as it
stores any other, and Extended JSON has no way to tell it from a wrapper that somebody damaged; the layer
``values`` has. Numbers can be told, as BSON has two kinds of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from migration_assets.model import Source

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_TIMESTAMP = r"^[0-9]{4,6}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?( BC)?$"
_QUOTED_ELEMENT = r'"(?:[^"\\]|\\[\s\S])*"'
_ONE_DIMENSION = r"^\{[^{}]*\}$"
_NULL_ELEMENT = r"[{,]NULL[,}]"
_LONG_NUMBER = "-?[0-9][0-9.]{15,}"
"""16 digits or more: a number of fewer is that of a double in any case."""
_INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Aspect:
    """What the values of a column have to be, NULL apart.

    Attributes:
        words: It in words.
        expression: Whether a value is; null counts as no.
    """

    words: str
    expression: Callable[[pl.Expr], pl.Expr]

    def holds(self, value: pl.Expr) -> pl.Expr:
        """Returns whether a value is NULL, or as it has to be."""
        return value.is_null() | self.expression(value).fill_null(value=False)


def integer(bits: int) -> Aspect:
    """Returns what an integer has to be."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return Aspect(
        f"integer of {bits} bits",
        lambda value: value.cast(pl.Int64, strict=False).is_between(low, high),
    )


def label(source: Source) -> Aspect:
    """Returns what a label has to be."""
    return Aspect("label of the enum", lambda value: value.is_in(source.labels))


def _is_json(texts: pl.Series) -> pl.Series:
    """Tells which JSON texts can be relaxed Extended JSON.

    Most of them can, as they hold no long number; only the others are looked at one by one.
    """
    is_plain = _has_plain_numbers(texts)
    holds = is_plain & (texts != "null")
    rows = (~is_plain).arg_true()
    if len(rows):
        judged = [is_relaxed_extended_json(text) for text in texts[rows]]
        holds = holds.scatter(rows, pl.Series(judged, dtype=pl.Boolean))
    return holds


def _has_plain_numbers(texts: pl.Series) -> pl.Series:
    """Tells which texts hold no long number but such as polars writes for a double or an integer."""
    numbers = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "number": texts})
    number = pl.col("number")
    odd = (
        numbers.with_columns(number.str.extract_all(_LONG_NUMBER))
        .explode("number")
        .filter(
            (number.cast(pl.Float64, strict=False).cast(pl.String) != number).fill_null(value=True)
            & (number.cast(pl.Int64, strict=False).cast(pl.String) != number).fill_null(value=True)
            & number.is_not_null()
        )
    )
    return ~numbers["row"].is_in(odd["row"].unique().implode())


IS_UUID = Aspect("uuid of version 5 or 7", lambda value: value.str.contains(f"^{_UUID}$"))
IS_TEXT = Aspect("no U+0000", lambda value: ~value.str.contains("\x00", literal=True))
_IS_ONE_DIMENSIONAL = Aspect(
    "array of one dimension",
    lambda value: value.str.replace_all(_QUOTED_ELEMENT, "").str.contains(_ONE_DIMENSION),
)
_HAS_NO_NULL = Aspect(
    "no NULL element",
    lambda value: ~value.str.replace_all(_QUOTED_ELEMENT, "").str.contains(_NULL_ELEMENT),
)
_HOLDS_UUIDS = Aspect(
    "uuids of version 5 or 7",
    lambda value: value.str.replace_all(_UUID, "").str.contains(r"^[{},]*$"),
)
IS_BOOLEAN = Aspect("boolean", lambda value: value.is_in(["t", "f"]))
IS_TIME = Aspect("time in whole milliseconds", lambda value: value.str.contains(_TIMESTAMP))
IS_JSON = Aspect(
    "relaxed Extended JSON, not null",
    lambda value: value.map_batches(_is_json, return_dtype=pl.Boolean),
)
ARE_TEXTS = [IS_TEXT, _IS_ONE_DIMENSIONAL, _HAS_NO_NULL]
ARE_UUIDS = [_IS_ONE_DIMENSIONAL, _HAS_NO_NULL, _HOLDS_UUIDS]


def is_relaxed_extended_json(text: str) -> bool:
    """Tells whether a JSON text can be what relaxed Extended JSON makes of a BSON value, null apart.

    Args:
        text: What PostgreSQL writes for a jsonb value.
    """
    try:
        value = json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refused)
    except (ValueError, RecursionError):
        return False
    return value is not None


def _refused(number: str) -> Any:
    raise ValueError(f"no number of BSON has {len(number)} such digits")


def _number(digits: str) -> Decimal:
    """Returns a number that is an int64, or has every digit of a double in its shortest form."""
    number = Decimal(digits)
    is_int64 = _INT64[0] <= number <= _INT64[1] and number == number.to_integral_value()
    return number if is_int64 or number == Decimal(repr(float(number))) else _refused(digits)
