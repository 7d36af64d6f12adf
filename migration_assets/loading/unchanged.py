"""What the last load of a table left, and whether that still stands: then only other documents are converted.

Everything that could make a difference has to be the same for certain, and what cannot be known counts as
changed. Decision 0009 says why each condition is enough.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql

from migration_assets.loading.dependencies import Dependencies, depends_on
from migration_assets.loading.program import program_version
from migration_assets.loading.records import Merged, Tally
from migration_assets.remediation.rules import Remediations
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.marks import are_untouched
from migration_assets.target.sql import identifier

_LATEST = """
    SELECT l.plan, l.removals, l.remediations, l.program, l.documents, l.rows_mark, l.books_mark,
           l.statistics,
           (SELECT c.id FROM {loads} c WHERE c.target_table = l.target_table
             AND c.finished_at IS NOT NULL AND (c.statistics->>'is_converted')::boolean
             ORDER BY c.finished_at DESC LIMIT 1),
           (SELECT count(*) FROM {results} r WHERE r.target_table = l.target_table
            AND NOT r.passed AND NOT coalesce((r.evidence->>'is_sound')::boolean, false))
    FROM {loads} l WHERE l.target_table = %s AND l.finished_at IS NOT NULL
    ORDER BY l.finished_at DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Latest:
    """What the latest finished load of a table left in the ledger.

    Attributes:
        rows: Mark of the rows that it left.
        books: Mark of the books that it left.
        tally: What it counted.
        merged: What there is of its rows.
        has_same_plan: Whether its references may still point to the same ids, and to no others.
        base: The load that last converted documents: whose ranges and documents are on record.
    """

    rows: str
    books: str
    tally: Tally
    merged: Merged
    has_same_plan: bool
    base: uuid.UUID


def latest_like_now(
    connection: Connection, table: sa.Table, remediations: Remediations, now: Dependencies
) -> Latest | None:
    """Returns the latest load of a table where another would make the same rows of the same documents.

    That goes for documents that found all ids that they refer to; for others where it has the same plan.
    None where model, program or remediations are others or ids that it may refer to are gone, where rows
    wait for their deletion, and where a check found that the table is not as it was loaded: whatever the
    reason, only loading it as a whole helps then.

    Args:
        connection: A connection to the target.
        table: The table.
        remediations: The rules that documents are converted with now.
        now: What rows depend on now.
    """
    query = sql.SQL(_LATEST).format(
        loads=identifier(bookkeeping.loads), results=identifier(bookkeeping.check_results)
    )
    row = connection.execute(query, [table.name]).fetchone()
    if row is None:
        return None
    plan, removals, rules, program, documents, rows, books, statistics, base, unsound = row
    merged = Merged(**statistics["merged"])
    is_like_now = (
        (removals, rules, program) == (now.removals, remediations.digest(table), program_version())
        and None not in (documents, rows, books, base)
        and not merged.pending
        and not unsound
    )
    if not is_like_now:
        return None
    unchanged = merged.inserted + merged.updated + merged.unchanged
    return Latest(
        rows=rows,
        books=books,
        tally=Tally.from_json(statistics),
        merged=Merged(0, 0, 0, unchanged, pending=0),
        has_same_plan=plan == now.plan,
        base=base,
    )


def is_untouched(connection: Connection, table: sa.Table, latest: Latest) -> bool:
    """Tells whether a table, its books, and the rows that it refers to are as their latest loads left them.

    Args:
        connection: A connection within a transaction that sees one moment.
        table: The table.
        latest: Its latest load.
    """
    return are_untouched(connection, [table, *depends_on(table)], {table: latest.books})
