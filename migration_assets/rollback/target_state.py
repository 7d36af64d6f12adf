"""The state of the target: whether this project migrated it, and what its tables hold."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from migration_assets.errors import TargetError
from migration_assets.model import Model
from migration_assets.rollback.files import Fingerprint
from migration_assets.target.bookkeeping import SCHEMA, STAGING_SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.target.occupants import is_ours
from migration_assets.target.standing import standing_tables

_OTHER_TABLES = """
    SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND n.nspname <> ALL(%s)
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1
"""


def require_migrated(connection: Connection) -> None:
    """Refuses a target that this project did not migrate to.

    Raises:
        TargetError: It has no bookkeeping.
    """
    if not is_ours(connection):
        raise TargetError(
            "nothing was migrated to it by this project",
            where=f"database {connection.info.dbname}",
            next_step="Check TARGET_POSTGRES_URL; there is nothing to roll back here",
        )


def table_fingerprints(model: Model, connection: Connection) -> Mapping[str, Fingerprint]:
    """Returns the fingerprint of each existing table, columns that the application added included."""
    query = (
        "SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {} t"
    )
    fingerprints = {}
    for name, standing in standing_tables(model, connection).items():
        if not standing.is_there:
            continue
        row = connection.execute(sql.SQL(query).format(standing.identifier)).fetchone()
        assert row is not None
        fingerprints[name] = Fingerprint(*row)
    return fingerprints


def other_tables(model: Model, connection: Connection) -> tuple[str, ...]:
    """Returns the tables that belong neither to us nor to an extension, with their schemas."""
    standing = standing_tables(model, connection).values()
    own_names = {f"{table.schema}.{table.name}" for table in standing if table.is_there}
    all_tables = connection.execute(_OTHER_TABLES, [[SCHEMA, STAGING_SCHEMA]])
    return tuple(name for (name,) in all_tables if name not in own_names)
