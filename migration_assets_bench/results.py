"""The results of a run: what is written as JSON, and what pages and pictures are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from migration_assets_bench.figures import Figure, Ratio
from migration_assets_bench.tasks import Measurement


@dataclass(frozen=True, slots=True)
class Results:
    """All of a run.

    Attributes:
        made_at: When, in UTC.
        machine: Processor, cores, memory, system.
        versions: Of servers, packages and peers.
        repeats: How often everything was measured.
        documents: How many documents each size has.
        load_average: The lowest and the highest before a measurement: how quiet the machine was.
        notes: How the peers were used, and why one is missing.
        ratios: Ratios and differences.
        figures: What each kind of work took.
        measurements: All that was measured.
    """

    made_at: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    repeats: int
    documents: Mapping[float, int]
    load_average: tuple[float, float]
    notes: tuple[str, ...]
    ratios: tuple[Ratio, ...]
    figures: tuple[Figure, ...]
    measurements: tuple[Measurement, ...]

    def write(self, file: Path) -> None:
        """Writes the results as JSON."""
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        file.write_text(f"{text}\n", encoding="utf-8")
