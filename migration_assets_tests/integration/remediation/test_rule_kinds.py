"""Each kind of rule on real servers: its effect on a few documents, and the checks agree."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from bson import DatetimeMS, Decimal128, Int64, ObjectId, json_util
from rich.console import Console

from migration_assets.commands.explaining import MASK, explain
from migration_assets.errors import MigrationError, SourceError
from migration_assets.identity import canonical, document_uuid
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.preflight.contents import contents
from migration_assets.preflight.findings import Level
from migration_assets.preflight.source import collections
from migration_assets.remediation.parsing import parse_remediations
from migration_assets.remediation.rules import Remediations
from migration_assets.settings import SOURCE_URL, TARGET_URL
from migration_assets.sign_off.applied import applied
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import fingerprints
from migration_assets.source.united import UnitedDatabase, united
from migration_assets.target.connection import Connection
from migration_assets.validation.unknown_collections import unkept
from migration_assets_tests.support.loaded_sample import all_checks, open_losses

Documents = Mapping[str, Iterable[Mapping[str, Any]]]

USER = ObjectId("64b000000000000000000a01")
USER_DOCUMENT = {
    "_id": USER,
    "__v": 0,
    "email": "user01@example.org",
    "is_account_admin": False,
    "is_admin": False,
    "created_on": dt.datetime(2023, 7, 20),
    "userStatus": "ACTIVE",
    "userLanguage": "en",
}


@dataclass(frozen=True)
class Migrated:
    """A few documents, loaded with rules.

    Attributes:
        source: The source.
        target: A connection to the target.
        rules: The rules.
    """

    source: SourceDatabase
    target: Connection
    rules: Remediations

    def load(self, tables: Iterable[str]) -> None:
        """Loads tables with the rules, after the map."""
        load_identities(NEXTCRM, self.source, self.target)
        for name in tables:
            load_table(self.source, self.target, TABLES[name], remediations=self.rules)

    def query(self, query: str) -> list[Any]:
        """Returns rows of the target."""
        return self.target.execute(query).fetchall()

    def unsound(self, *tables: str) -> dict[tuple[str, str], str]:
        """Returns the checks that disagree with what was loaded."""
        all_evidence = [
            evidence
            for table in tables
            for evidence in all_checks(self.source, self.target, table, self.rules)
        ]
        return {
            (evidence.table, evidence.layer): evidence.summary
            for evidence in all_evidence
            if not evidence.is_sound
        }

    def counts(self) -> dict[str, int]:
        """Returns how often each rule was applied."""
        return {effect.rule: effect.count for effect in applied(NEXTCRM, self.target, self.rules)}


Migrate = Callable[..., Migrated]


@pytest.fixture
def migrate(source: SourceDatabase, target: Connection) -> Migrate:
    """Loads documents with rules into the tables that are named, and runs all checks of them."""

    def migrated(documents: Documents, rules: str, *tables: str) -> Migrated:
        for name, collection_documents in documents.items():
            source[name].insert_many([dict(document) for document in collection_documents])
        parsed = parse_remediations(NEXTCRM, f"version: 1\nrules:\n{rules}")
        migration = Migrated(united(source, parsed.counted_as), target, parsed)
        migration.load(tables)
        assert migration.unsound(*tables) == {}
        return migration

    return migrated


SHAPES = {
    shape["name"]: shape
    for shape in json.loads(Path(__file__).with_name("shapes.json").read_text(encoding="utf-8"))
}
"""Documents as real databases hold them."""


def shapes(*names: str) -> Documents:
    """Returns documents of real databases, each with those that it refers to, by collection."""
    by_collection: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name in names:
        for shape in (SHAPES[name], *SHAPES[name].get("with", ())):
            document = json_util.loads(json.dumps(shape["document"]))
            by_collection.setdefault(shape["collection"], {})[canonical(document["_id"])] = document
    return {name: list(documents.values()) for name, documents in by_collection.items()}


def row_id(collection: str, identifier: Any) -> str:
    return str(document_uuid(collection, identifier))


def test_values_that_were_fine_and_were_changed_are_counted(migrate: Migrate) -> None:
    leads = [
        {"_id": 1, "__v": 0, "lastName": "a", "assigned_to": USER},
        {"_id": 2, "__v": 0, "lastName": "b", "assigned_to": "nobody"},
        {"_id": 3, "__v": 0, "lastName": "c"},
    ]
    rule = "- {name: all, collection: crm_Leads, field: assigned_to, match: any, drop: true, %s}"
    migrated = migrate(
        {"Users": [USER_DOCUMENT], "crm_Leads": leads},
        rule % "changes_fine_values: true",
        "Users",
        "crm_Leads",
    )
    (effect,) = applied(NEXTCRM, migrated.target, migrated.rules)
    assert (effect.count, effect.fine) == (2, 1)
    assert effect.said().endswith("by rule all (drop); 1 of them would not have been lost")


OLD_FIELDS = """
- {name: account-created, collection: crm_Accounts, field: createdAt, move: date_created}
- {name: account-changed, collection: crm_Accounts, field: updatedAt, move: date_last_modified}
- {name: account-creator, collection: crm_Accounts, field: createdBy, copy: created_by}
- {name: contact-account, collection: crm_Contacts, field: accountsIDs, copy: account}
- {name: contact-status, collection: crm_Contacts, field: status, ignore_case: true,
   map: [{from: [active, aktiv], to: true}, {from: inactive, to: false}]}
