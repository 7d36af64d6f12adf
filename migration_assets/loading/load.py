"""One load from start to end: lock, ledger, staging, merge. What it reads and converts is given to it.

A load that was cut off goes on after its last committed batch: what was read until there is read again
and compared by its digest, but neither converted nor written. Where nothing has changed since the last load,
nothing is converted either; where documents alone have changed, only these are, as far as ``parts`` can tell.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from migration_assets.loading import digests, ledger, unchanged
from migration_assets.loading.ledger import LoadResult, Open, Tally
from migration_assets.loading.merging import merge
from migration_assets.loading.parts import Conversions, Converter, Item, Made, Part
from migration_assets.loading.pipeline import (
    Stopwatch,
    prefetched,
    without_cycle_detection,
    written_behind,
)
from migration_assets.loading.staging import StagedBatch, Staging
from migration_assets.loading.unchanged import Latest
from migration_assets.memory import give_back_freed_memory
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.second_process import SecondProcess
from migration_assets.source.origin import Origin
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.target.marks import are_untouched
from migration_assets.target.ownership import require_no_cascade, require_ours
from migration_assets.target.statistics import report_changes

LARGE = 64_000_000
"""A load of so many bytes leaves the memory that it had to the system, not to the next load."""


@dataclass(slots=True)
class Read:
    """What was read, as digests.

    Attributes:
        data: Digest of the documents, one after the other.
        sizes: Bytes by collection: where in them each collection begins and ends.
    """

    data: Any = field(default_factory=hashlib.sha256)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, part: Part) -> None:
        """Takes in the next documents."""
        self.data.update(part.data)
        self.sizes[part.collection] = self.sizes.get(part.collection, 0) + len(part.data)

    @property
    def size(self) -> int:
        """Bytes that were read."""
        return sum(self.sizes.values())

    def digest(self) -> str:
        """Returns a digest of the documents and the collections that they are of."""
        said = [self.data.hexdigest(), *(f"{size} {name}" for name, size in self.sizes.items())]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()


class SourceChangedError(Exception):
    """What was read before a load was cut off is not what stands in the source now."""


class BaseChangedError(Exception):
    """The rows of the documents that were not converted are not what the last load left."""


def silent(said: str) -> None:
    """Tells nobody."""


def load(
    connection: Connection,
    table: sa.Table,
    parts: Callable[[], Iterable[Part]],
    conversions: Callable[[Staging], Conversions],
    *,
    fingerprints: Callable[[str], Mapping[str, str]],
    complete: Callable[[Staging], int] | None = None,
    origin: Origin | None = None,
    moment: str | None = None,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
    second: SecondProcess | None = None,
) -> LoadResult:
    """Brings a table to what the parts of its source hold.

    Args:
        connection: A connection to the target, in autocommit mode.
        table: The table.
        parts: Reads the source, in the same order each time. It is called once the table is held against
            a second load.
        conversions: Returns what converts the parts, while the first of them is read. It may read from
            staging what a load that was cut off has put there.
        fingerprints: Returns the fingerprints of the collections, given the digest of all that was read.
        complete: Completes what is staged just before it is merged; returns the asymmetric pairs.
        origin: The source, as the ledger is to have it.
        moment: The moment that the source is read at, in words; None where it is the present.
        say: Is told what an operator wants to know, such as that a load is resumed.
        remediations: What the parts are converted with.
        second: Where parts are converted, too; their conversion can be pickled then.

    Raises:
        LoadError: Another session loads the table, or it is the application's since a signed GO.
    """
    with ledger.one_writer(connection, table):
        require_ours(connection, table)

        def run(begin: Callable[[], Open]) -> LoadResult:
            given = (
                parts,
                conversions,
                fingerprints,
                complete,
                origin,
                moment,
                remediations,
                second,
            )
            return _Load(connection, table, *given, begin).run()

        opened = ledger.reopen(connection, table, say, remediations)
        if opened is not None:
            try:
                return run(lambda: opened)
            except SourceChangedError:
                say(f"{table.name}: not resumed, the source has changed since; starting again")
            except BaseChangedError:
                say(f"{table.name}: not resumed, its rows were touched since; starting again")
        latest = unchanged.latest_like_now(connection, table, remediations)
        if latest is not None and latest.has_same_plan:
            kept = _kept(
                connection, table, parts, fingerprints, origin, moment, remediations, latest
            )
            if kept is not None:
                say(f"{table.name}: nothing has changed since the last load, nothing is converted")
                return kept
        if latest is not None and latest.base is not None:
            try:
                return run(partial(ledger.begin, connection, table, remediations, latest.base))
            except BaseChangedError:
                say(f"{table.name}: touched since the last load, all documents are converted")
        return run(partial(ledger.begin, connection, table, remediations))


def _kept(
    connection: Connection,
    table: sa.Table,
    parts: Callable[[], Iterable[Part]],
    fingerprints: Callable[[str], Mapping[str, str]],
    origin: Origin | None,
    moment: str | None,
    remediations: Remediations,
    latest: Latest,
) -> LoadResult | None:
    """Records a load that changed nothing, None where the documents or the table are others than they were.

    The documents are read without being decoded, up to the first batch that is another.
    """
    started = time.perf_counter()
    watch, read = Stopwatch(), Read()
    for number, part in enumerate(watch.timed("read", parts())):
        read.add(part)
        if latest.batches[number : number + 1] != [read.data.hexdigest()]:
            return None
    if read.digest() != latest.documents:
        return None
    with at_one_moment(connection):
        with watch.stage("compare"):
            if not unchanged.is_untouched(connection, table, latest):
                return None
        result = LoadResult(
            table=table.name,
            load_id=ledger.begin(connection, table, remediations).load_id,
            merged=latest.merged,
            tally=latest.tally,
            fingerprints=fingerprints(read.data.hexdigest()),
            seconds=time.perf_counter() - started,
            stages=dict(watch.seconds),
            size=read.size,
            origin=origin,
            moment=moment,
            is_converted=False,
            as_before=latest.tally.documents,
        )
        result = ledger.finish(connection, table, result, read.digest())
    Staging(connection, table, result.load_id).drop()
    return result


@dataclass(frozen=True, slots=True)
class _Batch:
    """A converted batch that is still to be written."""

    item: Item
    tally: Mapping[str, Any]
    made: Made


@dataclass(slots=True)
class _Load:
    connection: Connection
    table: sa.Table
    parts: Callable[[], Iterable[Part]]
    conversions: Callable[[Staging], Conversions]
    fingerprints: Callable[[str], Mapping[str, str]]
    complete: Callable[[Staging], int] | None
    origin: Origin | None
    moment: str | None
    remediations: Remediations
    second: SecondProcess | None
    begin: Callable[[], Open]
    opened: Open = field(init=False)
    as_before: int = 0
    tally: Tally = field(default_factory=Tally)
    watch: Stopwatch = field(default_factory=Stopwatch)
    read: Read = field(default_factory=Read)

    def run(self) -> LoadResult:
        started = time.perf_counter()
        # While the target is asked what a load has to know, the source answers already.
        reading = self.watch.timed("read", self.parts())
        with without_cycle_detection(), prefetched(reading) as parts:
            opened = self.opened = self.begin()
            self.tally.add(opened.tally)
            self.as_before = opened.as_before
            staging = Staging(
                self.connection, self.table, opened.load_id, opened.base, opened.batches
            )
            converted = self._converted(parts, self.conversions(staging))
            written_behind(converted, self._write_to(staging), first=staging.make_ready)
        with at_one_moment(self.connection):
            with self.watch.stage("merge"):
                # Again: the application may have written while the source was read.
                require_ours(self.connection, self.table)
                if self.complete is not None and (pairs := self.complete(staging)):
                    self.tally.lossless["asymmetric"] = pairs
                to_look_at = self._to_look_at()
                was_touched = to_look_at is None and not are_untouched(
                    self.connection, [self.table]
                )
                merged = merge(self.connection, self.table, to_look_at)
                if merged.deleted:
                    require_no_cascade(self.connection, self.table)
                digests.forget_others(self.connection, self.table, opened.load_id)
            result = LoadResult(
                table=self.table.name,
                load_id=opened.load_id,
                merged=merged,
                tally=self.tally,
                fingerprints=self.fingerprints(self.read.data.hexdigest()),
                seconds=opened.seconds + time.perf_counter() - started,
                seconds_before=opened.seconds,
                stages=dict(self.watch.seconds),
                size=self.read.size,
                origin=self.origin,
                moment=self.moment,
                as_before=self.as_before,
                was_touched=was_touched,
            )
            result = ledger.finish(self.connection, self.table, result, self.read.digest())
        staging.drop()
        report_changes(self.connection)
        if self.read.size >= LARGE:
            give_back_freed_memory()
            if self.second is not None:
                self.second.submit(give_back_freed_memory)
        return result

    def _to_look_at(self) -> bytes | None:
        """Returns the keys of the rows that the merge is about, None where it is about all.

        Raises:
            BaseChangedError: Those of documents that are as before are not what the last load left.
        """
        base = self.opened.base
        if base is None:
            return None
        latest = unchanged.latest_like_now(self.connection, self.table, self.remediations)
        if latest is None or latest.base != base:
            raise BaseChangedError
        if not unchanged.is_untouched(self.connection, self.table, latest):
            raise BaseChangedError
        return digests.keys_to_look_at(self.connection, self.opened.load_id, base)

    def _converted(self, parts: Iterable[Part], conversions: Conversions) -> Iterator[_Batch]:
        converter = Converter(self.table, self.watch, self.second)
        begun = time.perf_counter()
        for item, made in converter.convert(self._still_to_convert(parts, conversions)):
            self.tally.add(made.tally)
            self.as_before += made.as_before
            ended = time.perf_counter()
            spent = {ledger.SECONDS: ended - begun, ledger.AS_BEFORE: made.as_before}
            begun = ended
            yield _Batch(item, made.tally.as_json() | spent, made)

    def _still_to_convert(self, parts: Iterable[Part], conversions: Conversions) -> Iterator[Item]:
        """Yields the parts after those that were committed before the load was cut off.

        Raises:
            SourceChangedError: What was committed is not what stands in the source now.
        """
        number, digest = 0, self.read.data
        for number, part in enumerate(parts, start=1):
            self.read.add(part)
            if number > self.opened.batches:
                yield Item(number, digest.hexdigest(), part, conversions(part))
            elif number == self.opened.batches and digest.hexdigest() != self.opened.digest:
                raise SourceChangedError
        if number < self.opened.batches:
            raise SourceChangedError

    def _write_to(self, staging: Staging) -> Callable[[_Batch], None]:
        def write(batch: _Batch) -> None:
            # Here and not where it is converted: polars encodes while Python converts the next one.
            lines = batch.made.lines()
            item = batch.item
            with self.watch.stage("write"):
                staging.write(
                    StagedBatch(item.number, item.digest, batch.tally, lines, batch.made.record)
                )

        return write
