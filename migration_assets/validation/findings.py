"""What a comparison of a table with its source finds: counted in full, kept as a few keys, without values.

One record for all that can be wrong, one accumulator, one verdict; the checks ``values`` and ``references``
are views of them. Values can be personal, and evidence goes everywhere. A side is shown as a digest under a
key that is forgotten with the run: it tells two sides apart, and says nothing of what they were.
"""

from __future__ import annotations

import enum
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import pandera.polars as pa
import polars as pl

from migration_assets.validation.evidence import SAMPLE_SIZE, failure_cases
from migration_assets.validation.key_digest import KeyDigest

Kind = TypeVar("Kind")

_DIGEST_BYTES = 6


class What(enum.StrEnum):
    """What is wrong with a row, a value or a line of the books: for ``values``."""

    DIFFERS = "differs"
    """The target holds another value."""
    MISSING_IN_TARGET = "missing in target"
    """A row, or a pair, is not there."""
    MISSING_IN_SOURCE = "missing in source"
    """A row, or a pair, stands for nothing."""
    LEADS_NOWHERE = "leads nowhere"
    """A reference points to no row, or to one whose document is gone."""
    NOT_RECORDED = "not recorded"
    """A loss is not in the books, or with another original."""
    RECORDED_WRONGLY = "recorded but not so"
    """The books have a loss that was none."""


class Fault(enum.StrEnum):
    """What is wrong with a reference: for ``references``."""

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


@dataclass(slots=True)
class CountedFindings(Generic[Kind]):
    """What is wrong, as it is found, without the values.

    Attributes:
        kinds: How much there was, by what is wrong.
        sample: The first of it, as keys and names.
        keys: The keys of all of it.
    """

    kinds: Counter[Kind] = field(default_factory=Counter)
    sample: list[dict[str, Any]] = field(default_factory=list)
    keys: KeyDigest = field(default_factory=KeyDigest)

    @property
    def count(self) -> int:
        """How much there was."""
        return self.kinds.total()

    def note(self, kind: Kind, key: Sequence[object], line: Mapping[str, Any]) -> None:
        """Counts something that is wrong, and keeps its line while there are few."""
        self.kinds[kind] += 1
        self.keys.add(*key)
        if len(self.sample) < SAMPLE_SIZE:
            self.sample.append({**line})

    def join(self, others: CountedFindings[Kind]) -> None:
        """Takes in what was found of another part."""
        self.kinds.update(others.kinds)
        self.keys.total += others.keys.total
        self.sample += others.sample[: SAMPLE_SIZE - len(self.sample)]


