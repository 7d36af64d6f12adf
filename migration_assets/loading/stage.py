"""Staging: the ranges of a load that are missing are read, converted and written, here and by workers.

Each range is one transaction with its line in the ledger. What a process that has died had not committed is
staged again. Within a large range reading, converting and writing overlap.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from migration_assets.conversion.batches import ConvertedBatch
from migration_assets.databases import Databases, databases_of
from migration_assets.loading import digests, ledger
from migration_assets.loading.digests import DigestedBatch, Record
from migration_assets.loading.jobs import Conversion, Job, Reading, converted_by, reading_of
from migration_assets.loading.ledger import RangeLine
from migration_assets.loading.pipeline import Stopwatch, prefetched
from migration_assets.loading.staging import Staging, staged_batch
from migration_assets.memory import give_back_freed_memory, without_cycle_detection
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import BytesDigest, ContentDigest
from migration_assets.source.reading import documents_per_batch
from migration_assets.target.connection import Connection
from migration_assets.workers import Workers

LARGE = 64_000_000
"""Who has read so many bytes leaves the memory that it had to the system, not to the next load."""

WORTH_THREADS = 2**18
"""Bytes of a first batch behind which others are likely: to read and write on threads takes milliseconds."""

TOGETHER = 4
"""Batches whose documents are converted at once where most are known: a few take as long as some hundreds."""

DOCUMENTS, SECONDS, AS_BEFORE, STAGES = "documents", "seconds", "as_before", "stages"
"""How many documents a range has, what was spent on it, how many of them were not converted, and seconds by
stage, in the ledger."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be staged.

    Attributes:
        job: What is read, and what is made of it.
        load_id: The load, whose lines say which ranges are missing.
        base: The load whose documents are not converted again, None where all are.
        processes: How many share it.
    """

    job: Job
    load_id: uuid.UUID
    base: uuid.UUID | None
    processes: int = 1


@dataclass(slots=True)
class Stager:
    """Stages ranges over two connections, the one to the target in autocommit mode."""

    source: SourceDatabase
    connection: Connection
    task: Task
    _readings: Sequence[Reading] = field(init=False)
    _conversions: dict[Reading, Conversion] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._readings = self.task.job.readings(self.source)

    def stage(self, number: int) -> int:
        """Stages the range of a line, where that is not done; returns how many bytes were read."""
        task = self.task
        with self.connection.transaction(), without_cycle_detection():
            line = ledger.missing_line(self.connection, task.load_id, number)
            if line is None:
                return 0
            staging = Staging(self.connection, task.job.table, task.load_id)
            reading = reading_of(self._readings, line.range)
            assert reading is not None
            if reading not in self._conversions:
                self._conversions[reading] = task.job.conversion(staging, reading)
            known: frozenset[bytes] = frozenset()
            if task.base is not None:
                known = digests.known(self.connection, task.base, line.number)
            convert = self._conversions[reading]
            return _Range(self.source, staging, task, reading, line, known, convert).stage()


def stage(
    source: SourceDatabase,
    connection: Connection,
    job: Job,
    load_id: uuid.UUID,
    base: uuid.UUID | None,
    workers: Workers,
) -> None:
    """Stages what is missing of a load, over a connection in autocommit mode.

    Workers help where there is more than one range. Documents of the base are not converted again.

    Raises:
        LoadError: A conversion fails.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    lines = ledger.lines_of(connection, load_id)
    missing = [line.number for line in lines if line.content is None]
    is_worth = len(missing) > 1 and workers.is_worth(len(missing) * documents_per_batch())
    where = databases_of(source, connection) if is_worth else None
    if where is None:
        here = Stager(source, connection, Task(job, load_id, base))
        size = sum(map(here.stage, missing))
    else:
        task = Task(job, load_id, base, min(workers.processes, len(missing)))
        here, there = Stager(source, connection, task), partial(stage_there, where, task)
        consequence = f"of {job.table_name} is loaded here"
        size = sum(workers.share(missing, here.stage, there, consequence))
    if size >= LARGE:
        give_back_freed_memory()


def stage_there(where: Databases, task: Task, number: int) -> int:
    """Stages a range in another process, over connections of its own, which are kept for the next one."""
    with where.open() as (source, connection):
        stager = _last_stager.get(task.load_id)
        if (
            stager is None
            or stager.connection is not connection
            or stager.source.client is not source.client
        ):
            stager = Stager(source, connection, task)
            _last_stager.clear()
            _last_stager[task.load_id] = stager
        return stager.stage(number)


