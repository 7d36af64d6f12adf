"""A first load: what is staged becomes the table, unless somebody could tell the two apart."""

from __future__ import annotations

from typing import LiteralString

import pytest
from psycopg import sql

from migration_assets.loading.first_load import become, create_staged
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.loading.records import LoadResult
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection, open_target, sibling
from migration_assets_tests.integration.loading.test_loading import account, count, oid, user

CATALOG: LiteralString = """
    WITH t AS (SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname IN ('public', 'migration') AND c.relkind IN ('r', 'i'))
    SELECT relname, jsonb_build_array(relkind, relpersistence, relowner, relacl, reloptions, relreplident,
      relnatts, relhasindex, (SELECT jsonb_agg(jsonb_build_array(attname, atttypid, atttypmod, attnotnull,
        attstorage, attcompression, attacl, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
        ORDER BY attnum) FROM pg_attribute LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
        WHERE attrelid = t.oid AND attnum > 0),
      (SELECT jsonb_agg(jsonb_build_array(conname, pg_get_constraintdef(oid), connamespace::regnamespace)
        ORDER BY conname) FROM pg_constraint WHERE conrelid = t.oid), obj_description(oid, 'pg_class'))::text
    FROM t ORDER BY relname, relkind
"""
"""Tables and indexes with whatever tells one from another of the same name, but not their rows."""


@pytest.fixture
def users(source: SourceDatabase) -> SourceDatabase:
    """A source with three users, each of whom watches an account."""
    source["Users"].insert_many([user(number) for number in (1, 2, 3)])
    watchers = [oid(number) for number in (1, 2, 3)]
    source["crm_Accounts"].insert_one(account(9, watchers=watchers))
    return source


def load(source: SourceDatabase, target: Connection) -> dict[str, LoadResult]:
    loaded = {"uuid_map": load_identities(NEXTCRM, source, target)}
    for name in ("Users", "crm_Accounts", "AccountWatchers"):
        loaded[name] = load_table(source, target, TABLES[name])
    return loaded


def catalog(target: Connection) -> list[tuple[str, str]]:
    return target.execute(CATALOG).fetchall()


def oid_of(target: Connection, table: str = '"Users"') -> int:
    row = target.execute("SELECT %s::regclass::oid::bigint", [table]).fetchone()
    assert row is not None
    return int(row[0])


def test_the_staging_table_becomes_the_table_and_is_like_it(
    users: SourceDatabase, target: Connection
) -> None:
    tables = ("migration.uuid_map", '"Users"', '"crm_Accounts"', '"AccountWatchers"')
    before, oids = catalog(target), [oid_of(target, name) for name in tables]
    loaded = load(users, target)
    assert {name: result.merged.inserted for name, result in loaded.items()} == {
        "uuid_map": 4,
        "Users": 3,
        "crm_Accounts": 1,
        "AccountWatchers": 3,
    }
    assert not set(oids) & {oid_of(target, name) for name in tables}
    assert catalog(target) == before
    again = load(users, target)
    assert [result.merged.written for result in again.values()] == [0, 0, 0, 0]
    # What an account refers to besides was never loaded, so accounts are looked at again.
    assert [name for name, result in again.items() if result.is_converted] == ["crm_Accounts"]


def test_a_second_load_leaves_the_table_where_it_is(
    users: SourceDatabase, target: Connection
) -> None:
    load(users, target)
    oid = oid_of(target)
    users["Users"].insert_one(user(4))
    assert load(users, target)["Users"].merged.inserted == 1
    assert (oid_of(target), count(target, "public", "Users")) == (oid, 4)


USERS = sql.Identifier("public", "Users")
STAGED = sql.Identifier("migration_staging", "Users")

