"""Targets that are not empty: of a provider, prepared by Prisma, seeded, or of somebody else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import LiteralString
from urllib.parse import urlsplit

import pytest

from migration_assets.errors import TargetError
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import ENUMS, NEXTCRM, TABLES
from migration_assets.preflight import target as on_target
from migration_assets.preflight.findings import Level
from migration_assets.rollback import removal
from migration_assets.rollback.refused import RefusedError
from migration_assets.source.connection import SourceDatabase
from migration_assets.target import ddl
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.created import TABLE, TYPE, DatabaseObject, recorded_objects
from migration_assets.target.occupants import PRISMAS_OWN, require_own_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets_tests.integration.loading.test_loading import account, count, oid, user


@pytest.fixture
def empty(target_url: str) -> Iterator[Connection]:
    """A connection to an empty database."""
    with open_target(target_url) as connection:
        yield connection


def prepare(connection: Connection) -> None:
    """Makes the tables that `prisma migrate deploy` of the first release leaves behind."""
    prismas = {
        **ddl.unique_indexes(NEXTCRM),
        **ddl.secondary_indexes(NEXTCRM),
        **ddl.foreign_keys(NEXTCRM),
    }
    for statement in (*ddl.enums(NEXTCRM), *ddl.tables(NEXTCRM), *prismas.values()):
        connection.execute(statement)
    connection.execute(f"CREATE TABLE {PRISMAS_OWN} (id text PRIMARY KEY, migration_name text)")
    connection.execute(f"INSERT INTO {PRISMAS_OWN} VALUES ('1', '0_init')")


def relations(connection: Connection) -> list[tuple[str, str]]:
    """Every table and index of the schema `public`, with its definition."""
    return connection.execute(
        "SELECT relname, concat(pg_get_indexdef(oid), relnatts, (SELECT string_agg("
        "pg_get_constraintdef(oid), '' ORDER BY conname) FROM pg_constraint WHERE conrelid = c.oid)) "
        "FROM pg_class c WHERE relnamespace = 2200 AND relkind IN ('r', 'i') ORDER BY 1"
    ).fetchall()


def test_a_prepared_target_is_filled_and_a_rollback_leaves_it_as_it_was(
    source: SourceDatabase, empty: Connection
) -> None:
    prepare(empty)
    before = relations(empty)
    (finding,) = on_target.content(NEXTCRM, empty)
    assert finding.level is Level.OK
    assert f"{len(TABLES)} tables of the application stand ready" in finding.what
    create_schema(NEXTCRM, empty)
    assert not {
        recorded
        for recorded in recorded_objects(NEXTCRM, empty)
        if recorded.name in TABLES and recorded.kind == TABLE
    }
    source["Users"].insert_many([user(1), user(2)])
    source["crm_Accounts"].insert_one(account(9, watchers=[oid(1)]))
    load_identities(NEXTCRM, source, empty)
    for name in ("Users", "crm_Accounts", "AccountWatchers", "ImageUpload"):
        load_table(source, empty, TABLES[name])
    build_constraints(NEXTCRM, empty)
    assert count(empty, "public", "Users") == 2
    (finding,) = on_target.content(NEXTCRM, empty)
    assert "was migrated to before" in finding.what

    stays = removal.left_behind(NEXTCRM, empty)
    assert DatabaseObject(TABLE, "public", "Users") in stays
    assert len(
        [database_object for database_object in stays if database_object.kind == TYPE]
    ) == len(ENUMS)
    gone = removal.remove(NEXTCRM, empty, removal.nothing_to_prove, dry_run=False)
    assert {str(removed.object): removed.rows for removed in gone}["rows public.Users"] == 2
    assert relations(empty) == before
    assert [count(empty, "public", name) for name in TABLES] == [0] * len(TABLES)
    assert count(empty, "public", PRISMAS_OWN) == 1
    assert require_own_target(NEXTCRM, empty) == list(TABLES)  # it can be filled once more


OTHERS: dict[str, tuple[LiteralString, str]] = {
    "seeded": (
        "INSERT INTO \"crm_Industry_Type\" (id, __v, name) VALUES (gen_random_uuid(), 0, 'x')",
        "rows in 1 of the application's tables, public.crm_Industry_Type",
    ),
    "a later release": (
        'ALTER TABLE "crm_Leads" DROP lead_source',
        "of another release than the model's: crm_Leads.lead_source is missing",
    ),
    "a column more": ('ALTER TABLE "Users" ADD more text', "Users.more is text, not missing"),
    "a table more": ("CREATE TABLE more (a int)", "public.more among them"),
}


@pytest.mark.parametrize(("statement", "expected"), OTHERS.values(), ids=OTHERS)
def test_a_prepared_target_that_is_not_as_in_the_model_is_refused(
    empty: Connection, statement: LiteralString, expected: str
) -> None:
    prepare(empty)
    empty.execute(statement)
    for refused in (require_own_target, create_schema):
        with pytest.raises(TargetError, match="nothing was touched") as raised:
            refused(NEXTCRM, empty)
        assert expected in raised.value.what
    (finding,) = on_target.content(NEXTCRM, empty)
    assert finding.level is Level.ERROR


def test_a_key_of_somebodys_on_a_prepared_table_stops_a_rollback(empty: Connection) -> None:
    prepare(empty)
    create_schema(NEXTCRM, empty)
    empty.execute('CREATE TABLE mine (a uuid REFERENCES "Users")')
    with pytest.raises(RefusedError, match="mine"):
        removal.remove(NEXTCRM, empty, removal.nothing_to_prove, dry_run=False)


PROVIDERS_SCHEMAS = """
    auth storage realtime vault graphql graphql_public extensions pgbouncer pgsodium net cron
    supabase_functions supabase_migrations neon neon_auth rdsadmin azure azuresys google_vacuum_mgmt
    heroku_ext _heroku aiven_extras _timescaledb_catalog _timescaledb_internal tiger topology
""".split()  # noqa: SIM905


def test_schemas_of_a_provider_do_not_make_a_target_foreign(empty: Connection) -> None:
    for name in PROVIDERS_SCHEMAS:
        empty.execute(f"CREATE SCHEMA {name}; CREATE TABLE {name}.theirs (a int)")
        empty.execute(f"INSERT INTO {name}.theirs VALUES (1)")
    empty.execute("CREATE TYPE auth.\"Language\" AS ENUM ('xx')")
    assert require_own_target(NEXTCRM, empty) == []
    create_schema(NEXTCRM, empty)
    removal.remove(NEXTCRM, empty, removal.nothing_to_prove, dry_run=False)
    assert all(count(empty, name, "theirs") == 1 for name in PROVIDERS_SCHEMAS)


def test_a_schema_of_another_role_is_nobody_elses_business(target_url: str) -> None:
    with open_target(target_url) as admin:
        for role in ("some_provider", "some_owner"):
            admin.execute(f"DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'p'")
        admin.execute(
            "CREATE SCHEMA theirs AUTHORIZATION some_provider; CREATE TABLE theirs.t (a int)"
        )
        admin.execute("CREATE SCHEMA own AUTHORIZATION some_owner")
        parts = urlsplit(target_url)
        url = parts._replace(netloc=f"some_owner:p@{parts.hostname}:{parts.port}").geturl()
        with open_target(url) as connection:
            assert require_own_target(NEXTCRM, connection) == []
            connection.execute("CREATE TABLE own.t (a int)")
            with pytest.raises(TargetError, match=r"own\.t among them"):
                require_own_target(NEXTCRM, connection)
        for role in ("some_provider", "some_owner"):
            admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")
