"""Layer 1 on real servers: the books balance for clean and dirty data, and only while nobody touches them."""

from __future__ import annotations

from collections.abc import Iterator

import bson
import polars as pl
import pytest
from bson import (
    Code,
    DatetimeMS,
    Decimal128,
    Int64,
    MaxKey,
    MinKey,
    ObjectId,
    Regex,
    Timestamp,
)
from bson.raw_bson import RawBSONDocument

from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation.counting import Measure, count_source
from migration_assets.validation.evidence import Evidence, Layer, Severity
from migration_assets.validation.findings import failing
from migration_assets.validation.row_count import BOOKS, check_row_count
from migration_assets_tests.support.loaded_sample import Loaded


@pytest.fixture
def loaded(faulty_sample: Loaded) -> Iterator[Loaded]:
    """A sample for damage to the target, which is undone afterwards."""
    with faulty_sample.connection.transaction(force_rollback=True):
        yield faulty_sample


def checked(loaded: Loaded, table: str) -> Evidence:
    return check_row_count(loaded.source, loaded.connection, TABLES[table])


def failing_lines(evidence: Evidence) -> dict[str, int]:
    """Returns by how much each line that fails is out of balance, by name."""
    assert (evidence.passed, evidence.is_sound, evidence.severity) == (False, False, Severity.ERROR)
    assert evidence.failures == evidence.counts["identities_that_fail"] == len(evidence.sample)
    assert "Materialize" in evidence.next_step
    return {
        line["name"]: line["target"] + line["explained"] - line["source"]
        for line in evidence.sample
    }


def test_the_books_of_every_table_of_a_faulty_source_balance(faulty_sample: Loaded) -> None:
    rejected = 0
    to_read: dict[str, int] = dict(
        faulty_sample.connection.execute(
            "SELECT target_table, sum(n)::bigint FROM ("
            "SELECT target_table, count AS n FROM migration.conversions WHERE kind <> 'asymmetric' "
            "UNION ALL SELECT target_table, 1 FROM migration.unmapped_fields) found GROUP BY 1"
        ).fetchall()
    )
    for table in TABLES.values():
        evidence = check_row_count(faulty_sample.source, faulty_sample.connection, table)
        assert evidence.is_sound, (table.name, evidence.summary)
        assert (evidence.layer, evidence.counts["identities_that_fail"]) == (Layer.ROW_COUNT, 0)
        assert evidence.failures == to_read.get(table.name, 0), table.name
        assert evidence.passed is (table.name not in to_read)
        if not evidence.passed:
            assert evidence.severity is Severity.WARN
            assert evidence.failures >= sum(line["count"] for line in evidence.sample) > 0
        rejected += evidence.counts["rejected"]
    (expected,) = faulty_sample.connection.execute(
        "SELECT count(*) FROM migration.rejected_documents"
    ).fetchone() or (0,)
    assert rejected == expected > 100


def test_evidence_names_what_was_counted(faulty_sample: Loaded) -> None:
    evidence = checked(faulty_sample, "Tasks")
    documents = faulty_sample.source["Tasks"].count_documents({})
    assert (
        evidence.counts["documents"]
        == documents
        == evidence.counts["rows"] + evidence.counts["rejected"]
    )
    assert f"{documents} documents" in evidence.summary
    assert f"{evidence.counts['rejected']} of them rejected" in evidence.summary


def test_lossless_changes_are_a_warning(source: SourceDatabase, target: Connection) -> None:
    table = TABLES["systemServices"]
    source[table.name].insert_many(
        [
            {"name": "clean", "__v": 0},
            {"name": 1, "__v": 0.0},
            {"name": 2},
            {"name": "x", "__v": 0, "forgotten": 1},
        ]
    )
    load_identities(NEXTCRM, source, target)
    load_table(source, target, table)
    evidence = check_row_count(source, target, table)
    assert (evidence.passed, evidence.is_sound, evidence.severity) == (False, True, Severity.WARN)
    assert evidence.summary == (
        "the books balance in 10 lines: 4 documents; values coerced without loss: 3; defaults for "
        "missing values: 1; documents with fields that the model does not know, kept: 1"
    )
    assert evidence.next_step.startswith(
        "Nothing is lost, and nothing has to be done: read in migration"
    )
    assert evidence.failures == 5
    assert {(line["field"], line["kind"], line["count"]) for line in evidence.sample} == {
        ("name", "coerced", 2),
        ("__v", "coerced", 1),
        ("__v", "defaulted", 1),
        (None, "unmapped", 1),
    }
    target.execute('DELETE FROM "systemServices" WHERE name = %s', ["clean"])
    assert "documents" in failing_lines(check_row_count(source, target, table))


