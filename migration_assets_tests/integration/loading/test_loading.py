"""Loading on real servers (sections 5, 6 and 8 of the design): rows, books, and reruns."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, LiteralString

import bson
import psycopg
import pytest
from bson import Binary, Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from psycopg import sql
from pymongo import MongoClient

from migration_assets.embedded import Urls, fresh_database
from migration_assets.errors import LoadError
from migration_assets.identity import canonical, document_uuid, source_id
from migration_assets.loading import ledger
from migration_assets.loading.identities import load_identities
from migration_assets.loading.ledger import RangeLine
from migration_assets.loading.load import load_table
from migration_assets.loading.merging import delete_pending
from migration_assets.loading.records import LoadResult, Merged
from migration_assets.loading.staging import Staging
from migration_assets.nextcrm import ENTITIES, JUNCTIONS, NEXTCRM, TABLES
from migration_assets.settings import DOCUMENTS_PER_BATCH
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.source.digests import fingerprints
from migration_assets.target.bookkeeping import BOOKKEEPING, BOOKS, STAGING_SCHEMA, staged_name
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets.validation.unknown_collections import unkept

Row = tuple[Any, ...]


@pytest.fixture(scope="module")
def opened(servers: Urls) -> Iterator[SourceDatabase]:
    url = servers.mongodb_url.replace("/nextcrm", f"/loading_{uuid.uuid4().hex[:12]}")
    with MongoClient[dict[str, Any]](url) as client:
        client.get_default_database().create_collection("Users")
        with open_source(url) as database:
            yield database
        client.drop_database(client.get_default_database())


@pytest.fixture
def source(opened: SourceDatabase) -> SourceDatabase:
    """An empty MongoDB database, the same for all tests here since opening one takes its time."""
    for name in opened.list_collection_names():
        opened.drop_collection(name)
    return opened


@pytest.fixture(scope="module")
def shared_bare(servers: Urls) -> Iterator[Connection]:
    with fresh_database(servers) as urls, open_target(urls.postgres_url) as connection:
        create_schema(NEXTCRM, connection)
        yield connection


@pytest.fixture(scope="module")
def shared_constrained(servers: Urls) -> Iterator[Connection]:
    with fresh_database(servers) as urls, open_target(urls.postgres_url) as connection:
        create_schema(NEXTCRM, connection)
        build_constraints(NEXTCRM, connection)
        yield connection


@pytest.fixture
def bare(shared_bare: Connection) -> Connection:
    """A target as the first run finds it: without secondary indexes and foreign keys."""
    empty(shared_bare)
    return shared_bare


@pytest.fixture
def constrained(shared_constrained: Connection) -> Connection:
    """A target with all indexes and foreign keys, as every run but the first finds it."""
    empty(shared_constrained)
    return shared_constrained


@contextmanager
def another(connection: Connection) -> Iterator[Connection]:
    """Another session of the same database."""
    with psycopg.connect(connection.info.dsn, password=connection.info.password) as other:
        other.autocommit = True
        yield other


ALL_TABLES = [
    *(("public", name) for name in reversed(list(TABLES))),
    *(("migration", table.name) for table in BOOKKEEPING.sorted_tables),
    *(("migration_staging", staged_name(book.name)) for book in BOOKS),
]
"""Tables that refer to others come first."""


def empty(connection: Connection) -> None:
    for (name,) in leftovers(connection):
        connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(STAGING_SCHEMA, name)))
    filled = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(place, sql.Identifier(*name))
        for place, name in enumerate(ALL_TABLES)
    )
    for (place,) in connection.execute(sql.SQL("{} ORDER BY 1").format(filled)).fetchall():
        connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(*ALL_TABLES[place])))


def leftovers(connection: Connection) -> list[Row]:
    """Staging tables of loads; the ones of the books stay."""
    return connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = 'migration_staging'::regnamespace AND relname NOT LIKE 'books.%'"
    ).fetchall()


@pytest.fixture(params=["bare", "constrained"])
def either(request: pytest.FixtureRequest) -> Connection:
    connection: Connection = request.getfixturevalue(request.param)
    return connection


# --- Documents, and how to look at what became of them -------------------------------------------


def oid(number: int) -> ObjectId:
    return ObjectId(f"{number:024x}")


def uid(number: int) -> uuid.UUID:
    return document_uuid("", oid(number))


def user(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "_id": oid(number),
        "__v": 0,
        "email": f"{number}@example.com",
        "is_account_admin": False,
        "is_admin": False,
        "created_on": datetime(2024, 1, 1),
        "userStatus": "ACTIVE",
        "userLanguage": "en",
        **fields,
    }


def account(number: int, **fields: Any) -> dict[str, Any]:
    created = datetime(2024, 1, 1)
    return {"_id": oid(number), "__v": 0, "createdAt": created, "name": f"{number}", **fields}


def board(number: int, owner: int, **fields: Any) -> dict[str, Any]:
    base = {"_id": oid(number), "__v": 0, "description": "d", "title": "t"}
    return {**base, "user": oid(owner), **fields}


def campaign(identifier: Any, **fields: Any) -> dict[str, Any]:
    return {"_id": identifier, "__v": 0, "name": "c", **fields}


def load(source: SourceDatabase, target: Connection, *names: str) -> LoadResult:
    """Loads tables and returns the result of the last; the books of each must balance."""
    for name in names:
        if name == "uuid_map":
            result = load_identities(NEXTCRM, source, target)
        else:
            result = load_table(source, target, TABLES[name])
        assert result.table == name
        assert staged(target, name) == 0
        if name in JUNCTIONS or name == "uuid_map":
            continue
        assert result.documents == result.rows + result.tally.rejected
        assert count(target, "public", name) == result.rows + result.merged.pending
        assert len(rejected(target, name)) == result.tally.rejected
    return result


STAGED = sql.SQL(
    "SELECT (SELECT count(*) FROM pg_class WHERE relname IN ({table}, {table} || '.sides') "
    "AND relnamespace = 'migration_staging'::regnamespace) + {lines}"
)
STAGED_LINES = sql.SQL("(SELECT count(*) FROM {} WHERE target_table = {})")


def staged(target: Connection, table: str) -> int:
    """How many staging tables and staged lines of books there are for a table."""
    lines = [
        STAGED_LINES.format(sql.Identifier(STAGING_SCHEMA, staged_name(book_table.name)), table)
        for book_table in BOOKS
    ]
    row = target.execute(STAGED.format(table=table, lines=sql.SQL(" + ").join(lines))).fetchone()
    assert row is not None
    return int(row[0])


def count(target: Connection, schema: str, table: str) -> int:
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
    row = target.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def count_of(target: Connection, name: str, table: str, schema: str = "migration") -> int:
    """How many lines of a book are of a table."""
    query = sql.SQL("SELECT count(*) FROM {} WHERE target_table = %s")
    row = target.execute(query.format(sql.Identifier(schema, name)), [table]).fetchone()
    assert row is not None
    return int(row[0])


def rows(target: Connection, table: str, *columns: str) -> list[Row]:
    """Columns of the rows, in order of their id."""
    query = sql.SQL("SELECT {} FROM {} ORDER BY 1").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier("public", table)
    )
    return target.execute(query).fetchall()


def versions(target: Connection, table: str) -> dict[Row, str]:
    """The `xmin` of each row: another one means that the row was written."""
    key = TABLES[table].primary_key.columns.keys()
    query = sql.SQL("SELECT xmin::text || '/' || ctid::text, {} FROM {}").format(
        sql.SQL(", ").join(map(sql.Identifier, key)), sql.Identifier("public", table)
    )
    return {tuple(row): version for version, *row in target.execute(query)}


def book(target: Connection, query: LiteralString, *values: object) -> list[Row]:
    return target.execute(query, values).fetchall()


def rejected(target: Connection, table: str) -> list[Row]:
    return book(
        target,
        "SELECT source_id, field, reason, document FROM migration.rejected_documents "
        "WHERE target_table = %s AND collection = %s ORDER BY 1",
        table,
        table,
    )


def issues(target: Connection, table: str) -> list[Row]:
    return book(
        target,
        "SELECT collection, source_id, field, kind, element, original FROM migration.issues "
        "WHERE target_table = %s ORDER BY 1, 2, 3, 5",
        table,
    )


def conversions(target: Connection, table: str) -> dict[tuple[str, str, str], int]:
    """How often each (collection, field, kind) happened."""
    return {
        (collection, field, kind): int(total)
        for collection, field, kind, total in book(
            target,
            "SELECT collection, field, kind, sum(count) FROM migration.conversions "
            "WHERE target_table = %s GROUP BY 1, 2, 3",
            table,
        )
    }


def unmapped(target: Connection, table: str) -> list[Row]:
    return book(
        target,
        "SELECT collection, source_id, fields FROM migration.unmapped_fields "
        "WHERE target_table = %s ORDER BY 1, 2",
        table,
    )


def pending(target: Connection) -> list[Row]:
    return book(target, "SELECT target_table, id FROM migration.pending_deletes ORDER BY 1, 2")


def delete_all_pending(target: Connection) -> int:
    with target.transaction():
        return delete_pending(NEXTCRM, target)


# --- The first load ------------------------------------------------------------------------------


def test_documents_become_rows(source: SourceDatabase, either: Connection) -> None:
    created = datetime(2024, 2, 29, 1, 2, 3, 4000)
    source["Users"].insert_many([user(1), user(2, email="é'\"\\,\n{}", name="", username=None)])
    source["crm_Industry_Type"].insert_one({"_id": oid(9), "__v": 7, "name": "Steel"})
    source["crm_Accounts"].insert_one(
        account(3, createdAt=created, assigned_to=oid(2), industry=oid(9), website="w")
    )
    source["Boards"].insert_one(
        board(4, 1, sharedWith=[oid(2), oid(1), oid(2)], position=Int64(2**40), favourite=True)
    )
    tags = {"b": [1, 2.5, None], "a": oid(1)}
    source["Tasks"].insert_one(
        {"_id": oid(5), "__v": 0, "position": 1, "priority": "p", "title": "t", "tags": tags}
        | {"taskStatus": "COMPLETE", "likes": 3}
    )
    source["TodoList"].insert_one(
        {"_id": oid(6), "createdAt": "x", "description": "", "title": "t", "url": "u"}
        | {"user": str(oid(2))}
    )
    source["crm_Contacts"].insert_one(
        {"_id": oid(7), "__v": 0, "last_name": "l", "status": True, "notes": ["a", ""]}
    )
    names = ["uuid_map", *(name for name in TABLES if source[name].estimated_document_count())]
    assert len(names) == 8
    for name in names:
        result = load(source, either, name)
        assert (result.tally.lossless, result.tally.lossy) == ({}, {})
        assert result.merged == Merged(result.documents, 0, 0, 0, 0)
    assert rows(either, "Users", "id", "email", "name", "username", "created_on", "userStatus") == [
        (uid(1), "1@example.com", None, None, datetime(2024, 1, 1), "ACTIVE"),
        (uid(2), "é'\"\\,\n{}", "", None, datetime(2024, 1, 1), "ACTIVE"),
    ]
    assert rows(either, "crm_Accounts", "id", "createdAt", "assigned_to", "industry", "status") == [
        (uid(3), created, uid(2), uid(9), None)
    ]
    assert rows(either, "Boards", "id", "user", "sharedWith", "position", "favourite") == [
        (uid(4), uid(1), [uid(2), uid(1), uid(2)], 2**40, True)
    ]
    assert rows(either, "Tasks", "id", "tags", "taskStatus", "likes") == [
        (uid(5), {"a": {"$oid": str(oid(1))}, "b": [1, 2.5, None]}, "COMPLETE", 3)
    ]
    assert rows(either, "TodoList", "id", "user") == [(uid(6), str(uid(2)))]
    assert rows(either, "crm_Contacts", "id", "notes", "tags") == [(uid(7), ["a", ""], [])]
    assert book(either, "SELECT collection, source_id, id FROM migration.uuid_map ORDER BY 2") == [
        ("Users", str(oid(1)), uid(1)),
        ("Users", str(oid(2)), uid(2)),
        ("crm_Accounts", str(oid(3)), uid(3)),
        ("Boards", str(oid(4)), uid(4)),
        ("Tasks", str(oid(5)), uid(5)),
        ("TodoList", str(oid(6)), uid(6)),
        ("crm_Contacts", str(oid(7)), uid(7)),
        ("crm_Industry_Type", str(oid(9)), uid(9)),
    ]


def test_json_null_is_sql_null(source: SourceDatabase, bare: Connection) -> None:
    task = {"__v": 0, "position": 1, "priority": "p", "title": "t"}
    source["Tasks"].insert_many([task | {"_id": oid(1), "tags": None}, task | {"_id": oid(2)}])
    load(source, bare, "Tasks")
    query = 'SELECT count(*) FROM "Tasks" WHERE tags IS NULL'
    assert bare.execute(query).fetchone() == (2,)


def test_a_missing_collection_is_an_empty_table(
    source: SourceDatabase, constrained: Connection
) -> None:
    result = load(source, constrained, "Employees")
    assert (result.documents, result.merged) == (0, Merged(0, 0, 0, 0, 0))
    assert load(source, constrained, "AccountWatchers").merged == Merged(0, 0, 0, 0, 0)
    assert load(source, constrained, "uuid_map").documents == 0


def test_a_collection_that_is_gone_empties_its_table(
    source: SourceDatabase, constrained: Connection
) -> None:
    source["crm_campaigns"].insert_many([campaign(oid(1)), campaign(oid(2))])
    load(source, constrained, "crm_campaigns")
    source["crm_campaigns"].drop()
    assert load(source, constrained, "crm_campaigns").merged == Merged(0, 0, 2, 0, 0)


def test_documents_bigger_than_a_batch(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        text = f"{number}" * 7_000_000
        source["crm_campaigns"].insert_one(campaign(oid(number), description=text))
    written_batches: list[object] = []
    with monkeypatch.context() as patch:
        interrupted(patch, Staging, "write", lambda *arguments: written_batches.append(arguments))
        result = load(source, bare, "crm_campaigns")
    assert (result.documents, result.rows) == (3, 3)
    texts = bare.execute(
        "SELECT left(description, 1), length(description) FROM crm_campaigns ORDER BY id"
    ).fetchall()
    assert texts == [(f"{number}", 7_000_000) for number in range(3)]
    assert (len(written_batches), batches(bare, result)) == (3, 1)


def batches(target: Connection, result: LoadResult) -> int:
    query = "SELECT count(*) FROM migration.batches WHERE load_id = %s"
    row = target.execute(query, [result.load_id]).fetchone()
    assert row is not None
    return int(row[0])


def test_more_documents_than_a_batch(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = 5003
    source["invoice_States"].insert_many([{"_id": oid(n), "name": f"{n}"} for n in range(total)])
    result = load(source, bare, "invoice_States")
    assert (result.rows, batches(bare, result)) == (total, 2)
    assert rows(bare, "invoice_States", "id", "name") == [(uid(n), f"{n}") for n in range(total)]
    # Of ids alone a batch holds four times as many, and a range always four batches.
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "313")
    result = load(source, bare, "uuid_map")
    assert (result.documents, batches(bare, result)) == (total, len(ENTITIES))
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "312")
    empty(bare)
    result = load(source, bare, "uuid_map")
    assert (result.documents, batches(bare, result)) == (total, len(ENTITIES) + 1)


OTHER_IDS: list[Any] = [7, Int64(2**40), "seven", "0123456789abcdef01234567", Binary(b"x" * 16, 4)]


def test_ids_of_mixed_kinds(source: SourceDatabase, constrained: Connection) -> None:
    ids = [*OTHER_IDS, {"a": 1}, 7.5, True, oid(1)]
    source["crm_campaigns"].insert_many([campaign(identifier) for identifier in ids])
    opportunity = {"__v": 0, "budget": 1, "expected_revenue": 2, "createdAt": datetime(2024, 1, 1)}
    source["crm_Opportunities"].insert_many(
        {"_id": oid(100 + n), "campaign": identifier, **opportunity}
        for n, identifier in enumerate(ids)
    )
    load(source, constrained, "uuid_map", "crm_campaigns", "crm_Opportunities")
    expected = [document_uuid("crm_campaigns", identifier) for identifier in ids]
    assert {row[0] for row in rows(constrained, "crm_campaigns", "id")} == set(expected)
    opportunities = rows(constrained, "crm_Opportunities", "id", "campaign")
    assert opportunities == [(uid(100 + n), campaign_id) for n, campaign_id in enumerate(expected)]
    query = "SELECT source_id, id FROM migration.uuid_map WHERE collection = 'crm_campaigns'"
    assert dict(constrained.execute(query).fetchall()) == {
        source_id(identifier): document_id
        for identifier, document_id in zip(ids, expected, strict=True)
    }
    load(source, constrained, "crm_campaigns", "crm_Opportunities")


def test_the_fingerprint_of_a_load_is_that_of_the_collection(
    source: SourceDatabase, bare: Connection
) -> None:
    source["Users"].insert_many([user(1), user(2)])
    source["crm_Accounts"].insert_one(account(3, watchers=[oid(1)]))
    now = fingerprints(source, ["Users", "crm_Accounts"])
    assert load(source, bare, "Users").fingerprints == {"Users": now["Users"]}
    assert load(source, bare, "crm_Accounts").fingerprints == {"crm_Accounts": now["crm_Accounts"]}
    assert load(source, bare, "AccountWatchers").fingerprints == now


# --- What does not fit -----------------------------------------------------------------------------


def test_a_rejected_document_is_kept_whole(source: SourceDatabase, bare: Connection) -> None:
    bad = user(2, name="n\x00", extra=[1, None], lastLoginAt="never", password="s\x00")
    del bad["email"]
    source["Users"].insert_many([user(1), bad, user(3, is_admin="perhaps")])
    result = load(source, bare, "Users")
    assert (result.documents, result.rows, result.tally.rejected) == (3, 1, 2)
    assert [(identifier, field) for identifier, field, *_ in rejected(bare, "Users")] == [
        (str(oid(2)), "email"),
        (str(oid(3)), "is_admin"),
    ]
    documents = [document for *_, document in rejected(bare, "Users")]
    assert documents == [canonical(bad), canonical(user(3, is_admin="perhaps"))]
    assert bson.json_util.loads(documents[0])["name"] == "n\x00"
    # It takes its findings with it: it is all in the document.
    assert (issues(bare, "Users"), unmapped(bare, "Users")) == ([], [])
    assert (result.tally.lossy, result.tally.unmapped) == ({}, 0)


def test_issues_conversions_and_unknown_fields(source: SourceDatabase, bare: Connection) -> None:
    source["Users"].insert_many(
        [
            {"_id": oid(1), "email": "a"},
            user(2, name="a\x00b", lastLoginAt="never", __v="3"),
            user(3, name=5, createdBy=oid(9), created_by=None),
        ]
    )
    result = load(source, bare, "Users")
    assert issues(bare, "Users") == [
        ("Users", str(oid(2)), "lastLoginAt", "nulled", None, '"never"'),
        ("Users", str(oid(2)), "name", "altered", None, '"a\\u0000b"'),
    ]
    assert conversions(bare, "Users") == {
        ("Users", "__v", "defaulted"): 1,
        ("Users", "__v", "coerced"): 1,
        ("Users", "is_account_admin", "defaulted"): 1,
        ("Users", "is_admin", "defaulted"): 1,
        ("Users", "created_on", "derived"): 1,
        ("Users", "userStatus", "defaulted"): 1,
        ("Users", "userLanguage", "defaulted"): 1,
        ("Users", "name", "coerced"): 1,
    }
    fields = canonical({"createdBy": oid(9), "created_by": None})
    assert unmapped(bare, "Users") == [("Users", str(oid(3)), fields)]
    assert dict(result.tally.lossless) == {"coerced": 2, "defaulted": 5, "derived": 1}
    assert (dict(result.tally.lossy), result.tally.unmapped) == ({"nulled": 1, "altered": 1}, 1)
    assert rows(bare, "Users", "id", "name", "__v", "created_on", "userStatus")[:2] == [
        (uid(1), None, 0, datetime(1970, 1, 1), "PENDING"),
        (uid(2), "a\ufffdb", 3, datetime(2024, 1, 1), "ACTIVE"),
    ]


def test_books_are_replaced_and_nobody_elses(source: SourceDatabase, bare: Connection) -> None:
    source["Users"].insert_many(
        [user(1, name="\x00", odd=1), user(2, is_admin=7), user(3, __v=3.0)]
    )
    source["Employees"].insert_one({"_id": oid(1)})
    load(source, bare, "Users", "Employees")

    def books() -> list[int]:
        return [
            count_of(bare, name, "Users")
            for name in ("rejected_documents", "issues", "conversions", "unmapped_fields")
        ]

    assert books() == [1, 1, 1, 1]
    load(source, bare, "Users")
    assert books() == [1, 1, 1, 1]
    source["Users"].replace_one({"_id": oid(1)}, user(1))
    source["Users"].replace_one({"_id": oid(2)}, user(2))
    source["Users"].replace_one({"_id": oid(3)}, user(3))
    load(source, bare, "Users")
    assert books() == [0, 0, 0, 0]
    assert len(rejected(bare, "Employees")) == 1


def test_an_unknown_collection_is_kept_whole(source: SourceDatabase, bare: Connection) -> None:
    documents: list[dict[str, Any]] = [{"_id": 1, "a": "\x00"}, {"_id": oid(1), "b": [Int64(2)]}]
    source["legacy"].insert_many(documents)
    source["systemic"].insert_one({"_id": 2})
    source["Users"].insert_one(user(1))
    result = load(source, bare, "uuid_map")
    assert unkept(NEXTCRM, source, bare) == {}
    assert (result.documents, result.rows, result.tally.unmapped) == (1, 1, 3)
    assert unmapped(bare, "uuid_map") == [
        ("legacy", str(oid(1)), canonical(documents[1])),
        ("legacy", '{"$numberInt":"1"}', canonical(documents[0])),
        ("systemic", '{"$numberInt":"2"}', canonical({"_id": 2})),
    ]
    source["legacy"].drop()
    source["systemic"].update_one({"_id": 2}, {"$set": {"a": 1}})
    source["since"].insert_one({})
    assert unkept(NEXTCRM, source, bare) == {"legacy": (0, 2), "since": (1, 0), "systemic": (1, 1)}
    load(source, bare, "uuid_map")
    assert len(unmapped(bare, "uuid_map")) == 2


def test_a_document_of_an_unknown_collection_that_cannot_be_read_is_kept_as_its_bytes(
    source: SourceDatabase, bare: Connection
) -> None:
    source["legacy"].insert_many([broken({"_id": 1, "a": BROKEN}), {"_id": 2}])
    load(source, bare, "uuid_map")
    rejected_ids = book(bare, "SELECT collection, source_id FROM migration.rejected_documents")
    assert rejected_ids == [("legacy", '{"$numberInt":"1"}')]
    assert len(unmapped(bare, "uuid_map")) == 1
    assert unkept(NEXTCRM, source, bare) == {}
    bare.execute("UPDATE migration.rejected_documents SET document = '{}'")
    assert unkept(NEXTCRM, source, bare) == {"legacy": (2, 2)}


def test_an_unknown_time_series_is_kept_whole(source: SourceDatabase, bare: Connection) -> None:
    source.create_collection("measured", timeseries={"timeField": "at"})
    source["measured"].insert_one({"_id": 1, "at": datetime(2024, 1, 1), "celsius": 1.5})
    source.command("insert", "measured", documents=[{"at": datetime(2024, 1, 2)}])
    source.command("create", "seen", viewOn="measured", pipeline=[])
    load(source, bare, "uuid_map")
    assert unkept(NEXTCRM, source, bare) == {}
    source["measured"].drop()
    kept_documents = unmapped(bare, "uuid_map")
    assert [(collection, identifier) for collection, identifier, _ in kept_documents] == [
        ("measured", "null"),
        ("measured", '{"$numberInt":"1"}'),
    ]
    assert bson.json_util.loads(kept_documents[1][2])["celsius"] == 1.5


def test_an_identifier_that_is_not_utf8_does_not_stop_the_map(
    source: SourceDatabase, bare: Connection
) -> None:
    """Nor does one with a doubled name. Two that a driver decodes to the same are two."""
    identifiers: list[Any] = ["12345", "12345", {"a": 1, "b": 5}, {"a": 2, "b": 5}]
    raw = [
        bson.encode(user(n, _id=identifier)) for n, identifier in enumerate(identifiers, start=2)
    ]
    raw[0], raw[1] = (raw[n].replace(b"12345", bytes([0xFE + n]) + b"2345") for n in (0, 1))
    raw[2:] = [document.replace(b"b\0\x05", b"a\0\x05") for document in raw[2:]]
    source["Users"].insert_many([user(1), *map(RawBSONDocument, raw)])
    result = load(source, bare, "uuid_map", "Users")
    assert (result.documents, result.merged.inserted, result.tally.rejected) == (5, 1, 4)
    mapped = book(bare, "SELECT source_id FROM migration.uuid_map WHERE collection = 'Users'")
    rejected_ids = [identifier for identifier, *_ in rejected(bare, "Users")]
    assert len(set(rejected_ids)) == 4
    assert {(identifier,) for identifier in rejected_ids} < set(mapped)


BROKEN = "x" * 5


def broken(document: dict[str, Any]) -> RawBSONDocument:
    """A document in which a string, which must be `BROKEN`, is not UTF-8."""
    return RawBSONDocument(bson.encode(document).replace(BROKEN.encode(), b"\xff\xfeabc"))


def test_a_document_that_is_not_utf8_is_rejected_with_its_bytes(
    source: SourceDatabase, bare: Connection
) -> None:
    bad = broken(user(2, name=BROKEN))
    source["Users"].insert_many([user(1), bad, user(3)])
    result = load(source, bare, "uuid_map", "Users")
    assert [row[0] for row in rows(bare, "Users", "id")] == [uid(1), uid(3)]
    assert (result.documents, result.tally.rejected) == (3, 1)
    ((identifier, field, reason, document),) = rejected(bare, "Users")
    assert (identifier, field, reason) == (str(oid(2)), None, "not valid BSON: InvalidBSON")
    assert bson.json_util.loads(document) == bad.raw
    assert load(source, bare, "Users").merged == Merged(0, 0, 0, 2, 0)


def test_an_unknown_collection_that_is_not_utf8_is_kept(
    source: SourceDatabase, bare: Connection
) -> None:
    bad = broken({"_id": oid(2), "a": BROKEN})
    source["legacy"].insert_many([{"_id": oid(1)}, bad])
    load(source, bare, "uuid_map")
    rejected_documents = book(
        bare,
        "SELECT source_id, document FROM migration.rejected_documents "
        "WHERE target_table = 'uuid_map' AND collection = 'legacy'",
    )
    assert [
        (identifier, bson.json_util.loads(text)) for identifier, text in rejected_documents
    ] == [(str(oid(2)), bad.raw)]
    assert [identifier for _, identifier, _ in unmapped(bare, "uuid_map")] == [str(oid(1))]


def test_an_array_that_is_not_utf8_does_not_hold_up_its_relation(
    source: SourceDatabase, bare: Connection
) -> None:
    source["Users"].insert_many([user(1)])
    source["crm_Accounts"].insert_many(
        [account(2, watchers=[oid(1)]), broken(account(3, watchers=[oid(1), BROKEN]))]
    )
    load(source, bare, "uuid_map", "Users", "crm_Accounts", "AccountWatchers")
    assert rows(bare, "AccountWatchers", "account_id", "user_id") == [(uid(2), uid(1))]
    assert [identifier for identifier, *_ in rejected(bare, "crm_Accounts")] == [str(oid(3))]
    query = (
        "SELECT collection, source_id FROM migration.rejected_documents "
        "WHERE target_table = 'AccountWatchers'"
    )
    assert book(bare, query) == [("crm_Accounts", str(oid(3)))]


def test_the_first_document_has_the_unique_value(
    source: SourceDatabase, constrained: Connection
) -> None:
    source["Users"].insert_many([user(3, email="a"), user(1, email="b"), user(2, email="a")])
    source["crm_Accounts"].insert_one(account(9, assigned_to=oid(3), updatedBy=oid(2)))
    result = load(source, constrained, "Users", "crm_Accounts")
    assert rows(constrained, "Users", "id", "email") == [(uid(1), "b"), (uid(2), "a")]
    assert [line[:2] for line in rejected(constrained, "Users")] == [(str(oid(3)), "email")]
    assert rows(constrained, "crm_Accounts", "assigned_to", "updatedBy") == [(None, uid(2))]
    assert issues(constrained, "crm_Accounts") == [
        ("crm_Accounts", str(oid(9)), "assigned_to", "orphaned", None, canonical(oid(3)))
    ]
    assert dict(result.tally.lossy) == {"orphaned": 1}
    source["Users"].delete_one({"_id": oid(2)})
    source["crm_Accounts"].update_one({}, {"$unset": {"updatedBy": ""}})
    load(source, constrained, "crm_Accounts", "Users", "crm_Accounts")
    assert rows(constrained, "Users", "id", "email") == [(uid(1), "b"), (uid(3), "a")]
    assert rows(constrained, "crm_Accounts", "assigned_to", "updatedBy") == [(uid(3), None)]
    assert (rejected(constrained, "Users"), issues(constrained, "crm_Accounts")) == ([], [])


def test_a_reference_to_a_rejected_document_rejects_where_not_null(
    source: SourceDatabase, bare: Connection
) -> None:
    source["Users"].insert_many([user(1), user(2, is_admin="x")])
    source["Boards"].insert_many([board(3, 1, sharedWith=[oid(2), oid(1)]), board(4, 2)])
    source["Sections"].insert_many(
        {"_id": oid(10 + n), "__v": 0, "title": "t", "board": oid(n)} for n in (3, 4)
    )
    load(source, bare, "Users", "Boards", "Sections")
    assert rows(bare, "Boards", "id", "sharedWith") == [(uid(3), [uid(1)])]
    assert issues(bare, "Boards") == [
        ("Boards", str(oid(3)), "sharedWith", "orphaned", 0, canonical(oid(2)))
    ]
    assert [line[:2] for line in rejected(bare, "Boards")] == [(str(oid(4)), "user")]
    assert rows(bare, "Sections", "id") == [(uid(13),)]
    assert [line[:2] for line in rejected(bare, "Sections")] == [(str(oid(14)), "board")]


# --- Reruns ------------------------------------------------------------------------------------------

RELATED = [
    "uuid_map",
    "Users",
    "crm_Industry_Type",
    "crm_Accounts",
    "Boards",
    "AccountWatchers",
    "BoardWatchers",
]


def related(source: SourceDatabase) -> None:
    source["Users"].insert_many([user(n, watching_boardsIDs=[oid(20)]) for n in range(1, 4)])
    source["crm_Accounts"].insert_many(
        [account(n, assigned_to=oid(1), watchers=[oid(1), oid(2)]) for n in range(10, 13)]
    )
    source["Boards"].insert_many([board(n, 1, sharedWith=[oid(2)]) for n in range(20, 23)])


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_second_load_writes_no_row(
    source: SourceDatabase, either: Connection, is_remembered: bool
) -> None:
    related(source)
    first = {name: load(source, either, name) for name in RELATED}
    before = {name: versions(either, name) for name in RELATED[1:]}
    identities = book(either, "SELECT xmin::text, id FROM migration.uuid_map ORDER BY id")
    if not is_remembered:
        either.execute("UPDATE migration.loads SET documents = NULL")
    for name in RELATED:
        again = load(source, either, name)
        assert again.is_converted is not is_remembered
        assert again.merged == Merged(0, 0, 0, first[name].merged.inserted, 0)
        assert again.merged.written == 0
        assert again.version == first[name].version
        assert again.fingerprints == first[name].fingerprints
    assert {name: versions(either, name) for name in RELATED[1:]} == before
    assert book(either, "SELECT xmin::text, id FROM migration.uuid_map ORDER BY id") == identities
    assert all(before[name] for name in RELATED[1:] if name != "crm_Industry_Type")


# --- Nothing to do -----------------------------------------------------------------------------------


def with_findings(source: SourceDatabase) -> None:
    """Documents that leave lines in every kind of book, orphans among them."""
    related(source)
    source["crm_Accounts"].insert_one(account(13, name=7, assigned_to=oid(99), employees={}, x=1))
    source["crm_Accounts"].insert_one(account(14, watchers=[oid(1), oid(98), oid(1)]))
    source["crm_Accounts"].insert_one({"_id": oid(15)})
    source["TodoList"].insert_one(
        {"_id": oid(30), "createdAt": "x", "description": "", "title": "t", "url": "u"}
        | {"user": str(oid(2))}
    )


KEPT = [*RELATED, "TodoList"]


def books_of(target: Connection, table: str) -> list[list[Row]]:
    query = sql.SQL("SELECT b::text FROM {} b WHERE target_table = %s ORDER BY 1")
    return [
        target.execute(
            query.format(sql.Identifier("migration", book_table.name)), [table]
        ).fetchall()
        for book_table in BOOKS
    ]


def test_nothing_is_converted_where_nothing_has_changed(
    source: SourceDatabase, either: Connection
) -> None:
    with_findings(source)
    first = {name: load(source, either, name) for name in KEPT}
    books = {name: books_of(either, name) for name in KEPT}
    assert all(any(kind) for kind in (books["crm_Accounts"][:4]))
    messages: list[str] = []
    for name in ("crm_Accounts", "AccountWatchers"):
        result = load_table(source, either, TABLES[name], say=messages.append)
        assert not result.is_converted
        assert result.tally == first[name].tally
        assert (result.rows, result.size) == (first[name].rows, first[name].size)
        assert result.fingerprints == first[name].fingerprints
    assert [message.partition(":")[0] for message in messages] == [
        "crm_Accounts",
        "AccountWatchers",
    ]
    assert {name: books_of(either, name) for name in KEPT} == books
    # What was recorded last is what the next one goes by.
    assert not load(source, either, "crm_Accounts").is_converted


def test_a_table_without_documents_has_nothing_to_do(
    source: SourceDatabase, bare: Connection
) -> None:
    assert load(source, bare, "crm_campaigns").is_converted
    assert not load(source, bare, "crm_campaigns").is_converted
    source["crm_campaigns"].insert_one(campaign(oid(1)))
    assert load(source, bare, "crm_campaigns").merged.inserted == 1


TOUCHED: list[tuple[str, LiteralString]] = [
    ("crm_Accounts", """UPDATE "crm_Accounts" SET name = 'y'"""),
    ("crm_Accounts", """UPDATE "crm_Accounts" SET name = name WHERE name = '10'"""),
    ("crm_Accounts", """DELETE FROM "crm_Accounts" WHERE name = '10'"""),
    (
        "crm_Accounts",
        """INSERT INTO "crm_Accounts" (id, __v, name) SELECT gen_random_uuid(), 0, 'y'""",
    ),
    ("crm_Accounts", 'TRUNCATE "crm_Accounts"'),
    ("crm_Accounts", """UPDATE migration.issues SET reason = 'y'"""),
    ("crm_Accounts", """DELETE FROM migration.issues"""),
    ("crm_Accounts", """INSERT INTO migration.issues SELECT * FROM migration.issues"""),
    ("crm_Accounts", """DELETE FROM migration.rejected_documents"""),
    ("crm_Accounts", """UPDATE migration.conversions SET count = count + 1"""),
    ("crm_Accounts", """DELETE FROM migration.unmapped_fields"""),
    (
        "crm_Accounts",
        "INSERT INTO migration.pending_deletes VALUES ('crm_Accounts', gen_random_uuid())",
    ),
    ("crm_Accounts", "UPDATE migration.loads SET plan = 'y'"),
    ("crm_Accounts", "UPDATE migration.loads SET program = 'y'"),
    ("crm_Accounts", "UPDATE migration.loads SET remediations = 'y'"),
    (
        "crm_Accounts",
        "INSERT INTO migration.check_results SELECT 'crm_Accounts', 'values', NULL, false, 'ERROR', "
        "'', '{\"is_sound\": false}', now()",
    ),
    ("AccountWatchers", 'DELETE FROM "AccountWatchers"'),
    ("AccountWatchers", "DELETE FROM migration.issues"),
    ("uuid_map", "DELETE FROM migration.uuid_map WHERE collection = 'Users'"),
    ("uuid_map", "UPDATE migration.uuid_map SET source_id = source_id || 'y'"),
]


def test_whatever_was_touched_is_loaded_again(source: SourceDatabase, bare: Connection) -> None:
    with_findings(source)
    load(source, bare, *KEPT)
    state = {name: contents(bare, name) for name in KEPT}
    for table, statement in TOUCHED:
        load(source, bare, table)  # where what it refers to was touched
        assert not load(source, bare, table).is_converted
        bare.execute(statement)
        assert load(source, bare, table).is_converted, statement
        assert contents(bare, table) == state[table], statement
        bare.execute("DELETE FROM migration.check_results")
    bare.execute("UPDATE migration.loads SET transaction = transaction - 2147483648")
    assert load(source, bare, "Users").is_converted
    load(source, bare, *KEPT)
    assert {name: contents(bare, name) for name in KEPT} == state


def contents(target: Connection, table: str) -> tuple[list[list[Row]], list[Row]]:
    name = sql.Identifier("migration" if table == "uuid_map" else "public", table)
    rows_of = target.execute(sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(name)).fetchall()
    return books_of(target, table), rows_of


def test_a_table_is_loaded_again_where_what_it_refers_to_is_another(
    source: SourceDatabase, bare: Connection
) -> None:
    with_findings(source)
    load(source, bare, *KEPT)
    # Another value in a row that is referred to changes nothing for those that refer to it.
    source["Users"].update_one({"_id": oid(3)}, {"$set": {"name": "other"}})
    assert load(source, bare, "Users").merged.updated == 1
    assert not load(source, bare, "crm_Accounts").is_converted
    assert not load(source, bare, "AccountWatchers").is_converted
    # A row that is there no more does, whether its document is gone or somebody deleted it.
    bare.execute('DELETE FROM "Users" WHERE id = %s', [uid(1)])
    assert load(source, bare, "crm_Accounts").tally.lossy["orphaned"] == 4
    assert load(source, bare, "AccountWatchers").tally.lossy["orphaned"] > 1
    assert load(source, bare, "Users").merged.inserted == 1
    assert load(source, bare, "crm_Accounts").tally.lossy["orphaned"] == 1
    source["Users"].insert_one(user(99))
    load(source, bare, "Users")
    assert load(source, bare, "crm_Accounts").tally.lossy.get("orphaned") is None
    # As does one of the map, for those that refer to documents.
    assert not load(source, bare, "TodoList").is_converted
    bare.execute("DELETE FROM migration.uuid_map WHERE id = %s", [uid(2)])
    assert load(source, bare, "TodoList").tally.lossy == {"orphaned": 1}


def test_a_document_that_moves_to_the_next_collection_is_seen(
    source: SourceDatabase, bare: Connection
) -> None:
    first, other = list(ENTITIES)[:2]
    source[first].insert_one({"_id": oid(1)})
    load(source, bare, "uuid_map")
    source[first].drop()
    source[other].insert_one({"_id": oid(1)})
    assert load(source, bare, "uuid_map").is_converted
    assert book(bare, "SELECT collection FROM migration.uuid_map") == [(other,)]


def test_a_load_that_does_not_see_one_moment_is_not_gone_by(
    source: SourceDatabase, bare: Connection
) -> None:
    source["crm_campaigns"].insert_one(campaign(oid(1)))
    with bare.transaction():
        bare.execute("SELECT 1")
        load(source, bare, "crm_campaigns")
    assert load(source, bare, "crm_campaigns").is_converted
    assert not load(source, bare, "crm_campaigns").is_converted


def test_a_record_that_fails_leaves_no_trace(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    source["crm_campaigns"].insert_one(campaign(oid(1)))
    load(source, bare, "crm_campaigns")

    def kill(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        interrupted(patched, ledger, "finish", kill)
        with pytest.raises(KilledError):
            load(source, bare, "crm_campaigns")
    assert count(bare, "migration", "loads") == 1
    assert not load(source, bare, "crm_campaigns").is_converted


def changed_rows(before: dict[Row, str], after: dict[Row, str]) -> list[Row]:
    return sorted(key for key in before.keys() & after.keys() if before[key] != after[key])


def test_only_what_differs_is_written(source: SourceDatabase, either: Connection) -> None:
    source["crm_campaigns"].insert_many([campaign(oid(n)) for n in range(6)])
    first = load(source, either, "crm_campaigns")
    before = versions(either, "crm_campaigns")
    source["crm_campaigns"].update_one({"_id": oid(1)}, {"$set": {"description": ""}})
    source["crm_campaigns"].update_one({"_id": oid(2)}, {"$set": {"unknown": 1}})
    source["crm_campaigns"].delete_one({"_id": oid(3)})
    source["crm_campaigns"].insert_many([campaign(oid(7)), campaign(oid(8))])
    result = load(source, either, "crm_campaigns")
    assert result.merged == Merged(inserted=2, updated=1, deleted=1, unchanged=4, pending=0)
    assert result.version not in ("", first.version)
    after = versions(either, "crm_campaigns")
    assert changed_rows(before, after) == [(uid(1),)]
    assert sorted(after) == [(uid(n),) for n in (0, 1, 2, 4, 5, 7, 8)]
    assert rows(either, "crm_campaigns", "id", "description")[:3] == [
        (uid(0), None),
        (uid(1), ""),
        (uid(2), None),
    ]


DIFFERENCES: list[tuple[str, str, Any, Any]] = [
    ("Tasks", "tags", {"a": 1}, {"a": 1.0}),
    ("Tasks", "tags", [], None),
    ("Tasks", "content", "a", "a "),
    ("Tasks", "content", "e\u0301", "é"),
    ("Tasks", "taskStatus", "ACTIVE", "PENDING"),
    ("Tasks", "likes", Int64(2**53), Int64(2**53 + 1)),
    ("Tasks", "dueDateAt", datetime(2024, 1, 1), datetime(2024, 1, 1, 0, 0, 0, 1000)),
    ("crm_Contacts", "notes", ["a", "b"], ["b", "a"]),
    ("crm_Contacts", "notes", [], [""]),
    ("crm_Contacts", "status", True, False),
]


def test_every_difference_is_seen(source: SourceDatabase, bare: Connection) -> None:
    bases = {
        "Tasks": {"__v": 0, "position": 1, "priority": "p", "title": "t"},
        "crm_Contacts": {"__v": 0, "last_name": "l", "status": True},
    }
    for number, (table, field, value, _) in enumerate(DIFFERENCES):
        source[table].insert_one(bases[table] | {"_id": oid(number), field: value})
    load(source, bare, *bases)
    before = {table: versions(bare, table) for table in bases}
    for number, (table, field, _, other) in enumerate(DIFFERENCES):
        source[table].update_one({"_id": oid(number)}, {"$set": {field: other}})
    for table in bases:
        numbers = [number for number, (name, *_) in enumerate(DIFFERENCES) if name == table]
        assert load(source, bare, table).merged.updated == len(numbers)
        changed = changed_rows(before[table], versions(bare, table))
        assert changed == [(uid(number),) for number in numbers]
        assert load(source, bare, table).merged.updated == 0


def test_only_pairs_that_differ_are_written(source: SourceDatabase, either: Connection) -> None:
    related(source)
    load(source, either, *RELATED)
    before = versions(either, "AccountWatchers")
    source["crm_Accounts"].update_one({"_id": oid(10)}, {"$set": {"watchers": [oid(2), oid(3)]}})
    result = load(source, either, "AccountWatchers")
    assert result.merged == Merged(inserted=1, updated=0, deleted=1, unchanged=5, pending=0)
    after = versions(either, "AccountWatchers")
    assert changed_rows(before, after) == []
    assert before.keys() - after.keys() == {(uid(10), uid(1))}
    assert after.keys() - before.keys() == {(uid(10), uid(3))}


def test_unique_values_may_change_hands(source: SourceDatabase, constrained: Connection) -> None:
    source["Users"].insert_many([user(n, email=f"e{n}") for n in range(1, 8)])
    load(source, constrained, "Users")
    before = versions(constrained, "Users")
    # A swap; three in a circle; that of a document that is gone; that of one that moves on.
    moves = {1: "e2", 2: "e1", 3: "e4", 4: "e5", 5: "e3", 6: "e7"}
    source["Users"].delete_one({"_id": oid(7)})
    for number, email in moves.items():
        source["Users"].update_one({"_id": oid(number)}, {"$set": {"email": email}})
    source["Users"].insert_one(user(8, email="e6"))
    result = load(source, constrained, "Users")
    assert result.merged == Merged(inserted=1, updated=6, deleted=1, unchanged=0, pending=0)
    expected = [(uid(n), email) for n, email in moves.items()] + [(uid(8), "e6")]
    assert rows(constrained, "Users", "id", "email") == expected
    swap = {1: "e1", 2: "e2"}
    before = versions(constrained, "Users")
    for number, email in swap.items():
        source["Users"].update_one({"_id": oid(number)}, {"$set": {"email": email}})
    assert load(source, constrained, "Users").merged == Merged(0, 2, 0, 5, 0)
    changed = changed_rows(before, versions(constrained, "Users"))
    assert changed == [(uid(1),), (uid(2),)]


def test_a_unique_value_may_be_the_id_of_another_row(
    source: SourceDatabase, constrained: Connection
) -> None:
    """While the value of a row changed, it was the row's own id, which is another row's value."""
    ids = [str(uid(n)) for n in range(1, 5)]
    source["Users"].insert_many([user(n, email=f"e{n}") for n in range(1, 5)])
    source["Boards"].insert_one(board(9, 4))
    load(source, constrained, "Users", "Boards")
    for emails in (ids[1:] + ids[:1], ids, ids[2:] + ids[:2], [ids[0], ids[1], "x", ids[2]]):
        for number, email in enumerate(emails, start=1):
            source["Users"].update_one({"_id": oid(number)}, {"$set": {"email": f"{number}"}})
            source["Users"].update_one({"_id": oid(number)}, {"$set": {"email": email}})
        load(source, constrained, "Users")
        assert [email for _, email in rows(constrained, "Users", "id", "email")] == emails
    # One that waits for its last reference has the value that another document takes over.
    source["Users"].delete_one({"_id": oid(4)})
    source["Users"].update_one({"_id": oid(3)}, {"$set": {"email": ids[2]}})
    source["Users"].update_one({"_id": oid(1)}, {"$set": {"email": ids[3]}})
    assert load(source, constrained, "Users").merged.pending == 1
    email_by_id: dict[Any, Any] = dict(rows(constrained, "Users", "id", "email"))
    assert [email_by_id[uid(n)] for n in (1, 2, 3)] == [ids[3], ids[1], ids[2]]


# --- Documents that are gone and still referred to -------------------------------------------------


def test_a_row_that_is_referred_to_waits(source: SourceDatabase, constrained: Connection) -> None:
    source["Users"].insert_many([user(1), user(2)])
    source["crm_Accounts"].insert_many([account(3, assigned_to=oid(1)), account(4)])
    load(source, constrained, "uuid_map", "Users", "crm_Accounts")
    source["Users"].delete_one({"_id": oid(1)})
    result = load(source, constrained, "Users")
    assert result.merged == Merged(0, 0, 0, unchanged=1, pending=1, moved=1)
    assert pending(constrained) == [("Users", uid(1))]
    assert [row[0] for row in rows(constrained, "Users", "id")] == [uid(1), uid(2)]
    with pytest.raises(LoadError) as raised:
        delete_all_pending(constrained)
    assert "crm_Accounts.assigned_to (1)" in str(raised.value)
    assert str(raised.value).startswith("table Users: ")
    assert count(constrained, "public", "Users") == 2

    again = load(source, constrained, "Users")  # it goes on waiting
    assert again.merged == Merged(0, 0, 0, unchanged=1, pending=1)
    assert again.version == result.version
    assert pending(constrained) == [("Users", uid(1))]
    before = versions(constrained, "crm_Accounts")
    result = load(source, constrained, "crm_Accounts")
    assert rows(constrained, "crm_Accounts", "id", "assigned_to") == [
        (uid(3), None),
        (uid(4), None),
    ]
    assert changed_rows(before, versions(constrained, "crm_Accounts")) == [(uid(3),)]
    orphan = ("crm_Accounts", str(oid(3)), "assigned_to", "orphaned", None, canonical(oid(1)))
    assert issues(constrained, "crm_Accounts") == [orphan]
    assert dict(result.tally.lossy) == {"orphaned": 1}

    assert delete_all_pending(constrained) == 1
    assert (pending(constrained), rows(constrained, "Users", "id")) == ([], [(uid(2),)])
    assert delete_all_pending(constrained) == 0
    assert load(source, constrained, "Users").merged == Merged(0, 0, 0, 1, 0)


def test_a_mark_that_no_load_makes_is_passed_over(constrained: Connection) -> None:
    for name in ("BoardWatchers", "no such table"):
        book(
            constrained,
            "INSERT INTO migration.pending_deletes VALUES (%s, gen_random_uuid()) RETURNING 1",
            name,
        )
    marks = pending(constrained)
    assert delete_all_pending(constrained) == 0
    assert pending(constrained) == marks


def test_without_delete_pending_the_next_load_deletes(
    source: SourceDatabase, constrained: Connection
) -> None:
    source["Users"].insert_one(user(1))
    source["crm_Accounts"].insert_one(account(3, assigned_to=oid(1)))
    load(source, constrained, "Users", "crm_Accounts")
    source["Users"].drop()
    load(source, constrained, "Users", "crm_Accounts")
    assert load(source, constrained, "Users").merged == Merged(0, 0, 1, 0, 0, moved=1)
    assert pending(constrained) == []


REFERRING: list[tuple[str, dict[str, dict[str, Any]]]] = [
    ("crm_Accounts.assigned_to", {"crm_Accounts": account(3, assigned_to=oid(1))}),
    ("crm_Accounts.createdBy", {"crm_Accounts": account(3, createdBy=oid(1))}),
    ("Boards.user", {"Boards": board(3, 1)}),
    ("Boards.sharedWith", {"Users": user(2), "Boards": board(3, 2, sharedWith=[oid(2), oid(1)])}),
    ("AccountWatchers.user_id", {"crm_Accounts": account(3, watchers=[oid(1)])}),
]


@pytest.mark.parametrize(("column", "documents"), REFERRING, ids=[name for name, _ in REFERRING])
def test_every_kind_of_reference_holds_a_row(
    source: SourceDatabase,
    constrained: Connection,
    column: str,
    documents: dict[str, dict[str, Any]],
) -> None:
    tables = [*documents, column.partition(".")[0]]
    source["Users"].insert_one(user(1))
    for name, document in documents.items():
        source[name].insert_one(dict(document))
    load(source, constrained, "Users", *tables)
    source["Users"].delete_one({"_id": oid(1)})
    result = load(source, constrained, "Users")
    assert (result.merged.pending, result.merged.deleted) == (1, 0)
    with pytest.raises(LoadError, match=column.replace(".", r"\.") + r" \(1\)"):
        delete_all_pending(constrained)
    load(source, constrained, *tables)
    assert delete_all_pending(constrained) == 1
    assert uid(1) not in [row[0] for row in rows(constrained, "Users", "id")]
    assert pending(constrained) == []


def test_rows_that_wait_for_rows_that_wait(source: SourceDatabase, constrained: Connection) -> None:
    section = {"_id": oid(5), "__v": 0, "title": "t", "board": oid(3)}
    source["Users"].insert_many([user(1), user(2)])
    source["Boards"].insert_many([board(3, 1), board(4, 2)])
    source["Sections"].insert_one(section)
    load(source, constrained, "Users", "Boards", "Sections")
    source["Users"].delete_one({"_id": oid(1)})
    load(source, constrained, "Users", "Boards")
    assert pending(constrained) == [("Boards", uid(3)), ("Users", uid(1))]
    assert [line[:2] for line in rejected(constrained, "Boards")] == [(str(oid(3)), "user")]
    load(source, constrained, "Sections")
    assert rows(constrained, "Sections", "id") == []
    assert delete_all_pending(constrained) == 2
    assert rows(constrained, "Boards", "id") == [(uid(4),)]


def test_a_document_that_comes_back_stops_waiting(
    source: SourceDatabase, constrained: Connection
) -> None:
    source["Users"].insert_one(user(1))
    source["crm_Accounts"].insert_one(account(3, assigned_to=oid(1)))
    first = load(source, constrained, "Users")
    load(source, constrained, "crm_Accounts")
    source["Users"].drop()
    gone = load(source, constrained, "Users")
    assert pending(constrained) == [("Users", uid(1))]
    source["Users"].insert_one(user(1))
    back = load(source, constrained, "Users")
    assert pending(constrained) == []
    assert (back.merged.pending, back.merged.unchanged + back.merged.updated) == (0, 1)
    assert load(source, constrained, "crm_Accounts").tally.lossy == {}
    assert rows(constrained, "Users", "id", "email") == [(uid(1), "1@example.com")]
    assert rows(constrained, "crm_Accounts", "assigned_to") == [(uid(1),)]
    # What may be referred to was not the same each time, so the versions are not.
    assert len({first.version, gone.version, back.version}) == 3


def test_a_row_that_waits_does_not_hold_its_unique_value(
    source: SourceDatabase, constrained: Connection
) -> None:
    source["Users"].insert_many([user(1, email="a"), user(2, email="b")])
    source["Boards"].insert_one(board(3, 1))
    load(source, constrained, "Users", "Boards")
    source["Users"].delete_one({"_id": oid(1)})
    source["Users"].update_one({"_id": oid(2)}, {"$set": {"email": "a"}})
    source["Users"].insert_one(user(4, email="b"))
    result = load(source, constrained, "Users")
    assert result.merged == Merged(1, 1, deleted=0, unchanged=0, pending=1, moved=1)
    email_by_id: dict[Any, Any] = dict(rows(constrained, "Users", "id", "email"))
    assert (email_by_id[uid(2)], email_by_id[uid(4)]) == ("a", "b")
    load(source, constrained, "Boards")
    assert delete_all_pending(constrained) == 1


def test_what_was_emptied_by_hand_waits_for_nothing(
    source: SourceDatabase, constrained: Connection
) -> None:
    source["Users"].insert_one(user(1))
    source["crm_Accounts"].insert_one(account(3, assigned_to=oid(1)))
    load(source, constrained, "Users", "crm_Accounts")
    source["Users"].drop()
    load(source, constrained, "Users")
    constrained.execute('TRUNCATE "Users" CASCADE')
    source["Users"].insert_one(user(1))
    load(source, constrained, "Users", "crm_Accounts")
    assert rows(constrained, "crm_Accounts", "assigned_to") == [(uid(1),)]
    assert delete_all_pending(constrained) == 0
    assert rows(constrained, "Users", "id") == [(uid(1),)]


# --- Junction tables -------------------------------------------------------------------------------

WATCHED = "crm_Accounts", "watchers"
WATCHING = "Users", "watching_accountsIDs"
BOTH = ["uuid_map", "Users", "crm_Accounts", "AccountWatchers"]


def pairs_of(
    source: SourceDatabase, target: Connection, users: dict[int, Any], accounts: dict[int, Any]
) -> tuple[LoadResult, list[tuple[int, int]]]:
    """Loads users and accounts with these arrays; returns the pairs of (account, user)."""
    numbers = {uid(n): n for n in (*users, *accounts)}
    source["Users"].insert_many(
        user(n, **({} if array is ... else {"watching_accountsIDs": array}))
        for n, array in users.items()
    )
    source["crm_Accounts"].insert_many(
        account(n, **({} if array is ... else {"watchers": array})) for n, array in accounts.items()
    )
    result = load(source, target, *BOTH)
    id_pairs = rows(target, "AccountWatchers", "account_id", "user_id")
    pairs = [(numbers[account_id], numbers[user_id]) for account_id, user_id in id_pairs]
    assert count(target, "public", "AccountWatchers") == result.rows
    return result, sorted(pairs)


def test_a_relation_is_the_union_of_its_sides(
    source: SourceDatabase, constrained: Connection
) -> None:
    result, pairs = pairs_of(
        source,
        constrained,
        {1: [oid(11), oid(12)], 2: [oid(11)], 3: []},
        {11: [oid(1)], 12: [oid(3), oid(1)], 13: ...},
    )
    assert pairs == [(11, 1), (11, 2), (12, 1), (12, 3)]
    assert result.documents == 6
    assert conversions(constrained, "AccountWatchers") == {
        (*WATCHED, "asymmetric"): 1,  # 12 has 3
        (*WATCHING, "asymmetric"): 1,  # 2 has 11
    }
    assert dict(result.tally.lossless) == {"asymmetric": 2}
    assert (issues(constrained, "AccountWatchers"), result.tally.lossy) == ([], {})


def test_a_pair_is_loaded_once(source: SourceDatabase, constrained: Connection) -> None:
    result, pairs = pairs_of(
        source,
        constrained,
        {1: [oid(11)], 2: [oid(11)]},
        {11: [oid(1), oid(1), str(oid(1)), oid(2), oid(1)]},
    )
    assert pairs == [(11, 1), (11, 2)]
    assert conversions(constrained, "AccountWatchers") == {
        (*WATCHED, "repeated"): 3,
        (*WATCHED, "coerced"): 1,
    }
    assert result.documents == 7


def test_orphans_nulls_and_lone_values(source: SourceDatabase, constrained: Connection) -> None:
    result, pairs = pairs_of(
        source,
        constrained,
        {1: [oid(11), oid(99), None, "x", ""], 2: None, 3: ...},
        {11: str(oid(1)).upper(), 12: oid(98), 13: {"a": 1}, 14: ""},
    )
    assert pairs == [(11, 1)]
    assert conversions(constrained, "AccountWatchers") == {
        # A lone value becomes one element; the text in it an ObjectId.
        (*WATCHED, "coerced"): 4 + 1,
    }

    def issue(side: tuple[str, str], number: int, kind: str, element: int, value: Any) -> Row:
        return (side[0], str(oid(number)), side[1], kind, element, canonical(value))

    assert issues(constrained, "AccountWatchers") == [
        issue(WATCHING, 1, "orphaned", 1, oid(99)),
        issue(WATCHING, 1, "altered", 2, None),
        issue(WATCHING, 1, "orphaned", 3, "x"),
        issue(WATCHING, 1, "altered", 4, ""),
        issue(WATCHED, 12, "orphaned", 0, oid(98)),
        issue(WATCHED, 13, "orphaned", 0, {"a": 1}),
        issue(WATCHED, 14, "altered", 0, ""),
    ]
    assert dict(result.tally.lossy) == {"orphaned": 4, "altered": 3}
    # The books: every element is a pair of its side, a repeat, or recorded.
    assert result.documents == 9 == 2 + 0 + 7


def test_elements_of_rejected_documents_are_orphaned(
    source: SourceDatabase, constrained: Connection
) -> None:
    bad = user(2, is_admin="x", watching_accountsIDs=[oid(11), None])
    source["Users"].insert_one(bad)
    result, pairs = pairs_of(source, constrained, {1: [oid(11)]}, {11: [oid(1), oid(2)]})
    assert pairs == [(11, 1)]
    lines = [line[1:5] for line in issues(constrained, "AccountWatchers")]
    assert lines == [
        (str(oid(2)), "watching_accountsIDs", "orphaned", 0),
        (str(oid(2)), "watching_accountsIDs", "altered", 1),
        (str(oid(11)), "watchers", "orphaned", 1),
    ]
    assert dict(result.tally.lossy) == {"orphaned": 2, "altered": 1}


def test_a_relation_with_one_array_has_no_other_side(
    source: SourceDatabase, constrained: Connection
) -> None:
    document = {"_id": oid(1), "document_name": "n", "document_file_url": "u"}
    document |= {"document_file_mimeType": "m", "crm_accounts_tasksIDs": [oid(2), oid(2), oid(9)]}
    source["Documents"].insert_one(document)
    source["crm_Accounts_Tasks"].insert_one(
        {"_id": oid(2), "__v": 0, "priority": "p", "title": "t"}
    )
    table = "DocumentsToCrmAccountsTasks"
    result = load(source, constrained, "uuid_map", "crm_Accounts_Tasks", "Documents", table)
    assert rows(constrained, table, "document_id", "crm_accounts_task_id") == [(uid(1), uid(2))]
    field = ("Documents", "crm_accounts_tasksIDs")
    assert conversions(constrained, table) == {(*field, "repeated"): 1}
    assert [(line[0], line[2], line[3]) for line in issues(constrained, table)] == [
        (*field, "orphaned")
    ]
    assert dict(result.tally.lossless) == {"repeated": 1}


# --- One writer, and nothing half done -------------------------------------------------------------


def test_a_second_load_of_a_table_is_refused(source: SourceDatabase, bare: Connection) -> None:
    source["Users"].insert_one(user(1))
    with another(bare) as first:
        with ledger.one_writer(first, TABLES["Users"]):
            with pytest.raises(LoadError) as raised:
                load_table(source, bare, TABLES["Users"])
            load(source, bare, "crm_Accounts")  # another table is free
        message = str(raised.value)
        assert message.startswith("table Users: another load of it is under way")
        assert f"process {first.info.backend_pid} of migration-assets, since 2" in message
        assert "%" not in message
    assert load(source, bare, "Users").rows == 1


def test_loads_of_two_targets_do_not_meet(
    source: SourceDatabase, bare: Connection, constrained: Connection
) -> None:
    with ledger.one_writer(constrained, TABLES["Users"]):
        load(source, bare, "Users")
        # The holder that is named is the one of the same database.
        with another(bare) as first, ledger.one_writer(first, TABLES["Users"]):
            holder = f"process {first.info.backend_pid} "
            with pytest.raises(LoadError, match=holder):
                load_table(source, bare, TABLES["Users"])


def interrupted(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, before: Callable[..., None]
) -> None:
    """Makes a function do something else first."""
    original = getattr(owner, name)

    def first(*args: Any, **kwargs: Any) -> Any:
        before(*args)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, first)


class KilledError(Exception):
    """Stands for the death of the process."""


def everything(target: Connection) -> dict[str, list[str]]:
    """All rows and books of a target, as text."""
    names = [("public", name) for name in TABLES]
    names += [
        ("migration", name) for name in ("uuid_map", "pending_deletes", *map(str, BOOK_NAMES))
    ]
    texts_by_name = {}
    for schema, name in names:
        query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(schema, name))
        texts_by_name[name] = [text for (text,) in target.execute(query)]
    return texts_by_name


BOOK_NAMES = [book_table.name for book_table in BOOKS]


def test_a_table_is_never_seen_half_loaded(
    source: SourceDatabase,
    constrained: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    related(source)
    load(source, constrained, *RELATED)
    old = everything(constrained)
    source["Users"].delete_one({"_id": oid(3)})
    source["Users"].update_one(
        {"_id": oid(2)}, {"$set": {"name": "\x00", "watching_boardsIDs": []}}
    )
    source["Users"].insert_many([user(4), user(5, is_admin="x")])
    seen_states = []

    def look(*_: object) -> None:
        with another(constrained) as reader:
            seen_states.append(everything(reader))

    with monkeypatch.context() as patch:
        interrupted(patch, ledger, "finish", look)
        load(source, constrained, "Users", "BoardWatchers")
    new = everything(constrained)
    assert seen_states[0] == old
    assert new != old
    assert seen_states[1] == new | {
        "BoardWatchers": old["BoardWatchers"],
        "conversions": old["conversions"],
    }
    assert len(seen_states) == 2


@pytest.mark.parametrize("table", ["Users", "BoardWatchers"])
def test_a_load_that_fails_at_its_end_changes_nothing(
    source: SourceDatabase,
    constrained: Connection,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
) -> None:
    related(source)
    load(source, constrained, *RELATED)
    old = everything(constrained)
    source["Users"].update_many({}, {"$set": {"name": "\x00", "watching_boardsIDs": [oid(21)]}})

    def kill(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        interrupted(patch, ledger, "finish", kill)
        with pytest.raises(KilledError):
            load_table(source, constrained, TABLES[table])
    assert everything(constrained) == old
    load(source, constrained, table)
    assert everything(constrained) != old


# --- Resuming ----------------------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "2")


def killed_at(
    monkeypatch: pytest.MonkeyPatch,
    source: SourceDatabase,
    target: Connection,
    batch: int,
) -> None:
    """A load of the users that is killed before it commits a batch."""

    def kill(_: Connection, __: uuid.UUID, line: RangeLine) -> None:
        if line.number == batch:
            raise KilledError

    with monkeypatch.context() as patch:
        interrupted(patch, ledger, "complete", kill)
        with pytest.raises(KilledError):
            load_table(source, target, TABLES["Users"])
    assert count(target, "public", "Users") == 0


def resumed(
    monkeypatch: pytest.MonkeyPatch, source: SourceDatabase, target: Connection
) -> tuple[LoadResult, list[int], list[str]]:
    """Loads the users; returns the result, the numbers of the batches written, and the messages."""
    batch_numbers: list[int] = []
    messages: list[str] = []
    with monkeypatch.context() as patch:
        interrupted(
            patch, ledger, "complete", lambda *arguments: batch_numbers.append(arguments[2].number)
        )
        result = load_table(source, target, TABLES["Users"], say=messages.append)
    assert leftovers(target) == []
    return result, batch_numbers, messages


def odd_users(source: SourceDatabase) -> None:
    """Six users in three batches; each batch has something to record."""
    odd: dict[str, Any] = {"name": 5, "lastLoginAt": "never", "unknown": 1}
    source["Users"].insert_many(
        [user(n, **odd) for n in range(5)] + [user(5, email="0@example.com")]
    )


@pytest.mark.usefixtures("small_batches")
def test_a_killed_load_goes_on_after_its_last_batch(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_users(source)
    expected = load(source, bare, "Users")
    assert (expected.documents, expected.tally.rejected, batches(bare, expected)) == (6, 1, 3)
    uninterrupted = everything(bare)
    empty(bare)
    killed_at(monkeypatch, source, bare, batch=3)
    result, batch_numbers, messages = resumed(monkeypatch, source, bare)
    assert batch_numbers == [3]
    assert "resuming after batch 2" in messages[0]
    assert result.tally == expected.tally
    assert result.fingerprints == expected.fingerprints
    assert expected.seconds_before == 0 < result.seconds_before < result.seconds
    # The unique value of the first batch is still taken.
    assert everything(bare) == uninterrupted


@pytest.mark.usefixtures("small_batches")
def test_a_killed_load_that_had_staged_all_only_merges(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_users(source)

    def kill(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        interrupted(patch, ledger, "finish", kill)
        with pytest.raises(KilledError):
            load_table(source, bare, TABLES["Users"])
    result, batch_numbers, _ = resumed(monkeypatch, source, bare)
    assert (batch_numbers, result.rows, result.tally.rejected) == ([], 5, 1)


def change_a_document(source: SourceDatabase, target: Connection) -> None:
    del target
    source["Users"].update_one({"_id": oid(1)}, {"$set": {"name": "new"}})


def remove_all_but_one(source: SourceDatabase, target: Connection) -> None:
    del target
    source["Users"].delete_many({"_id": {"$ne": oid(1)}})


def lose_staging(source: SourceDatabase, target: Connection) -> None:
    """Loses staging as a crash of the server does, since it is unlogged."""
    del source
    target.execute('TRUNCATE migration_staging."Users"')


def lose_staged_books(source: SourceDatabase, target: Connection) -> None:
    del source
    target.execute('TRUNCATE migration_staging."books.issues"')


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    ("happens", "expected"),
    [
        (change_a_document, "the source has changed"),
        (remove_all_but_one, "the source has changed"),
        (lose_staging, "the target has lost what was staged"),
        (lose_staged_books, "the target has lost what was staged"),
    ],
)
def test_a_killed_load_that_cannot_go_on_starts_again(
    source: SourceDatabase,
    bare: Connection,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[SourceDatabase, Connection], None],
    expected: str,
) -> None:
    odd_users(source)
    killed_at(monkeypatch, source, bare, batch=3)
    happens(source, bare)
    result, batch_numbers, messages = resumed(monkeypatch, source, bare)
    assert batch_numbers[0] == 1
    assert expected in messages[-1]
    state = everything(bare)
    empty(bare)
    assert load(source, bare, "Users").tally == result.tally
    assert everything(bare) == state


@pytest.mark.usefixtures("small_batches")
def test_a_killed_load_starts_again_where_references_have_changed(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    source["Users"].insert_one(user(1))
    source["Boards"].insert_many([board(n, 1) for n in range(2, 7)])
    load(source, bare, "Users")

    def kill(_: Connection, __: uuid.UUID, line: RangeLine) -> None:
        if line.number == 2:
            raise KilledError

    with monkeypatch.context() as patch:
        interrupted(patch, ledger, "complete", kill)
        with pytest.raises(KilledError):
            load_table(source, bare, TABLES["Boards"])
    source["Users"].drop()
    load(source, bare, "Users")
    messages: list[str] = []
    result = load_table(source, bare, TABLES["Boards"], say=messages.append)
    assert "what it refers to has changed" in messages[0]
    assert (result.rows, result.tally.rejected) == (0, 5)


# --- Secrets -----------------------------------------------------------------------------------------


def test_the_messages_of_a_load_hold_no_value(source: SourceDatabase, bare: Connection) -> None:
    source["Users"].insert_many(
        [
            user(1, password="hunter2\x00"),
            user(2, password={"a": "hunter2"}, hunter2="hunter2"),
            user(3, password="hunter2", is_admin="hunter2"),
        ]
    )
    result = load(source, bare, "Users")
    assert "hunter2" not in repr(result)
    assert "hunter2" not in json.dumps(result.statistics())
    assert [line[3] for line in issues(bare, "Users")] == ["altered", "nulled"]
    ledger_lines = book(
        bare, "SELECT l::text FROM migration.loads l UNION SELECT b::text FROM migration.batches b"
    )
    assert ledger_lines
    assert "hunter2" not in str(ledger_lines)
