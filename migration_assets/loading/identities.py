"""Loading the UUID map: the identity of every document (section 4).

Of known collections only the index on `_id` is read; documents of collections that the model does not
know, time series among them, are kept whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl
import sqlalchemy as sa

from migration_assets.arrow import of_width
from migration_assets.conversion.batches import Books, ConvertedBatch, readable
from migration_assets.identity import (
    OBJECT_ID_BYTES,
    UUID_BYTES,
    canonical,
    object_id_uuids,
    source_id,
    source_uuid,
)
from migration_assets.loading.jobs import Conversion, Job, Reading
from migration_assets.loading.load import load, silent
from migration_assets.loading.records import LoadResult
from migration_assets.loading.stage import ready
from migration_assets.loading.staging import Staging
from migration_assets.model import Model
from migration_assets.remediation.applying import Remedies
from migration_assets.source.collections import collection_types
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.source.fields import UnreadableError, decoded_whole
from migration_assets.source.ranges import about_how_many
from migration_assets.source.reading import (
    document_bounds,
    documents_per_batch,
    identifier,
    leading_object_ids,
    split,
)
from migration_assets.source.united import collections_of, require_one_of_each
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.target.connection import Connection
from migration_assets.workers import ALONE, Workers

_MANY = 50
"""How many times as many documents as are worth a worker elsewhere are worth it here."""
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


@dataclass(frozen=True)
class IdentitiesJob(Job):
    """Brings ``migration.uuid_map`` to the state of the source."""

    table_name: str = uuid_map.name

    @property
    def table(self) -> sa.Table:
        """The map."""
        return uuid_map

    def readings(self, source: SourceDatabase) -> list[Reading]:
        """Returns the ids of known collections, each by itself, and unknown collections as a whole."""
        known = [
            Reading(name, fields=(), stands_in=stands_in)
            for name in sorted(self.model.entities, key=str.casefold)
            for stands_in in collections_of(source, name)
        ]
        unknown = unknown_collections(self.model, source).items()
        return [*known, *(Reading(name, has_order=kind != _TIME_SERIES) for name, kind in unknown)]

    def conversion(self, staging: Staging, reading: Reading) -> Conversion:
        """Returns what makes identities of documents."""
        del staging
        if reading.collection not in self.model.entities:
            return partial(_unknown, reading.collection)
        counted = None if reading.stands_in == reading.collection else reading.stands_in
        return partial(_known, reading.collection, counted)

    def fingerprints(
        self, connection: Connection, contents: Mapping[str, ContentDigest]
    ) -> Mapping[str, str]:
        """Returns none: of known collections the ids alone are read."""
        del connection, contents
        return {}


def load_identities(
    model: Model,
    source: SourceDatabase,
    connection: Connection,
    *,
    say: Callable[[str], None] = silent,
    workers: Workers = ALONE,
) -> LoadResult:
    """Brings ``migration.uuid_map`` to the state of the source.

    Args:
        model: The application's tables.
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        say: Is told what an operator wants to know.
        workers: Who helps, if there are very many documents; who will help with the tables is started here.

    Raises:
        LoadError: Another session loads it.
        SourceError: MongoDB is out of reach, or collections that count as one have an `_id` in common.
        TargetError: PostgreSQL is out of reach.
    """
    require_one_of_each(source)
    sizes = [about_how_many(source[name]) for name in model.entities]
    if workers.is_worth(max(sizes)):
        workers.start(max(sizes) // documents_per_batch(), ready)
    # To import what a worker needs takes as long as to make the identities of half of these.
    helpers = workers if sum(sizes) >= _MANY * workers.rows else ALONE
    return load(source, connection, IdentitiesJob(model), say=say, workers=helpers)


def _known(collection: str, counted: str | None, data: bytes) -> ConvertedBatch:
    rows, books = identities(collection, data), Books()
    if counted is not None:
        books.conversions["_id", COUNTED_AS, counted_of(counted)] += rows.height
    return ConvertedBatch(rows.height, rows, books, traced=())


def counted_of(collection: str) -> str:
    """Returns what the books say of documents that stand in another collection than they count as."""
    return f"documents of {collection}"


def _unknown(collection: str, data: bytes) -> ConvertedBatch:
    return ConvertedBatch(0, identities(collection, b""), kept_whole(data), traced=())


def identities(collection: str, data: bytes) -> pl.DataFrame:
    """Returns collection, UUID and source id of documents, given as BSON one after the other."""
    bounds = document_bounds(data)
    object_ids = leading_object_ids(data, bounds)
    if object_ids is not None:
        uuids = object_id_uuids(object_ids)
        source_ids = of_width(object_ids, OBJECT_ID_BYTES).bin.encode("hex")
    else:
        written = [source_id(identifier(document)) for document in split(data)]
        uuids = b"".join(source_uuid(collection, written_id).bytes for written_id in written)
        source_ids = pl.Series(written, dtype=pl.String)
    ids = of_width(uuids, UUID_BYTES)
    return pl.DataFrame({"id": ids, "source_id": source_ids}).select(
        pl.lit(collection).alias("collection"), "id", "source_id"
    )


def kept_whole(data: bytes) -> Books:
    """Returns the books of documents, as BSON one after the other, of which the model knows no field."""
    books = Books()
    try:
        documents = decoded_whole(data)
    except UnreadableError:
        documents = decoded_whole(readable(data, books, Remedies()))
    books.unmapped += [
        (source_id(document.get("_id")), canonical(document)) for document in documents
    ]
    return books
