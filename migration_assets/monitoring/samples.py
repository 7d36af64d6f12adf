"""A sample: what the database, its host and the application counted at one moment.

Most numbers come out of the answers of the twelve queries, so that what a KPI says is what the query
shows. What counts up since the statistics were reset becomes a rate by a second sample.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migration_assets.monitoring import host
from migration_assets.monitoring.application import Probe, probe
from migration_assets.monitoring.queries import (
    NO_PRIVILEGE,
    NO_STATEMENTS,
    QUERIES,
    Answer,
    ask,
    has_statements,
    read_only,
    sees_others,
)
from migration_assets.target.connection import Connection

DEAD_ROWS = 1000
"""Dead rows below which their share in a table says nothing (operations, section 4.5)."""

_COUNTED = """
    SELECT /* migration-assets */ clock_timestamp(), pg_database_size(current_database()),
        xact_commit + xact_rollback, deadlocks, coalesce(extract(epoch FROM stats_reset), 0)
    FROM pg_stat_database WHERE datname = current_database()
"""

_STATEMENTS = """
    SELECT /* migration-assets */ queryid::text, sum(calls)::bigint, sum(total_exec_time)
    FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
    WHERE d.datname = current_database() AND s.toplevel AND s.queryid IS NOT NULL
        AND s.query ~* '^(select|insert|update|delete|merge|with)\\M'
        AND s.query NOT LIKE '%migration-assets%'
    GROUP BY 1 ORDER BY 2 DESC LIMIT 1000
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted at one moment.

    Attributes:
        taken_at: When, by the clock of the database.
        database_bytes: Size of the database.
        numbers: Counters and gauges, by name; what could not be had is missing.
        standbys: Seconds that each standby is behind, by name.
        statements: Calls and milliseconds of each statement, by its id; None where nobody counts.
        probes: Requests to the application; None where it was not asked.
        problems: Why something is missing, by what it is.
    """

    taken_at: dt.datetime
    database_bytes: int
    numbers: Mapping[str, float] = field(default_factory=dict)
    standbys: Mapping[str, float] = field(default_factory=dict)
    statements: Mapping[str, tuple[int, float]] | None = None
    probes: Sequence[Probe] | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


def take_sample(
    connection: Connection, *, application_url: str | None = None
) -> tuple[Sample, list[Answer]]:
    """Asks the twelve queries, the host and the application.

    Args:
        connection: A connection to the target.
        application_url: What to ask the application; it is not asked where None.

    Returns:
        The sample, and the answers of the queries.

    Raises:
        MigrationError: The application's URL is none.
    """
    probes = probe(application_url) if application_url else None
    answers = [ask(connection, query) for query in QUERIES]
    with read_only(connection):
        row = connection.execute(_COUNTED).fetchone()
    assert row is not None
    taken_at, size, transactions, deadlocks, counted_since = row
    problems = {answer.query.name: answer.problem for answer in answers if answer.problem}
    statements = _statements(connection, problems)
    if not sees_others(connection):
        problems["sessions"] = NO_PRIVILEGE
        statements = None
    numbers = {
        "transactions": float(transactions),
        "deadlocks": float(deadlocks),
        "counted_since": float(counted_since),
        **_numbers(answers),
        **host.counters(connection),
    }
    standbys = _standbys(_answer(answers, "replication"))
    return Sample(taken_at, size, numbers, standbys, statements, probes, problems), answers


def rows(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yields the rows of an answer, by name of the column."""
    for row in answer.rows:
        yield dict(zip(answer.columns, row, strict=True))


def _answer(answers: Sequence[Answer], name: str) -> Answer:
    return next(answer for answer in answers if answer.query.name == name)


def _numbers(answers: Sequence[Answer]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for row in rows(_answer(answers, "health")):
        numbers["connections"] = row["connections"]
        numbers["connection_limit"] = row["connection_limit"]
    for row in rows(_answer(answers, "cache_hit_ratio")):
        numbers["blocks_hit"] = row["table_blocks_hit"]
        numbers["blocks_read"] = row["table_blocks_read"]
    active = [row["seconds"] for row in rows(_answer(answers, "active_queries")) if _is_active(row)]
    numbers["longest_seconds"] = max(active, default=0)
    numbers["waiting"] = len(_answer(answers, "locks").rows)
    dead = [
        row["dead_percent"]
        for row in rows(_answer(answers, "bloat"))
        if row["estimated_dead_rows"] > DEAD_ROWS
    ]
    numbers["dead_percent"] = max(dead, default=0)
    for row in rows(_answer(answers, "checkpoints")):
        numbers["checkpoints_timed"] = row["timed"]
        numbers["checkpoints_requested"] = row["requested"]
    return {name: float(number) for name, number in numbers.items()}


def _is_active(row: Mapping[str, Any]) -> bool:
    return row["state"] == "active" and row["seconds"] is not None


def _standbys(answer: Answer) -> dict[str, float]:
    """Returns the standbys that stream; a base backup is none. Of those with one name the slowest counts."""
    standbys: dict[str, float] = {}
    for row in rows(answer):
        if row["state"] == "streaming" and row["behind_seconds"] is not None:
            behind = float(row["behind_seconds"])
            standbys[row["standby"]] = max(behind, standbys.get(row["standby"], 0.0))
    return standbys


def _statements(
    connection: Connection, problems: dict[str, str]
) -> dict[str, tuple[int, float]] | None:
    if "slow_queries" in problems or not has_statements(connection):
        problems.setdefault("slow_queries", NO_STATEMENTS)
        return None
    with read_only(connection):
        statements = connection.execute(_STATEMENTS).fetchall()
    return {name: (int(calls), float(spent)) for name, calls, spent in statements}
