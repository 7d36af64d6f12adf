"""The DDL: the files of `sql/`, and the schema that they and the migration create."""

from __future__ import annotations

import re
import secrets
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest
import sqlalchemy as sa
import yaml
from psycopg import sql

from migration_assets.embedded import Urls, fresh_database
from migration_assets.errors import TargetError
from migration_assets.model import source_of
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.preflight.findings import Level
from migration_assets.preflight.target import content
from migration_assets.rollback.removal import nothing_to_prove, remove
from migration_assets.target import ddl
from migration_assets.target.catalog import (
    differences,
    differing_constraints,
    missing_constraints,
)
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.occupants import require_own_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets_tests import ROOT
from migration_assets_tests.support import CONTRACT

FILES = sorted((ROOT / "sql").glob("*.sql"))
TARGET: dict[str, Any] = yaml.safe_load((CONTRACT / "target.yaml").read_text())

SEARCH_INDEXES = {
    "crm_Accounts_search_idx": "gin",
    "crm_Contacts_search_idx": "gin",
    "crm_Leads_search_idx": "gin",
    "crm_Opportunities_search_idx": "gin",
    "Tasks_search_idx": "gin",
    "crm_Accounts_Tasks_search_idx": "gin",
    "Documents_search_idx": "gin",
    "Invoices_search_idx": "gin",
    "crm_Contacts_notes_gin_idx": "gin",
    "Tasks_tags_gin_idx": "gin",
    "crm_Accounts_Tasks_tags_gin_idx": "gin",
    "Documents_tags_gin_idx": "gin",
    "Invoices_invoice_items_gin_idx": "gin",
    "Users_active_idx": "btree",
}

COLUMNS = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           pg_get_expr(d.adbin, d.adrelid)
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
      AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum
"""
CONSTRAINTS = """
    SELECT c.relname, k.conname, k.contype, k.convalidated, k.confupdtype, k.confdeltype,
           (SELECT relname FROM pg_class f WHERE f.oid = k.confrelid),
           ARRAY(SELECT attname::text FROM unnest(k.conkey) WITH ORDINALITY u (attnum, place)
                 JOIN pg_attribute USING (attnum) WHERE attrelid = k.conrelid ORDER BY place),
           ARRAY(SELECT attname::text FROM unnest(k.confkey) WITH ORDINALITY u (attnum, place)
                 JOIN pg_attribute USING (attnum) WHERE attrelid = k.confrelid ORDER BY place)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE c.relnamespace = 'public'::regnamespace AND k.contype <> 'n' ORDER BY k.conname
"""
INDEXES = """
    SELECT t.relname, c.relname, m.amname, i.indisunique, i.indisvalid,
           i.indpred IS NOT NULL OR i.indexprs IS NOT NULL,
           ARRAY(SELECT attname::text FROM unnest(i.indkey) WITH ORDINALITY u (attnum, place)
                 JOIN pg_attribute USING (attnum) WHERE attrelid = i.indrelid ORDER BY place)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_am m ON m.oid = c.relam
    WHERE t.relnamespace = 'public'::regnamespace AND NOT i.indisprimary ORDER BY c.relname
"""
LABELS = """
    SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder)
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
    WHERE t.typnamespace = 'public'::regnamespace GROUP BY 1
