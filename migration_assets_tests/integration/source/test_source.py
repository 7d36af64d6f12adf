"""Opening both databases, and reading MongoDB in order, in bounds, and with a fingerprint."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import bson
import psycopg
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId
from bson.codec_options import DEFAULT_CODEC_OPTIONS
from bson.raw_bson import RawBSONDocument
from psycopg import sql
from pymongo import MongoClient
from pymongo.cursor import RawBatchCursor
from pymongo.errors import OperationFailure
from pymongo.message import _OpMsg

from migration_assets.embedded import Urls
from migration_assets.errors import MigrationError, SourceError, TargetError
from migration_assets.preflight import source as on_source
from migration_assets.settings import DOCUMENTS_PER_BATCH
from migration_assets.source import connection
from migration_assets.source.connection import SourceClient, SourceDatabase, open_source
from migration_assets.source.digests import content, fingerprints
from migration_assets.source.reading import (
    document_bounds,
    identifier,
    leading_object_ids,
    raw_batches,
    split,
)
from migration_assets.source.refusals import reported
from migration_assets.source.replies import raw_replies
from migration_assets.target.connection import open_target

PASSWORD = "hun ter2"  # the parts are looked for as well
AWKWARD = ["hun/ter2", "hun@ter2", "hun:ter2", "hun?ter2", "hun%ter2", "hun ter2", "50%ter2hun"]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def refusal(opening: AbstractContextManager[Any], kind: type[MigrationError]) -> str:
    """Returns the message of the refusal: one line that hides the password."""
    with pytest.raises(kind) as raised, opening:
        pass
    message = str(raised.value)
    assert "\n" not in message
    assert "hun" not in message
    assert "ter2" not in message
    assert message.startswith(raised.value.where)
    assert message.endswith(raised.value.next_step)
    error: BaseException | None = raised.value
    while error is not None:  # what a traceback shows, too
        assert "hun" not in str(error)
        assert "ter2" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return message


def refused_source(url: str) -> str:
    return refusal(open_source(url, timeout=0.3), SourceError)


def refused_target(url: str) -> str:
    return refusal(open_target(url, timeout=2), TargetError)


# --- Opening the source ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "http://host/db",
        "postgresql://u:hun@host/db",
        "mongodb://host:port/db",
        "mongodb://host:99999/db",
        "mongodb://host/d b",
        "mongodb://127.0.0.1:1",  # names no database
        "mongodb://127.0.0.1:1/",
        "mongodb://127.0.0.1/db?nonsense",
    ],
)
def test_a_wrong_source_url(url: str) -> None:
    message = refused_source(url)
    assert message.startswith("MongoDB")
    assert "the URL cannot be" in message
    assert "Set SOURCE_MONGODB_URL to mongodb://" in message


@pytest.mark.parametrize("password", AWKWARD)
def test_a_source_url_with_an_unescaped_password(password: str) -> None:
    message = refused_source(f"mongodb://user:{password}@127.0.0.1:{closed_port()}/db")
    assert message.startswith("MongoDB")


def test_an_unreachable_source() -> None:
    port = closed_port()
    message = refused_source(f"mongodb://user:hunter2@127.0.0.1:{port}/db?appName=ter2")
    assert message.startswith(f"MongoDB at mongodb://127.0.0.1:{port}/db: no answer: ")
    assert message.endswith(
        "Check that the server runs and can be reached from here, then start again"
    )


def test_a_missing_source_database(servers: Urls) -> None:
    url = servers.mongodb_url.replace("/nextcrm", "/nowhere")
    message = refused_source(url)
    assert message.startswith(f"MongoDB at {url.partition('?')[0]}: there is no database 'nowhere'")
    assert "SOURCE_MONGODB_URL" in message


def test_a_wrong_password_of_the_source(servers: Urls) -> None:
    url = servers.mongodb_url.replace("://", "://somebody:hunter2@")
    message = refused_source(url)
    assert message.startswith(
        f"MongoDB at {servers.mongodb_url.partition('?')[0]}: the server refused"
    )
    assert "Check user and password in SOURCE_MONGODB_URL" in message
    assert "role `read`" not in message


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("tls")
    garbage, empty = directory / "garbage.pem", directory / "empty.pem"
    garbage.write_text("garbage")
    empty.touch()
    places = {"missing": directory / "none.pem", "directory": directory}
    return {
        name: str(path) for name, path in (places | {"garbage": garbage, "empty": empty}).items()
    }


@pytest.mark.parametrize("option", ["tlsCAFile", "tlsCertificateKeyFile", "tlsCRLFile"])
@pytest.mark.parametrize("kind", ["missing", "directory", "garbage", "empty", "none"])
def test_files_of_certificates_that_are_none(
    option: str, kind: str, odd_files: dict[str, str]
) -> None:
    message = refused_source(f"mongodb://127.0.0.1/db?tls=true&{option}={odd_files.get(kind, '')}")
    assert message.endswith(f"Check the files that SOURCE_MONGODB_URL names: {option}")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("datetime_conversion=datetime_auto", "datetime_conversion"),
        ("datetime_conversion=nonsense", "datetime_conversion"),
        ("tls=maybe", "tls"),
        ("authMechanism=NONSENSE", "authmechanism"),
        ("readPreference=nonsense", "read preference"),
        ("maxStalenessSeconds=90", "maxStalenessSeconds"),
        ("loadBalanced=true&replicaSet=rs0", "loadBalanced"),
        ("socketTimeoutMS=long", "sockettimeoutms"),
        ("authMechanismProperties=x", "auth mechanism properties"),
    ],
)
def test_options_that_the_driver_does_not_take(options: str, named: str) -> None:
    """An option with a wrong value was dropped: `tls=maybe` connected without encryption."""
    message = refused_source(f"mongodb://user:hunter2@127.0.0.1:{closed_port()}/db?{options}")
    assert "the URL cannot be used" in message
    assert named in message


@pytest.mark.parametrize("name", ["%00", "a%2Fb", "%20", "a$b"])
def test_names_that_no_database_has(name: str) -> None:
    assert "the URL cannot be used" in refused_source(f"mongodb://127.0.0.1:1/{name}")


def test_a_host_that_the_name_server_does_not_know() -> None:
    message = refused_source("mongodb+srv://cluster0.nowhere.invalid/db")
    assert "Check the name of the host in SOURCE_MONGODB_URL" in message


@pytest.mark.filterwarnings("error")
def test_options_without_effect_are_named(source_url: str, mongo_database: SourceDatabase) -> None:
    mongo_database["Users"].insert_one({})
    options = "useNewUrlParser=true&readPreference=nearest&retryWrites=true&readPrefrence=x"
    with open_source(f"{source_url}?{options}") as database:
        assert isinstance(database.client, SourceClient)
        assert database.client.ignored == ("useNewUrlParser", "readPrefrence", "readPreference")
        (finding,) = on_source.url_options(database)
    assert "useNewUrlParser, readPrefrence, readPreference" in finding.what


def test_other_warnings_of_the_process_are_not_about_the_url(
    source_url: str, mongo_database: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    mongo_database["Users"].insert_one({})

    class Warned(SourceClient):
        def __init__(self, *args: Any, **options: Any) -> None:
            warnings.warn("a cursor was deleted while still open", ResourceWarning, stacklevel=1)
            super().__init__(*args, **options)

    monkeypatch.setattr(connection, "SourceClient", Warned)
    with open_source(source_url) as database:
        assert isinstance(database.client, Warned)


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        (18, "Authentication failed.", "Check user and password"),
        (8000, "bad auth : authentication failed", "Check user and password"),
        (334, "Received authentication for mechanism X which is not enabled", "and authSource"),
        (13, f'not authorized on db to execute command {{ find: "{PASSWORD}" }}', "role `read`"),
        (59, f"no such command: '{PASSWORD}'", "restore a dump of it into MongoDB 5 or newer"),
        (303, "Feature not supported: x", "restore a dump of it into MongoDB 5 or newer"),
        (241, f"Failed to parse number '{PASSWORD}' in $convert", "The server's log says more"),
        (11000, f'E11000 dup key: {{ email: "{PASSWORD}" }}', "The server's log says more"),
        (241, f"Failed to parse number '{PASSWORD}", "The server's log says more"),
    ],
)
def test_a_refusal_says_what_fits_and_quotes_no_value(
    code: int, message: str, expected: str
) -> None:
    @contextmanager
    def refusing() -> Iterator[None]:
        with reported("MongoDB"):
            raise OperationFailure(message, code, {"errmsg": message, "code": code})
        yield

    assert expected in refusal(refusing(), SourceError)


def test_an_answer_that_is_no_utf_8_is_one_line() -> None:
    @contextmanager
    def decoding() -> Iterator[None]:
        with reported("MongoDB"):
            bson.decode(bson.encode({"a": "hunter2"}).replace(b"t", b"\xff"))
        yield

    assert "not UTF-8" in refusal(decoding(), SourceError)


def test_a_lost_source_is_one_line(source_url: str, mongo_database: SourceDatabase) -> None:
    mongo_database["Users"].insert_one({})

    def lose() -> None:
        with open_source(source_url) as opened:
            opened.command("nonsense")

    with pytest.raises(SourceError, match="the server refused: no such command") as raised:
        lose()
    assert "\n" not in str(raised.value)


def test_the_driver_logs_no_documents(
    source_url: str, mongo_database: SourceDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """Its log of commands and replies is on where Dagster, or anybody, logs everything."""
    mongo_database["Users"].insert_one({"_id": 1, "name": "hunter2"})
    logging.getLogger("pymongo").setLevel(logging.NOTSET)
    with caplog.at_level(logging.DEBUG), open_source(source_url) as database:
        assert database["Users"].find_one({"_id": 1})
        assert len(list(raw_batches(database["Users"]))) == 1
    assert "hunter2" not in caplog.text


# --- Opening the target ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "http://host/db",
        "mysql://u:hunter2@host/db",
        "mongodb://u:hunter2@host/db",
        "host=127.0.0.1 password=hunter2",
    ],
)
def test_a_wrong_target_url(url: str) -> None:
    message = refused_target(url)
    assert message.startswith("PostgreSQL: the URL cannot be read. ")
    assert "Set TARGET_POSTGRES_URL to postgresql://" in message


@pytest.mark.parametrize("password", AWKWARD)
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_a_target_url_with_an_unescaped_password(scheme: str, password: str) -> None:
    message = refused_target(f"{scheme}://user:{password}@127.0.0.1:{closed_port()}/db")
    assert message.startswith("PostgreSQL")


@pytest.mark.parametrize(
    "rest", [":99999/db", "/db?nonsense=ter2", "/db?sslmode=nonsense", ":5x/db"]
)
def test_a_target_url_with_wrong_parts(rest: str) -> None:
    assert "TARGET_POSTGRES_URL" in refused_target(f"postgresql://user:hunter2@127.0.0.1{rest}")


def test_an_unreachable_target() -> None:
    port = closed_port()
    message = refused_target(f"postgresql://user:hunter2@127.0.0.1:{port}/db")
    assert message.startswith(f"PostgreSQL at postgresql://127.0.0.1:{port}/db: no connection: ")
    assert "Check that the server runs and that TARGET_POSTGRES_URL names it" in message


def test_a_missing_target_database(servers: Urls) -> None:
    message = refused_target(servers.postgres_url.replace("/nextcrm", "/nowhere"))
    assert 'database "nowhere" does not exist' in message
    password = servers.postgres_url.partition("://postgres:")[2].partition("@")[0]
    assert password
    assert password not in message


def test_a_wrong_password_of_the_target(servers: Urls) -> None:
    scheme, _, place = servers.postgres_url.partition("@")
    message = refused_target(f"postgresql://postgres:hunter2@{place}")
    assert message.startswith(f"PostgreSQL at postgresql://{place}: no connection: ")
    assert "password authentication failed" in message
    assert scheme.partition("://postgres:")[2] not in message


def test_urls_as_others_write_them(target_url: str, source_url: str) -> None:
    with MongoClient[dict[str, Any]](source_url) as client:
        client.get_default_database()["Users"].insert_one({})
    for scheme in ("postgres://", "postgresql+psycopg2://", "postgresql+psycopg://"):
        with open_target(target_url.replace("postgresql://", scheme)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with open_source(source_url.replace("?", "?appName=somebody&")) as database:
        assert database["Users"].count_documents({}) == 1


def test_passwords_with_escaped_characters(servers: Urls, target_url: str) -> None:
    password = "p@s/w:o?r#d %é"
    escaped = "p%40s%2Fw%3Ao%3Fr%23d%20%25%C3%A9"
    with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
        role = sql.SQL("ROLE escaped LOGIN PASSWORD {}").format(sql.Literal(password))
        connection.execute(sql.SQL("CREATE ") + role)
    place = target_url.partition("@")[2]
    try:
        with open_target(f"postgresql://escaped:{escaped}@{place}") as opened:
            assert opened.execute("SELECT current_user").fetchone() == ("escaped",)
    finally:
        with psycopg.connect(servers.postgres_url, autocommit=True) as connection:
            connection.execute("DROP ROLE escaped")


def test_errors_of_the_target_name_things_and_no_values(target_url: str) -> None:
    def insert(value: int | str) -> None:
        with open_target(target_url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (a text PRIMARY KEY, b int)")
            connection.execute("INSERT INTO t VALUES ('hunter2', %s)", [value])

    insert(1)
    with pytest.raises(TargetError, match=r"UniqueViolation \(SQLSTATE 23505, table t") as raised:
        insert(1)
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


# --- Reading -------------------------------------------------------------------------------------


IDS_IN_ORDER: list[Any] = [
    MinKey(),
    -1.5,
    Int64(0),
    Decimal128("0.5"),
    1,
    2**40,
    "",
    "a",
    {"a": 1},
    {"a": 2},
    b"\x00",
    ObjectId("000000000000000000000000"),
    ObjectId("ffffffffffffffffffffffff"),
    False,
    True,
    MaxKey(),
]
"""In the order of BSON types."""


def ids(batches: Iterator[bytes]) -> list[Any]:
    return [identifier(document) for batch in batches for document in split(batch)]


def test_batches_are_in_order_of_id(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    source["mixed"].insert_many(
        [{"x": 1, "_id": identifier} for identifier in reversed(IDS_IN_ORDER)]
    )
    for size in (1, 3, 100):
        monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, str(size))
        batches = list(raw_batches(source["mixed"]))
        assert ids(iter(batches)) == IDS_IN_ORDER
        sizes = [len(list(split(batch))) for batch in batches]
        assert max(sizes) == min(size, len(IDS_IN_ORDER))


def test_batches_are_bounded_in_bytes(source: SourceDatabase) -> None:
    for number in range(4):
        source["big"].insert_one({"_id": number, "text": "x" * 7_000_000})
    batches = list(raw_batches(source["big"]))
    assert ids(iter(batches)) == [0, 1, 2, 3]
    assert [len(batch) // 1_000_000 for batch in batches] == [7, 7, 7, 7]  # of 14 in a reply


def test_documents_of_a_large_reply_are_shared_out_evenly(source: SourceDatabase) -> None:
    source["big"].insert_many([{"_id": number, "text": "x" * 9_000} for number in range(1_700)])
    batches = list(raw_batches(source["big"]))
    assert ids(iter(batches)) == list(range(1_700))
    assert [len(list(split(batch))) for batch in batches] == [567, 567, 566]


def test_parts_of_documents_are_bounded_in_fewer_bytes(source: SourceDatabase) -> None:
    ids_of_one = [ObjectId(f"{number:024x}") for number in range(1_000)]
    source["arrays"].insert_many([{"_id": number, "of": ids_of_one} for number in range(300)])
    batches = list(raw_batches(source["arrays"], projection={"of": 1}))
    assert ids(iter(batches)) == list(range(300))
    assert [len(list(split(batch))) for batch in batches] == [75, 75, 75, 75]


def test_a_collection_that_does_not_exist_has_no_batches(source: SourceDatabase) -> None:
    assert list(raw_batches(source["nowhere"])) == []


def test_a_projection_reads_only_that(source: SourceDatabase) -> None:
    source["Users"].insert_one({"_id": 1, "a": 2, "b": 3})
    (batch,) = raw_batches(source["Users"], projection={"a": 1})
    assert bson.decode_all(batch) == [{"_id": 1, "a": 2}]


def test_documents_are_bytes_as_the_server_holds_them(source: SourceDatabase) -> None:
    document = bson.encode({"_id": 1, "b": Decimal128("1.10"), "a": [1, 2.0, Int64(3)]})
    source["Users"].insert_one(RawBSONDocument(document))
    (batch,) = raw_batches(source["Users"])
    assert batch == document


@pytest.mark.parametrize("batch_size", [1, 2, 1000])
@pytest.mark.parametrize("projection", [None, {"_id": 1, "a": 1}])
def test_raw_batches_are_those_of_pymongo(
    source: SourceDatabase, batch_size: int, projection: dict[str, int] | None
) -> None:
    values: list[Any] = [
        None,
        [],
        [{"b": []}],
        {},
        "x" * 5000,
        b"",
        MinKey(),
        Decimal128("1"),
        ObjectId(),
    ]
    source["Tasks"].insert_many([{"_id": n, "a": value} for n, value in enumerate(values)])
    options: dict[str, Any] = {"projection": projection, "sort": [("_id", -1)]}
    for condition in ({}, {"a": None}, {"a": "nothing"}):
        ours = raw_replies(source["Tasks"], filter=condition, batch_size=batch_size, **options)
        theirs = source["Tasks"].find_raw_batches(condition, batch_size=batch_size, **options)
        assert list(ours) == list(theirs)
    assert list(raw_replies(source["none"])) == []


def test_a_reply_of_raw_batches_is_not_divided(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    source["Tasks"].insert_many([{"_id": n} for n in range(100)])
    decoded_documents = []
    plain = RawBSONDocument.__init__

    def counted(self: RawBSONDocument, *args: Any) -> None:
        decoded_documents.append(self)
        plain(self, *args)

    monkeypatch.setattr(RawBSONDocument, "__init__", counted)
    cursor: Any = raw_replies(source["Tasks"])
    assert len(list(split(b"".join(cursor)))) == 100
    assert len(decoded_documents) < 10


def test_large_documents_come_in_smaller_replies(source: SourceDatabase) -> None:
    """All that a reply holds is in memory at once, so after large documents fewer are asked for."""
    sizes = [10_000] * 2_000 + [10] * 2_000
    source["Tasks"].insert_many([{"_id": n, "a": "x" * size} for n, size in enumerate(sizes)])
    replies: Any = raw_replies(source["Tasks"], sort=[("_id", 1)], batch_size=1_000)
    reply_sizes = [(len(reply), len(list(split(reply)))) for reply in replies]
    assert sum(count for _, count in reply_sizes) == len(sizes)
    assert reply_sizes[0][1] == 1_000
    assert 4_500_000 < reply_sizes[1][0] < 5_500_000
    assert reply_sizes[-2][1] == 1_000


def test_raw_batches_say_what_the_server_says(source: SourceDatabase) -> None:
    with pytest.raises(OperationFailure, match="unknown operator"):
        list(raw_replies(source["Tasks"], filter={"a": {"$nothing": 1}}))


def test_identifier_needs_no_other_field() -> None:
    first = bson.encode({"_id": ObjectId(b"a" * 12), "bad": "x" * 5})
    broken = first.replace(b"xxxxx", b"\xff" * 5)
    assert identifier(broken) == ObjectId(b"a" * 12)
    assert identifier(bson.encode({"x": 1, "_id": "last"})) == "last"
    text = bson.encode({"_id": "né\x00", "bad": "x" * 5})
    assert identifier(text.replace(b"xxxxx", b"\xff" * 5)) == "né\x00"
    unreadable = bson.encode({"_id": "xx"}).replace(b"xx", b"\xff\xff")
    assert identifier(unreadable) == Binary(b"\x03\x00\x00\x00\xff\xff\x00")


def test_leading_object_ids() -> None:
    def leading(*documents: dict[str, Any]) -> bytes | None:
        data = b"".join(map(bson.encode, documents))
        return leading_object_ids(data, document_bounds(data))

    documents = [{"_id": ObjectId(bytes([n] * 12))} for n in (0, 7, 255)]
    expected = b"".join(document["_id"].binary for document in documents)
    assert leading(*documents) == expected
    assert (
        leading(*({**document, "a": "x" * n} for n, document in enumerate(documents))) == expected
    )
    assert leading() == b""
    others: list[dict[str, Any]] = [{"_id": None}, {"_id": "x" * 7}, {"a": 1}]
    for other in (*others, {"id_": ObjectId()}):
        assert leading(*documents, other) is None
        assert leading(other, *documents) is None


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("a value", {"$set": {"a": 2}}),
    ("the type of a value", {"$set": {"a": Int64(1)}}),
    ("a new field", {"$set": {"z": None}}),
    ("no such field", {"$unset": {"a": ""}}),
    ("the name of a field", {"$rename": {"a": "A"}}),
]


@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[what for what, _ in CHANGES])
def test_a_fingerprint_changes_with_the_content(
    source: SourceDatabase, what: str, change: dict[str, Any]
) -> None:
    del what
    source["Users"].insert_many([{"_id": n, "a": 1, "b": "x"} for n in range(3)])
    before = content(source, "Users")
    assert (before.documents, before.size) == (
        3,
        len(bson.encode({"_id": 1, "a": 1, "b": "x"})) * 3,
    )
    source["Users"].update_one({"_id": 1}, change)
    assert content(source, "Users").fingerprint("Users") != before.fingerprint("Users")


def test_a_fingerprint_changes_with_the_documents(source: SourceDatabase) -> None:
    all_fingerprints = []
    for change in (
        lambda: source["Users"].insert_one({"_id": 1}),
        lambda: source["Users"].insert_one({"_id": 2}),
        lambda: source["Users"].delete_one({"_id": 1}),
        lambda: source["Users"].delete_one({"_id": 2}),
    ):
        change()
        all_fingerprints.append(content(source, "Users").fingerprint("Users"))
    assert len(set(all_fingerprints)) == len(all_fingerprints)


def test_a_fingerprint_is_that_of_the_content_only(source: SourceDatabase) -> None:
    documents = [{"_id": n, "a": "x" * n} for n in range(50)]
    source["Users"].insert_many(documents)
    source["Boards"].insert_many(reversed(documents))
    held = {name: content(source, name).as_text() for name in ("Users", "Boards", "nowhere")}
    assert held["Users"] == held["Boards"] != held["nowhere"]
    again = fingerprints(source, held)
    assert len(set(again.values())) == 3  # the name of the collection is in it
    source["Users"].update_one({"_id": 7}, {"$set": {"a": "other"}})
    source["Users"].update_one({"_id": 7}, {"$set": {"a": "x" * 7}})
    assert fingerprints(source, again) == again


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 7},
        {"batch_size": 1, "projection": {"_id": 1}},
        {"filter": {"number": {"$gte": 10_000}}},
        {"sort": [("number", -1)], "limit": 3},
        {"no_cursor_timeout": True, "batch_size": 50},
    ],
)
def test_replies_are_taken_as_pymongo_takes_them(
    mongo_database: SourceDatabase, options: dict[str, Any]
) -> None:
    some = [{"number": n, "text": "x" * n, "within": [{"cursor": n}] * (n % 3)} for n in range(101)]
    mongo_database["some"].insert_many(some)
    expected = list(mongo_database["some"].find_raw_batches(**options))
    assert list(raw_replies(mongo_database["some"], **options)) == expected


OF_MONGOD: list[Mapping[str, Any]] = [
    {"cursor": {"firstBatch": [{"_id": 1}, {"_id": 2, "a": []}], "id": Int64(7), "ns": "db.some"}},
    {"cursor": {"nextBatch": [], "id": Int64(0), "ns": "db.some"}, "ok": 1.0},
    {"cursor": {"nextBatch": [{}], "partialResultsReturned": True, "id": Int64(0)}, "ok": 1.0},
]
OF_MONGOS: list[Mapping[str, Any]] = [
    {"cursor": {"id": Int64(7), "ns": "db.some", "firstBatch": [{"_id": 1}] * 12}, "ok": 1.0},
    {"cursor": {"id": Int64(0), "ns": "", "nextBatch": [{"_id": 1}]}, "ok": 1.0, "more": 1},
]
OTHERS: list[Mapping[str, Any]] = [
    {"ok": 1.0, "cursor": {"firstBatch": [{"_id": 1}], "id": Int64(7), "ns": "db.some"}},
    {"cursor": {"new": 1, "firstBatch": [{"_id": 1}], "id": Int64(7), "ns": "db.some"}, "ok": 1.0},
    {"ok": 0.0, "errmsg": "no \x03cursor", "code": 43},
]


@pytest.mark.parametrize("reply", [*OF_MONGOD, *OF_MONGOS, *OTHERS])
def test_replies_of_every_server_are_taken(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch, reply: Mapping[str, Any]
) -> None:
    def taken(cursor: Any) -> Any:
        message = _OpMsg(0, memoryview(bytearray(b"flags" + bson.encode(reply)))[5:])
        batches = {"cursor": {"firstBatch": 1, "nextBatch": 1}}
        return cursor._unpack_response(message, None, DEFAULT_CODEC_OPTIONS, batches)

    theirs = taken(source["some"].find_raw_batches())
    if reply not in OTHERS:
        monkeypatch.delattr(RawBatchCursor, "_unpack_response")
    assert taken(raw_replies(source["some"])) == theirs
