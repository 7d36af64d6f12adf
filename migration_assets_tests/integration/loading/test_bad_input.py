"""Bad input from MongoDB to PostgreSQL: every BSON type, and what is awkward of it, in every sort of column.

The property tests hold the loader equal to the judge on what they draw; here both servers are in between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import bson
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from psycopg import sql
from pymongo import MongoClient

from migration_assets.assets.tables import BLOCKING
from migration_assets.embedded import Urls, fresh_database
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.model import Missing, Rule, sources
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.source.connection import CODEC, SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.evidence import Severity
from migration_assets_tests.support.loaded_sample import all_checks, load_everything

_INT32 = (1).to_bytes(4, "little")
_TWICE = b"\x13\0\0\0\x10a\0" + _INT32 + b"\x10a\0" + _INT32 + b"\0"
RAW: dict[str, tuple[int, bytes]] = {
    "undefined": (0x06, b""),
    "symbol": (0x0E, b"\x02\0\0\0x\0"),
    "DBPointer": (0x0C, b"\x02\0\0\0c\0" + bytes(12)),
    "lone surrogate": (0x02, b"\x04\0\0\0\xed\xa0\x80\0"),
    "Latin-1": (0x02, b"\x02\0\0\0\xe9\0"),
    "a name twice": (0x03, _TWICE),
    "names of its own in an array": (0x04, bson.encode({"x": "a", "": "b"})),
    "an option of a regular expression": (0x0B, b"a\0g\0"),
}
"""Values that the driver does not write: BSON type and bytes."""

TEXTS = [
    "",
    " \t\r\n\v\f",
    "\"quoted\" 'quoted' \\ \\\\ \\N \\. \\x00",
    "\\N",
    "\\.",
    "NULL",
    "{a,b}",
    '{"a": [NULL, "b"]}',
    "),('x'); --",
    "\u2028\u0085\ufeff\ufffd\x01\x7f",
    "\U0001f469\u200d\U0001f4bb e\u0301",
    "x" * 200_000,
]
"""Texts that must arrive as they are."""


def deep(levels: int) -> Any:
    """Returns nested documents and arrays."""
    value: Any = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


VALUES: list[Any] = [
    *TEXTS,
    "a\x00b\x00",
    *(
        None,
        True,
        False,
        0,
        1,
        -7,
        2**31 - 1,
        Int64(2**31),
        Int64(2**63 - 1),
        Int64(-(2**63)),
        Int64(5),
    ),
    *(1.0, 1.5, -0.0, 1e22, 1e308, 5e-324, 0.1 + 0.2, float("nan"), float("inf"), float("-inf")),
    *map(Decimal128, ("1.10", "1.1", "-0", "7", "NaN", "-Infinity", "1E+6111")),
    *map(
        Decimal128, ("1234567890123456789012345678901234", "0.1234567890123456789012345678901234")
    ),
    *map(DatetimeMS, (0, 1, -1, -62_167_219_200_000, -62_135_596_800_000, 253_402_300_799_999)),
    *map(DatetimeMS, (316_516_723_200_000, -210_866_803_200_000, -210_866_803_200_001)),
    *map(DatetimeMS, (9_224_318_015_999_999, 9_224_318_016_000_000, 2**63 - 1, -(2**63))),
    *(
        "1970-01-01",
        "0000-02-29T00:00:00Z",
        "+012000-01-01T00:00:00+02:00",
        "2024-01-01T00:00:00+02:",
    ),
    *("true", "ACTIVE", "active", "-07", "0" * 50 + "7", "9" * 50, "1.5"),
    *(ObjectId(), str(ObjectId()), Binary(b"\x00\xff"), Binary(bytes(16), 4), Binary(b"", 128)),
    *(Regex("a\\b", re.I), Code("f()"), Code("f()", {"x": -0.0}), Timestamp(2**32 - 1, 0)),
    *(MinKey(), MaxKey(), DBRef("Users", ObjectId(), "other", more=1)),
    *(
        {},
        {"": 1, "a.b": {"$set": 2}, "$oid": "x", "k" * 200: 3},
        {"$date": 5},
        {"a": "x\x00", "n": None},
    ),
    *(
        [],
        [None],
        [[], [[1]]],
        ["a", "a", None, 5, {}, "\x00", ["b"], ""],
        [-0.0, float("nan")],
        TEXTS,
    ),
    deep(100),
]
FIELDS = {
    (source.rule, source.missing): (name, source.field)
    for name, table in ENTITIES.items()
    for source in sources(table).values()
    if source.rule is not Rule.KEY
}
"""A collection and a field for each rule and each policy on missing values."""
RELATION = ("Documents", "tasksIDs")
MANY = 2**16 + 1
"""More than a length of two bytes counts, and than a statement of PostgreSQL takes as parameters."""


def written(document: dict[str, Any], name: str, kind: int, value: bytes) -> RawBSONDocument:
    """Returns a document with a value, given as its bytes, in its last field."""
    other_fields = bson.encode(
        {key: field_value for key, field_value in document.items() if key != name}
    )
    body = other_fields[4:-1] + bytes([kind]) + name.encode() + b"\0" + value + b"\0"
    return RawBSONDocument((len(body) + 4).to_bytes(4, "little") + body)


def faulty(base: dict[str, Any], name: str) -> Iterator[Any]:
    """Yields copies of a document, each with another value of a field."""
    for value in VALUES:
        yield base | {"_id": ObjectId(), name: value}
    for kind, data in RAW.values():
        yield written(base | {"_id": ObjectId()}, name, kind, data)


def test_bad_input_is_a_row_or_on_record(servers: Urls) -> None:
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
            database = client.get_default_database(codec_options=CODEC)
            generate(database, scale=0.01)
            for collection, name in (*FIELDS.values(), RELATION):
                base = database[collection].find_one() or {}
                database[collection].insert_many(faulty(base, name))
            (user, task, board, document) = (
                database[name].find_one() or {}
                for name in ("Users", "Tasks", "Boards", "Documents")
            )
            texts = [f"text {number}" for number in range(MANY)]
            many: dict[str, dict[str, Any]] = {
                "Boards": board | {"sharedWith": [user["_id"]] * MANY},
                "Documents": document
                | {"tasksIDs": [task["_id"]] * MANY}
                | {"connected_documents": [str(document["_id"])] * MANY},
                "crm_Contacts": (database["crm_Contacts"].find_one() or {}) | {"notes": texts},
                "Tasks": task | {"tags": texts, "unknown": texts},
            }
            for collection, large_document in many.items():
                large_document["_id"] = ObjectId()
                database[collection].insert_one(large_document)
            database["Tasks"].insert_one(task | {"_id": ObjectId(), "title": "x" * 15_000_000})
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as target:
            load_everything(source, target)
            for name in sorted(
                {collection for collection, _ in FIELDS.values()} | {"DocumentsToTasks"}
            ):
                for evidence in all_checks(source, target, name):
                    layer = evidence.layer
                    assert evidence.is_sound, (name, layer, evidence.summary, evidence.sample[:3])
                    if layer in BLOCKING:
                        assert evidence.passed or evidence.severity is Severity.WARN, (
                            name,
                            layer,
                            evidence.summary,
                            evidence.sample[:3],
                        )
            assert_arrived(target)


def assert_arrived(target: Connection) -> None:
    """Asserts without a judge that texts are unchanged and large values are whole."""
    ((collection, name),) = (
        where
        for (rule, missing), where in FIELDS.items()
        if (rule, missing) == (Rule.TEXT, Missing.NULL)
    )
    column = sql.Identifier(name)
    query = sql.SQL("SELECT {} FROM {} WHERE {} = ANY(%s)").format(
        column, sql.Identifier(collection), column
    )
    assert {text for (text,) in target.execute(query, [TEXTS])} == set(TEXTS)
    largest = {
        "max(length(title))": ("Tasks", 15_000_000),
        "max(jsonb_array_length(tags)) FILTER (WHERE jsonb_typeof(tags) = 'array')": (
            "Tasks",
            MANY,
        ),
        'max(cardinality("sharedWith"))': ("Boards", MANY),
        "max(cardinality(connected_documents))": ("Documents", MANY),
        "max(cardinality(notes))": ("crm_Contacts", MANY),
    }
    for expression, (table, expected) in largest.items():
        row = target.execute(f'SELECT {expression} FROM "{table}"').fetchone()
        assert row == (expected,), expression


LONG = "".join(chr(33 + number * 7919 % 90) for number in range(9_000))
"""Longer than the entry of an index may be, even compressed."""
AMONG_OBJECT_IDS = "early 258"
"""Its UUID sorts before that of the last ObjectId, which stands in the same batch."""
AWKWARD_IDS: list[Any] = ["", " ", LONG, {"a": LONG}, Binary(LONG.encode()), None, True, 7, "7"]
AWKWARD_IDS += [AMONG_OBJECT_IDS, ObjectId("f" * 24)]


def test_awkward_ids_are_referred_to_and_an_empty_text_refers_to_nothing(
    source: SourceDatabase, target: Connection
) -> None:
    """Loader and checks agree: once the check of references called an empty text lost for good."""
    user = {"account_name": "a", "is_account_admin": False, "is_admin": False, "name": "n"}
    user |= {"userStatus": "ACTIVE", "created_on": DatetimeMS(0)}
    users = [
        {"_id": identifier, "email": str(n), **user} for n, identifier in enumerate(AWKWARD_IDS)
    ]
    source["Users"].insert_many(users)
    account = {"v": 0, "name": "n", "status": "Active"}
    source["crm_Accounts"].insert_many(
        {"_id": ObjectId(), **account, "assigned_to": identifier, "watchers": [identifier]}
        for identifier in AWKWARD_IDS
    )
    todo = {"description": "d", "title": "t", "url": "u"}
    source["TodoList"].insert_many(
        {"_id": ObjectId(), **todo, "user": user_id} for user_id in ("", LONG, "7")
    )
    tables = [TABLES[name] for name in ("Users", "crm_Accounts", "TodoList", "AccountWatchers")]
    load_identities(NEXTCRM, source, target)
    for table in tables:
        load_table(source, target, table)
    for table in tables:
        for evidence in all_checks(source, target, table.name):
            is_fine = evidence.is_sound  # what is on record is no surprise
            assert is_fine, (table.name, evidence.layer, evidence.summary)
    query = sql.SQL("SELECT count(*) FROM {}")
    counts = [target.execute(query.format(sql.Identifier(t.name))).fetchone() for t in tables]
    referred = len(AWKWARD_IDS) - 2  # neither null nor an empty text
    assert counts == [(len(users),), (len(AWKWARD_IDS),), (3,), (referred,)]
    assigned = target.execute('SELECT count(assigned_to) FROM "crm_Accounts"').fetchone()
    assert assigned == (referred,)
