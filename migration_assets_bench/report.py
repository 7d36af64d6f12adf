"""The results as tables in Markdown, which a terminal shows as well: ratios first, then what they are of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from migration_assets_bench.figures import Figure, Spread
from migration_assets_bench.results import Results

BEGIN = "<!-- figures: written by `make bench DOCS=1` -->"
END = "<!-- end of the figures -->"

_HEADS = (
    "",
    "work, s",
    "process, s",
    "lowest-highest",
    "its CPU, s",
    "servers' CPU, s",
    "documents/s",
    "peak MB",
)

_LEAST_SECONDS = 0.05
"""Seconds below which a stage is not shown."""


def tables(results: Results) -> str:
    """Returns ratios, figures, stages, and what they were measured on."""
    parts = ["### Ratios", _ratios(results)]
    for scale, documents in results.documents.items():
        figures = [figure for figure in results.figures if figure.scale == scale]
        parts += [f"### {documents:,} documents", _figures(figures)]
        parts += [line for figure in figures for line in _words(figure)]
    parts += ["### Machine and versions", _machine(results), *results.notes]
    return "\n\n".join(parts) + "\n"


def write_into(page: Path, text: str) -> None:
    """Replaces the figures of a page, which stand between two marks.

    Raises:
        ValueError: The page does not have the marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page.name} has no place for the figures: {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def _ratios(results: Results) -> str:
    lines = [
        (
            ratio.name,
            f"{results.documents[ratio.scale]:,}",
            f"**{ratio.spread.median:.2f} {ratio.unit}**",
            _range(ratio.spread, 2),
            ratio.target,
            "yes" if ratio.is_met else "no",
        )
        for ratio in sorted(results.ratios, key=lambda each: -each.scale)
    ]
    return _table(("ratio", "documents", "median", "lowest-highest", "target", "met"), lines)


def _figures(figures: Iterable[Figure]) -> str:
    lines = []
    for figure in figures:
        taken = figure.taken
        if taken is None:
            lines.append((figure.name, "not quoted", *[""] * 6))
            continue
        lines.append(
            (
                figure.name,
                f"{taken.seconds.median:.2f}",
                f"{taken.process_seconds.median:.2f}",
                _range(taken.process_seconds, 2),
                f"{taken.cpu_seconds.median:.2f}",
                f"{taken.server_seconds.median:.2f}",
                f"{taken.documents_per_second.median:,.0f}",
                f"{taken.peak_megabytes.median:,.0f}",
            )
        )
    return _table(_HEADS, lines)


def _words(figure: Figure) -> Iterable[str]:
    if figure.taken is None:
        yield f"*{figure.name}* is not quoted: {figure.problem}."
        return
    shown = [
        f"{name} {spent:.2f}"
        for name, spent in figure.taken.stages.items()
        if spent >= _LEAST_SECONDS
    ]
    if shown:
        yield f"Seconds of *{figure.name}*: {', '.join(shown)}."


def _machine(results: Results) -> str:
    lowest, highest = results.load_average
    lines = [
        *results.machine.items(),
        ("load average", f"{lowest:.1f} to {highest:.1f} before the measurements"),
        ("measured", f"{results.made_at}, {results.repeats} rounds"),
        *results.versions.items(),
    ]
    return _table(("", ""), lines)


def _range(spread: Spread, digits: int) -> str:
    return f"{spread.lowest:.{digits}f}-{spread.highest:.{digits}f}"


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Returns a table in Markdown, its columns as wide as what they hold."""
    found = [list(heads), *map(list, lines)]
    widths = [max(3, *map(len, column)) for column in zip(*found, strict=True)]
    found.insert(1, ["-" * width for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in found
    )
