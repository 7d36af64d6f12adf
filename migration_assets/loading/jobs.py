"""What is to be loaded: which documents a load of a table reads, and what it makes of them.

A job is told in names and rules alone, so that another process can be told of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb
from typing import Any

import psycopg
import sqlalchemy as sa
from pymongo.collection import Collection

from migration_assets.conversion.batches import ConvertedBatch
from migration_assets.errors import LoadError, MigrationError
from migration_assets.identity import source_id
from migration_assets.known_ids import Loaded
from migration_assets.loading.lookup import Lookup, assumed_ids
from migration_assets.loading.staging import Staging
from migration_assets.model import Model
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import Document, SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.source.ranges import WHOLE, Range, ranges_of
from migration_assets.source.reading import identifier, split
from migration_assets.source.united import collections_of
from migration_assets.target.connection import Connection

Conversion = Callable[[bytes], ConvertedBatch]
"""Makes rows and books of documents, as BSON one after the other."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of a collection.

    Attributes:
        collection: The collection that the documents are of.
        array: The array that is read of them, None where it is none.
        fields: The fields that are read besides `_id`, None where all are.
        stands_in: The collection that they stand in, where each is read by itself.
        has_order: Whether they can be read in the order of `_id`: those of a time series cannot.
    """

    collection: str
    array: str | None = None
    fields: tuple[str, ...] | None = None
    stands_in: str | None = None
    has_order: bool = True

    def named_in(self, range_of_ledger: Mapping[str, Any]) -> bool:
        """Tells whether a range, as the ledger has it, is of this reading."""
        return {**range_of_ledger, **self._name()} == range_of_ledger

    def ranges(self, source: SourceDatabase) -> Iterator[dict[str, Any]]:
        """Yields the ranges that it is cut into, as the ledger has them."""
        collection = self._collection(source)
        ranges = (
            ranges_of(collection, of_parts=self.fields is not None) if self.has_order else [WHOLE]
        )
        for span in ranges:
            yield {**self._name(), **span.as_json()}

    def batches(
        self, source: SourceDatabase, range_of_ledger: Mapping[str, Any]
    ) -> Iterator[bytes]:
        """Yields the documents of a range, given as the ledger has it, as BSON one after the other."""
        return Range.from_json(range_of_ledger).batches(
            self._collection(source),
            projection=None if self.fields is None else dict.fromkeys(["_id", *self.fields], 1),
            by_identifier=self.has_order,
        )

    def _name(self) -> dict[str, Any]:
        return {"collection": self.collection, "array": self.array, "stands_in": self.stands_in}

    def _collection(self, source: SourceDatabase) -> Collection[Document]:
        if self.stands_in is None:
            return source[self.collection]
        return collections_of(source, self.collection)[self.stands_in]


@dataclass(frozen=True)
class Job(ABC):
    """What a load of a table does. It can be pickled.

    Attributes:
        model: The application's tables.
        table_name: Name of the table.
        remediations: The rules that documents are converted with.
    """

    model: Model
    table_name: str
    remediations: Remediations = NO_REMEDIATIONS

    @property
    def table(self) -> sa.Table:
        """The table."""
        return self.model.tables[self.table_name]

    @property
    def looks_ids_up(self) -> bool:
        """Whether what a document becomes hangs on more than itself."""
        return False

    @property
    def keeps_record(self) -> bool:
        """Whether it is recorded which documents were read, so that the next load converts others alone."""
        return False

    @abstractmethod
    def readings(self, source: SourceDatabase) -> list[Reading]:
        """Returns what is read."""

    def ids(self, connection: Connection) -> Loaded:
        """Returns the ids that references may point to: asked for, or taken for granted."""
        if self.looks_ids_up:
            return Lookup(connection, self.table)
        return assumed_ids(connection, self.table)

    @abstractmethod
    def conversion(self, staging: Staging, reading: Reading) -> Conversion:
        """Returns what converts the documents of a reading."""

    @abstractmethod
    def fingerprints(
        self, connection: Connection, contents: Mapping[str, ContentDigest]
    ) -> Mapping[str, str]:
        """Returns the fingerprints of what was read, given the digests by collection."""

    def complete(self, source: SourceDatabase, staging: Staging) -> None:
        """Completes what is staged, in the merging transaction."""
        del source, staging


def reading_of(readings: Sequence[Reading], range_of_ledger: Mapping[str, Any]) -> Reading | None:
    """Returns which reading a range, as the ledger has it, is of; None where it is of none."""
    return next((reading for reading in readings if reading.named_in(range_of_ledger)), None)


def converted_by(conversion: Conversion, collection: str, data: bytes) -> ConvertedBatch:
    """Returns what a conversion makes of documents.

    Raises:
        LoadError: It fails, as no document should make it; the first that does is named. What the error
            itself says may quote a value, and is left out.
    """
    try:
        return conversion(data)
    except (MigrationError, MemoryError, psycopg.Error):
        raise
    except Exception as error:
        failure = _failure(conversion, collection, data, error)
    raise failure


def _failure(conversion: Conversion, collection: str, data: bytes, error: Exception) -> LoadError:
    which = "documents of a batch"
    for document in split(data):
        try:
            conversion(document)
        except Exception as alone:
            error, which = alone, f"the document with _id {source_id(identifier(document))[:80]}"
            break
    place = extract_tb(error.__traceback__)[-1]
    code = f"{Path(place.filename).name} line {place.lineno}, in {place.name}"
    failure = LoadError(
        f"the conversion of {which} ended by an unexpected {type(error).__name__} ({code})",
        where=collection,
        next_step="Nothing of the table was changed: report this line, with the types of its fields",
    )
    return failure.with_traceback(error.__traceback__)
