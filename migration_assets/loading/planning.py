"""What a load is to do: decided once, before anything is written, and short enough to be printed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migration_assets.loading import digests, ledger
from migration_assets.loading.dependencies import (
    Dependencies,
    Latest,
    dependencies_of,
    is_untouched,
    latest_like_now,
)
from migration_assets.loading.jobs import Job, Reading, reading_of
from migration_assets.loading.ledger import RangeLine
from migration_assets.loading.program import program_version
from migration_assets.loading.stage import SECONDS
from migration_assets.loading.staging import Staging
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import BytesDigest, ContentDigest
from migration_assets.target.connection import Connection, at_one_moment

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load is to do.

    Attributes:
        load_id: The load, whose lines in the ledger say which ranges are to be staged; None where nothing is
            to be done.
        dependencies: What rows depend on besides documents.
        base: The load whose documents it does not convert again, where they are as it read them; None where
            it converts all.
        latest: What that one left, where nothing is to be done.
        is_resumed: Whether it was cut off, and what it has staged counts.
        seconds: Seconds that were spent on it before.
    """

    load_id: uuid.UUID | None
    dependencies: Dependencies
    base: uuid.UUID | None = None
    latest: Latest | None = None
    is_resumed: bool = False
    seconds: float = 0.0


def planned(source: SourceDatabase, connection: Connection, job: Job, say: Say) -> Plan:
    """Returns what a load is to do. The caller holds the table.

    A load that was cut off goes on where what it has read stands in the source as it did. Else documents are
    compared with those of the last load, range by range, up to the first that is another.
    """
    readings = job.readings(source)
    dependencies = dependencies_of(connection, job.table)
    resumed = _resumed(source, connection, job, readings, dependencies, say)
    if resumed is not None:
        return resumed
    latest = latest_like_now(connection, job.table, job.remediations, dependencies)
    if latest is not None:
        lines = ledger.lines_of(connection, latest.base)
        if _are_all(readings, lines):
            if latest.has_same_plan and are_same(source, readings, lines):
                return Plan(None, dependencies, latest.base, latest)
            if job.keeps_record and _can_be_base(connection, job, latest):
                ranges = [line.range for line in lines]
                return _begun(connection, job, dependencies, ranges, latest.base)
    return whole(source, connection, job, dependencies)


def whole(
    source: SourceDatabase, connection: Connection, job: Job, dependencies: Dependencies
) -> Plan:
    """Returns that all documents are to be converted, in ranges as the source has them now."""
    ranges = [
        range_of_ledger
        for reading in job.readings(source)
        for range_of_ledger in reading.ranges(source)
    ]
    return _begun(connection, job, dependencies, ranges)


def _begun(
    connection: Connection,
    job: Job,
    dependencies: Dependencies,
    ranges: Sequence[Mapping[str, Any]],
    base: uuid.UUID | None = None,
) -> Plan:
    """Opens a load, with nothing staged."""
    load_id = ledger.begin(connection, job.table, job.remediations, dependencies, ranges, base)
    Staging(connection, job.table, load_id).make_ready()
    return Plan(load_id, dependencies, base)


def _resumed(
    source: SourceDatabase,
    connection: Connection,
    job: Job,
    readings: Sequence[Reading],
    dependencies: Dependencies,
    say: Say,
) -> Plan | None:
    """Returns that the load that was cut off goes on, None where there is none that can; says why."""
    unfinished = ledger.unfinished(connection, job.table)
    if unfinished is None:
        return None
    lines = ledger.lines_of(connection, unfinished.load_id)
    committed = [line for line in lines if line.content is not None]
    if not committed:
        return None
    why_not = None
    staging = Staging(connection, job.table, unfinished.load_id)
    staged = sum(line.lines for line in committed)
    if unfinished.remediations != job.remediations.digest(job.table):
        why_not = "the remediations have changed since"
    elif unfinished.program != program_version():
        why_not = "this program or a library of it has changed since"
    elif unfinished.plan != dependencies.plan:
        why_not = "the model or what it refers to has changed since"
    elif staging.lines() != staged:
        why_not = "the target has lost what was staged"
    elif not _are_all(readings, lines) or not are_same(source, readings, committed):
        why_not = "the source has changed since; starting again"
    if why_not is not None:
        say(f"{job.table_name}: not resumed, {why_not}")
        return None
    say(f"{job.table_name}: resuming after batch {len(committed)}, {staged} lines are staged")
    seconds = sum((line.tally or {}).get(SECONDS, 0.0) for line in committed)
    return Plan(unfinished.load_id, dependencies, unfinished.base, is_resumed=True, seconds=seconds)


def _can_be_base(connection: Connection, job: Job, latest: Latest) -> bool:
    """Tells whether only other documents need be converted: all are on record, no row was touched."""
    if not digests.is_complete(connection, latest.base, latest.tally.documents):
        return False
    with at_one_moment(connection, read_only=True):
        return is_untouched(connection, job.table, latest)


def _are_all(readings: Sequence[Reading], lines: Sequence[RangeLine]) -> bool:
    """Tells whether ranges are of all that is read, and of nothing else."""
    return {reading_of(readings, line.range) for line in lines} == {*readings}


def are_same(
    source: SourceDatabase, readings: Sequence[Reading], lines: Sequence[RangeLine]
) -> bool:
    """Tells whether ranges hold what they held; reads up to the first that does not."""
    return all(_holds(source, readings, line) for line in lines)


def _holds(source: SourceDatabase, readings: Sequence[Reading], line: RangeLine) -> bool:
    reading = reading_of(readings, line.range)
    assert reading is not None
    assert line.content is not None
    # Without an order the same documents may come as other bytes.
    digest = BytesDigest() if reading.has_order else ContentDigest()
    for data in reading.batches(source, line.range):
        digest.add(data)
    return digest.as_text() in (line.bytes_digest, line.content.as_text())
