"""Loading the UUID map: the identity of every document (section 4).

Of known collections only the index on `_id` is read; documents of collections that the model does not
know, time series among them, are kept whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import polars as pl

from migration_assets.arrow import of_width
from migration_assets.conversion.batches import Books, readable
from migration_assets.identity import (
    OBJECT_ID_BYTES,
    UUID_BYTES,
    canonical,
    document_uuid,
    object_id_uuids,
    source_id,
)
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import load, silent
from migration_assets.loading.parts import Conversion, Converted, Part, ready
from migration_assets.model import Model
from migration_assets.second_process import SecondProcess
from migration_assets.source.collections import collection_types
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.fields import UnreadableError, decoded_whole
from migration_assets.source.origin import origin_of
from migration_assets.source.reading import (
    ID_ALONE,
    identifier,
    object_ids_alone,
    raw_batches,
    split,
)
from migration_assets.source.snapshots import moment_read
from migration_assets.source.united import collections_of, require_one_of_each
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.target.connection import Connection

_TIME_SERIES = "timeseries"
COUNTED_AS = "counted_as"


def unknown_collections(model: Model, source: SourceDatabase) -> Mapping[str, str]:
    """Returns the type of each collection that the model does not know, MongoDB's own apart.

    Time series are among them, views are not: they hold no documents of their own.
    """
    return {
        name: kind
        for name, kind in collection_types(source).items()
        if name not in model.entities and kind != "view"
    }


def load_identities(
    model: Model,
    source: SourceDatabase,
    connection: Connection,
    *,
    say: Callable[[str], None] = silent,
    second: SecondProcess | None = None,
) -> LoadResult:
    """Brings ``migration.uuid_map`` to the state of the source.

    Args:
        model: The application's tables.
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        say: Is told what an operator wants to know.
        second: What converts the documents of large collections, later: it is started here.

    Raises:
        LoadError: Another session loads it.
        SourceError: MongoDB is out of reach, or collections that count as one have an `_id` in common.
        TargetError: PostgreSQL is out of reach.
    """

    def parts() -> Iterator[Part]:
        for name in sorted(model.entities, key=str.casefold):
            size = 0
            for stands_in, collection in collections_of(source, name).items():
                counted = None if stands_in == name else stands_in
                for batch in raw_batches(collection, projection={"_id": 1}):
                    size += len(batch.data)
                    if second is not None and second.is_worth(size // ID_ALONE):
                        second.start(ready)
                    yield Part(name, batch.data, counted=counted)
        for name, kind in unknown_collections(model, source).items():
            for batch in raw_batches(source[name], by_identifier=kind != _TIME_SERIES):
                yield Part(name, batch.data)

    require_one_of_each(source)
    return load(
        connection,
        uuid_map,
        parts,
        lambda _: partial(_conversion, model),
        fingerprints=lambda _: {},
        origin=origin_of(source),
        moment=moment_read(source),
        say=say,
    )


def _conversion(model: Model, part: Part) -> Conversion:
    if part.collection in model.entities:
        return partial(_known, part.collection, part.counted)
    return partial(_unknown, part.collection)


def _known(collection: str, counted: str | None, data: bytes) -> Converted:
    rows, books = identities(collection, data), Books()
    if counted is not None:
        books.conversions["_id", COUNTED_AS, counted_of(counted)] += rows.height
    return Converted(rows.height, rows, books)


def counted_of(collection: str) -> str:
    """Returns what the books say of documents that stand in another collection than they count as."""
    return f"documents of {collection}"


def _unknown(collection: str, data: bytes) -> Converted:
    return Converted(0, identities(collection, b""), kept_whole(data))


def identities(collection: str, data: bytes) -> pl.DataFrame:
    """Returns collection, UUID and source id of documents, given as BSON one after the other."""
    object_ids = object_ids_alone(data)
    if object_ids is not None:
        ids = of_width(object_id_uuids(object_ids), UUID_BYTES)
        source_ids = of_width(object_ids, OBJECT_ID_BYTES).bin.encode("hex")
    else:
        identifiers = [identifier(document) for document in split(data)]
        ids = pl.Series(
            [document_uuid(collection, each).bytes for each in identifiers], dtype=pl.Binary
        )
        source_ids = pl.Series(map(source_id, identifiers), dtype=pl.String)
    return pl.DataFrame({"id": ids, "source_id": source_ids}).select(
        pl.lit(collection).alias("collection"), "id", "source_id"
    )


def kept_whole(data: bytes) -> Books:
    """Returns the books of documents, as BSON one after the other, of which the model knows no field."""
    books = Books()
    try:
        documents = decoded_whole(data)
    except UnreadableError:
        documents = decoded_whole(readable(data, books))
    books.unmapped += [(source_id(each.get("_id")), canonical(each)) for each in documents]
    return books