"""
ACTIONS = {"c": "CASCADE", "n": "SET NULL", "r": "RESTRICT", "a": "NO ACTION", "d": "SET DEFAULT"}


def type_in_contract(catalog_type: str) -> str:
    """`"taskStatus"` and `timestamp(3) without time zone` as the contract writes them."""
    return catalog_type.removesuffix(" without time zone").strip('"')


def default_in_contract(catalog_default: str | None) -> str | None:
    """`'ACTIVE'::"taskStatus"` as the contract writes it."""
    literal = re.fullmatch(r"'(.*)'::.*", catalog_default or "")
    return literal[1] if literal else catalog_default


def catalog(connection: Connection) -> dict[str, Any]:
    """What the catalog says of the schema `public`, in the shape of the contract."""
    tables: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"columns": {}, "foreign_keys": [], "indexes": []}
    )
    for table, name, type_, not_null, default in connection.execute(COLUMNS):
        column: dict[str, Any] = {"type": type_in_contract(type_)}
        column |= {"not_null": True} if not_null else {}
        column |= {"default": default_in_contract(default)} if default is not None else {}
        tables[table]["columns"][name] = column
    for table, name, kind, valid, update, delete, referred, keys, theirs in connection.execute(
        CONSTRAINTS
    ):
        assert valid
        if kind == "p":
            tables[table]["primary_key"] = {"name": name, "columns": keys}
            continue
        assert kind == "f", f"a constraint of kind {kind}: {name}"
        tables[table]["foreign_keys"].append(
            {
                "name": name,
                "column": ", ".join(keys),
                "references": f"{referred}.{', '.join(theirs)}",
                "on_update": ACTIONS[update],
                "on_delete": ACTIONS[delete],
            }
        )
    for table, name, method, unique, valid, special, keys in connection.execute(INDEXES):
        assert valid
        if name in SEARCH_INDEXES:
            assert method == SEARCH_INDEXES[name]
            continue
        assert (method, special) == ("btree", False), name
        index = {"name": name, "columns": keys} | ({"unique": True} if unique else {})
        tables[table]["indexes"].append(index)
    return {"enums": dict(connection.execute(LABELS).fetchall()), "tables": dict(tables)}


def in_shape(contract: dict[str, Any]) -> dict[str, Any]:
    """The contract with every key written out, and what has no order by name."""

    def by_name(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(things, key=lambda thing: str(thing["name"]))

    tables = {
        name: table
        | {
            "foreign_keys": by_name(table.get("foreign_keys", [])),
            "indexes": by_name(table.get("indexes", [])),
        }
        for name, table in contract["tables"].items()
    }
    return {"enums": contract["enums"], "tables": tables}


def search_indexes(connection: Connection) -> set[str]:
    return {row[1] for row in connection.execute(INDEXES)} & set(SEARCH_INDEXES)


def assert_is_the_contract(connection: Connection) -> None:
    actual, expected = catalog(connection), in_shape(TARGET)
    assert actual["enums"] == expected["enums"]
    assert set(actual["tables"]) == set(expected["tables"])
    for name, table in expected["tables"].items():
        actual_table = actual["tables"][name]
        actual_table["foreign_keys"].sort(key=lambda key: key["name"])
        actual_table["indexes"].sort(key=lambda index: index["name"])
        assert actual_table == table, name
        assert list(actual_table["columns"]) == list(table["columns"]), (
            f"order of columns of {name}"
        )
    assert search_indexes(connection) == set(SEARCH_INDEXES)


def apply_files(connection: psycopg.Connection[Any]) -> None:
    for file in FILES:
        connection.execute(file.read_text())


def schema_of(connection: Connection) -> list[tuple[Any, ...]]:
    """Every relation of the database with its columns, indexes and constraints."""
    queries: tuple[LiteralString, ...] = (
        "SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname IN ('public', 'migration', 'migration_staging')",
        "SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod) "
        "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attnum > 0 "
        "AND c.relnamespace::regnamespace::text IN ('public', 'migration', 'migration_staging')",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace::regnamespace"
        "::text IN ('public', 'migration', 'migration_staging')",
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
        "WHERE indexrelid::regclass::text !~ '^pg_'",
        "SELECT objoid::regclass::text, description FROM pg_description "
        "WHERE classoid = 'pg_class'::regclass AND objoid::regclass::text LIKE 'migration.%'",
        "SELECT extname, extversion FROM pg_extension",
    )
    return [row for query in queries for row in sorted(connection.execute(query).fetchall())]


@pytest.fixture(scope="module")
def shared_empty(servers: Urls) -> Iterator[Connection]:
    with fresh_database(servers) as urls, open_target(urls.postgres_url) as connection:
        yield connection


@pytest.fixture
def empty(shared_empty: Connection) -> Iterator[Connection]:
    """An empty database; what the test does to it is rolled back."""
    with shared_empty.transaction(force_rollback=True):
        yield shared_empty


def test_files_are_what_the_model_makes() -> None:
    assert {file.name: file.read_text() for file in FILES} == dict(ddl.files(NEXTCRM))


def test_files_in_order_make_the_contract_twice_too(target_url: str) -> None:
    with psycopg.connect(target_url, autocommit=True) as connection:
        apply_files(connection)
        assert_is_the_contract(connection)
        before = schema_of(connection)
        apply_files_but_foreign_keys(connection)
        assert schema_of(connection) == before
    with open_target(target_url) as connection:
        assert missing_constraints(NEXTCRM, connection) == []
        create_schema(NEXTCRM, connection)
        assert schema_of(connection) == before


def apply_files_but_foreign_keys(connection: psycopg.Connection[Any]) -> None:
    """PostgreSQL has no `ADD CONSTRAINT IF NOT EXISTS`."""
    for file in FILES:
        if "foreign_keys" not in file.name:
            connection.execute(file.read_text())


@pytest.mark.parametrize("processes", [1, 4])
def test_schema_and_constraints_make_the_same(target_url: str, processes: int) -> None:
    with open_target(target_url) as connection:
        create_schema(NEXTCRM, connection)
        tables = catalog(connection)["tables"]
        assert all(not table["foreign_keys"] and not table["indexes"] for table in tables.values())
        built = build_constraints(NEXTCRM, connection, processes)
        assert (len(built.indexes), len(built.foreign_keys)) == (121 + 14, 52)
        assert_is_the_contract(connection)
        assert differing_constraints(NEXTCRM, connection) == {}
        schema_objects = schema_of(connection)
        create_schema(NEXTCRM, connection)
        again = build_constraints(NEXTCRM, connection)
        assert (again.indexes, again.foreign_keys) == ((), ())
        assert schema_of(connection) == schema_objects


def test_a_build_that_was_cut_off_goes_on(schema: Connection) -> None:
    build_constraints(NEXTCRM, schema)
    schema.execute('DROP INDEX "Boards_user_idx"')
    schema.execute('ALTER TABLE "Boards" DROP CONSTRAINT "Boards_user_fkey"')
    assert missing_constraints(NEXTCRM, schema) == ["Boards_user_idx", "Boards_user_fkey"]
    built = build_constraints(NEXTCRM, schema)
    assert (built.indexes, built.foreign_keys) == (("Boards_user_idx",), ("Boards_user_fkey",))
    assert_is_the_contract(schema)


OTHERS = {
    "Boards_user_idx": 'CREATE INDEX "Boards_user_idx" ON "Boards" (title)',
    "Users_email_key": 'CREATE INDEX "Users_email_key" ON "Users" (email)',
    "Users_active_idx": 'CREATE INDEX "Users_active_idx" ON "Users" ("userStatus") '
    "WHERE \"userStatus\" = 'PENDING'",
    "Tasks_search_idx": 'CREATE INDEX "Tasks_search_idx" ON "Tasks" USING gin '
    "(to_tsvector('simple'::regconfig, coalesce(title, '') || ' ' || coalesce(content, '')))",
    "Boards_user_fkey": 'ALTER TABLE "Boards" ADD CONSTRAINT "Boards_user_fkey" FOREIGN KEY ("user") '
    'REFERENCES "Users" (id) ON DELETE CASCADE ON UPDATE CASCADE',
    "Tasks_user_fkey": 'ALTER TABLE "Tasks" ADD CONSTRAINT "Tasks_user_fkey" FOREIGN KEY ("user") '
    'REFERENCES "Users" (id) ON UPDATE CASCADE ON DELETE SET NULL NOT VALID',
}
"""Statements that give the name of an index or foreign key of the model to something else."""


def test_others_of_the_same_name_are_found_and_named(schema: Connection) -> None:
    for statement in OTHERS.values():
        schema.execute(statement)
    differing = differing_constraints(NEXTCRM, schema)
    assert set(differing) == set(OTHERS)
    assert "(title)" in differing["Boards_user_idx"]
    assert differing["Tasks_user_fkey"].endswith("NOT VALID")
    with pytest.raises(TargetError, match=r"6 indexes or foreign keys differ from the model"):
        build_constraints(NEXTCRM, schema)
    for name in OTHERS:
        if name.endswith("_fkey"):
            table = name.partition("_")[0]
            schema.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{name}"')
        else:
            schema.execute(f'DROP INDEX "{name}"')
    build_constraints(NEXTCRM, schema)
    assert differing_constraints(NEXTCRM, schema) == {}
    assert_is_the_contract(schema)


def test_an_empty_schema_made_ahead_is_taken(target_url: str) -> None:
    with open_target(target_url) as connection:
        connection.execute("CREATE SCHEMA migration")
        connection.execute("COMMENT ON SCHEMA migration IS 'for the migration'")
        create_schema(NEXTCRM, connection)
        assert differences(NEXTCRM, connection) == []
        create_schema(NEXTCRM, connection)


def test_bookkeeping_of_another_version_can_be_rolled_back_and_made_anew(
    target: Connection,
) -> None:
    target.execute(f"COMMENT ON SCHEMA migration IS '{ddl.BOOKKEEPING_MARK}0'")
    with pytest.raises(TargetError, match="`migration-assets rollback`, then"):
        create_schema(NEXTCRM, target)
    refused = next(content(NEXTCRM, target))
    assert refused.level is Level.ERROR
    assert "another version" in refused.what
    remove(NEXTCRM, target, nothing_to_prove, dry_run=False)
    create_schema(NEXTCRM, target)
    assert differences(NEXTCRM, target) == []


def test_statistics_are_gathered(schema: Connection) -> None:
    schema.execute('INSERT INTO "ImageUpload" SELECT gen_random_uuid() FROM generate_series(1, 5)')
    build_constraints(NEXTCRM, schema)
    query = "SELECT reltuples FROM pg_class WHERE oid = '\"ImageUpload\"'::regclass"
    assert schema.execute(query).fetchone() == (5,)


def test_an_invalid_index_counts_as_missing_and_is_built_anew(target: Connection) -> None:
    target.execute(
        'INSERT INTO "Users" (id, __v, email) '
        "SELECT gen_random_uuid(), 0, 'same' FROM generate_series(1, 2)"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        target.execute('CREATE UNIQUE INDEX CONCURRENTLY "Users_email_key" ON "Users" (email)')
    assert "Users_email_key" in missing_constraints(NEXTCRM, target)
    target.execute('DELETE FROM "Users"')
    assert "Users_email_key" in build_constraints(NEXTCRM, target).indexes
    assert missing_constraints(NEXTCRM, target) == []
    assert_is_the_contract(target)


ENGLISH = "to_tsvector('english'::regconfig, {}) @@ to_tsquery('english', 'word')"
QUERIES = {
    "crm_Accounts_search_idx": ENGLISH.format("left(name, 20000)"),
    "crm_Contacts_search_idx": ENGLISH.format(
        "coalesce(left(first_name, 20000), '') || ' ' || coalesce(left(last_name, 20000), '')"
    ),
    "crm_Leads_search_idx": ENGLISH.format(
        "coalesce(left(\"firstName\", 20000), '') || ' ' || coalesce(left(\"lastName\", 20000), '') "
        "|| ' ' || coalesce(left(company, 20000), '')"
    ),
    "crm_Opportunities_search_idx": ENGLISH.format(
        "coalesce(left(name, 20000), '') || ' ' || coalesce(left(description, 20000), '')"
    ),
    "Tasks_search_idx": ENGLISH.format(
        "coalesce(left(title, 20000), '') || ' ' || coalesce(left(content, 20000), '')"
    ),
    "crm_Accounts_Tasks_search_idx": ENGLISH.format(
        "coalesce(left(title, 20000), '') || ' ' || coalesce(left(content, 20000), '')"
    ),
    "Documents_search_idx": ENGLISH.format(
        "coalesce(left(document_name, 20000), '') || ' ' || coalesce(left(description, 20000), '')"
    ),
    "Invoices_search_idx": ENGLISH.format(
        "coalesce(left(invoice_number, 20000), '') || ' ' || coalesce(left(partner, 20000), '') "
        "|| ' ' || coalesce(left(description, 20000), '')"
    ),
    "crm_Contacts_notes_gin_idx": "notes::varchar(500)[] @> '{word}'::varchar(500)[]",
    "Tasks_tags_gin_idx": "tags @> '[1]'",
    "crm_Accounts_Tasks_tags_gin_idx": "tags @> '[1]'",
    "Documents_tags_gin_idx": "tags @> '[1]'",
    "Invoices_invoice_items_gin_idx": "invoice_items @> '[1]'",
    "Users_active_idx": "\"userStatus\" = 'ACTIVE'",
}
"""What each search index is for."""


def test_queries_use_the_search_indexes(schema: Connection) -> None:
    build_constraints(NEXTCRM, schema)
    schema.execute("SET LOCAL enable_seqscan = off")
    # It would serve the same query as the partial index does.
    schema.execute('DROP INDEX "Users_userStatus_idx"')
    tables = {name: table for table, name, *_ in schema.execute(INDEXES)}
    for index, condition in QUERIES.items():
        query = f'EXPLAIN SELECT id FROM "{tables[index]}" WHERE {condition}'
        plan = schema.execute(query).fetchall()
        assert index in str(plan), plan


FOREIGN: list[tuple[LiteralString, str]] = [
    ("CREATE TABLE theirs (a int)", "public.theirs"),
    ("CREATE VIEW theirs AS SELECT 1 AS a", "public.theirs"),
    ("CREATE SCHEMA app; CREATE TABLE app.theirs (a int)", "app.theirs"),
    ('CREATE TABLE "Users" (id uuid PRIMARY KEY)', "public.Users"),
    ("CREATE SCHEMA migration; CREATE TABLE migration.theirs (a int)", "migration.theirs"),
]


@pytest.mark.parametrize(("statement", "name"), FOREIGN, ids=[name for _, name in FOREIGN])
def test_a_target_with_tables_of_others_is_refused(
    empty: Connection, statement: LiteralString, name: str
) -> None:
    empty.execute(statement)
    before = schema_of(empty)
    for refused in (require_own_target, create_schema):
        with pytest.raises(TargetError, match="not made by this project") as raised:
            refused(NEXTCRM, empty)
        assert name in str(raised.value)
    assert schema_of(empty) == before


def test_views_of_extensions_are_nobodys(empty: Connection) -> None:
    empty.execute("CREATE EXTENSION pg_stat_statements")
    create_schema(NEXTCRM, empty)


@pytest.mark.parametrize("state", ["0A000", "58P01", "42501", "XX000"])
def test_an_extension_that_cannot_be_created_stops_nothing(empty: Connection, state: str) -> None:
    empty.execute(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE 'not on the list' USING ERRCODE = '{state}'; END $$"
    )
    empty.execute(
        "CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') "
        "EXECUTE FUNCTION refuse()"
    )
    assert create_schema(NEXTCRM, empty) == ("vector", "uuid-ossp")
    assert differences(NEXTCRM, empty) == []


def test_ours_may_have_tables_of_others_beside_it(schema: Connection) -> None:
    schema.execute("CREATE TABLE theirs (a int)")
    create_schema(NEXTCRM, schema)


DRIFTED: list[tuple[LiteralString, str]] = [
    (
        'ALTER TABLE "Boards" ALTER position TYPE integer',
        "Boards.position is integer, not bigint",
    ),
    (
        'ALTER TABLE "Boards" ALTER icon SET NOT NULL',
        "Boards.icon is text NOT NULL, not text",
    ),
    (
        'ALTER TABLE "Boards" ALTER title DROP NOT NULL',
        "Boards.title is text, not text NOT NULL",
    ),
    (
        'ALTER TABLE "Boards" ALTER "createdAt" TYPE timestamp(6)',
        "Boards.createdAt is timestamp(6) without time zone, not timestamp(3) without time zone",
    ),
    (
        'ALTER TABLE "Tasks" ALTER "taskStatus" DROP DEFAULT, '
        'ALTER "taskStatus" TYPE text USING "taskStatus"::text',
        'Tasks.taskStatus is text, not "taskStatus"',
    ),
    ('ALTER TABLE "Boards" DROP icon', "Boards.icon is missing, not text"),
    ('ALTER TABLE "Boards" ADD extra text', "Boards.extra is text, not missing"),
    ("ALTER TYPE \"Language\" ADD VALUE 'fr'", "enum Language has other labels"),
    ("ALTER TYPE \"Language\" RENAME VALUE 'cz' TO 'cs'", "enum Language has other labels"),
]


@pytest.mark.parametrize(
    ("statement", "expected"), DRIFTED, ids=[expected for _, expected in DRIFTED]
)
def test_a_drifted_column_is_reported(
    schema: Connection, statement: LiteralString, expected: str
) -> None:
    assert differences(NEXTCRM, schema) == []
    schema.execute(statement)
    assert differences(NEXTCRM, schema) == [expected]
    before = schema_of(schema)
    with pytest.raises(TargetError, match=re.escape(expected)):
        create_schema(NEXTCRM, schema)
    assert schema_of(schema) == before


def test_a_refused_drift_leaves_what_was_missing_as_it_was(schema: Connection) -> None:
    schema.execute('DROP TABLE "ImageUpload"; ALTER TABLE "Boards" ALTER icon SET NOT NULL')
    before = schema_of(schema)
    with pytest.raises(TargetError, match=r"Boards\.icon"):
        create_schema(NEXTCRM, schema)
    assert schema_of(schema) == before


def test_additions_as_earlier_versions_built_them_are_built_anew(schema: Connection) -> None:
    build_constraints(NEXTCRM, schema)
    former = ddl.unbounded_search_indexes(NEXTCRM)
    assert len(former) == 9
    for name, statement in former.items():
        schema.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        schema.execute(statement.encode())
    assert set(differing_constraints(NEXTCRM, schema)) == set(former)
    assert set(build_constraints(NEXTCRM, schema).indexes) == set(former)
    assert differing_constraints(NEXTCRM, schema) == {}


def test_all_but_an_index_that_a_value_is_too_long_for_is_built(target: Connection) -> None:
    """Written by somebody else: the rules let no such value through."""
    target.execute(
        'INSERT INTO "crm_Accounts" (id, __v, name, status) VALUES (gen_random_uuid(), 0, %s, %s)',
        ["x", secrets.token_urlsafe(3_000)],
    )
    built = build_constraints(NEXTCRM, target)
    assert built.left_out == ("crm_Accounts_status_idx",)
    assert missing_constraints(NEXTCRM, target) == ["crm_Accounts_status_idx"]


BOUNDED = [
    column
    for table in ENTITIES.values()
    for column in table.columns
    if source_of(column).longest is not None
]


def test_what_a_rule_lets_through_fits_every_index_of_the_application(schema: Connection) -> None:
    build_constraints(NEXTCRM, schema)
    for key, owner in ddl.tables_of_foreign_keys(NEXTCRM).items():
        drop = sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}")
        schema.execute(drop.format(sql.Identifier(owner), sql.Identifier(key)))
    of_text = {
        (table.name, column.name)
        for table in ENTITIES.values()
        for index in table.indexes
        for column in index.columns
        if isinstance(column.type, sa.Text)
    }
    assert {(column.table.name, column.name) for column in BOUNDED} == of_text
    for column in BOUNDED:
        table = column.table
        longest = source_of(column).longest
        assert longest is not None
        # No server compresses it, and another column of the index is NULL.
        values: dict[str, Any] = {column.name: secrets.token_urlsafe(longest)[:longest]}
        for other in table.columns:
            if other.name not in values and not other.nullable and other.server_default is None:
                values[other.name] = STANDS_FOR[str(other.type)]
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table.name),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join([sql.Placeholder()] * len(values)),
        )
        with schema.transaction(force_rollback=True):
            schema.execute(insert, list(values.values()))
        values[column.name] += secrets.token_urlsafe(60)
        with pytest.raises(psycopg.errors.ProgramLimitExceeded), schema.transaction():
            schema.execute(insert, list(values.values()))


STANDS_FOR = {
    "UUID": uuid.uuid4(),
    "TEXT": "x",
    "INTEGER": 0,
    "BIGINT": 0,
    "BOOLEAN": False,
    "TIMESTAMP": "2024-01-01",
}


def test_statistics_are_gathered_where_rows_have_changed(target: Connection) -> None:
    added = """INSERT INTO "crm_Industry_Type" (id, __v, name)
        SELECT gen_random_uuid(), 0, number::text FROM generate_series(1, %s) number"""
    target.execute(added, [100])
    assert set(build_constraints(NEXTCRM, target).analyzed) == set(TABLES)
    assert build_constraints(NEXTCRM, target).analyzed == ()
    target.execute(added, [5])
    assert build_constraints(NEXTCRM, target).analyzed == ()
    target.execute("""UPDATE "crm_Industry_Type" SET name = 'x' || name WHERE name < '2'""")
    assert build_constraints(NEXTCRM, target).analyzed == ("crm_Industry_Type",)
    target.execute("SELECT pg_stat_reset()")
    assert set(build_constraints(NEXTCRM, target).analyzed) == set(TABLES)


def test_statistics_within_a_transaction_are_gathered_anew(schema: Connection) -> None:
    build_constraints(NEXTCRM, schema)
    assert set(build_constraints(NEXTCRM, schema).analyzed) == set(TABLES)
