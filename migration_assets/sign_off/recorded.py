"""What the target's own record says of a migration: loads, results of checks, books. Counts and keys only."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from migration_assets.causes.recorded import Explained, recorded_causes
from migration_assets.loading.ledger import loaded_by_other, loaded_with_other
from migration_assets.model import Model
from migration_assets.model.upgrade import Consequence
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.sign_off.applied import Applied, applied
from migration_assets.sign_off.waivers import Waiver, kept
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.origin import Origin
from migration_assets.target.bookkeeping import BOOKKEEPING, SCHEMA, uuid_map
from migration_assets.target.catalog import differing_constraints, missing_constraints
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.target.ddl import search_indexes
from migration_assets.target.marks import is_as_recorded, marks_of
from migration_assets.upgrade import in_target

REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Load:
    """The latest load of a table.

    Attributes:
        id: The load.
        fingerprints: Of the collections that it read, by name.
        version: The load that last changed a row of the table: equal versions, equal rows.
        started_at: When it started.
        finished_at: When it was merged.
        statistics: Its counts and seconds.
    """

    id: str
    fingerprints: Mapping[str, str]
    version: str
    started_at: dt.datetime
    finished_at: dt.datetime
    statistics: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The latest result of a check.

    Attributes:
        load_id: The load that was checked.
        passed: Whether it passed.
        severity: What it means when it did not.
        summary: One line in words.
        evidence: Counts, keys and seconds.
        evaluated_at: When it ran.
        versions: The versions of the tables that its ids point to, as it has seen them, by name.
        rows_mark: Mark of the rows that it has seen; None where it could not look.
        books_mark: The same of the books.
    """

    load_id: str | None
    passed: bool
    severity: str
    summary: str
    evidence: Mapping[str, Any]
    evaluated_at: dt.datetime
    versions: Mapping[str, str]
    rows_mark: str | None
    books_mark: str | None


@dataclass(frozen=True, slots=True)
class BookCount:
    """How often something is in the books.

    Attributes:
        table: The table whose load wrote it.
        collection: The collection.
        field: The field; empty where the whole document is meant.
        kind: `rejected`, `altered`, `nulled`, `orphaned`, or a kind of lossless conversion.
        reason: Why, in words without values.
        count: How often.
        documents: In how many documents; 0 where that is not on record.
        keys: The sum of hashes of their keys and originals; 0 where that is not on record.
    """

    table: str
    collection: str
    field: str
    kind: str
    reason: str
    count: int
    documents: int = 0


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What the model does not know of a collection.

    Attributes:
        collection: The collection.
        documents: How many documents have such fields, or are of a collection that is not known.
        fields: The names of the most frequent fields, and in how many documents each is.
        names: How many names there are in all.
    """

    collection: str
    documents: int
    fields: Mapping[str, int]
    names: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """All of the record that a sign-off reads.

    Attributes:
        model: The application.
        loads: The latest load of each table, and of the UUID map.
        results: The latest result of each check, by table and check.
        losses: Rejected documents and lossy conversions that no remediation accepts.
        causes: What lies behind them, each with the rules that would resolve it.
        conversions: Lossless conversions.
        unmapped: Fields and collections that the model does not know.
        missing: Indexes and foreign keys of the application's schema that are not there.
        differing: Indexes and foreign keys that differ from the model.
        left_out: Indexes of our own that are not there.
        remediations: What each rule did.
        loaded_with_other: Tables that were loaded with other rules than there are now.
        waivers: Those that held when it was signed off last.
        marks: Of the rows and the books of each table that was loaded, as they are now.
        loaded_by_other: Tables, and the UUID map, that were loaded by another version of this program.
        origins: The sources of all loads, the latest first.
        had_documents: Of collections without a document at their latest load: how many there were at the last
            load that found some, and when that was.
        is_map_touched: Whether somebody has touched the UUID map since it was loaded.
        upgrade: What today's application does not leave as it is, with the number of rows.
        documents_in_no_table: Rejected documents, those included that a remediation accepts.
        values_lost: Lossy conversions, those included that a remediation accepts.
    """

    model: Model
    loads: Mapping[str, Load]
    results: Mapping[tuple[str, str], CheckResult]
    losses: Sequence[BookCount] = ()
    causes: Sequence[Explained] = ()
    conversions: Sequence[BookCount] = ()
    unmapped: Sequence[Unmapped] = ()
    missing: Sequence[str] = ()
    differing: Sequence[str] = ()
    left_out: Sequence[str] = ()
    remediations: Sequence[Applied] = ()
    loaded_with_other: Sequence[str] = ()
    waivers: Sequence[Waiver] = ()
    marks: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    loaded_by_other: Sequence[str] = ()
    origins: Sequence[Origin] = ()
    had_documents: Mapping[str, tuple[int, dt.datetime]] = field(default_factory=dict)
    is_map_touched: bool = False
    upgrade: Sequence[tuple[Consequence, int]] = ()
    documents_in_no_table: int = 0
    values_lost: int = 0


_LOADS = """
    SELECT DISTINCT ON (target_table) target_table, id::text, fingerprints, version::text,
           started_at, finished_at, statistics
    FROM {loads} WHERE finished_at IS NOT NULL ORDER BY target_table, finished_at DESC
"""

_RESULTS = """
    SELECT target_table, check_name, load_id::text, passed, severity, summary, evidence, evaluated_at,
           coalesce(versions, '{{}}'), rows_mark, books_mark
    FROM {check_results}
"""

_ORIGINS = """
    SELECT source->>'database', source->'hosts', source->'collections' FROM {loads}
    WHERE finished_at IS NOT NULL AND source IS NOT NULL GROUP BY source ORDER BY max(finished_at) DESC
