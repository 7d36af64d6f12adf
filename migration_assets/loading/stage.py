"""Staging: the ranges of a load that are missing are read, converted and written, here and by workers.

Each range is one transaction with its line in the ledger. Whoever is free takes the next line that nobody
holds; what a process that has died held is free again. Within a large range reading, converting and writing
overlap.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from migration_assets.conversion.batches import ConvertedBatch
from migration_assets.databases import Databases, databases_of
from migration_assets.loading import digests, ledger
from migration_assets.loading.digests import DigestedBatch, Record
from migration_assets.loading.jobs import Conversion, Job, Reading, converted_by, reading_of
from migration_assets.loading.ledger import Line
from migration_assets.loading.pipeline import (
    Stopwatch,
    prefetched,
    written_behind,
)
from migration_assets.loading.records import Tally
from migration_assets.loading.staging import Staging, staged_batch
from migration_assets.memory import give_back_freed_memory, without_cycle_detection
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import BytesDigest, ContentDigest
from migration_assets.target.connection import Connection
from migration_assets.workers import Workers

LARGE = 64_000_000
"""Who has read so many bytes leaves the memory that it had to the system, not to the next load."""

WORTH_THREADS = 2**18
"""Bytes of a first batch behind which others are likely: to read and write on threads takes milliseconds."""

TOGETHER = 4
"""Batches whose documents are converted at once where most are known: a few take as long as some hundreds."""

SECONDS, AS_BEFORE, STAGES = "seconds", "as_before", "stages"
"""What was spent on a range, how many of its documents were not converted, and seconds by stage: beside its
counts in the ledger."""


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


def stage(
    source: SourceDatabase,
    connection: Connection,
    job: Job,
    load_id: uuid.UUID,
    base: uuid.UUID | None,
    workers: Workers | None = None,
) -> None:
    """Stages what is missing of a load.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        job: What is read, and what is made of it.
        load_id: The load.
        base: The load whose documents are not converted again, None where all are.
        workers: Who helps where there is more than one range; None for nobody.

    Raises:
        LoadError: A conversion fails.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    where = None
    if workers is not None:
        missing = sum(line.content is None for line in ledger.lines_of(connection, load_id))
        where = databases_of(source, connection) if missing > 1 else None
    if workers is None or where is None:
        stage_ranges(source, connection, Task(job, load_id, base), waits=True)
        return
    task = Task(job, load_id, base, workers.processes)
    try:
        helping = workers.submit_to_each(stage_ranges_there, where, task)
        stage_ranges(source, connection, task)
        for each in helping:
            with suppress(BrokenProcessPool):
                each.result()
        # What those that have died had begun; their last statement may not have ended yet.
        stage_ranges(source, connection, task, waits=True)
    except BaseException:
        workers.end()
        raise


def stage_ranges_there(where: Databases, task: Task) -> None:
    """Stages ranges in another process, over connections of its own, until none is left."""
    with where.open() as (source, connection):
        stage_ranges(source, connection, task)


def ready() -> None:
    """Does nothing: where this was called, what staging needs is imported."""


def stage_ranges(
    source: SourceDatabase, connection: Connection, task: Task, *, waits: bool = False
) -> None:
    """Stages ranges until there is none that nobody has begun.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        task: What is to be staged.
        waits: Whether to wait for ranges that somebody has begun who is dead, instead of leaving them.
    """
    staging = Staging(connection, task.job.table, task.load_id)
    readings = task.job.readings(source)
    conversions: dict[Reading, Conversion] = {}
    size = 0
    with without_cycle_detection():
        while True:
            with connection.transaction():
                line = ledger.next_line(connection, task.load_id, waits=waits)
                if line is None:
                    break
                reading = reading_of(readings, line.range)
                assert reading is not None
                if reading not in conversions:
                    conversions[reading] = task.job.conversion(staging, reading)
                known: frozenset[bytes] = frozenset()
                if task.base is not None:
                    known = digests.known(connection, task.base, line.number)
                staged = _Range(source, staging, task, reading, line, known, conversions[reading])
                size += staged.stage()
    if size >= LARGE:
        give_back_freed_memory()


_Unknown = tuple[DigestedBatch, npt.NDArray[np.int64]]
"""A batch, and the places of the documents in it that are to be converted."""


@dataclass(slots=True)
class _Range:
    """A range while it is staged."""

    source: SourceDatabase
    staging: Staging
    task: Task
    reading: Reading
    line: Line
    known: frozenset[bytes]
    convert: Conversion
    content: ContentDigest = field(default_factory=ContentDigest)
    read: BytesDigest = field(default_factory=BytesDigest)
    tally: Tally = field(default_factory=Tally)
    record: Record = field(default_factory=Record)
    watch: Stopwatch = field(default_factory=Stopwatch)
    lines: int = 0
    as_before: int = 0

    def stage(self) -> int:
        """Reads, converts and writes it, and completes its line; returns how many bytes were read."""
        started = time.perf_counter()
        job, connection = self.task.job, self.staging.connection
        reading = self.watch.timed("read", self.reading.batches(self.source, self.line.range))
        first = next(reading, b"")
        batches = chain([first], reading) if first else reading
        if len(first) < WORTH_THREADS:
            for converted in self._converted(batches):
                self._write(converted)
        else:
            with prefetched(batches) as fetched:
                written_behind(self._converted(fetched), self._write)
        if self.reading.fields is not None:
            self.content = self.read.content()
        if job.keeps_record and self.content.documents:
            digests.write(
                connection, job.table_name, self.task.load_id, self.line.number, self.record
            )
        seconds = (time.perf_counter() - started) / self.task.processes
        tally: Mapping[str, Any] = {
            **self.tally.as_json(),
            SECONDS: seconds,
            AS_BEFORE: self.as_before,
            STAGES: dict(self.watch.seconds),
        }
        done = replace(
            self.line,
            content=self.content,
            bytes_digest=self.read.as_text(),
            tally=tally,
            lines=self.lines,
        )
        ledger.complete(connection, self.task.load_id, done)
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
        self.tally.documents += len(batch) - len(unknown)
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
        self.tally.add(Tally.of(converted.documents, converted.books))
        return converted

    def _write(self, converted: ConvertedBatch) -> None:
        # Here and not where it is converted: polars encodes while Python converts the next one.
        with self.watch.stage("encode"):
            lines = staged_batch(
                self.staging.target, self.reading.collection, converted.rows, converted.books
            )
        with self.watch.stage("write"):
            self.lines += self.staging.write(lines)
