"""Reruns that convert only the documents that changed: rows and books are those of a whole load."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from typing import Any, LiteralString

import bson
import numpy as np
import pytest
from bson import ObjectId

from migration_assets.assets.describe import load_metadata
from migration_assets.conversion.batches import BatchConverter
from migration_assets.identity import document_uuid
from migration_assets.loading import dependencies, digests, ledger
from migration_assets.loading.dependencies import dependencies_of
from migration_assets.loading.digests import DigestedBatch, Record
from migration_assets.loading.ledger import RangeLine
from migration_assets.loading.load import load_table
from migration_assets.loading.records import LoadResult, Merged
from migration_assets.nextcrm import TABLES
from migration_assets.remediation.rules import NO_REMEDIATIONS
from migration_assets.settings import DOCUMENTS_PER_BATCH
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets_tests.integration.loading.test_loading import (
    KilledError,
    account,
    another,
    bare,
    board,
    book,
    campaign,
    constrained,
    delete_all_pending,
    empty,
    everything,
    interrupted,
    issues,
    load,
    oid,
    opened,
    rejected,
    rows,
    shared_bare,
    shared_constrained,
    source,
    uid,
    user,
)

__all__ = ["bare", "constrained", "opened", "shared_bare", "shared_constrained", "source"]

LOADED = [
    "uuid_map",
    "Users",
    "crm_Industry_Type",
    "TodoList",
    "crm_Accounts",
    "Boards",
    "Sections",
    "AccountWatchers",
]


def accounts(source: SourceDatabase) -> None:
    """Two users, and accounts that refer to them: five in order, one with an orphan."""
    source["Users"].insert_many([user(1), user(2)])
    source["crm_Accounts"].insert_many([account(n, assigned_to=oid(1)) for n in range(10, 15)])
    source["crm_Accounts"].insert_one(account(15, assigned_to=oid(3)))


def section(number: int, of: Any, **fields: Any) -> dict[str, Any]:
    return {"_id": oid(number), "__v": 0, "title": "t", "board": of, **fields}


def todo(number: int, of: Any, **fields: Any) -> dict[str, Any]:
    base = {"_id": oid(number), "createdAt": "x", "description": "", "title": "t", "url": "u"}
    return {**base, "user": of, **fields}


def like_new(
    source: SourceDatabase, target: Connection, fresh: Connection
) -> dict[str, LoadResult]:
    """Compares rows and books with whole loads into an empty target; returns these loads by table."""
    empty(fresh)
    whole_loads = {name: load(source, fresh, name) for name in LOADED}
    assert everything(target) == everything(fresh)
    return whole_loads


# --- What is converted ---------------------------------------------------------------------------


def test_only_documents_that_changed_are_converted(
    source: SourceDatabase,
    constrained: Connection,
    bare: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts(source)
    load(source, constrained, *LOADED)
    source["crm_Accounts"].update_one({"_id": oid(11)}, {"$set": {"name": "other"}})
    source["crm_Accounts"].delete_one({"_id": oid(12)})
    source["crm_Accounts"].insert_one(account(16, assigned_to=oid(2)))
    converted: list[ObjectId] = []

    def note(_: BatchConverter, data: bytes) -> None:
        converted.extend(document["_id"] for document in bson.decode_all(data))

    with monkeypatch.context() as patch:
        interrupted(patch, BatchConverter, "attempt", note)
        result = load(source, constrained, "crm_Accounts")
    # The one with an orphan has a line in the books, so it is converted each time.
    assert converted[:3] == [oid(11), oid(15), oid(16)]
    assert set(converted[3:]) == {oid(15)}  # and once more, with what it refers to looked up
    assert (result.documents, result.as_before, result.is_converted) == (6, 3, True)
    metadata = load_metadata(result)
    assert (metadata["documents converted"], metadata["documents as before"]) == (3, 3)
    assert result.merged == Merged(inserted=1, updated=1, deleted=1, unchanged=4, pending=0)
    load(source, constrained, *LOADED)
    like_new(source, constrained, bare)
    whole_load = load(source, bare, "crm_Accounts")
    assert (result.tally, result.fingerprints) == (whole_load.tally, whole_load.fingerprints)


def test_what_an_orphan_refers_to_may_come(
    source: SourceDatabase, constrained: Connection, bare: Connection
) -> None:
    accounts(source)
    load(source, constrained, *LOADED)
    source["Users"].insert_one(user(3))
    load(source, constrained, "uuid_map", "Users")
    result = load(source, constrained, "crm_Accounts")
    assert (result.as_before, result.merged.updated, result.tally.lossy) == (5, 1, {})
    load(source, constrained, *LOADED)
    like_new(source, constrained, bare)


def test_all_are_converted_where_what_they_refer_to_is_gone(
    source: SourceDatabase, constrained: Connection
) -> None:
    accounts(source)
    load(source, constrained, *LOADED)
    source["Users"].delete_one({"_id": oid(1)})
    load(source, constrained, "uuid_map", "Users")
    result = load(source, constrained, "crm_Accounts")
    assert (result.as_before, result.tally.lossy) == (0, {"orphaned": 6})
    assert delete_all_pending(constrained) == 1
    # Another that nobody refers to is gone as well, as far as a load can tell.
    source["Users"].delete_one({"_id": oid(2)})
    assert load(source, constrained, "Users").merged.deleted == 1
    assert load(source, constrained, "crm_Accounts").as_before == 0


def test_a_document_that_is_rejected_loses_its_row(
    source: SourceDatabase, constrained: Connection, bare: Connection
) -> None:
    source["Users"].insert_one(user(1))
    source["Boards"].insert_many([board(n, 1) for n in range(20, 24)])
    load(source, constrained, *LOADED)
    source["Boards"].update_one({"_id": oid(21)}, {"$unset": {"title": 1}})
    result = load(source, constrained, "Boards")
    assert (result.as_before, result.merged.deleted, result.tally.rejected) == (3, 1, 1)
    assert [line[0] for line in rejected(constrained, "Boards")] == [str(oid(21))]
    source["Boards"].update_one({"_id": oid(21)}, {"$set": {"title": "t"}})
    result = load(source, constrained, "Boards")
    assert (result.as_before, result.merged.inserted, result.tally.rejected) == (3, 1, 0)
    load(source, constrained, *LOADED)
    like_new(source, constrained, bare)


def test_a_row_that_is_referred_to_waits(source: SourceDatabase, constrained: Connection) -> None:
    source["Users"].insert_one(user(1))
    source["Boards"].insert_many([board(n, 1) for n in range(20, 24)])
    source["Sections"].insert_many([section(30, oid(21)), section(31, oid(20))])
    load(source, constrained, *LOADED)
    source["Boards"].delete_many({"_id": {"$in": [oid(21), oid(22)]}})
    result = load(source, constrained, "Boards")
    assert result.as_before == 2
    assert result.merged == Merged(0, 0, deleted=1, unchanged=2, pending=1, moved=1)
    # With a row that waits, all is looked at.
    assert load(source, constrained, "Boards").as_before == 0
    result = load(source, constrained, "Sections")
    assert (result.as_before, result.tally.rejected) == (0, 1)


def test_a_text_may_mean_a_document_that_came_later(
    source: SourceDatabase, constrained: Connection, bare: Connection
) -> None:
    source["Users"].insert_one(user(1))
    source["TodoList"].insert_one(todo(40, str(oid(1))))
    load(source, constrained, *LOADED)
    assert rows(constrained, "TodoList", "user") == [(str(uid(1)),)]
    source["Users"].insert_one(user(2))
    source["TodoList"].insert_one(todo(41, str(oid(2))))
    load(source, constrained, "uuid_map")
    assert load(source, constrained, "TodoList").as_before == 1
    source["Users"].insert_one(user(3, _id=str(oid(1))))
    load(source, constrained, "uuid_map")
    assert load(source, constrained, "TodoList").as_before == 0
    meant = document_uuid("Users", str(oid(1)))
    assert rows(constrained, "TodoList", "id", "user")[0] == (uid(40), str(meant))
    load(source, constrained, *LOADED)
    like_new(source, constrained, bare)


def test_a_table_with_unique_values_is_converted_as_a_whole(
    source: SourceDatabase, bare: Connection
) -> None:
    source["Users"].insert_many([user(1), user(2, email="a"), user(3, email="b")])
    load(source, bare, "Users")
    source["Users"].update_one({"_id": oid(1)}, {"$set": {"email": "b"}})
    result = load(source, bare, "Users")
    assert (result.as_before, result.tally.rejected) == (0, 1)
    assert [line[0] for line in rejected(bare, "Users")] == [str(oid(3))]


def test_a_load_with_nothing_to_do_leaves_what_the_next_one_goes_by(
    source: SourceDatabase, bare: Connection
) -> None:
    accounts(source)
    load(source, bare, "Users", "crm_Industry_Type", "crm_Accounts")
    result = load(source, bare, "crm_Accounts")
    assert (result.is_converted, result.as_before) == (False, 6)
    source["crm_Accounts"].update_one({"_id": oid(14)}, {"$set": {"name": "other"}})
    assert load(source, bare, "crm_Accounts").as_before == 4
    assert not load(source, bare, "crm_Accounts").is_converted
    assert book(bare, "SELECT count(DISTINCT load_id) FROM migration.document_digests") == [(1,)]


# --- What somebody has touched ---------------------------------------------------------------------


def touch_a_row(target: Connection) -> None:
    target.execute("""UPDATE "crm_Accounts" SET name = 'y' WHERE name = '13'""")


def delete_a_row(target: Connection) -> None:
    target.execute("""DELETE FROM "crm_Accounts" WHERE name = '13'""")


def delete_what_it_refers_to(target: Connection) -> None:
    target.execute('DELETE FROM "Users" WHERE id = %s', [uid(1)])


def lose_a_book(target: Connection) -> None:
    target.execute("DELETE FROM migration.issues")


def lose_digests(target: Connection) -> None:
    target.execute("DELETE FROM migration.document_digests WHERE number = 2")


def use_another_program(target: Connection) -> None:
    target.execute("UPDATE migration.loads SET program = 'y'")


@pytest.mark.parametrize(
    "touch",
    [
        touch_a_row,
        delete_a_row,
        delete_what_it_refers_to,
        lose_a_book,
        lose_digests,
        use_another_program,
    ],
)
@pytest.mark.usefixtures("small_batches")
def test_all_are_converted_where_the_target_was_touched(
    source: SourceDatabase,
    bare: Connection,
    constrained: Connection,
    touch: Callable[[Connection], None],
) -> None:
    accounts(source)
    load(source, bare, *LOADED)
    touch(bare)
    source["crm_Accounts"].update_one({"_id": oid(14)}, {"$set": {"name": "other"}})
    assert load(source, bare, "crm_Accounts").as_before == 0
    load(source, bare, *LOADED)
    like_new(source, bare, constrained)


@pytest.mark.parametrize("statement", ['DELETE FROM "Users" WHERE id = %s', 'TRUNCATE "Users"'])
@pytest.mark.parametrize("is_changed", [True, False])
def test_an_id_that_somebody_removed_before_its_document_went_is_missed(
    source: SourceDatabase,
    bare: Connection,
    constrained: Connection,
    statement: LiteralString,
    is_changed: bool,
) -> None:
    accounts(source)
    load(source, bare, *LOADED)
    bare.execute(statement, [uid(1)] if "%s" in statement else None)
    source["Users"].delete_one({"_id": oid(1)})
    if is_changed:
        source["crm_Accounts"].update_one({"_id": oid(14)}, {"$set": {"name": "other"}})
    assert load(source, bare, "uuid_map", "Users").merged.deleted == 0
    assert load(source, bare, "crm_Accounts").tally.lossy == {"orphaned": 6}
    load(source, bare, *LOADED)
    like_new(source, bare, constrained)


def test_rows_touched_during_a_load_are_put_right(
    source: SourceDatabase,
    bare: Connection,
    constrained: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts(source)
    load(source, bare, *LOADED)
    source["crm_Accounts"].update_one({"_id": oid(14)}, {"$set": {"name": "other"}})
    touched: list[int] = []

    def touch(_: Connection, __: uuid.UUID, line: RangeLine) -> None:
        if not touched:
            touched.append(line.number)
            with another(bare) as other:
                touch_a_row(other)

    messages: list[str] = []
    with monkeypatch.context() as patch:
        interrupted(patch, ledger, "complete", touch)
        result = load_table(source, bare, TABLES["crm_Accounts"], say=messages.append)
    assert (result.as_before, result.merged.updated) == (0, 2)
    assert messages == ["crm_Accounts: touched since the last load, all documents are converted"]
    load(source, bare, *LOADED)
    like_new(source, bare, constrained)


# --- Resuming ----------------------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "2")


def killed_and_resumed(
    source: SourceDatabase,
    target: Connection,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[], None] = lambda: None,
) -> tuple[LoadResult, list[int], list[str]]:
    """Kills a load of the accounts before its third batch, and returns the load after it."""
    batch_numbers: list[int] = []
    messages: list[str] = []

    def kill(_: Connection, __: uuid.UUID, line: RangeLine) -> None:
        if line.number == 3:
            raise KilledError

    with monkeypatch.context() as patch:
        interrupted(patch, ledger, "complete", kill)
        with pytest.raises(KilledError):
            load_table(source, target, TABLES["crm_Accounts"])
    happens()
    with monkeypatch.context() as patch:
        interrupted(
            patch, ledger, "complete", lambda *arguments: batch_numbers.append(arguments[2].number)
        )
        result = load_table(source, target, TABLES["crm_Accounts"], say=messages.append)
    return result, batch_numbers, messages


@pytest.mark.usefixtures("small_batches")
def test_a_killed_load_goes_on_with_the_same_documents_known(
    source: SourceDatabase,
    bare: Connection,
    constrained: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts(source)
    load(source, bare, *LOADED)
    source["crm_Accounts"].update_one({"_id": oid(10)}, {"$set": {"name": "other", "x": 1}})
    source["crm_Accounts"].delete_one({"_id": oid(11)})
    source["crm_Accounts"].insert_one(account(16))
    result, batch_numbers, messages = killed_and_resumed(source, bare, monkeypatch)
    assert (batch_numbers, messages) == (
        [3],
        ["crm_Accounts: resuming after batch 2, 2 lines are staged"],
    )
    assert result.as_before == 3
    assert result.merged == Merged(inserted=1, updated=1, deleted=1, unchanged=4, pending=0)
    load(source, bare, *LOADED)
    like_new(source, bare, constrained)


@pytest.mark.usefixtures("small_batches")
def test_a_killed_load_starts_again_where_its_rows_were_touched(
    source: SourceDatabase,
    bare: Connection,
    constrained: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts(source)
    load(source, bare, *LOADED)
    source["crm_Accounts"].update_one({"_id": oid(10)}, {"$set": {"name": "other"}})
    result, batch_numbers, messages = killed_and_resumed(
        source, bare, monkeypatch, lambda: touch_a_row(bare)
    )
    assert "its rows were touched since" in messages[1]
    assert (result.as_before, batch_numbers[-3:]) == (0, [1, 2, 3])
    load(source, bare, *LOADED)
    like_new(source, bare, constrained)


@pytest.mark.usefixtures("small_batches")
def test_a_killed_load_that_need_not_be_gone_on_with_leaves_nothing(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts(source)
    load(source, bare, *LOADED)
    source["crm_Accounts"].update_one({"_id": oid(10)}, {"$set": {"name": "other"}})

    def change_again() -> None:
        source["crm_Accounts"].update_one({"_id": oid(10)}, {"$set": {"name": "10"}})

    result, batch_numbers, _ = killed_and_resumed(source, bare, monkeypatch, change_again)
    assert (result.is_converted, batch_numbers) == (False, [])
    accounts_table = TABLES["crm_Accounts"]
    now = dependencies_of(bare, accounts_table)
    latest = dependencies.latest_like_now(bare, accounts_table, NO_REMEDIATIONS, now)
    assert latest is not None
    assert digests.is_complete(bare, latest.base, latest.tally.documents)
    assert book(bare, "SELECT count(*) FROM migration.loads WHERE finished_at IS NULL") == [(0,)]


# --- Any sequence of changes -------------------------------------------------------------------------


def _some(chance: random.Random, *values: Any) -> Any:
    return chance.choice(values)


def _document(chance: random.Random, name: str, number: int) -> dict[str, Any]:
    """A clean or faulty document, with references to present or missing documents."""
    to_user, to_board = oid(chance.randrange(1, 7)), oid(chance.randrange(20, 27))
    odd = {} if chance.random() < 0.7 else {"unknown": _some(chance, 1, None, "\x00")}
    match name:
        case "Users":
            return user(number, name=_some(chance, "a", "b", 5), **odd)
        case "TodoList":
            return todo(number, _some(chance, str(to_user), str(to_user), "nobody", ""), **odd)
        case "crm_Accounts":
            watchers = [oid(chance.randrange(1, 7)) for _ in range(chance.randrange(3))]
            name_of = _some(chance, "a", "b", "c\x00", 7, True)
            return account(number, name=name_of, assigned_to=to_user, watchers=watchers, **odd)
        case "Boards":
            shared = [oid(chance.randrange(1, 7)) for _ in range(chance.randrange(3))]
            title = _some(chance, "t", "u", "v", 1.5, None)
            return board(number, chance.randrange(1, 7), sharedWith=shared, title=title, **odd)
    return section(number, _some(chance, to_board, to_board, str(to_board)), **odd)


NUMBERS = {"Users": 1, "TodoList": 40, "crm_Accounts": 10, "Boards": 20, "Sections": 30}


def _change(chance: random.Random, source: SourceDatabase, *, are_removed: bool) -> None:
    name = chance.choice(list(NUMBERS))
    number = NUMBERS[name] + chance.randrange(7)
    if are_removed and chance.random() < 0.4:
        source[name].delete_one({"_id": oid(number)})
        return
    document = _document(chance, name, number)
    source[name].replace_one({"_id": oid(number)}, document, upsert=True)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("seed", range(2))
def test_after_any_changes_rows_and_books_are_those_of_a_whole_load(
    source: SourceDatabase, constrained: Connection, bare: Connection, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(40):
        _change(chance, source, are_removed=False)
    load(source, constrained, *LOADED)
    as_before = 0
    for turn in range(3):
        for _ in range(chance.randrange(1, 5)):
            _change(chance, source, are_removed=turn % 2 == 1)
        results = [load(source, constrained, name) for name in LOADED]
        as_before += sum(result.as_before for result in results if result.is_converted)
        delete_all_pending(constrained)
        whole_loads = like_new(source, constrained, bare)
        for result in results:
            assert result.tally == whole_loads[result.table].tally
    assert as_before > 0


# --- Digests -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identifiers",
    [
        [],
        [ObjectId(), ObjectId()],
        [ObjectId(), "text", 7],
        [{"a": 1}, ObjectId(), None],
    ],
)
def test_the_documents_of_a_batch(identifiers: list[Any]) -> None:
    documents = [bson.encode({"_id": identifier, "a": "é" * 20}) for identifier in identifiers]
    batch = DigestedBatch("Users", b"".join(documents))
    assert len(batch) == len(documents)
    assert batch.keys == b"".join(
        document_uuid("Users", identifier).bytes for identifier in identifiers
    )
    for row, document in enumerate(documents):
        assert batch.only(np.array([row])) == document
        (digest,) = DigestedBatch("Users", document).kept
        assert batch.kept[row] == digest
    assert batch.only(np.arange(len(documents))) == b"".join(documents)


def test_a_document_with_a_trace_is_not_known() -> None:
    documents = [bson.encode({"_id": number}) for number in range(4)]
    batch, recorded = DigestedBatch("Users", b"".join(documents)), Record()
    recorded.add(batch, [1, 3])
    assert recorded.keys == [batch.keys]
    known = [recorded.digests[0][start : start + 16] for start in range(0, 64, 16)]
    assert batch.others(frozenset(known)).tolist() == [1, 3]
    assert batch.others(frozenset()).tolist() == [0, 1, 2, 3]


def test_a_collection_that_loses_all_documents(
    source: SourceDatabase, constrained: Connection
) -> None:
    source["crm_campaigns"].insert_many([campaign(oid(n)) for n in range(1, 4)])
    load(source, constrained, "crm_campaigns")
    source["crm_campaigns"].delete_many({})
    assert load(source, constrained, "crm_campaigns").merged == Merged(0, 0, 3, 0, 0)
    source["crm_campaigns"].insert_one(campaign(oid(1)))
    result = load(source, constrained, "crm_campaigns")
    assert (result.as_before, result.merged.inserted, issues(constrained, "crm_campaigns")) == (
        0,
        1,
        [],
    )