"""

_HAD_DOCUMENTS = """
    WITH counted AS (
        SELECT target_table, finished_at, (statistics->>'documents')::bigint AS documents
        FROM {loads} WHERE finished_at IS NOT NULL
    )
    SELECT DISTINCT ON (target_table) target_table, documents, finished_at FROM counted c
    WHERE documents > 0 AND 0 = (
        SELECT l.documents FROM counted l WHERE l.target_table = c.target_table
        ORDER BY l.finished_at DESC LIMIT 1)
    ORDER BY target_table, finished_at DESC
"""

_LOSSES = """
    SELECT target_table, collection, coalesce(field, ''), {rejected}, reason, count(*), count(*)
    FROM {rejected_documents} WHERE accepted_by IS NULL GROUP BY 1, 2, 3, 5
    UNION ALL
    SELECT target_table, collection, field, kind, reason, count(*), count(DISTINCT source_id)
    FROM {issues} WHERE accepted_by IS NULL GROUP BY 1, 2, 3, 4, 5
    ORDER BY 1, 2, 3, 4, 6 DESC, 5
"""

_ALL_LOST = """
    SELECT (SELECT count(DISTINCT (collection, source_id)) FROM {rejected_documents}),
           (SELECT count(*) FROM {issues})
"""

_CONVERSIONS = """
    SELECT target_table, collection, field, kind, reason, count
    FROM {conversions} ORDER BY 1, 2, 3, 4, 6 DESC, 5
"""

_UNMAPPED = """
    SELECT collection, count(*) FROM {unmapped_fields} GROUP BY 1 ORDER BY 1
"""

NAMES_SHOWN = 100
"""Unknown fields that a report names of a collection; the count is of all of them."""

_UNMAPPED_NAMES = """
    SELECT collection, left(name, 200), documents, names FROM (
        SELECT collection, name, count(*) AS documents, count(*) OVER of_collection AS names,
               row_number() OVER (of_collection ORDER BY count(*) DESC, name) AS place
        FROM {unmapped_fields}, LATERAL json_object_keys(fields::json) AS name
        WHERE target_table = collection AND strpos(fields, '\\u0000') = 0
        GROUP BY 1, 2
        WINDOW of_collection AS (PARTITION BY collection)
    ) AS counted WHERE place <= {names_shown} ORDER BY collection, place
"""
"""Of known collections: of one that the model does not know the whole document is kept, its data among it."""

_WAIVERS = "SELECT signed_at, waivers FROM {sign_offs} ORDER BY signed_at DESC LIMIT 1"


def read_recorded(
    model: Model,
    connection: Connection,
    source: SourceDatabase,
    remediations: Remediations = NO_REMEDIATIONS,
) -> Recorded:
    """Returns what the target has on record, as of one moment.

    Args:
        model: The application's tables.
        connection: A connection to the target, in autocommit mode.
        source: The source database, where ids that lead nowhere are looked up.
        remediations: The rules as they are now.
    """
    names = {
        table.name: sql.Identifier(SCHEMA, table.name) for table in BOOKKEEPING.tables.values()
    }

    def rows(query: str) -> list[tuple[Any, ...]]:
        statement = sql.SQL(query).format(
            **names, rejected=sql.Literal(REJECTED), names_shown=sql.Literal(NAMES_SHOWN)
        )
        return connection.execute(statement).fetchall()

    additions = search_indexes(model)
    with at_one_moment(connection, read_only=True):
        loads = {name: Load(*rest) for name, *rest in rows(_LOADS)}
        results = {(name, check): CheckResult(*rest) for name, check, *rest in rows(_RESULTS)}
        marks = {
            name: marks_of(connection, table)
            for name, table in model.tables.items()
            if name in loads
        }
        losses = [BookCount(*row) for row in rows(_LOSSES)]
        causes = recorded_causes(model, source, connection)
        conversions = [BookCount(*row) for row in rows(_CONVERSIONS)]
        fields: dict[str, dict[str, int]] = {}
        names_in_all: dict[str, int] = {}
        for collection, name, count, in_all in rows(_UNMAPPED_NAMES):
            fields.setdefault(collection, {})[name] = count
            names_in_all[collection] = in_all
        unmapped = [
            Unmapped(name, count, fields.get(name, {}), names_in_all.get(name, 0))
            for name, count in rows(_UNMAPPED)
        ]
        missing = missing_constraints(model, connection)
        differing = sorted(differing_constraints(model, connection))
        remediations_applied = applied(model, connection, remediations)
        loaded_with_others = loaded_with_other(model, connection, remediations)
        loaded_by_others = loaded_by_other(connection)
        ((documents_in_no_table, values_lost),) = rows(_ALL_LOST)
        origins = [Origin(*row) for row in rows(_ORIGINS)]
        had_documents = {
            name: (count, moment)
            for name, count, moment in rows(_HAD_DOCUMENTS)
            if name in model.entities
        }
        is_map_touched = uuid_map.name in loads and not is_as_recorded(connection, uuid_map)
        last = rows(_WAIVERS)
        upgrade = list(in_target(model, connection, loads))
    return Recorded(
        model=model,
        loads=loads,
        results=results,
        losses=losses,
        causes=causes,
        conversions=conversions,
        unmapped=unmapped,
        differing=differing,
        missing=[name for name in missing if name not in additions],
        left_out=[name for name in missing if name in additions],
        remediations=remediations_applied,
        loaded_with_other=loaded_with_others,
        marks=marks,
        loaded_by_other=loaded_by_others,
        origins=origins,
        had_documents=had_documents,
        is_map_touched=is_map_touched,
        upgrade=upgrade,
        documents_in_no_table=documents_in_no_table,
        values_lost=values_lost,
        waivers=[held for (signed_at, waivers) in last for held in kept(waivers or (), signed_at)],
    )
