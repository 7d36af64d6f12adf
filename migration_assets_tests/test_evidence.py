"""The verdict of a schema cannot be switched off from outside."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_VERDICT = """
import pandera.polars as pa, polars as pl
from migration_assets.validation.evidence import failure_cases
schema = pa.DataFrameSchema({"n": pa.Column(pl.Int64, pa.Check.ge(0))})
print(len(failure_cases(schema, pl.DataFrame({"n": [1, -1]}))))
"""


@pytest.mark.parametrize(
    "switched",
    [{}, {"PANDERA_VALIDATION_ENABLED": "False"}, {"PANDERA_VALIDATION_DEPTH": "SCHEMA_ONLY"}],
    ids=str,
)
def test_a_failure_is_found_whatever_the_environment_says(switched: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _VERDICT],
        env=os.environ | switched,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"
