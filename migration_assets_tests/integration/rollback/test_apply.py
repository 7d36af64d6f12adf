"""Applying an export: a write of somebody else between read and write is not overwritten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pymongo import MongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from migration_assets.rollback.apply import apply_gained
from migration_assets.rollback.files import ExportFiles
from migration_assets.rollback.operations import Delete, Insert, Operation, PairChange, Update
from migration_assets.source.connection import CODEC, Document


class Meddler(CommandListener):
    """Somebody who writes between the reading and the writing of the documents."""

    def __init__(self, write: Callable[[], object]) -> None:
        self.write: Callable[[], object] | None = write

    def started(self, event: CommandStartedEvent) -> None:
        """Does nothing."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Does nothing."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Writes, once."""
        if event.command_name == "find" and self.write is not None:
            write, self.write = self.write, None
            write()


MIGRATED = {"_id": 1, "a": 1, "b": [1, 2], "c": {"d": 1}}
MEDDLING: Mapping[str, tuple[Operation, Document | None, int]] = {
    "the field": (Update(1, {"a": 1}, {"a": 2}), {"$set": {"a": 9}}, 0),
    "the field's type": (Update(1, {"a": 1}, {"a": 2}), {"$set": {"a": 1.0}}, 0),
    "a number within": (Update(1, {"c": {"d": 1}}, {}, ("c",)), {"$set": {"c.d": 1.0}}, 0),
    "the array": (Update(1, {"b": [1, 2]}, {"b": []}), {"$push": {"b": 3}}, 0),
    "the array is an element": (Update(1, {"b": [1, 2]}, {"b": []}), {"$set": {"b": [[1, 2]]}}, 0),
    "a field that was missing": (Update(1, {}, {"e": 2}), {"$set": {"e": None}}, 0),
    "a field that was to go": (Update(1, {"a": 1}, {}, ("a",)), {"$set": {"a": None}}, 0),
    "another field": (Update(1, {"a": 1}, {"a": 2}), {"$set": {"c": 9}}, 1),
    "the document is gone": (Update(1, {"a": 1}, {"a": 2}), None, 0),
    "a document that was to go": (Delete(1, MIGRATED), {"$set": {"new": 1}}, 0),
    "a type in a document that was to go": (Delete(1, MIGRATED), {"$set": {"c.d": 1.0}}, 0),
    "a new document": (Insert({"_id": 2, "a": 1}), {"$set": {"a": 9}}, 1),
    "another element of a pair's array": (PairChange(1, "b", (7,), (1,)), {"$push": {"b": 3}}, 1),
    "a pair's array is none": (PairChange(1, "b", (7,), (1,)), {"$set": {"b": "text"}}, 0),
    "a pair's document is gone": (PairChange(1, "b", (7,), (1,)), None, 0),
}


@pytest.mark.parametrize(
    ("operation", "meddling", "applied"), MEDDLING.values(), ids=MEDDLING.keys()
)
def test_a_write_after_the_comparison_is_not_overwritten(
    source_url: str, tmp_path: Path, operation: Operation, meddling: Document | None, applied: int
) -> None:
    """The documents of the same bulk that nobody wrote to are overwritten."""
    with MongoClient[Document](source_url) as other:
        documents = other.get_default_database()["Boards"]
        documents.insert_many([MIGRATED, {"_id": 3, "a": 1}])

        def meddle() -> None:
            if meddling is None:
                documents.delete_one({"_id": 1})
            else:
                documents.update_one({"_id": 1}, meddling)
            expected.append(documents.find_one({"_id": 1}))

        expected: list[Document | None] = []
        with ExportFiles(tmp_path / "export") as files:
            files.operation("Boards", operation)
            files.operation("Boards", Update(3, {"a": 1}, {"a": 2}))
            manifest = files.finish(
                made_at="", source="", target="", tables={}, unknown_columns={}, unknown_tables=()
            )
        with MongoClient[Document](source_url, event_listeners=[Meddler(meddle)]) as client:
            database = client.get_default_database().with_options(codec_options=CODEC)
            outcome = apply_gained(tmp_path / "export", manifest, database, write=True)
        assert sum(outcome.pending.values()) == applied + 1
        assert outcome.conflicts == 1 - applied
        if not applied:
            assert documents.find_one({"_id": 1}) == expected[0]
        assert documents.find_one({"_id": 3}) != {"_id": 3, "a": 1}
