"""Layer 4: the schemas alone on made-up values, and the check on a real server, whole and damaged."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import bson
import polars as pl
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from hypothesis import given
from hypothesis import strategies as st

from migration_assets.conversion.extended_json import relaxed
from migration_assets.conversion.scalars import (
    TIMESTAMP_END,
    TIMESTAMP_MINIMUM,
    iso_8601,
)
from migration_assets.embedded import Urls, fresh_database
from migration_assets.identity import document_uuid
from migration_assets.model import Rule, junction_of, sources
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets.validation import rows
from migration_assets.validation.aspects import is_relaxed_extended_json
from migration_assets.validation.evidence import (
    SAMPLE_SIZE,
    Evidence,
    Layer,
    Severity,
    failure_cases,
)
from migration_assets.validation.schemas import (
    AS_MODELLED,
    CATALOG,
    catalog_frame,
    definition,
    held,
)
from migration_assets.validation.types import check_types
from migration_assets_tests.support.properties import examples

ID = "013a7092-e8d8-7bcf-a1b3-5e650e404400"
OTHER = "013a7092-e8d9-7bcf-a1b3-5e650e404400"
SECRET = "never-shown"

ROWS = f"""
    INSERT INTO "Users" (id, __v, email, created_on) VALUES
        ('{ID}', 0, '', '2024-01-01 00:00:00.123'),
        ('{OTHER}', 2147483647, '{SECRET}', '4713-01-01 BC');
    INSERT INTO "crm_Accounts_Tasks" (id, __v, priority, title, tags, likes, "createdAt") VALUES
        ('{ID}', 0, 'a "quoted", text', E'two\nlines', NULL, -9223372036854775808, '294276-12-31'),
        ('{OTHER}', 0, '', '', '{{"a": [{{"$oid": "507f1f77bcf86cd799439011"}}, null]}}', NULL, NULL);
    INSERT INTO "Boards" (id, __v, description, title, "user", "sharedWith") VALUES
        ('{ID}', 0, '', '', '{ID}', '{{{ID},{OTHER},{ID}}}'),
        ('{OTHER}', 0, '', '', '{OTHER}', '{{}}');
    INSERT INTO "crm_Contacts" (id, __v, last_name, status, tags, notes) VALUES
        ('{ID}', 0, '', true, '{{}}', ARRAY['NULL', 'a,b', '{{}}', E'"\\\\"', '', E'a\nb', 'null', ' ']),
        ('{OTHER}', 0, '', false, '{{a}}', '{{NULLS,xNULL}}');
    INSERT INTO "DocumentsToTasks" VALUES ('{ID}', '{OTHER}');