PUT_ON_IT: dict[str, tuple[LiteralString, LiteralString]] = {
    "an index": ('CREATE INDEX mine ON "Users" (email)', "SELECT 'mine'::regclass"),
    "a unique constraint": (
        'ALTER TABLE "Users" ADD CONSTRAINT mine UNIQUE (email)',
        "SELECT FROM pg_constraint WHERE conname = 'mine' AND conrelid = '\"Users\"'::regclass",
    ),
    "a view": ('CREATE VIEW mine AS SELECT email FROM "Users"', "SELECT count(*) FROM mine"),
    "a function on its rows": (
        "CREATE FUNCTION mine(\"Users\") RETURNS text LANGUAGE sql AS 'SELECT $1.email'",
        "SELECT 'mine(\"Users\")'::regprocedure",
    ),
    "a column of its type": ('CREATE TABLE mine (u "Users")', "SELECT count(u) FROM mine"),
    "a reference to it": (
        'CREATE TABLE mine (u uuid REFERENCES "Users")',
        "SELECT FROM pg_constraint WHERE contype = 'f' AND confrelid = '\"Users\"'::regclass",
    ),
    "a foreign key": (
        'ALTER TABLE "Users" ADD CONSTRAINT mine FOREIGN KEY (id) REFERENCES "Boards"',
        "SELECT FROM pg_constraint WHERE conname = 'mine' AND conrelid = '\"Users\"'::regclass",
    ),
    "a check": (
        "ALTER TABLE \"Users\" ADD CONSTRAINT mine CHECK (email <> '')",
        "SELECT FROM pg_constraint WHERE conname = 'mine' AND conrelid = '\"Users\"'::regclass",
    ),
    "a trigger": (
        'CREATE TRIGGER mine BEFORE UPDATE ON "Users" FOR EACH ROW '
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "SELECT FROM pg_trigger WHERE tgname = 'mine' AND tgrelid = '\"Users\"'::regclass",
    ),
    "a rule": (
        'CREATE RULE mine AS ON DELETE TO "Users" DO ALSO NOTIFY gone',
        "SELECT FROM pg_rewrite WHERE rulename = 'mine' AND ev_class = '\"Users\"'::regclass",
    ),
    "a policy": (
        'CREATE POLICY mine ON "Users" USING (true)',
        "SELECT FROM pg_policy WHERE polname = 'mine' AND polrelid = '\"Users\"'::regclass",
    ),
    "row security": (
        'ALTER TABLE "Users" ENABLE ROW LEVEL SECURITY',
        "SELECT FROM pg_class WHERE relrowsecurity AND oid = '\"Users\"'::regclass",
    ),
    "a privilege": (
        'GRANT SELECT ON "Users" TO pg_monitor',
        "SELECT WHERE has_table_privilege('pg_monitor', '\"Users\"', 'SELECT')",
    ),
    "a privilege on a column": (
        'GRANT SELECT (email) ON "Users" TO pg_monitor',
        "SELECT WHERE has_column_privilege('pg_monitor', '\"Users\"', 'email', 'SELECT')",
    ),
    "another owner": (
        'ALTER TABLE "Users" OWNER TO pg_monitor',
        "SELECT FROM pg_class WHERE relowner = 'pg_monitor'::regrole "
        "AND oid = '\"Users\"'::regclass",
    ),
    "a publication": (
        'CREATE PUBLICATION mine FOR TABLE "Users"',
        "SELECT FROM pg_publication_tables WHERE pubname = 'mine' AND tablename = 'Users'",
    ),
    "extended statistics": (
        'CREATE STATISTICS mine ON email, name FROM "Users"',
        "SELECT FROM pg_statistic_ext WHERE stxrelid = '\"Users\"'::regclass",
    ),
    "a statistics target": (
        'ALTER TABLE "Users" ALTER COLUMN email SET STATISTICS 7',
        "SELECT FROM pg_attribute WHERE attstattarget = 7 AND attrelid = '\"Users\"'::regclass",
    ),
    "an option of a column": (
        'ALTER TABLE "Users" ALTER COLUMN email SET (n_distinct = -1)',
        "SELECT FROM pg_attribute WHERE attoptions = '{n_distinct=-1}' "
        "AND attrelid = '\"Users\"'::regclass",
    ),
    "an option": (
        'ALTER TABLE "Users" SET (fillfactor = 70)',
        "SELECT FROM pg_class WHERE reloptions = '{fillfactor=70}' AND oid = '\"Users\"'::regclass",
    ),
    "a replica identity": (
        'ALTER TABLE "Users" REPLICA IDENTITY FULL',
        "SELECT FROM pg_class WHERE relreplident = 'f' AND oid = '\"Users\"'::regclass",
    ),
    "a child": (
        'CREATE TABLE mine () INHERITS ("Users")',
        "SELECT FROM pg_inherits WHERE inhparent = '\"Users\"'::regclass",
    ),
    "a parent": (
        'CREATE TABLE mine (id uuid NOT NULL); ALTER TABLE "Users" INHERIT mine',
        "SELECT FROM pg_inherits WHERE inhrelid = '\"Users\"'::regclass",
    ),
}
"""Statements that put something on the table, and the query that sees it."""

