"""Tables of the target that somebody has changed: loaded right, or named before anything is written."""

from __future__ import annotations

from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest

from migration_assets.errors import TargetError
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.preflight import target as on_target
from migration_assets.preflight.findings import Level
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.catalog import WAYS_OUT, additions, obstacles
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets_tests.integration.loading.test_loading import account, count, oid, user

FUNCTION = (
    "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; "
)
STRANGE: dict[str, tuple[LiteralString, LiteralString]] = {
    "Users has the trigger mine": (
        "trigger",
        FUNCTION
        + 'CREATE TRIGGER mine BEFORE INSERT ON "Users" FOR EACH ROW EXECUTE FUNCTION mine()',
    ),
    "Boards has the trigger mine": (
        "trigger",
        FUNCTION
        + 'CREATE TRIGGER mine AFTER UPDATE ON "Boards" FOR EACH STATEMENT EXECUTE FUNCTION mine(); '
        'ALTER TABLE "Boards" ENABLE ALWAYS TRIGGER mine',
    ),
    "migration.issues has the trigger mine": (
        "trigger",
        FUNCTION
        + "CREATE TRIGGER mine BEFORE DELETE ON migration.issues FOR EACH ROW EXECUTE FUNCTION mine()",
    ),
    "Users has the rule mine": (
        "rule",
        'CREATE RULE mine AS ON INSERT TO "Users" DO INSTEAD NOTHING',
    ),
    "Users is unlogged: a crash empties it": ("unlogged", 'ALTER TABLE "Users" SET UNLOGGED'),
    "Users has the child mine": ("inheritance", 'CREATE TABLE mine () INHERITS ("Users")'),
    "Users inherits from mine": (
        "inheritance",
        'CREATE TABLE mine (id uuid NOT NULL); ALTER TABLE "Users" INHERIT mine',
    ),
    "Users has the generated column name": (
        "generated",
        'ALTER TABLE "Users" DROP name, ADD name text GENERATED ALWAYS AS (email) STORED',
    ),
    "Users is a view": (
        "kind",
        'ALTER TABLE "Users" RENAME TO others; CREATE VIEW "Users" AS SELECT * FROM others',
    ),
    "Users is a partitioned table": (
        "kind",
        'ALTER TABLE "Users" RENAME TO others; '
        'CREATE TABLE "Users" (LIKE others) PARTITION BY HASH (id)',
    ),
    "Users has nothing as its primary key, not id": (
        "key",
        'ALTER TABLE "Users" DROP CONSTRAINT "Users_pkey"',
    ),
    "AccountWatchers has user_id as its primary key, not account_id, user_id": (
        "key",
        'ALTER TABLE "AccountWatchers" DROP CONSTRAINT "AccountWatchers_pkey"; '
        'ALTER TABLE "AccountWatchers" ADD CONSTRAINT "AccountWatchers_pkey" PRIMARY KEY (user_id)',
    ),
    "publication mine is of all tables, the bookkeeping among them": (
        "publication",
        "CREATE PUBLICATION mine FOR ALL TABLES",
    ),
    "publication mine is of the schema migration": (
        "publication",
        "CREATE PUBLICATION mine FOR TABLES IN SCHEMA migration",
    ),
    "Users is published by mine without a replica identity": (
        "identity",
        'CREATE PUBLICATION mine FOR TABLE "Users"; ALTER TABLE "Users" REPLICA IDENTITY NOTHING',
    ),
}
"""Obstacles that would change or refuse rows: the name, the kind, and the statement."""


@pytest.mark.parametrize(("kind", "statement"), STRANGE.values(), ids=STRANGE)
def test_obstacles_are_named_before_anything_is_written(
    schema: Connection, request: pytest.FixtureRequest, kind: str, statement: LiteralString
) -> None:
    named = request.node.callspec.id
    assert obstacles(schema, TABLES.values()) == []
    schema.execute(statement)
    assert [
        (obstacle.what, obstacle.way_out) for obstacle in obstacles(schema, TABLES.values())
    ] == [(named, WAYS_OUT[kind])]
    with pytest.raises(TargetError) as raised:
        create_schema(NEXTCRM, schema)
    assert named in raised.value.what
    (refused,) = on_target.content(NEXTCRM, schema)
    assert refused.level is Level.ERROR
    assert named in refused.what


HARMLESS: dict[str, LiteralString] = {
    "a trigger that is off": FUNCTION
    + 'CREATE TRIGGER mine BEFORE INSERT ON "Users" FOR EACH ROW EXECUTE FUNCTION mine(); '
    'ALTER TABLE "Users" DISABLE TRIGGER mine',
    "a trigger of replicas": FUNCTION
    + 'CREATE TRIGGER mine BEFORE INSERT ON "Users" FOR EACH ROW EXECUTE FUNCTION mine(); '
    'ALTER TABLE "Users" ENABLE REPLICA TRIGGER mine',
    "row-level security that does not hold for the role": 'ALTER TABLE "Users" ENABLE ROW LEVEL SECURITY',
    "a publication of its schema": "CREATE PUBLICATION mine FOR TABLES IN SCHEMA public",
    "an enum of the same name elsewhere": "CREATE SCHEMA auth; "
    "CREATE TYPE auth.\"Language\" AS ENUM ('xx')",
    "a table of somebody's": "CREATE TABLE mine (a int); "
    + FUNCTION
    + "CREATE TRIGGER mine BEFORE "
    "INSERT ON mine FOR EACH ROW EXECUTE FUNCTION mine()",
}


