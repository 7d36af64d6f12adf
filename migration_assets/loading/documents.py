"""Loading an entity table from the documents of its collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from migration_assets.conversion.batches import BatchConverter
from migration_assets.loading.jobs import Conversion, Job, Reading
from migration_assets.loading.loaded import ids_for
from migration_assets.loading.staging import Staging
from migration_assets.model import unique_keys
from migration_assets.remediation.applying import Remedies
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.target.connection import Connection


@dataclass(frozen=True)
class DocumentsJob(Job):
    """Brings an entity table to the state of its collection; the tables that it refers to are loaded."""

    @property
    def table(self) -> sa.Table:
        """The table."""
        return self.model.tables[self.table_name]

    @property
    def is_ordered(self) -> bool:
        """Which document has a unique value hangs on all before it."""
        return bool(unique_keys(self.table))

    @property
    def keeps_record(self) -> bool:
        """Where no document hangs on others."""
        return not self.is_ordered

    def readings(self, source: SourceDatabase) -> list[Reading]:
        """Returns that all documents are read as a whole."""
        del source
        return [Reading(self.table_name)]

    def conversion(self, staging: Staging, reading: Reading) -> Conversion:
        """Returns what converts documents; the ids that they may refer to are read here."""
        del reading
        loaded = ids_for(staging.connection, self.table)
        # What an earlier attempt has staged holds its unique values against later documents.
        taken = {key: set(staging.rows(key)) for key in unique_keys(self.table)}
        remedies = Remedies(self.remediations.of(self.table), self.table, loaded)
        return BatchConverter(self.table, loaded, taken, remedies).convert

    def fingerprints(
        self, connection: Connection, contents: Mapping[str, ContentDigest]
    ) -> Mapping[str, str]:
        """Returns the fingerprint of the collection."""
        del connection
        return {name: content.fingerprint(name) for name, content in contents.items()}
