"""What the check ``references`` finds: references that are not in order, and the schemas that say so."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from migration_assets.validation.evidence import SAMPLE_SIZE, failure_cases
from migration_assets.validation.key_digest import KeyDigest


class What(enum.StrEnum):
    """What is wrong with a reference."""

    LOST = "lost"
    """The source has it, the target does not, and nothing is recorded."""
    DIFFERENT = "different"
    """The target has another one in its place, or has them in another order."""
    INVENTED = "invented"
    """The target has one that the source does not have."""
    DANGLING = "dangling"
    """It points to no row."""
    GONE = "gone"
    """It points to a row whose document is gone from the source."""
    STALE = "stale"
    """It is recorded as orphaned, but what it points to is a row by now."""
    UNRECORDED = "unrecorded"
    """It is kept as text, points to no document, and that is not recorded."""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A reference that is not in order.

    Attributes:
        source_id: The document that holds it; None where only the row is known.
        id: The row; of a pair, the ids of both rows.
        field: The field, or the column where only the row is known.
        what: What is wrong.
        source: The UUID that it should be; None where the source has none.
        target: What it is; None where the target has none.
        points_to_row: Whether it leads to a row, or to a document where it is held as text.
    """

    source_id: str | None
    id: str
    field: str
    what: What
    source: str | None
    target: str | None
    points_to_row: bool


def _as_in_source(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key) == pl.col("source"))


UNRESOLVED = pa.DataFrameSchema(
    {
        "source_id": pa.Column(pl.String, nullable=True),
        "id": pa.Column(pl.String),
        "field": pa.Column(pl.String),
        "what": pa.Column(pl.String),
        "source": pa.Column(pl.String),
        "target": pa.Column(pl.String, pa.Check(_as_in_source, name="as in the source")),
        "points_to_row": pa.Column(pl.Boolean, pa.Check.eq(True)),
    },
    name="references that are not in order",
)
"""The verdict on references that may not be in order: a missing side is a difference (section 9)."""


def _is_none(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col("count").eq(0).fill_null(value=False))


TOTALS = pa.DataFrameSchema(
    checks=[pa.Check(_is_none, name="there is none")], name="references of a table"
)
"""The verdict on a table: nothing unresolved, nothing orphaned, no pair on one side only."""

_TOTALS = ("unresolved", "orphaned", "asymmetric")
_KEYS = ("source_id", "id", "field", "what")
_DTYPES = {
    "source_id": pl.String,
    "id": pl.String,
    "field": pl.String,
    "what": pl.String,
    "source": pl.String,
    "target": pl.String,
    "points_to_row": pl.Boolean,
}


@dataclass(slots=True)
class Findings:
    """What was found so far: totals, and a sample of keys; never a value.

    Attributes:
        counts: Totals, by name.
        kinds: How many references are not in order, by what is wrong.
        sample: The keys of some of them.
        asymmetric: The keys of some pairs that only one of two arrays has.
        keys: The keys of all references that are not in order.
    """

    counts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    sample: list[dict[str, Any]] = field(default_factory=list)
    asymmetric: list[dict[str, Any]] = field(default_factory=list)
    keys: KeyDigest = field(default_factory=KeyDigest)

    def judge(self, found: Iterable[Unresolved]) -> None:
        """Takes in references that may not be in order: the schema decides."""
        lines = [
            (
                each.source_id,
                each.id,
                each.field,
                each.what.value,
                each.source,
                each.target,
                each.points_to_row,
            )
            for each in found
        ]
        if not lines:
            return
        frame = pl.DataFrame(lines, schema=_DTYPES, orient="row")
        rows = failure_cases(UNRESOLVED, frame)["index"].drop_nulls().unique().sort()
        failed = frame[rows]
        self.kinds.update(failed["what"].to_list())
        for row in failed.select(_KEYS).rows():
            self.keys.add(*row)
        self.sample += failed.head(self.room).select(_KEYS).to_dicts()

    @property
    def unresolved(self) -> int:
        """How many references are not in order."""
        return sum(self.kinds.values())

    @property
    def room(self) -> int:
        """How many more keys the sample takes."""
        return SAMPLE_SIZE - len(self.sample)

    def failed(self) -> frozenset[str]:
        """Returns which of the totals fail the table."""
        counts = {**self.counts, "unresolved": self.unresolved}
        frame = pl.DataFrame(
            {"total": _TOTALS, "count": [counts.get(total, 0) for total in _TOTALS]},
            schema={"total": pl.String, "count": pl.Int64},
        )
        rows = failure_cases(TOTALS, frame)["index"].drop_nulls()
        return frozenset(frame[rows]["total"].to_list())