@pytest.mark.parametrize("statement", HARMLESS.values(), ids=HARMLESS)
def test_changes_that_touch_no_row_stop_nothing(
    schema: Connection, statement: LiteralString
) -> None:
    schema.execute(statement)
    create_schema(NEXTCRM, schema)


def test_security_and_owners_are_those_of_the_role(tables_url: str) -> None:
    with open_target(tables_url) as admin:
        admin.execute("DROP ROLE IF EXISTS plain_owner")
        admin.execute("CREATE ROLE plain_owner LOGIN PASSWORD 'p'")
        owned = 'ALTER TABLE "Users" OWNER TO plain_owner; ALTER TABLE "Users" ENABLE ROW LEVEL SECURITY'
        admin.execute(owned)
        parts = urlsplit(tables_url)
        url = parts._replace(netloc=f"plain_owner:p@{parts.hostname}:{parts.port}").geturl()
        with open_target(url) as connection:
            texts = [obstacle.what for obstacle in obstacles(connection, [TABLES["Boards"]])]
            assert texts[:1] == ["Boards belongs to the role postgres"]
            assert "Users" not in str(obstacles(connection, [TABLES["Users"]]))
            admin.execute('ALTER TABLE "Users" FORCE ROW LEVEL SECURITY')
            assert "Users has row-level security for this role" in str(
                obstacles(connection, [TABLES["Users"]])
            )
        admin.execute("DROP OWNED BY plain_owner CASCADE; DROP ROLE plain_owner")


def moved_to_the_end(table: str, column: str, type_: str, end: str = "") -> str:
    """Returns the statements that move a column of a table to the end."""
    return (
        f'ALTER TABLE "{table}" ADD moved {type_}; UPDATE "{table}" SET moved = "{column}"; '
        f'ALTER TABLE "{table}" DROP "{column}"; ALTER TABLE "{table}" RENAME moved TO "{column}"; {end}'
    )


def test_columns_in_another_order_are_filled_by_name(
    source: SourceDatabase, target: Connection
) -> None:
    source["Users"].insert_many([user(number) | {"name": f"n{number}"} for number in (1, 2, 3)])
    source["crm_Accounts"].insert_one(account(9, watchers=[oid(1), oid(3)]))
    key = "account_id, user_id"
    for statement in (
        moved_to_the_end("Users", "email", "text", 'ALTER TABLE "Users" ALTER email SET NOT NULL'),
        moved_to_the_end(
            "AccountWatchers",
            "account_id",
            "uuid",
            f'ALTER TABLE "AccountWatchers" ADD CONSTRAINT "AccountWatchers_pkey" PRIMARY KEY ({key})',
        ),
    ):
        target.execute(statement)
    create_schema(NEXTCRM, target)
    load_identities(NEXTCRM, source, target)
    names = ("Users", "crm_Accounts", "AccountWatchers")
    for _ in range(2):
        for name in names:
            load_table(source, target, TABLES[name])
        query = 'SELECT name, email FROM "Users" ORDER BY name'
        expected = [(f"n{number}", user(number)["email"]) for number in (1, 2, 3)]
        assert target.execute(query).fetchall() == expected
        joined = """SELECT u.name FROM "AccountWatchers" w JOIN "Users" u ON u.id = w.user_id
            JOIN "crm_Accounts" a ON a.id = w.account_id ORDER BY 1"""
        assert target.execute(joined).fetchall() == [("n1",), ("n3",)]
        source["Users"].update_one({"_id": oid(2)}, {"$set": {"image": "changed"}})


def test_a_view_that_needs_the_primary_key_keeps_it(
    source: SourceDatabase, target: Connection
) -> None:
    target.execute('CREATE VIEW mine AS SELECT id, email FROM "Users" GROUP BY id')
    source["Users"].insert_one(user(1))
    load_identities(NEXTCRM, source, target)
    load_table(source, target, TABLES["Users"])
    assert count(target, "public", "mine") == 1


ADDED: dict[str, LiteralString] = {
    "mine of Users": "ALTER TABLE \"Users\" ADD CONSTRAINT mine CHECK (email <> '')",
    "more of Users": 'CREATE UNIQUE INDEX more ON "Users" (name)',
    "other of Boards": 'ALTER TABLE "Boards" ADD CONSTRAINT other FOREIGN KEY (id) REFERENCES "Users"',
    "theirs_u_fkey, from theirs to Users": 'CREATE TABLE theirs (u uuid REFERENCES "Users")',
}


def test_constraints_that_the_model_does_not_have_are_told(schema: Connection) -> None:
    build_constraints(NEXTCRM, schema)
    assert list(on_target.constraints(NEXTCRM, schema)) == []
    for statement in ADDED.values():
        schema.execute(statement)
    assert additions(NEXTCRM, schema) == list(ADDED)
    (finding,) = on_target.constraints(NEXTCRM, schema)
    assert finding.level is Level.WARNING


def test_a_trigger_that_came_later_stops_the_load_of_its_table(
    source: SourceDatabase, target: Connection
) -> None:
    source["Users"].insert_one(user(1))
    load_identities(NEXTCRM, source, target)
    target.execute(STRANGE["Users has the trigger mine"][1])
    with pytest.raises(TargetError, match="Users has the trigger mine"):
        load_table(source, target, TABLES["Users"])
    assert count(target, "public", "Users") == 0


def test_the_holder_of_a_table_is_named_before_a_run(target: Connection, tables_url: str) -> None:
    assert list(on_target.locks(target)) == []
    with psycopg.connect(tables_url, application_name="the app") as app:
        app.execute('LOCK TABLE "Boards"')
        (held,) = on_target.locks(target)
        pid = app.info.backend_pid
    assert held.level is Level.WARNING
    assert f"process {pid} (the app" in held.what
