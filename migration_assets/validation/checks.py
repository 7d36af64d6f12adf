"""Running a check and keeping its result: the one entry for assets and commands.

A check that could not run is a failed check (section 9).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import chain

import psycopg
import sqlalchemy as sa
from psycopg import sql
from pymongo.errors import ConnectionFailure

from migration_assets.errors import MigrationError
from migration_assets.loading.dependencies import depends_on
from migration_assets.loading.ledger import latest_of, versions_of
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.settings import SAMPLE, SAMPLE_SEED
from migration_assets.source.connection import SourceDatabase
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.target.marks import marks_of
from migration_assets.validation.entity_pass import ComparePart, Part, Shared
from migration_assets.validation.evidence import Evidence, Layer, Phases, Severity
from migration_assets.validation.findings import Comparison
from migration_assets.validation.table_pass import compare


@dataclass(frozen=True, slots=True)
class State:
    """Which state of a table a check looked at, as its own transaction saw it.

    Attributes:
        load_id: The load that had brought the table there; None where there was none.
        versions: The loads that had last changed the tables that its ids point to, by name.
        rows_mark: Mark of its rows.
        books_mark: Mark of its books.
    """

    load_id: str | None
    versions: Mapping[str, str]
    rows_mark: str
    books_mark: str


def state_of(connection: Connection, table: sa.Table) -> State:
    """Returns the state of a table as a transaction sees it."""
    load = latest_of(connection, "id", [table.name]).get(table.name)
    versions = versions_of(connection, depends_on(table))
    return State(None if load is None else str(load), versions, *marks_of(connection, table))


Layers = tuple[Layer, ...]
"""Checks that are made together."""

Share = Callable[[str, Sequence[Part], ComparePart], Iterable[Comparison]]
"""Shares parts with other processes, as of a moment of the target that a transaction has exported."""
Check = Callable[[SourceDatabase, Connection, sa.Table, Layers, Remediations], list[Evidence]]


def together(layers: Iterable[Layer]) -> list[Layers]:
    """Returns checks as they are made: what one comparison answers together, the others alone."""
    wanted = [*layers]
    views = tuple(layer for layer in Layer if layer.view and layer in wanted)
    groups = [views if layer in views else (layer,) for layer in wanted]
    return list(dict.fromkeys(groups))


def _made(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    layers: Layers,
    remediations: Remediations,
    *,
    shared: Shared | None = None,
) -> list[Evidence]:
    """Makes checks that are made together."""
    if len(layers) == 1 and layers[0].alone:
        return [_function(layers[0].alone)(source, connection, table)]
    phases = Phases()
    comparison = compare(
        source,
        connection,
        table,
        phases,
        sample_size=SAMPLE.read(),
        seed=SAMPLE_SEED.read(),
        remediations=remediations,
        with_types=Layer.TYPES in layers,
        shared=shared,
    )
    return [
        _function(layer.view)(table, comparison, phases)
        or _function(layer.alone)(source, connection, table)
        for layer in layers
    ]


def _function(path: str) -> Callable[..., Evidence]:
    """Returns the function of a layer, as its record names it."""
    module, _, name = path.partition(":")
    function: Callable[..., Evidence] = getattr(import_module(f"{__package__}.{module}"), name)
    return function


def run_checks(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    layers: Layers,
    *,
    remediations: Remediations = NO_REMEDIATIONS,
    share: Share | None = None,
    check: Check | None = None,
) -> list[Evidence]:
    """Runs checks of one table that are made ``together``, and keeps their results in ``migration``.

    A result is bound to the state that the check has seen, whatever is loaded while it runs.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table.
        layers: Which checks.
        remediations: What must have been corrected or accepted on the way.
        share: Shares the parts of a collection with other processes; None to compare all of it here.
        check: What makes them, for tests.
    """
    state = None
    try:
        with at_one_moment(connection, read_only=True):
            state = state_of(connection, table)
            shared = None
            if share is not None:
                ((moment,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
                shared = partial(share, moment)
            make = check or partial(_made, shared=shared)
            results = make(source, connection, table, layers, remediations)
    except Exception as error:  # whatever it is: a check that could not run has failed
        is_lost = isinstance(error, psycopg.OperationalError) and connection.closed
        if is_lost or isinstance(error, ConnectionFailure):
            raise  # whoever opened the connections decides whether to try again
        if len(layers) > 1:  # what keeps one of them from running may be what another one is for
            alone = [
                run_checks(
                    source, connection, table, (layer,), remediations=remediations, check=check
                )
                for layer in layers
            ]
            return list(chain.from_iterable(alone))
        results = [_could_not_run(table, layer, error) for layer in layers]
    with connection.transaction():
        for evidence in results:
            record(connection, evidence, state)
    return results


def record(connection: Connection, evidence: Evidence, state: State | None) -> None:
    """Keeps a result as the latest of its check.

    Args:
        connection: A connection to the target, in autocommit mode.
        evidence: The result.
        state: What was looked at; None where nothing could be: it is of no load then.
    """
    row = {
        "target_table": evidence.table,
        "check_name": evidence.layer,
        "load_id": None if state is None else state.load_id,
        "passed": evidence.passed,
        "severity": evidence.severity,
        "summary": evidence.summary,
        "evidence": json.dumps(evidence.as_json()),
        "versions": json.dumps({} if state is None else dict(state.versions)),
        "rows_mark": None if state is None else state.rows_mark,
        "books_mark": None if state is None else state.books_mark,
    }
    statement = sql.SQL(
        "INSERT INTO {results} ({names}, evaluated_at) VALUES ({values}, clock_timestamp()) "
        "ON CONFLICT (target_table, check_name) DO UPDATE SET ({names}, evaluated_at) = "
        "({new}, excluded.evaluated_at)"
    ).format(
        results=sql.Identifier(SCHEMA, bookkeeping.check_results.name),
        names=sql.SQL(", ").join(map(sql.Identifier, row)),
        values=sql.SQL(", ").join(map(sql.Placeholder, row)),
        new=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in row),
    )
    connection.execute(statement, row)


def _could_not_run(table: sa.Table, layer: Layer, error: Exception) -> Evidence:
    """Returns a failed check; only our own errors are known to hold no values of documents."""
    reason = str(error) if isinstance(error, MigrationError) else type(error).__name__
    if isinstance(error, psycopg.Error) and error.sqlstate:
        reason = f"{reason} (SQLSTATE {error.sqlstate})"
    return Evidence(
        table=table.name,
        layer=layer,
        passed=False,
        severity=Severity.ERROR,
        is_sound=False,
        summary=f"the check could not run: {reason}",
        next_step="Put the cause right, then run the check again",
    )
