"""Another application than NextCRM, from its own declaration: migrate, check, damage, sign off."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.reconstruct import ReconstructableRepository
from pymongo import MongoClient
from pymongo.database import Database

from migration_assets.assets.keys import CONSTRAINTS, SIGN_OFF, table_key
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.embedded import Urls, fresh_database
from migration_assets.identity import document_uuid
from migration_assets.loading.load import load_table
from migration_assets.loading.records import LoadResult
from migration_assets.settings import SOURCE_URL, TARGET_URL
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation.evidence import Layer
from migration_assets_tests.integration.migration.test_migrate import (
    QUIET,
    checks,
    materialized,
    red,
)
from migration_assets_tests.support.loaded_sample import database_copy
from migration_assets_tests.support.second_application import DAY, SHOP, documents, oid

ROW_COUNT, VALUES, REFERENCES, TYPES, *_ = Layer

DEFINITIONS = build_defs(model=SHOP)
"""For the databases that the environment names."""


@dataclass(frozen=True)
class Shop:
    """A source, a target, and Dagster's memory of what was done with them."""

    urls: Urls = field(repr=False)
    source: Database[dict[str, Any]]
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    def run(self, job: str = MIGRATE, *tables: str) -> dg.ExecuteInProcessResult:
        """Runs a job, or some of its tables with their checks."""
        urls = {SOURCE_URL.name: self.urls.mongodb_url, TARGET_URL.name: self.urls.postgres_url}
        with patch.dict(os.environ, urls):
            return DEFINITIONS.resolve_job_def(job).execute_in_process(
                instance=self.instance,
                asset_selection=[table_key(name) for name in tables] or None,
                raise_on_error=False,
                run_config=QUIET,
            )

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Executes something in the target, behind the back of the migration."""
        with psycopg.connect(self.urls.postgres_url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def verdict(self) -> str:
        """Returns the latest verdict."""
        query = "SELECT verdict FROM migration.sign_offs ORDER BY signed_at DESC LIMIT 1"
        return str(self.execute(query)[0][0])

    def issues(self) -> list[tuple[Any, ...]]:
        """Returns the lossy conversions on record."""
        return self.execute("SELECT collection, field, kind FROM migration.issues ORDER BY 1, 2, 3")

    def row_versions(self) -> dict[str, list[tuple[Any, ...]]]:
        """Returns where each row of each table stands and which transaction wrote it."""
        query = 'SELECT ctid::text, xmin::text FROM "{}" ORDER BY ctid'
        return {name: self.execute(query.format(name)) for name in SHOP.tables}


@contextmanager
def filled_shop(servers: Urls) -> Iterator[Shop]:
    with (
        fresh_database(servers) as urls,
        MongoClient[dict[str, Any]](urls.mongodb_url) as client,
    ):
        database = client.get_default_database()
        for name, held in documents().items():
            database[name].insert_many(held)
        yield Shop(urls, database)


@pytest.fixture
def shop(servers: Urls) -> Iterator[Shop]:
    """A source, and an empty target."""
    with filled_shop(servers) as shop:
        yield shop


@pytest.fixture(scope="module")
def first_run(servers: Urls) -> Iterator[tuple[Shop, dg.ExecuteInProcessResult]]:
    """A first migration, which the tests copy and do not touch."""
    with filled_shop(servers) as shop:
        yield shop, shop.run()


@pytest.fixture
def migrated(servers: Urls, first_run: tuple[Shop, dg.ExecuteInProcessResult]) -> Iterator[Shop]:
    """A migrated target of the test's own."""
    shop, _ = first_run
    with database_copy(servers, shop.urls.postgres_url) as url:
        yield Shop(replace(shop.urls, postgres_url=url), shop.source)


def uuid_of(collection: str, number: int) -> Any:
    return document_uuid(collection, oid(number))


def written(result: dg.ExecuteInProcessResult) -> Mapping[str, int]:
    """Returns how many rows each table's load inserted, updated or deleted."""
    made = materialized(result)
    return {
        name: sum(int(made[table_key(name)][each]) for each in ("inserted", "updated", "deleted"))
        for name in SHOP.tables
        if table_key(name) in made
    }


