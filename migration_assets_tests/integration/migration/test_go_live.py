"""After a signed GO the target is the application's: what it wrote is neither undone nor lost (section 8)."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from bson import ObjectId
from psycopg import sql
from pymongo import MongoClient
from typer.testing import CliRunner

from migration_assets.assets.sign_off import SignOffConfig
from migration_assets.cli import app
from migration_assets.embedded import Urls
from migration_assets.errors import LoadError, MigrationError, TargetError
from migration_assets.loading.load import load_table
from migration_assets.loading.merging import delete_pending
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.settings import REPORTS, SOURCE_URL, TARGET_URL
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, at_one_moment, open_target
from migration_assets.target.ownership import SignedGo, require_ours, standing_go, withdraw
from migration_assets.target.schema import build_constraints, create_schema

WRITES = {
    "a row that MongoDB does not know": 'INSERT INTO "Boards" SELECT (jsonb_populate_record(b, '
    """jsonb_build_object('id', gen_random_uuid()))).* FROM "Boards" b LIMIT 1""",
    "a row of ours changed": "UPDATE \"Boards\" SET title = 'theirs' "
    'WHERE id = (SELECT min(id::text)::uuid FROM "Boards")',
    "a row of ours deleted": 'DELETE FROM "DocumentsToTasks"',
    "all rows gone": 'TRUNCATE "DocumentsToTasks"',
    "a pair of a relation": 'INSERT INTO "DocumentsToTasks" SELECT d.id, t.id FROM "Documents" d, "Tasks" t '
    "ON CONFLICT DO NOTHING",
}


def sign(
    connection: Connection, verdict: str = "GO", approver: str | None = "Ann Example", day: int = 1
) -> None:
    connection.execute(
        "INSERT INTO migration.sign_offs (signed_at, verdict, report, approver) VALUES (%s, %s, '{}', %s)",
        [dt.datetime(2027, 1, day, tzinfo=dt.UTC), verdict, approver],
    )


def content(connection: Connection, table: str) -> list[str]:
    query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(table))
    return [row for (row,) in connection.execute(query)]


@pytest.fixture(scope="module")
def small_source(small_migration: Urls) -> Iterator[SourceDatabase]:
    with open_source(small_migration.mongodb_url) as source:
        yield source


@pytest.fixture
def live(small_copy: str) -> Iterator[Connection]:
    """A migrated target of which somebody has signed a GO."""
    with open_target(small_copy) as connection:
        sign(connection)
        yield connection


@pytest.mark.parametrize("statement", WRITES.values(), ids=WRITES.keys())
def test_load_into_a_table_that_the_application_wrote_to_is_refused_until_withdrawn(
    live: Connection, small_source: SourceDatabase, statement: str
) -> None:
    name = "Boards" if "Boards" in statement else "DocumentsToTasks"
    ours = content(live, name)
    live.execute(statement.encode())
    theirs = content(live, name)
    assert theirs != ours
    with pytest.raises(LoadError) as refusal:
        load_table(small_source, live, TABLES[name])
    assert refusal.value.where == f"table {name}"
    assert "Ann Example signed a GO on 2027-01-01 00:00:00 UTC" in str(refusal.value)
    assert "--withdraw NAME --reason" in refusal.value.next_step
    assert "\n" not in str(refusal.value)
    assert content(live, name) == theirs
    withdraw(live, "Bob", "back to MongoDB")
    load_table(small_source, live, TABLES[name])
    assert content(live, name) == ours


def test_what_the_application_writes_while_the_source_is_read_is_not_undone(
    live: Connection, small_source: SourceDatabase, small_copy: str
) -> None:
    """The merging transaction looks again; the write comes after the first look."""
    live.execute("DELETE FROM migration.document_digests")  # all documents are converted
    live.execute("UPDATE migration.loads SET program = 'older' WHERE target_table = 'Boards'")

    def write(_: str) -> None:
        with open_target(small_copy) as other:
            other.execute("""UPDATE "Boards" SET title = 'theirs'""")

    live.execute(
        "INSERT INTO migration.loads "
        "(id, target_table, started_at, plan, remediations, fingerprints, statistics) "
        "VALUES (gen_random_uuid(), 'Boards', now(), '', 'others', '{}', '{}')"
    )
    live.execute(
        "INSERT INTO migration.batches (load_id, number, range, lines, digest, tally) "
        "SELECT id, 1, '{}', 0, '0 0 0 0 0 0 0 0 0 0', '{}' "
        "FROM migration.loads WHERE target_table = 'Boards' AND finished_at IS NULL"
    )
    with pytest.raises(LoadError, match="the target is the application's"):
        load_table(
            small_source, live, TABLES["Boards"], say=write
        )  # it says why nothing is resumed
    assert {*live.execute('SELECT DISTINCT title FROM "Boards"')} == {("theirs",)}


def test_untouched_table_takes_a_late_write_to_the_source_after_a_go(
    live: Connection, small_migration: Urls
) -> None:
    with MongoClient[dict[str, object]](small_migration.mongodb_url) as client:
        industries = client.get_default_database()["crm_Industry_Type"]
        late = ObjectId()
        industries.insert_one({"_id": late, "__v": 0, "name": "late"})
        try:
            with open_source(small_migration.mongodb_url) as source:
                assert load_table(source, live, TABLES["crm_Industry_Type"]).merged.inserted == 1
        finally:
            industries.delete_one({"_id": late})


def test_rows_that_wait_for_deletion_are_the_applications_too(live: Connection) -> None:
    with live.transaction():
        live.execute(
            "INSERT INTO migration.pending_deletes "
            "SELECT 'invoice_States', id FROM \"invoice_States\" LIMIT 1"
        )
    with pytest.raises(LoadError, match="invoice_States"), at_one_moment(live):
        delete_pending(NEXTCRM, live)


def test_deletion_that_would_take_rows_of_the_applications_own_tables_is_refused(
    live: Connection, small_migration: Urls
) -> None:
    live.execute(
        'CREATE TABLE badges (industry uuid REFERENCES "crm_Industry_Type" (id) ON DELETE CASCADE)'
    )
    live.execute('INSERT INTO badges SELECT id FROM "crm_Industry_Type"')
    before = content(live, "badges")
    with MongoClient[dict[str, object]](small_migration.mongodb_url) as client:
        industries = client.get_default_database()["crm_Industry_Type"]
        documents = list(industries.find())
        live.execute('UPDATE "crm_Accounts" SET industry = NULL')
        industries.delete_many({})
        try:
            with (
                open_source(small_migration.mongodb_url) as source,
                pytest.raises(LoadError, match=r"would take rows of public\.badges with them"),
            ):
                load_table(source, live, TABLES["crm_Industry_Type"])
        finally:
            industries.insert_many(documents)
    assert content(live, "badges") == before


def test_what_the_application_dropped_is_not_created_again(live: Connection) -> None:
    live.execute('DROP TABLE "openAi_keys"')
    with pytest.raises(TargetError, match=r"table public\.openAi_keys is not there any more"):
        create_schema(NEXTCRM, live)
    assert live.execute("SELECT to_regclass('\"openAi_keys\"')").fetchone() == (None,)
    live.execute('ALTER TABLE "Boards" DROP CONSTRAINT "Boards_user_fkey"')
    with pytest.raises(TargetError, match=r"Boards_user_fkey.* is not there any more"):
        build_constraints(NEXTCRM, live)


def test_addition_of_ours_that_the_application_dropped_stays_away(live: Connection) -> None:
    live.execute('DROP INDEX "crm_Contacts_notes_gin_idx"')
    assert build_constraints(NEXTCRM, live).indexes == ()
    withdraw(live, "Bob", "why")
    assert build_constraints(NEXTCRM, live).indexes == ("crm_Contacts_notes_gin_idx",)


def test_only_a_withdrawal_ends_what_a_signed_go_protects(target: Connection) -> None:
    with pytest.raises(MigrationError, match="nothing to withdraw"):
        withdraw(target, "Bob", "why")
    sign(target, "GO", None, 1)
    sign(target, "NO-GO", "Ann Example", 2)
    assert standing_go(target) is None
    sign(target, "GO", "Ann Example", 3)
    sign(target, "NO-GO", "Cid", 4)
    sign(target, "GO", None, 5)
    assert standing_go(target) == SignedGo("Ann Example", dt.datetime(2027, 1, 3, tzinfo=dt.UTC))
    for name, reason in (("", "why"), ("Bob", " ")):
        with pytest.raises(MigrationError, match="a name and a reason"):
            withdraw(target, name, reason)
    withdraw(target, "Bob", "why")
    require_ours(target, TABLES["Boards"])
    sign(target, "GO", "Dee", 6)
    assert standing_go(target) is not None
    with pytest.raises(LoadError, match="Dee signed"):
        require_ours(target, TABLES["Boards"])  # never loaded: whose rows they are is not known


def test_withdrawal_on_the_command_line_is_on_record(
    live: Connection, small_copy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TARGET_URL.name, small_copy)

    def call(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["sign-off", *arguments])
        return result.exit_code, result.output

    code, output = call("--withdraw", "Bob")
    assert (code, "a withdrawal has a name and a reason" in output) == (2, True)
    code, output = call("--withdraw", "Bob", "--reason", "why", "--approver", "Ann")
    assert (code, "given and withdrawn at once" in output) == (2, True)
    code, output = call("--withdraw", "Bob", "--reason", "back to MongoDB")
    assert (code, "withdrawn by Bob: Ann Example signed a GO on 2027-01-01" in output) == (0, True)
    row = live.execute("SELECT withdrawn_by, withdrawal_reason FROM migration.sign_offs").fetchone()
    assert row == ("Bob", "back to MongoDB")
    assert call("--withdraw", "Bob", "--reason", "again")[0] == 2


def test_withdrawal_in_the_launchpad(live: Connection) -> None:
    assert not SignOffConfig(approver="Ann Example").is_withdrawing
    config = SignOffConfig(withdraw="Bob", withdrawal_reason="back to MongoDB")
    assert config.is_withdrawing
    with pytest.raises(MigrationError, match="given and withdrawn at once"):
        SignOffConfig(withdraw="Bob", approver="Ann Example").withdraw_go(live)
    config.withdraw_go(live)
    assert standing_go(live) is None


def test_run_after_go_live_is_refused_and_touches_nothing(
    live: Connection,
    small_copy: str,
    small_migration: Urls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("DAGSTER_HOME", "DAGSTER_POSTGRES_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(SOURCE_URL.name, small_migration.mongodb_url)
    monkeypatch.setenv(TARGET_URL.name, small_copy)
    monkeypatch.setenv(REPORTS.name, str(tmp_path / "reports"))
    assert os.environ[TARGET_URL.name] == small_copy
    live.execute("""UPDATE "invoice_States" SET name = 'theirs'""")
    before = content(live, "invoice_States")
    result = CliRunner().invoke(app, ["run", "--select", "invoice_States"])
    assert result.exit_code == 2
    output = " ".join(result.output.split())
    assert (
        "table invoice_States: the target was written to since the load, and Ann Example" in output
    )
    assert content(live, "invoice_States") == before
