"""The baseline: what the source's documents convert to, staged beside the target's tables.

It is made by the loader's own conversion, batch by batch, into temporary tables of the session, so that
memory stays flat and nothing is left when the session ends. A document that is rejected has no row in it,
and a value that was altered stands in it as it was loaded: neither can be taken for a gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl
import sqlalchemy as sa
from psycopg import sql

from migration_assets.conversion.batches import BatchConverter
from migration_assets.loading.dependencies import dependencies_of
from migration_assets.loading.encoding import binary
from migration_assets.loading.ledger import latest_fingerprints, latest_of, loaded_with_other
from migration_assets.loading.load import silent
from migration_assets.loading.lookup import Lookup
from migration_assets.loading.pairs import PairConverter
from migration_assets.loading.pipeline import prefetched
from migration_assets.memory import without_cycle_detection
from migration_assets.model import Junction, Model, junction_of
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.rollback.comparable import baseline_type, comparable_rows
from migration_assets.rollback.refused import RefusedError
from migration_assets.settings import REMEDIATIONS
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.source.reading import raw_batches
from migration_assets.target.connection import Connection
from migration_assets.target.standing import Standing, standing_tables


def baseline_table(table: sa.Table) -> sql.Identifier:
    """Returns the temporary table that holds the baseline of a table."""
    return sql.Identifier("pg_temp", f"baseline.{table.name}")


def current_rows(table: sa.Table) -> sql.Identifier:
    """Returns the temporary view of a table's rows as they are now, in the columns of the model."""
    return sql.Identifier("pg_temp", f"current.{table.name}")


def stage_baseline(
    model: Model,
    source: SourceDatabase,
    connection: Connection,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
) -> None:
    """Stages the baseline of every table. The caller holds the transaction.

    A table that was never loaded completely has no rows in its baseline.

    Args:
        model: The application's tables.
        source: The source, as it was migrated.
        connection: A connection to the target within a transaction.
        say: Is told which table is read.
        remediations: What was corrected on the way: as it was when the tables were loaded.

    Raises:
        RefusedError: The source is not what was migrated, or a table is older than what it refers to, or was
            loaded with other remediations: what differs could not be told from what the application wrote.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    plans = latest_of(connection, "plan")
    _require_current(model, connection, plans)
    _require_same_remediations(model, connection, remediations)
    stage = _Stage(source, connection, remediations, standing_tables(model, connection))
    with without_cycle_detection():
        for name, table in model.tables.items():
            stage.create(table)
            if name in plans:
                say(f"reading what {name} was loaded from")
                stage.fill(table)
            stage.complete(table)
    if stage.changed:
        raise RefusedError(
            f"written to since the migration: {', '.join(sorted(stage.changed))}",
            where="source",
            next_step="What the source gained would pass for rows that PostgreSQL lost. Point "
            "SOURCE_MONGODB_URL to the source as it was migrated, such as a restored backup",
        )


def drop_baseline(model: Model, connection: Connection) -> None:
    """Drops the temporary tables and views, which hold on to the target's tables."""
    for table in model.tables.values():
        connection.execute(sql.SQL("DROP VIEW {}").format(current_rows(table)))
        connection.execute(sql.SQL("DROP TABLE {}").format(baseline_table(table)))


def _require_current(model: Model, connection: Connection, plans: dict[str, str]) -> None:
    stale = [
        name
        for name, table in model.tables.items()
        if name in plans and dependencies_of(connection, table).plan != plans[name]
    ]
    if stale:
        raise RefusedError(
            f"the model, or a table that they refer to, changed after the last load of "
            f"{', '.join(stale)}",
            where=f"database {connection.info.dbname}",
            next_step="What they were loaded from cannot be computed again: use the version of this "
            "project that migrated; before go-live, bring the tables up to date first",
        )


def _require_same_remediations(
    model: Model, connection: Connection, remediations: Remediations
) -> None:
    other = loaded_with_other(model, connection, remediations)
    if other:
        raise RefusedError(
            f"loaded with other remediations: {', '.join(other)}",
            where=f"database {connection.info.dbname}",
            next_step=f"What they were loaded from cannot be computed again: let "
            f"{REMEDIATIONS.name} name the file that they were loaded with; before go-live, "
            "bring the tables up to date first",
        )


@dataclass(slots=True)
class _Stage:
    """Fills the baseline.

    Attributes:
        source: The source.
        connection: The session that owns the temporary tables.
        remediations: What was corrected on the way.
        standing: How the target's tables are now.
        changed: Collections that are not what was migrated.
    """

    source: SourceDatabase
    connection: Connection
    remediations: Remediations
    standing: Mapping[str, Standing]
    changed: set[str] = field(default_factory=set)

    def create(self, table: sa.Table) -> None:
        # Labels are texts in the baseline: the application may have replaced the enum type since.
        query = "CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP"
        columns = [
            sql.SQL("{} {}").format(sql.Identifier(column.name), sql.SQL(baseline_type(column)))
            for column in table.columns
        ]
        name = sql.Identifier(f"baseline.{table.name}")
        self.connection.execute(sql.SQL(query).format(name, sql.SQL(", ").join(columns)))

    def fill(self, table: sa.Table) -> None:
        # References may point to rows of other tables in the baseline.
        lookup = Lookup(self.connection, table, self._rows_of)
        content, relation = ContentDigest(), junction_of(table)
        frames = (
            self._rows(table, lookup, content)
            if relation is None
            else self._pairs(table, relation, lookup)
        )
        copy_in = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(baseline_table(table))
        for frame in frames:  # between two of them, ids are looked up
            with self.connection.cursor() as cursor, cursor.copy(copy_in) as copy:
                for piece in binary([frame], [*table.columns]):
                    copy.write(piece)
        if relation is None:
            recorded = latest_fingerprints(self.connection, [table.name])
            if recorded.get(table.name) != content.fingerprint(table.name):
                self.changed.add(table.name)

    def complete(self, table: sa.Table) -> None:
        keys = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.primary_key)
        names = {"table": baseline_table(table), "keys": keys}
        self.connection.execute(sql.SQL("CREATE INDEX ON {table} ({keys})").format(**names))
        self.connection.execute(sql.SQL("ANALYZE {table}").format(**names))
        view = sql.SQL("CREATE TEMPORARY VIEW {} AS {}").format(
            sql.Identifier(f"current.{table.name}"),
            comparable_rows(self.standing[table.name], baseline_table(table)),
        )
        self.connection.execute(view)

    def _rows(
        self, table: sa.Table, lookup: Lookup, content: ContentDigest
    ) -> Iterator[pl.DataFrame]:
        remedies = Remedies(self.remediations.of(table), table, lookup)
        converter = BatchConverter(table, lookup, remedies=remedies)
        with prefetched(raw_batches(self.source[table.name])) as batches:
            for data in batches:
                content.add(data)
                yield converter.convert(data).rows

    def _pairs(self, table: sa.Table, relation: Junction, lookup: Lookup) -> Iterator[pl.DataFrame]:
        for sides in relation.arrays():
            converter = PairConverter(table, self.remediations, sides, lookup)
            collection = self.source[converter.holder.collection]
            with prefetched(raw_batches(collection, projection=converter.projection)) as batches:
                for data in batches:
                    yield converter.convert(data).rows.drop("side")

    @staticmethod
    def _rows_of(table: sa.Table) -> sql.Composed:
        return sql.SQL("SELECT id FROM {}").format(baseline_table(table))
