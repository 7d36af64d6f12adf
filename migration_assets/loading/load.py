"""One load from start to end: plan, stage, relate, merge, finish; of any table, by assets and commands."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from migration_assets.loading import digests, ledger
from migration_assets.loading.dependencies import (
    Latest,
    dependencies_of,
    is_untouched,
    latest_like_now,
)
from migration_assets.loading.documents import DocumentsJob
from migration_assets.loading.jobs import Job
from migration_assets.loading.ledger import RangeLine
from migration_assets.loading.merging import merge
from migration_assets.loading.pairs import PairsJob
from migration_assets.loading.pipeline import Stopwatch
from migration_assets.loading.planning import Plan, planned, whole
from migration_assets.loading.records import LoadResult, Merged, Tally
from migration_assets.loading.stage import AS_BEFORE, DOCUMENTS, STAGES, stage
from migration_assets.loading.staging import Staging
from migration_assets.model import junction_of, model_of
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.source.origin import origin_of
from migration_assets.source.snapshots import moment_read
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.target.marks import are_untouched
from migration_assets.target.ownership import require_no_cascade, require_ours
from migration_assets.target.statistics import report_changes
from migration_assets.workers import ALONE, Workers


class BaseChangedError(Exception):
    """The rows that a load would leave as they are are not what the last load left."""


def silent(message: str) -> None:
    """Tells nobody."""


def load_table(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
    workers: Workers = ALONE,
) -> LoadResult:
    """Brings a table to the state of its source.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table.
        say: Is told what an operator wants to know.
        remediations: What is corrected or accepted on the way.
        workers: Who helps, if there are ranges enough.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    kind = DocumentsJob if junction_of(table) is None else PairsJob
    job = kind(model_of(table), table.name, remediations)
    return load(source, connection, job, say=say, workers=workers)


