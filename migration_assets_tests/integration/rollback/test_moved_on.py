"""Rolling back when the application has moved on: known rows are exported, the rest named."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import LiteralString

import pytest
from typer.testing import Result

from migration_assets.commands.running import require_standing
from migration_assets.embedded import Urls
from migration_assets.errors import MigrationError
from migration_assets.nextcrm import NEXTCRM
from migration_assets.rollback.files import operations, read_manifest
from migration_assets.rollback.operations import Insert, Update
from migration_assets.target.connection import Connection
from migration_assets.target.created import DatabaseObject, recorded_objects
from migration_assets.target.standing import changes_since
from migration_assets_tests.integration.rollback.test_rollback import Site

REFUSED, COULD_NOT_RUN = 1, 2

CHANGES: dict[LiteralString, list[str]] = {
    'DROP TABLE "gpt_models"': ["table gpt_models is gone"],
    'ALTER TABLE "Boards" DROP icon': ["column Boards.icon is gone"],
    'ALTER TABLE "Boards" RENAME icon TO symbol': ["column Boards.icon is symbol now"],
    'ALTER TABLE "Boards" DROP icon; ALTER TABLE "Boards" RENAME title TO name': [
        "column Boards.icon is gone",
        "column Boards.title is name now",
    ],
    'ALTER TABLE "crm_Opportunities" ALTER budget TYPE numeric(18,2)': [
        "column crm_Opportunities.budget is numeric(18,2) now, not bigint"
    ],
    'ALTER TABLE "tasksComments" ALTER task DROP NOT NULL': [
        "column tasksComments.task takes NULL now"
    ],
    'ALTER TABLE "Boards" ALTER icon SET NOT NULL': ["column Boards.icon refuses NULL now"],
    'ALTER TABLE "Boards" ADD extra text': ["column Boards.extra is new"],
    'CREATE SCHEMA legacy; ALTER TABLE "Invoices" SET SCHEMA legacy': [
        "table Invoices is legacy.Invoices now"
    ],
    'CREATE SCHEMA legacy; ALTER TABLE "Invoices" SET SCHEMA legacy; '
    'CREATE TABLE "Invoices" (id uuid, number text, "createdAt" timestamp(3), status text)': [
        "table Invoices is legacy.Invoices now"
    ],
    'DROP TABLE "Invoices"; CREATE TABLE "Invoices" (id uuid, number text, status text)': [
        "table Invoices is gone"
    ],
    'CREATE SCHEMA legacy; CREATE TABLE legacy."Invoices" AS TABLE "Invoices"; DROP TABLE "Invoices"': [
        "table Invoices is gone"
    ],
    'ALTER TABLE "modulStatus" RENAME TO "moduleStatus"': [
        "table modulStatus is public.moduleStatus now"
    ],
    "CREATE TABLE theirs (id uuid); ALTER TYPE \"Language\" ADD VALUE 'fr'": [],
}


@pytest.mark.parametrize("statement", CHANGES)
def test_every_change_is_named(schema: Connection, statement: LiteralString) -> None:
    # What refers to it stands in no one's way.
    assert changes_since(NEXTCRM, schema) == []
    schema.execute(statement)
    assert changes_since(NEXTCRM, schema) == CHANGES[statement]


def test_checks_are_refused_where_they_cannot_run(schema: Connection) -> None:
    schema.execute(
        'ALTER TABLE "Boards" ADD extra text; ALTER TABLE "tasksComments" ALTER task DROP NOT NULL'
    )
    require_standing(NEXTCRM, schema)
    schema.execute("DROP TABLE gpt_models")
    require_standing(NEXTCRM, schema, creates_tables=True)  # as a run does
    schema.execute('ALTER TABLE "Boards" DROP icon')
    with pytest.raises(MigrationError, match=r"Boards\.icon is gone") as raised:
        require_standing(NEXTCRM, schema)
    assert "table gpt_models is gone" in str(raised.value)
    assert "export-gained" in raised.value.next_step


def test_what_is_ours_is_known_wherever_it_is(schema: Connection) -> None:
    before = recorded_objects(NEXTCRM, schema)
    schema.execute(
        'CREATE SCHEMA legacy; ALTER TABLE "Invoices" SET SCHEMA legacy; '
        'CREATE TABLE "Invoices" (id uuid, number text, status text); DROP TABLE gpt_models'
    )
    gone = {DatabaseObject("table", "public", name) for name in ("Invoices", "gpt_models")}
    moved = {DatabaseObject("table", "legacy", "Invoices")}
    assert recorded_objects(NEXTCRM, schema) == before - gone | moved


UPGRADE = """
    DROP TABLE "openAi_keys"; DROP TABLE "gpt_models"; DROP TABLE "ContactsToOpportunities";
    CREATE SCHEMA legacy;
    ALTER TABLE "Invoices" SET SCHEMA legacy;
    ALTER TABLE "DocumentsToInvoices" SET SCHEMA legacy;
    CREATE TABLE "Invoices" (id uuid PRIMARY KEY, number text);
    INSERT INTO "Invoices" VALUES (gen_random_uuid(), '2026-1');
    ALTER TABLE "secondBrain_notions" RENAME TO notions;
    ALTER TABLE "crm_Leads" DROP lead_source;
    ALTER TABLE "Users" DROP is_admin, ADD role text NOT NULL DEFAULT 'member';
    ALTER TABLE "crm_Opportunities" ALTER budget TYPE numeric(38,2),
        ALTER expected_revenue TYPE numeric(38,2);
    ALTER TABLE "Boards" RENAME icon TO symbol;
    ALTER TABLE "tasksComments" ALTER task DROP NOT NULL;
    ALTER TABLE "Tasks" ALTER "taskStatus" DROP DEFAULT,
        ALTER "taskStatus" TYPE text USING "taskStatus"::text, ADD search tsvector
        GENERATED ALWAYS AS (to_tsvector('simple', title)) STORED;
    ALTER TABLE "Documents" ALTER "createdAt" TYPE timestamptz USING "createdAt" AT TIME ZONE 'UTC';
    ALTER TABLE "crm_Contacts" ALTER status TYPE text USING status::text