FIRST = '(SELECT id FROM "{0}" WHERE {1} ORDER BY id LIMIT 1)'


def first(table: str, action: str, condition: str = "TRUE") -> str:
    return f"{action.format(table)} WHERE id = {FIRST.format(table, condition)}"


def line_of(book: str, action: str, condition: str) -> str:
    chosen = f"(SELECT ctid FROM migration.{book} WHERE {condition} LIMIT 1)"
    return f"{action.format(f'migration.{book}')} WHERE ctid = {chosen}"


OF_TASKS = "target_table = 'Tasks'"
OF_PAIRS = "target_table = 'DocumentsToCrmAccountsTasks'"

DAMAGES: list[tuple[str, str, dict[str, int]]] = [
    (
        "Tasks",
        first("Tasks", 'UPDATE "{}" SET content = NULL', "content IS NOT NULL"),
        {"values of content": -1},
    ),
    (
        "Tasks",
        first("Tasks", "UPDATE \"{}\" SET content = ''", "content IS NULL"),
        {"values of content": 1},
    ),
    (
        "Tasks",
        first("Tasks", "UPDATE \"{}\" SET tags = 'null'", "tags IS NULL"),
        {"values of tags": 1},
    ),
    (
        "crm_Contacts",
        first("crm_Contacts", 'UPDATE "{}" SET tags = tags[2:]', "tags <> '{}'"),
        {"elements of tags": -1},
    ),
    (
        "Boards",
        first("Boards", 'UPDATE "{}" SET "sharedWith" = "sharedWith" || id', "TRUE"),
        {"elements of sharedWith": 1},
    ),
    (
        "crm_Industry_Type",
        first("crm_Industry_Type", 'DELETE FROM "{}"'),
        {"documents": -1, "values of __v": -1, "values of name": -1},
    ),
    (
        "crm_Industry_Type",
        "INSERT INTO \"crm_Industry_Type\" VALUES (gen_random_uuid(), 0, 'x')",
        {"documents": 1, "values of __v": 1, "values of name": 1},
    ),
    (
        "Documents_Types",
        line_of("uuid_map", "DELETE FROM {}", "collection = 'Documents_Types'"),
        {"identities in the UUID map": -1},
    ),
    (
        "Tasks",
        line_of("issues", "DELETE FROM {}", f"{OF_TASKS} AND kind = 'nulled' AND field = 'likes'"),
        {"values of likes": -1},
    ),
    (
        "Tasks",
        line_of("issues", "UPDATE {} SET field = 'content'", f"{OF_TASKS} AND field = 'likes'"),
        {"values of likes": -1, "values of content": 1},
    ),
    (
        "gpt_models",
        "UPDATE migration.conversions SET count = count + 2 "
        "WHERE target_table = 'gpt_models' AND kind = 'defaulted'",
        {"values of __v": -2},
    ),
    (
        "DocumentsToCrmAccountsTasks",
        'DELETE FROM "DocumentsToCrmAccountsTasks" WHERE ctid = '
        '(SELECT ctid FROM "DocumentsToCrmAccountsTasks" LIMIT 1)',
        {"elements of Documents.crm_accounts_tasksIDs": -1},
    ),
    (
        "DocumentsToCrmAccountsTasks",
        line_of("issues", "DELETE FROM {}", f"{OF_PAIRS} AND kind = 'altered'"),
        {"elements of Documents.crm_accounts_tasksIDs": -1},
    ),
    (
        "DocumentsToCrmAccountsTasks",
        line_of("issues", "DELETE FROM {}", f"{OF_PAIRS} AND kind = 'orphaned'"),
        {"elements of Documents.crm_accounts_tasksIDs": -1},
    ),
    (
        "AccountWatchers",
        'DELETE FROM "AccountWatchers" WHERE ctid = (SELECT ctid FROM "AccountWatchers" LIMIT 1)',
        {"elements of crm_Accounts.watchers": -1, "elements of Users.watching_accountsIDs": -1},
    ),
]


