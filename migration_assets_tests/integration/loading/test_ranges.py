"""Ranges: cut anywhere, read and staged in any order, they give the same rows, books and digests."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import bson
import pytest
from bson import MinKey, ObjectId
from hypothesis import given
from hypothesis import strategies as st
from pymongo.collection import Collection

from migration_assets.loading import ledger, planning, stage
from migration_assets.loading.dependencies import dependencies_of
from migration_assets.loading.documents import DocumentsJob
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.model import unique_keys
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.settings import DOCUMENTS_PER_BATCH
from migration_assets.source import ranges
from migration_assets.source.connection import Document, SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.source.ranges import WHOLE, Range, ranges_of
from migration_assets.source.reading import identifier, split
from migration_assets.source.united import united
from migration_assets.target.connection import Connection
from migration_assets_tests.integration.loading.test_loading import everything, interrupted
from migration_assets_tests.integration.loading.test_workers import LOADED, loaded
from migration_assets_tests.integration.source.test_source import IDS_IN_ORDER
from migration_assets_tests.support.loaded_sample import Loaded

DOCUMENTS = st.lists(st.binary(max_size=12), max_size=12)


def digest_of(documents: Sequence[bytes]) -> ContentDigest:
    digest = ContentDigest()
    digest.add(b"".join(documents))
    return digest


@given(DOCUMENTS, st.randoms(use_true_random=False), st.lists(st.integers(0, 12), max_size=4))
def test_digests_add_up_whatever_the_order_and_the_cuts(
    values: list[bytes], chance: random.Random, cuts: list[int]
) -> None:
    documents = [bson.encode({"_id": number, "v": value}) for number, value in enumerate(values)]
    digest = digest_of(documents)
    chance.shuffle(documents)
    bounds = [0, *sorted(min(cut, len(documents)) for cut in cuts), len(documents)]
    total = ContentDigest()
    for start, end in pairwise(bounds):
        total.add_content(digest_of(documents[start:end]))
    assert (
        total.as_text() == digest.as_text() == ContentDigest.from_text(digest.as_text()).as_text()
    )
    assert total.fingerprint("Users") == digest.fingerprint("Users") != digest.fingerprint("Boards")
    assert (digest.documents, digest.size) == (len(values), sum(map(len, documents)))


@given(DOCUMENTS, st.integers(0, 11), st.binary(max_size=12))
def test_any_other_document_makes_another_digest(
    values: list[bytes], at: int, other: bytes
) -> None:
    documents = [bson.encode({"_id": number, "v": value}) for number, value in enumerate(values)]
    digest = digest_of(documents).as_text()
    added = bson.encode({"_id": at, "v": other})
    assert digest_of([*documents, added]).as_text() != digest
    if at < len(values):
        assert digest_of([*documents[:at], *documents[at + 1 :]]).as_text() != digest
        changed = [*documents[:at], added, *documents[at + 1 :]]
        assert (digest_of(changed).as_text() == digest) == (other == values[at])


def ids_in(collection: Collection[Document], part: Range) -> list[Any]:
    return [identifier(document) for data in part.batches(collection) for document in split(data)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_each_document_is_in_one_range(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, str(size))
    monkeypatch.setattr(ranges, "BATCHES_PER_RANGE", 1)
    collection = source["mixed"]
    assert ranges_of(collection) == [WHOLE]
    collection.insert_many([{"_id": identifier} for identifier in reversed(IDS_IN_ORDER)])
    cut = ranges_of(collection)
    assert len(cut) > (size < len(IDS_IN_ORDER) - 1)
    # Also what comes later, before the first and between any two.
    more = [b"", "0", ObjectId("7" * 24), {"a": 1.5}, 2**50, True]
    collection.delete_many({"_id": {"$in": [False, 1]}})
    collection.insert_many([{"_id": identifier} for identifier in more if identifier is not True])
    ids = [
        identifier
        for part in cut
        for identifier in ids_in(collection, Range.from_json(part.as_json()))
    ]
    assert ids == ids_in(collection, WHOLE)
    assert len(ids) == len(IDS_IN_ORDER) + len(more) - 3


def test_ids_are_a_range(source: SourceDatabase) -> None:
    source["mixed"].insert_many([{"_id": identifier} for identifier in IDS_IN_ORDER])
    chosen = [ObjectId("f" * 24), "a", {"a": 2}, 2**40, "nowhere"]
    assert ids_in(source["mixed"], Range(ids=tuple(chosen))) == [
        2**40,
        "a",
        {"a": 2},
        ObjectId("f" * 24),
    ]
    assert ids_in(source["mixed"], Range(ids=())) == []


def test_each_document_of_united_collections_is_in_one_range(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "2")
    monkeypatch.setattr(ranges, "BATCHES_PER_RANGE", 1)
    source["one"].insert_many([{"_id": identifier} for identifier in IDS_IN_ORDER[1::2]])
    source["two"].insert_many([{"_id": identifier} for identifier in IDS_IN_ORDER[::2]])
    collection = united(source, {"one": ["two"]})["one"]
    cut = ranges_of(collection)
    assert len(cut) > 2
    assert [identifier for part in cut for identifier in ids_in(collection, part)] == IDS_IN_ORDER
    assert ids_in(collection, Range(ids=("", "a"))) == ["", "a"]


def test_an_id_that_cannot_be_written_and_read_again_ends_the_cutting(
    source: SourceDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "1")
    source["odd"].insert_many([{"_id": identifier} for identifier in (MinKey(), None, math.nan, 1)])
    assert ranges_of(source["odd"]) == [Range(end=None), Range(None)]


# --- Loads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 17])
def test_ranges_cut_anywhere_and_staged_in_any_order_give_the_same(
    faulty_sample: Loaded, target: Connection, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, str(size))
    monkeypatch.setattr(ranges, "BATCHES_PER_RANGE", 2)
    begin, chance = ledger.begin, random.Random(size)

    def shuffled(
        connection: Connection,
        table: Any,
        rules: Any,
        now: Any,
        parts: Sequence[Mapping[str, Any]],
        *of: Any,
    ) -> Any:
        mixed = list(parts)
        if table.name not in TABLES or not unique_keys(table):
            chance.shuffle(mixed)
        return begin(connection, table, rules, now, mixed, *of)

    monkeypatch.setattr(ledger, "begin", shuffled)
    source = faulty_sample.source
    results = [load_identities(NEXTCRM, source, target)]
    results += [load_table(source, target, table) for table in LOADED]
    assert loaded(target) == loaded(faulty_sample.connection)
    documents = "SELECT documents FROM migration.loads WHERE target_table = %s AND documents <> ''"
    for result in results:
        if result.table not in ENTITIES:
            continue  # of parts of documents, what was read is known by range
        assert len(ledger.lines_of(target, result.load_id)) >= 1
        contents = [
            {*connection.execute(documents, [result.table])}
            for connection in (target, faulty_sample.connection)
        ]
        assert contents[0] == contents[1]


def test_only_the_ranges_that_are_missing_are_staged(
    faulty_sample: Loaded, target: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "3")
    source, name = faulty_sample.source, "Boards"
    load_identities(NEXTCRM, source, target)
    load_table(source, target, TABLES["Users"])
    job = DocumentsJob(NEXTCRM, name)
    plan = planning.whole(source, target, job, dependencies_of(target, job.table))
    assert plan.load_id is not None
    first, *others = [line.number for line in ledger.lines_of(target, plan.load_id)]
    stager = stage.Stager(source, target, stage.Task(job, plan.load_id, None))
    assert all(map(stager.stage, others))
    assert not any(map(stager.stage, others))
    staged: list[int] = []
    interrupted(monkeypatch, ledger, "complete", lambda *of: staged.append(of[2].number))
    load_table(source, target, TABLES[name])
    assert staged == [first]
    assert everything(target)[name] == everything(faulty_sample.connection)[name]
