"""What two sides of a comparison do not agree on: counted in full, kept as a few keys, without values.

Values can be personal, and evidence goes everywhere. A side is shown as a digest under a key that is
forgotten with the run: it tells two sides apart, and says nothing of what they were.
"""

from __future__ import annotations

import enum
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

import pandera.polars as pa
import polars as pl

from migration_assets.validation.books import Entry
from migration_assets.validation.evidence import SAMPLE_SIZE, failure_cases
from migration_assets.validation.key_digest import KeyDigest
from migration_assets.validation.reference import Line

_DIGEST_BYTES = 6


class What(enum.StrEnum):
    """How two sides differ."""

    DIFFERS = "differs"
    MISSING_IN_TARGET = "missing in target"
    MISSING_IN_SOURCE = "missing in source"
    NOT_RECORDED = "not recorded"
    RECORDED_WRONGLY = "recorded but not so"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference, without the values.

    Attributes:
        source_id: The document; None where there is none.
        id: The row, or the two ids of a pair.
        field: The field; None for the whole.
        what: How the sides differ.
        expected: Digest of what the source says; None where it says nothing.
        actual: Digest of what the target holds; None where it holds nothing.
    """

    source_id: str | None
    id: str | None
    field: str | None
    what: What
    expected: str | None
    actual: str | None


@dataclass(slots=True)
class Differences:
    """Differences as they are found.

    Attributes:
        count: How many there were.
        sample: The first of them.
        keys: The keys of all of them.
    """

    count: int = 0
    sample: list[Difference] = field(default_factory=list)
    keys: KeyDigest = field(default_factory=KeyDigest)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def add(
        self,
        what: What,
        *,
        source_id: str | None = None,
        identifier: str | None = None,
        name: str | None = None,
        expected: bytes | None = None,
        actual: bytes | None = None,
    ) -> None:
        """Counts a difference, and keeps its keys while there are few."""
        self.count += 1
        self.keys.add(what, source_id, identifier, name)
        if len(self.sample) < SAMPLE_SIZE:
            masked = self._masked(expected), self._masked(actual)
            self.sample.append(Difference(source_id, identifier, name, what, *masked))

    def add_missing(
        self, lines: Iterable[tuple[Line, Entry | None]], source_id: str, identifier: str
    ) -> None:
        """Adds what should stand in the books of a document, with what stands there instead."""
        for line, other in lines:
            self.add(
                What.NOT_RECORDED,
                source_id=source_id,
                identifier=identifier,
                name=line.field,
                expected=_whole(line.original, line.accepted_by, line.reason),
                actual=None
                if other is None
                else _whole(other.text, other.accepted_by, line.reason and other.reason),
            )

    def add_unfounded(self, entries: Iterable[Entry]) -> None:
        """Adds lines of the books that record what did not happen."""
        for entry in entries:
            self.add(
                What.RECORDED_WRONGLY,
                source_id=entry.source_id,
                name=entry.field,
                actual=entry.text.encode(),
            )

    def frame(self) -> pl.DataFrame:
        """Returns the sample as a frame."""
        return pl.DataFrame([asdict(each) for each in self.sample], schema=_DIFFERENCE_TYPES)

    def _masked(self, value: bytes | None) -> str | None:
        if value is None:
            return None
        return blake2b(value, key=self._key, digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class Total:
    """One number that both sides have to agree on."""

    name: str
    expected: int | None
    actual: int | None


@dataclass(slots=True)
class Comparison:
    """What came out of comparing a table with its source.

    Attributes:
        documents: Documents judged, or arrays for a junction table.
        rows: Rows, or pairs, that must be there.
        differences: Where the sides differ.
        totals: Numbers that they have to agree on.
        sampled: Documents drawn at random, as keys and how many of their fields are equal.
        lines: Lines that must stand in the books, by kind.
        conversions: Lossless conversions by (collection, field, kind).
    """

    documents: int = 0
    rows: int = 0
    differences: Differences = field(default_factory=Differences)
    totals: list[Total] = field(default_factory=list)
    sampled: list[Mapping[str, Any]] = field(default_factory=list)
    lines: Counter[str] = field(default_factory=Counter)
    conversions: Counter[tuple[str, str, str]] = field(default_factory=Counter)


def totals_frame(totals: Iterable[Total]) -> pl.DataFrame:
    """Returns totals as a frame."""
    return pl.DataFrame([asdict(each) for each in totals], schema=_TOTAL_TYPES)


def totals_of(name: str, expected: Mapping[Any, int], actual: Mapping[Any, int]) -> list[Total]:
    """Returns a total for each key that either side has; one without a number counts 0.

    Args:
        name: What is counted, before the parts of the key.
        expected: The numbers of one side; a key is a text or a tuple of texts.
        actual: The numbers of the other.
    """
    return [
        Total(f"{name} {_words(key)}", expected.get(key, 0), actual.get(key, 0))
        for key in sorted(expected.keys() | actual.keys())
    ]


def failing(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Returns the rows of a frame that a schema finds wrong, each once."""
    cases = failure_cases(schema, frame)
    if cases.is_empty():
        return []
    wrong = cases["index"].cast(pl.Int64)
    if wrong.null_count():
        # The frame as a whole is not as the schema says.
        return cases.select("column", "check").to_dicts()
    chosen: Sequence[int] = wrong.unique(maintain_order=True).to_list()
    return [frame.row(index, named=True) for index in chosen]


def _whole(text: str, accepted_by: str | None, reason: str | None) -> bytes:
    """Returns a line of the books as bytes that differ where the line does."""
    return "\0".join([text, accepted_by or "", reason or ""]).encode()


def _words(key: Any) -> str:
    return key if isinstance(key, str) else " ".join(map(str, key))


def _sides_agree(data: pa.PolarsData) -> pl.LazyFrame:
    # A missing side is a difference.
    agree = pl.col("expected").eq(pl.col("actual")).fill_null(value=False)
    return data.lazyframe.select(agree)


_DIFFERENCE_TYPES: Mapping[str, Any] = dict.fromkeys(
    ("source_id", "id", "field", "what", "expected", "actual"), pl.String
)
_TOTAL_TYPES: Mapping[str, Any] = {
    "name": pl.String,
    "expected": pl.Int64,
    "actual": pl.Int64,
}

DIFFERENCES = pa.DataFrameSchema(
    {name: pa.Column(dtype, nullable=name != "what") for name, dtype in _DIFFERENCE_TYPES.items()},
    checks=[pa.Check(_sides_agree, name="both sides are the same")],
    strict=True,
)
"""The schema of differences: what the source says is what the target holds, and neither is missing."""

TOTALS = pa.DataFrameSchema(
    {name: pa.Column(dtype, nullable=name != "name") for name, dtype in _TOTAL_TYPES.items()},
    checks=[pa.Check(_sides_agree, name="both sides are the same")],
    strict=True,
)
"""The schema of totals: both sides count the same, and neither is missing."""
