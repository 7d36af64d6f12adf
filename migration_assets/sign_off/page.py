"""The report as a page to look at and to print.

The page is one file: its style and its charts are in it, and it asks for nothing from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from migration_assets.preflight.duration import in_words
from migration_assets.sign_off.report import Json
from migration_assets.text import counted, megabytes
from migration_assets.validation.evidence import Layer

NOTHING = "\N{EN DASH}"

WORDS = {
    "passed": "passed",
    "warning": "warns",
    "failed": "failed",
    "stale": "stale",
    "touched": "touched since",
    "missing": "did not run",
}
"""What is said of the states of a check."""

MARKS = {
    "passed": "✓",
    "warning": "!",
    "failed": "✗",
    "stale": "↻",
    "touched": "✎",
    "missing": NOTHING,
}
"""By state of a check: text, since not everybody tells colours apart, or has a font of pictures."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart.

    Attributes:
        name: Table.
        value: What it shows.
        width: Its width, where 100 is the widest.
    """

    name: str
    value: int
    width: float


def bars(tables: Sequence[Json], figure: str) -> list[Bar]:
    """Returns the bars of a chart of a figure of every load, in the order of the tables."""
    values = {table["name"]: table["load"][figure] for table in tables if table["load"]}
    widest = max(values.values(), default=0) or 1
    return [Bar(name, value, round(100 * value / widest, 2)) for name, value in values.items()]


def page(report: Json, digest: str) -> str:
    """Returns a report as HTML.

    Args:
        report: The report.
        digest: Its SHA-256.
    """
    tables = report["detailedResults"]
    charts = {
        "Rows": bars(tables, "rows"),
        "Rows per second": bars(tables, "rowsPerSecond"),
    }
    return _template().render(
        report=report, digest=digest, sentence=sentence(report), layers=list(Layer), charts=charts
    )


def sentence(report: Json) -> str:
    """Returns what the report comes to, for somebody who reads one sentence."""
    summary, verdict = report["summary"], report["verdict"]
    if verdict["decision"] == "decline":
        return "The approver declines: the application stays on MongoDB."
    if verdict["word"] != "GO":
        return (
            f"The migration must not go live yet: {counted(summary['findings'], 'finding')} to deal with. "
            "Each says below what to do."
        )
    accepted = ""
    if summary["documentsInNoTable"] or summary["valuesLost"]:
        accepted = (
            f", with {counted(summary['documentsInNoTable'], 'document')} in no table and "
            f"{counted(summary['valuesLost'], 'value')} lost or altered, all of them on record and accepted"
        )
    if summary["waived"]:
        return (
            f"The migration can go live{accepted}. {counted(summary['waived'], 'finding')} waived by name; "
            "everything else was proven equal."
        )
    if accepted:
        return f"The migration can go live{accepted}."
    return (
        "The migration can go live: every record and every value was compared, and none was lost."
    )


def moment(text: str | None) -> str:
    """Returns a time of a report in words."""
    return NOTHING if text is None else text.replace("T", " ").replace("+00:00", " UTC")


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("migration_assets.sign_off"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: NOTHING if value is None else f"{value:,}",
        "moment": moment,
        "duration": in_words,
        "megabytes": megabytes,
        "word": WORDS.__getitem__,
        "mark": MARKS.__getitem__,
        "anchor": lambda text: quote(text, safe=":."),
    }
    return environment.get_template("report.html")
