"""Loading an entity table from the documents of its collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import polars as pl
import sqlalchemy as sa

from migration_assets.conversion.batches import (
    BatchConverter,
    ConvertedBatch,
    Taken,
    columns_of_keys,
)
from migration_assets.known_ids import Loaded
from migration_assets.loading.doubts import are_there_any, doubled_values, orphaned_rows
from migration_assets.loading.jobs import Conversion, Job, Reading
from migration_assets.loading.lookup import Lookup, assumed_ids
from migration_assets.loading.records import Tally
from migration_assets.loading.relations import Staged, relate, removed_rows
from migration_assets.loading.staging import Staging
from migration_assets.model import sources, unique_keys
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import Remediation
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.target.connection import Connection

Made = TypeVar("Made")


@dataclass(frozen=True)
class DocumentsJob(Job):
    """Brings an entity table to the state of its collection; the tables that it refers to are loaded."""

    @property
    def table(self) -> sa.Table:
        """The table."""
        return self.model.tables[self.table_name]

    @property
    def keeps_record(self) -> bool:
        """Where no document hangs on others, as those with unique values do."""
        return not unique_keys(self.table)

    @property
    def looks_ids_up(self) -> bool:
        """Whether what a document becomes hangs on more than itself.

        Rules may ask for ids; and whether a unique value that is an id is lost decides who may have it.
        """
        columns = sources(self.table)
        has_unique_ids = any(columns[each].references for each in columns_of_keys(self.table))
        return has_unique_ids or Remedies(self._rules, self.table).looks_ids_up

    @property
    def _rules(self) -> Sequence[Remediation]:
        return self.remediations.of(self.table)

    def readings(self, source: SourceDatabase) -> list[Reading]:
        """Returns that all documents are read as a whole."""
        del source
        return [Reading(self.table_name)]

    def conversion(self, staging: Staging, reading: Reading) -> Conversion:
        """Returns what converts documents."""
        del reading
        return self._converting(staging.connection, is_apart=True)

    def complete(self, source: SourceDatabase, staging: Staging, tally: Tally) -> None:
        """Converts the documents again whose relations are not as was assumed."""
        table, connection = self.table, staging.connection
        doubtful = [] if self.looks_ids_up else orphaned_rows(table)
        doubtful += doubled_values(table)
        if not doubtful or not (tally.rejected or are_there_any(connection, doubtful)):
            return
        before = self._converting(connection)
        staged = Staged(
            table.name,
            doubtful,
            removed_rows(staging),
            before,
            DocumentConversion(table, self._rules, Lookup(connection, table), taken={}),
            unique_values=before.unique_values if unique_keys(table) else None,
            is_recorded=self.keeps_record,
        )
        relate(source, staging, tally, staged)

    def _converting(self, connection: Connection, *, is_apart: bool = False) -> DocumentConversion:
        """Returns what converts documents as they are staged."""
        ids: Loaded | Lookup = (
            Lookup(connection, self.table, is_apart=is_apart)
            if self.looks_ids_up
            else assumed_ids(connection, self.table)
        )
        return DocumentConversion(self.table, self._rules, ids)

    def fingerprints(
        self, connection: Connection, contents: Mapping[str, ContentDigest]
    ) -> Mapping[str, str]:
        """Returns the fingerprint of the collection."""
        del connection
        return {name: content.fingerprint(name) for name, content in contents.items()}


class DocumentConversion:
    """Converts the documents of a collection."""

    def __init__(
        self,
        table: sa.Table,
        rules: Sequence[Remediation],
        ids: Loaded | Lookup,
        taken: Taken | None = None,
    ) -> None:
        """Takes what documents are converted with.

        Args:
            table: The table.
            rules: The rules.
            ids: The ids to refer to.
            taken: Unique values that earlier documents have; None where these are not looked at.
        """
        self._lookup = ids if isinstance(ids, Lookup) else None
        loaded = ids.loaded if isinstance(ids, Lookup) else ids
        self._converter = BatchConverter(table, loaded, taken, Remedies(rules, table, loaded))

    def __call__(self, data: bytes) -> ConvertedBatch:
        """Returns rows and books of documents."""
        converted = self._answered(partial(self._converter.attempt, data))
        self._converter.take(converted)
        return converted

    def unique_values(self, data: bytes) -> pl.DataFrame:
        """Returns what documents have in the columns that must be unique."""
        return self._answered(partial(self._converter.unique_values, data))

    def _answered(self, make: Callable[[], Made]) -> Made:
        return make() if self._lookup is None else self._lookup.answered(make)
