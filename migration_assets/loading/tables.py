"""Loading any table: the one entry for assets and commands."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from migration_assets.loading.documents import DocumentsJob
from migration_assets.loading.load import load, silent
from migration_assets.loading.pairs import PairsJob
from migration_assets.loading.records import LoadResult
from migration_assets.model import junction_of, model_of
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.workers import ALONE, Workers


def load_table(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
    workers: Workers = ALONE,
) -> LoadResult:
    """Brings a table to the state of its source.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table.
        say: Is told what an operator wants to know.
        remediations: What is corrected or accepted on the way.
        workers: Who helps, if there are ranges enough.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    kind = DocumentsJob if junction_of(table) is None else PairsJob
    return load(
        source,
        connection,
        kind(model_of(table), table.name, remediations),
        say=say,
        workers=workers,
    )
