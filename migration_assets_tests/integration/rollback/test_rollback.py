"""Rolling back: PostgreSQL's gains go into MongoDB and come back the same; the target is cleared."""

from __future__ import annotations

import json
import math
import re
import stat
import struct
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from bson import Binary, Decimal128, Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from pymongo import MongoClient
from typer.testing import CliRunner, Result

from migration_assets.cli import app
from migration_assets.conversion.extended_json import relaxed
from migration_assets.embedded import Urls, fresh_database
from migration_assets.identity import canonical, document_uuid, object_id, source_id
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.model import Rule, source_of, sources
from migration_assets.nextcrm import ENTITIES, JUNCTIONS, NEXTCRM, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.nextcrm.sample.values import SECRET_PREFIX
from migration_assets.rollback.apply import OperationState, state_of
from migration_assets.rollback.files import MANIFEST, Manifest, operations, read_manifest
from migration_assets.rollback.identifiers import candidate, hashed_object_id, identifier_of
from migration_assets.rollback.operations import (
    Delete,
    Insert,
    Operation,
    PairChange,
    Update,
    line_of,
    operation_of,
    same,
)
from migration_assets.rollback.values import NotHeldError, bson_value
from migration_assets.settings import ROLLBACK_URL, SOURCE_URL, TARGET_URL
from migration_assets.source.connection import CODEC, Document, open_source
from migration_assets.target.connection import open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets_tests.support.loaded_sample import database_copy, load_everything

SCALE = 0.01
DIRTY = 0.05
REFUSED, COULD_NOT_RUN = 1, 2


def migrate(source_url: str, target_url: str) -> None:
    """Migrates everything, without the checks."""
    with open_source(source_url) as source, open_target(target_url) as target:
        load_everything(source, target)
        build_constraints(NEXTCRM, target)


@contextmanager
def mongo_copy(url: str) -> Iterator[str]:
    """Lends a copy of a MongoDB database."""
    name = f"copy_{uuid.uuid4().hex[:12]}"
    with MongoClient[Document](url) as client:
        database = client.get_default_database()
        for collection in database.list_collection_names():
            database[collection].aggregate([{"$out": {"db": name, "coll": collection}}])
        yield url.replace(f"/{database.name}", f"/{name}")
        client.drop_database(name)