- {name: document-account, collection: Documents, field: accountsIDs, move: account}
- {name: budget, collection: crm_Opportunities, field: budget, number: {thousands: ".", empty: missing}}
- {name: revenue, collection: crm_Opportunities, field: expected_revenue, number: {thousands: "."}}
"""


def test_old_fields_and_texts_come_to_the_columns_of_today(migrate: Migrate) -> None:
    documents = shapes(
        "account-of-july-2023",
        "contact-status-text",
        "document-of-july-2023",
        "budget-with-thousands-dots",
    )
    empty = {"_id": 1, "__v": 0, "name": "no budget", "budget": " ", "createdAt": 5}
    documents = {**documents, "crm_Opportunities": [*documents["crm_Opportunities"], empty]}
    tables = ("Users", "crm_Accounts", "crm_Contacts", "Documents", "crm_Opportunities")
    migrated = migrate(documents, OLD_FIELDS, *tables, "DocumentsToAccounts")
    accounts = migrated.query(
        """SELECT "createdAt"::text, "updatedAt"::text, "createdBy"::text FROM "crm_Accounts"
        WHERE name = 'Old Account'"""
    )
    assert accounts == [("2023-07-30 10:00:00", "2023-08-02 10:00:00", row_id("Users", USER))]
    account = ObjectId("64b000000000000000000b01")
    contacts = migrated.query('SELECT status, "accountsIDs"::text FROM "crm_Contacts"')
    assert contacts == [(False, row_id("crm_Accounts", account))]
    document = row_id("Documents", ObjectId("64af00000000000000001402"))
    assert migrated.query(
        'SELECT document_id::text, account_id::text FROM "DocumentsToAccounts"'
    ) == [(document, row_id("crm_Accounts", account))]
    budgets = migrated.query('SELECT budget, expected_revenue FROM "crm_Opportunities" ORDER BY 1')
    assert budgets == [(0, 0), (1_000_000, 500_000)]
    # What was moved is no longer unknown, what was copied is where it was.
    assert migrated.query("SELECT collection, fields FROM migration.unmapped_fields") == [
        ("crm_Accounts", canonical({"created_by": USER}))
    ]
    counts = migrated.counts()
    assert counts.pop("budget") == 2
    assert set(counts.values()) == {1}
    on_record = migrated.query(
        "SELECT field, original, replacement FROM migration.remediations WHERE rule = 'budget'"
    )
    assert sorted(on_record) == [
        ("budget", '" "', None),
        ("budget", '"1.000.000"', '{"$numberInt":"1000000"}'),
    ]


def test_a_copy_of_something_else_is_rejected_or_nulled_with_its_original(migrate: Migrate) -> None:
    account = {
        "_id": 1,
        "__v": 0,
        "name": "a",
        "date_created": {"no": "time"},
        "changed": "no time",
    }
    rules = """
