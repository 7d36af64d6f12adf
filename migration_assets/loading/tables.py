"""Loading any table: the one entry for assets and commands."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from psycopg import sql

from migration_assets.loading.documents import load_documents
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import silent
from migration_assets.loading.pairs import load_pairs
from migration_assets.loading.staging import identifier
from migration_assets.model import junction_of
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.second_process import SecondProcess
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.target.connection import Connection


def load_table(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
    second: SecondProcess | None = None,
) -> LoadResult:
    """Brings a table to the state of its source.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table.
        say: Is told what an operator wants to know.
        remediations: What is corrected or accepted on the way.
        second: Where documents are converted, too, if they are enough.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    load = load_documents if junction_of(table) is None else load_pairs
    helper = second if second is not None and _is_worth(second, connection, table) else None
    return load(source, connection, table, say=say, remediations=remediations, second=helper)


def _is_worth(second: SecondProcess, connection: Connection, table: sa.Table) -> bool:
    """Tells whether there are documents enough for a second process, by the map."""
    relation = junction_of(table)
    held_by = (
        [table.name] if relation is None else [side.collection for side, *_ in relation.arrays()]
    )
    query = sql.SQL("SELECT FROM {} WHERE collection = ANY({})").format(
        identifier(uuid_map), sql.Literal(held_by)
    )
    return second.is_worth_rows_of(connection, query)
