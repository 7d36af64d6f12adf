"""What a check found: the verdict of a pandera schema, true totals, and a bounded sample of keys.

Evidence goes to logs, metadata and reports, so it holds keys, names and counts, never values.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import pandera.polars as pa
import polars as pl
from pandera.config import ValidationDepth, config_context
from pandera.errors import SchemaErrors

SAMPLE_SIZE = 20
"""Failing keys that are shown; the count is always of all of them."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What there is to say of a layer: attributes of ``Layer``."""

    description: str
    statements: str
    blocks: bool = False
    alone: str = ""
    view: str = ""


class Layer(enum.StrEnum):
    """The checks on every table, by the name of their asset check: one record each.

    Attributes:
        description: What it says, and what to do where it does not pass.
        statements: SQL to look with, which only reads.
        blocks: Whether its failure means that the table itself is not as it was loaded.
        alone: The function that makes it, as ``module:name``: evidence of a source, a connection and a table.
        view: The one that makes it of a comparison of the table with its source; empty where it is no view.
    """

    description: str
    statements: str
    blocks: bool
    alone: str
    view: str

    def __new__(cls, name: str, record: _Record | None = None) -> Self:
        """Makes a layer of its record, or finds one by its name."""
        assert record is not None
        layer = str.__new__(cls, name)
        layer._value_ = name
        for attribute, value in asdict(record).items():
            setattr(layer, attribute, value)
        return layer

    ROW_COUNT = (
        "row_count",
        _Record(
            "The books balance: every document is a row or a rejected document, every value is accounted "
            "for. Red: rows or books were changed after the load; materialize the table again. Yellow: "
            "values were coerced, defaulted or derived without loss, or fields are unknown and kept; "
            "read which.",
            """
SELECT count(*) FROM public.{name};
SELECT source_id, field, reason FROM migration.rejected_documents WHERE target_table = {text};
SELECT collection, field, kind, reason, count FROM migration.conversions
WHERE target_table = {text} ORDER BY count DESC;
SELECT source_id, fields FROM migration.unmapped_fields WHERE target_table = {text};""",
            blocks=True,
            alone="row_count:check_row_count",
        ),
    )
    VALUES = (
        "values",
        _Record(
            "All rows equal what an independent reading of the documents expects, and every change of a "
            "value is on record. Red: look at migration.rejected_documents and migration.issues for this "
            "table, correct the source or add a remediation, materialize the table again.",
            """
SELECT source_id, field, reason FROM migration.rejected_documents WHERE target_table = {text};
SELECT field, kind, reason, count(*) FROM migration.issues
WHERE target_table = {text} AND kind <> 'orphaned' GROUP BY 1, 2, 3 ORDER BY 4 DESC;""",
            view="values:values_evidence",
        ),
    )
    REFERENCES = (
        "references",
        _Record(
            "Every id points to a row, and every reference of the source arrived or is on record. Red: "
            "look at the orphaned ids in migration.issues, correct the source or add a remediation. Yellow: "
            "a pair stands in only one of its two arrays; it is loaded.",
            """
SELECT collection, source_id, field, element, reason FROM migration.issues
WHERE target_table = {text} AND kind = 'orphaned';""",
            view="references:references_evidence",
        ),
    )
    TYPES = (
        "types",
        _Record(
            "Types, enums, ranges, precision, JSON and arrays are as the model says. Red: somebody changed "
            "the table; materialize it again, or restore its definition.",
            """
SELECT column_name, udt_name, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = {text} ORDER BY ordinal_position;""",
            blocks=True,
            alone="types:check_types",
            view="types:types_evidence",
        ),
    )


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
