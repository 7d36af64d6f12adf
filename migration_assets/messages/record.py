"""What a message says of the migration, read from the target's own record. It holds counts, no values."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from psycopg import sql

from migration_assets.model import Model
from migration_assets.monitoring import history
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.catalog import missing_constraints
from migration_assets.target.connection import Connection
from migration_assets.validation.evidence import Layer, Severity

_LOADS = """
    SELECT target_table, started_at, finished_at,
        coalesce((statistics ->> 'documents')::bigint,
            (SELECT sum((tally ->> 'documents')::bigint)::bigint FROM {batches} WHERE load_id = l.id), 0),
        coalesce((statistics -> 'merged' ->> 'inserted')::bigint
            + (statistics -> 'merged' ->> 'updated')::bigint
            + (statistics -> 'merged' ->> 'unchanged')::bigint, 0)
    FROM {loads} l ORDER BY started_at
"""

_CHECKS = """
    SELECT count(*) FILTER (WHERE passed OR severity <> {error}),
        count(*) FILTER (WHERE NOT passed AND severity = {error})
    FROM {results} WHERE target_table = ANY({tables}) AND evaluated_at >= {since}
"""


@dataclass(frozen=True, slots=True)
class RecordedLoad:
    """A line of the ledger.

    Attributes:
        table: What was loaded.
        started_at: When it started.
        finished_at: When it was merged, None where it was not.
        documents: Documents read so far.
        rows: Rows that the table had for them.
    """

    table: str
    started_at: dt.datetime
    finished_at: dt.datetime | None
    documents: int
    rows: int


@dataclass(frozen=True, slots=True)
class MigrationRecord:
    """What is known of a migration.

    Attributes:
        model: The application.
        loads: Its loads, in the order in which they started.
        documents: Documents of the source, by the UUID map.
        rejected: Documents that did not become a row.
        issues: Lossy conversions.
        unmapped: Documents with fields that the model does not know.
        passed: Checks that passed since the start, a warning at most.
        failed: Checks that failed as an error since the start.
        has_constraints: Indexes and foreign keys are all there.
        verdict: The verdict of the last sign-off since the start, None where there is none.
        uptime: Measured availability in percent, None where it was not measured.
    """

    model: Model
    loads: tuple[RecordedLoad, ...]
    documents: int
    rejected: int
    issues: int
    unmapped: int
    passed: int
    failed: int
    has_constraints: bool
    verdict: str | None
    uptime: float | None

    @property
    def tables(self) -> set[str]:
        """The tables that are loaded."""
        return {
            load.table
            for load in self.loads
            if load.finished_at and load.table in self.model.tables
        }

    @property
    def done(self) -> int:
        """Documents of the source that were read; the elements of junction tables are not meant."""
        return sum(
            load.documents for load in self._latest().values() if load.table in self.model.entities
        )

    @property
    def moved(self) -> int:
        """Documents that became a row."""
        return sum(
            load.rows for load in self._latest().values() if load.table in self.model.entities
        )

    def _latest(self) -> dict[str, RecordedLoad]:
        return {load.table: load for load in self.loads}


def read_record(
    model: Model, connection: Connection, *, since: dt.datetime | None
) -> MigrationRecord | None:
    """Returns what is known of the migration, None where the target has no record.

    Args:
        model: The application's tables.
        connection: A connection to the target.
        since: Start of the window: what is older, such as a rehearsal, does not count.
    """
    if not history.may(connection, bookkeeping.loads, "SELECT"):
        return None
    since = since or dt.datetime.min.replace(tzinfo=dt.UTC)
    names = {
        table.name: sql.Identifier(SCHEMA, table.name)
        for table in bookkeeping.BOOKKEEPING.sorted_tables
    }
    rows = connection.execute(
        sql.SQL(_LOADS).format(loads=names["loads"], batches=names["batches"])
    ).fetchall()
    passed, failed = connection.execute(
        sql.SQL(_CHECKS).format(
            results=names["check_results"],
            error=sql.Literal(Severity.ERROR.value),
            tables=sql.Literal(list(model.tables)),
            since=sql.Literal(since),
        )
    ).fetchone() or (0, 0)
    return MigrationRecord(
        model=model,
        loads=tuple(
            load for load in (RecordedLoad(*row) for row in rows) if load.started_at >= since
        ),
        documents=_count(connection, names["uuid_map"], "collection", list(model.entities)),
        rejected=_count(
            connection, names["rejected_documents"], "target_table", list(model.tables)
        ),
        issues=_count(connection, names["issues"], "target_table", list(model.tables)),
        unmapped=_count(connection, names["unmapped_fields"], "target_table", list(model.tables)),
        passed=passed,
        failed=failed,
        has_constraints=not missing_constraints(model, connection),
        verdict=_verdict(connection, names["sign_offs"], since),
        uptime=_uptime(connection),
    )


def progress(record: MigrationRecord, now: dt.datetime) -> dict[str, str | dt.datetime]:
    """Returns how far a migration is, as values of placeholders; empty where it has not started."""
    if not record.loads or not record.documents:
        return {}
    documents, total = min(record.done, record.documents), record.documents
    started = min(load.started_at for load in record.loads)
    running = [load for load in record.loads if load.finished_at is None]
    finished = [load.finished_at for load in record.loads if load.finished_at is not None]
    until = now if running or not finished else max(finished)
    seconds = (until - started).total_seconds()
    rate = documents / seconds if seconds > 0 else 0.0
    values: dict[str, str | dt.datetime] = {
        "progress_percent": str(100 * documents // total),
        "records_done": str(documents),
        "records_total": str(total),
        "records_per_second": str(round(rate)),
        "tables_done": str(len(record.tables)),
        "tables_total": str(len(record.model.tables)),
        "current_step": _step(record, running),
        "progress_findings": _findings(record),
    }
    if rate > 0:
        values["expected_end"] = until + dt.timedelta(seconds=(total - documents) / rate)
    return values


def results(record: MigrationRecord) -> dict[str, str | dt.datetime]:
    """Returns what a migration came to, as values of placeholders."""
    values: dict[str, str | dt.datetime] = {}
    if record.tables >= set(record.model.tables):
        values["record_total"] = str(record.moved)
        values["known_items"] = _known_items(record)
    expected = len(record.model.tables) * len(Layer)
    if record.verdict is not None and record.passed:
        result = f"{record.passed:,} of {expected:,} checks passed, verdict {record.verdict}"
        values["validation_result"] = result
    if record.uptime is not None:
        values["uptime_percent"] = str(record.uptime)
    return values


def _step(record: MigrationRecord, running: list[RecordedLoad]) -> str:
    tables = list(record.model.tables)
    if running:
        name = running[-1].table
        place = tables.index(name) + 1 if name in tables else None
        return "mapping the ids" if place is None else f"loading table {place} of {len(tables)}"
    if len(record.tables) < len(tables):
        return f"{len(record.tables)} of {len(tables)} tables are loaded and checked"
    if not record.has_constraints:
        return "building indexes and foreign keys"
    if record.verdict is None:
        return "final checks and sign-off"
    return f"signed off: {record.verdict}"


def _findings(record: MigrationRecord) -> str:
    checked = f"{record.passed + record.failed:,} checks have run"
    if not record.failed:
        return f"{checked}, none has failed. {_rejected(record)}"
    return f"{checked}, {record.failed:,} need attention. {_rejected(record)}"


def _rejected(record: MigrationRecord) -> str:
    if not record.rejected:
        return "No record was rejected."
    return f"{record.rejected:,} records were set aside whole, to be looked at."


def _known_items(record: MigrationRecord) -> str:
    counts = {
        "records were set aside whole": record.rejected,
        "values could not be moved as they were": record.issues,
        "records have fields that NextCRM does not know, which are kept apart": record.unmapped,
    }
    items = [f"{count:,} {what}" for what, count in counts.items() if count]
    if not items:
        return "every record and every value was moved."
    return f"{', '.join(items)}. All are on record, and we look at them one by one."


def _count(connection: Connection, table: sql.Identifier, column: str, among: list[str]) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {} = ANY(%s)").format(table, sql.Identifier(column)),
        [among],
    ).fetchone()
    return 0 if row is None else int(row[0])


def _verdict(connection: Connection, table: sql.Identifier, since: dt.datetime) -> str | None:
    row = connection.execute(
        sql.SQL(
            "SELECT CASE WHEN withdrawn_at IS NULL THEN verdict ELSE 'NO-GO' END "
            "FROM {} WHERE signed_at >= %s ORDER BY signed_at DESC LIMIT 1"
        ).format(table),
        [since],
    ).fetchone()
    return None if row is None else str(row[0])


def _uptime(connection: Connection) -> float | None:
    row = connection.execute(
        sql.SQL(
            "SELECT kpis -> 'uptime' ->> 'value' FROM {} ORDER BY taken_at DESC LIMIT 1"
        ).format(sql.Identifier(SCHEMA, bookkeeping.monitoring_samples.name))
    ).fetchone()
    return None if row is None or row[0] is None else round(float(row[0]), 3)
