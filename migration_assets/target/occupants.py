"""The contents of a target without our bookkeeping: nothing, prepared tables, or somebody's data.

This project writes to the schemas ``public``, ``migration`` and ``migration_staging`` only, so nothing in
another schema can collide with it. Tables in the role's own schema are refused nevertheless: such a database
is in use, and likely the wrong one.
"""

from __future__ import annotations

from psycopg import sql

from migration_assets.errors import TargetError
from migration_assets.model import Model
from migration_assets.target.bookkeeping import SCHEMA, STAGING_SCHEMA, loads
from migration_assets.target.catalog import differences
from migration_assets.target.connection import Connection

PRISMAS_OWN = "_prisma_migrations"
"""Prisma's bookkeeping, in ``public``: it stays as it is."""

PROVIDERS = (
    r"^(auth|storage|_?realtime|vault|graphql|graphql_public|extensions|pgbouncer|pgsodium\w*|net|cron"
    r"|pgmq\w*|pgtle|_?supabase\w*|_analytics|neon\w*|rds\w*|aws\w*|apg\w*|azure\w*|google\w*|_?heroku\w*|aiven\w*"
    r"|doadmin|_?timescaledb\w*|tiger\w*|topology|pganalyze|pglogical\w*|repack|dms\w*)$"
)
"""Schemas that a provider or an extension keeps in every database (Supabase, Neon, RDS, Azure, Cloud SQL,
Heroku, Aiven, Timescale, PostGIS), where the role that we get may well be their owner."""

_OCCUPANTS = """
    SELECT n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND (n.nspname = ANY(%(ours)s)
           OR n.nspname !~ %(providers)s AND pg_has_role(n.nspowner, 'USAGE'))
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""
"""Tables and views that are neither an extension's, nor a provider's, nor in a schema of another role."""


def is_ours(connection: Connection) -> bool:
    """Tells whether the database carries the bookkeeping of this project."""
    relation = connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{loads.name}"]).fetchone()
    return relation != (None,)


def require_own_target(model: Model, connection: Connection) -> list[str]:
    """Refuses a target unless it is empty, prepared, or carries the bookkeeping of this project.

    Returns:
        The application's tables that somebody has prepared, as in the model and empty; none where the target
        is empty or ours.

    Raises:
        TargetError: It holds other tables, or the application's with rows or with other columns.
    """
    with connection.transaction():
        if is_ours(connection):
            return []
        schemas = ["public", SCHEMA, STAGING_SCHEMA]
        occupants = connection.execute(
            _OCCUPANTS, {"ours": schemas, "providers": PROVIDERS}
        ).fetchall()
        names = [f"{schema}.{name}" for schema, name in occupants]
        prepared = [name for name in model.tables if f"public.{name}" in names]
        allowed = {f"public.{name}" for name in (*prepared, PRISMAS_OWN)}
        foreign = [name for name in names if name not in allowed]
        where = f"database {connection.info.dbname}"
        refusal = "the database is not empty and was not made by this project: it holds "
        if foreign:
            raise TargetError(
                f"{refusal}{len(foreign)} tables or views, {', '.join(foreign[:3])} among them",
                where=where,
                next_step="Give an empty database; nothing was touched",
            )
        differing = differences(model, connection, prepared)
        if differing:
            raise TargetError(
                f"{refusal}{len(prepared)} of the application's tables, public.{prepared[0]} among them, of "
                f"another release than the model's: {'; '.join(differing[:3])} ({len(differing)} in all)",
                where=where,
                next_step="Give an empty database, or one to which Prisma has applied 0_init and no later "
                "schema migration (those come after the sign-off); nothing was touched",
            )
        filled = [name for name in prepared if _has_rows(connection, name)]
    if filled:
        raise TargetError(
            f"{refusal}rows in {len(filled)} of the application's tables, public.{filled[0]} among them: "
            "the database was seeded, or is in use",
            where=where,
            next_step="Give an empty database, or empty it with `prisma migrate reset --skip-seed` if nobody "
            "needs these rows; nothing was touched",
        )
    return prepared


def _has_rows(connection: Connection, name: str) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier("public", name))
    return connection.execute(query).fetchone() == (True,)
