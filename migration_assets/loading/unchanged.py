"""Whether there is nothing to do: the source is what the last load read, the table what it left.

Then nothing is converted, staged or merged. Everything that could make a difference has to be the same for
certain, and what cannot be known counts as changed. Decision 0009 says why each condition is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql

from migration_assets.loading.ledger import Tally, depends_on, plan_of
from migration_assets.loading.merging import Merged
from migration_assets.loading.program import program_version
from migration_assets.loading.staging import identifier
from migration_assets.remediation.rules import Remediations
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.marks import (
    TRANSACTIONS,
    books_mark,
    current_transaction,
    rows_mark,
)

_LATEST = """
    SELECT l.plan, l.remediations, l.program, l.documents, l.books_mark, l.statistics,
           (SELECT count(*) FROM {results} r WHERE r.target_table = l.target_table
            AND NOT r.passed AND NOT coalesce((r.evidence->>'is_sound')::boolean, false))
    FROM {loads} l WHERE l.target_table = %s AND l.finished_at IS NOT NULL
    ORDER BY l.finished_at DESC LIMIT 1
"""

_MARKS = """
    SELECT DISTINCT ON (target_table) target_table, rows_mark,
           min(transaction) OVER (PARTITION BY target_table)
    FROM {loads} WHERE target_table = ANY(%s) AND finished_at IS NOT NULL
    ORDER BY target_table, finished_at DESC
"""


@dataclass(frozen=True, slots=True)
class Latest:
    """What the latest finished load of a table left in the ledger.

    Attributes:
        documents: Digest of the documents that it read.
        books: Mark of the books that it left.
        tally: What it counted.
        merged: What there is of its rows.
    """

    documents: str
    books: str
    tally: Tally
    merged: Merged


def latest_like_now(
    connection: Connection, table: sa.Table, remediations: Remediations
) -> Latest | None:
    """Returns the latest load of a table where another would be the same, given the same documents.

    None where model, program, remediations or the ids that it may refer to are others, where rows wait for
    their deletion, and where a check found that the table is not as it was loaded: whatever the reason, only
    loading it helps then.
    """
    query = sql.SQL(_LATEST).format(
        loads=identifier(bookkeeping.loads), results=identifier(bookkeeping.check_results)
    )
    row = connection.execute(query, [table.name]).fetchone()
    if row is None:
        return None
    plan, rules, program, documents, books, statistics, unsound = row
    merged = Merged(**statistics["merged"])
    is_like_now = (
        (plan, rules, program)
        == (plan_of(connection, table), remediations.digest(table), program_version())
        and None not in (documents, books)
        and not merged.pending
        and not unsound
    )
    if not is_like_now:
        return None
    unchanged = merged.inserted + merged.updated + merged.unchanged
    return Latest(
        documents, books, Tally.from_json(statistics), Merged(0, 0, 0, unchanged, pending=0)
    )


def is_untouched(connection: Connection, table: sa.Table, latest: Latest) -> bool:
    """Tells whether a table, its books, and the rows that it refers to are as their latest loads left them.

    Args:
        connection: A connection within a transaction that sees one moment.
        table: The table.
        latest: Its latest load.
    """
    return books_mark(connection, table) == latest.books and _are_untouched(
        connection, [table, *depends_on(table)]
    )


def _are_untouched(connection: Connection, tables: Sequence[sa.Table]) -> bool:
    query = sql.SQL(_MARKS).format(loads=identifier(bookkeeping.loads))
    found = connection.execute(query, [[table.name for table in tables]]).fetchall()
    recorded = {name: (mark, first) for name, mark, first in found}
    now = current_transaction(connection)
    for table in tables:
        mark, first = recorded.get(table.name, (None, None))
        if mark is None or first is None or not 0 <= now - first < TRANSACTIONS:
            return False
        if rows_mark(connection, table) != mark:
            return False
    return True
