"""The upgrade to today's application: its counts beforehand, and the SQL that saves dropped data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import Int64, ObjectId
from bson.datetime_ms import DatetimeMS
from psycopg import sql
from pymongo import MongoClient

from migration_assets.embedded import Urls, fresh_database
from migration_assets.identity import document_uuid
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.nextcrm.upgrade import CONSEQUENCES, RELEASE
from migration_assets.preflight.contents import contents
from migration_assets.preflight.findings import Area, Level
from migration_assets.preflight.upgrade import findings as upgrade
from migration_assets.rollback.files import operations, read_manifest
from migration_assets.rollback.operations import Update
from migration_assets.sign_off.recorded import read_recorded
from migration_assets.sign_off.verdict import judged
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import open_target
from migration_assets.target.schema import build_constraints
from migration_assets.upgrade import in_source, in_target
from migration_assets_tests import ROOT
from migration_assets_tests.integration.rollback.test_rollback import Site
from migration_assets_tests.support.loaded_sample import database_copy, load_everything
from migration_assets_tests.support.pages import DOCS, Shell, do_page

BASELINE, BEFORE, AFTER = (
    (ROOT / "sql" / "application" / name).read_text(encoding="utf-8")
    for name in ("01_baseline.sql", "02_before_deploy.sql", "03_after_deploy.sql")
)
DEPLOY = Path(__file__).with_name("application_0_21_2.sql").read_text(encoding="utf-8")

DEPLOYED_ELSEWHERE = (
    "needs Node and the application's files; the test does to these tables what they do"
)

NOW = dt.datetime(2023, 9, 1)


def oid(number: int) -> ObjectId:
    return ObjectId(f"64f0000000000000{number:08x}")


ADMIN, OTHER, STRANGER = oid(1), oid(2), oid(3)
CRM_TASK, INVOICE = oid(20), oid(30)
MADE_OF_ODD_TYPES = {"type": ["Customer"], "status": True, "created_by": "x", "createdBy": 1}

DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "Users": [
        {"_id": ADMIN, "email": "Admin@Example.org", "is_admin": True, "userStatus": "ACTIVE"},
        {"_id": OTHER, "email": "same@example.org", "is_admin": False, "userStatus": "ACTIVE"},
        {"_id": STRANGER, "email": "Same@example.org", "is_admin": False, "userStatus": "PENDING"},
    ],
    "crm_Contacts": [
        {
            "_id": oid(40),
            "last_name": "a",
            "type": "Clients",
            "created_by": ADMIN,
            "createdBy": OTHER,
        },
        {"_id": oid(41), "last_name": "b", "type": " clients", "created_by": ADMIN},
        {"_id": oid(42), "last_name": "c", "type": "CUSTOMER"},
        {"_id": oid(43), "last_name": "d", **MADE_OF_ODD_TYPES},
    ],
    "crm_Leads": [
        {"_id": oid(50), "lastName": "a", "status": "NEW", "type": "DEMO", "lead_source": "Fair "},
        {"_id": oid(51), "lastName": "b", "status": "Asleep", "type": "", "lead_source": "web"},
        {"_id": oid(52), "lastName": "c", "status": "asleep", "type": "WEB", "lead_source": "web"},
        {"_id": oid(53), "lastName": "d", "lead_source": " "},
    ],
    "crm_Accounts": [{"_id": oid(55), "name": "a", "status": "DELETED"}],
    "crm_campaigns": [{"_id": oid(56), "name": "a", "status": "deleted"}],
    "crm_Opportunities": [
        {"_id": oid(60), "currency": "eur", "created_by": ADMIN, "createdBy": OTHER},
        {"_id": oid(61), "currency": " Gbp", "budget": Int64(10**16 - 1)},
        {"_id": oid(62), "currency": "korunas"},
        {"_id": oid(63), "currency": "EURO"},
        {"_id": oid(64), "close_date": DatetimeMS(-61_398_259_200_000)},
    ],
    "crm_Opportunities_Sales_Stages": [{"_id": oid(65), "name": "a", "order": 2**31 - 1}],
    "crm_Accounts_Tasks": [{"_id": CRM_TASK, "title": "a", "priority": "low", "user": ADMIN}],
    "tasksComments": [
        {
            "_id": oid(70),
            "comment": "a\x00\\u0000 \\",
            "createdAt": NOW,
            "task": CRM_TASK,
            "user": OTHER,
        },
        {"_id": oid(71), "__v": 2, "comment": "b", "task": str(CRM_TASK).upper(), "user": ADMIN},
        {"_id": oid(72), "comment": "of nobody", "task": CRM_TASK, "user": oid(9)},
        {"_id": oid(73), "comment": "of nothing", "task": oid(9), "user": ADMIN},
    ],
    "Documents": [
        {
            "_id": oid(80),
            "document_name": "a",
            "document_file_mimeType": "a",
            "document_file_url": "a",
            "document_system_type": "INVOICE",
            "invoiceIDs": [INVOICE],
        }
    ],
    "Invoices": [
        {
            "_id": INVOICE,
            "invoice_file_mimeType": "a",
            "invoice_file_url": "a",
            "last_updated": NOW,
            "visibility": True,
        }
    ],
    "openAi_keys": [{"_id": oid(81), "user": ADMIN, "organization_id": "a", "api_key": "SECRET-"}],
    "system_Modules_Enabled": [{"_id": oid(82), "name": "crm", "enabled": True, "position": 1}],
    "gpt_models": [{"_id": oid(83), "model": "a", "status": "ACTIVE"}],
    "modulStatus": [{"_id": oid(84), "name": "a", "isVisible": True}],
}

COUNTS = {
    ("crm_Contacts", "type", "refused"): 2,
    ("crm_Leads", "status", "refused"): 2,
    ("crm_Leads", "type", "refused"): 2,
    ("Invoices", "", "dropped"): 1,
    ("Users", "is_admin", "dropped"): 1,
    ("crm_Leads", "lead_source", "dropped"): 3,
    ("crm_Opportunities", "currency", "dropped"): 1,
    ("openAi_keys", "", "dropped"): 1,
    ("system_Modules_Enabled", "", "dropped"): 1,
    ("gpt_models", "", "dropped"): 1,
    ("modulStatus", "", "dropped"): 1,
    ("crm_Contacts", "created_by", "dropped"): 1,
    ("crm_Opportunities", "created_by", "dropped"): 1,
    ("crm_Opportunities", "currency", "changed"): 1,
    ("Users", "email", "changed"): 2,
    ("crm_Accounts", "status", "changed"): 1,
    ("crm_campaigns", "status", "changed"): 1,
    ("Users", "email", "unreadable"): 2,
    ("Documents", "document_system_type", "unreadable"): 1,
}
NUMBERS = {
    ("crm_Opportunities", "budget", "refused"): 2,
    ("crm_Opportunities_Sales_Stages", "order", "refused"): 2,
    ("crm_Opportunities_Type", "order", "refused"): 1,
}
TOO_LARGE: dict[str, list[dict[str, Any]]] = {
    "crm_Opportunities": [{"budget": Int64(10**16)}, {"expected_revenue": -(10.0**17)}],
    "crm_Opportunities_Sales_Stages": [
        {"name": "a", "order": Int64(2**31)},
        {"name": "b", "probability": -3_000_000_000.0},
        {"name": "c", "order": "many"},
    ],
    "crm_Opportunities_Type": [{"name": "a", "order": Int64(2**40)}],
}


@pytest.fixture(scope="module")
def migrated(servers: Urls) -> Iterator[Urls]:
    """Both sides of a small migration."""
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
            for name, documents in DOCUMENTS.items():
                client.get_default_database()[name].insert_many(documents)
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as target:
            load_everything(source, target)
            build_constraints(NEXTCRM, target)
        yield urls


@pytest.fixture
def target(servers: Urls, migrated: Urls) -> Iterator[Target]:
    with (
        database_copy(servers, migrated.postgres_url) as url,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        yield Target(connection)


class Target:
    """A migrated target on which files are run, as psql runs them."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.notices: list[str] = []
        connection.add_notice_handler(
            lambda notice: self.notices.append(notice.message_primary or "")
        )

    def run(self, *files: str) -> list[str]:
        """Runs files and returns the notices of the last one."""
        for file in files:
            self.notices.clear()
            try:
                self.connection.execute(sql.SQL(file))
            except psycopg.Error:
                self.connection.execute("ROLLBACK")
                raise
        return [*self.notices]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql.SQL(query)).fetchall()

    def all_tables(self) -> dict[str, str]:
        """Returns a digest of every table that there is."""
        names = self.rows(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        return {
            name: self.rows(f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {name} t")[
                0
            ][0]
            for (name,) in names
        }


def test_source_and_target_are_counted_alike(migrated: Urls) -> None:
    with open_source(migrated.mongodb_url) as source:
        counted = {
            (item.table, item.field, item.outcome.value): count
            for name in DOCUMENTS
            for item, count in in_source(NEXTCRM, source, name, 10_000)
        }
    assert counted == COUNTS
    assert COUNTS.keys() | NUMBERS.keys() == {
        (item.table, item.field, item.outcome.value) for item in CONSEQUENCES
    }
    with (
        open_source(migrated.mongodb_url) as source,
        open_target(migrated.postgres_url) as connection,
    ):
        counted_rows = list(in_target(NEXTCRM, connection, TABLES))
        recorded = read_recorded(NEXTCRM, connection, source)
    in_rows = {(item.table, item.field, item.outcome.value): n for item, n in counted_rows}
    assert in_rows == {**COUNTS, ("crm_Opportunities", "close_date", "unreadable"): 1}
    information = [
        finding for finding in judged(recorded, {}).information if finding.check == "upgrade"
    ]
    assert {
        (finding.table, finding.field, finding.kind): finding.count for finding in information
    } == in_rows
    assert all(RELEASE in finding.what and finding.next_step for finding in information)


def test_numbers_out_of_range_are_counted(mongo_database: SourceDatabase) -> None:
    for name, documents in TOO_LARGE.items():
        mongo_database[name].insert_many([{**document} for document in documents])
    counted = {
        (item.table, item.field, item.outcome.value): count
        for name in TOO_LARGE
        for item, count in in_source(NEXTCRM, mongo_database, name, 10_000)
    }
    assert counted == NUMBERS


def test_preflight_names_counts_by_what_becomes_of_them(
    migrated: Urls, mongo_database: SourceDatabase
) -> None:
    with open_source(migrated.mongodb_url) as source:
        page = list(upgrade(NEXTCRM, source, contents(source)))
    assert {finding.area for finding in page} == {Area.UPGRADE}
    assert [finding.level for finding in page] == [Level.WARNING] * 4
    refused, dropped, changed, unreadable = (finding.what for finding in page)
    assert "Customer, Partner, Vendor, Prospect: 2" in refused
    assert "administrators: 1" in dropped
    assert "capital letters (they become lower case): 2" in changed
    assert "INVOICE" in unreadable
    assert all("docs/runbooks/upgrade.md" in finding.next_step for finding in page)
    (nothing,) = upgrade(NEXTCRM, mongo_database, contents(mongo_database))
    assert nothing.level is Level.OK


def test_nothing_is_lost_by_the_upgrade_and_each_file_runs_once(target: Target) -> None:
    assert target.run(BASELINE) == [
        "nobody has signed a GO: this is a rehearsal, or too early",
        "baseline: 0_init is marked as applied",
    ]
    assert target.run(BASELINE) == ["the baseline is there already: nothing to do"]
    notices = target.run(BEFORE)
    assert notices[-1] == "ready for `prisma migrate deploy` of release 0.21.2"
    assert {"put aside: 1 rows of Invoices", "put aside: 1 administrators"} < set(notices)
    as_left = target.all_tables()
    (again,) = target.run(BEFORE)
    assert again.endswith("nothing to do")
    assert target.all_tables() == as_left
    target.run(DEPLOY)
    (again,) = target.run(BEFORE)
    assert again.endswith("later schema migrations have begun: nothing to do")
    notices = target.run(AFTER)
    assert notices == [
        "brought back: 1 administrators",
        "changed: 1 users who are not active from manager to user",
        "brought back: 3 lead sources",
        "brought in: 2 comments on CRM tasks",
        "2 rejected comments stay in migration.rejected_documents: their task, user or text is missing",
        "the upgrade to release 0.21.2 is done",
    ]
    target.run("""UPDATE "Users" SET role = 'user'; DELETE FROM "tasksComments" """)
    as_left = target.all_tables()
    (again,) = target.run(AFTER)
    assert again.endswith("nothing to do")
    assert target.all_tables() == as_left


def test_what_was_there_is_there_after_the_upgrade(target: Target) -> None:
    target.run(BASELINE, BEFORE, DEPLOY, AFTER)
    assert target.rows('SELECT email, role::text FROM "Users" ORDER BY id') == [
        ("admin@example.org", "admin"),
        ("same@example.org", "manager"),
        ("Same@example.org", "user"),
    ]
    assert target.rows(
        'SELECT s.name FROM "crm_Leads" l JOIN "crm_Lead_Sources" s ON s.id = lead_source_id ORDER BY l.id'
    ) == [("Fair",), ("web",), ("web",)]
    assert target.rows(
        'SELECT count(lead_status_id), count(lead_type_id), count(DISTINCT lead_status_id) FROM "crm_Leads"'
    ) == [(3, 2, 2)]
    assert target.rows(
        'SELECT lower(t.name) FROM "crm_Contacts" c JOIN "crm_Contact_Types" t ON t.id = contact_type_id '
        "ORDER BY c.id"
    ) == [("clients",), ("clients",), ("customer",)]
    assert target.rows('SELECT currency FROM "crm_Opportunities" ORDER BY id') == [
        ("EUR",),
        ("GBP",),
        (None,),
        ("EUR",),
        (None,),
    ]
    assert target.rows(
        'SELECT comment, __v, "createdAt", "user", assigned_crm_account_task, task '
        'FROM "tasksComments" ORDER BY id'
    ) == [
        (
            "a\ufffd\\u0000 \\",
            0,
            NOW,
            document_uuid("Users", OTHER),
            document_uuid("crm_Accounts_Tasks", CRM_TASK),
            None,
        ),
        (
            "b",
            2,
            oid(71).generation_time.replace(tzinfo=None),
            document_uuid("Users", ADMIN),
            document_uuid("crm_Accounts_Tasks", CRM_TASK),
            None,
        ),
    ]
    assert target.rows('SELECT document_system_type::text FROM "Documents"') == [("OTHER",)]
    invoice = document_uuid("Invoices", INVOICE)
    assert target.rows('SELECT id FROM legacy."Invoices"') == [(invoice,)]
    assert target.rows('SELECT invoice_id FROM legacy."DocumentsToInvoices"') == [(invoice,)]
    assert target.rows('SELECT email FROM legacy."Users" ORDER BY id') == [
        ("Admin@Example.org",),
        ("Same@example.org",),
    ]
    assert target.rows(
        "SELECT currency FROM legacy.\"crm_Opportunities\" WHERE currency ~ 'kor'"
    ) == [("korunas",)]
    assert target.rows(
        'SELECT count(*) FROM legacy."crm_Contacts" WHERE created_by <> "createdBy"'
    ) == [(1,)]
    for name in ("openAi_keys", "system_Modules_Enabled", "gpt_models", "modulStatus"):
        assert target.rows(f'SELECT count(*) FROM legacy."{name}"') == [(1,)]


RECORD = (
    "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) "
    "VALUES ('other', 'other', '{}', {})"
)
FORGET = "DELETE FROM _prisma_migrations WHERE id = 'other'"
HIDE = "ALTER SCHEMA migration RENAME TO hidden"
SHOW = "ALTER SCHEMA hidden RENAME TO migration"
UNMIGRATED = "was not migrated by migration-assets"
REFUSED: tuple[tuple[str, tuple[tuple[str, str, str, str], ...]], ...] = (
    (
        "",
        (
            (HIDE, BASELINE, UNMIGRATED, SHOW),
            (HIDE, BEFORE, UNMIGRATED, SHOW),
            (HIDE, AFTER, UNMIGRATED, SHOW),
            ("", BEFORE, "there is no baseline", ""),
            ("", AFTER, "nothing was put aside", ""),
        ),
    ),
    (
        BASELINE,
        (
            ("", AFTER, "nothing was put aside", ""),
            (
                "UPDATE _prisma_migrations SET logs = checksum, checksum = 'other'",
                BASELINE,
                "another checksum",
                "UPDATE _prisma_migrations SET checksum = logs",
            ),
            (
                "UPDATE _prisma_migrations SET finished_at = NULL",
                BASELINE,
                "begun and not as finished",
                "UPDATE _prisma_migrations SET finished_at = now()",
            ),
            (
                "UPDATE _prisma_migrations SET migration_name = '1_x'",
                BASELINE,
                "no 0_init before it",
                "UPDATE _prisma_migrations SET migration_name = '0_init'",
            ),
            (
                "CREATE SCHEMA legacy",
                BEFORE,
                "schema legacy that is not of this upgrade",
                "DROP SCHEMA legacy",
            ),
            (
                'ALTER TABLE "Users" RENAME is_admin TO other',
                BEFORE,
                "Users.is_admin missing",
                'ALTER TABLE "Users" RENAME other TO is_admin',
            ),
            (
                'UPDATE "crm_Opportunities" SET budget = 10000000000000000; '
                'UPDATE "crm_Opportunities_Sales_Stages" SET "order" = -2147483649',
                BEFORE,
                "5 of crm_Opportunities.*; 1 sales stages or types",
                'UPDATE "crm_Opportunities" SET budget = 0; '
                'UPDATE "crm_Opportunities_Sales_Stages" SET "order" = 1',
            ),
        ),
    ),
    (BEFORE, (("", AFTER, "of release 0.21.2 is not applied", ""),)),
    (
        DEPLOY,
        (
            (
                RECORD.format("20270101000000_later", "now()"),
                AFTER,
                "20270101000000_later is of a later release",
                FORGET,
            ),
            (
                RECORD.format("20260501165804_roles", "NULL"),
                AFTER,
                "20260501165804_roles has not ended",
                FORGET,
            ),
        ),
    ),
)
"""By the file that runs first: the statement that makes a file refuse, the file, its message, the undoing."""


def test_a_state_unknown_to_a_file_is_refused_and_nothing_changes(target: Target) -> None:
    for step, cases in REFUSED:
        target.run(step)
        for wrong, file, refusal, undo in cases:
            target.run(wrong)
            before = target.all_tables()
            with pytest.raises(psycopg.errors.RaiseException, match=refusal):
                target.run(file)
            assert target.all_tables() == before, refusal
            target.run(undo)
    assert target.run(AFTER)[-1] == "the upgrade to release 0.21.2 is done"


def test_the_files_are_for_the_owner_and_before_the_deploy(target: Target) -> None:
    target.run("SET ROLE pg_monitor")
    for file in (BASELINE, BEFORE, AFTER):
        with pytest.raises(psycopg.errors.RaiseException, match="does not own the tables"):
            target.run(file)
    target.run("RESET ROLE", BASELINE)
    with pytest.raises(psycopg.errors.AssertFailure, match="contact types"):
        target.run(DEPLOY)
    target.run(DEPLOY.replace("ASSERT NOT", "ASSERT true OR NOT"))
    with pytest.raises(psycopg.errors.RaiseException, match="was begun before anything was put"):
        target.run(BEFORE)


def test_the_runbook_is_done(shell: Shell, servers: Urls, migrated: Urls) -> None:
    with database_copy(servers, migrated.postgres_url) as url:
        shell.use(replace(migrated, postgres_url=url))

        def deploy() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(sql.SQL(DEPLOY))

        do_page(DOCS / "runbooks" / "upgrade.md", shell, {DEPLOYED_ELSEWHERE: deploy})


def test_a_comment_is_brought_in_as_rules_changed_it(target: Target) -> None:
    target.run(
        "INSERT INTO migration.remediations "
        "(target_table, collection, source_id, field, rule, original, replacement) VALUES "
        f"('tasksComments', 'tasksComments', '{oid(72)}', 'user', 'one user of two', NULL, "
        f"""'{{"$oid":"{ADMIN}"}}'), """
        f"('tasksComments', 'tasksComments', '{oid(73)}', 'assigned_crm_account_task', 'sent', NULL, "
        f"""'{{"$oid":"{CRM_TASK}"}}'), """
        f"('tasksComments', 'tasksComments', '{oid(73)}', 'task', 'sent', NULL, NULL)"
    )
    notices = target.run(BASELINE, BEFORE, DEPLOY, AFTER)
    assert "brought in: 4 comments on CRM tasks" in notices
    assert target.rows(
        """SELECT comment, "user" FROM "tasksComments" WHERE comment LIKE 'of%' ORDER BY id"""
    ) == [(f"of {name}", document_uuid("Users", ADMIN)) for name in ("nobody", "nothing")]
    assert target.rows('SELECT source_id FROM legacy."tasksComments" ORDER BY 1') == [
        (str(oid(number)),) for number in range(70, 74)
    ]


def test_a_load_after_the_preparation_makes_it_be_done_anew(target: Target) -> None:
    target.run(BASELINE, BEFORE)
    target.run("UPDATE migration.loads SET finished_at = now() + interval '1 minute'")
    target.run("""UPDATE "Users" SET is_admin = true WHERE email = 'same@example.org'""")
    notices = target.run(BEFORE)
    assert notices[-1].startswith("ready for")
    assert "put aside: 2 administrators" in notices
    ((legacy_schema,),) = target.rows(
        "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'legacy\\_%'"
    )
    assert target.rows(f'SELECT count(*) FROM "{legacy_schema}"."Users" WHERE is_admin') == [(1,)]


def test_what_users_wrote_after_the_upgrade_is_exported(
    migrated: Urls, target: Target, tmp_path: Path
) -> None:
    target.run(BASELINE, BEFORE, DEPLOY, AFTER)
    target.run("UPDATE \"crm_Leads\" SET company = 'written' WHERE \"lastName\" = 'a'")
    name = target.connection.info.dbname
    site = Site(migrated.mongodb_url, f"{migrated.postgres_url.rpartition('/')[0]}/{name}")
    assert site.run("export-gained", tmp_path / "export").exit_code == 1  # new columns are used
    manifest = read_manifest(tmp_path / "export")
    (lead,) = operations(tmp_path / "export", manifest.collections["crm_Leads"])
    assert isinstance(lead, Update)
    assert lead.set == {"company": "written"}
    assert "column crm_Leads.lead_source is gone" in manifest.changes
    dry = site.run("rollback", "--dry-run", "--discard-gained")
    assert dry.exit_code == 0, dry.output
    assert "public.Invoices was not created here, and stays" in dry.output
    assert "table legacy." not in dry.output.partition("would go")[2]  # copies, which are not ours
