"""Writing the documents of a dump into an empty database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from migration_assets.dump.reading import Dump
from migration_assets.dump.stream import DumpError
from migration_assets.errors import MigrationError
from migration_assets.source.connection import SourceDatabase
from migration_assets.text import counted
from migration_assets.urls import without_urls

_BATCH_BYTES = 8 * 1024 * 1024
_BATCH_DOCUMENTS = 5_000
_SAID = {
    11000: "two documents have the same _id",
    22: "a document is damaged",
    13: "the user may not write",
    8000: "the server has no room left, or does not take it",
}
"""What the codes of refusals mean; the server's own words may quote documents."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The restored collections.

    Attributes:
        documents: By collection, empty ones too.
    """

    documents: Counter[str] = field(default_factory=Counter)


def restore(
    dump: Dump, database: str, into: SourceDatabase, say: Callable[[str], None]
) -> Restored:
    """Restores the collections of one database of a dump, or nothing.

    Args:
        dump: The dump, open.
        database: The database in the dump.
        into: The database to fill.
        say: Is told how far it is.

    Raises:
        DumpError: The dump is damaged: what was restored until then is removed again.
        MigrationError: The database is not empty, or the server does not write.
    """
    where = f"MongoDB database {into.name}"
    with _reported(where):
        there = [name for name in into.list_collection_names() if not name.startswith("system.")]
    if there:
        raise MigrationError(
            f"the database is not empty: {counted(len(there), 'collection')}, {min(there)} among them",
            where=where,
            next_step="Name a database that there is not yet, such as --to "
            f"{_beside(into)}; nothing was changed",
        )
    restored = Restored()
    try:
        for collection in dump.collections:
            if collection.database == database and collection.kind == "collection":
                with _reported(f"{where}, collection {collection.name}"):
                    into.create_collection(collection.name, collation=collection.collation)
                restored.documents[collection.name] = 0
        for batch in _batches(dump.documents(database)):
            for name, documents in batch.items():
                restored.documents[name] += len(documents)
                with _reported(f"{where}, collection {name}"):
                    into[name].insert_many(map(RawBSONDocument, documents))
            say(f"restored {counted(restored.documents.total(), 'document')}")
        _verify(into, restored, where)
    except BaseException as error:
        _remove(into, restored, where)
        if isinstance(error, KeyboardInterrupt):
            raise MigrationError(
                "interrupted", where=where, next_step="What was restored is removed: start again"
            ) from None
        raise
    return restored


def _beside(into: SourceDatabase) -> str:
    """Returns the URL of another database of a server, without user and parameters."""
    host, port = into.client.address or ("host", 27017)
    return f"mongodb://{host}:{port}/{into.name}_rehearsal"


def _batches(documents: Iterator[tuple[str, bytes]]) -> Iterator[dict[str, list[bytes]]]:
    """Yields documents by collection, bounded in bytes."""
    batch: dict[str, list[bytes]] = {}
    size = count = 0
    for name, document in documents:
        batch.setdefault(name, []).append(document)
        size += len(document)
        count += 1
        if size >= _BATCH_BYTES or count >= _BATCH_DOCUMENTS:
            yield batch
            batch, size, count = {}, 0, 0
    if batch:
        yield batch


def _verify(into: SourceDatabase, restored: Restored, where: str) -> None:
    """Compares the number of restored documents with that of the dump."""
    for name, count in restored.documents.items():
        with _reported(where):
            restored_count = into[name].count_documents({})
        if restored_count != count:
            raise MigrationError(
                f"collection {name} has {restored_count:,} documents, the dump {count:,}",
                where=where,
                next_step="Let nobody else write to it, and start again; what was restored is removed",
            )


def _remove(into: SourceDatabase, restored: Restored, where: str) -> None:
    """Removes what was restored so far.

    Raises:
        MigrationError: It cannot be removed.
    """
    try:
        for name in restored.documents:
            into.drop_collection(name)
    except PyMongoError:
        raise MigrationError(
            "the restore did not end, and what it had restored could not be removed",
            where=where,
            next_step="Drop this database before you start again",
        ) from None


@contextmanager
def _reported(where: str) -> Iterator[None]:
    """Turns the driver's errors into one line; the server's words about a document are not passed on."""
    try:
        yield
    except BulkWriteError as error:
        refused = error.details["writeErrors"] or [{}]
        raise _refused(where, refused[0].get("code")) from None
    except OperationFailure as error:
        raise _refused(where, error.code) from None
    except PyMongoError as error:
        raise MigrationError(
            f"no answer: {without_urls(str(error)).split(', Timeout:')[0]}",
            where=where,
            next_step="Check that the server runs and can be reached from here, then start again",
        ) from None


def _refused(where: str, code: int | None) -> DumpError:
    return DumpError(
        f"the server refused it (code {code}: {_SAID.get(code or 0, 'see the log of the server')})",
        where=where,
        next_step="Check the dump where it was made, and that the user has the role readWrite; "
        "what was restored is removed",
    )
