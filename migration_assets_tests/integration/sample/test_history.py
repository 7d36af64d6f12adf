"""The sample of a real history: its proportions, its old shapes, and a ledger that the books agree with."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from migration_assets.embedded import Urls, fresh_database
from migration_assets.nextcrm import ENTITIES
from migration_assets.nextcrm.sample import Expectation, Ledger, OldShape, generate_history
from migration_assets.nextcrm.sample.history import COUNTS, OTHERS, History
from migration_assets.nextcrm.sample.shapes import SHAPES
from migration_assets.source.connection import open_source
from migration_assets.target.connection import open_target
from migration_assets_tests.support.loaded_sample import Loaded, load_everything

SCALE = 0.01
"""Fewer users; every old shape nevertheless."""


@pytest.fixture(scope="module")
def loaded(servers: Urls) -> Iterator[tuple[Loaded, Ledger]]:
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, object]](urls.mongodb_url) as client:
            ledger = generate_history(client.get_default_database(), scale=SCALE)
        with (
            open_source(urls.mongodb_url) as source,
            open_target(urls.postgres_url) as connection,
        ):
            load_everything(source, connection)
            yield Loaded(source, connection), ledger


def counted(loaded: Loaded, query: str) -> Counter[tuple[str, str]]:
    rows = loaded.connection.execute(query).fetchall()
    return Counter({(collection, name): count for collection, name, count in rows})


def documents(loaded: Loaded, table: str) -> set[tuple[str, str]]:
    """Returns the documents that a table of the books names; collections have lines of their own."""
    rows = loaded.connection.execute(
        f"SELECT collection, source_id FROM migration.{table} WHERE source_id <> ''"
    ).fetchall()
    return {(collection, source_id) for collection, source_id in rows}


@pytest.mark.parametrize(
    ("table", "expectation"),
    [
        ("rejected_documents", Expectation.REJECTED),
        ("unmapped_fields", Expectation.UNMAPPED),
    ],
)
def test_the_books_name_the_documents_of_the_ledger(
    loaded: tuple[Loaded, Ledger], table: str, expectation: Expectation
) -> None:
    both, ledger = loaded
    assert documents(both, table) == {
        (entry.collection, entry.source_id)
        for entry in ledger.entries
        if entry.expectation is expectation
    }


@pytest.mark.parametrize(
    ("table", "expectation"),
    [
        ("issues", Expectation.NULLED),
        ("issues", Expectation.ALTERED),
        ("issues", Expectation.ORPHANED),
        ("conversions", Expectation.COERCED),
        ("conversions", Expectation.DEFAULTED),
        ("conversions", Expectation.DERIVED),
    ],
)
def test_the_books_count_the_values_of_the_ledger(
    loaded: tuple[Loaded, Ledger], table: str, expectation: Expectation
) -> None:
    both, ledger = loaded
    count = "count(*)" if table == "issues" else "sum(count)::int"
    booked = counted(
        both,
        f"SELECT collection, field, {count} FROM migration.{table} "
        f"WHERE kind = '{expectation}' GROUP BY 1, 2",
    )
    expected = ledger.expected(expectation)
    if expectation is Expectation.COERCED:
        # An object for a list is a lone value besides.
        booked = booked - ledger.expected(Expectation.ALTERED)
        del booked["Invoices", "connected_documents"]
    assert booked == expected


def test_every_old_shape_is_there_whatever_the_size(loaded: tuple[Loaded, Ledger]) -> None:
    _, ledger = loaded
    assert {entry.fault for entry in ledger.entries} == set(OldShape)
    assert {shape.kind for shape in SHAPES} == set(OldShape) - {OldShape.OLD_COLLECTION}
    assert ledger.kinds()["tasksComments", OldShape.CRM_COMMENT] == COUNTS["tasksComments"]


def test_scale_one_has_the_proportions_of_a_real_database() -> None:
    real, twice = (History(scale=scale, seed=1) for scale in (1, 2))
    counts = {name: len(real.ids(name)) for name in ENTITIES if len(real.ids(name))}
    assert counts == COUNTS
    assert sum(counts.values()) + sum(map(len, OTHERS.values())) == pytest.approx(9290, rel=0.005)
    assert all(len(twice.ids(name)) == 2 * count for name, count in COUNTS.items())
    pairs = {
        name: sum(map(len, real.arrays["Users", name].values()))
        for name in ("watching_boardsIDs", "watching_accountsIDs")
    }
    assert pairs == {"watching_boardsIDs": 114, "watching_accountsIDs": 29}


def test_addresses_are_doubled_where_the_ledger_says_so_at_any_size(
    mongo_database: Database[Any],
) -> None:
    ledger = generate_history(mongo_database, scale=2)
    emails = [user["email"] for user in mongo_database["Users"].find({"email": {"$ne": None}})]
    doubled = [address for address, count in Counter(emails).items() if count > 1]
    assert sorted(doubled) == ["twice.0@example.org", "twice.1@example.org"]
    assert ledger.kinds()["Users", OldShape.DOUBLED_USER] == 4
    assert ledger.kinds()["tasksComments", OldShape.CRM_COMMENT] == 2 * COUNTS["tasksComments"]


def test_same_seed_and_scale_give_the_same_bytes(mongo_database: Database[Any]) -> None:
    hashes, ledgers = [], []
    for _ in range(2):
        ledgers.append(generate_history(mongo_database, scale=SCALE, seed=3))
        hashes.append(mongo_database.command("dbHash")["collections"])
        for name in mongo_database.list_collection_names():
            mongo_database.drop_collection(name)
    assert hashes[0] == hashes[1]
    assert ledgers[0] == ledgers[1]
    assert ledgers[0].documents.keys() == hashes[0].keys()
