"""The model as pandera schemas: what the columns of a table, and the values in them, have to be.

``table_schema`` is for the rows of a table as PostgreSQL writes them: every column is text, so whatever
somebody made of a column's type can still be read and judged. ``CATALOG`` is for the definition of the
table, a line for each column (``catalog_frame``). The checks are polars expressions; only JSON that
may hold a wrapper or a long number is looked at value by value.

pandera copies the columns of a schema, then looks at one check of one column after the other. So rows are
judged by ``sound_schema`` first, which has all checks in one expression; only where that fails does
``table_schema`` say which values of which columns it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandera.polars as pa
import polars as pl
import sqlalchemy as sa
from pandera.api.polars.types import PolarsData
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import Missing, Rule, Source, junction_of, source_of
from migration_assets.validation.json_shapes import is_relaxed_extended_json

_DIALECT = pg.dialect()  # type: ignore[no-untyped-call]

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[57][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_TIMESTAMP = r"^[0-9]{4,6}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?( BC)?$"
_QUOTED_ELEMENT = r'"(?:[^"\\]|\\[\s\S])*"'
_ONE_DIMENSION = r"^\{[^{}]*\}$"
_NULL_ELEMENT = r"[{,]NULL[,}]"
_LONG_NUMBER = "-?[0-9][0-9.]{15,}"
"""16 digits or more: a number of fewer is that of a double in any case."""

_INTEGER_BITS = {Rule.INTEGER: 32, Rule.BIGINT: 64}


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """How a column is defined, in the words of PostgreSQL's catalog.

    Attributes:
        column: Its name.
        type: As ``format_type`` writes it.
        not_null: Whether it is NOT NULL.
        default: The literal or ``CURRENT_TIMESTAMP``; None for none.
        key: Its position in the primary key, from 1; None where it is not in it.
        labels: The labels of its enum in order, as one text; None where it has none.
    """

    column: str
    type: str
    not_null: bool
    default: str | None
    key: int | None
    labels: str | None


CATALOG_TYPES: Mapping[str, type[pl.DataType]] = {
    "type": pl.String,
    "not_null": pl.Boolean,
    "default": pl.String,
    "key": pl.Int64,
    "labels": pl.String,
}
"""What is compared of the definition of a column."""


def _as_in_model(data: PolarsData) -> pl.LazyFrame:
    same = [pl.col(name).eq_missing(pl.col(f"model_{name}")) for name in CATALOG_TYPES]
    return data.lazyframe.select(pl.all_horizontal(same))


CATALOG = pa.DataFrameSchema(
    checks=[pa.Check(_as_in_model, name="as in the model")], name="definition of a table"
)
"""The verdict on the definition of a table; a column that one side does not have is a difference."""


def catalog_frame(table: sa.Table, found: Iterable[ColumnDefinition]) -> pl.DataFrame:
    """Returns what ``CATALOG`` judges: a line for each column, as it is and as the model has it.

    Args:
        table: The table.
        found: The columns that the target has.
    """
    actual = {each.column: each for each in found}
    wanted = {each.name: definition(each) for each in table.columns}
    lines = {
        name: [
            name,
            *(getattr(actual.get(name), each, None) for each in CATALOG_TYPES),
            *(getattr(wanted.get(name), each, None) for each in CATALOG_TYPES),
        ]
        for name in (*wanted, *actual)
    }
    of_model = {f"model_{name}": dtype for name, dtype in CATALOG_TYPES.items()}
    return pl.DataFrame(
        list(lines.values()),
        schema={"column": pl.String, **CATALOG_TYPES, **of_model},
        orient="row",
    )


def definition(column: sa.Column[object]) -> ColumnDefinition:
    """Returns how the model has a column defined."""
    default = column.server_default
    key = list(column.table.primary_key.columns)
    return ColumnDefinition(
        column=column.name,
        type=type_of(column),
        not_null=not column.nullable,
        default=str(default.arg) if isinstance(default, sa.DefaultClause) else None,
        key=key.index(column) + 1 if column.primary_key else None,
        labels=", ".join(column.type.enums) if isinstance(column.type, pg.ENUM) else None,
    )


def type_of(column: sa.Column[object]) -> str:
    """Returns the type of a column as ``format_type`` of PostgreSQL writes it."""
    if isinstance(column.type, pg.ENUM):
        return str(_DIALECT.identifier_preparer.quote(str(column.type.name)))
    return str(column.type.compile(dialect=_DIALECT)).lower()


def table_schema(table: sa.Table, columns: Collection[str] | None = None) -> pa.DataFrameSchema:
    """Returns the schema of a table's rows, each column as PostgreSQL writes it as text.

    The column's description is its type in PostgreSQL; what its values have to be are its checks, each
    in words.

    Args:
        table: Any table of the model.
        columns: The columns that are judged; all where None.
    """
    return pa.DataFrameSchema(
        {
            column.name: pa.Column(
                pl.String,
                [_check(each) for each in _aspects(column)],
                nullable=_is_nullable(column),
                description=type_of(column),
            )
            for column in _chosen(table, columns)
        },
        name=table.name,
        strict=True,
    )


def sound_schema(table: sa.Table, columns: Collection[str] | None = None) -> pa.DataFrameSchema:
    """Returns a schema that rows pass where they pass ``table_schema``: one check has all of its checks.

    It looks at all values in one pass, and does not say which of them fail.

    Args:
        table: Any table of the model.
        columns: The columns that are judged; all where None.
    """
    held = list(_held(_chosen(table, columns)))

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.all_horizontal(held))

    return pa.DataFrameSchema(
        checks=[pa.Check(holds, name="as in the model", n_failure_cases=1)], name=table.name
    )


def _chosen(table: sa.Table, columns: Collection[str] | None) -> list[sa.Column[object]]:
    return [each for each in table.columns if columns is None or each.name in columns]


def _held(columns: Iterable[sa.Column[object]]) -> Iterator[pl.Expr]:
    """Yields what has to hold for every row: each aspect of each column, and NOT NULL."""
    for column in columns:
        value = pl.col(column.name)
        if not _is_nullable(column):
            yield value.is_not_null()
        for aspect in _aspects(column):
            yield aspect.holds(value)


@dataclass(frozen=True, slots=True)
class _Aspect:
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


def _aspects(column: sa.Column[object]) -> list[_Aspect]:
    if junction_of(column.table) is not None:
        return [_IS_UUID]
    source = source_of(column)
    return _ASPECTS[source.rule](source)


def _is_nullable(column: sa.Column[object]) -> bool:
    if junction_of(column.table) is not None:
        return False
    return bool(column.nullable) and source_of(column).missing is not Missing.EMPTY_ARRAY


def _check(aspect: _Aspect) -> pa.Check:
    """Returns an aspect as a check of pandera."""

    def holds(data: PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(aspect.holds(pl.col(data.key)))

    return pa.Check(holds, name=aspect.words, error=aspect.words)


def _integer(source: Source) -> list[_Aspect]:
    bits = _INTEGER_BITS[source.rule]
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return [
        _Aspect(
            f"integer of {bits} bits",
            lambda value: value.cast(pl.Int64, strict=False).is_between(low, high),
        )
    ]


def _label(source: Source) -> list[_Aspect]:
    return [_Aspect("label of the enum", lambda value: value.is_in(source.labels))]


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


_IS_UUID = _Aspect("uuid of version 5 or 7", lambda value: value.str.contains(f"^{_UUID}$"))
_IS_TEXT = _Aspect("no U+0000", lambda value: ~value.str.contains("\x00", literal=True))
_IS_ONE_DIMENSIONAL = _Aspect(
    "array of one dimension",
    lambda value: value.str.replace_all(_QUOTED_ELEMENT, "").str.contains(_ONE_DIMENSION),
)
_HAS_NO_NULL = _Aspect(
    "no NULL element",
    lambda value: ~value.str.replace_all(_QUOTED_ELEMENT, "").str.contains(_NULL_ELEMENT),
)
_HOLDS_UUIDS = _Aspect(
    "uuids of version 5 or 7",
    lambda value: value.str.replace_all(_UUID, "").str.contains(r"^[{},]*$"),
)
_TEXTS = [_IS_TEXT, _IS_ONE_DIMENSIONAL, _HAS_NO_NULL]

_ASPECTS: Mapping[Rule, Callable[[Source], list[_Aspect]]] = {
    Rule.KEY: lambda _: [_IS_UUID],
    Rule.TEXT: lambda _: [_IS_TEXT],
    Rule.INTEGER: _integer,
    Rule.BIGINT: _integer,
    Rule.BOOLEAN: lambda _: [_Aspect("boolean", lambda value: value.is_in(["t", "f"]))],
    Rule.TIMESTAMP: lambda _: [
        _Aspect("time in whole milliseconds", lambda value: value.str.contains(_TIMESTAMP))
    ],
    Rule.ENUM: _label,
    Rule.JSON: lambda _: [
        _Aspect(
            "relaxed Extended JSON, not null",
            lambda value: value.map_batches(_is_json, return_dtype=pl.Boolean),
        )
    ],
    Rule.TEXT_ARRAY: lambda _: _TEXTS,
    Rule.REFERENCE: lambda _: [_IS_UUID],
    Rule.REFERENCE_ARRAY: lambda _: [_IS_ONE_DIMENSIONAL, _HAS_NO_NULL, _HOLDS_UUIDS],
    Rule.REFERENCE_TEXT: lambda _: [_IS_TEXT],
    Rule.REFERENCE_TEXT_ARRAY: lambda _: _TEXTS,
}
"""What the values of a column have to be, by the rule that they were converted by (section 5)."""