def load(
    source: SourceDatabase,
    connection: Connection,
    job: Job,
    *,
    say: Callable[[str], None] = silent,
    workers: Workers = ALONE,
) -> LoadResult:
    """Brings a table to what its source holds.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        job: What is read, and what is made of it.
        say: Is told what an operator wants to know, such as that a load is resumed.
        workers: Who helps to stage it.

    Raises:
        LoadError: Another session loads the table, or it is the application's since a signed GO.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    started = time.perf_counter()
    with ledger.one_writer(connection, job.table):
        require_ours(connection, job.table)
        plan = planned(source, connection, job, say)
        try:
            if plan.latest is None:
                return _loaded(source, connection, job, plan, workers, started)
            kept = _kept(source, connection, job, plan, plan.latest, started)
            say(f"{job.table_name}: nothing has changed since the last load, nothing is converted")
            return kept
        except BaseChangedError:
            why = "touched since the last load, all documents are converted"
            if plan.is_resumed:
                why = "not resumed, its rows were touched since; starting again"
            say(f"{job.table_name}: {why}")
        again = whole(source, connection, job, plan.dependencies)
        return _loaded(source, connection, job, again, workers, started)


def _loaded(
    source: SourceDatabase,
    connection: Connection,
    job: Job,
    plan: Plan,
    workers: Workers,
    started: float,
) -> LoadResult:
    """Stages what a plan says is missing, and merges it.

    Raises:
        BaseChangedError: Rows that would be left as they are were touched.
    """
    assert plan.load_id is not None
    stage(source, connection, job, plan.load_id, plan.base, workers)
    staging, watch = Staging(connection, job.table, plan.load_id), Stopwatch()
    with at_one_moment(connection):
        with watch.stage("merge"):
            # Again: the application may have written while the source was read.
            require_ours(connection, job.table)
            lines = ledger.lines_of(connection, plan.load_id)
            job.complete(source, staging)
            looked_at = _looked_at(connection, job, plan, len(lines))
            was_touched = looked_at is None and not are_untouched(connection, [job.table])
            merged = merge(connection, job.table, looked_at)
            if merged.deleted:
                require_no_cascade(connection, job.table)
            digests.forget_others(connection, job.table, plan.load_id)
        documents = sum((line.tally or {}).get(DOCUMENTS, 0) for line in lines)
        tally = ledger.tally_of(connection, job.table, documents)
        for line in lines:
            watch.add((line.tally or {}).get(STAGES, {}))
        result = replace(
            _result(source, connection, job, lines, plan.load_id, merged, tally),
            seconds=plan.seconds + time.perf_counter() - started,
            seconds_before=plan.seconds,
            stages=dict(watch.seconds),
            as_before=sum((line.tally or {}).get(AS_BEFORE, 0) for line in lines),
            was_touched=was_touched,
        )
        result = ledger.finish(connection, job.table, result, _digest_of(lines))
        staging.drop()
    report_changes(connection)
    return result


def _kept(
    source: SourceDatabase,
    connection: Connection,
    job: Job,
    plan: Plan,
    latest: Latest,
    started: float,
) -> LoadResult:
    """Records a load that had nothing to do.

    Raises:
        BaseChangedError: The table was touched.
    """
    watch = Stopwatch()
    with at_one_moment(connection):
        with watch.stage("compare"):
            if not is_untouched(connection, job.table, latest):
                raise BaseChangedError
        lines = ledger.lines_of(connection, latest.base)
        load_id = ledger.begin(connection, job.table, job.remediations, plan.dependencies)
        result = replace(
            _result(source, connection, job, lines, load_id, latest.merged, latest.tally),
            seconds=time.perf_counter() - started,
            stages=dict(watch.seconds),
            is_converted=False,
        )
        result = replace(result, as_before=result.documents)
        marks = latest.rows, latest.books
        result = ledger.finish(connection, job.table, result, _digest_of(lines), marks)
    Staging(connection, job.table, load_id).drop()
    return result


def _result(
    source: SourceDatabase,
    connection: Connection,
    job: Job,
    lines: Sequence[RangeLine],
    load_id: uuid.UUID,
    merged: Merged,
    tally: Tally,
) -> LoadResult:
    """Returns what is to be said of a load, whatever it did."""
    contents = _contents(lines, lambda range_of_ledger: str(range_of_ledger["collection"]))
    return LoadResult(
        table=job.table_name,
        load_id=load_id,
        merged=merged,
        tally=tally,
        fingerprints=job.fingerprints(connection, contents),
        origin=origin_of(source),
        size=sum(content.size for content in contents.values()),
        moment=moment_read(source),
    )


def _digest_of(lines: Sequence[RangeLine]) -> str:
    """Returns a digest of all that was read; where whole documents were, it does not tell how it was cut."""
    contents = _contents(
        lines,
        lambda range_of_ledger: " ".join(
            str(range_of_ledger[key])
            for key in sorted(range_of_ledger)
            if key not in ("start", "end")
        ),
    )
    fingerprints = sorted(content.fingerprint(name) for name, content in contents.items())
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()


def _contents(
    lines: Sequence[RangeLine], name_of: Callable[[Mapping[str, Any]], str]
) -> dict[str, ContentDigest]:
    """Returns the digests of what was read by a name, which is made of a range as the ledger has it."""
    contents: dict[str, ContentDigest] = {}
    for line in lines:
        assert line.content is not None
        contents.setdefault(name_of(line.range), ContentDigest()).add_content(line.content)
    return contents


def _looked_at(connection: Connection, job: Job, plan: Plan, ranges: int) -> Iterator[bytes] | None:
    """Returns the keys of the rows that the merge is about, None where it is about all.

    Raises:
        BaseChangedError: The rows of documents that are as before are not what the last load left.
    """
    if plan.base is None:
        return None
    now = dependencies_of(connection, job.table)
    latest = latest_like_now(connection, job.table, job.remediations, now)
    if latest is None or latest.base != plan.base:
        raise BaseChangedError
    if not is_untouched(connection, job.table, latest):
        raise BaseChangedError
    assert plan.load_id is not None
    return digests.keys_to_look_at(connection, plan.load_id, plan.base, ranges)
