"""Layer 2 on real servers: green on a sound table, red with the right key for whatever is damaged."""

from __future__ import annotations

import json
import random
import secrets
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import bson
import polars as pl
import pytest
import sqlalchemy as sa
from bson import Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from psycopg import sql

from migration_assets.identity import document_uuid
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.remediation.rules import NO_REMEDIATIONS
from migration_assets.settings import SAMPLE, SAMPLE_SEED
from migration_assets.source.connection import CODEC, SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.target.schema import build_constraints
from migration_assets.validation import documents, entity_pass, partitions, recorded_lines, rows
from migration_assets.validation.bson_reader import CODE_WITH_SCOPE, TYPE_NAMES
from migration_assets.validation.checks import run_checks
from migration_assets.validation.documents import batches
from migration_assets.validation.evidence import SAMPLE_SIZE, Evidence, Layer, Phases, Severity
from migration_assets.validation.exact_values import REJECTED
from migration_assets.validation.findings import (
    TOTALS,
    Fault,
    Findings,
    Total,
    What,
    failing,
    totals_frame,
)
from migration_assets.validation.judge import Line
from migration_assets.validation.odd_types import odd_types, usual_types
from migration_assets.validation.recorded_lines import TableBooks
from migration_assets.validation.rows import ComparedTable
from migration_assets.validation.table_pass import compare, recheck
from migration_assets.validation.types import check_types
from migration_assets_tests.support.loaded_sample import Loaded, check_values

EVIDENCE_KEYS = {"source_id", "id", "field", "what", "expected", "actual"}


@pytest.fixture
def loaded(faulty_sample: Loaded) -> Iterator[Loaded]:
    """A sample for damage to the target, which is undone afterwards."""
    with faulty_sample.connection.transaction(force_rollback=True):
        yield faulty_sample


def checked(loaded: Loaded, table: str, **options: Any) -> Evidence:
    return check_values(loaded.source, loaded.connection, TABLES[table], **options)


def damaged(loaded: Loaded, statement: str) -> str:
    """Executes a statement that returns one id, and returns it."""
    (row,) = loaded.connection.execute(statement.encode()).fetchall()
    return "/".join(map(str, row))


def test_every_table_of_a_faulty_source_is_sound(faulty_sample: Loaded) -> None:
    (secret,) = faulty_sample.source["openAi_keys"].distinct(
        "api_key", {"api_key": {"$type": "string"}}
    )[:1]
    for table in TABLES.values():
        evidence = check_values(faulty_sample.source, faulty_sample.connection, table)
        assert evidence.is_sound, (table.name, evidence.summary, evidence.sample)
        counted = evidence.counts
        lost = sum(counted.get(kind, 0) for kind in ("rejected", "altered", "nulled"))
        assert evidence.passed is (lost == 0)
        assert bool(evidence.next_step) is not evidence.passed
        assert evidence.failures == lost
        assert counted["sampled_fields_equal"] == counted["sampled_fields_compared"]
        assert secret not in json.dumps(evidence.as_json())
    assert counted["documents"]


def test_books_are_counted(faulty_sample: Loaded) -> None:
    kinds = ("altered", "nulled", "orphaned", "rejected", "unmapped")
    query = "SELECT count(*) FROM migration.{} WHERE target_table = 'Tasks'"
    evidence = checked(faulty_sample, "Tasks")
    for book, names in (("issues", kinds[:3]), ("rejected_documents", kinds[3:4])):
        (expected,) = faulty_sample.connection.execute(query.format(book).encode()).fetchone() or (
            None,
        )
        assert sum(evidence.counts.get(name, 0) for name in names) == expected
    assert evidence.counts["documents"] == faulty_sample.source["Tasks"].count_documents({})
    assert evidence.counts["rows"] + evidence.counts["rejected"] == evidence.counts["documents"]
    assert (evidence.layer, evidence.severity) == (Layer.VALUES, Severity.ERROR)


def test_a_sample_is_drawn_by_its_seed(faulty_sample: Loaded) -> None:
    table = "crm_Industry_Type"
    first, again, other = (
        checked(faulty_sample, table, sample_size=5, seed=seed) for seed in (1, 1, 2)
    )
    assert first.passed
    assert first.sample == again.sample != other.sample
    assert first.counts["sampled"] == len(first.sample) == 5
    assert {"source_id", "id", "fields_compared", "fields_equal"} == set(first.sample[0])
    assert checked(faulty_sample, table, sample_size=0).sample == []


