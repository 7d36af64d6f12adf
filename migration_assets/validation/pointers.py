"""Where to look when a check is red: its page in the documentation, its page in the UI, SQL on the target.

What the UI and the sign-off report show beside a check comes from here, so that they say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from migration_assets.validation.evidence import Layer

DOCUMENTATION: Mapping[Layer, str] = {
    layer: f"docs/reference/checks.md#{layer.value}" for layer in Layer
}
"""The section that says what a check sees and what to do, from the root of the project."""

_KEYS = """
SELECT summary, jsonb_pretty(evidence -> 'sample') FROM migration.check_results
WHERE target_table = {text} AND check_name = {layer};"""


def statements(table: str, layer: Layer) -> str:
    """Returns SQL that shows what a check is about, and the keys that it found; it only reads."""
    names = {"name": quoted(table, '"'), "text": quoted(table, "'"), "layer": f"'{layer.value}'"}
    return (layer.statements + _KEYS).format(**names).strip()


def checks_path(table: str) -> str:
    """Returns the path in the UI of a table's checks."""
    return f"/assets/postgres/{quote(table)}?view=checks"


def check_path(table: str, layer: Layer) -> str:
    """Returns the path in the UI of one check of a table."""
    return f"{checks_path(table)}&checkDetail={layer.value}"


def quoted(text: str, mark: str) -> str:
    """Returns a text in quotes, as a name or a literal of SQL."""
    return mark + text.replace(mark, mark * 2) + mark