def test_the_graph_has_no_circle() -> None:
    assert [*SHOP.tables].index("teams") < [*SHOP.tables].index("people")
    assert [len(tables) for tables in SHOP.circles if len(tables) > 1] == [2]
    nodes = DEFINITIONS.resolve_asset_graph()
    assert nodes.get(table_key("teams")).parent_keys.isdisjoint({table_key("people")})
    assert table_key("teams") in nodes.get(table_key("people")).parent_keys


def test_it_is_migrated_and_signed_off(
    first_run: tuple[Shop, dg.ExecuteInProcessResult],
) -> None:
    shop, result = first_run
    assert result.success
    assert red(checks(result)) == set()
    assert set(checks(result)) == {(name, layer) for name in SHOP.tables for layer in Layer}
    assert shop.verdict() == "GO"
    assert shop.issues() == []
    assert dict(shop.execute("SELECT id, parent FROM categories")) == {
        uuid_of("categories", 1): uuid_of("categories", 3),
        uuid_of("categories", 2): uuid_of("categories", 1),
        uuid_of("categories", 3): uuid_of("categories", 3),
        uuid_of("categories", 4): None,
    }
    assert dict(shop.execute("SELECT id, lead FROM teams")) == {
        uuid_of("teams", 11): uuid_of("people", 21),
        uuid_of("teams", 12): uuid_of("people", 22),
        uuid_of("teams", 13): None,
    }
    assert [row for (row,) in shop.execute("SELECT description FROM products ORDER BY id")] == [
        "red",
        "blue",
        None,
    ]
    assert shop.execute('SELECT count(*) FROM "productKeepers"') == [(3,)]
    keys = shop.execute("SELECT conname FROM pg_constraint WHERE contype = 'f' ORDER BY 1")
    assert len(keys) == 6


def test_a_second_run_writes_no_row(migrated: Shop) -> None:
    before = migrated.row_versions()
    again = migrated.run()
    assert again.success
    assert set(written(again).values()) == {0}
    assert materialized(again)[CONSTRAINTS]["indexes built"] == 0
    assert materialized(again)[SIGN_OFF]["verdict"] == "GO"
    assert migrated.row_versions() == before


def test_a_reference_to_nowhere_is_on_record_and_no_go(shop: Shop) -> None:
    shop.source["categories"].update_one({"_id": oid(2)}, {"$set": {"parent": oid(99)}})
    shop.source["teams"].update_one({"_id": oid(11)}, {"$set": {"lead": oid(98)}})
    result = shop.run()
    assert shop.verdict() == "NO-GO"
    assert shop.issues() == [
        ("categories", "parent", "orphaned"),
        ("teams", "lead", "orphaned"),
    ]
    assert shop.execute("SELECT lead FROM teams WHERE name = 'sales'") == [(None,)]
    assert red(checks(result)) == {("categories", REFERENCES), ("teams", REFERENCES)}

    # Whoever they meant comes: the lines go, and nothing else is written.
    shop.source["categories"].insert_one({"_id": oid(99), "name": "late"})
    shop.source["people"].insert_one(
        {"_id": oid(98), "name": "Eve", "createdAt": DAY, "team": oid(11)}
    )
    shop.run()
    assert shop.issues() == []
    assert shop.verdict() == "GO"
    assert shop.execute("SELECT lead FROM teams WHERE name = 'sales'") == [(uuid_of("people", 98),)]


def test_a_person_of_no_team_is_rejected_and_leads_none(shop: Shop) -> None:
    """What is rejected on one side of the circle is an orphan on the other."""
    shop.source["people"].update_one({"_id": oid(21)}, {"$set": {"team": oid(97)}})
    shop.run()
    assert shop.execute("SELECT collection, field FROM migration.rejected_documents") == [
        ("people", "team")
    ]
    assert ("teams", "lead", "orphaned") in shop.issues()
    assert shop.execute("SELECT lead FROM teams WHERE name = 'sales'") == [(None,)]
    assert shop.verdict() == "NO-GO"