@dataclass(frozen=True)
class Site:
    """A source, and a target of the test's own that was migrated from it."""

    source_url: str
    target_url: str = field(repr=False)

    @property
    def target_name(self) -> str:
        """The name of the target database."""
        return self.target_url.rpartition("/")[2]

    def execute(self, statement: str | sql.Composable, *values: object) -> list[tuple[Any, ...]]:
        """Executes a statement in the target, as the application would."""
        with psycopg.connect(self.target_url, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def run(self, *arguments: str | Path, **environment: str) -> Result:
        """Runs a command; what it prints must hold no secret, and no password."""
        variables = {SOURCE_URL.name: self.source_url, TARGET_URL.name: self.target_url}
        result = CliRunner().invoke(app, [*map(str, arguments)], env=variables | environment)
        output = result.output + result.stderr
        assert SECRET_PREFIX not in output
        assert "postgresql://" not in output.replace("postgresql://user:password@", "")
        return result

    def export(self, directory: Path) -> Manifest:
        """Exports what the target gained."""
        result = self.run("export-gained", directory)
        assert result.exit_code == 0, result.output
        return read_manifest(directory)

    def apply(self, directory: Path, url: str, *more: str) -> Result:
        """Applies an export to a copy of the source."""
        name = url.rpartition("/")[2].partition("?")[0]
        environment = {ROLLBACK_URL.name: url}
        return self.run("apply-gained", directory, "--yes-write", name, *more, **environment)


@pytest.fixture
def site(small_migration: Urls, small_copy: str) -> Site:
    """A migrated target of the test's own."""
    return Site(small_migration.mongodb_url, small_copy)


@pytest.fixture(scope="module")
def dirty_migration(servers: Urls) -> Iterator[Urls]:
    """A source in which every kind of fault occurs, migrated; nobody changes it."""
    with fresh_database(servers) as urls:
        with MongoClient[Document](urls.mongodb_url) as client:
            generate(client.get_default_database(), scale=SCALE, dirty=DIRTY)
        migrate(urls.mongodb_url, urls.postgres_url)
        yield urls


@pytest.fixture
def dirty_site(servers: Urls, dirty_migration: Urls) -> Iterator[Site]:
    """A target of the test's own that was migrated from that source: to export it takes twice as long."""
    with database_copy(servers, dirty_migration.postgres_url) as url:
        yield Site(dirty_migration.mongodb_url, url)


def rows(url: str) -> dict[str, list[str]]:
    """Returns all rows of all tables as texts."""
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        return {
            name: [
                row
                for (row,) in connection.execute(
                    sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
                )
            ]
            for name in TABLES
        }


def renamed(tables: Mapping[str, list[str]], names: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns rows with some UUIDs replaced, in order."""

    def replaced(row: str) -> str:
        return _UUID.sub(lambda match: names.get(match.group(), match.group()), row)

    return {name: sorted(map(replaced, texts)) for name, texts in tables.items()}


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def new_uuids(directory: Path) -> dict[str, str]:
    """Returns the UUID of each created row after another migration, by its present one."""
    lines = (directory / "_new_ids.jsonl").read_text().splitlines()
    created = [json.loads(line) for line in lines]
    return {
        entry["id"]: str(document_uuid(entry["collection"], identifier_of(entry["_id"])))
        for entry in created
    }


# What an application does.

JSON = {
    "list": [1, -7, 2.5, 1.0, 2**40, 1e20, None, True, "a \"quoted\" 'text'\n\\"],
    "when": {"$date": "2024-01-02T03:04:05.678Z"},
    "owner": {"$oid": "507f1f77bcf86cd799439011"},
    "price": {"$numberDecimal": "1.50"},
    "empty": {},
}
_WRITTEN: Mapping[Rule, str] = {
    Rule.TEXT: "'changed ''žluť'' \"q\" \\ ' || id::text",
    Rule.INTEGER: "-2147483648",
    Rule.BIGINT: "9007199254740993",
    Rule.BOOLEAN: "NOT coalesce({column}, false)",
    Rule.TIMESTAMP: "timestamp '0044-03-15 12:00:00.123 BC'",
    Rule.JSON: "{json}::jsonb",
    Rule.TEXT_ARRAY: "ARRAY['one', '', 'two, \"three\"', 'NULL']",
    Rule.REFERENCE: '(SELECT id FROM "{references}" r WHERE r.id <> t.id ORDER BY id DESC LIMIT 1)',
    Rule.REFERENCE_ARRAY: 'ARRAY(SELECT id FROM "{references}" ORDER BY id DESC LIMIT 2)',
    Rule.REFERENCE_TEXT: '(SELECT id::text FROM "{references}" ORDER BY id DESC LIMIT 1)',
    Rule.REFERENCE_TEXT_ARRAY: 'ARRAY(SELECT id::text FROM "{references}" ORDER BY id LIMIT 3)'
    " || ARRAY['no id']",
}
_ARRAYS = (Rule.TEXT_ARRAY, Rule.REFERENCE_ARRAY, Rule.REFERENCE_TEXT_ARRAY)


def written(column: sa.Column[object]) -> str:
    """Returns the expression for a new value of a column."""
    source = source_of(column)
    if source.rule is Rule.ENUM:
        return f"'{source.labels[-1]}'"
    return _WRITTEN[source.rule].format(
        column=f't."{column.name}"',
        references=source.references,
        json=sql.Literal(json.dumps(JSON)).as_string(),
    )


def update_every_column(site: Site) -> int:
    """Changes each column in one row, and makes it NULL or empty in another; returns how many changed."""
    statements = []
    for name, table in ENTITIES.items():
        for place, (column, source) in enumerate(sources(table).items()):
            if source.rule is Rule.KEY or (name, column) == ("Users", "email"):
                continue  # a document with the same e-mail, rejected, would come in instead
            empty = "'{}'" if source.rule in _ARRAYS else "NULL"
            values = [written(table.columns[column])]
            values += [empty] if table.columns[column].nullable else []
            for more, value in enumerate(values):
                statements.append(
                    f'UPDATE "{name}" t SET "{column}" = {value} WHERE id = (SELECT id FROM "{name}" '
                    f"ORDER BY id OFFSET (({place} * 7 + {more * 3}) % (SELECT count(*) "
                    f'FROM "{name}")) LIMIT 1)'
                )
    with psycopg.connect(site.target_url) as connection:
        return sum(connection.execute(statement).rowcount for statement in statements)


def change_pairs(site: Site) -> None:
    """Removes some pairs of every relation, those of odd arrays among them, and adds others."""
    for name, table in JUNCTIONS.items():
        left, right = (
            (column.name, next(iter(column.foreign_keys)).target_fullname.split(".")[0])
            for column in table.columns
        )
        site.execute(
            f'DELETE FROM "{name}" WHERE ("{left[0]}", "{right[0]}") IN (SELECT "{left[0]}", '
            f'"{right[0]}" FROM (SELECT *, row_number() OVER (ORDER BY 1, 2) n FROM "{name}") p '
            "WHERE n % 2 = 0)"
        )
        site.execute(
            f'INSERT INTO "{name}" ("{left[0]}", "{right[0]}") SELECT l.id, r.id FROM '
            f'(SELECT id FROM "{left[1]}" ORDER BY id DESC LIMIT 3) l, '
            f'(SELECT id FROM "{right[1]}" ORDER BY id LIMIT 3) r ON CONFLICT DO NOTHING'
        )


def create_rows(site: Site) -> Mapping[str, uuid.UUID]:
    """Creates documents that refer to each other, with UUIDs that the migration has not made."""
    ids = {
        name: uuid.uuid4() for name in ("user", "account", "contact", "task", "document", "todo")
    }
    ids["board"] = uuid.UUID(
        "01890a5d-ac96-774b-bcce-b302099a8057"
    )  # a UUIDv7, not from an ObjectId
    ids["employee"] = document_uuid("Employees", ObjectId("6500000000000000deadbeef"))
    site.execute(
        'INSERT INTO "Users" (id, __v, email, name) VALUES (%s, 3, %s, %s)',
        ids["user"],
        "created@example.com",
        "Zoë",
    )
    site.execute(
        'INSERT INTO "crm_Accounts" (id, __v, name, assigned_to, "createdBy", "updatedBy") '
        "VALUES (%s, 0, 'New', %s, %s, (SELECT id FROM \"Users\" ORDER BY id LIMIT 1))",
        *[ids["account"], ids["user"], ids["user"]],
    )
    site.execute(
        'INSERT INTO "crm_Contacts" (id, last_name, "accountsIDs", account, tags, notes) '
        "VALUES (%s, 'Last', %s, %s, '{a,b}', '{}')",
        *[ids["contact"], ids["account"], ids["account"]],
    )
    site.execute(
        'INSERT INTO "crm_Accounts_Tasks" (id, __v, priority, title, account, "user", tags, likes) '
        "VALUES (%s, 0, 'high', 'Call', %s, %s, %s, 5)",
        *[ids["task"], ids["account"], ids["user"], json.dumps(JSON)],
    )
    site.execute(
        'INSERT INTO "Documents" (id, document_name, "document_file_mimeType", document_file_url, '
        "connected_documents) VALUES (%s, 'x', 'text/plain', 'https://x', %s)",
        *[ids["document"], [str(ids["document"]), "none"]],
    )
    site.execute(
        'INSERT INTO "TodoList" (id, "createdAt", description, title, url, "user") '
        "VALUES (%s, 'now', 'd', 't', 'u', %s)",
        *[ids["todo"], str(ids["user"])],
    )
    site.execute(
        'INSERT INTO "Boards" (id, __v, description, title, "user", "sharedWith", position) '
        "VALUES (%s, 0, 'd', 't', %s, %s, 4294967296)",
        *[ids["board"], ids["user"], [ids["user"]]],
    )
    site.execute(
        'INSERT INTO "Employees" (id, __v, avatar, name, salary, status) '
        "VALUES (%s, 0, 'a', 'n', 1, 's')",
        ids["employee"],
    )
    pairs = 'INSERT INTO "{}" SELECT %s::uuid, id FROM "{}" WHERE id = %s OR {}'
    old = 'id = (SELECT id FROM "Users" ORDER BY id LIMIT 1)'
    for table, holder in (("AccountWatchers", "account"), ("BoardWatchers", "board")):
        site.execute(pairs.format(table, "Users", old), ids[holder], ids["user"])
    old = 'id IN (SELECT id FROM "crm_Accounts" ORDER BY id LIMIT 2)'
    site.execute(
        pairs.format("DocumentsToAccounts", "crm_Accounts", old), ids["document"], ids["account"]
    )
    return ids


def delete_rows(site: Site) -> list[uuid.UUID]:
    """Deletes documents that are in pairs, and one that is in none; returns their ids."""
    conditions = {
        "Documents": 'id IN (SELECT document_id FROM "DocumentsToAccounts") AND NOT EXISTS '
        '(SELECT FROM "Documents" o WHERE t.id::text = ANY(o.connected_documents))',
        "Invoices": 'id IN (SELECT invoice_id FROM "DocumentsToInvoices")',
        "tasksComments": "true",
    }
    gone = []
    for name, condition in conditions.items():
        deleted = site.execute(
            f'DELETE FROM "{name}" WHERE id IN (SELECT id FROM "{name}" t WHERE {condition} '
            "ORDER BY id LIMIT 2) RETURNING id"
        )
        assert len(deleted) == 2
        gone += [row_id for (row_id,) in deleted]
    return gone


def test_what_postgresql_gained_comes_back_the_same(
    servers: Urls, dirty_site: Site, tmp_path: Path
) -> None:
    """Export, apply to a copy of the source, migrate the copy: every row is as the application left it."""
    assert update_every_column(dirty_site) > 400
    change_pairs(dirty_site)
    created = create_rows(dirty_site)
    gone = delete_rows(dirty_site)
    changed = rows(dirty_site.target_url)

    manifest = dirty_site.export(tmp_path / "export")
    assert manifest.problems == 0
    counted = manifest.operations
    assert counted["insert"] == len(created)
    assert counted["delete"] == len(gone)
    assert counted["update"] > 100
    assert counted["pairs"] > 20
    for file in (tmp_path / "export").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "export").stat().st_mode) == 0o700

    with mongo_copy(dirty_site.source_url) as copy:
        looked = dirty_site.apply(tmp_path / "export", copy, "--dry-run")
        assert looked.exit_code == 0, looked.output
        applied = dirty_site.apply(tmp_path / "export", copy)
        assert applied.exit_code == 0, applied.output
        with MongoClient[Document](copy) as client:
            mongo = client.get_default_database(codec_options=CODEC)
            before = {name: list(mongo[name].find()) for name in ENTITIES}
            again = dirty_site.apply(tmp_path / "export", copy)
            assert again.exit_code == 0, again.output
            assert re.search(r"to apply +0 +0 +0 +0 *\n", again.output)
            after = {name: list(mongo[name].find()) for name in ENTITIES}
            assert canonical(after) == canonical(before)
            check_created(mongo, tmp_path / "export", created)
        with database_copy(servers) as url:
            migrate(copy, url)
            expected = renamed(changed, new_uuids(tmp_path / "export"))
            actual = renamed(rows(url), {})
            assert actual.keys() == expected.keys()
            for name, table_rows in actual.items():
                assert table_rows == expected[name], name

    # The export holds it all, so the target may go.
    result = dirty_site.run(
        "rollback", "--exported", tmp_path / "export", "--yes-remove", dirty_site.target_name
    )
    assert result.exit_code == 0, result.output


def check_created(mongo: Any, directory: Path, created: Mapping[str, uuid.UUID]) -> None:
    """Checks the types of a created document as the application reads them."""
    object_ids = {
        line["id"]: ObjectId(line["_id"])
        for line in map(json.loads, (directory / "_new_ids.jsonl").read_text().splitlines())
    }
    ids = {name: object_ids[str(row_id)] for name, row_id in created.items()}
    assert ids["employee"] == ObjectId("6500000000000000deadbeef")
    task = mongo["crm_Accounts_Tasks"].find_one({"_id": ids["task"]})
    assert (task["account"], task["user"]) == (ids["account"], ids["user"])
    assert type(task["likes"]) is int
    assert task["tags"]["owner"] == ObjectId("507f1f77bcf86cd799439011")
    assert task["tags"]["price"] == Decimal128("1.50")
    assert "content" not in task
    board = mongo["Boards"].find_one({"_id": ids["board"]})
    assert type(board["position"]) is Int64
    assert board["sharedWith"] == [ids["user"]]
    assert ids["user"] in board["watchers"]
    account = mongo["crm_Accounts"].find_one({"_id": ids["account"]})
    assert account["documentsIDs"] == [ids["document"]]
    assert mongo["TodoList"].find_one({"_id": ids["todo"]})["user"] == str(ids["user"])
    document = mongo["Documents"].find_one({"_id": ids["document"]})
    assert document["connected_documents"] == [str(ids["document"]), "none"]
    assert document["invoiceIDs"] == []
    user = mongo["Users"].find_one({"_id": ids["user"]})
    assert (user["__v"], user["userStatus"]) == (3, "PENDING")
    assert set(user["watching_accountsIDs"]) >= {ids["account"]}


def test_untouched_target_has_gained_nothing(dirty_site: Site, tmp_path: Path) -> None:
    manifest = dirty_site.export(tmp_path / "export")
    assert manifest.collections == {}
    assert sum(manifest.operations.values()) == 0
    names = {path.name for path in (tmp_path / "export").iterdir()}
    assert names == {MANIFEST, "_new_ids.jsonl", "_problems.jsonl"}


def test_row_of_a_rejected_document_completes_the_document(
    dirty_site: Site, tmp_path: Path
) -> None:
    """Somebody put in by hand what the migration had to reject: the document is there already."""
    ((row_id,),) = dirty_site.execute(
        "SELECT m.id FROM migration.rejected_documents r JOIN migration.uuid_map m "
        "USING (collection, source_id) WHERE collection = 'Employees' LIMIT 1"
    )
    dirty_site.execute(
        'INSERT INTO "Employees" (id, __v, avatar, name, salary, status) '
        "VALUES (%s, 0, 'a', 'by hand', 1, 's')",
        row_id,
    )
    manifest = dirty_site.export(tmp_path / "export")
    assert +manifest.operations == {"update": 1}
    with mongo_copy(dirty_site.source_url) as copy:
        assert dirty_site.apply(tmp_path / "export", copy).exit_code == 0
        with MongoClient[Document](copy) as client:
            employees = client.get_default_database()["Employees"]
            assert employees.count_documents({"name": "by hand"}) == 1


def test_source_that_was_written_to_is_refused(site: Site, tmp_path: Path) -> None:
    with mongo_copy(site.source_url) as copy:
        with MongoClient[Document](copy) as client:
            client.get_default_database()["Boards"].insert_one({"title": "written since"})
        changed = Site(copy, site.target_url)
        result = changed.run("export-gained", tmp_path / "export")
        assert result.exit_code == REFUSED
        assert "Boards" in result.output
        assert not (tmp_path / "export" / MANIFEST).exists()
        result = changed.run("rollback", "--yes-remove", site.target_name)
        assert result.exit_code == REFUSED
        assert "--discard-gained" in result.output
    assert rows(site.target_url)["Boards"]


def test_what_mongodb_cannot_hold_is_reported(site: Site, tmp_path: Path) -> None:
    site.execute("UPDATE \"Boards\" SET \"updatedAt\" = 'infinity', title = 'kept'")
    site.execute(
        'UPDATE "Tasks" SET tags = \'{"$date": "never"}\' WHERE id = %s', first(site, "Tasks")
    )
    site.execute('ALTER TABLE "Sections" ADD COLUMN colour text')
    site.execute("UPDATE \"Sections\" SET colour = 'red'")
    site.execute("CREATE TABLE _prisma_migrations (id text PRIMARY KEY)")
    boards = len(rows(site.target_url)["Boards"])
    result = site.run("export-gained", tmp_path / "export")
    assert result.exit_code == REFUSED
    assert "Sections.colour" in result.output
    assert "_prisma_migrations" in result.output
    manifest = read_manifest(tmp_path / "export")
    assert manifest.problems == boards + 2
    problems = [
        json.loads(line)
        for line in (tmp_path / "export" / "_problems.jsonl").read_text().splitlines()
    ]
    assert {(problem["table"], problem["column"]) for problem in problems} == {
        ("Boards", "updatedAt"),
        ("Tasks", None),
    }
    assert manifest.operations["update"] == boards
    arguments = ("--exported", str(tmp_path / "export"), "--yes-remove", site.target_name)
    assert site.run("rollback", *arguments).exit_code == REFUSED


def first(site: Site, table: str) -> uuid.UUID:
    """Returns the id of the first row of a table."""
    ((row_id,),) = site.execute(f'SELECT id FROM "{table}" ORDER BY id LIMIT 1')
    assert isinstance(row_id, uuid.UUID)
    return row_id


def test_apply_never_overwrites_what_was_written_since(site: Site, tmp_path: Path) -> None:
    ids = [row[0] for row in site.execute('SELECT id FROM "Sections" ORDER BY id LIMIT 3')]
    comment = first(site, "tasksComments")
    created = uuid.uuid4()
    for section_id in ids:
        site.execute("UPDATE \"Sections\" SET title = 'from PostgreSQL' WHERE id = %s", section_id)
    site.execute('DELETE FROM "tasksComments" WHERE id = %s', comment)
    site.execute("INSERT INTO \"modulStatus\" VALUES (%s, 'new', true)", created)
    site.export(tmp_path / "export")
    documents = [object_id(section_id) for section_id in ids]
    with mongo_copy(site.source_url) as copy, MongoClient[Document](copy) as client:
        mongo = client.get_default_database()
        mongo["Sections"].update_one({"_id": documents[0]}, {"$set": {"title": "from MongoDB"}})
        mongo["Sections"].delete_one({"_id": documents[1]})
        mongo["tasksComments"].update_one({"_id": object_id(comment)}, {"$set": {"extra": 1}})
        clash = hashed_object_id("modulStatus", created)
        mongo["modulStatus"].insert_one({"_id": clash, "name": "another"})

        result = site.apply(tmp_path / "export", copy)
        assert result.exit_code == REFUSED
        assert "4 operations are in conflict" in result.output
        assert "from MongoDB" not in result.output
        assert mongo["Sections"].count_documents({"title": "from PostgreSQL"}) == 0

        result = site.apply(tmp_path / "export", copy, "--skip-conflicts")
        assert result.exit_code == REFUSED
        titles = {
            source_id(section["_id"]): section["title"] for section in mongo["Sections"].find()
        }
        assert titles[str(documents[0])] == "from MongoDB"
        assert str(documents[1]) not in titles
        assert titles[str(documents[2])] == "from PostgreSQL"
        assert mongo["tasksComments"].count_documents({"_id": object_id(comment)}) == 1
        assert mongo["modulStatus"].find_one({"_id": clash}) == {"_id": clash, "name": "another"}


def test_unique_value_that_is_taken_is_a_conflict(site: Site, tmp_path: Path) -> None:
    site.execute(
        'INSERT INTO "Users" (id, __v, email) VALUES (%s, 0, %s)', uuid.uuid4(), "taken@example.com"
    )
    site.export(tmp_path / "export")
    with mongo_copy(site.source_url) as copy, MongoClient[Document](copy) as client:
        users = client.get_default_database()["Users"]
        users.create_index(
            "email", unique=True, partialFilterExpression={"email": "taken@example.com"}
        )
        users.insert_one({"email": "taken@example.com"})
        result = site.apply(tmp_path / "export", copy)
        assert result.exit_code == REFUSED
        assert "unique index" in result.output
        assert "taken@example.com" not in result.output


def test_apply_needs_a_url_and_a_name_and_a_whole_export(site: Site, tmp_path: Path) -> None:
    site.execute("UPDATE \"Boards\" SET title = 'x'")
    directory = tmp_path / "export"
    site.export(directory)
    result = site.run("apply-gained", directory, "--yes-write", "anything")
    assert result.exit_code == COULD_NOT_RUN
    assert ROLLBACK_URL.name in result.stderr
    with mongo_copy(site.source_url) as copy, MongoClient[Document](copy) as client:
        result = site.run("apply-gained", directory, "--to", copy, "--yes-write", "another")
        assert result.exit_code == REFUSED
        assert site.run("apply-gained", directory, "--to", copy).exit_code == REFUSED
        boards = client.get_default_database()["Boards"]
        assert boards.count_documents({"title": "x"}) == 0
        with (directory / "collection.Boards.jsonl").open("a") as file:
            file.write("\n")
        result = site.apply(directory, copy)
        assert result.exit_code == COULD_NOT_RUN
        assert "not as it was exported" in result.stderr
    assert site.run("export-gained", directory).exit_code == COULD_NOT_RUN  # not empty


# Clearing the target.

CATALOG = """
    SELECT 'class', n.nspname, c.relname, c.relkind::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname <> 'pg_toast' AND n.nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT 'type', n.nspname, t.typname, t.typtype::text
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname !~ '^pg_(toast_)?temp_' AND n.nspname <> 'pg_toast'
    UNION ALL SELECT 'function', n.nspname, p.oid::regprocedure::text, ''
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    UNION ALL SELECT 'namespace', '', nspname, coalesce(obj_description(oid, 'pg_namespace'), '')
    FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
    UNION ALL SELECT 'extension', '', extname, extversion FROM pg_extension
    UNION ALL SELECT 'constraint', '', conname, contype::text FROM pg_constraint
    ORDER BY 1, 2, 3, 4
"""
FOREIGN = """
    CREATE TABLE _prisma_migrations (id text PRIMARY KEY);
    INSERT INTO _prisma_migrations VALUES ('20240101_init');
    CREATE SCHEMA reporting;
    CREATE TABLE reporting.figures (id int PRIMARY KEY, at timestamp DEFAULT now());
    CREATE TYPE reporting.colour AS ENUM ('red');
    CREATE FUNCTION reporting.one() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""


def test_rollback_leaves_the_database_as_it_was(servers: Urls, small_migration: Urls) -> None:
    source_url = small_migration.mongodb_url
    with database_copy(servers) as url:
        site = Site(source_url, url)
        site.execute("CREATE EXTENSION vector")  # it stays, since it was there before
        before = site.execute(CATALOG)
        migrate(source_url, url)
        assert len(site.execute(CATALOG)) > len(before) + 300
        dry = site.run("rollback", "--dry-run")
        assert dry.exit_code == 0, dry.output
        users = len(rows(url)["Users"])
        assert re.search(rf"table public\.Users +{users} *\n", dry.output)
        assert "extension vector" not in dry.output
        result = site.run("rollback", "--yes-remove", site.target_name)
        assert result.exit_code == 0, result.output
        assert site.execute(CATALOG) == before
        result = site.run("rollback", "--yes-remove", site.target_name)
        assert result.exit_code == COULD_NOT_RUN
        with open_source(source_url) as source, open_target(url) as target:  # and on it goes
            create_schema(NEXTCRM, target)
            load_identities(NEXTCRM, source, target)
            load_table(source, target, TABLES["Users"])
            build_constraints(NEXTCRM, target)


def test_rollback_leaves_what_is_not_ours(servers: Urls, site: Site) -> None:
    with database_copy(servers) as url:
        empty = Site("", url)
        empty.execute(FOREIGN)
        expected = empty.execute(CATALOG)
    site.execute(FOREIGN)
    before = site.execute(CATALOG)
    dry = site.run("rollback", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "extension vector" in dry.output  # created by the migration
    assert site.execute(CATALOG) == before
    result = site.run("rollback", "--yes-remove", site.target_name)
    assert result.exit_code == 0, result.output
    assert site.execute(CATALOG) == expected
    assert site.execute("SELECT id FROM _prisma_migrations") == [("20240101_init",)]


DEPENDENTS = {
    'VIEW active AS SELECT id FROM "Users"': "view active",
    'TABLE notes (of uuid REFERENCES "Users")': "table notes",
    'TABLE labels (language "Language")': "table labels",
    "TABLE migration.mine (id int)": "table migration.mine",
    "TABLE vectors (embedding vector(3))": "table vectors",
}


def test_rollback_refuses_and_names_what_depends_on_it(site: Site) -> None:
    for definition, named in DEPENDENTS.items():
        site.execute(f"CREATE {definition}")
        before = site.execute(CATALOG)
        for arguments in (("--dry-run",), ("--yes-remove", site.target_name)):
            result = site.run("rollback", "--discard-gained", *arguments)
            assert result.exit_code == REFUSED, result.output
            assert named in " ".join(result.output.split())
        assert site.execute(CATALOG) == before
        site.execute(f"DROP {named}")


def test_rollback_keeps_what_the_application_wrote(site: Site, tmp_path: Path) -> None:
    site.execute("UPDATE \"Boards\" SET title = 'written' WHERE id = %s", first(site, "Boards"))
    name = site.target_name
    before = rows(site.target_url)
    result = site.run("rollback", "--yes-remove", name)
    assert result.exit_code == REFUSED
    assert "Boards (1)" in result.output
    assert site.run("rollback", "--discard-gained", "--yes-remove", "another").exit_code == REFUSED
    assert site.run("rollback", "--discard-gained").exit_code == REFUSED  # nobody types a name
    directory = tmp_path / "export"
    site.export(directory)
    site.execute("UPDATE \"Boards\" SET title = 'later' WHERE id = %s", first(site, "Boards"))
    result = site.run("rollback", "--exported", directory, "--yes-remove", name)
    assert result.exit_code == REFUSED
    assert "written to since the export: Boards" in " ".join(result.output.split())
    both = ("--exported", str(directory), "--discard-gained")
    assert site.run("rollback", *both).exit_code == COULD_NOT_RUN
    assert {name: len(table_rows) for name, table_rows in rows(site.target_url).items()} == {
        name: len(table_rows) for name, table_rows in before.items()
    }
    result = site.run("rollback", "--discard-gained", "--yes-remove", name)
    assert result.exit_code == 0, result.output


def test_rollback_of_an_unfinished_migration(servers: Urls, small_migration: Urls) -> None:
    source_url = small_migration.mongodb_url
    with database_copy(servers) as url:
        site = Site(source_url, url)
        before = site.execute(CATALOG)
        with open_source(source_url) as source, open_target(url) as target:
            create_schema(NEXTCRM, target)
            load_identities(NEXTCRM, source, target)
            load_table(source, target, TABLES["Users"])
            target.execute('CREATE UNLOGGED TABLE migration_staging."Boards" (id uuid)')
        result = site.run("rollback", "--yes-remove", site.target_name)
        assert result.exit_code == 0, result.output
        assert site.execute(CATALOG) == before


# Values and operations.

_KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\x00$."), max_size=8)
_SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    # Extended JSON has one NaN; another is refused.
    st.floats(allow_nan=False) | st.just(math.nan),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.integers(-(10**14), 10**16).map(DatetimeMS),
    st.binary(max_size=4).map(lambda data: Binary(data, 5)),
    st.decimals(allow_nan=False, places=3, min_value=-(10**20), max_value=10**20).map(Decimal128),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=8,
)


(_OTHER_NAN,) = struct.unpack("<d", bytes.fromhex("010000000000f87f"))


@given(_VALUES)
def test_operation_reads_back_as_it_was(value: Any) -> None:
    operation = Update(1, before={"a": value}, set={"b": value}, unset=("c",))
    line = line_of(operation)
    assert "\n" not in line
    assert line_of(operation_of(line)) == line


@pytest.mark.parametrize(
    "value", [{"$oid": "507f1f77bcf86cd799439011"}, {"$date": "never"}, 2**64, _OTHER_NAN]
)
def test_operation_that_would_be_read_as_another_is_no_line(value: Any) -> None:
    with pytest.raises(ValueError, match=r"MongoDB|Extended JSON"):
        line_of(Insert({"_id": 1, "a": value}))


@given(_VALUES)
def test_json_becomes_the_value_that_it_was(value: Any) -> None:
    """Relaxed Extended JSON has one kind of number; written again it is the same."""
    source = sources(ENTITIES["Tasks"])["tags"]
    back = bson_value(source, relaxed(value), {}, {})
    assert relaxed(back) == relaxed(value)


def test_json_number_that_no_bson_type_holds_is_not_rounded() -> None:
    source = sources(ENTITIES["Tasks"])["tags"]
    assert bson_value(source, "0.12345678901234567890", {}, {}) == Decimal128(
        "0.12345678901234567890"
    )
    with pytest.raises(NotHeldError):
        bson_value(source, "0." + "1" * 40, {}, {})


def test_new_object_id_is_a_function_of_table_and_uuid() -> None:
    row = uuid.UUID("9b2e6b0e-6d6c-4f0e-9b6a-0d6b3a1c2d3e")
    assert hashed_object_id("Users", row) == hashed_object_id("Users", row)
    new_ids = {hashed_object_id(name, row, attempt) for name in ENTITIES for attempt in range(3)}
    assert len(new_ids) == 3 * len(ENTITIES)
    assert candidate("Users", row, 0) == hashed_object_id("Users", row)
    ours = document_uuid("Users", ObjectId("507f1f77bcf86cd799439011"))
    assert candidate("Users", ours, 0) == ObjectId("507f1f77bcf86cd799439011")


@pytest.mark.parametrize(
    "identifier",
    [
        ObjectId(),
        "507f1f77bcf86cd799439011",
        7,
        Int64(2**40),
        "legacy:1",
        {"a": 1},
        Binary(b"x" * 16, 4),
    ],
)
def test_identifier_of_is_the_inverse_of_source_id(identifier: Any) -> None:
    assert same(identifier_of(source_id(identifier)), identifier)


STATES: list[tuple[Operation, Document | None, OperationState]] = [
    (Insert({"_id": 1, "a": 2}), None, OperationState.PENDING),
    (Insert({"_id": 1, "a": 2}), {"_id": 1, "a": 2}, OperationState.DONE),
    (Insert({"_id": 1, "a": 2}), {"_id": 1, "a": Int64(2)}, OperationState.CONFLICT),
    (Delete(1, {"_id": 1, "a": 2}), None, OperationState.DONE),
    (Delete(1, {"_id": 1, "a": 2}), {"_id": 1, "a": 2}, OperationState.PENDING),
    (Delete(1, {"_id": 1, "a": 2}), {"_id": 1, "a": 2, "b": 3}, OperationState.CONFLICT),
    (Update(1, {"a": 1}, {"a": 2}), None, OperationState.CONFLICT),
    (Update(1, {"a": 1}, {"a": 2}), {"_id": 1, "a": 1, "other": 5}, OperationState.PENDING),
    (Update(1, {"a": 1}, {"a": 2}), {"_id": 1, "a": 2}, OperationState.DONE),
    (Update(1, {"a": 1}, {"a": 2}), {"_id": 1, "a": 3}, OperationState.CONFLICT),
    (Update(1, {"a": 1}, {"a": 2}), {"_id": 1}, OperationState.CONFLICT),
    (Update(1, {}, {"a": 2}), {"_id": 1}, OperationState.PENDING),
    (Update(1, {}, {"a": 2}), {"_id": 1, "a": None}, OperationState.CONFLICT),
    (Update(1, {"a": 1}, {}, ("a",)), {"_id": 1}, OperationState.DONE),
    (PairChange(1, "x", (7,), (8,)), {"_id": 1}, OperationState.PENDING),
    (PairChange(1, "x", (7,), (8,)), {"_id": 1, "x": [8, 9]}, OperationState.PENDING),
    (PairChange(1, "x", (7,), (8,)), {"_id": 1, "x": [9, 7]}, OperationState.DONE),
    (PairChange(1, "x", (7,), (8,)), {"_id": 1, "x": 7}, OperationState.CONFLICT),
    (PairChange(1, "x", (7,), (8,)), None, OperationState.CONFLICT),
]


@pytest.mark.parametrize(("operation", "current", "expected"), STATES)
def test_state_of_an_operation(
    operation: Operation, current: Document | None, expected: OperationState
) -> None:
    assert state_of(operation, current)[0] is expected


def test_operations_of_a_file(site: Site, tmp_path: Path) -> None:
    """Only the fields that changed are touched; a pair stands on both sides."""
    board = first(site, "Boards")
    site.execute("UPDATE \"Boards\" SET title = 'changed', icon = NULL WHERE id = %s", board)
    ((account, user),) = site.execute(
        'SELECT account_id, user_id FROM "AccountWatchers" ORDER BY 1, 2 LIMIT 1'
    )
    site.execute(
        'DELETE FROM "AccountWatchers" WHERE (account_id, user_id) = (%s, %s)', account, user
    )
    manifest = site.export(tmp_path / "export")
    operations_by_collection = {
        name: list(operations(tmp_path / "export", written))
        for name, written in manifest.collections.items()
    }
    (update,) = operations_by_collection["Boards"]
    assert isinstance(update, Update)
    assert update.touched <= {"title", "icon"}
    assert update.set == {"title": "changed"}
    sides = {
        "crm_Accounts": ("watchers", account, user),
        "Users": ("watching_accountsIDs", user, account),
    }
    for collection, (array, holder, element) in sides.items():
        for pairs in operations_by_collection.get(collection, []):
            assert pairs == PairChange(object_id(holder), array, (), (object_id(element),))
    assert operations_by_collection.keys() & sides.keys()