- {name: created, collection: crm_Accounts, field: createdAt, copy: date_created}
- {name: changed, collection: crm_Accounts, field: updatedAt, copy: changed, match: {ids: ['1']}}
- {name: nothing, collection: crm_Accounts, field: description, copy: nowhere}
"""
    migrated = migrate({"crm_Accounts": [account]}, rules, "crm_Accounts")
    assert migrated.query("SELECT field, reason FROM migration.rejected_documents") == [
        ("createdAt", "object fits no rule (besides, updatedAt: not an ISO 8601 time)")
    ]
    assert migrated.counts() == {"created": 1, "changed": 1, "nothing": 0}


COMMENTS = """
- {name: later, collection: tasksComments, field: task, match: {of: crm_Accounts_Tasks},
   defer: the application has made task nullable (20260411120000)}
"""


def test_a_comment_on_a_crm_task_waits_for_a_later_step_and_another_does_not(
    migrate: Migrate,
) -> None:
    documents = shapes("comment-on-crm-task")
    (comment,) = documents["tasksComments"]
    lost = {**comment, "_id": ObjectId(), "task": ObjectId()}
    documents = {**documents, "tasksComments": [comment, lost]}
    tables = ("Users", "crm_Accounts", "crm_Accounts_Tasks", "Tasks", "tasksComments")
    migrated = migrate(documents, COMMENTS, *tables)
    held = "SELECT source_id, field, accepted_by, deferred_until FROM migration.rejected_documents"
    assert sorted(migrated.query(held)) == sorted(
        [
            (
                str(comment["_id"]),
                "task",
                "later",
                "the application has made task nullable (20260411120000)",
            ),
            (str(lost["_id"]), "task", None, None),
        ]
    )
    losses = open_losses(migrated.target)
    assert [(loss.collection, loss.field, loss.kind, loss.count) for loss in losses] == [
        ("tasksComments", "task", "rejected", 1)
    ]
    (effect,) = applied(NEXTCRM, migrated.target, migrated.rules)
    assert effect.said() == (
        "deferred 1 document of tasksComments.task by rule later, until the application has made task "
        "nullable (20260411120000)"
    )
    migrated.target.execute("UPDATE migration.rejected_documents SET deferred_until = 'never'")
    assert set(migrated.unsound("tasksComments")) == {("tasksComments", "values")}


def test_an_id_of_another_collection_goes_to_its_own_field(migrate: Migrate) -> None:
    contacts = [
        {"_id": 1, "__v": 0, "last_name": "a", "status": True, "assigned_to": 8},
        {"_id": 2, "__v": 0, "last_name": "b", "status": True, "assigned_to": 8, "account": 9},
        {"_id": 3, "__v": 0, "last_name": "c", "status": True, "assigned_to": 7},
        {"_id": 4, "__v": 0, "last_name": "d", "status": True, "assigned_to": 5},
    ]
    accounts = [{"_id": number, "__v": 0, "name": "a", "createdAt": 0} for number in (8, 9)]
    rules = """
