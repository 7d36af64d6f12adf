"""The history of samples: ``migration.monitoring_samples`` in the target."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from migration_assets.monitoring.application import Probe
from migration_assets.monitoring.kpis import KpiResult, worst
from migration_assets.monitoring.samples import Sample
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection

KEPT = dt.timedelta(hours=48)
"""How far back the KPIs look."""

_TABLE = sql.Identifier(SCHEMA, bookkeeping.monitoring_samples.name)


def is_kept(connection: Connection) -> bool:
    """Returns whether the target keeps a history: it has the table, and this role may write to it here."""
    if connection.execute("SELECT /* migration-assets */ pg_is_in_recovery()").fetchone() == (
        True,
    ):
        return False
    return may(connection, bookkeeping.monitoring_samples, "SELECT", "INSERT", "UPDATE")


def may(connection: Connection, table: sa.Table, *privileges: str) -> bool:
    """Returns whether a table of the bookkeeping is there and this role has the privileges on it."""
    query = (
        "SELECT /* migration-assets */ has_schema_privilege(n.oid, 'USAGE') "
        "AND (SELECT bool_and(has_table_privilege(c.oid, each)) FROM unnest(%s::text[]) each) "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s"
    )
    row = connection.execute(query, [list(privileges), SCHEMA, table.name]).fetchone()
    return row == (True,)


def record(connection: Connection, sample: Sample, results: Sequence[KpiResult]) -> None:
    """Records a sample and its readings.

    Only the newest sample has its statements: no other is compared with the next.
    """
    kpis = {
        result.kpi.name: {"value": result.reading.value, "status": result.status}
        for result in results
    }
    counters = {
        "numbers": dict(sample.numbers),
        "standbys": dict(sample.standbys),
        "probes": None
        if sample.probes is None
        else [[round(probe.milliseconds, 3), probe.is_good] for probe in sample.probes],
    }
    with connection.transaction():
        connection.execute(
            sql.SQL(
                "UPDATE /* migration-assets */ {} SET statements = NULL WHERE statements IS NOT NULL"
            ).format(_TABLE)
        )
        connection.execute(
            sql.SQL(
                "INSERT /* migration-assets */ INTO {} "
                "(taken_at, database_bytes, status, kpis, counters, statements) "
                "VALUES (%s, %s, %s, %s, %s, %s)"
            ).format(_TABLE),
            [
                sample.taken_at,
                sample.database_bytes,
                worst(results),
                json.dumps(kpis),
                json.dumps(counters),
                None if sample.statements is None else json.dumps(dict(sample.statements)),
            ],
        )


def recent(connection: Connection, *, span: dt.timedelta = KEPT) -> list[Sample]:
    """Returns the samples of a recent span, the oldest first."""
    samples = connection.execute(
        sql.SQL(
            "SELECT /* migration-assets */ taken_at, database_bytes, counters, statements FROM {} "
            "WHERE taken_at > clock_timestamp() - %s ORDER BY taken_at"
        ).format(_TABLE),
        [span],
    ).fetchall()
    return [_sample(*row) for row in samples]


def last_taken(connection: Connection) -> dt.datetime | None:
    """Returns when the last sample was taken, None where there is none."""
    row = connection.execute(
        sql.SQL("SELECT /* migration-assets */ max(taken_at) FROM {}").format(_TABLE)
    ).fetchone()
    return None if row is None else row[0]


def sizes(connection: Connection) -> list[tuple[dt.datetime, int]]:
    """Returns the size of the database in bytes at the last sample of each day (UTC)."""
    return connection.execute(
        sql.SQL(
            "SELECT /* migration-assets */ DISTINCT ON ((taken_at AT TIME ZONE 'UTC')::date) "
            "taken_at, database_bytes FROM {} ORDER BY (taken_at AT TIME ZONE 'UTC')::date, taken_at DESC"
        ).format(_TABLE)
    ).fetchall()


def statuses(connection: Connection, *, span: dt.timedelta) -> dict[str, dict[str, int]]:
    """Returns for each KPI how many samples of a recent span had which status."""
    counts: dict[str, dict[str, int]] = {}
    query = sql.SQL(
        "SELECT /* migration-assets */ k.key, k.value ->> 'status', count(*) FROM {}, jsonb_each(kpis) k "
        "WHERE taken_at > clock_timestamp() - %s GROUP BY 1, 2"
    ).format(_TABLE)
    for name, status, count in connection.execute(query, [span]):
        counts.setdefault(name, {})[status] = count
    return counts


def _sample(
    taken_at: dt.datetime,
    size: int,
    counters: Mapping[str, Any],
    statements: Mapping[str, tuple[int, float]] | None,
) -> Sample:
    probes = counters["probes"]
    return Sample(
        taken_at,
        size,
        counters["numbers"],
        counters["standbys"],
        statements,
        None if probes is None else [Probe(time, is_good) for time, is_good in probes],
    )


def last_critical(connection: Connection) -> tuple[dt.datetime, list[str]] | None:
    """Returns when the last sample was taken and which KPIs were critical, None where there is none."""
    row = connection.execute(
        sql.SQL(
            "SELECT /* migration-assets */ taken_at, ARRAY(SELECT k.key FROM jsonb_each(kpis) k "
            "WHERE k.value ->> 'status' = 'critical' ORDER BY 1) FROM {} "
            "ORDER BY taken_at DESC LIMIT 1"
        ).format(_TABLE)
    ).fetchone()
    return None if row is None else (row[0], row[1])