def test_a_doubled_composite_key_is_rejected(shop: Shop) -> None:
    """Half of it may be doubled, as it is in the clean documents."""
    shop.source["products"].insert_one(
        {"_id": oid(34), "shop": "b", "sku": "1", "desc": "later", "stock": 1}
    )
    shop.run()
    query = "SELECT source_id, field, reason FROM migration.rejected_documents"
    ((source_id, name, reason),) = shop.execute(query)
    assert (source_id, name) == (str(oid(34)), "shop, sku")
    assert "they must be unique together" in reason
    assert shop.verdict() == "NO-GO"

    # Two swap their keys, and the doubled one gets one of its own.
    products = shop.source["products"]
    products.update_one({"_id": oid(34)}, {"$set": {"sku": "2"}})
    products.update_one({"_id": oid(31)}, {"$set": {"sku": "2"}})
    products.update_one({"_id": oid(32)}, {"$set": {"sku": "1"}})
    result = shop.run()
    assert red(checks(result)) == set()
    assert shop.verdict() == "GO"
    assert shop.execute("SELECT sku FROM products ORDER BY id") == [
        ("2",),
        ("1",),
        ("1",),
        ("2",),
    ]


def losing_a_product(
    source: SourceDatabase, connection: Connection, table: sa.Table, **options: Any
) -> LoadResult:
    """Loads a table; somebody deletes a product as soon as it is there."""
    result = load_table(source, connection, table, **options)
    if table.name == "products":
        connection.execute("DELETE FROM products WHERE sku = '2'")
    return result


def test_reexecution_from_failure_builds_a_bad_table_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is lost before its check, so the table's step fails, and is run again."""
    whole = {"migration__constraints", "migration__sign_off"}
    monkeypatch.setattr("migration_assets.assets.tables.load_table", losing_a_product)
    monkeypatch.setenv(SOURCE_URL.name, shop.urls.mongodb_url)
    monkeypatch.setenv(TARGET_URL.name, shop.urls.postgres_url)
    repository = ReconstructableRepository.for_module(__name__, "DEFINITIONS")
    job = repository.get_reconstructable_job(MIGRATE)

    with dg.execute_job(job, instance=shop.instance, run_config=QUIET) as first:
        assert not first.success
        failed = {event.step_key for event in first.all_events if event.is_step_failure}
        assert failed == {"postgres__products"}
        found = checks(first.all_events)
        assert not found["products", ROW_COUNT]
        assert {table for table, _ in red(found)} == {"products"}
        done = {event.step_key for event in first.all_events if event.is_step_success}
        assert "postgres__categories" in done
        # What comes after the bad table waits; what does not is done.
        assert not {"postgres__productKeepers", *whole} & done

    monkeypatch.setattr("migration_assets.assets.tables.load_table", load_table)
    again = dg.ReexecutionOptions.from_failure(first.run_id, shop.instance)
    with dg.execute_job(
        job, instance=shop.instance, run_config=QUIET, reexecution_options=again
    ) as second:
        assert second.success
        done_again = {event.step_key for event in second.all_events if event.is_step_success}
        assert {"postgres__products", "postgres__productKeepers", *whole} <= done_again
        assert "postgres__categories" not in done_again
        assert red(checks(second.all_events)) == set()
        assert ("products", ROW_COUNT) in checks(second.all_events)
    assert shop.verdict() == "GO"


DAMAGES = {
    "a row is deleted": (
        "DELETE FROM categories WHERE name = 'none'",
        {("categories", ROW_COUNT), ("categories", VALUES)},
    ),
    "the renamed field is another": (
        "UPDATE products SET description = 'green' WHERE description = 'red'",
        {("products", VALUES)},
    ),
    "a reference of the circle is another": (
        "UPDATE teams SET lead = (SELECT id FROM people WHERE name = 'Cyd') WHERE name = 'sales'",
        {("teams", VALUES), ("teams", REFERENCES)},
    ),
    "a type is another": (
        "ALTER TABLE products ALTER COLUMN stock TYPE bigint",
        {("products", TYPES)},
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damage_turns_the_right_checks_red(migrated: Shop, what: str) -> None:
    statement, expected = DAMAGES[what]
    migrated.execute(statement)
    assert red(checks(migrated.run(VALIDATE))) == expected
