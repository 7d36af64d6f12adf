"""Recipes of ``docs/how-to-change.md``, done for real: a table by one declaration, a rule by two records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import psycopg
import pytest
from bson import ObjectId
from pymongo import MongoClient

from migration_assets.assets.keys import table_key
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.embedded import Urls, fresh_database
from migration_assets.model import Model, new_metadata
from migration_assets.model.columns import key, text
from migration_assets.model.rules import declared_at
from migration_assets.model.tables import entity
from migration_assets.target.ddl import tables
from migration_assets.validation.evidence import Layer
from migration_assets_tests.integration.migration.test_migrate import QUIET, checks, red
from migration_assets_tests.support.country import COUNTRY, country

METADATA = new_metadata()

entity(
    "suppliers",
    METADATA,
    "shop",
    key(),
    text("name", required=True),
    country("home"),
    country("seat"),
)

MODEL = Model("Recipes", METADATA, path="migration_assets_tests.docs.test_recipes:MODEL")

DOCUMENTS = [
    {"_id": ObjectId(f"{1:024x}"), "name": "Alp", "home": "AT", "seat": "CH"},
    {"_id": ObjectId(f"{2:024x}"), "name": "Bär", "home": "de", "seat": None},
    {"_id": ObjectId(f"{3:024x}"), "name": "Col", "home": "Italy"},
]


COERCED = ("suppliers", Layer.ROW_COUNT)
"""A warning: a value was coerced without loss."""


@pytest.fixture
def urls(servers: Urls) -> Iterator[Urls]:
    with (
        fresh_database(servers) as fresh,
        MongoClient[dict[str, Any]](fresh.mongodb_url) as client,
    ):
        client.get_default_database()["suppliers"].insert_many(DOCUMENTS)
        yield fresh


def run(urls: Urls, job: str) -> dg.ExecuteInProcessResult:
    definitions = build_defs(
        model=MODEL,
        source=SourceMongo(url=urls.mongodb_url),
        target=TargetPostgres(url=urls.postgres_url),
    )
    return definitions.resolve_job_def(job).execute_in_process(
        instance=dg.DagsterInstance.ephemeral(), raise_on_error=False, run_config=QUIET
    )


def execute(urls: Urls, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(urls.postgres_url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_a_table_is_one_declaration() -> None:
    nodes = build_defs(model=MODEL).resolve_asset_graph()
    assert nodes.get(table_key("suppliers")).group_name == "shop"
    assert {check_key.name for check_key in nodes.asset_check_keys} >= {
        layer.value for layer in Layer
    }
    (statement,) = tables(MODEL)
    assert "home TEXT" in statement


def test_a_rule_is_two_records(urls: Urls) -> None:
    """It loads, books and is judged as shipped rules are: a check is red where loader and judge differ."""
    result = run(urls, MIGRATE)
    assert execute(urls, "SELECT home, seat FROM suppliers ORDER BY name") == [
        ("AT", "CH"),
        ("DE", None),
        (None, None),
    ]
    conversions = "SELECT field, kind, reason, count FROM migration.conversions"
    assert execute(urls, conversions) == [("home", "coerced", "letters as capitals", 1)]
    issues = "SELECT field, kind, reason, original FROM migration.issues"
    assert execute(urls, issues) == [("home", "nulled", "not a country", '"Italy"')]
    # What is on record is to be read: as a warning where nothing was lost.
    assert red(checks(result)) == {COERCED, ("suppliers", Layer.VALUES)}

    with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
        suppliers = client.get_default_database()["suppliers"]
        suppliers.update_one({"name": "Col"}, {"$set": {"home": "IT"}})
    assert red(checks(run(urls, MIGRATE))) == {COERCED}

    execute(urls, "UPDATE suppliers SET home = 'it' WHERE name = 'Col'")
    assert red(checks(run(urls, VALIDATE))) == {
        COERCED,
        ("suppliers", Layer.VALUES),
        ("suppliers", Layer.TYPES),
    }


def test_a_rule_without_its_records_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no record at ''"):
        declared_at("")
    assert declared_at(COUNTRY.loader)
    assert declared_at(COUNTRY.judge)
