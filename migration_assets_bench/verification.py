"""Whether a target holds the rows of the source: without it no figure is quoted."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

_TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = %s
"""


def differing_tables(
    url: str, expected: Mapping[str, int], *, schema: str = "public"
) -> str | None:
    """Returns in words which tables have other rows than expected, None where all are right.

    Args:
        url: URL of the target.
        expected: How many rows each table must have.
        schema: Where the tables are.
    """
    differing = []
    with psycopg.connect(url, autocommit=True) as connection:
        present = {name for (name,) in connection.execute(_TABLES, [schema])}
        for name, rows in expected.items():
            if name not in present:
                differing.append(f"{name} is missing")
                continue
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name))
            found = connection.execute(query).fetchone()
            if found != (rows,):
                differing.append(f"{name} has {found[0] if found else 0:,} of {rows:,} rows")
    if not differing:
        return None
    return f"{len(differing)} tables differ: {'; '.join(differing[:3])}"


def missing_approval(url: str, expected: int) -> str | None:
    """Returns in words what the checks and the sign-off of a target lack, None where all is green.

    Args:
        url: URL of the target.
        expected: How many checks there must be.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        checks = connection.execute(
            "SELECT count(*) FROM migration.check_results WHERE passed"
        ).fetchone()
        signed = connection.execute(
            "SELECT verdict FROM migration.sign_offs ORDER BY signed_at DESC LIMIT 1"
        ).fetchone()
    if checks != (expected,):
        return f"{checks[0] if checks else 0} of {expected} checks passed"
    return None if signed == ("GO",) else "the sign-off does not say GO"
