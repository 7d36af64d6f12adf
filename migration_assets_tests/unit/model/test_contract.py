"""The model says exactly what the contract says (section 3 of the design)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model import (
    Junction,
    Missing,
    Rule,
    Side,
    Source,
    fields,
    group_of,
    junction_of,
    referenced_tables,
    sources,
    unique_columns,
)
from migration_assets.model.columns import (
    key,
    reference,
    reference_array,
    reference_text,
    reference_text_array,
)
from migration_assets.nextcrm import ENTITIES, ENUMS, JUNCTIONS, TABLES
from migration_assets_tests.support import CONTRACT


def contract(name: str) -> Any:
    return yaml.load((CONTRACT / f"{name}.yaml").read_text(), Loader=yaml.CSafeLoader)


SOURCE = contract("source")
TARGET = contract("target")
RELATIONS = contract("junctions")["junctions"]
COLLECTIONS: dict[str, dict[str, Any]] = SOURCE["collections"]

SCALAR_RULES = {
    ("string", "text"): Rule.TEXT,
    ("int", "integer"): Rule.INTEGER,
    ("int", "bigint"): Rule.BIGINT,
    ("bool", "boolean"): Rule.BOOLEAN,
    ("date", "timestamp(3)"): Rule.TIMESTAMP,
    ("any", "jsonb"): Rule.JSON,
}
REFERENCE_RULES = {
    ("objectId", "uuid"): Rule.REFERENCE,
    ("objectId", "uuid[]"): Rule.REFERENCE_ARRAY,
    ("string", "text"): Rule.REFERENCE_TEXT,
    ("string", "text[]"): Rule.REFERENCE_TEXT_ARRAY,
}
TIMES = {"createdAt", "created_on", "date_created", "last_updated"}
"""Creation and modification times that are NOT NULL somewhere."""

FOREIGN_KEYS = {
    (table, key["column"]): key
    for table, spec in TARGET["tables"].items()
    for key in spec.get("foreign_keys", [])
}


def expected_rule(name: str, field: dict[str, Any], column: dict[str, Any]) -> Rule:
    if name == "_id":
        return Rule.KEY
    if "enum" in field:
        assert (field["bson"], column["type"]) == ("string", field["enum"])
        return Rule.ENUM
    types = (field["bson"], column["type"])
    if "references" in field:
        return REFERENCE_RULES[types]
    if field.get("array"):
        assert types == ("string", "text[]")
        return Rule.TEXT_ARRAY
    return SCALAR_RULES[types]


def expected_default(name: str, field: dict[str, Any], column: dict[str, Any]) -> Any:
    default = column.get("default")
    if name == "__v" and field.get("required"):
        return 0
    if default is None or default == "CURRENT_TIMESTAMP":
        return None
    if column["type"] == "boolean":
        return {"true": True, "false": False}[default]
    return int(default) if column["type"] in ("integer", "bigint") else default


def expected_missing(name: str, field: dict[str, Any], column: dict[str, Any]) -> Missing:
    if field.get("array"):
        return Missing.EMPTY_ARRAY
    if not field.get("required"):
        return Missing.NULL
    if name in TIMES:
        return Missing.OBJECT_ID_TIME
    has_default = expected_default(name, field, column) is not None
    return Missing.DEFAULT if has_default else Missing.REJECT


def expected_source(collection: str, name: str) -> Source:
    field = COLLECTIONS[collection][name]
    column = TARGET["tables"][collection]["columns"][field["column"]]
    return Source(
        field=name,
        rule=expected_rule(name, field, column),
        references=field.get("references"),
        missing=expected_missing(name, field, column),
        default=expected_default(name, field, column),
        labels=tuple(SOURCE["enums"][field["enum"]]) if "enum" in field else (),
        secret=field.get("secret", False),
    )


def type_of(column: sa.Column[Any]) -> str:
    if isinstance(column.type, pg.ENUM):
        return str(column.type.name)
    compiled = str(column.type.compile(dialect=pg.dialect())).lower()  # type: ignore[no-untyped-call]
    return compiled.removesuffix(" without time zone")


def default_of(column: sa.Column[Any]) -> str | None:
    if column.server_default is None:
        return None
    assert isinstance(column.server_default, sa.DefaultClause)
    return str(column.server_default.arg)


def test_counts() -> None:
    tables = TABLES.values()
    assert (len(ENTITIES), len(JUNCTIONS), len(TABLES), len(ENUMS)) == (29, 10, 39, 10)
    assert sum(len(table.foreign_key_constraints) for table in tables) == 52
    assert sum(len(table.indexes) for table in tables) == 121
    bigints = [c for t in tables for c in t.columns if isinstance(c.type, sa.BigInteger)]
    assert len(bigints) == 12


def test_names_of_tables() -> None:
    assert set(ENTITIES) == set(COLLECTIONS)
    assert set(JUNCTIONS) == set(RELATIONS)
    assert set(TABLES) == set(TARGET["tables"])


def test_enums() -> None:
    expected = {name: tuple(labels) for name, labels in TARGET["enums"].items()}
    assert {str(enum.name): tuple(enum.enums) for enum in ENUMS} == expected
    assert {name: tuple(labels) for name, labels in SOURCE["enums"].items()} == expected


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_fields(collection: str) -> None:
    specs = COLLECTIONS[collection]
    expected = {
        spec["column"]: expected_source(collection, name)
        for name, spec in specs.items()
        if "column" in spec
    }
    assert dict(sources(ENTITIES[collection])) == expected
    assert fields(ENTITIES[collection]) == set(specs)
    required = {spec["column"] for spec in specs.values() if spec.get("required")}
    assert {c.name for c in ENTITIES[collection].columns if not c.nullable} == required


@pytest.mark.parametrize("name", TARGET["tables"])
def test_columns(name: str) -> None:
    spec, table = TARGET["tables"][name], TABLES[name]
    expected = [
        (
            column,
            column_spec["type"],
            column_spec.get("not_null", False),
            column_spec.get("default"),
        )
        for column, column_spec in spec["columns"].items()
    ]
    actual = [(c.name, type_of(c), not c.nullable, default_of(c)) for c in table.columns]
    assert actual == expected
    assert [column.name for column in table.primary_key] == spec["primary_key"]["columns"]
    assert set(unique_columns(table)) == {
        column
        for index in spec.get("indexes", [])
        if index.get("unique")
        for column in index["columns"]
    }


def test_foreign_keys() -> None:
    actual = {
        (table.name, element.parent.name): (
            element.target_fullname,
            element.onupdate,
            element.ondelete,
        )
        for table in TABLES.values()
        for key in table.foreign_key_constraints
        for element in key.elements
    }
    assert actual == {
        place: (key["references"], key["on_update"], key["on_delete"])
        for place, key in FOREIGN_KEYS.items()
    }


def test_every_foreign_key_has_an_index() -> None:
    """PostgreSQL makes none by itself: without one each delete reads the whole table."""
    for table in TABLES.values():
        leading = {next(iter(index.columns)).name for index in table.indexes}
        leading.add(next(iter(table.primary_key)).name)
        assert {
            column for key in table.foreign_key_constraints for column in key.column_keys
        } <= leading, table.name


def test_declared_references_are_foreign_keys() -> None:
    declared = {
        (collection, spec["column"]): spec["references"]
        for collection, specs in COLLECTIONS.items()
        for spec in specs.values()
        if "references" in spec and spec.get("declared", True)
    }
    # The application reads it as a relation without declaring it; the target has the foreign key.
    declared["Sections", "board"] = "Boards"
    assert declared == {
        (table.name, key.column_keys[0]): key.referred_table.name
        for table in ENTITIES.values()
        for key in table.foreign_key_constraints
    }


def test_junctions() -> None:
    def side(side_spec: dict[str, str], arrays: list[str]) -> Side:
        own = [array.partition(".") for array in arrays]
        fields = [field for collection, _, field in own if collection == side_spec["collection"]]
        assert len(fields) <= 1
        return Side(side_spec["column"], side_spec["collection"], fields[0] if fields else None)

    expected = {
        name: Junction(
            side(relation["left"], relation["arrays"]), side(relation["right"], relation["arrays"])
        )
        for name, relation in RELATIONS.items()
    }
    assert {name: junction_of(table) for name, table in JUNCTIONS.items()} == expected
    assert sum(len(relation["arrays"]) for relation in RELATIONS.values()) == 19


def test_every_array_of_a_relation_belongs_to_its_junction() -> None:
    expected = {
        (collection, field): spec["junction"]
        for collection, specs in COLLECTIONS.items()
        for field, spec in specs.items()
        if "junction" in spec
    }
    actual = {}
    for name, table in JUNCTIONS.items():
        relation = junction_of(table)
        assert relation is not None
        for holder, array, other in relation.arrays():
            assert {holder, other} == {relation.left, relation.right}
            actual[holder.collection, array] = name
    assert actual == expected


def test_secrets() -> None:
    assert {
        (name, source.field)
        for name, table in ENTITIES.items()
        for source in sources(table).values()
        if source.secret
    } == {
        ("Users", "password"),
        ("openAi_keys", "api_key"),
        ("secondBrain_notions", "notion_api_key"),
        ("systemServices", "serviceKey"),
        ("systemServices", "servicePassword"),
    }


def test_load_order() -> None:
    position = {name: place for place, name in enumerate(TABLES)}
    pairs = [
        (name, side["collection"])
        for name, relation in RELATIONS.items()
        for side in (relation["left"], relation["right"])
    ]
    uuids = [
        (collection, spec["references"])
        for collection, specs in COLLECTIONS.items()
        for spec in specs.values()
        if "references" in spec and spec["bson"] == "objectId"
    ]
    assert len(uuids) > len(FOREIGN_KEYS) - len(pairs)
    for table, referenced in pairs + uuids:
        assert position[referenced] < position[table], f"{table} before {referenced}"
        assert referenced in referenced_tables(TABLES[table])


def test_uuid_columns_alone_decide_the_order() -> None:
    table = sa.Table(
        "own",
        sa.MetaData(),
        key(),
        reference("one", "Users", foreign_key=False),
        reference_array("many", "Boards"),
        reference_text("text", "Tasks"),
        reference_text_array("texts", "Documents"),
    )
    assert referenced_tables(table) == ("Users", "Boards")


def test_groups() -> None:
    groups = {group_of(table) for table in ENTITIES.values()}
    assert groups == {"crm", "projects", "documents", "system"}
    assert {group_of(table) for table in JUNCTIONS.values()} == {"junctions"}


def test_imports_neither_dagster_nor_a_driver() -> None:
    script = "import sys, migration_assets.nextcrm as m; print(len(m.TABLES), *sys.modules)"
    completed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    count, *modules = completed.stdout.split()
    assert count == "39"
    packages = {module.partition(".")[0] for module in modules}
    assert not packages & {"dagster", "psycopg", "psycopg2", "pymongo", "bson", "polars", "pandera"}