@pytest.mark.parametrize(("table", "statement", "expected"), DAMAGES)
def test_a_damage_unbalances_its_lines(
    loaded: Loaded, table: str, statement: str, expected: dict[str, int]
) -> None:
    assert loaded.connection.execute(statement.encode()).rowcount == 1
    assert failing_lines(checked(loaded, table)) == expected


def test_a_rejected_document_that_is_gone_unbalances_all_its_values(loaded: Loaded) -> None:
    statement = line_of("rejected_documents", "DELETE FROM {}", "target_table = 'gpt_models'")
    loaded.connection.execute(statement.encode())
    lines = failing_lines(checked(loaded, "gpt_models"))
    assert lines["documents"] == -1
    assert set(lines.values()) == {-1}


def test_a_doubled_pair_is_found(loaded: Loaded) -> None:
    loaded.connection.execute('ALTER TABLE "BoardWatchers" DROP CONSTRAINT "BoardWatchers_pkey"')
    loaded.connection.execute('INSERT INTO "BoardWatchers" SELECT * FROM "BoardWatchers" LIMIT 1')
    assert "different pairs" in failing_lines(checked(loaded, "BoardWatchers"))


def test_a_doubled_pair_does_not_make_up_for_a_lost_one(loaded: Loaded) -> None:
    loaded.connection.execute(
        'ALTER TABLE "DocumentsToTasks" DROP CONSTRAINT "DocumentsToTasks_pkey"'
    )
    loaded.connection.execute(
        'DELETE FROM "DocumentsToTasks" WHERE ctid = (SELECT min(ctid) FROM "DocumentsToTasks")'
    )
    loaded.connection.execute(
        'INSERT INTO "DocumentsToTasks" SELECT * FROM "DocumentsToTasks" LIMIT 1'
    )
    assert failing_lines(checked(loaded, "DocumentsToTasks")) == {"different pairs": 1}


def test_a_value_that_only_differs_is_not_for_counts(loaded: Loaded) -> None:
    loaded.connection.execute('UPDATE "Tasks" SET title = title || %s', ["x"])
    assert checked(loaded, "Tasks").is_sound


def test_a_row_that_waits_for_its_deletion_is_none(loaded: Loaded) -> None:
    loaded.connection.execute(
        'WITH new AS (INSERT INTO "crm_Industry_Type" VALUES (gen_random_uuid(), 0, %s) RETURNING id) '
        "INSERT INTO migration.pending_deletes SELECT 'crm_Industry_Type', id FROM new",
        ["x"],
    )
    assert checked(loaded, "crm_Industry_Type").is_sound


def test_a_collection_that_is_missing_is_an_empty_table(
    source: SourceDatabase, target: Connection
) -> None:
    for table in TABLES.values():
        evidence = check_row_count(source, target, table)
        assert (evidence.passed, evidence.counts["documents"], evidence.counts["rows"]) == (
            True,
            0,
            0,
        )


def test_what_changed_in_the_source_since_unbalances(
    source: SourceDatabase, target: Connection
) -> None:
    table = TABLES["systemServices"]
    services = source[table.name]
    services.insert_many([{"_id": number, "name": "a", "__v": 0} for number in range(3)])
    load_identities(NEXTCRM, source, target)
    load_table(source, target, table)
    assert check_row_count(source, target, table).passed
    services.delete_one({"_id": 0})
    services.update_one({"_id": 1}, {"$set": {"serviceUrl": "b"}})
    assert failing_lines(check_row_count(source, target, table)) == {
        "documents": 1,
        "identities in the UUID map": 1,
        "values of __v": 1,
        "values of name": 1,
        "values of serviceUrl": -1,
    }


def test_documents_that_cannot_be_read_are_counted_as_the_server_counts_them(
    source: SourceDatabase, target: Connection
) -> None:
    contact = bson.encode(
        {"_id": ObjectId(), "last_name": "caf\u00e9", "tags": ["a", "b"], "email": None, "vat": 1}
    )
    contacts = source["crm_Contacts"]
    contacts.insert_one(RawBSONDocument(contact.replace(b"\xc3\xa9", b"\xe9\xe9")))
    contacts.insert_one({"last_name": "x", "tags": "lone"})
    load_identities(NEXTCRM, source, target)
    load_table(source, target, TABLES["crm_Contacts"])
    evidence = check_row_count(source, target, TABLES["crm_Contacts"])
    assert (evidence.is_sound, evidence.counts["rejected"]) == (True, 1)


