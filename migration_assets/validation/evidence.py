"""What a check found: the verdict of a pandera schema, true totals, and a bounded sample of keys.

Evidence goes to logs, metadata and reports, so it holds keys, names and counts, never values.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors

SAMPLE_SIZE = 20
"""Failing keys that are shown; the count is always of all of them."""


class Layer(enum.StrEnum):
    """The four checks on every table, by the name of their asset check."""

    ROW_COUNT = "row_count"
    VALUES = "values"
    REFERENCES = "references"
    TYPES = "types"


class Severity(enum.StrEnum):
    """What a failed check means: an error blocks the sign-off, a warning informs."""

    ERROR = "ERROR"
    WARN = "WARN"


@dataclass(frozen=True, slots=True)
class Evidence:
    """The result of one check of one table.

    Attributes:
        table: The table.
        layer: Which check.
        passed: The verdict of the schema.
        severity: What it means when it did not pass.
        is_sound: The books balance and the table is as it was loaded. A check can fail without that
            (the source's own data is at fault); where it is false, only a new load helps.
        summary: One line in words.
        next_step: What to do, empty where it passed.
        counts: Totals, by name.
        failures: How many failure cases there are in all.
        sample: Some of them, as keys and names; at most SAMPLE_SIZE.
        rows: Which they are, all of them, as a digest of their keys; empty where there are none.
        seconds: How long each phase took.
    """

    table: str
    layer: Layer
    passed: bool
    severity: Severity
    summary: str
    is_sound: bool = True
    next_step: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: int = 0
    sample: Sequence[Mapping[str, Any]] = ()
    rows: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Returns the evidence as JSON has it."""
        return asdict(self)


@dataclass(slots=True)
class Phases:
    """How long each phase of a check took, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time within to a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


_NO_CASES = pl.DataFrame(
    schema={
        "column": pl.String,
        "check": pl.String,
        "failure_case": pl.String,
        "index": pl.Int64,
    }
)


def failure_cases(schema: pa.DataFrameSchema, frame: pl.DataFrame) -> pl.DataFrame:
    """Returns what a schema finds wrong with a frame: column, check, failure_case, index.

    The frame must be eager: pandera skips value checks on a LazyFrame. One without rows has nothing that
    could be wrong.
    """
    if frame.is_empty():
        return _NO_CASES
    # Pandera can be told by environment variables to check nothing; a verdict must not be.
    always = config_context(
        validation_enabled=True, validation_depth=ValidationDepth.SCHEMA_AND_DATA
    )
    try:
        with always:
            schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases: pl.DataFrame = errors.failure_cases
        return cases
    return _NO_CASES
