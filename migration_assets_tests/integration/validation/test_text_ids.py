"""A source whose ids are texts: nothing of it is judged one by one, and every damage is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pymongo import MongoClient

from migration_assets.embedded import Urls, fresh_database
from migration_assets.model import unique_keys
from migration_assets.nextcrm import TABLES
from migration_assets.nextcrm.sample.generation import generate
from migration_assets.source.connection import open_source
from migration_assets.target.connection import open_target
from migration_assets.validation import entity_pass
from migration_assets.validation.entity_pass import ComparePart, Part
from migration_assets.validation.evidence import Phases
from migration_assets.validation.findings import Comparison
from migration_assets.validation.judge import Judge, Judgement
from migration_assets.validation.table_pass import compare
from migration_assets_bench.sample import with_texts
from migration_assets_tests.support.damages import DAMAGES, PAIR, REFERENCE, ROW, Damage
from migration_assets_tests.support.loaded_sample import Loaded, all_checks, load_everything

DAMAGES_OF_ANY_ID = [
    damage
    for damage in DAMAGES
    if damage.group in (ROW, REFERENCE, PAIR) and damage.table != "crm_Accounts"
]
"""Damages whose statements name no ObjectId."""


@pytest.fixture(scope="module")
def sample(servers: Urls) -> Iterator[Loaded]:
    with fresh_database(servers) as urls:
        with MongoClient[Any](urls.mongodb_url, datetime_conversion="DATETIME_AUTO") as client:
            database = client.get_default_database()
            generate(database, scale=0.01, dirty=0)
            for name in database.list_collection_names(filter={"type": "collection"}):
                documents = with_texts([*database[name].find()], 'id "é" {}')
                database[name].delete_many({})
                if documents:
                    database[name].insert_many(documents)
        with (
            open_source(urls.mongodb_url) as source,
            open_target(urls.postgres_url) as connection,
        ):
            load_everything(source, connection)
            yield Loaded(source, connection)


@pytest.fixture
def loaded(sample: Loaded) -> Iterator[Loaded]:
    """The sample for damage to the target, which is undone afterwards."""
    with sample.connection.transaction(force_rollback=True):
        yield sample


def test_no_document_is_judged_one_by_one(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[bytes] = []
    judge = Judge.judge

    def noted(self: Judge, document: bytes) -> Judgement:
        judged.append(document)
        return judge(self, document)

    monkeypatch.setattr(Judge, "judge", noted)
    for name, table in TABLES.items():
        assert {
            evidence.passed for evidence in all_checks(loaded.source, loaded.connection, name)
        } == {True}, name
        if not unique_keys(table):  # who has a unique value depends on the documents before
            assert not judged, name
        judged.clear()


@pytest.mark.parametrize("damage", DAMAGES_OF_ANY_ID, ids=lambda damage: damage.what)
def test_a_damage_turns_its_checks_red(loaded: Loaded, damage: Damage) -> None:
    for statement in damage.statements:
        assert loaded.connection.execute(statement.encode()).rowcount != 0
    results = all_checks(loaded.source, loaded.connection, damage.table)
    assert {evidence.layer for evidence in results if not evidence.is_sound} == damage.red


def test_parts_are_cut_at_texts(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entity_pass, "DOCUMENTS_PER_BATCH", 3)
    parts: list[Part] = []

    def shared(compared_parts: Sequence[Part], compare_part: ComparePart) -> Iterator[Comparison]:
        parts.extend(compared_parts)
        return map(compare_part, compared_parts)

    table = TABLES["Documents"]
    comparison = compare(loaded.source, loaded.connection, table, Phases(), shared=shared)
    assert comparison.documents == loaded.source[table.name].count_documents({}) > 6
    assert len(parts) == 1 + (comparison.documents - 1) // 6
    assert sum(len(part.drawn) for part in parts) == len(comparison.sampled) == comparison.documents
    assert not comparison.values.kinds
    assert not comparison.faults.kinds