def test_arrays_that_cannot_be_read_are_counted(source: SourceDatabase, target: Connection) -> None:
    board = bson.encode({"_id": ObjectId(), "watchers": ["caf\u00e9", None], "title": "x"})
    source["Boards"].insert_one(RawBSONDocument(board.replace(b"\xc3\xa9", b"\xe9\xe9")))
    load_identities(NEXTCRM, source, target)
    for name in ("Users", "Boards", "BoardWatchers"):
        load_table(source, target, TABLES[name])
        evidence = check_row_count(source, target, TABLES[name])
        assert evidence.passed, evidence.sample
    target.execute("DELETE FROM migration.rejected_documents WHERE target_table = 'BoardWatchers'")
    lines = failing_lines(check_row_count(source, target, TABLES["BoardWatchers"]))
    assert lines == {"elements of Boards.watchers": -2}


NOTHING = {"undefined": b"\x06a\0", "null": b"\x0aa\0", "missing": b""}
EMPTY_TEXT = {"text": b"\x02a\0\1\0\0\0\0", "symbol": b"\x0ea\0\1\0\0\0\0"}
EMPTY_ARRAY = b"\x04a\0\5\0\0\0\0"
ONE = [
    *(bson.encode({"a": value})[4:-1] for value in (0, 0.0, float("nan"), float("-inf"), Int64(0))),
    *(bson.encode({"a": value})[4:-1] for value in ("x", "\0", b"", False, {}, {"a": None})),
    *(bson.encode({"a": value})[4:-1] for value in (ObjectId(), DatetimeMS(-1), Timestamp(0, 0))),
    *(bson.encode({"a": value})[4:-1] for value in (Regex(""), Code(""), Code("", {"b": 1}))),
    *(bson.encode({"a": value})[4:-1] for value in (Decimal128("0"), Decimal128("NaN"))),
    *(bson.encode({"a": value})[4:-1] for value in (MinKey(), MaxKey())),
    b"\x0ca\0\1\0\0\0\0" + bytes(12),  # a DBPointer
]


def counted(source: SourceDatabase, *values: bytes) -> dict[Measure, int]:
    """The server's counts of a field that takes each of some values."""
    collection = source["counted"]
    collection.drop()
    for number, value in enumerate(values):
        fields = bson.encode({"_id": number})[4:-1] + value + b"\0"
        collection.insert_one(RawBSONDocument((len(fields) + 4).to_bytes(4, "little") + fields))
    count_by_measure = {}
    for measure in Measure:
        counts = count_source(source, "counted", {"a": measure, "other": Measure.VALUES})
        assert (counts.documents, counts.fields["other"]) == (len(values), 0)
        assert count_source(source, "counted", {"a": measure}).fields["a"] == counts.fields["a"]
        count_by_measure[measure] = counts.fields["a"]
    return count_by_measure


def test_every_type_of_bson_is_counted(source: SourceDatabase) -> None:
    assert set(counted(source, *NOTHING.values()).values()) == {0}
    for value in ONE:
        assert set(counted(source, value).values()) == {1}, value
    assert set(counted(source, *ONE, *NOTHING.values()).values()) == {len(ONE)}
    for value in EMPTY_TEXT.values():
        assert counted(source, value) == {
            Measure.VALUES: 1,
            Measure.REFERENCES: 0,
            Measure.ELEMENTS: 1,
        }
    assert counted(source, EMPTY_ARRAY) == {
        Measure.VALUES: 1,
        Measure.REFERENCES: 1,
        Measure.ELEMENTS: 0,
    }
    three = bson.encode({"a": [None, "", []]})[4:-1]
    assert counted(source, three, three)[Measure.ELEMENTS] == 6


def test_the_schema_of_the_books_finds_an_imbalance_and_a_missing_side() -> None:
    frame = pl.DataFrame(
        [("a", 3, 2, 1), ("b", 3, 3, 1), ("c", None, 0, 0), ("d", 0, None, 0), ("e", 0, 0, None)],
        schema={"name": pl.String, "source": pl.Int64, "target": pl.Int64, "explained": pl.Int64},
        orient="row",
    )
    assert [line["name"] for line in failing(BOOKS, frame)] == ["b", "c", "d", "e"]
    assert failing(BOOKS, frame.head(1)) == []
    with pytest.raises(ValueError, match="source = target"):
        failing(BOOKS, frame.drop("explained"))