TAKEN_ALONG: dict[str, tuple[LiteralString, LiteralString]] = {
    "a default": (
        "ALTER TABLE \"Users\" ALTER COLUMN name SET DEFAULT 'mine'",
        "SELECT FROM pg_attrdef WHERE adrelid = '\"Users\"'::regclass "
        "AND pg_get_expr(adbin, adrelid) LIKE '%mine%'",
    ),
    "how a column is stored": (
        'ALTER TABLE "Users" ALTER COLUMN name SET STORAGE EXTERNAL',
        "SELECT FROM pg_attribute WHERE (attname, attstorage) = ('name', 'e') "
        "AND attrelid = '\"Users\"'::regclass",
    ),
    "a comment": (
        "COMMENT ON TABLE \"Users\" IS 'mine'",
        "SELECT WHERE obj_description('\"Users\"'::regclass, 'pg_class') = 'mine'",
    ),
    "a comment on a column": (
        "COMMENT ON COLUMN \"Users\".email IS 'mine'",
        "SELECT FROM pg_description WHERE description = 'mine' AND objoid = '\"Users\"'::regclass",
    ),
}


def persistence(target: Connection) -> str:
    """The persistence of the staging table: `p` where it survives a crash, `u` where unlogged."""
    query = "SELECT relpersistence FROM pg_class WHERE oid = %s"
    row = target.execute(query, [oid_of(target, STAGED.as_string())]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(("put", "seen"), PUT_ON_IT.values(), ids=PUT_ON_IT)
def test_a_table_that_somebody_has_put_something_on_stays(
    schema: Connection, put: LiteralString, seen: LiteralString
) -> None:
    before = oid_of(schema)
    create_staged(schema, STAGED, USERS)
    assert persistence(schema) == "p"  # it could have become the table
    schema.execute(put)
    assert become(schema, STAGED, USERS) is None
    assert oid_of(schema) == before
    assert schema.execute(seen).rowcount == 1


@pytest.mark.parametrize(("put", "seen"), TAKEN_ALONG.values(), ids=TAKEN_ALONG)
def test_additions_that_a_new_table_can_have_are_taken_along(
    schema: Connection, put: LiteralString, seen: LiteralString
) -> None:
    before = oid_of(schema)
    schema.execute(put)
    create_staged(schema, STAGED, USERS)
    schema.execute(
        sql.SQL("INSERT INTO {} (id, email) VALUES (gen_random_uuid(), 'a')").format(STAGED)
    )
    assert become(schema, STAGED, USERS) == 1
    assert oid_of(schema) != before
    assert schema.execute(seen).rowcount == 1


@pytest.mark.parametrize(
    ("put_and_seen", "expected"), [(PUT_ON_IT["a view"], "u"), (TAKEN_ALONG["a comment"], "p")]
)
def test_only_rows_that_will_be_copied_need_not_survive_a_crash(
    schema: Connection, put_and_seen: tuple[LiteralString, LiteralString], expected: str
) -> None:
    schema.execute(put_and_seen[0])
    create_staged(schema, STAGED, USERS)
    assert persistence(schema) == expected


def test_privileges_and_views_are_there_after_a_load(
    users: SourceDatabase, target: Connection
) -> None:
    statements = [PUT_ON_IT["a view"], PUT_ON_IT["a privilege"]]
    before = oid_of(target)
    for put, _ in statements:
        target.execute(put)
    assert load(users, target)["Users"].merged.inserted == 3
    assert oid_of(target) == before
    assert [target.execute(seen).rowcount for _, seen in statements] == [1, 1]
    assert target.execute("SELECT count(*) FROM mine").fetchone() == (3,)


def test_nobody_who_uses_the_table_is_waited_for(users: SourceDatabase, target: Connection) -> None:
    before = oid_of(target)
    with sibling(target) as reader, reader.transaction():
        reader.execute('SELECT FROM "Users"')
        assert load(users, target)["Users"].merged.inserted == 3
    assert (oid_of(target), count(target, "public", "Users")) == (before, 3)


def test_a_row_that_is_not_committed_yet_is_not_dropped_with_the_table(tables_url: str) -> None:
    with open_target(tables_url) as target, sibling(target) as writer:
        create_staged(target, STAGED, USERS)
        with writer.transaction():
            writer.execute("INSERT INTO \"Users\" (id, email) VALUES (gen_random_uuid(), 'mine')")
            with target.transaction():
                assert become(target, STAGED, USERS) is None
        with target.transaction():
            assert become(target, STAGED, USERS) is None
        assert count(target, "public", "Users") == 1
