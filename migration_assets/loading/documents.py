"""Loading an entity table from the documents of its collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from migration_assets.conversion.batches import (
    BatchConverter,
    Taken,
    columns_of_keys,
)
from migration_assets.known_ids import Loaded
from migration_assets.loading.jobs import Conversion, Job, Reading
from migration_assets.loading.lookup import Lookup
from migration_assets.loading.relations import (
    Doubtful,
    are_there_any,
    doubled_values,
    orphaned_rows,
    rejected_documents,
    removed_rows,
)
from migration_assets.loading.staging import Staging
from migration_assets.model import sources, unique_keys
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import Remediation
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.target.connection import Connection


@dataclass(frozen=True)
class DocumentsJob(Job):
    """Brings an entity table to the state of its collection; the tables that it refers to are loaded."""

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
        has_unique_ids = any(columns[name].references for name in columns_of_keys(self.table))
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
        return self._converter(self.ids(staging.connection)).convert

    def complete(self, source: SourceDatabase, staging: Staging) -> None:
        """Converts the documents again whose relations are not as was assumed."""
        table, connection = self.table, staging.connection
        doubtful = [] if self.looks_ids_up else orphaned_rows(table)
        doubtful += doubled_values(table)
        if not doubtful or not are_there_any(connection, [*doubtful, rejected_documents(table)]):
            return
        before = self._converter(self.ids(connection))
        Doubtful(
            source=source,
            staging=staging,
            collection=table.name,
            queries=doubtful,
            remove=removed_rows(staging),
            before=before.convert,
            exactly=self._converter(Lookup(connection, table), taken={}).convert,
            unique_values=before.unique_values if unique_keys(table) else None,
            is_recorded=self.keeps_record,
        ).convert_again()

    def _converter(self, ids: Loaded, taken: Taken | None = None) -> BatchConverter:
        """Returns what converts documents; unique values are not looked at where None are taken."""
        return BatchConverter(self.table, ids, taken, Remedies(self._rules, self.table, ids))

    def fingerprints(
        self, connection: Connection, contents: Mapping[str, ContentDigest]
    ) -> Mapping[str, str]:
        """Returns the fingerprint of the collection."""
        del connection
        return {name: content.fingerprint(name) for name, content in contents.items()}
