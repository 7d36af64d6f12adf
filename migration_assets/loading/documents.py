"""Loading an entity table from the documents of its collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import sqlalchemy as sa

from migration_assets.conversion.batches import BatchConverter
from migration_assets.conversion.values import Loaded
from migration_assets.loading import digests
from migration_assets.loading.digests import DigestedBatch, Known
from migration_assets.loading.ledger import LoadResult
from migration_assets.loading.load import load, silent
from migration_assets.loading.loaded import ids_for
from migration_assets.loading.parts import Conversion, Conversions, Converted, Part
from migration_assets.loading.staging import Staging
from migration_assets.model import Model, model_of, unique_keys
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediation, Remediations
from migration_assets.second_process import SecondProcess
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.origin import origin_of
from migration_assets.source.reading import raw_batches
from migration_assets.source.snapshots import moment_read
from migration_assets.target.connection import Connection


def load_documents(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
    second: SecondProcess | None = None,
) -> LoadResult:
    """Brings an entity table to the state of its collection.

    Args:
        source: The source database.
        connection: A connection to the target, in autocommit mode.
        table: The table; the tables that it refers to are loaded.
        say: Is told what an operator wants to know.
        remediations: What is corrected or accepted on the way.
        second: Where documents are converted, too.

    Raises:
        LoadError: Another session loads the table.
        SourceError: MongoDB is out of reach.
        TargetError: PostgreSQL is out of reach.
    """
    is_ordered = bool(unique_keys(table))  # which document has a value hangs on all before it

    def parts() -> Iterator[Part]:
        for batch in raw_batches(source[table.name]):
            yield Part(table.name, batch.data)

    def conversion(staging: Staging) -> Conversion:
        loaded, rules = ids_for(connection, table), remediations.of(table)
        if is_ordered:
            # What an earlier attempt has staged holds its unique values against later documents.
            taken = {key: set(staging.rows(key)) for key in unique_keys(table)}
            remedies = Remedies(rules, table, loaded)
            return OrderedConversion(BatchConverter(table, loaded, taken, remedies))
        known = digests.known(connection, staging.base) if staging.base else Known(b"")
        return DocumentConversion(model_of(table), table.name, loaded, rules, known)

    def conversions(staging: Staging) -> Conversions:
        found = conversion(staging)
        return lambda _: found

    return load(
        connection,
        table,
        parts,
        conversions,
        fingerprints=lambda digest: {table.name: digest},
        origin=origin_of(source),
        moment=moment_read(source),
        say=say,
        remediations=remediations,
        second=None if is_ordered else second,
    )


class DocumentConversion:
    """Converts the documents of a collection that are not those of the last load. It can be pickled."""

    def __init__(
        self, model: Model, name: str, loaded: Loaded, rules: Sequence[Remediation], known: Known
    ) -> None:
        """Takes model and name of the table, ids to refer to, rules, and what need not be converted."""
        self._given = (model, name, loaded, rules, known)
        table = model.tables[name]
        self._known = known
        remedies = Remedies(rules, table, loaded)
        self._converter = BatchConverter(table, loaded, remedies=remedies)

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Leaves the converter to be made anew."""
        return type(self), self._given

    def __call__(self, data: bytes) -> Converted:
        """Returns rows and books of documents, and a record of them."""
        batch = DigestedBatch(self._converter.table.name, data)
        others = np.flatnonzero(~self._known.has_each(batch.digests))
        converted = self._converter.convert(batch.only(others))
        return Converted(
            len(batch),
            converted.rows,
            converted.books,
            as_before=len(batch) - len(others),
            record=batch.record(others[list(converted.traced)]),
        )


@dataclass(frozen=True, slots=True)
class OrderedConversion:
    """Converts all documents of a collection with unique values: which has one hangs on all before it."""

    converter: BatchConverter

    def __call__(self, data: bytes) -> Converted:
        """Returns rows and books of the next documents."""
        converted = self.converter.convert(data)
        return Converted(converted.documents, converted.rows, converted.books)
