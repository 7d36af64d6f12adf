"""The parts of a load, and converting them: here, and in a second process while that is free.

Which process converts a part makes no difference to what is written, nor to its order. What comes back from
the second process is encoded already; where it dies, its parts are converted here.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from traceback import extract_tb

import polars as pl
import sqlalchemy as sa

from migration_assets.conversion.batches import Books
from migration_assets.errors import LoadError, MigrationError
from migration_assets.identity import source_id
from migration_assets.loading.digests import Record
from migration_assets.loading.ledger import Tally
from migration_assets.loading.pipeline import Stopwatch, shared_out, without_cycle_detection
from migration_assets.loading.staging import Lines, staged_batch
from migration_assets.model import Model, model_of
from migration_assets.second_process import SecondProcess
from migration_assets.source.reading import identifier, split


@dataclass(frozen=True, slots=True)
class Converted:
    """A part as it goes to PostgreSQL.

    Attributes:
        documents: How many documents or elements it held.
        rows: The rows, those of documents that are as before left out.
        books: What explains the difference.
        as_before: How many documents are those of the last load and were not converted.
        record: What tells the next load which of the documents are others, None where nothing does.
    """

    documents: int
    rows: pl.DataFrame
    books: Books
    as_before: int = 0
    record: Record | None = None


Conversion = Callable[[bytes], Converted]
"""Makes rows and books of documents."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some documents of the source.

    Attributes:
        collection: The collection that they are of.
        data: The documents as BSON, one after the other.
        array: The one field that was read of them besides `_id`, None where all were.
        counted: The collection that they stand in, where it counts as this one.
    """

    collection: str
    data: bytes = field(repr=False)
    array: str | None = None
    counted: str | None = None


Conversions = Callable[[Part], Conversion]
"""Returns what converts a part; of one collection and array it is the same."""


@dataclass(frozen=True, slots=True)
class Item:
    """A part that is to be converted.

    Attributes:
        number: Position of the part, from 1.
        digest: Digest of all that was read up to its end.
        part: The part.
        conversion: What converts it.
    """

    number: int
    digest: str
    part: Part
    conversion: Conversion


@dataclass(frozen=True, slots=True)
class Made:
    """A converted part.

    Attributes:
        tally: What was counted.
        as_before: How many documents were not converted.
        record: What tells the next load which of the documents are others.
        lines: Returns what goes to each staging table, encoded.
        seconds: What stages took, where it was made in the second process.
    """

    tally: Tally
    as_before: int
    record: Record | None
    lines: Callable[[], Mapping[str, Lines]]
    seconds: Mapping[str, float] = field(default_factory=dict)


def converted_by(conversion: Conversion, collection: str, data: bytes) -> Converted:
    """Returns what a conversion makes of documents.

    Raises:
        LoadError: It fails, as no document should make it; the first that does is named. What the error
            itself says may quote a value, and is left out.
    """
    try:
        return conversion(data)
    except (MigrationError, MemoryError):
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


class NothingHeldError(Exception):
    """The second process is another than the one that was told how to convert."""


_LOST = (BrokenProcessPool, NothingHeldError)


@dataclass(slots=True)
class Converter:
    """Converts the parts of one load.

    Attributes:
        table: The table that is loaded.
        watch: Is told how long it took.
        second: Where else parts are converted; None for nowhere.
    """

    table: sa.Table
    watch: Stopwatch
    second: SecondProcess | None = None
    _held: Conversion | None = field(init=False, default=None)
    _key: uuid.UUID = field(init=False, default_factory=uuid.uuid4)

    def convert(self, items: Iterator[Item]) -> Iterator[tuple[Item, Made]]:
        """Yields what is made of each part, in their order."""
        here = [self._made_here]
        return shared_out(items, here if self.second is None else [*here, self._made_there])

    def _made_here(self, item: Item) -> tuple[Item, Made]:
        collection = item.part.collection
        with self.watch.stage("convert"):
            converted = converted_by(item.conversion, collection, item.part.data)

        def lines() -> Mapping[str, Lines]:
            with self.watch.stage("encode"):
                return staged_batch(self.table, collection, converted.rows, converted.books)

        tally = Tally.of(converted.documents, converted.books)
        return item, Made(tally, converted.as_before, converted.record, lines)

    def _made_there(self, item: Item) -> tuple[Item, Made]:
        if self.second is None:
            return self._made_here(item)
        try:
            if item.conversion is not self._held:
                self._held, self._key = item.conversion, uuid.uuid4()
                held = _Held(
                    self._key,
                    model_of(self.table),
                    self.table.name,
                    item.part.collection,
                    item.conversion,
                )
                self.second.submit(hold, held).result()
            made = self.second.submit(encoded, self._key, item.part.data).result()
        except _LOST:
            self.second = None
            return self._made_here(item)
        self.watch.add(made.seconds)
        return item, made


@dataclass(slots=True)
class _Held:
    """What the second process is told: how it is to convert what comes next."""

    key: uuid.UUID
    model: Model
    table: str
    collection: str
    conversion: Conversion


_held: _Held | None = None


def ready() -> None:
    """Does nothing: where this was called, what converting needs is imported."""


def hold(held: _Held) -> None:
    """Keeps how to convert what comes next."""
    global _held  # noqa: PLW0603 - what this process is told next is about it
    _held = held


def encoded(key: uuid.UUID, data: bytes) -> Made:
    """Converts documents and encodes the rows at once, in the second process.

    Raises:
        NothingHeldError: It does not know how.
    """
    if _held is None or _held.key != key:
        raise NothingHeldError
    watch = Stopwatch()
    with without_cycle_detection():
        with watch.stage("convert"):
            converted = converted_by(_held.conversion, _held.collection, data)
        with watch.stage("encode"):
            table = _held.model.tables[_held.table]
            lines = staged_batch(table, _held.collection, converted.rows, converted.books)
    return Made(
        Tally.of(converted.documents, converted.books),
        converted.as_before,
        converted.record,
        partial(dict, lines),  # what can be pickled, and returns them
        dict(watch.seconds),
    )
