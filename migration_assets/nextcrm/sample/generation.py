"""Writing a sample into MongoDB: batch after batch, so that its size costs time and no memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from types import MappingProxyType
from typing import Any

from pymongo.database import Database

from migration_assets.nextcrm import ENTITIES
from migration_assets.nextcrm.sample.documents import Document, SampleCollection
from migration_assets.nextcrm.sample.extras import UNKNOWN_COLLECTION, extras, unknown_collection
from migration_assets.nextcrm.sample.ledger import Entry, Ledger
from migration_assets.nextcrm.sample.population import Population

Progress = Callable[[str, int], None]
"""Is told the collection that is being written, and how many of its documents are."""

_BATCH = 1000
_WAITING = 2
"""Batches that wait for the server while the next one is made."""


def generate(
    database: Database[Any],
    *,
    scale: float = 1.0,
    seed: int = 1,
    dirty: float = 0.0,
    progress: Progress | None = None,
) -> Ledger:
    """Writes a NextCRM database.

    The clean documents depend on scale and seed alone; faulty ones are added to them.

    Args:
        database: A database without documents.
        scale: Size; 1 is about 27,000 documents and 21,000 pairs.
        seed: Same seed and scale, same bytes.
        dirty: Faults for each clean document, 0 to 1. Above 0, every kind of fault occurs at least
            once for each sort of column besides: about 420 more, whatever the size.
        progress: Is called after each batch.

    Returns:
        What was written, with an entry for each fault.

    Raises:
        ValueError: The database has documents, or a number is out of range.
    """
    if not 0 <= dirty <= 1:
        raise ValueError(f"dirty must be between 0 and 1, not {dirty}")
    refuse_documents(database)
    population = Population(scale=scale, seed=seed)
    added = extras(population, dirty) if dirty else {}
    entries: list[Entry] = []
    written: dict[str, int] = {}
    for name in sorted(ENTITIES):
        collection = SampleCollection(name, population)
        faulty = added.get(name, [])
        documents = chain(collection.documents(), (extra.document(collection) for extra in faulty))
        written[name] = write(database, name, documents, progress)
        entries += chain.from_iterable(extra.entries for extra in faulty)
    if dirty:
        entry, unknown = unknown_collection()
        entries.append(entry)
        written[UNKNOWN_COLLECTION] = write(database, UNKNOWN_COLLECTION, unknown, progress)
    return Ledger(documents=MappingProxyType(written), entries=tuple(sorted(entries)))


def refuse_documents(database: Database[Any]) -> None:
    """Refuses a database that has documents.

    Raises:
        ValueError: It has some.
    """
    for name in database.list_collection_names():
        if database[name].find_one({}, {"_id": True}) is not None:
            raise ValueError(f"the database {database.name} is not empty: it has {name}")


def write(
    database: Database[Any],
    name: str,
    documents: Iterable[Document],
    progress: Progress | None,
) -> int:
    """Inserts documents and returns how many; the server works while the next batch is made."""
    collection, total = database[name], 0
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(max_workers=1) as executor:
        for batch in _batches(iter(documents)):
            waiting.append(executor.submit(collection.insert_many, batch, ordered=False))
            if len(waiting) > _WAITING:
                waiting.popleft().result()
            total += len(batch)
            if progress is not None:
                progress(name, total)
        for future in waiting:
            future.result()
    return total


def _batches(documents: Iterator[Document]) -> Iterator[list[Document]]:
    while batch := list(islice(documents, _BATCH)):
        yield batch
