"""Loading any table: the one entry for assets and commands."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from migration_assets.loading.documents import load_documents
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import silent
from migration_assets.loading.pairs import load_pairs
from migration_assets.model import junction_of
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection


def load_table(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    say: Callable[[str], None] = silent,
) -> LoadResult:
    """Brings a table to the state of its source.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    load = load_documents if junction_of(table) is None else load_pairs
    return load(source, connection, table, say=say)
