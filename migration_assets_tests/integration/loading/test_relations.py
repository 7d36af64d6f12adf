"""References are resolved in the staged rows: rows, books and counts as if each id were looked up."""

from __future__ import annotations

import random
from typing import Any

import pytest
from bson import ObjectId

from migration_assets.conversion.values import NOT_UNIQUE
from migration_assets.errors import LoadError
from migration_assets.loading import lookup, relations
from migration_assets.loading.documents import DocumentsJob
from migration_assets.loading.lookup import AskedIds
from migration_assets.loading.pairs import PairsJob
from migration_assets.settings import DOCUMENTS_PER_BATCH
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets_tests.integration.loading.test_loading import (
    account,
    bare,
    board,
    empty,
    everything,
    interrupted,
    load,
    oid,
    opened,
    rejected,
    rows,
    shared_bare,
    source,
    uid,
    user,
)

__all__ = ["bare", "opened", "shared_bare", "source"]

NAMES = [
    "uuid_map",
    "Users",
    "crm_Industry_Type",
    "Documents_Types",
    "crm_Accounts",
    "Boards",
    "Sections",
    "TodoList",
    "Documents",
    "BoardWatchers",
    "DocumentsToAccounts",
]
HEX = f"{77:024x}"
"""A text that is an `_id`, and the digits of another one's ObjectId."""


def faulty(source: SourceDatabase, *, seed: int) -> None:
    """Writes documents of all kinds of ids, with right and wrong references to each other."""
    chance = random.Random(seed)
    texts = ["a text", 'another "é"']
    users: list[Any] = [*map(oid, range(1, 80)), HEX, *texts, 5, 2.5, {"a": 1}]
    wrong: list[Any] = [
        oid(900),
        f"{901:024x}",
        "nobody",
        7,
        {"a": 2},
        [oid(1), oid(2)],
        True,
        "",
        None,
    ]
    wrong += [[oid(3)], str(oid(4)), str(oid(5)).upper(), oid(79)]

    def one(ids: list[Any]) -> Any:
        return chance.choice(wrong if chance.random() < 0.2 else ids)

    def several(ids: list[Any]) -> Any:
        if chance.random() < 0.2:
            return [chance.choice([*texts, "nobody"]) for _ in range(chance.randrange(4))]
        return (
            one(ids) if chance.random() < 0.1 else [one(ids) for _ in range(chance.randrange(14))]
        )

    source["Users"].insert_many(
        user(0, email=f"{number}@example.com") | {"_id": identifier}
        for number, identifier in enumerate(users)
    )
    source["Users"].update_one({"_id": oid(79)}, {"$set": {"userStatus": "none"}})  # rejected
    accounts = [oid(number) for number in range(100, 130)]
    source["crm_Accounts"].insert_many(
        account(0, assigned_to=one(users), createdBy=one(users)) | {"_id": identifier}
        for identifier in accounts
    )
    boards = [oid(number) for number in range(200, 260)]
    source["Boards"].insert_many(
        board(0, 1)
        | {
            "_id": identifier,
            "user": one(users),
            "sharedWith": several(users),
            "watchers": several(users),
        }
        for identifier in boards
    )
    source["Users"].update_many({}, {"$set": {"watching_boardsIDs": several(boards)}})
    source["Sections"].insert_many(
        {"_id": oid(number), "__v": 0, "title": "t", "board": one(boards)}
        for number in range(300, 360)
    )
    base = {"createdAt": "x", "description": "", "title": "t", "url": "u"}
    source["TodoList"].insert_many(
        {"_id": oid(number), **base, "user": one(users)} for number in range(400, 440)
    )
    files = [*map(oid, range(500, 540)), f"{540:024x}"]
    named = {"document_name": "n", "document_file_mimeType": "m", "document_file_url": "u"}
    source["Documents"].insert_many(
        {
            "_id": identifier,
            **named,
            "assigned_user": one(users),
            "connected_documents": several(list(map(str, files))),
            "accountsIDs": several(accounts),
        }
        for identifier in files
    )