"""
"""Changes of every kind that later schema migrations make to our tables and columns."""


@pytest.fixture
def moved_on(small_migration: Urls, small_copy: str) -> Site:
    """A migrated target that the application has changed since."""
    site = Site(small_migration.mongodb_url, small_copy)
    site.execute(UPGRADE)
    return site


def column_problems(result: Result) -> str:
    """Returns the messages of a command on columns that hold more than the model."""
    return " ".join(line for line in result.output.splitlines() if "no room for" in line)


def test_rows_that_users_wrote_are_exported_and_removed(moved_on: Site, tmp_path: Path) -> None:
    site = moved_on
    site.execute('ALTER TABLE "crm_Contacts" ALTER status TYPE boolean USING status::boolean')
    dry = site.run("rollback", "--dry-run")
    assert dry.exit_code == 0, dry.output
    for change in ("table gpt_models is gone", "table Invoices is legacy.Invoices now"):
        assert change in dry.output
    assert re.search(r"table legacy\.Invoices +\d", dry.output)
    assert "table public.notions" in dry.output
    assert "public.Invoices was not created here, and stays" in dry.output

    site.execute(
        'INSERT INTO "crm_Leads" (id, "lastName", company, __v) '
        "VALUES ('00000000-0000-4000-8000-000000000001', 'New', 'Ltd', 0)"
    )
    for statement in WRITES:
        table = statement.split()[1]
        site.execute(statement.format(first=f"(SELECT min(id::text)::uuid FROM {table})"))
    manifest = site.export(tmp_path / "export")
    assert "table gpt_models is gone" in manifest.changes
    operations_by_collection = {
        name: list(operations(tmp_path / "export", written))
        for name, written in manifest.collections.items()
    }
    (lead,) = operations_by_collection.pop("crm_Leads")
    assert isinstance(lead, Insert)
    assert lead.document["lastName"] == "New"
    assert "lead_source" not in lead.document
    values_by_collection = {
        name: operation.set
        for name, (operation,) in operations_by_collection.items()
        if isinstance(operation, Update)
    }
    assert values_by_collection == {
        "Boards": {"icon": "star"},
        "crm_Opportunities": {"budget": 12345},
        "Tasks": {"taskStatus": "WAITING"},
        "Documents": {"createdAt": datetime(2026, 1, 2, 1, 4, 5)},
        "Invoices": {"partner": "changed"},
    }
    assert values_by_collection.keys() == operations_by_collection.keys()
    for command in ("validate", "run"):
        refused = site.run(command)
        assert refused.exit_code == COULD_NOT_RUN
        assert "its tables are not as they were migrated: column Users.is_admin is gone" in (
            refused.stderr
        )

    arguments = ("--exported", tmp_path / "export", "--yes-remove", site.target_name)
    result = site.run("rollback", *arguments)
    assert result.exit_code == 0, result.output
    remaining_tables = site.execute(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
    )
    assert remaining_tables == [("public.Invoices",)]
    assert site.execute('SELECT number FROM public."Invoices"') == [("2026-1",)]


WRITES = (
    "UPDATE \"Boards\" SET symbol = 'star' WHERE id = {first}",
    'UPDATE "crm_Opportunities" SET budget = 12345 WHERE id = {first}',
    'UPDATE "Tasks" SET "taskStatus" = \'WAITING\' WHERE id = {first}',
    'UPDATE "Documents" SET "createdAt" = \'2026-01-02 03:04:05+02\' WHERE id = {first}',
    "UPDATE legacy.\"Invoices\" SET partner = 'changed' WHERE id = {first}",
)


def test_what_the_model_has_no_room_for_is_counted(moved_on: Site, tmp_path: Path) -> None:
    site = moved_on
    first = 'WHERE id = (SELECT min(id::text)::uuid FROM "{}")'
    site.execute('UPDATE "crm_Opportunities" SET budget = 0.5 ' + first.format("crm_Opportunities"))
    site.execute("UPDATE \"Users\" SET role = 'admin' " + first.format("Users"))
    result = site.run("export-gained", tmp_path / "export")
    assert result.exit_code == REFUSED
    problems = column_problems(result)
    for column in ("crm_Contacts.status", "crm_Opportunities.budget", "Users.role"):
        assert f"column {column} holds what the model has no room for: not exported" in problems
    assert problems.count("no room for") == 3
    assert read_manifest(tmp_path / "export").collections == {}
    result = site.run("rollback", "--dry-run")
    assert result.exit_code == REFUSED
    assert "Users.role (1)" in result.output