def test_the_sample_is_as_large_as_the_environment_says(
    faulty_sample: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(seed: str) -> Evidence:
        monkeypatch.setenv(SAMPLE_SEED.name, seed)
        table = TABLES["crm_Industry_Type"]
        sides = faulty_sample.source, faulty_sample.connection
        (evidence,) = run_checks(*sides, table, (Layer.VALUES,))
        return evidence

    monkeypatch.setenv(SAMPLE.name, "3")
    first, again, other = map(drawn, ("1", "1", "2"))
    assert first.counts["sampled"] == len(first.sample) == 3
    assert first.sample == again.sample != other.sample
    monkeypatch.setenv(SAMPLE.name, "many")
    assert "MIGRATION_SAMPLE" in drawn("1").summary


def test_what_waits_for_its_deletion_is_not_referred_to(loaded: Loaded) -> None:
    assert checked(loaded, "crm_Leads").is_sound
    user = damaged(
        loaded,
        """INSERT INTO migration.pending_deletes
        SELECT 'Users', "assigned_to" FROM "crm_Leads" WHERE "assigned_to" IS NOT NULL LIMIT 1
        RETURNING id""",
    )
    evidence = checked(loaded, "crm_Leads")
    assert not evidence.is_sound
    lines = [line for line in evidence.sample if line.get("what") == What.LEADS_NOWHERE]
    assert {line["field"] for line in lines} <= {"createdBy", "updatedBy", "assigned_to"}
    query = 'SELECT count(*) FROM "crm_Leads" WHERE %s IN ("createdBy", "updatedBy", "assigned_to")'
    referring = loaded.connection.execute(query, [user]).fetchone()
    assert referring == (len({line["id"] for line in lines}),)


def test_no_range_of_rows_is_read_once_for_each_of_them(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows PostgreSQL takes a range for: in large tables it takes 2,000 for one."""
    plans: list[str] = []

    def explained(
        connection: Connection, table: sa.Table, query: sql.Composed, columns: Sequence[str]
    ) -> Iterator[pl.DataFrame]:
        del table, columns
        if "id <=" in query.as_string():
            plans.extend(map(str, connection.execute(sql.SQL("EXPLAIN {}").format(query))))
        return iter(())

    monkeypatch.setattr(rows, "frames", explained)
    monkeypatch.setattr(documents, "DOCUMENTS_PER_BATCH", 2)
    loaded.connection.execute('ANALYZE "Tasks", migration.uuid_map')
    assert checked(loaded, "Tasks").failures
    assert any("uuid_map" in line for line in plans)
    assert not any("Nested Loop" in line for line in plans)


def change(table: str, assigned: str, condition: str = "TRUE") -> str:
    """Returns the statement that changes the first row that meets a condition."""
    chosen = f'(SELECT id FROM "{table}" WHERE {condition} ORDER BY id LIMIT 1)'
    return f'UPDATE "{table}" SET {assigned} WHERE id = {chosen} RETURNING id'


CHANGES: list[tuple[str, str, str]] = [
    ("crm_Accounts", "name", change("crm_Accounts", "name = name || ' '")),
    ("crm_Accounts", "vat", change("crm_Accounts", "vat = NULL", "vat <> ''")),
    ("crm_Accounts", "vat", change("crm_Accounts", "vat = ''", "vat IS NULL")),
    ("crm_Accounts", "__v", change("crm_Accounts", "__v = __v + 1", "__v < 9")),
    ("crm_Leads", "email", change("crm_Leads", "email = upper(email)", "email <> upper(email)")),
    ("Tasks", "likes", change("Tasks", "likes = likes - 1", "likes > 0")),
    ("Users", "name", change("Users", "name = 'x'")),
    ("Users", "is_admin", change("Users", "is_admin = NOT is_admin")),
    (
        "crm_Accounts",
        "createdAt",
        change(
            "crm_Accounts", '"createdAt" = "createdAt" + interval \'1 ms\'', '"createdAt" < now()'
        ),
    ),
    (
        "Users",
        "userLanguage",
        change("Users", "\"userLanguage\" = 'uk'", "\"userLanguage\" <> 'uk'"),
    ),
    (
        "Boards",
        "user",
        change("Boards", '"user" = (SELECT max(id::text)::uuid FROM "Users")', "TRUE"),
    ),
    (
        "Boards",
        "sharedWith",
        change(
            "Boards",
            '"sharedWith" = "sharedWith"[2:] || "sharedWith"[1]',
            'cardinality("sharedWith") > 1 AND "sharedWith"[1] <> "sharedWith"[2]',
        ),
    ),
    (
        "crm_Contacts",
        "tags",
        change("crm_Contacts", "tags = tags[2:] || tags[1]", "tags[1] <> tags[2]"),
    ),
    ("crm_Contacts", "tags", change("crm_Contacts", "tags = NULL", "tags = '{}'")),
    (
        "crm_Contacts",
        "notes",
        change("crm_Contacts", "notes = array_append(notes, NULL)", "notes <> '{}'"),
    ),
    ("Tasks", "tags", change("Tasks", "tags = 'null'", "tags IS NULL")),
    ("Tasks", "tags", change("Tasks", "tags = NULL", "tags IS NOT NULL")),
    (
        "Documents",
        "tags",
        change("Documents", "tags = tags || '1'", "jsonb_typeof(tags) = 'array'"),
    ),
    (
        "Invoices",
        "invoice_items",
        change(
            "Invoices",
            "invoice_items = jsonb_set(invoice_items, '{0,unit_price}', "
            "to_jsonb(trunc((invoice_items #>> '{0,unit_price}')::numeric, 6)))",
            "scale((invoice_items #>> '{0,unit_price}')::numeric) > 6",
        ),
    ),
    (
        "Invoices",
        "invoice_items",
        change(
            "Invoices",
            "invoice_items = invoice_items #- '{0,vat}'",
            "invoice_items #> '{0,vat}' IS NOT NULL",
        ),
    ),
    (
        "TodoList",
        "user",
        change("TodoList", "\"user\" = replace(\"user\", '-', '')", "\"user\" ~ '-'"),
    ),
    (
        "Documents",
        "connected_documents",
        change("Documents", "connected_documents = '{}'", "connected_documents <> '{}'"),
    ),
]


@pytest.mark.parametrize(("table", "field", "statement"), CHANGES, ids=lambda value: value[:60])
def test_a_changed_value_is_found(loaded: Loaded, table: str, field: str, statement: str) -> None:
    identifier = damaged(loaded, statement)
    evidence = checked(loaded, table)
    assert (evidence.passed, evidence.is_sound, evidence.failures > 0) == (False, False, True)
    (difference,) = evidence.sample
    assert set(difference) == EVIDENCE_KEYS
    shown_values = [value for value in difference.values() if value is not None]
    assert set(map(type, shown_values)) == {str}  # what Dagster can keep, and no enum
    assert (difference["id"], difference["field"]) == (identifier, field)
    assert difference["what"] == What.DIFFERS
    assert difference["expected"] != difference["actual"]
    assert "differ" in evidence.summary
    assert "Materialize" in evidence.next_step


def test_just_some_documents_are_compared(loaded: Loaded) -> None:
    """By their ids of any kind: rows, lines of the books, references, and deleted documents."""
    table, tasks = TABLES["Tasks"], loaded.source["Tasks"]
    ids = [document["_id"] for document in tasks.find({}, {"_id": 1})]
    comparison = recheck(loaded.source, loaded.connection, table, ids)
    assert (comparison.documents, comparison.values.count, comparison.faults.count) == (
        len(ids),
        0,
        0,
    )
    changed = uuid.UUID(damaged(loaded, change("Tasks", "title = title || '!'")))
    loaded.connection.execute(book("issues", "DELETE FROM {}", TASKS).encode())
    wrong = []
    for identifier in ids:
        comparison = recheck(loaded.source, loaded.connection, table, [identifier])
        wrong += [identifier] if comparison.values.count else []
        assert (comparison.documents, comparison.unequal) == (
            1,
            document_uuid("Tasks", identifier) == changed,
        )
    assert len(wrong) == 2
    gone = ObjectId()
    assert recheck(loaded.source, loaded.connection, table, [gone]).values.count == 0
    loaded.connection.execute(
        'UPDATE "Tasks" SET id = %s WHERE id = %s', [document_uuid("Tasks", gone), changed]
    )
    comparison = recheck(loaded.source, loaded.connection, table, [gone])
    assert comparison.values.kinds == {What.MISSING_IN_SOURCE: 1}


def test_digits_beyond_the_millisecond_are_found(loaded: Loaded) -> None:
    loaded.connection.execute('ALTER TABLE "Users" ALTER "created_on" TYPE timestamp(6)')
    identifier = damaged(
        loaded, change("Users", "created_on = created_on + interval '1 microsecond'")
    )
    (difference,) = checked(loaded, "Users").sample
    assert (difference["id"], difference["field"]) == (identifier, "created_on")


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("Invoices", "UPDATE \"Invoices\" SET invoice_items = '[1]' WHERE invoice_items = '[1.0]'"),
        ("Tasks", "UPDATE \"Tasks\" SET tags = '1' WHERE tags::text IN ('1.0', '1')"),
        ("Tasks", 'ALTER TABLE "Tasks" ALTER likes TYPE numeric'),
        ("Tasks", 'ALTER TABLE "Tasks" ALTER tags TYPE json'),
        (
            "Users",
            'ALTER TABLE "Users" ALTER "userLanguage" DROP DEFAULT, ALTER "userLanguage" TYPE text',
        ),
        ("crm_Accounts", 'ALTER TABLE "crm_Accounts" ALTER "createdAt" TYPE timestamptz(6)'),
    ],
)
def test_the_same_values_in_another_form_are_not_differences(
    loaded: Loaded, table: str, statement: str
) -> None:
    loaded.connection.execute(statement.encode())
    assert checked(loaded, table).is_sound


def test_types_are_judged_where_values_cannot_be_read(loaded: Loaded) -> None:
    """One pass answers three layers; the error that stops two of them is what the third reports."""
    loaded.connection.execute('ALTER TABLE "Tasks" ALTER likes TYPE text')
    loaded.connection.execute(change("Tasks", "likes = 'many'").encode())
    layers = (Layer.VALUES, Layer.REFERENCES, Layer.TYPES)
    all_evidence = run_checks(loaded.source, loaded.connection, TABLES["Tasks"], layers)
    assert [evidence.layer for evidence in all_evidence] == [*layers]
    could_not_run = ["could not run" in evidence.summary for evidence in all_evidence]
    assert could_not_run == [True, True, False]
    assert "likes: type in the catalog" in all_evidence[2].counts
    assert "likes: integer of 64 bits" in all_evidence[2].counts


def test_types_of_pairs_are_the_same_alone_and_in_the_pass(loaded: Loaded) -> None:
    loaded.connection.execute(
        "UPDATE \"DocumentsToTasks\" SET task_id = '0f8fad5b-d9cb-469f-a165-70867728950e' "
        'WHERE ctid = (SELECT min(ctid) FROM "DocumentsToTasks")'
    )
    table = TABLES["DocumentsToTasks"]
    alone = check_types(None, loaded.connection, table)
    layers = (Layer.VALUES, Layer.REFERENCES, Layer.TYPES)
    *_, in_the_pass = run_checks(loaded.source, loaded.connection, table, layers)
    assert in_the_pass.counts["task_id: uuid of version 5 or 7"] == in_the_pass.failures == 1
    assert [*in_the_pass.seconds] != [*alone.seconds]
    assert replace(in_the_pass, seconds={}) == replace(alone, seconds={})


def test_a_deleted_row_is_found(loaded: Loaded) -> None:
    identifier = damaged(
        loaded,
        'DELETE FROM "crm_Leads" WHERE id = '
        '(SELECT id FROM "crm_Leads" ORDER BY id OFFSET 7 LIMIT 1) RETURNING id',
    )
    (difference,) = checked(loaded, "crm_Leads").sample
    assert (difference["id"], difference["what"]) == (identifier, What.MISSING_IN_TARGET)
    assert (difference["actual"], difference["field"]) == (None, None)
    assert uuid.UUID(identifier) == document_uuid("crm_Leads", ObjectId(difference["source_id"]))


@pytest.mark.parametrize(
    "identifier",
    [
        "00000000-0000-7000-8000-000000000400",
        "ffffffff-ffff-4fff-bfff-ffffffffffff",
        str(document_uuid("crm_campaigns", "invented")),
        str(document_uuid("crm_campaigns", ObjectId("61000000e8d7bcf1b35e6501"))),
    ],
)
def test_an_invented_row_is_found(loaded: Loaded, identifier: str) -> None:
    loaded.connection.execute(
        'INSERT INTO "crm_campaigns" (id, __v, name) VALUES (%s, 0, %s)', [identifier, "x"]
    )
    (difference,) = checked(loaded, "crm_campaigns").sample
    assert (difference["id"], difference["what"]) == (identifier, What.MISSING_IN_SOURCE)
    assert difference["expected"] is None


def test_a_doubled_row_is_found(loaded: Loaded) -> None:
    loaded.connection.execute('ALTER TABLE "Sections" DROP CONSTRAINT "Sections_pkey"')
    identifier = damaged(
        loaded, 'INSERT INTO "Sections" SELECT * FROM "Sections" ORDER BY id LIMIT 1 RETURNING id'
    )
    (difference,) = checked(loaded, "Sections").sample
    assert (difference["id"], difference["what"]) == (identifier, What.MISSING_IN_SOURCE)


def test_a_row_that_waits_for_its_deletion_is_none(loaded: Loaded) -> None:
    waiting = str(document_uuid("crm_campaigns", "gone"))
    loaded.connection.execute(
        'INSERT INTO "crm_campaigns" (id, __v, name) VALUES (%s, 0, %s)', [waiting, "x"]
    )
    loaded.connection.execute(
        "INSERT INTO migration.pending_deletes VALUES ('crm_campaigns', %s)", [waiting]
    )
    assert checked(loaded, "crm_campaigns").is_sound


def book(name: str, action: str, condition: str = "TRUE") -> str:
    """Returns the statement that damages the first line of a book of a table and returns its source id."""
    chosen = f"(SELECT ctid FROM migration.{name} WHERE {condition} ORDER BY source_id LIMIT 1)"
    return f"{action.format(f'migration.{name}')} WHERE ctid = {chosen} RETURNING source_id"


TASKS = "target_table = 'Tasks'"
CONTACTS = "target_table = 'crm_Contacts' AND element IS NOT NULL"
BOOKS: list[tuple[str, What, str]] = [
    ("Tasks", What.NOT_RECORDED, book("issues", "DELETE FROM {}", TASKS)),
    ("Tasks", What.NOT_RECORDED, book("issues", "UPDATE {} SET original = '1'", TASKS)),
    ("Tasks", What.NOT_RECORDED, book("rejected_documents", "DELETE FROM {}", TASKS)),
    ("Tasks", What.NOT_RECORDED, book("rejected_documents", "UPDATE {} SET field = 'x'", TASKS)),
    (
        "Tasks",
        What.NOT_RECORDED,
        book(
            "rejected_documents",
            'UPDATE {} SET document = regexp_replace(document, \'"title":"\', \'"title":"x\')',
            TASKS + ' AND document ~ \'"title":"\'',
        ),
    ),
    ("Tasks", What.NOT_RECORDED, book("unmapped_fields", "DELETE FROM {}", TASKS)),
    ("Tasks", What.NOT_RECORDED, book("unmapped_fields", "UPDATE {} SET fields = '{{}}'", TASKS)),
    ("crm_Contacts", What.NOT_RECORDED, book("issues", "UPDATE {} SET element = 9", CONTACTS)),
    (
        "DocumentsToCrmAccountsTasks",
        What.NOT_RECORDED,
        book("issues", "DELETE FROM {}", "target_table = 'DocumentsToCrmAccountsTasks'"),
    ),
]


@pytest.mark.parametrize(("table", "what", "statement"), BOOKS)
def test_a_line_that_is_gone_from_the_books_is_found(
    loaded: Loaded, table: str, what: What, statement: str
) -> None:
    source_id = damaged(loaded, statement)
    evidence = checked(loaded, table)
    assert not evidence.is_sound
    assert (source_id, what) in [
        (line.get("source_id"), line.get("what")) for line in evidence.sample
    ]


@pytest.mark.parametrize("table", ["Tasks", "DocumentsToTasks"])
@pytest.mark.parametrize("source_id", ["61000000e8d7bcf1b35e6501", '"invented"', None])
def test_a_line_that_was_added_to_the_books_is_found(
    loaded: Loaded, table: str, source_id: str | None
) -> None:
    collection, field = ("Tasks", "title") if table == "Tasks" else ("Documents", "tasksIDs")
    if source_id is None:  # a document that there is
        first = loaded.source[collection].find_one(
            {"_id": {"$type": "objectId"}}, sort=[("_id", 1)]
        )
        assert first is not None
        source_id = str(first["_id"])
    loaded.connection.execute(
        "INSERT INTO migration.issues VALUES (%s, %s, %s, %s, 'altered', 0, 'x', '1')",
        [table, collection, source_id, field],
    )
    evidence = checked(loaded, table)
    differences = [line for line in evidence.sample if "what" in line]
    assert [(difference["source_id"], difference["what"]) for difference in differences] == [
        (source_id, What.RECORDED_WRONGLY)
    ]
    assert not evidence.is_sound


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE migration.conversions SET count = count + 1 WHERE target_table = '{}' AND kind = 'coerced'",
        "DELETE FROM migration.conversions WHERE target_table = '{}'",
        "INSERT INTO migration.conversions VALUES ('{}', 'x', 'y', 'coerced', 'z', 1)",
        "INSERT INTO migration.rejected_documents VALUES ('{}', 'x', '\"x\"', NULL, 'x', '{{}}')",
        "INSERT INTO migration.unmapped_fields VALUES ('{}', 'x', '\"x\"', '{{}}')",
    ],
)
@pytest.mark.parametrize("table", ["Tasks", "DocumentsToTasks"])
def test_books_that_count_otherwise_are_found(loaded: Loaded, table: str, statement: str) -> None:
    loaded.connection.execute(statement.format(table).encode())
    evidence = checked(loaded, table)
    assert not evidence.is_sound
    assert evidence.counts["totals_that_differ"] >= 1


def test_ids_are_packed_into_values_of_bounded_size(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = sql.SQL('SELECT id FROM "Tasks" UNION ALL SELECT NULL').format()
    part = sql.SQL("uuid_send(id)").format()

    def read(query: sql.Composed) -> Counter[bytes]:
        packed = rows.packed(loaded.connection, query, part)
        return Counter(packed[at : at + 16] for at in range(0, len(packed), 16))

    all_ids = read(query)
    monkeypatch.setattr(rows, "ROWS_PER_VALUE", 7)
    assert read(query) == all_ids
    assert not read(sql.SQL("SELECT NULL::uuid AS id").format())


def test_a_wrong_identity_in_the_map_is_found(loaded: Loaded) -> None:
    loaded.connection.execute(
        "UPDATE migration.uuid_map SET source_id = 'x' WHERE collection = 'Boards' AND id = "
        '(SELECT max(id::text)::uuid FROM "Boards")'
    )
    (difference,) = checked(loaded, "Boards").sample
    assert (difference["field"], difference["what"]) == ("uuid_map", What.DIFFERS)


PAIR = '"account_id", "user_id"'


@pytest.fixture(params=[3, 1000])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compares pairs in many parts, or in one."""
    monkeypatch.setattr(partitions, "COMPARED_AT_ONCE", request.param)


@pytest.mark.usefixtures("parts")
def test_of_all_pairs_some_are_drawn(loaded: Loaded) -> None:
    evidence = checked(loaded, "AccountWatchers", sample_size=5)
    assert evidence.is_sound
    assert (evidence.counts["sampled"], len({line["id"] for line in evidence.sample})) == (5, 5)
    assert (
        evidence.counts["sampled_fields_equal"] == evidence.counts["sampled_fields_compared"] == 10
    )
    (rows,) = loaded.connection.execute('SELECT count(*) FROM "AccountWatchers"').fetchone() or (0,)
    assert evidence.counts["rows"] == rows > 5


@pytest.mark.usefixtures("parts")
def test_a_deleted_pair_is_found(loaded: Loaded) -> None:
    pair = damaged(
        loaded,
        'DELETE FROM "AccountWatchers" WHERE ctid = '
        f'(SELECT ctid FROM "AccountWatchers" LIMIT 1) RETURNING {PAIR}',
    )
    difference, total = checked(loaded, "AccountWatchers").sample
    assert (total["name"], total["expected"] - total["actual"]) == ("pairs", 1)
    assert (difference["id"], difference["what"]) == (pair, What.MISSING_IN_TARGET)
    assert difference["field"] in ("watchers", "watching_accountsIDs")


@pytest.mark.usefixtures("parts")
def test_an_invented_pair_is_found(loaded: Loaded) -> None:
    pair = damaged(
        loaded,
        'INSERT INTO "AccountWatchers" SELECT a.id, u.id FROM "crm_Accounts" a, "Users" u WHERE (a.id, u.id) '
        f'NOT IN (SELECT {PAIR} FROM "AccountWatchers") ORDER BY a.id, u.id LIMIT 1 RETURNING {PAIR}',
    )
    evidence = checked(loaded, "AccountWatchers")
    assert not evidence.is_sound
    difference = evidence.sample[0]
    assert (difference["id"], difference["what"]) == (pair, What.MISSING_IN_SOURCE)


@pytest.mark.usefixtures("parts")
def test_a_doubled_pair_is_found(loaded: Loaded) -> None:
    loaded.connection.execute('ALTER TABLE "BoardWatchers" DROP CONSTRAINT "BoardWatchers_pkey"')
    loaded.connection.execute('INSERT INTO "BoardWatchers" SELECT * FROM "BoardWatchers" LIMIT 1')
    assert not checked(loaded, "BoardWatchers").is_sound


def test_more_differences_than_are_shown_are_counted(loaded: Loaded) -> None:
    changed = loaded.connection.execute('UPDATE "Tasks" SET title = title || %s', ["x"]).rowcount
    evidence = checked(loaded, "Tasks")
    assert changed > SAMPLE_SIZE == len(evidence.sample)
    assert evidence.counts["differences"] == changed


def test_the_servers_count_of_types_guards_the_reader(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "migration_assets.validation.entity_pass.odd_types",
        lambda *arguments: {**odd_types(*arguments), ("title", "int"): 1},
    )
    evidence = checked(loaded, "Tasks")
    assert not evidence.is_sound
    assert [line["name"] for line in evidence.sample] == ["BSON type of title int"]


def test_the_servers_count_of_documents_guards_the_cursor(
    source: SourceDatabase, target: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    source["invoice_States"].insert_many([{"name": name} for name in ("a", "b", "c")])
    load_identities(NEXTCRM, source, target)
    load_table(source, target, TABLES["invoice_States"])
    monkeypatch.setattr(
        "migration_assets.validation.entity_pass.batches",
        lambda *arguments, **named: (
            replace(batch, starts=batch.starts[:-1], ends=batch.ends[:-1])
            for batch in batches(*arguments, **named)
        ),
    )
    target.execute('DELETE FROM "invoice_States" WHERE name = %s', ["c"])
    evidence = check_values(source, target, TABLES["invoice_States"])
    assert not evidence.is_sound
    assert [line["name"] for line in evidence.sample] == ["documents of invoice_States"]


def test_the_server_counts_odd_types_as_the_judge_does(
    source: SourceDatabase, target: Connection
) -> None:
    """Also of deprecated types, of arrays of usual types, and of a field that is there twice."""
    values: dict[int, bytes] = {
        0x01: bytes(8),
        0x02: b"\x02\0\0\0x\0",
        0x03: bson.encode({}),
        0x04: bson.encode({"0": "x", "1": ObjectId(), "2": None, "3": True, "4": 1}),
        0x05: b"\0\0\0\0\0",
        0x06: b"",
        0x07: bytes(12),
        0x08: b"\1",
        0x09: bytes(8),
        0x0A: b"",
        0x0B: b"x\0i\0",
        0x0C: b"\x02\0\0\0x\0" + bytes(12),
        0x0D: b"\x02\0\0\0x\0",
        0x0E: b"\x02\0\0\0x\0",
        0x10: bytes(4),
        0x11: b"\1" + bytes(7),
        0x12: bytes(8),
        0x13: bytes(16),
        0x7F: b"",
        0xFF: b"",
    }
    assert set(values) | {CODE_WITH_SCOPE} == set(TYPE_NAMES)
    usual = usual_types(TABLES["Documents"])
    names = sorted(usual.keys() - {"_id"})
    documents = [raw(b"\x07_id\0" + bytes(12)), raw(b"\x0a_id\0")]
    expected = Counter({("_id", "null"): 1})
    for number, (kind, value) in enumerate(values.items()):
        elements = [bytes([kind]) + name.encode() + b"\0" + value for name in names]
        twice = b"\x08" + names[number].encode() + b"\0\1"
        documents.append(raw(b"\x10_id\0" + number.to_bytes(4, "little"), *elements, twice))
        expected.update(
            (name, TYPE_NAMES[kind]) for name in names if TYPE_NAMES[kind] not in usual[name]
        )
    source["Documents"].insert_many(documents)
    assert odd_types(source, "Documents", usual) == expected
    load_identities(NEXTCRM, source, target)
    load_table(source, target, TABLES["Documents"])
    evidence = check_values(source, target, TABLES["Documents"])
    assert not [line for line in evidence.sample if "BSON type" in str(line.get("name"))]


def test_a_collection_that_is_missing_is_an_empty_table(
    source: SourceDatabase, target: Connection
) -> None:
    for table in TABLES.values():
        evidence = check_values(source, target, table)
        assert (evidence.passed, evidence.counts["documents"], evidence.sample) == (True, 0, [])


def test_what_changed_in_the_source_since_is_found(
    source: SourceDatabase, target: Connection
) -> None:
    changed, gone, new = (ObjectId() for _ in range(3))
    states = source["invoice_States"].with_options(codec_options=CODEC)
    states.insert_many([{"_id": changed, "name": "a"}, {"_id": gone, "name": "b"}])
    states.insert_many([{"_id": number, "name": "c"} for number in range(5)])
    load_identities(NEXTCRM, source, target)
    load_table(source, target, TABLES["invoice_States"])
    assert check_values(source, target, TABLES["invoice_States"]).passed
    states.update_one({"_id": changed}, {"$set": {"name": "A"}})
    states.delete_one({"_id": gone})
    states.insert_one({"_id": new, "name": "d"})
    states.delete_one({"_id": 3})
    states.update_one({"_id": 4}, {"$set": {"name": 4.5}})
    evidence = check_values(source, target, TABLES["invoice_States"])
    differences = {(line.get("source_id"), line.get("what")) for line in evidence.sample}
    assert {
        (str(changed), What.DIFFERS),
        (str(gone), What.MISSING_IN_SOURCE),
        (str(new), What.MISSING_IN_TARGET),
        (None, What.MISSING_IN_SOURCE),
        ('{"$numberInt":"4"}', What.DIFFERS),
    } == {difference for difference in differences if difference[1]}
    assert "conversions invoice_States name coerced" in [
        line.get("name") for line in evidence.sample
    ]


def raw(*elements: bytes) -> RawBSONDocument:
    body = b"".join(elements)
    return RawBSONDocument((len(body) + 5).to_bytes(4, "little") + body + b"\0")


def test_what_the_driver_hides_is_seen(source: SourceDatabase, target: Connection) -> None:
    """A field that occurs twice: the driver gives the last, and the first would be lost silently."""
    identifier = ObjectId()
    own = b"\x07_id\0" + identifier.binary
    twice = raw(own, b"\x02name\0\x02\0\0\0a\0", b"\x02name\0\x02\0\0\0b\0")
    source["invoice_States"].insert_one(twice)
    assert bson.decode(twice.raw)["name"] == "b"
    key = document_uuid("invoice_States", identifier)
    target.execute('INSERT INTO "invoice_States" VALUES (%s, %s)', [key, "b"])
    target.execute(
        "INSERT INTO migration.uuid_map (collection, id, source_id) VALUES (%s, %s, %s)",
        ["invoice_States", key, str(identifier)],
    )
    evidence = check_values(source, target, TABLES["invoice_States"])
    assert not evidence.is_sound
    assert {(str(identifier), What.MISSING_IN_SOURCE), (str(identifier), What.NOT_RECORDED)} <= {
        (line.get("source_id"), line.get("what")) for line in evidence.sample
    }


def board(watchers: bytes) -> RawBSONDocument:
    own = (b"\x07_id\0" + ObjectId().binary, b"\x02title\0\x02\0\0\0a\0")
    return raw(*own, b"\x04watchers\0" + watchers)


ARRAY_OF_BYTES = b"\x0e\0\0\0\x02" + b"0\0\x02\0\0\0\xe9\0" + b"\0"
ARRAY_OF_TEXT = ARRAY_OF_BYTES.replace(b"\xe9", b"e")


def test_an_array_that_cannot_be_read_is_kept(source: SourceDatabase, target: Connection) -> None:
    source["Boards"].insert_one(board(ARRAY_OF_BYTES))
    source["Boards"].insert_one(board(ARRAY_OF_TEXT))
    load_identities(NEXTCRM, source, target)
    for name in ("Users", "Boards", "BoardWatchers"):
        load_table(source, target, TABLES[name])
        evidence = check_values(source, target, TABLES[name])
        assert evidence.is_sound, evidence.sample
    assert (evidence.counts["rejected"], evidence.counts["orphaned"]) == (1, 1)
    target.execute("DELETE FROM migration.rejected_documents WHERE target_table = 'BoardWatchers'")
    assert not check_values(source, target, TABLES["BoardWatchers"]).is_sound


def test_batches_of_any_size_compare_the_same(
    faulty_sample: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migration_assets.validation.documents.DOCUMENTS_PER_BATCH", 3)
    for table in ("Users", "ImageUpload", "Tasks", "DocumentsToTasks"):
        evidence = checked(faulty_sample, table)
        assert evidence.is_sound, evidence.sample


@pytest.fixture
def most_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of whole rows read at once, with small batches."""
    row_counts: list[int] = []
    read = rows.frames

    def counted(
        connection: Connection, table: sa.Table, query: sql.Composed, columns: Sequence[str]
    ) -> Iterator[pl.DataFrame]:
        frames = list(read(connection, table, query, columns))
        row_counts.append(sum(frame.height for frame in frames))
        return iter(frames)

    monkeypatch.setattr(rows, "frames", counted)
    monkeypatch.setattr(documents, "DOCUMENTS_PER_BATCH", 2)
    monkeypatch.setattr(rows, "_BESIDE", 3)
    monkeypatch.setattr(entity_pass, "_ROWS_AT_ONCE", 5)
    monkeypatch.setattr(rows, "IDS_PER_PAGE", 7)
    return row_counts


@pytest.mark.parametrize("kept", [0, 1, 2], ids=["none", "the last", "the first and the last"])
def test_rows_whose_documents_are_gone_are_read_so_many_at_once(
    loaded: Loaded, source: SourceDatabase, most_rows: list[int], kept: int
) -> None:
    all_documents = list(
        loaded.source["Tasks"].find({"_id": {"$type": "objectId"}}, sort=[("_id", 1)])
    )
    chosen = [all_documents[-1], all_documents[0]][:kept]
    if chosen:
        source["Tasks"].insert_many(chosen)
    (rows,) = loaded.connection.execute('SELECT count(*) FROM "Tasks"').fetchone() or (0,)
    (there,) = loaded.connection.execute(
        'SELECT count(*) FROM "Tasks" WHERE id = ANY(%s)',
        [[document_uuid("Tasks", document["_id"]) for document in chosen]],
    ).fetchone() or (0,)
    comparison = compare(source, loaded.connection, TABLES["Tasks"], Phases())
    assert comparison.values.kinds[What.MISSING_IN_SOURCE] == rows - there > 20
    assert comparison.faults.kinds[Fault.INVENTED] > 20
    assert 0 < max(most_rows) <= 5


def test_rows_of_other_ids_are_read_with_their_documents(
    source: SourceDatabase, target: Connection, most_rows: list[int]
) -> None:
    ids = [*map(str, range(20)), *range(20), ObjectId(), *({"no": n} for n in range(5))]
    source["ImageUpload"].insert_many([{"_id": identifier} for identifier in ids])
    load_identities(NEXTCRM, source, target)
    load_table(source, target, TABLES["ImageUpload"])
    evidence = check_values(source, target, TABLES["ImageUpload"])
    assert (evidence.passed, evidence.counts["rows"], max(most_rows)) == (True, 46, 2)


def test_a_long_line_of_the_books_is_read_where_it_is_compared(loaded: Loaded) -> None:
    too_long_for_a_btree = random.Random(1).randbytes(5_000).hex()
    ids = ["000000000000000000000000", '"own"', f'"{too_long_for_a_btree}"']
    long = "x" * 2_000_000
    for source_id in ids:
        loaded.connection.execute(
            "INSERT INTO migration.rejected_documents VALUES ('Boards', 'Boards', %s, NULL, 'x', %s)",
            [source_id, long],
        )
    findings = Findings()
    boards = ComparedTable(loaded.source, loaded.connection, TABLES["Boards"], NO_REMEDIATIONS)
    books = TableBooks(boards, findings, "Boards")
    held = books.of(pl.Series(ids))
    assert max(len(line.original) for _, line in held) < 2_000
    line = Line(None, REJECTED, None, long)
    assert books.compare({(name, name): [line] for name in ids}, held) == {}
    other = line._replace(original=long[:-1] + "y")
    books.compare({(name, name): [other] for name in ids}, held)
    assert findings.kinds == {What.NOT_RECORDED: len(ids)}


def test_long_lines_of_the_books_are_compared_as_short_ones(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded_lines, "_SHORT", 0)
    for name in ("Tasks", "gpt_models", "DocumentsToTasks"):
        assert checked(loaded, name).is_sound
    damaged(loaded, book("issues", "UPDATE {} SET original = '1'", TASKS))
    assert [line["what"] for line in checked(loaded, "Tasks").sample] == [What.NOT_RECORDED]


def test_extremes_arrive(source: SourceDatabase, target: Connection) -> None:
    """Extreme values, compared on real servers rather than by our own arithmetic alone."""
    contract = {
        "_id": ObjectId("ffffffffffffffffffffffff"),
        "title": "\U0001f469\u200d\U0001f4bb \\N \"'\t\r\n",
        "value": Int64(-(2**31)),
        "startDate": datetime(1, 1, 1),
        "endDate": bson.datetime_ms.DatetimeMS(-210_866_803_200_000),
        "createdAt": bson.datetime_ms.DatetimeMS(9_224_318_015_999_999),
    }
    table = TABLES["crm_Contracts"]
    source["crm_Contracts"].insert_many([contract, {**contract, "_id": ObjectId("0" * 24)}])
    load_identities(NEXTCRM, source, target)
    load_table(source, target, table)
    assert check_values(source, target, table).passed
    target.execute(
        sql.SQL('UPDATE {} SET "endDate" = "endDate" + interval \'1 ms\'').format(
            sql.Identifier(table.name)
        )
    )
    assert check_values(source, target, table).counts["differences"] == 2


def test_what_no_index_takes_is_a_finding_and_all_is_built(
    source: SourceDatabase, target: Connection
) -> None:
    too_long = secrets.token_urlsafe(2_100)  # 2,800 letters
    first, second, third = (ObjectId(f"{number:024x}") for number in (1, 2, 3))
    source["Users"].insert_many([{"_id": first, "email": too_long}, {"_id": second, "email": "b"}])
    source["crm_Accounts"].insert_one({"_id": third, "name": "a", "status": too_long})
    load_identities(NEXTCRM, source, target)
    for name in ("Users", "crm_Accounts"):
        load_table(source, target, TABLES[name])
        assert check_values(source, target, TABLES[name]).is_sound
    rejected = "SELECT source_id, field, reason FROM migration.rejected_documents"
    nulled = "SELECT source_id, field, reason FROM migration.issues WHERE kind = 'nulled'"
    for query, identifier, name in ((rejected, first, "email"), (nulled, third, "status")):
        ((source_id, field, reason),) = target.execute(query).fetchall()
        assert (source_id, field) == (str(identifier), name)
        assert reason.startswith("2,800 bytes, too long for an index of the application")
    assert build_constraints(NEXTCRM, target).left_out == ()


def test_the_schemas_find_a_missing_side() -> None:
    findings = Findings()
    assert failing(TOTALS, totals_frame(findings.totals(What))) == []
    findings.add(What.DIFFERS, expected=b"secret", actual=b"Secret")
    findings.add(What.DIFFERS, expected=b"secret", actual=b"Secret")
    findings.add(What.MISSING_IN_SOURCE, actual=b"secret")
    assert failing(TOTALS, totals_frame(findings.totals(What))) == [
        {"name": "differs", "expected": 0, "actual": 2},
        {"name": "missing in source", "expected": 0, "actual": 1},
    ]
    assert "secret" not in str(findings.sample)
    totals = [Total("a", 1, 1), Total("b", 1, 2), Total("c", None, None), Total("d", 1, None)]
    assert [case["name"] for case in failing(TOTALS, totals_frame(totals))] == ["b", "c", "d"]