def loaded(source: SourceDatabase, target: Connection) -> tuple[list[Any], dict[str, list[str]]]:
    return [load(source, target, name).tally for name in NAMES], everything(target)


@pytest.mark.parametrize("seed", range(2))
def test_relations_are_found_as_if_each_id_were_looked_up(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    faulty(source, seed=seed)
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "9")
    with monkeypatch.context() as patch:
        for job in (DocumentsJob, PairsJob):
            patch.setattr(job, "looks_ids_up", True)
        expected = loaded(source, bare)
    assert any(tally.lossy["orphaned"] for tally in expected[0])
    assert any(tally.rejected for tally in expected[0])
    for most_texts in (10_000, 0):
        monkeypatch.setattr(lookup, "_MOST_TEXTS", most_texts)
        empty(bare)
        assert loaded(source, bare) == expected, most_texts


def test_no_id_is_looked_up_for_documents_that_are_as_they_should_be(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    source["Users"].insert_many([user(1, watching_boardsIDs=[oid(3)]), user(2)])
    source["Boards"].insert_one(board(3, 1, sharedWith=[oid(2)], watchers=[oid(1), oid(2)]))

    def ask(*_: Any) -> bool:
        raise AssertionError

    monkeypatch.setattr(AskedIds, "ask", ask)
    load(source, bare, "uuid_map", "Users", "Boards", "BoardWatchers")
    assert rows(bare, "Boards", "id", "sharedWith") == [(uid(3), [uid(2)])]


def test_who_has_a_unique_value_is_told_by_the_order_of_ids(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "2")
    source["Users"].insert_many(
        [
            user(9, email="a"),
            user(3, email="a", userStatus="none"),  # no row, so it does not have the value
            user(4, email="a"),
            user(0) | {"_id": 7, "email": "b"},  # numbers stand before ObjectIds
            user(5, email="b"),
            user(6, email="c"),
            user(8, email="c", userStatus="none"),
        ]
    )
    load(source, bare, "uuid_map", "Users")
    assert sorted(email for (email,) in rows(bare, "Users", "email")) == ["a", "b", "c"]
    assert {uid(4), uid(6)} < {id_ for (id_,) in rows(bare, "Users", "id")}
    reasons = {row[0]: row for row in rejected(bare, "Users")}
    assert NOT_UNIQUE in str(reasons[str(oid(9))])
    assert NOT_UNIQUE in str(reasons[str(oid(5))])
    assert NOT_UNIQUE in str(reasons[str(oid(8))])
    assert NOT_UNIQUE not in str(reasons[str(oid(3))])


@pytest.mark.parametrize("identifier", [ObjectId(), "a text"])
def test_a_document_that_is_gone_when_it_is_read_again_ends_the_load(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch, identifier: Any
) -> None:
    load(source, bare, "uuid_map", "Users", "crm_Industry_Type")
    source["crm_Accounts"].insert_one(account(1, assigned_to=oid(2)) | {"_id": identifier})

    def delete(*_: Any) -> None:
        source["crm_Accounts"].delete_many({})

    with monkeypatch.context() as patch:
        interrupted(patch, relations.Doubtful, "convert_again", delete)
        with pytest.raises(LoadError, match="no longer there") as raised:
            load(source, bare, "crm_Accounts")
    assert raised.value.is_transient
    assert rows(bare, "crm_Accounts", "id") == []
    assert load(source, bare, "crm_Accounts").documents == 0


def test_many_orphans_are_converted_again_a_batch_at_a_time(
    source: SourceDatabase, bare: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relations, "_AT_ONCE", 10)
    source["Users"].insert_one(user(1))
    source["crm_Accounts"].insert_many(
        account(number, assigned_to=oid(number)) for number in range(100, 155)
    )
    result = load(source, bare, "uuid_map", "Users", "crm_Industry_Type", "crm_Accounts")
    assert result.tally.lossy == {"orphaned": 55}
    assert len(rows(bare, "crm_Accounts", "id")) == 55
