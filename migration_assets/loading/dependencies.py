"""What rows depend on besides documents, and whether what the last load left still stands.

Then only other documents are converted. Everything that could make a difference has to be the same for
certain, and what cannot be known counts as changed. Decision 0009 says why each condition is enough.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql

from migration_assets.loading.program import program_version
from migration_assets.loading.records import Merged, Tally
from migration_assets.model import documents_referred_to, model_of, referenced_tables
from migration_assets.model.versions import model_version
from migration_assets.remediation.rules import Remediations
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.target.marks import are_untouched
from migration_assets.target.sql import identifier


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Digests of what the rows of a table depend on besides documents, program and remediations.

    Attributes:
        plan: Of all of it: of the tables that they refer to it is the load that last changed which ids
            there are.
        removals: Of what a row depends on where its document found whatever it refers to: rows that were
            merely inserted into other tables do not count. They do where a text refers to documents whose
            `_id` is no ObjectId: a new one may be meant before the one that was found.
    """

    plan: str
    removals: str


_VERSIONS = """
    SELECT target_table, (array_agg(id::text ORDER BY finished_at DESC))[1],
           (array_agg(id::text ORDER BY finished_at DESC) FILTER (WHERE shrunk OR {grown}))[1]
    FROM (SELECT target_table, id, finished_at, m.inserted > 0 AS grew,
                 m.deleted + m.moved > 0 OR (statistics->>'was_touched')::boolean AS shrunk
          FROM {loads}, jsonb_to_record(statistics->'merged')
               AS m(inserted bigint, deleted bigint, moved bigint)
          WHERE finished_at IS NOT NULL AND target_table = ANY(%s)) l
    WHERE grew OR shrunk GROUP BY target_table ORDER BY target_table
"""


def dependencies_of(connection: Connection, table: sa.Table) -> Dependencies:
    """Returns what the rows of a table depend on now."""
    plan = [table.name]
    if table.metadata is not bookkeeping.BOOKKEEPING:
        plan.append(model_version(table))
    removals = [*plan]
    referred = depends_on(table)
    if referred:
        texts_may_turn = bookkeeping.uuid_map in referred and not all(
            _has_only_object_ids(connection, name) for name in documents_referred_to(table)
        )
        grown = sql.SQL("grew AND target_table = {}").format(bookkeeping.uuid_map.name)
        query = sql.SQL(_VERSIONS).format(
            loads=identifier(bookkeeping.loads), grown=grown if texts_may_turn else sql.SQL("FALSE")
        )
        for name, version, shrunk in connection.execute(
            query, [[referred_table.name for referred_table in referred]]
        ):
            plan.append(f"{name} {version}")
            if shrunk is not None:
                removals.append(f"{name} {shrunk}")
    return Dependencies(_digest_of(plan), _digest_of(removals))


def _digest_of(lines: list[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _has_only_object_ids(connection: Connection, collection: str) -> bool:
    """Tells whether every document of a collection has an ObjectId: its UUID is of version 7 then."""
    query = sql.SQL(
        "SELECT NOT EXISTS (SELECT FROM {} WHERE collection = %s AND substr(id::text, 15, 1) <> '7')"
    ).format(identifier(bookkeeping.uuid_map))
    return connection.execute(query, [collection]).fetchone() == (True,)


def depends_on(table: sa.Table) -> list[sa.Table]:
    """Returns the tables whose ids decide what becomes of a table's references."""
    if table.metadata is bookkeeping.BOOKKEEPING:
        return []
    referred = [model_of(table).tables[name] for name in referenced_tables(table)]
    return [*referred, bookkeeping.uuid_map] if documents_referred_to(table) else referred


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
        tally: What it counted, which the books hold.
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
        tally=Tally.from_statistics(statistics),
        merged=Merged(0, 0, 0, unchanged, pending=0),
        has_same_plan=plan == now.plan,
        base=base,
    )


def is_untouched(connection: Connection, table: sa.Table, latest: Latest) -> bool:
    """Tells whether a table, its books, and the rows that it refers to are as their latest loads left them.

    The caller's transaction sees one moment.
    """
    return are_untouched(connection, [table, *depends_on(table)], {table: latest.books})
