"""The benchmark runs and its figures follow from its measurements; how fast it is no test asks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from migration_assets_bench.chart import svg
from migration_assets_bench.figures import figures, ratios
from migration_assets_bench.process import ProcessFailedError, run
from migration_assets_bench.report import BEGIN, END, tables, write_into
from migration_assets_bench.results import Results
from migration_assets_bench.tasks import Measurement
from migration_assets_tests import ROOT


def measured(
    name: str,
    seconds: float,
    *,
    number: int = 1,
    scale: float = 1.0,
    problem: str | None = None,
    peak: float = 100.0,
) -> Measurement:
    return Measurement(
        name=name,
        scale=scale,
        number=number,
        seconds=seconds,
        process_seconds=seconds + 1,
        cpu_seconds=seconds,
        server_seconds=seconds,
        peak_megabytes=peak,
        load_average=0.5,
        stages={"tables": seconds},
        problem=problem,
    )


def results(measurements: list[Measurement], documents: dict[float, int]) -> Results:
    return Results(
        made_at="2026-01-01T00:00:00Z",
        machine={"processor": "one & all", "cores": "2"},
        versions={"PostgreSQL": "18.6"},
        repeats=3,
        documents=documents,
        load_average=(0.1, 0.5),
        notes=("Sling: as it is.",),
        ratios=tuple(ratios(measurements, documents)),
        figures=tuple(figures(measurements, documents)),
        measurements=tuple(measurements),
    )


@pytest.mark.server
@pytest.mark.slow
def test_a_small_run_measures_and_verifies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "migration_assets_bench", "--scales", "0.01", "--repeat", "1"]
    options = [
        "--no-peers",
        "--only",
        "floor",
        "load",
        "sources",
        "--work",
        str(tmp_path / "work"),
    ]
    ended = subprocess.run(
        [*command, *options, "--results", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (file,) = tmp_path.glob("bench-*.json")
    report = json.loads(file.read_text())
    assert {ratio["name"] for ratio in report["ratios"]} == {
        "load ÷ floor",
        "rerun ÷ load",
        "rerun, 1 % changed ÷ load",
        *(
            f"{what}{work}, {source} ÷ clean"
            for what in ("", "memory of the ")
            for work in ("load", "checks")
            for source in ("ids as texts", "5 % dirty")
        ),
    }
    by_name = {measurement["name"]: measurement for measurement in report["measurements"]}
    assert [measurement["problem"] for measurement in by_name.values()] == [None] * 10
    assert by_name["rerun"]["counts"]["written"] == 0
    assert by_name["rerun, 1 % changed"]["counts"]["written"] > 0
    assert by_name["load"]["peak_megabytes"] > 50
    assert file.with_suffix(".svg").exists()
    assert not (tmp_path / "work" / "servers").exists()


def test_a_ratio_is_taken_within_a_round() -> None:
    rounds = [(7.5, 5.0), (30.0, 10.0), (6.0, 4.0)]
    measurements = [
        measured(name, seconds, number=number)
        for number, pair in enumerate(rounds, start=1)
        for name, seconds in zip(("load", "floor"), pair, strict=True)
    ]
    (ratio,) = ratios(measurements, {1.0: 27_000})
    assert (ratio.spread.lowest, ratio.spread.median, ratio.spread.highest) == (1.5, 1.5, 3.0)
    assert ratio.is_met


def test_large_sizes_are_compared_by_rate_and_memory() -> None:
    measurements = [
        measured("load", 2.0, scale=1.0, peak=200.0),
        measured("load", 10.0, scale=10.0, peak=300.0),
        measured("load", 125.0, scale=100.0, peak=312.0),
    ]
    sizes = {1.0: 30_000, 10.0: 300_000, 100.0: 3_000_000}
    rate, memory = ratios(measurements, sizes)
    assert rate.scale == memory.scale == 100.0
    assert rate.spread.median == pytest.approx(0.8)
    assert not rate.is_met
    assert memory.spread.median == pytest.approx(1.04)
    assert memory.is_met


def test_what_was_not_verified_is_not_quoted() -> None:
    measurements = [
        measured("floor", 1.0, number=1),
        measured("load", 2.0, number=1),
        measured("floor", 1.0, number=2),
        measured("load", 77.0, number=2, problem="Users has 1 of 2 rows"),
    ]
    summary = results(measurements, {1.0: 27_000})
    text = tables(summary)
    assert summary.ratios == ()
    assert "*load* is not quoted: Users has 1 of 2 rows." in text
    assert "77" not in text
    assert "load" not in svg(summary)


def test_the_figures_of_a_page_are_replaced(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_into(page, "new\n")
    write_into(page, "newer\n")
    assert page.read_text() == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match=r"performance\.md has no place"):
        write_into(page, "new")


def test_the_page_of_the_project_has_a_place_for_figures() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert text.index(BEGIN) < text.index(END)


def test_the_picture_is_valid_and_escaped() -> None:
    picture = svg(results([measured("load", 2.0)], {1.0: 27_000}))
    assert picture.startswith("<svg ")
    assert "one &amp; all" in picture
    assert "9,000" in picture


def test_a_failed_process_says_its_cause() -> None:
    code = "raise ValueError('first') from KeyError('cause')"
    with pytest.raises(ProcessFailedError, match=r"it ended with 1: KeyError: 'cause'"):
        run([sys.executable, "-c", code], what="it")
