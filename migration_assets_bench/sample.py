"""The source of all measurements: a sample, the same with 1 % changed, and the rows that it must become."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo import MongoClient, UpdateOne
from pymongo.database import Database

from migration_assets.model import Junction, Rule, sources, unique_columns
from migration_assets.nextcrm import ENTITIES, JUNCTIONS
from migration_assets.nextcrm.sample import generate
from migration_assets_bench.tasks import CHANGED, DIRTY, TEXT_IDS, Done, Task

EVERY = 100
"""One document in this many is changed."""

_BATCH = 1000
_FAULTS = 0.05
"""Faults of the dirty sample for each clean document."""


def make(task: Task) -> Done:
    """Makes a sample, and the same again with 1 % changed; counts the rows that each table must have.

    Options: scale, seed, and the URL of the changed one.
    """
    started = time.perf_counter()
    with MongoClient[dict[str, Any]](task.source) as client:
        database = client.get_default_database()
        _generate(database, task)
        counts = {name: database[name].count_documents({}) for name in ENTITIES}
        for name, table in JUNCTIONS.items():
            counts[name] = len(_pairs(database, table.info["junction"]))
    with MongoClient[dict[str, Any]](task.options["changed"]) as client:
        database = client.get_default_database()
        _generate(database, task)
        counts[CHANGED] = sum(_change(database, name) for name in ENTITIES)
    return Done(time.perf_counter() - started, counts=counts)


def make_variant(task: Task) -> Done:
    """Makes a sample that is harder to migrate: with faults, or without an ObjectId in it.

    Options: scale, seed, and which of ``tasks.DIRTY`` and ``tasks.TEXT_IDS``.
    """
    started = time.perf_counter()
    variant = task.options["variant"]
    # Some dates of the sample are beyond Python's years.
    with MongoClient[dict[str, Any]](task.source, datetime_conversion="DATETIME_AUTO") as client:
        database = client.get_default_database()
        _generate(database, task, dirty=_FAULTS if variant == DIRTY else 0.0)
        if variant == TEXT_IDS:
            for name in database.list_collection_names(filter={"type": "collection"}):
                _write_ids_as_texts(database, name)
    return Done(time.perf_counter() - started)


def _write_ids_as_texts(database: Database[dict[str, Any]], name: str) -> None:
    """Writes a collection anew, with a text in place of each ObjectId."""
    new = database[f"{name} with texts"]
    documents = database[name].find({}, sort=[("_id", 1)])
    while batch := list(islice(documents, _BATCH)):
        new.insert_many([with_texts(document) for document in batch], ordered=False)
    if database[name].estimated_document_count():
        new.rename(name, dropTarget=True)


def with_texts(value: Any, text: str = "id-{}") -> Any:
    """Returns a value in which no ObjectId is left, nor a reference that was held as its text.

    Args:
        value: What a document holds, or the whole of it.
        text: What stands for an ObjectId, with a place for its digits.
    """
    if isinstance(value, ObjectId) or (isinstance(value, str) and ObjectId.is_valid(value)):
        return text.format(value)
    if isinstance(value, dict):
        return {key: with_texts(held, text) for key, held in value.items()}
    return [with_texts(held, text) for held in value] if isinstance(value, list) else value


def warm(task: Task) -> Done:
    """Reads all of the source once, so that each measurement finds it in memory alike."""
    started = time.perf_counter()
    with MongoClient[dict[str, Any]](task.source) as client:
        size = read(client.get_default_database())
    return Done(time.perf_counter() - started, counts={"bytes": size})


def read(database: Database[dict[str, Any]]) -> int:
    """Reads all collections as raw batches and returns how many bytes that were."""
    return sum(
        len(batch)
        for name in database.list_collection_names(filter={"type": "collection"})
        for batch in database[name].find_raw_batches({})
    )


def _generate(database: Database[dict[str, Any]], task: Task, dirty: float = 0.0) -> None:
    generate(database, scale=task.options["scale"], seed=task.options["seed"], dirty=dirty)


def _change(database: Database[dict[str, Any]], collection: str) -> int:
    """Changes a text of every hundredth document and returns how many those were."""
    field = _text_field(collection)
    if field is None:
        return 0
    updates: list[UpdateOne] = []
    changed = 0
    found = database[collection].find({}, {"_id": True}, sort=[("_id", 1)])
    for number, document in enumerate(found):
        if number % EVERY == 0:
            new = {"$set": {field: f"changed {number}"}}
            updates.append(UpdateOne({"_id": document["_id"]}, new))
        if len(updates) == _BATCH:
            changed += database[collection].bulk_write(updates).modified_count
            updates = []
    if updates:
        changed += database[collection].bulk_write(updates).modified_count
    return changed


def _text_field(collection: str) -> str | None:
    """Returns a field that may hold any text, None where the collection has none."""
    table = ENTITIES[collection]
    unique = unique_columns(table)
    for column, source in sources(table).items():
        if source.rule is Rule.TEXT and column not in unique:
            return source.field
    return None


def _pairs(database: Database[dict[str, Any]], relation: Junction) -> set[bytes]:
    """Returns the pairs of both arrays whose two documents exist."""
    known = {
        side.collection: {each["_id"] for each in database[side.collection].find({}, {"_id": True})}
        for side in (relation.left, relation.right)
    }
    return {
        left.binary + right.binary
        for left, right in _every_pair(database, relation)
        if left in known[relation.left.collection] and right in known[relation.right.collection]
    }


def _every_pair(
    database: Database[dict[str, Any]], relation: Junction
) -> Iterator[tuple[ObjectId, ObjectId]]:
    for holder, array, _ in relation.arrays():
        for document in database[holder.collection].find({array: {"$type": "array"}}, {array: 1}):
            for element in document[array]:
                one, other = document["_id"], element
                yield (one, other) if holder == relation.left else (other, one)
