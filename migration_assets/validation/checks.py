"""Running a check and keeping its result: the one entry for assets and commands.

A check that could not run is a failed check (section 9).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import psycopg
import sqlalchemy as sa
from psycopg import sql
from pymongo.errors import ConnectionFailure

from migration_assets.errors import MigrationError
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.urls import positive
from migration_assets.validation.evidence import Evidence, Layer, Severity
from migration_assets.validation.references import check_references
from migration_assets.validation.row_count import check_row_count
from migration_assets.validation.types import check_types
from migration_assets.validation.values import check_values

SAMPLE_VARIABLE = "MIGRATION_SAMPLE"
SEED_VARIABLE = "MIGRATION_SAMPLE_SEED"

DESCRIPTIONS: Mapping[Layer, str] = {
    Layer.ROW_COUNT: (
        "The books balance: every document is a row or a rejected document, every value is accounted "
        "for. Red: rows or books were changed after the load; materialize the table again. Yellow: values "
        "were coerced, defaulted or derived without loss, or fields are unknown and kept; read which."
    ),
    Layer.VALUES: (
        "All rows equal what an independent reading of the documents expects, and every change of a "
        "value is on record. Red: look at migration.rejected_documents and migration.issues for this "
        "table, correct the source or add a remediation, materialize the table again."
    ),
    Layer.REFERENCES: (
        "Every id points to a row, and every reference of the source arrived or is on record. Red: look "
        "at the orphaned ids in migration.issues, correct the source or add a remediation. Yellow: a pair "
        "stands in only one of its two arrays; it is loaded."
    ),
    Layer.TYPES: (
        "Types, enums, ranges, precision, JSON and arrays are as the model says. Red: somebody changed "
        "the table; materialize it again, or restore its definition."
    ),
}

Check = Callable[[SourceDatabase, Connection, sa.Table, Remediations], Evidence]


def _row_count(
    source: SourceDatabase, connection: Connection, table: sa.Table, _: Remediations
) -> Evidence:
    return check_row_count(source, connection, table)


def _values(
    source: SourceDatabase, connection: Connection, table: sa.Table, remediations: Remediations
) -> Evidence:
    return check_values(
        source,
        connection,
        table,
        sample_size=positive(SAMPLE_VARIABLE, 100),
        seed=positive(SEED_VARIABLE, 0),
        remediations=remediations,
    )


def _references(
    source: SourceDatabase, connection: Connection, table: sa.Table, remediations: Remediations
) -> Evidence:
    return check_references(source, connection, table, remediations=remediations)


def _types(
    _source: SourceDatabase, connection: Connection, table: sa.Table, _: Remediations
) -> Evidence:
    return check_types(connection, table)


_CHECKS: Mapping[Layer, Check] = {
    Layer.ROW_COUNT: _row_count,
    Layer.VALUES: _values,
    Layer.REFERENCES: _references,
    Layer.TYPES: _types,
}


def run_check(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    layer: Layer,
    *,
    remediations: Remediations = NO_REMEDIATIONS,
    checks: Mapping[Layer, Check] = _CHECKS,
) -> Evidence:
    """Runs one check of one table and keeps its result in ``migration.check_results``.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table.
        layer: Which check.
        remediations: What must have been corrected or accepted on the way.
        checks: What the checks are, for tests.
    """
    try:
        evidence = checks[layer](source, connection, table, remediations)
    except (psycopg.OperationalError, ConnectionFailure) as error:
        if connection.closed or isinstance(error, ConnectionFailure):
            raise  # whoever opened the connections decides whether to try again
        evidence = _could_not_run(table, layer, error)
    except Exception as error:  # whatever it is: a check that could not run has failed
        evidence = _could_not_run(table, layer, error)
    record(connection, evidence)
    return evidence


def record(connection: Connection, evidence: Evidence) -> None:
    """Keeps a result as the latest of its check."""
    results, loads = (
        sql.Identifier(SCHEMA, table.name)
        for table in (bookkeeping.check_results, bookkeeping.loads)
    )
    with connection.transaction():
        connection.execute(
            sql.SQL(
                "INSERT INTO {results} (target_table, check_name, load_id, passed, severity, "
                "summary, evidence, evaluated_at) "
                "SELECT %(table)s, %(check)s, (SELECT id FROM {loads} WHERE target_table = %(table)s "
                "AND finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT 1), "
                "%(passed)s, %(severity)s, %(summary)s, %(evidence)s, clock_timestamp() "
                "ON CONFLICT (target_table, check_name) DO UPDATE SET load_id = excluded.load_id, "
                "passed = excluded.passed, severity = excluded.severity, summary = excluded.summary, "
                "evidence = excluded.evidence, evaluated_at = excluded.evaluated_at"
            ).format(results=results, loads=loads),
            {
                "table": evidence.table,
                "check": evidence.layer,
                "passed": evidence.passed,
                "severity": evidence.severity,
                "summary": evidence.summary,
                "evidence": json.dumps(evidence.as_json()),
            },
        )


def _could_not_run(table: sa.Table, layer: Layer, error: Exception) -> Evidence:
    """Returns a failed check; only our own errors are known to hold no values of documents."""
    said = str(error) if isinstance(error, MigrationError) else type(error).__name__
    if isinstance(error, psycopg.Error) and error.sqlstate:
        said = f"{said} (SQLSTATE {error.sqlstate})"
    return Evidence(
        table=table.name,
        layer=layer,
        passed=False,
        severity=Severity.ERROR,
        is_sound=False,
        summary=f"the check could not run: {said}",
        next_step="Put the cause right, then run the check again",
    )
