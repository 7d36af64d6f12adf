"""A table held against its source in one pass, for the checks ``values``, ``references`` and ``types``."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from migration_assets.memory import without_cycle_detection
from migration_assets.model import junction_of
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.settings import SAMPLE
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.validation.entity_pass import Shared, compare_documents, recheck_documents
from migration_assets.validation.evidence import Phases
from migration_assets.validation.findings import Comparison, totals_of
from migration_assets.validation.identities import uuid_of
from migration_assets.validation.pair_pass import compare_pairs
from migration_assets.validation.recorded_lines import recorded_conversions, recorded_lines
from migration_assets.validation.reference_targets import find_targets, name_documents
from migration_assets.validation.rows import ComparedTable, snapshot


def compare(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    phases: Phases,
    *,
    sample_size: int = SAMPLE.default,
    seed: int = 0,
    remediations: Remediations = NO_REMEDIATIONS,
    with_types: bool = False,
    shared: Shared | None = None,
) -> Comparison:
    """Holds a table against its source, all rows, and against its books (section 9).

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode; only read.
        table: An entity table or a junction table.
        phases: Where the seconds are added.
        sample_size: How many documents, or pairs, to draw and report one by one.
        seed: Which ones are drawn: the same seed, the same ones.
        remediations: What must have been corrected or accepted on the way.
        with_types: Whether to judge the types of the rows that it reads, too.
        shared: Shares the parts of a collection with other processes; None to compare all of it here.

    Raises:
        psycopg.Error: The target cannot be read as the model says.
        PyMongoError: The source cannot be read.
    """
    of_documents = partial(compare_documents, shared=shared)
    compare_rows = of_documents if junction_of(table) is None else compare_pairs
    compared_table = ComparedTable(source, connection, table, remediations)
    with snapshot(connection), without_cycle_detection():
        result = compare_rows(
            compared_table, phases, sample_size=sample_size, seed=seed, with_types=with_types
        )
        with phases.phase("leading nowhere"):
            find_targets(connection, table, result)
        with phases.phase("books"):
            result.recorded, result.accepted = recorded_lines(connection, table.name)
            conversions = recorded_conversions(connection, table.name)
            result.totals += totals_of("lines", result.lines, result.recorded)
            result.totals += totals_of("conversions", +result.conversions, conversions)
            name_documents(connection, table, result)
    return result


def recheck(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    identifiers: Sequence[Any],
    *,
    remediations: Remediations = NO_REMEDIATIONS,
) -> Comparison:
    """Holds just some documents of an entity table against their rows and their lines in the books.

    That a value is unique is of the whole collection, and not looked at.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode; only read.
        table: The entity table.
        identifiers: The `_id`s of the documents, as the driver has them; one that is gone has no row.
        remediations: What must have been corrected or accepted on the way.

    Raises:
        psycopg.Error: The target cannot be read as the model says.
        PyMongoError: The source cannot be read.
    """
    rows = [uuid.UUID(bytes=uuid_of(table.name, identifier)) for identifier in identifiers]
    with snapshot(connection):
        compared_table = ComparedTable(source, connection, table, remediations)
        result = recheck_documents(compared_table, identifiers)
        find_targets(connection, table, result, rows=rows)
        name_documents(connection, table, result)
    return result
