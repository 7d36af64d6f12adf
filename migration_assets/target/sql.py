"""Names of tables for SQL."""

from __future__ import annotations

import sqlalchemy as sa
from psycopg import sql


def identifier(table: sa.Table) -> sql.Identifier:
    """Returns a table's name for SQL, with its schema."""
    return sql.Identifier(table.schema or "public", table.name)
