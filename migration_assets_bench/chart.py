"""A picture of the results: documents per second as bars, with the range of the rounds."""

from __future__ import annotations

from html import escape

from migration_assets_bench.figures import Spread
from migration_assets_bench.results import Results

_WIDTH, _LABELS, _VALUES = 860, 230, 90
_BAR, _GAP, _TOP = 22, 10, 64
_COLOURS = {"floor": "#8a8f98", "dlt": "#c2773f", "Sling": "#c2773f"}
_OURS = "#2f6f9f"
_STYLE = "font-family='system-ui, sans-serif' font-size='13' fill='#222'"


def svg(results: Results) -> str:
    """Returns the picture for the largest size."""
    scale = max(results.documents)
    shown = [
        (figure.name, figure.taken.documents_per_second)
        for figure in results.figures
        if figure.scale == scale and figure.taken is not None
    ]
    height = _TOP + len(shown) * (_BAR + _GAP) + 34
    most = max((rate.highest for _, rate in shown), default=1.0)
    bars = [
        _bar(name, rate, _TOP + place * (_BAR + _GAP), most)
        for place, (name, rate) in enumerate(shown)
    ]
    machine = f"{results.machine['cores']} cores, {results.machine['processor']}"
    documents = results.documents[scale]
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{_WIDTH}' height='{height}' "
            f"viewBox='0 0 {_WIDTH} {height}' role='img' {_STYLE}>",
            f"<rect width='{_WIDTH}' height='{height}' fill='white'/>",
            f"<text x='16' y='28' font-size='16'>Documents per second, {documents:,} documents</text>",
            f"<text x='16' y='48' fill='#666'>Whole process; median of {results.repeats} rounds, "
            "with the lowest and highest</text>",
            *bars,
            f"<text x='16' y='{height - 12}' fill='#666'>{escape(machine)}</text>",
            "</svg>",
            "",
        ]
    )


def _bar(name: str, rate: Spread, top: float, most: float) -> str:
    pixels = (_WIDTH - _LABELS - _VALUES) / most
    middle = top + _BAR / 2
    lowest, highest = (_LABELS + value * pixels for value in (rate.lowest, rate.highest))
    text = f"y='{middle + 5:.1f}'"
    return (
        f"<text x='{_LABELS - 10}' {text} text-anchor='end'>{escape(name)}</text>"
        f"<rect x='{_LABELS}' y='{top}' width='{rate.median * pixels:.1f}' height='{_BAR}' "
        f"fill='{_COLOURS.get(name, _OURS)}'/>"
        f"<path d='M{lowest:.1f} {middle}H{highest:.1f}' stroke='#222' stroke-width='1.5'/>"
        f"<text x='{highest + 8:.1f}' {text}>{rate.median:,.0f}</text>"
    )
