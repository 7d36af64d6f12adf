"""Layer 3 on real servers: clean data is green, and each kind of damage turns red and names its key."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import bson
import psycopg
import pytest
from bson import Int64, ObjectId
from pymongo import MongoClient

from migration_assets.embedded import Urls, fresh_database
from migration_assets.identity import document_uuid, source_id
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.nextcrm.sample.generation import generate
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import create_schema
from migration_assets.validation import documents, partitions
from migration_assets.validation.evidence import SAMPLE_SIZE, Evidence, Layer, Severity
from migration_assets.validation.findings import Fault
from migration_assets.validation.rows import snapshot
from migration_assets_tests.support.loaded_sample import check_references

Document = dict[str, Any]

SECRET_WORD = "never-shown"


def object_id(number: int) -> ObjectId:
    return ObjectId(f"{0x60000000 + number:08x}{number:016x}")


ANN, BOB, CID = object_id(1), object_id(2), object_id(3)
OLD = "legacy:4"
REJECTED, NOBODY = object_id(5), object_id(6)
FIRST, SECOND, THIRD = object_id(11), object_id(12), object_id(13)
ODD_ID = {"system": "old", "no": Int64(7)}
BOARD, SHARED = object_id(21), object_id(22)
NOTE, REPORT, PLAN = object_id(31), object_id(32), object_id(33)
BILL, OFFER = object_id(41), object_id(42)
TASK, CHORE = object_id(51), object_id(52)
TODO, TODO_TEXT, TODO_EMPTY = object_id(61), object_id(62), object_id(63)

MAN = {"created_on": "2024-01-01T00:00:00Z"}
DONE = {"createdAt": "2024-01-01T00:00:00Z", "description": "d", "title": "t", "url": "u"}
FILE = {"document_name": "n", "document_file_mimeType": "m", "document_file_url": "u"}
PAPER = {"invoice_file_mimeType": "m", "invoice_file_url": "u"}

DOCUMENTS: Mapping[str, Sequence[Document]] = {
    "Users": [
        {"_id": ANN, "email": "ann", **MAN, "watching_accountsIDs": [FIRST, ODD_ID]},
        {"_id": BOB, "email": "bob", **MAN, "watching_accountsIDs": None},
        {"_id": CID, "email": "cid", **MAN, "watching_accountsIDs": [SECOND]},
        {"_id": OLD, "email": "old", **MAN, "watching_accountsIDs": [str(FIRST).upper()]},
        {"_id": REJECTED, "email": ["no text"], **MAN},
    ],
    "crm_Accounts": [
        {"_id": FIRST, "name": "a", "assigned_to": ANN, "createdBy": BOB, "watchers": [ANN, OLD]},
        {"_id": SECOND, "name": "b", "assigned_to": BOB, "createdBy": ANN, "watchers": [CID]},
        {"_id": THIRD, "name": "c", "assigned_to": str(CID).upper(), "createdBy": ""},
        {"_id": ODD_ID, "name": "d", "createdAt": Int64(0), "assigned_to": OLD, "watchers": ANN},
    ],
    "Boards": [
        {"_id": BOARD, "description": "d", "title": "t", "user": ANN, "watchers": []},
        {
            "_id": SHARED,
            "description": "d",
            "title": "t",
            "user": BOB,
            "sharedWith": [BOB, ANN, None, str(CID), BOB, ""],
        },
    ],
    "TodoList": [
        {"_id": TODO, **DONE, "user": str(ANN)},
        {"_id": TODO_TEXT, **DONE, "user": OLD},
        {"_id": TODO_EMPTY, **DONE, "user": ""},
    ],
    "Documents": [
        {
            "_id": NOTE,
            **FILE,
            "connected_documents": [str(REPORT), str(PLAN).upper(), ""],
            "invoiceIDs": [BILL],
            "crm_accounts_tasksIDs": [TASK, CHORE],
        },
        {"_id": REPORT, **FILE, "connected_documents": PLAN, "invoiceIDs": [BILL, OFFER, BILL]},
        {"_id": PLAN, **FILE, "created_by_user": CID, "document_type": None},
    ],
    "Invoices": [
        {"_id": BILL, **PAPER, "connected_documents": [NOTE, REPORT]},
        {"_id": OFFER, **PAPER, "connected_documents": [REPORT]},
    ],
    "crm_Accounts_Tasks": [
        {"_id": TASK, "priority": "p", "title": "t", "account": FIRST},
        {"_id": CHORE, "priority": "p", "title": "t", "account": ODD_ID},
    ],
}
"""Every kind of reference, none of which is at fault."""

CHECKED = (*DOCUMENTS, "AccountWatchers", "DocumentsToInvoices", "DocumentsToCrmAccountsTasks")


def key(collection: str, identifier: Any) -> str:
    return str(document_uuid(collection, identifier))


def loaded(source: SourceDatabase, connection: Connection, names: Collection[str]) -> None:
    create_schema(NEXTCRM, connection)
    load_identities(NEXTCRM, source, connection)
    for name, table in TABLES.items():
        if name in names:
            load_table(source, connection, table)


def written(url: str, documents: Mapping[str, Sequence[Document]]) -> None:
    with MongoClient[Document](url) as client:
        for name, held in documents.items():
            client.get_default_database()[name].insert_many(held)


@pytest.fixture(scope="module")
def clean(servers: Urls) -> Iterator[tuple[SourceDatabase, Connection]]:
    with fresh_database(servers) as urls:
        written(urls.mongodb_url, DOCUMENTS)
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as connection:
            loaded(source, connection, CHECKED)
            yield source, connection


@pytest.fixture(scope="module")
def faulty(servers: Urls) -> Iterator[tuple[SourceDatabase, Connection]]:
    with fresh_database(servers) as urls:
        written(urls.mongodb_url, FAULTY)
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as connection:
            loaded(source, connection, (*FAULTY, *ORPHANED))
            yield source, connection


@pytest.fixture
def pristine(clean: tuple[SourceDatabase, Connection]) -> SourceDatabase:
    return clean[0]


@pytest.fixture
def connection(clean: tuple[SourceDatabase, Connection]) -> Iterator[Connection]:
    """The clean target, for damage, which is undone afterwards."""
    with clean[1].transaction(force_rollback=True):
        yield clean[1]


def checked(source: SourceDatabase, connection: Connection, table: str) -> Evidence:
    return check_references(source, connection, TABLES[table])


def shown(evidence: Evidence) -> set[tuple[Any, ...]]:
    return {(line["source_id"], line["field"], line["what"]) for line in evidence.sample}


def assert_red(evidence: Evidence, *lines: tuple[str | None, str, Fault]) -> None:
    """Asserts that the check is red, the data unsound, and exactly these lines are shown."""
    assert shown(evidence) == set(lines)
    names = [*evidence.counts, *(line["what"] for line in evidence.sample)]
    assert set(map(type, names)) == {str}  # what Dagster can keep, and no enum
    assert not evidence.passed
    assert not evidence.is_sound
    assert evidence.severity is Severity.ERROR
    assert evidence.next_step
    assert evidence.failures == evidence.counts["unresolved"] == len(lines)
    for what in {line[2] for line in lines}:
        assert evidence.counts[what] == sum(line[2] == what for line in lines)


def test_clean_data_is_green(pristine: SourceDatabase, connection: Connection) -> None:
    for name in CHECKED:
        evidence = checked(pristine, connection, name)
        assert (evidence.table, evidence.layer) == (name, Layer.REFERENCES)
        assert evidence.passed, evidence
        assert evidence.is_sound
        assert not evidence.sample
        assert not evidence.failures
        assert evidence.next_step == ""
        json.dumps(evidence.as_json())


@pytest.mark.parametrize(
    ("table", "counts"),
    [
        ("Users", {}),
        ("crm_Accounts", {"documents": 4, "references": 6}),
        ("Boards", {"documents": 2, "references": 6}),
        ("Documents", {"documents": 3, "references": 4}),
        ("TodoList", {"documents": 3, "references": 2}),
        ("AccountWatchers", {"pairs": 4, "references": 8}),
        ("DocumentsToInvoices", {"pairs": 3, "references": 7}),
        ("DocumentsToCrmAccountsTasks", {"pairs": 2, "references": 2}),
    ],
)
def test_every_reference_of_the_source_is_counted(
    pristine: SourceDatabase, connection: Connection, table: str, counts: dict[str, int]
) -> None:
    evidence = checked(pristine, connection, table)
    nothing = {"orphaned": 0, "unresolved": 0}
    assert {name: count for name, count in evidence.counts.items() if name != "asymmetric"} == (
        counts | nothing
    )


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_where_a_batch_ends_makes_no_difference(
    pristine: SourceDatabase, connection: Connection, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "DOCUMENTS_PER_BATCH", batch)
    monkeypatch.setattr(partitions, "COMPARED_AT_ONCE", batch)
    for name in CHECKED:
        assert checked(pristine, connection, name).passed
    damage = 'DELETE FROM "DocumentsToInvoices" WHERE invoice_id = %s'
    connection.execute(damage, [key("Invoices", OFFER)])
    evidence = checked(pristine, connection, "DocumentsToInvoices")
    assert_red(
        evidence,
        (str(REPORT), "invoiceIDs", Fault.LOST),
        (str(OFFER), "connected_documents", Fault.LOST),
    )


ACCOUNT = key("crm_Accounts", FIRST)
ODD_ACCOUNT = source_id(ODD_ID)

ENTITY_DAMAGE: Mapping[str, tuple[str, str, list[tuple[str | None, str, Fault]]]] = {
    "an id that points nowhere, and is not what the source has": (
        "crm_Accounts",
        f"""UPDATE "crm_Accounts" SET "createdBy" = '{key("Users", NOBODY)}' WHERE id = '{ACCOUNT}'""",
        [(str(FIRST), "createdBy", Fault.DIFFERENT), (str(FIRST), "createdBy", Fault.DANGLING)],
    ),
    "a row that is referred to is gone": (
        "crm_Accounts",
        f"""DELETE FROM "Users" WHERE id = '{key("Users", OLD)}'""",
        [(ODD_ACCOUNT, "assigned_to", Fault.DANGLING)],
    ),
    "the document that is referred to is gone": (
        "crm_Accounts",
        f"""INSERT INTO migration.pending_deletes VALUES ('Users', '{key("Users", CID)}')""",
        [(str(THIRD), "assigned_to", Fault.GONE)],
    ),
    "swapped": (
        "crm_Accounts",
        """UPDATE "crm_Accounts" a SET "createdBy" = b."createdBy" FROM "crm_Accounts" b
        WHERE a."createdBy" IS NOT NULL AND b."createdBy" IS NOT NULL AND a.id <> b.id""",
        [(str(FIRST), "createdBy", Fault.DIFFERENT), (str(SECOND), "createdBy", Fault.DIFFERENT)],
    ),
    "swapped, of a document with an odd id": (
        "crm_Accounts",
        f"""UPDATE "crm_Accounts" SET assigned_to = '{key("Users", ANN)}'
        WHERE id = '{key("crm_Accounts", ODD_ID)}'""",
        [(ODD_ACCOUNT, "assigned_to", Fault.DIFFERENT)],
    ),
    "lost": (
        "crm_Accounts",
        f"""UPDATE "crm_Accounts" SET "createdBy" = NULL WHERE id = '{ACCOUNT}'""",
        [(str(FIRST), "createdBy", Fault.LOST)],
    ),
    "invented": (
        "crm_Accounts",
        f"""UPDATE "crm_Accounts" SET industry = id, "createdBy" = '{key("Users", ANN)}'
        WHERE id = '{key("crm_Accounts", THIRD)}'""",
        [
            (str(THIRD), "createdBy", Fault.INVENTED),
            (str(THIRD), "industry", Fault.INVENTED),
            (str(THIRD), "industry", Fault.DANGLING),
        ],
    ),
    "invented where nothing else is unusual": (
        "crm_Accounts",
        f"""UPDATE "crm_Accounts" SET "updatedBy" = assigned_to WHERE id = '{ACCOUNT}'""",
        [(str(FIRST), "updatedBy", Fault.INVENTED)],
    ),
    "a row is lost": (
        "crm_Accounts",
        f"""DELETE FROM "crm_Accounts" WHERE id = '{ACCOUNT}'""",
        [(str(FIRST), "assigned_to", Fault.LOST), (str(FIRST), "createdBy", Fault.LOST)],
    ),
    "a row is invented": (
        "crm_Accounts",
        f"""INSERT INTO "crm_Accounts" (id, __v, name, "createdAt", "createdBy")
        VALUES ('{key("crm_Accounts", NOBODY)}', 0, '', '2024-01-01', '{key("Users", ANN)}')""",
        [(str(NOBODY), "createdBy", Fault.INVENTED)],
    ),
    "a row has another id": (
        "crm_Accounts",
        f"""UPDATE "crm_Accounts" SET id = '{key("crm_Accounts", "other")}'
        WHERE id = '{key("crm_Accounts", ODD_ID)}'""",
        [(ODD_ACCOUNT, "assigned_to", Fault.LOST), (None, "assigned_to", Fault.INVENTED)],
    ),
    "an element of uuid[] is lost": (
        "Boards",
        f"""UPDATE "Boards" SET "sharedWith" = "sharedWith"[1:3] WHERE id = '{key("Boards", SHARED)}'""",
        [(str(SHARED), "sharedWith", Fault.LOST)],
    ),
    "an element of uuid[] is invented": (
        "Boards",
        f"""UPDATE "Boards" SET "sharedWith" = '{{{key("Users", ANN)}}}'
        WHERE id = '{key("Boards", BOARD)}'""",
        [(str(BOARD), "sharedWith", Fault.INVENTED)],
    ),
    "the elements of uuid[] are in another order": (
        "Boards",
        f"""UPDATE "Boards" SET "sharedWith" = "sharedWith"[2:4] || "sharedWith"[1]
        WHERE id = '{key("Boards", SHARED)}'""",
        [(str(SHARED), "sharedWith", Fault.DIFFERENT)],
    ),
    "an element of uuid[] is NULL": (
        "Boards",
        """UPDATE "Boards" SET "sharedWith" = array_append("sharedWith", NULL)""",
        [(str(BOARD), "sharedWith", Fault.INVENTED), (str(SHARED), "sharedWith", Fault.INVENTED)],
    ),
    "an element of uuid[] points nowhere": (
        "Boards",
        f"""UPDATE "Boards" SET "sharedWith" = '{{{key("Users", NOBODY)}}}'
        WHERE id = '{key("Boards", BOARD)}'""",
        [(str(BOARD), "sharedWith", Fault.INVENTED), (str(BOARD), "sharedWith", Fault.DANGLING)],
    ),
    "a reference as text is another": (
        "TodoList",
        f"""UPDATE "TodoList" SET "user" = '{key("Users", BOB)}' WHERE id = '{key("TodoList", TODO)}'""",
        [(str(TODO), "user", Fault.DIFFERENT)],
    ),
    "a reference as text was not converted": (
        "TodoList",
        f"""UPDATE "TodoList" SET "user" = '{ANN}' WHERE id = '{key("TodoList", TODO)}'""",
        [(str(TODO), "user", Fault.DIFFERENT)],
    ),
    "a reference as text is invented": (
        "TodoList",
        f"""UPDATE "TodoList" SET "user" = 'x' WHERE id = '{key("TodoList", TODO_EMPTY)}'""",
        [(str(TODO_EMPTY), "user", Fault.INVENTED)],
    ),
    "elements of text[] are swapped": (
        "Documents",
        """UPDATE "Documents" SET connected_documents =
        ARRAY[connected_documents[2], connected_documents[1], '']
        WHERE cardinality(connected_documents) = 3""",
        [(str(NOTE), "connected_documents", Fault.DIFFERENT)],
    ),
    "an element of text[] is lost": (
        "Documents",
        f"""UPDATE "Documents" SET connected_documents = '{{}}'
        WHERE id = '{key("Documents", REPORT)}'""",
        [(str(REPORT), "connected_documents", Fault.LOST)],
    ),
}


@pytest.mark.parametrize("damage", ENTITY_DAMAGE)
def test_damage_of_an_entity_table_is_found(
    pristine: SourceDatabase, connection: Connection, damage: str
) -> None:
    table, statement, lines = ENTITY_DAMAGE[damage]
    connection.execute(statement.encode())
    assert_red(checked(pristine, connection, table), *lines)


def pair(left: Any, right: Any) -> str:
    return f"'{key('Documents', left)}', '{key('Invoices', right)}'"


PAIR_DAMAGE: Mapping[str, tuple[str, list[tuple[str | None, str, Fault]]]] = {
    "a pair is lost": (
        f"""DELETE FROM "DocumentsToInvoices" WHERE (document_id, invoice_id) = ({pair(NOTE, BILL)})""",
        [(str(NOTE), "invoiceIDs", Fault.LOST), (str(BILL), "connected_documents", Fault.LOST)],
    ),
    "a pair is invented": (
        f"""INSERT INTO "DocumentsToInvoices" VALUES ({pair(PLAN, OFFER)})""",
        [(str(PLAN), "invoice_id", Fault.INVENTED)],
    ),
    "a pair points nowhere": (
        f"""INSERT INTO "DocumentsToInvoices" VALUES ({pair(PLAN, NOBODY)})""",
        [(str(PLAN), "invoice_id", Fault.INVENTED), (str(PLAN), "invoice_id", Fault.DANGLING)],
    ),
    "a row that pairs point to is gone": (
        f"""DELETE FROM "Documents" WHERE id = '{key("Documents", NOTE)}'""",
        [(str(NOTE), "document_id", Fault.DANGLING)],
    ),
    "a document that pairs point to is gone": (
        f"""INSERT INTO migration.pending_deletes VALUES ('Documents', '{key("Documents", NOTE)}')""",
        [(str(NOTE), "document_id", Fault.GONE)],
    ),
    "a pair became another": (
        f"""UPDATE "DocumentsToInvoices" SET document_id = '{key("Documents", PLAN)}'
        WHERE (document_id, invoice_id) = ({pair(NOTE, BILL)})""",
        [
            (str(NOTE), "invoiceIDs", Fault.LOST),
            (str(BILL), "connected_documents", Fault.LOST),
            (str(PLAN), "invoice_id", Fault.INVENTED),
        ],
    ),
}


@pytest.mark.parametrize("damage", PAIR_DAMAGE)
def test_damage_of_a_junction_table_is_found(
    pristine: SourceDatabase, connection: Connection, damage: str
) -> None:
    statement, lines = PAIR_DAMAGE[damage]
    connection.execute(statement.encode())
    assert_red(checked(pristine, connection, "DocumentsToInvoices"), *lines)


def test_a_pair_is_named_by_both_of_its_ids(
    pristine: SourceDatabase, connection: Connection
) -> None:
    connection.execute(
        f"""INSERT INTO "DocumentsToInvoices" VALUES ({pair(PLAN, OFFER)})""".encode()
    )
    (line,) = checked(pristine, connection, "DocumentsToInvoices").sample
    assert line["id"] == f"{key('Documents', PLAN)} {key('Invoices', OFFER)}"


def test_a_pair_of_odd_documents_is_found(pristine: SourceDatabase, connection: Connection) -> None:
    connection.execute(
        'DELETE FROM "AccountWatchers" WHERE account_id = %s', [key("crm_Accounts", ODD_ID)]
    )
    connection.execute('DELETE FROM "AccountWatchers" WHERE user_id = %s', [key("Users", OLD)])
    assert_red(
        checked(pristine, connection, "AccountWatchers"),
        (ODD_ACCOUNT, "watchers", Fault.LOST),
        (str(FIRST), "watchers", Fault.LOST),
        (str(ANN), "watching_accountsIDs", Fault.LOST),
        (f'"{OLD}"', "watching_accountsIDs", Fault.LOST),
    )


def test_a_uuid_column_that_became_text_is_left_to_layer_4_while_it_holds_uuids(
    pristine: SourceDatabase, connection: Connection
) -> None:
    connection.execute('ALTER TABLE "crm_Accounts" ALTER "createdBy" TYPE text')
    connection.execute('ALTER TABLE "Boards" ALTER "sharedWith" TYPE text[]')
    assert checked(pristine, connection, "crm_Accounts").passed
    assert checked(pristine, connection, "Boards").passed
    connection.execute('UPDATE "crm_Accounts" SET "createdBy" = \'x\' WHERE id = %s', [ACCOUNT])
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        checked(pristine, connection, "crm_Accounts")


def test_a_table_that_is_not_there_is_no_green_check(
    pristine: SourceDatabase, connection: Connection
) -> None:
    connection.execute('DROP TABLE "Boards"')
    with pytest.raises(psycopg.Error):
        checked(pristine, connection, "Boards")


def test_the_check_cannot_write(target: Connection) -> None:
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), snapshot(target):
        target.execute('DELETE FROM "Boards"')


FAULTY: Mapping[str, Sequence[Document]] = {
    "Users": [
        {"_id": ANN, "email": "ann", **MAN, "watching_accountsIDs": [FIRST, NOBODY, NOBODY]},
        {"_id": REJECTED, "email": ["no text"], **MAN, "watching_accountsIDs": [SECOND]},
    ],
    "crm_Accounts": [
        {
            "_id": FIRST,
            "name": SECRET_WORD,
            "createdBy": NOBODY,
            "assigned_to": REJECTED,
            "updatedBy": SECRET_WORD,
            "watchers": [ANN, SECRET_WORD, None, {"no": 1}],
        },
        {"_id": SECOND, "name": "b", "createdBy": [ANN, ANN], "updatedBy": 5, "watchers": [ANN]},
    ],
    "Boards": [
        {"_id": BOARD, "description": "d", "title": "t", "user": REJECTED, "sharedWith": [ANN]},
        {
            "_id": SHARED,
            "description": "d",
            "title": "t",
            "user": ANN,
            "sharedWith": [NOBODY, ANN, SECRET_WORD, REJECTED, ANN],
        },
    ],
    "TodoList": [
        {"_id": TODO, **DONE, "user": SECRET_WORD},
        {"_id": TODO_TEXT, **DONE, "user": REJECTED},
        {"_id": TODO_EMPTY, **DONE, "user": {}},
    ],
    "Documents": [
        {
            "_id": NOTE,
            **FILE,
            "connected_documents": [f"{SECRET_WORD}\0", str(NOBODY), str(NOTE), 5, {}, 2.5, None],
        },
        {"_id": REPORT, **FILE, "connected_documents": SECRET_WORD},
    ],
}
"""References whose own data is at fault."""

ORPHANED = {
    "crm_Accounts": {
        (str(FIRST), "createdBy"),
        (str(FIRST), "assigned_to"),
        (str(FIRST), "updatedBy"),
        (str(SECOND), "createdBy"),
        (str(SECOND), "updatedBy"),
    },
    "Boards": {(str(SHARED), "sharedWith")},
    "TodoList": {(str(TODO), "user")},
    "Documents": {(str(NOTE), "connected_documents"), (str(REPORT), "connected_documents")},
    "AccountWatchers": {
        (str(ANN), "watching_accountsIDs"),
        (str(REJECTED), "watching_accountsIDs"),
        (str(FIRST), "watchers"),
    },
}


def test_what_the_source_is_at_fault_for_is_red_and_sound(
    faulty: tuple[SourceDatabase, Connection],
) -> None:
    source, target = faulty
    for table, lines in ORPHANED.items():
        evidence = checked(source, target, table)
        assert not evidence.passed
        assert evidence.is_sound, evidence
        assert evidence.severity is Severity.ERROR
        assert "migration.issues" in evidence.next_step
        is_orphaned = [line for line in evidence.sample if line["what"] == "orphaned"]
        assert {(line["source_id"], line["field"]) for line in is_orphaned} == lines
        assert evidence.counts["orphaned"] == len(is_orphaned)
        holders = {key(TABLES_OF[field], ObjectId(name)) for name, field in lines}
        assert {line["id"] for line in is_orphaned} == holders
        assert SECRET_WORD not in json.dumps(evidence.as_json())
    assert checked(source, target, "AccountWatchers").counts["asymmetric"] == 1


TABLES_OF = {
    "createdBy": "crm_Accounts",
    "assigned_to": "crm_Accounts",
    "updatedBy": "crm_Accounts",
    "watchers": "crm_Accounts",
    "watching_accountsIDs": "Users",
    "sharedWith": "Boards",
    "user": "TodoList",
    "connected_documents": "Documents",
}


@pytest.mark.parametrize("compared_at_once", [1, 1000])
def test_a_loss_that_is_not_on_record_is_not_sound(
    faulty: tuple[SourceDatabase, Connection],
    monkeypatch: pytest.MonkeyPatch,
    compared_at_once: int,
) -> None:
    monkeypatch.setattr(partitions, "COMPARED_AT_ONCE", compared_at_once)
    source, target = faulty
    with target.transaction(force_rollback=True):
        target.execute("DELETE FROM migration.issues")
        target.execute("DELETE FROM migration.rejected_documents")
        evidence_by_table = {name: checked(source, target, name) for name in ORPHANED}
    assert not any(evidence.is_sound for evidence in evidence_by_table.values())
    assert {
        name: {what: evidence.counts[what] for what in Fault if evidence.counts.get(what)}
        for name, evidence in evidence_by_table.items()
    } == {
        "crm_Accounts": {"lost": 5},
        "Boards": {"lost": 5},
        "TodoList": {"unrecorded": 1, "lost": 1},
        "Documents": {"unrecorded": 5, "lost": 1},
        "AccountWatchers": {"lost": 5},
    }


def test_a_reference_to_what_has_been_loaded_since_is_not_sound(
    source_url: str, source: SourceDatabase, target: Connection
) -> None:
    written(source_url, FAULTY)
    loaded(source, target, (*FAULTY, *ORPHANED))
    source["Users"].update_one({"_id": REJECTED}, {"$set": {"email": "a text"}})
    load_table(source, target, TABLES["Users"])
    accounts = checked(source, target, "crm_Accounts")
    assert (str(FIRST), "assigned_to", Fault.STALE) in shown(accounts)
    assert accounts.counts[Fault.STALE] == accounts.counts["unresolved"] == 1
    boards = checked(source, target, "Boards")
    assert {(str(SHARED), "sharedWith", Fault.STALE)} < shown(boards)
    pairs = checked(source, target, "AccountWatchers")
    assert (str(REJECTED), "watching_accountsIDs", Fault.STALE) in shown(pairs)
    for name in ORPHANED:
        load_table(source, target, TABLES[name])
        assert checked(source, target, name).is_sound


def test_rows_that_wait_for_their_deletion_are_not_invented(
    source_url: str, source: SourceDatabase, target: Connection
) -> None:
    names = ("Users", "crm_Accounts", "AccountWatchers")
    written(source_url, DOCUMENTS)
    loaded(source, target, names)
    source["crm_Accounts"].delete_one({"_id": FIRST})
    source["Users"].delete_one({"_id": BOB})
    for name in ("Users", "crm_Accounts"):
        load_table(source, target, TABLES[name])
    assert target.execute("SELECT count(*) FROM migration.pending_deletes").fetchone() == (2,)
    accounts = checked(source, target, "crm_Accounts")
    assert accounts.is_sound  # although the row that waits refers to one that waits
    assert shown(accounts) == {(str(SECOND), "assigned_to", "orphaned")}
    pairs = checked(source, target, "AccountWatchers")
    assert (str(FIRST), "account_id", Fault.GONE) in shown(pairs)


@pytest.mark.parametrize("side", ["watchers", "watching_accountsIDs"])
def test_a_pair_of_one_side_is_a_warning(
    source: SourceDatabase, target: Connection, side: str
) -> None:
    user = {"_id": ANN, "email": "ann", **MAN, "watching_accountsIDs": [FIRST]}
    account = {"_id": FIRST, "name": "a", "watchers": [ANN]}
    holder, other = (account, user) if side == "watchers" else (user, account)
    del other[({"watchers", "watching_accountsIDs"} - {side}).pop()]
    source["Users"].insert_one(user)
    source["crm_Accounts"].insert_one(account)
    loaded(source, target, ("Users", "crm_Accounts", "AccountWatchers"))
    evidence = checked(source, target, "AccountWatchers")
    assert not evidence.passed
    assert evidence.is_sound
    assert evidence.severity is Severity.WARN
    nothing = {"orphaned": 0, "unresolved": 0}
    assert evidence.counts == nothing | {"pairs": 1, "references": 1, "asymmetric": 1}
    assert list(evidence.sample) == [
        {
            "source_id": str(holder["_id"]),
            "id": f"{ACCOUNT} {key('Users', ANN)}",
            "field": side,
            "what": "asymmetric",
        }
    ]


def test_the_total_is_of_all_and_the_sample_is_bounded(
    source: SourceDatabase, target: Connection
) -> None:
    source["Users"].insert_one({"_id": ANN, "email": "ann", **MAN})
    source["crm_Accounts"].insert_many(
        [{"_id": object_id(100 + n), "name": "n", "createdBy": ANN} for n in range(50)]
    )
    loaded(source, target, ("Users", "crm_Accounts"))
    target.execute('UPDATE "crm_Accounts" SET "createdBy" = id')
    evidence = checked(source, target, "crm_Accounts")
    assert len(evidence.sample) == SAMPLE_SIZE
    assert evidence.counts["different"] == evidence.counts["dangling"] == 50
    assert evidence.failures == 100


def test_a_document_that_is_no_utf_8_is_missed_where_it_is_not_on_record(
    source: SourceDatabase, target: Connection
) -> None:
    source["Users"].insert_one({"_id": ANN, "email": "ann", **MAN})
    broken = bson.encode({"_id": TODO, **DONE, "user": "broken"}).replace(b"broken", b"br\xffken")
    source["TodoList"].insert_one(bson.raw_bson.RawBSONDocument(broken))
    loaded(source, target, ("Users", "TodoList"))
    assert checked(source, target, "TodoList").passed
    target.execute("DELETE FROM migration.rejected_documents")
    assert_red(checked(source, target, "TodoList"), (str(TODO), "user", Fault.LOST))


def test_an_array_that_is_no_utf_8_is_missed_where_it_is_not_on_record(
    source: SourceDatabase, target: Connection
) -> None:
    source["Users"].insert_one({"_id": ANN, "email": "ann", **MAN})
    account = {"_id": FIRST, "name": "a", "watchers": [ANN, "broken"]}
    broken = bson.encode(account).replace(b"broken", b"br\xffken")
    source["crm_Accounts"].insert_one(bson.raw_bson.RawBSONDocument(broken))
    loaded(source, target, ("Users", "crm_Accounts", "AccountWatchers"))
    assert checked(source, target, "AccountWatchers").is_sound
    target.execute("DELETE FROM migration.rejected_documents")
    evidence = checked(source, target, "AccountWatchers")
    assert evidence.counts[Fault.LOST] == 2
    assert not evidence.is_sound


def test_every_kind_of_fault_in_the_sample_is_on_record(
    source: SourceDatabase, target: Connection
) -> None:
    generate(source, scale=0.01, dirty=0.01)
    loaded(source, target, TABLES)
    all_evidence = [checked(source, target, name) for name in TABLES]
    assert [evidence for evidence in all_evidence if not evidence.is_sound] == []
    total = target.execute("SELECT count(*) FROM migration.issues WHERE kind = 'orphaned'")
    assert total.fetchone() == (sum(evidence.counts["orphaned"] for evidence in all_evidence),)