@dataclass(slots=True)
class Findings(CountedFindings[str]):
    """What is wrong with rows, values and books, or with references.

    A line of the sample has ``source_id``, ``id``, ``field``, ``what``, and digests of what is ``expected``
    and ``actual``; None for what is not known or not there.
    """

    _key: bytes = field(default_factory=lambda: secrets.token_bytes(16), repr=False)

    def add(
        self,
        what: What | Fault,
        *,
        source_id: str | None = None,
        identifier: str | None = None,
        name: str | None = None,
        expected: bytes | None = None,
        actual: bytes | None = None,
    ) -> None:
        """Counts a finding, and keeps its keys while there are few.

        Args:
            what: What is wrong.
            source_id: The document; None where it is not known.
            identifier: The row, or the two ids of a pair.
            name: The field, or the column where only that is known; None for the whole.
            expected: What the source says; None where it says nothing.
            actual: What the target holds; None where it holds nothing.
        """
        kind = what.value  # evidence goes where a text is known and an enum is not
        line = {"source_id": source_id, "id": identifier, "field": name, "what": kind}
        sides = {"expected": self._masked(expected), "actual": self._masked(actual)}
        self.note(kind, (kind, source_id, identifier, name), line | sides)

    def totals(self, kinds: type[What] | type[Fault]) -> list[Total]:
        """Returns how many there are of each kind, where there must be none."""
        return [Total(kind.value, 0, self.kinds[kind.value]) for kind in kinds]

    def _masked(self, value: bytes | None) -> str | None:
        if value is None:
            return None
        return blake2b(value, key=self._key, digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(slots=True)
class TypeFindings(CountedFindings[tuple[str, str]]):
    """What is wrong with types, by column and check.

    Attributes:
        rows: Rows that were looked at.
        columns: Columns of the definition that was looked at.
    """

    rows: int = 0
    columns: int = 0


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
        unequal: Rows, or pairs, of which the sides do not agree, by the schema.
        pairs: Pairs that are there, for a junction table.
        references: References that the source has.
        asymmetric: Pairs of the table that only one of its two arrays has.
        values: What is wrong with rows, values and books.
        faults: What is wrong with references.
        totals: Numbers that both sides have to agree on.
        sampled: Documents drawn at random, as keys and how many of their fields are equal.
        asymmetric_sample: Keys of some asymmetric pairs.
        lines: Lines that must stand in the books, by kind.
        conversions: Lossless conversions by (collection, field, kind).
        recorded: Lines in the books by kind.
        accepted: Those of them that a remediation accepts.
        orphaned: Keys of some references on record as orphaned that nobody accepts.
        types: What the rows say of their types, where these were asked for and all of them were read.
        rows_found: Rows that documents have.
        odd_types: Values of unusual BSON types, by field and type.
        lines_taken: Lines in the books that documents have.
        all_lines: All lines in the books, whatever part was compared.
    """

    documents: int = 0
    rows: int = 0
    unequal: int = 0
    pairs: int = 0
    references: int = 0
    asymmetric: int = 0
    values: Findings = field(default_factory=Findings)
    faults: Findings = field(default_factory=Findings)
    totals: list[Total] = field(default_factory=list)
    sampled: list[Mapping[str, Any]] = field(default_factory=list)
    asymmetric_sample: list[Mapping[str, Any]] = field(default_factory=list)
    lines: Counter[str] = field(default_factory=Counter)
    conversions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    recorded: Mapping[str, int] = field(default_factory=dict)
    accepted: Mapping[str, int] = field(default_factory=dict)
    orphaned: list[Mapping[str, Any]] = field(default_factory=list)
    types: TypeFindings | None = None
    rows_found: int = 0
    odd_types: Counter[tuple[str, str]] = field(default_factory=Counter)
    lines_taken: int = 0
    all_lines: int = 0

    def join(self, other: Comparison) -> None:
        """Takes in what came out of another part of the collection, the totals of all of it apart."""
        for name in ("documents", "rows", "unequal", "references", "rows_found", "lines_taken"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lines.update(other.lines)
        self.conversions.update(other.conversions)
        self.odd_types.update(other.odd_types)
        self.all_lines = other.all_lines
        self.values.join(other.values)
        self.faults.join(other.faults)
        self.sampled += other.sampled
        if self.types is not None and other.types is not None:
            self.types.join(other.types)
            self.types.rows += other.types.rows


def totals_frame(totals: Iterable[Total]) -> pl.DataFrame:
    """Returns totals as a frame."""
    return pl.DataFrame([asdict(total) for total in totals], schema=_TOTAL_TYPES)


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
    return frame[failing_rows(schema, frame)].to_dicts()


def failing_rows(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> list[int]:
    """Returns the numbers of the rows of a frame that a schema finds wrong, each once.

    Raises:
        ValueError: The frame as a whole is not as the schema says.
    """
    cases = failure_cases(schema, frame)
    if cases["index"].null_count():
        raise ValueError(f"the frame is not as its schema says: {cases['check'].to_list()}")
    rows: list[int] = cases["index"].cast(pl.Int64).unique(maintain_order=True).to_list()
    return rows


def _words(key: Any) -> str:
    return key if isinstance(key, str) else " ".join(map(str, key))


def _sides_agree(data: pa.PolarsData) -> pl.LazyFrame:
    """Tells where two sides are the same; a missing side is a difference (section 9)."""
    agree = pl.col("expected").eq(pl.col("actual")).fill_null(value=False)
    return data.lazyframe.select(agree)


_TOTAL_TYPES: Mapping[str, Any] = {
    "name": pl.String,
    "expected": pl.Int64,
    "actual": pl.Int64,
}

TOTALS = pa.DataFrameSchema(checks=[pa.Check(_sides_agree, name="both sides are the same")])
"""The verdict on all totals, those of findings among them: both sides count the same, none is missing."""
