"""The verdict of a schema: nothing outside can switch it off, and no rows give no failures."""

from __future__ import annotations

import os
import subprocess
import sys

import pandera.polars as pa
import polars as pl
import pytest

from migration_assets.validation.evidence import failure_cases

_VERDICT = """
import pandera.polars as pa, polars as pl
from migration_assets.validation.evidence import failure_cases
schema = pa.DataFrameSchema({"n": pa.Column(pl.Int64, pa.Check.ge(0))})
print(len(failure_cases(schema, pl.DataFrame({"n": [1, -1]}))))
"""


@pytest.mark.parametrize(
    "switched",
    [{"PANDERA_VALIDATION_ENABLED": "False"}, {"PANDERA_VALIDATION_DEPTH": "SCHEMA_ONLY"}],
    ids=str,
)
def test_a_failure_is_found_whatever_the_environment_says(switched: dict[str, str]) -> None:
    completed = subprocess.run(
        [sys.executable, "-c", _VERDICT],
        env=os.environ | switched,
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.strip() == "1"


def test_what_is_returned_has_the_same_columns_with_and_without_failures() -> None:
    schema = pa.DataFrameSchema({"n": pa.Column(pl.Int64, pa.Check.ge(0))})
    numbers = pl.DataFrame({"n": [1, -1]})
    failed = failure_cases(schema, numbers)
    assert failed["index"].to_list() == [1]
    for frame in (numbers[:0], numbers[:1]):
        cases = failure_cases(schema, frame)
        assert cases.is_empty()
        assert set(cases.columns) <= set(failed.columns)