- {name: to-account, collection: crm_Contacts, field: assigned_to, send_to: account}
- {name: nobody, collection: crm_Contacts, field: assigned_to, match: orphaned, set: 7}
"""
    documents = {
        "Users": [{**USER_DOCUMENT, "_id": 7}],
        "crm_Accounts": accounts,
        "crm_Contacts": contacts,
    }
    migrated = migrate(documents, rules, "Users", "crm_Accounts", "crm_Contacts")
    user, first, second = row_id("Users", 7), row_id("crm_Accounts", 8), row_id("crm_Accounts", 9)
    rows = 'SELECT last_name, assigned_to::text, account::text FROM "crm_Contacts" ORDER BY 1'
    assert migrated.query(rows) == [
        ("a", None, first),
        ("b", user, second),
        ("c", user, None),
        ("d", user, None),
    ]
    # The value that led somewhere is left alone, and so is what is missing.
    assert migrated.counts() == {"to-account": 1, "nobody": 2}


REDIRECTED = """
- {name: same-person, collection: Users, redirect: {64c900000000000000000a12: 64c900000000000000000a11}}
- {name: doubled, collection: Users, match: {ids: [64c900000000000000000a12]}, accept: true}
"""


def test_references_to_a_doubled_user_go_to_the_first(migrate: Migrate) -> None:
    users_and_leads = shapes("user-twice-first")
    first, second = (user["_id"] for user in users_and_leads["Users"])
    board = {"_id": 1, "__v": 0, "title": "b", "description": "d", "user": str(second)}
    board |= {"sharedWith": [second, first], "watchers": [second]}
    todo = {
        "_id": ObjectId("64c900000000000000000001"),
        "__v": 0,
        "title": "t",
        "description": "d",
        "url": "u",
        "user": str(second),
    }
    documents = {**users_and_leads, "Boards": [board], "TodoList": [todo]}
    migrated = migrate(
        documents, REDIRECTED, "Users", "crm_Leads", "Boards", "BoardWatchers", "TodoList"
    )
    own = row_id("Users", first)
    assert migrated.query('SELECT assigned_to::text, "createdBy"::text FROM "crm_Leads"') == [
        (own, own)
    ]
    assert migrated.query('SELECT "user"::text, "sharedWith"::text[] FROM "Boards"') == [
        (own, [own, own])
    ]
    assert migrated.query('SELECT user_id::text FROM "BoardWatchers"') == [(own,)]
    assert migrated.query('SELECT "user" FROM "TodoList"') == [(own,)]
    assert migrated.query("SELECT count(*) FROM migration.issues") == [(0,)]
    assert migrated.counts() == {"same-person": 6, "doubled": 1}
    redirected, _ = applied(NEXTCRM, migrated.target, migrated.rules)
    assert redirected.said() == "redirected 6 references to Users by rule same-person"
    assert open_losses(migrated.target) == []


def test_a_redirect_to_nobody_is_a_finding(migrate: Migrate) -> None:
    lead = {"_id": 1, "__v": 0, "lastName": "l", "assigned_to": USER}
    rule = f"- {{name: away, collection: Users, redirect: [{{from: {USER}, to: '7'}}]}}"
    migrated = migrate({"Users": [USER_DOCUMENT], "crm_Leads": [lead]}, rule, "Users", "crm_Leads")
    issues = migrated.query("SELECT field, kind, reason, original FROM migration.issues")
    assert issues == [
        ("assigned_to", "orphaned", "no row of Users has this id", '{"$numberInt":"7"}')
    ]


def test_orphaned_elements_alone_are_dropped(migrate: Migrate) -> None:
    board = {"_id": 1, "__v": 0, "title": "b", "description": "d", "user": USER}
    board |= {"sharedWith": [USER, ObjectId(), "x"], "watchers": [ObjectId(), USER]}
    rules = """
- {name: shared, collection: Boards, field: sharedWith, elements: true, match: orphaned, drop: true}
- {name: watchers, collection: Boards, field: watchers, elements: true, match: {orphaned: true}, drop: true}
"""
    migrated = migrate(
        {"Users": [USER_DOCUMENT], "Boards": [board]}, rules, "Users", "Boards", "BoardWatchers"
    )
    assert migrated.query('SELECT "sharedWith"::text[] FROM "Boards"') == [
        ([row_id("Users", USER)],)
    ]
    assert migrated.query("SELECT count(*) FROM migration.issues") == [(0,)]
    assert migrated.counts() == {"shared": 2, "watchers": 1}


def test_a_rejection_names_all_errors_and_keeps_the_rules_applied(
    migrate: Migrate,
) -> None:
    user = {**USER_DOCUMENT, "_id": 1, "email": "a@example.org"}
    twice = {
        **user,
        "_id": 2,
        "is_admin": "perhaps",
        "userLanguage": "CZ",
        "is_account_admin": None,
    }
    twice |= {"lastLoginAt": "no time", "name": 5}
    rules = """