"""
CHECKED = ("Users", "crm_Accounts_Tasks", "Boards", "crm_Contacts", "DocumentsToTasks")


@pytest.fixture(scope="module")
def whole(servers: Urls) -> Iterator[Connection]:
    with fresh_database(servers) as urls, open_target(urls.postgres_url) as connection:
        create_schema(NEXTCRM, connection)
        connection.execute(ROWS.encode())
        yield connection


@pytest.fixture
def connection(whole: Connection) -> Iterator[Connection]:
    """A target for damage, which is undone afterwards."""
    with whole.transaction(force_rollback=True):
        yield whole


def checked(connection: Connection, table: str) -> Evidence:
    return check_types(None, connection, TABLES[table])


def failed(evidence: Evidence) -> dict[str, int]:
    return {name: count for name, count in evidence.counts.items() if ": " in name}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_as_modelled_is_green(connection: Connection, table: str) -> None:
    evidence = checked(connection, table)
    assert evidence.passed, evidence
    assert evidence.is_sound
    assert (evidence.table, evidence.layer) == (table, Layer.TYPES)
    assert evidence.counts["columns"] == len(TABLES[table].columns)
    assert evidence.failures == 0
    assert not evidence.sample
    assert not evidence.next_step


def test_a_table_is_green_with_its_constraints_too(target: Connection) -> None:
    build_constraints(NEXTCRM, target)
    assert all(checked(target, name).passed for name in TABLES)


@pytest.mark.parametrize("bytes_", [1, 100])
def test_chunks_make_no_difference(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, bytes_: int
) -> None:
    monkeypatch.setattr(rows, "BYTES_PER_CHUNK", bytes_)
    for name in CHECKED:
        evidence = checked(connection, name)
        assert evidence.passed
        assert evidence.counts["rows"] == (1 if junction_of(TABLES[name]) else 2)


@pytest.mark.parametrize("bytes_", [1, 30, 100, 2**20])
def test_a_row_is_one_whatever_is_in_it(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, bytes_: int
) -> None:
    texts = ["\n", "\r\n\n", 'a\n"b"\n', '"', ",\n,", "\\.\n", "", "\n\n" * 40]
    for text in texts:
        connection.execute(
            "INSERT INTO \"Users\" (id, __v, email, name, created_on) VALUES (%s, 0, %s, %s, '2024-01-01')",
            [document_uuid("Users", text), text, text],
        )
    monkeypatch.setattr(rows, "BYTES_PER_CHUNK", bytes_)
    evidence = checked(connection, "Users")
    assert evidence.counts["rows"] == 2 + len(texts)
    assert evidence.passed, failed(evidence)


def test_rows_that_are_read_as_fewer_are_no_verdict(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = pl.read_csv
    monkeypatch.setattr(pl, "read_csv", lambda *args, **options: read(*args, **options)[1:])
    with pytest.raises(ValueError, match="2 rows of Users were read as 1"):
        checked(connection, "Users")


DEFINITIONS: Mapping[str, tuple[str, str, dict[str, int]]] = {
    "another type": (
        "crm_Accounts_Tasks",
        'ALTER TABLE "crm_Accounts_Tasks" ALTER likes TYPE integer USING NULL',
        {"likes: type in the catalog": 1},
    ),
    "another precision": (
        "Users",
        'ALTER TABLE "Users" ALTER created_on TYPE timestamp',
        {"created_on: type in the catalog": 1},
    ),
    "another time": (
        "Users",
        'ALTER TABLE "Users" ALTER created_on TYPE timestamptz(3)',
        {"created_on: type in the catalog": 1, "created_on: time in whole milliseconds": 2},
    ),
    "NULL may be": (
        "Users",
        'ALTER TABLE "Users" ALTER email DROP NOT NULL',
        {"email: not_null in the catalog": 1},
    ),
    "NULL may not be": (
        "Boards",
        'ALTER TABLE "Boards" ALTER "sharedWith" SET NOT NULL',
        {"sharedWith: not_null in the catalog": 1},
    ),
    "no default": (
        "Users",
        'ALTER TABLE "Users" ALTER "userStatus" DROP DEFAULT',
        {"userStatus: default in the catalog": 1},
    ),
    "another default": (
        "Users",
        'ALTER TABLE "Users" ALTER "userStatus" SET DEFAULT \'ACTIVE\'',
        {"userStatus: default in the catalog": 1},
    ),
    "a default": (
        "Users",
        """ALTER TABLE "Users" ALTER email SET DEFAULT 'it''s'""",
        {"email: default in the catalog": 1},
    ),
    "no primary key": (
        "DocumentsToTasks",
        'ALTER TABLE "DocumentsToTasks" DROP CONSTRAINT "DocumentsToTasks_pkey"',
        {"document_id: key in the catalog": 1, "task_id: key in the catalog": 1},
    ),
    "a primary key the other way round": (
        "DocumentsToTasks",
        'ALTER TABLE "DocumentsToTasks" DROP CONSTRAINT "DocumentsToTasks_pkey", '
        "ADD PRIMARY KEY (task_id, document_id)",
        {"document_id: key in the catalog": 1, "task_id: key in the catalog": 1},
    ),
    "another label": (
        "Users",
        """ALTER TYPE "Language" RENAME VALUE 'uk' TO 'ua'""",
        {"userLanguage: labels in the catalog": 1},
    ),
    "a column more": (
        "DocumentsToTasks",
        'ALTER TABLE "DocumentsToTasks" ADD weight integer NOT NULL DEFAULT 1',
        {
            "weight: type in the catalog": 1,
            "weight: not_null in the catalog": 1,
            "weight: default in the catalog": 1,
        },
    ),
    "a column less": (
        "Boards",
        'ALTER TABLE "Boards" DROP "sharedWith"',
        {"sharedWith: type in the catalog": 1, "sharedWith: not_null in the catalog": 1},
    ),
}


@pytest.mark.parametrize("damage", DEFINITIONS)
def test_an_altered_definition_is_found(connection: Connection, damage: str) -> None:
    table, statement, expected = DEFINITIONS[damage]
    connection.execute(statement.encode())
    evidence = checked(connection, table)
    assert failed(evidence) == expected
    assert_red(evidence)


def assert_red(evidence: Evidence) -> None:
    assert not evidence.passed
    assert not evidence.is_sound
    assert evidence.severity is Severity.ERROR
    assert evidence.next_step
    assert evidence.failures == sum(failed(evidence).values())
    assert len(evidence.sample) == min(evidence.failures, SAMPLE_SIZE)
    assert SECRET not in json.dumps(evidence.as_json())


def test_an_altered_definition_is_shown_as_it_is(connection: Connection) -> None:
    connection.execute('ALTER TABLE "Users" ALTER __v TYPE smallint USING 0')
    assert list(checked(connection, "Users").sample) == [
        {
            "column": "__v",
            "check": "type in the catalog",
            "found": "smallint",
            "expected": "integer",
        }
    ]


def test_a_table_that_is_gone_is_found(connection: Connection) -> None:
    connection.execute('DROP TABLE "Boards"')
    evidence = checked(connection, "Boards")
    assert_red(evidence)
    assert evidence.counts["columns"] == 0
    assert {line["found"] for line in evidence.sample} == {None}


UUID_V4 = "0f8fad5b-d9cb-469f-a165-70867728950e"

VALUES: Mapping[str, tuple[str, str, dict[str, int]]] = {
    "a uuid of version 4": (
        "Boards",
        f"""UPDATE "Boards" SET "user" = '{UUID_V4}' WHERE id = '{ID}'""",
        {"user: uuid of version 5 or 7": 1},
    ),
    "a pair of another version": (
        "DocumentsToTasks",
        f"""UPDATE "DocumentsToTasks" SET task_id = '{UUID_V4}'""",
        {"task_id: uuid of version 5 or 7": 1},
    ),
    "an element of version 4": (
        "Boards",
        f"""UPDATE "Boards" SET "sharedWith" = '{{{ID},{UUID_V4}}}' WHERE id = '{ID}'""",
        {"sharedWith: uuids of version 5 or 7": 1},
    ),
    "NULL": (
        "Users",
        f"""ALTER TABLE "Users" ALTER email DROP NOT NULL;
        UPDATE "Users" SET email = NULL WHERE id = '{ID}'""",
        {"email: not_null in the catalog": 1, "email: not NULL": 1},
    ),
    "out of range": (
        "Users",
        f"""ALTER TABLE "Users" ALTER __v TYPE bigint;
        UPDATE "Users" SET __v = 2147483648 WHERE id = '{ID}'""",
        {"__v: type in the catalog": 1, "__v: integer of 32 bits": 1},
    ),
    "out of range of 64 bits": (
        "crm_Accounts_Tasks",
        f"""ALTER TABLE "crm_Accounts_Tasks" ALTER likes TYPE numeric;
        UPDATE "crm_Accounts_Tasks" SET likes = 9223372036854775808 WHERE id = '{ID}'""",
        {"likes: type in the catalog": 1, "likes: integer of 64 bits": 1},
    ),
    "a fraction": (
        "crm_Accounts_Tasks",
        f"""ALTER TABLE "crm_Accounts_Tasks" ALTER likes TYPE numeric;
        UPDATE "crm_Accounts_Tasks" SET likes = 1.5 WHERE id = '{ID}'""",
        {"likes: type in the catalog": 1, "likes: integer of 64 bits": 1},
    ),
    "microseconds": (
        "Users",
        f"""ALTER TABLE "Users" ALTER created_on TYPE timestamp(6);
        UPDATE "Users" SET created_on = '2024-01-01 00:00:00.123456' WHERE id = '{ID}'""",
        {"created_on: type in the catalog": 1, "created_on: time in whole milliseconds": 1},
    ),
    "an endless time": (
        "Users",
        f"""UPDATE "Users" SET created_on = '-infinity' WHERE id = '{ID}'""",
        {"created_on: time in whole milliseconds": 1},
    ),
    "no label": (
        "Users",
        f"""ALTER TABLE "Users" ALTER "userStatus" DROP DEFAULT;
        ALTER TABLE "Users" ALTER "userStatus" TYPE text;
        UPDATE "Users" SET "userStatus" = '{SECRET}' WHERE id = '{ID}'""",
        {
            "userStatus: type in the catalog": 1,
            "userStatus: default in the catalog": 1,
            "userStatus: labels in the catalog": 1,
            "userStatus: label of the enum": 1,
        },
    ),
    "no boolean": (
        "crm_Contacts",
        """ALTER TABLE "crm_Contacts" ALTER status DROP DEFAULT;
        ALTER TABLE "crm_Contacts" ALTER status TYPE text""",
        {
            "status: type in the catalog": 1,
            "status: default in the catalog": 1,
            "status: boolean": 2,
        },
    ),
    "JSON null": (
        "crm_Accounts_Tasks",
        f"""UPDATE "crm_Accounts_Tasks" SET tags = 'null' WHERE id = '{ID}'""",
        {"tags: relaxed Extended JSON, not null": 1},
    ),
    "a number that is none": (
        "crm_Accounts_Tasks",
        f"""UPDATE "crm_Accounts_Tasks" SET tags = '[0.10000000000000000001]' WHERE id = '{ID}'""",
        {"tags: relaxed Extended JSON, not null": 1},
    ),
    "a NULL array": (
        "Boards",
        """UPDATE "Boards" SET "sharedWith" = NULL""",
        {"sharedWith: not NULL": 2},
    ),
    "a NULL in text[]": (
        "crm_Contacts",
        """UPDATE "crm_Contacts" SET notes = notes || NULL::text, tags = '{NULL}'""",
        {"notes: no NULL element": 2, "tags: no NULL element": 2},
    ),
    "a NULL in uuid[]": (
        "Boards",
        """UPDATE "Boards" SET "sharedWith" = NULL::uuid || "sharedWith" """,
        {"sharedWith: no NULL element": 2, "sharedWith: uuids of version 5 or 7": 2},
    ),
    "text[] of two dimensions": (
        "crm_Contacts",
        f"""UPDATE "crm_Contacts" SET tags = '{{{{a}},{{b}}}}' WHERE id = '{ID}'""",
        {"tags: array of one dimension": 1},
    ),
    "uuid[] of two dimensions": (
        "Boards",
        f"""UPDATE "Boards" SET "sharedWith" = ARRAY[["sharedWith"[1]]] WHERE id = '{ID}'""",
        {"sharedWith: array of one dimension": 1},
    ),
    "text[] that begins at 0": (
        "crm_Contacts",
        f"""UPDATE "crm_Contacts" SET tags[0] = 'a' WHERE id = '{OTHER}'""",
        {"tags: array of one dimension": 1},
    ),
}


@pytest.mark.parametrize("damage", VALUES)
def test_a_value_of_another_type_is_found(connection: Connection, damage: str) -> None:
    table, statements, expected = VALUES[damage]
    for statement in statements.split(";"):
        connection.execute(statement.encode())
    evidence = checked(connection, table)
    assert failed(evidence) == expected
    assert_red(evidence)


def test_a_failing_row_is_named_by_its_key(connection: Connection) -> None:
    connection.execute("UPDATE \"Users\" SET created_on = 'infinity' WHERE id = %s", [OTHER])
    connection.execute('UPDATE "DocumentsToTasks" SET task_id = %s', [UUID_V4])
    words = "time in whole milliseconds"
    assert list(checked(connection, "Users").sample) == [
        {"id": OTHER, "column": "created_on", "check": words}
    ]
    (line,) = checked(connection, "DocumentsToTasks").sample
    assert line["id"] == f"{ID} {UUID_V4}"


def test_the_total_is_of_all_and_the_sample_is_bounded(connection: Connection) -> None:
    connection.execute(
        'INSERT INTO "Boards" (id, __v, description, title, "user") '
        "SELECT gen_random_uuid(), 0, '', '', gen_random_uuid() FROM generate_series(1, 50)"
    )
    evidence = checked(connection, "Boards")
    assert failed(evidence) == {
        "id: uuid of version 5 or 7": 50,
        "sharedWith: not NULL": 50,
        "user: uuid of version 5 or 7": 50,
    }
    assert_red(evidence)


def test_dates_are_read_whatever_the_server_writes(connection: Connection) -> None:
    connection.execute("SET LOCAL datestyle = 'German'")
    assert checked(connection, "Users").passed


@pytest.mark.parametrize("table", TABLES)
def test_every_column_has_a_condition(table: str) -> None:
    of_columns = [column for column, _ in held(TABLES[table])]
    assert [*dict.fromkeys(of_columns)] == [column.name for column in TABLES[table].columns]
    for column in TABLES[table].primary_key:
        assert (column.name, "not NULL") in held(TABLES[table])


def test_the_model_agrees_with_itself() -> None:
    for table in TABLES.values():
        frame = catalog_frame(table, map(definition, table.columns))
        assert failure_cases(CATALOG, frame).is_empty()


@cache
def column_of(rule: Rule) -> tuple[str, Mapping[tuple[str, str], pl.Expr]]:
    """The first column of the model with this rule, and the conditions on it."""
    table, name = next(
        (table, name)
        for table in ENTITIES.values()
        for name, source in sources(table).items()
        if source.rule is rule
    )
    return name, held(table, [name])


def holds(rule: Rule, text: str | None) -> bool:
    """Whether a value passes."""
    name, expectations = column_of(rule)
    frame = pl.DataFrame({name: [text]}, schema={name: pl.String})
    results = frame.select(
        expectation.alias(words) for (_, words), expectation in expectations.items()
    )
    return failure_cases(AS_MODELLED, results).is_empty()


def array_literal(elements: list[Any]) -> str:
    """An array as PostgreSQL writes it, with every element that is not NULL in quotes."""
    literals = []
    for element in elements:
        if isinstance(element, list):
            literals.append(array_literal(element))
        elif element is None:
            literals.append("NULL")
        else:
            escaped = element.replace("\\", "\\\\").replace('"', '\\"')
            literals.append(f'"{escaped}"')
    return "{" + ",".join(literals) + "}"


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
HARD_TEXTS = st.text(st.sampled_from('{}",\\ \nNUL'))
QUICK = examples(30)


def test_null_fails_only_where_a_value_is_required() -> None:
    assert not holds(Rule.KEY, None)
    assert not holds(Rule.REFERENCE_ARRAY, None)
    assert holds(Rule.JSON, None)


@QUICK
@given(st.integers(-(2**65), 2**65))
def test_integers_have_their_range(number: int) -> None:
    assert holds(Rule.INTEGER, str(number)) is (-(2**31) <= number < 2**31)
    assert holds(Rule.BIGINT, str(number)) is (-(2**63) <= number < 2**63)


@pytest.mark.parametrize("edge", [2**31, 2**63])
def test_integers_end_where_their_bits_do(edge: int) -> None:
    rule = Rule.INTEGER if edge == 2**31 else Rule.BIGINT
    assert [holds(rule, str(number)) for number in (-edge - 1, -edge, edge - 1, edge)] == [
        False,
        True,
        True,
        False,
    ]
    assert not any(holds(rule, text) for text in ("", "1.0", "1e3", "NaN", "one"))


def timestamp_literal(milliseconds: int) -> str:
    """A time as PostgreSQL writes it, with its three digits, and years before 1 as BC."""
    year, rest = re.fullmatch(r"([+-]?\d+)(-\d\d-\d\dT.*)Z", iso_8601(milliseconds)).groups()  # type: ignore[union-attr]
    era, number = ("", int(year)) if int(year) > 0 else (" BC", 1 - int(year))
    return f"{number:04}{rest.replace('T', ' ')}{era}"


@QUICK
@given(st.integers(TIMESTAMP_MINIMUM, TIMESTAMP_END - 1), st.integers(1, 999))
def test_times_are_of_whole_milliseconds(milliseconds: int, micros: int) -> None:
    literal = timestamp_literal(milliseconds)
    time, _, era = literal.partition(" BC")
    assert holds(Rule.TIMESTAMP, literal)
    assert not holds(
        Rule.TIMESTAMP, f"{time}{micros:03}{' BC' if literal.endswith(' BC') else era}"
    )


@QUICK
@given(st.uuids(version=4), st.binary(min_size=12, max_size=12), TEXTS)
def test_uuids_are_those_of_documents(other: uuid.UUID, object_id: bytes, text: str) -> None:
    ours = [document_uuid("Users", ObjectId(object_id)), document_uuid("Users", text)]
    for rule in (Rule.KEY, Rule.REFERENCE):
        assert all(holds(rule, str(document_id)) for document_id in ours)
        assert not holds(rule, str(other))
        assert not holds(rule, ours[0].hex)
    assert holds(Rule.REFERENCE_ARRAY, "{" + ",".join(map(str, ours)) + "}")
    assert not holds(Rule.REFERENCE_ARRAY, "{" + f"{ours[0]},{other}" + "}")
    assert not holds(Rule.REFERENCE_ARRAY, "{" + "{" + str(ours[0]) + "}}")


@QUICK
@given(st.lists(TEXTS | HARD_TEXTS))
def test_arrays_of_text_have_one_dimension_and_no_null(elements: list[str]) -> None:
    for rule in (Rule.TEXT_ARRAY, Rule.REFERENCE_TEXT_ARRAY):
        assert holds(rule, array_literal(elements))
        assert not holds(rule, array_literal([*elements, None]))
        assert not holds(rule, array_literal([None, *elements]))
        assert not holds(rule, array_literal([["a"], elements]))
        assert not holds(rule, f"[0:{len(elements)}]={array_literal(elements)}")


def test_what_no_text_column_can_hold_is_not_held() -> None:
    assert holds(Rule.TEXT, "a")
    assert not holds(Rule.TEXT, "a\0")
    assert holds(Rule.BOOLEAN, "t")
    assert not holds(Rule.BOOLEAN, "true")
    assert not holds(Rule.ENUM, "other")


BSON_SCALARS = st.one_of(
    TEXTS,
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1).map(Int64),
    st.floats(),
    st.integers(-(2**63), 2**63 - 1).map(bson.DatetimeMS),
    st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.binary(max_size=9).map(Binary),
    st.integers(-(10**33), 10**33).map(lambda number: Decimal128(str(number))),
    st.sampled_from(
        [
            Binary(bytes(16), 4),
            Decimal128("1E+6144"),
            Decimal128("0.10"),
            Decimal128("-Infinity"),
            Decimal128("NaN"),
            bson.MaxKey(),
            bson.MinKey(),
            bson.Timestamp(2**32 - 1, 0),
            bson.Regex("a.b", "im"),
            bson.Code("f()"),
            bson.Code("f()", {"a": ObjectId()}),
            bson.DBRef("Users", ObjectId()),
        ]
    ),
)
BSON_VALUES = st.recursive(
    BSON_SCALARS | st.none(),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "$set", "$1"]), values, max_size=3)
    ),
    max_leaves=6,
).filter(lambda value: value is not None)


@examples(60)
@given(BSON_VALUES)
def test_what_the_conversion_makes_is_relaxed_extended_json(value: Any) -> None:
    text = relaxed(value)
    assert is_relaxed_extended_json(text)
    assert holds(Rule.JSON, text)
    assert holds(Rule.JSON, json.dumps(json.loads(text), ensure_ascii=False))


def test_numbers_are_those_of_a_double_or_an_integer() -> None:
    numbers = ["1", "1.50", "0.1", "0.30000000000000004", "1" + 22 * "0", "9223372036854775807"]
    assert all(holds(Rule.JSON, text) for text in (*numbers, f"[-{', -'.join(numbers)}]"))
    made_up = [
        "0.30000000000000003",
        "9223372036854775809",
        "1" + 400 * "0",
        "[1234567890.12345678]",
    ]
    assert not any(holds(Rule.JSON, text) for text in made_up)


@pytest.mark.parametrize(
    "text",
    [
        '{"$oid": 0.30000000000000003}',
        '[{"a": {"$timestamp": {"t": 9223372036854775809, "i": 1}}}]',
        "null",
        "NaN",
        "{",
        "[" * 100_000,
        "",
    ],
)
def test_what_is_not_well_formed_is_found(text: str) -> None:
    assert not is_relaxed_extended_json(text)


@pytest.mark.parametrize(
    "value",
    [
        {"$oid": "x"},
        {"$oid": "507f1f77bcf86cd799439011", "a": 1},
        {"$date": 5},
        {"$numberDouble": "1.5"},
        {"$binary": ""},
        {"$timestamp": {"t": 1.5, "i": -1}},
        [{"a": {"$code": 1}}],
    ],
)
def test_an_object_of_a_user_may_look_like_a_wrapper(value: Any) -> None:
    assert holds(Rule.JSON, json.dumps(value))
    assert holds(Rule.JSON, relaxed(value))


def test_a_text_that_looks_like_a_wrapper_is_a_text() -> None:
    quoted = json.dumps([json.dumps({"$oid": "none"}), "$oid", '"$', {"a": '{"$date": 1}'}])
    assert is_relaxed_extended_json(quoted)
    assert holds(Rule.JSON, quoted)