_last_stager: dict[uuid.UUID, Stager] = {}
"""That of the load of which this process had the last range: what converts documents is made once a load."""


def ready() -> None:
    """Does nothing: where this was called, what staging needs is imported."""


_Unknown = tuple[DigestedBatch, npt.NDArray[np.int64]]
"""A batch, and the places of the documents in it that are to be converted."""


@dataclass(slots=True)
class _Range:
    """A range while it is staged."""

    source: SourceDatabase
    staging: Staging
    task: Task
    reading: Reading
    line: RangeLine
    known: frozenset[bytes]
    convert: Conversion
    content: ContentDigest = field(default_factory=ContentDigest)
    read: BytesDigest = field(default_factory=BytesDigest)
    record: Record = field(default_factory=Record)
    watch: Stopwatch = field(default_factory=Stopwatch)
    lines: int = 0
    documents: int = 0
    as_before: int = 0

    def stage(self) -> int:
        """Reads, converts and writes it, and completes its line; returns how many bytes were read."""
        started = time.perf_counter()
        job, connection = self.task.job, self.staging.connection
        reading = self.watch.timed("read", self.reading.batches(self.source, self.line.range))
        first = next(reading, b"")
        batches = chain([first], reading) if first else reading
        # Who looks ids up while converting asks over the connection that writes.
        if len(first) < WORTH_THREADS or job.looks_ids_up:
            for converted in self._converted(batches):
                self._write(converted)
        else:
            with (
                prefetched(batches) as fetched,
                prefetched(self._converted(fetched)) as converted_ahead,
            ):
                for converted in converted_ahead:
                    self._write(converted)
        if self.reading.fields is not None:
            self.content = self.read.content()
        if job.keeps_record and self.content.documents:
            digests.write(
                connection, job.table_name, self.task.load_id, self.line.number, self.record
            )
        seconds = (time.perf_counter() - started) / self.task.processes
        tally: Mapping[str, Any] = {
            DOCUMENTS: self.documents,
            SECONDS: seconds,
            AS_BEFORE: self.as_before,
            STAGES: dict(self.watch.seconds),
        }
        completed = replace(
            self.line,
            content=self.content,
            bytes_digest=self.read.as_text(),
            tally=tally,
            lines=self.lines,
        )
        ledger.complete(connection, self.task.load_id, completed)
        return self.content.size

    def _converted(self, batches: Iterator[bytes]) -> Iterator[ConvertedBatch]:
        waiting: list[_Unknown] = []
        for data in batches:
            with self.watch.stage("convert"):
                converted = self._converted_batch(data, waiting)
            if converted is not None:
                yield converted
        with self.watch.stage("convert"):
            converted = self._converted_unknown(waiting)
        if converted is not None:
            yield converted

    def _converted_batch(self, data: bytes, waiting: list[_Unknown]) -> ConvertedBatch | None:
        """Returns what is made of documents; None where they are known, or wait for others."""
        self.read.add(data)
        if self.reading.fields is not None:
            return self._counted(converted_by(self.convert, self.reading.collection, data))
        batch = DigestedBatch(self.reading.collection, data)
        self.content.add_digests(batch.digests, len(data))
        unknown = batch.others(self.known)
        self.as_before += len(batch) - len(unknown)
        self.documents += len(batch) - len(unknown)
        waiting.append((batch, unknown))
        if self.known and len(waiting) < TOGETHER:
            return None
        return self._converted_unknown(waiting)

    def _converted_unknown(self, waiting: list[_Unknown]) -> ConvertedBatch | None:
        """Returns what is made of the documents that wait, and lets none wait; None where none does."""
        data = b"".join([batch.only(unknown) for batch, unknown in waiting])
        converted = None
        if data:
            converted = self._counted(converted_by(self.convert, self.reading.collection, data))
        if self.task.job.keeps_record:
            traced = np.array(list(converted.traced) if converted else [], dtype=np.int64)
            for batch, unknown in waiting:
                self.record.add(batch, unknown[traced[traced < len(unknown)]])
                traced = traced[traced >= len(unknown)] - len(unknown)
        waiting.clear()
        return converted

    def _counted(self, converted: ConvertedBatch) -> ConvertedBatch:
        self.documents += converted.documents
        return converted

    def _write(self, converted: ConvertedBatch) -> None:
        # Here and not where it is converted: polars encodes while Python converts the next one.
        with self.watch.stage("encode"):
            lines = staged_batch(
                self.staging.target, self.reading.collection, converted.rows, converted.books
            )
        with self.watch.stage("write"):
            self.lines += self.staging.write(lines)