- {name: language, collection: Users, field: userLanguage, ignore_case: true, map: {cz: cz}}
- {name: half, collection: Users, field: is_admin, match: any, accept: true}
"""
    migrated = migrate({"Users": [user, twice]}, rules, "Users")
    ((field, reason, accepted_by),) = migrated.query(
        "SELECT field, reason, accepted_by FROM migration.rejected_documents"
    )
    assert set(field.split(", ")) == {"email", "is_admin"}
    assert "is_admin: string fits no rule" in reason
    assert "email: an earlier document has the same value" in reason
    assert "besides, lastLoginAt: not an ISO 8601 time" in reason
    # One of two is accepted: the document is lost for the other.
    assert accepted_by is None
    assert migrated.counts()["language"] == 1


CAMPAIGNS = """
- {name: misspelt, collection: crm_campains, counts_as: crm_campaigns}
- {name: active, collection: crm_campaigns, field: status, match: missing, set: ACTIVE}
"""


def test_documents_of_a_misspelt_collection_count_as_those_of_the_right_one(
    migrate: Migrate,
) -> None:
    documents = shapes("campaign-of-the-misspelt-collection", "misspelt-collection")
    numbers = [{"_id": identifier, "name": "n"} for identifier in (2.0, "b")]
    documents = {**documents, "crm_campains": [*documents["crm_campains"], *numbers]}
    tables = ("Users", "crm_Accounts", "crm_campaigns", "crm_Opportunities")
    migrated = migrate(documents, CAMPAIGNS, *tables)
    old, other, *_ = (campaign["_id"] for campaign in documents["crm_campains"])
    assert migrated.query('SELECT campaign::text FROM "crm_Opportunities"') == [
        (row_id("crm_campaigns", old),)
    ]
    assert migrated.query('SELECT count(*) FROM "crm_campaigns"') == [(5,)]
    assert {(row_id("crm_campaigns", identifier),) for identifier in (old, other, 2, "b")} < set(
        migrated.query('SELECT id::text FROM "crm_campaigns"')
    )
    assert migrated.query("SELECT * FROM migration.unmapped_fields") == []
    assert unkept(NEXTCRM, migrated.source, migrated.target) == {}
    assert migrated.counts() == {"misspelt": 4, "active": 3}
    assert "counted 4 documents of crm_campains as those of crm_campaigns" in (
        applied(NEXTCRM, migrated.target, migrated.rules)[0].said()
    )
    # A write to either collection is a change of the one that both are.
    before = fingerprints(migrated.source, ["crm_campaigns"])
    migrated.source["crm_campains"].insert_one({"_id": "late", "name": "l"})
    assert fingerprints(migrated.source, ["crm_campaigns"]) != before
    assert ("crm_campaigns", "row_count") in migrated.unsound("crm_campaigns")
    assert ("crm_campaigns", "values") in migrated.unsound("crm_campaigns")
    migrated.load(["crm_campaigns", "crm_Opportunities"])
    assert migrated.unsound(*tables) == {}
    # Two documents of one `_id` are not merged.
    assert isinstance(migrated.source, UnitedDatabase)
    migrated.source["crm_campaigns"].insert_one({"_id": 2, "name": "again"})
    with pytest.raises(SourceError, match=r"1 `_id`s stand in both, such as {.*2"):
        migrated.load(["crm_campaigns"])
    findings = [
        finding
        for finding in collections(NEXTCRM, migrated.source, contents(migrated.source))
        if "counts as it" in finding.what
    ]
    assert [finding.level for finding in findings] == [Level.ERROR]


def test_a_collection_that_counts_as_another_concerns_its_table() -> None:
    rules = parse_remediations(NEXTCRM, f"version: 1\nrules:\n{CAMPAIGNS}")
    concerned = {name for name, table in TABLES.items() if rules.digest(table)}
    assert concerned == {"crm_campaigns"}


def test_numbers_that_mongodb_holds_equal_are_one_id(migrate: Migrate) -> None:
    users = [
        {**USER_DOCUMENT, "_id": identifier, "email": f"{number}@example.org"}
        for number, identifier in enumerate([7.0, Int64(8), Decimal128("9.0"), 2.5])
    ]
    pointed = [7, 8.0, [Int64(9)], Decimal128("2.5")]
    leads = [
        {"_id": Int64(number), "__v": "007", "lastName": "l", "assigned_to": reference}
        for number, reference in enumerate(pointed)
    ]
    rule = "- {name: one, collection: crm_Leads, field: lastName, match: {ids: [0]}, set: first}"
    board = {"_id": 1.0, "__v": -0.0, "title": "b", "description": "d", "user": [7.0]}
    board |= {"sharedWith": [[Int64(8)], 9], "watchers": [7, 9.0]}
    tables = ("Users", "crm_Leads", "Boards", "BoardWatchers")
    migrated = migrate({"Users": users, "crm_Leads": leads, "Boards": [board]}, rule, *tables)
    assert migrated.query(
        """SELECT m.source_id, "lastName", u.source_id FROM "crm_Leads" l
        JOIN migration.uuid_map m USING (id) LEFT JOIN migration.uuid_map u ON u.id = assigned_to
        ORDER BY 1"""
    ) == [
        ('{"$numberInt":"0"}', "first", '{"$numberInt":"7"}'),
        ('{"$numberInt":"1"}', "l", '{"$numberInt":"8"}'),
        ('{"$numberInt":"2"}', "l", '{"$numberInt":"9"}'),
        ('{"$numberInt":"3"}', "l", None),
    ]
    ids = {identifier: row_id("Users", identifier) for identifier in (7, 8, 9)}
    assert migrated.query('SELECT "user"::text, "sharedWith"::text[] FROM "Boards"') == [
        (ids[7], [ids[8], ids[9]])
    ]
    watchers = migrated.query('SELECT user_id::text FROM "BoardWatchers"')
    assert sorted(watchers) == sorted([(ids[7],), (ids[9],)])
    altered = (
        "SELECT field, reason, original, count(*) FROM migration.issues WHERE kind = 'altered'"
    )
    assert sorted(migrated.query(f"{altered} GROUP BY 1, 2, 3")) == [
        ("__v", "-0.0 became 0", '{"$numberDouble":"-0.0"}', 1),
        ("__v", "digits became a number that is written otherwise", '"007"', 4),
    ]


def test_explain_shows_the_row_of_a_rejected_document_and_the_kept_parts_of_others(
    migrate: Migrate, source_url: str, tables_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = {**USER_DOCUMENT, "_id": 7.0, "is_admin": "perhaps", "password": "geheim", "name": 5}
    user |= {"created_on": DatetimeMS(-62_167_219_200_001), "odd": {"$oid": "nope"}}
    comment = {"_id": "legacy:1", "__v": 0, "comment": "c", "task": USER, "user": "7"}
    rules = """
