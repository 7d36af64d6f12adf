"""What stands against a GO because of the source's data: by field, with what to do. Counts, never values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from psycopg import sql
from rich.box import SIMPLE_HEAD
from rich.table import Table

from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.text import escape

_LOSSES = """
    SELECT collection, field, kind, count(*) FROM (
        SELECT collection, coalesce(field, '') AS field, 'rejected' AS kind, accepted_by
        FROM {rejected}
        UNION ALL SELECT collection, field, kind, accepted_by FROM {issues}
    ) lost WHERE accepted_by IS NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3
"""

_WHAT_TO_DO: Mapping[str, str] = {
    "rejected": "map or set a value, or accept",
    "nulled": "map or set a value, or accept",
    "orphaned": "map or drop the id, or accept",
    "altered": "map or drop it, or accept",
}
LOSSES = frozenset(_WHAT_TO_DO)
"""The kinds of losses."""


class Loss(NamedTuple):
    """What a field lost, and nobody accepted."""

    collection: str
    field: str
    kind: str
    values: int


def open_losses(connection: Connection) -> list[Loss]:
    """Returns what was lost and is not accepted, by field, the most first."""
    query = sql.SQL(_LOSSES).format(
        rejected=sql.Identifier(SCHEMA, bookkeeping.rejected_documents.name),
        issues=sql.Identifier(SCHEMA, bookkeeping.issues.name),
    )
    return [Loss(*row) for row in connection.execute(query)]


def losses_table(losses: Sequence[Loss], *, shown: int) -> Table:
    """Returns losses as a table for the terminal; on a narrow one, names are folded and nothing is cut.

    Args:
        losses: What was lost.
        shown: How many lines are shown; the caption counts the others.
    """
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), caption="how to: docs/remediations.md")
    for name in ("collection", "field"):
        table.add_column(name, overflow="fold", min_width=len(name))
    table.add_column("what", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("what to do")
    for loss in losses[:shown]:
        names = (escape(loss.collection), escape(loss.field) or "[dim]whole[/]", loss.kind)
        table.add_row(*names, f"{loss.values:,}", _WHAT_TO_DO[loss.kind])
    if len(losses) > shown:
        others = sum(loss.values for loss in losses[shown:])
        table.caption = (
            f"and {others:,} in {len(losses) - shown} more lines: migration.issues and "
            f"migration.rejected_documents have each of them; {table.caption}"
        )
    return table