- {name: later, collection: tasksComments, match: any, defer: a later step}
"""
    documents = {
        "Users": [user],
        "tasksComments": [comment],
        "Translation": [{"_id": "cz", "text": "geheim"}, {"_id": 5, "text": "x"}],
    }
    migrate(documents, rules, "Users", "Tasks", "tasksComments")
    monkeypatch.setenv(SOURCE_URL.name, source_url)
    monkeypatch.setenv(TARGET_URL.name, tables_url)

    def explained(collection: str, *ids: str) -> str:
        outputs = []
        for identifier in ids:
            out = io.StringIO()
            explain(Console(file=out, width=200), collection, identifier)
            outputs.append(out.getvalue())
        assert len(set(outputs)) == 1
        return outputs[0]

    output = explained("Users", "7", "7.0", '{"$numberInt":"7"}', '{"$numberLong":"7"}')
    assert "rejected     from Users for is_admin: string fits no rule" in output
    assert "is_admin   perhaps → NULL (string fits no rule)" in output
    assert re.search(r"name +5 → 5|name +5\n", output)
    assert "userStatus ACTIVE" in output
    assert "→ -0001-12-31 23:59:59.999" in output
    assert MASK in output
    assert "geheim" not in output
    assert "as the document and the rules make them" in output
    with psycopg.connect(tables_url, autocommit=True) as connection:
        connection.execute("DELETE FROM migration.rejected_documents WHERE target_table = 'Users'")
    assert "checks       is_admin: not recorded" in explained("Users", "7")
    output = explained("tasksComments", "legacy:1", '"legacy:1"', "'legacy:1'")
    assert "(deferred by rule later, until a later step)" in output
    assert "no row of Tasks has this id" in output
    output = explained("Translation", "cz", '"cz"')
    assert "kept         whole in migration.unmapped_fields: _id, text" in output
    assert "geheim" not in output
    explained("Translation", "5", '{"$numberInt":"5"}')
    wrong = [("Translation", "en"), ("users", "7"), ("Users", "nobody"), ("Users", "9" * 30)]
    wrong += [
        ("Users", "\udcff"),
        ("\udcff", "7"),
        ("Users", '{"$numberLong":"99999999999999999999"}'),
    ]
    for collection, name in wrong:
        with pytest.raises(MigrationError):
            explain(Console(), collection, name)
