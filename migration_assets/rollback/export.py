"""Exporting what PostgreSQL gained since the migration, ready to be applied to MongoDB.

Everything is read in one snapshot of the target. Rows that were created become documents, rows that changed
become updates of the fields that changed, rows that went become deletions, and pairs of a junction table
become elements of the arrays on both its sides.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from migration_assets.identity import source_id
from migration_assets.loading.load import silent
from migration_assets.loading.pairs import remedies_of
from migration_assets.model import Junction, Model, Side, junction_of, model_of, source_of, sources
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.rollback.arrays import ABSENT, array_operation, forms, pairs_query
from migration_assets.rollback.baseline import current_rows, drop_baseline, stage_baseline
from migration_assets.rollback.files import ExportFiles, Manifest
from migration_assets.rollback.gains import (
    changed_columns,
    deleted_rows,
    inserted_rows,
    unknown_columns,
    updated_rows,
    value_columns,
)
from migration_assets.rollback.identifiers import Identifiers, chunks
from migration_assets.rollback.operations import Delete, Insert, Operation, Update, picked
from migration_assets.rollback.refused import RefusedError
from migration_assets.rollback.target_state import (
    other_tables,
    require_migrated,
    table_fingerprints,
)
from migration_assets.rollback.values import (
    Known,
    NotHeldError,
    bson_value,
    read_expression,
    references_in,
)
from migration_assets.source.connection import Document, SourceDatabase
from migration_assets.target.connection import Connection
from migration_assets.target.standing import changes_since


def export_gained(
    model: Model,
    source: SourceDatabase,
    connection: Connection,
    directory: Path,
    *,
    say: Callable[[str], None] = silent,
    remediations: Remediations = NO_REMEDIATIONS,
) -> Manifest:
    """Writes what the target gained since the migration.

    Args:
        model: The application's tables.
        source: The source as it was migrated; it is only read.
        connection: A connection to the target, in autocommit mode.
        directory: Where the files go; created, and empty where it exists.
        say: Is told what is done.
        remediations: What was corrected on the way, as the tables were loaded with it.

    Raises:
        MigrationError: The directory cannot be used, or a database is out of reach.
        RefusedError: The source is not what was migrated.
    """
    require_migrated(connection)
    with ExportFiles(directory) as files, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        stage_baseline(model, source, connection, say=say, remediations=remediations)
        identifiers = Identifiers(connection)
        identifiers.create()
        for table in model.entities.values():
            identifiers.name_new(table)
        export = _Export(source, connection, files, identifiers, remediations)
        for table in model.entities.values():
            say(f"comparing {table.name}")
            export.rows(table)
        for table in model.junctions.values():
            say(f"comparing {table.name}")
            export.pairs(table)
        for collection, row, source_id in identifiers.mapping():
            files.new_id(collection, str(row), source_id)
        manifest = files.finish(
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            source=source.name,
            target=connection.info.dbname,
            tables=table_fingerprints(model, connection),
            unknown_columns=unknown_columns(model, connection),
            unknown_tables=other_tables(model, connection),
            changes=tuple(changes_since(model, connection)),
        )
        drop_baseline(model, connection)
    return manifest


@dataclass(frozen=True, slots=True)
class _Export:
    source: SourceDatabase
    connection: Connection
    files: ExportFiles
    identifiers: Identifiers
    remediations: Remediations

    def rows(self, table: sa.Table) -> None:
        """Exports the rows of an entity table: the deleted, the changed and the new ones."""
        for chunk in chunks(
            self.connection, sql.SQL("SELECT b.id {} ORDER BY 1").format(deleted_rows(table))
        ):
            self._deleted(table, [row[0] for row in chunk])
        for changed in self._changed(table):
            self._updated(table, changed)
        for came in self._read(table, sql.SQL("NULL"), inserted_rows(table)):
            self._inserted(table, came)

    def pairs(self, table: sa.Table) -> None:
        """Exports the pairs of a junction table to the arrays on both its sides.

        A new document carries its arrays itself; a deleted one takes them along.
        """
        relation = junction_of(table)
        assert relation is not None
        for holder, array, other in relation.arrays():
            remedies = remedies_of(self.remediations, table, holder, array)
            for chunk in chunks(self.connection, pairs_query(table, holder, other)):
                self._pairs(holder, array, other, chunk, remedies)

    def _deleted(self, table: sa.Table, uuids: Sequence[uuid.UUID]) -> None:
        ids = self.identifiers.of(table.name, uuids)
        documents = self._documents(table.name, ids.values())
        for row_id in uuids:
            before = documents[source_id(ids[row_id])]
            self._write(table.name, row_id, Delete(ids[row_id], before))

    def _changed(self, table: sa.Table) -> Iterator[list[_Row]]:
        rows = updated_rows(table)
        if rows is not None:
            yield from self._read(table, changed_columns(table), rows)

    def _updated(self, table: sa.Table, rows: Sequence[_Row]) -> None:
        existing, ids = self._references(table, rows)
        own_ids = self.identifiers.of(table.name, [row.id for row in rows])
        touched = {source_of(table.columns[name]).field for row in rows for name in row.changed}
        documents = self._documents(table.name, own_ids.values(), touched)
        for row in rows:
            fields = self._fields(table, row, row.changed, existing, ids)
            before = documents[source_id(own_ids[row.id])]
            self._write(table.name, row.id, _update(own_ids[row.id], before, fields))

    def _inserted(self, table: sa.Table, rows: Sequence[_Row]) -> None:
        existing, ids = self._references(table, rows)
        own_ids = self.identifiers.of(table.name, [row.id for row in rows])
        # A rejected document whose row was entered by hand since exists already.
        there = self._there(table.name, own_ids)
        arrays = self._arrays(table, [row.id for row in rows if row.id not in there])
        names = [column.name for column in value_columns(table)]
        for row in rows:
            fields = self._fields(table, row, names, existing, ids)
            if row.id in there:
                before = there[row.id]
                self._write(table.name, row.id, _update(own_ids[row.id], before, fields))
                continue
            document = {name: value for name, value in fields.items() if value is not ABSENT}
            whole = {"_id": own_ids[row.id]} | document | arrays[row.id]
            self._write(table.name, row.id, Insert(whole))

    def _there(
        self, collection: str, own_ids: Mapping[uuid.UUID, Any]
    ) -> Mapping[uuid.UUID, Document]:
        documents = {
            source_id(document["_id"]): document
            for document in self.source[collection].find({"_id": {"$in": list(own_ids.values())}})
        }
        return {
            row: documents[key]
            for row, identifier in own_ids.items()
            if (key := source_id(identifier)) in documents
        }

    def _fields(
        self, table: sa.Table, row: _Row, names: Iterable[str], existing: Known, ids: Known
    ) -> Document:
        """Returns the fields of a row; what BSON cannot hold is a problem and is left out."""
        fields: Document = {}
        for name in names:
            source, value = source_of(table.columns[name]), row.values[name]
            try:
                fields[source.field] = (
                    ABSENT if value is None else bson_value(source, value, existing, ids)
                )
            except NotHeldError as error:
                self.files.problem(table.name, str(row.id), name, str(error))
        return fields

    def _references(self, table: sa.Table, rows: Sequence[_Row]) -> tuple[Known, Known]:
        """Returns the `_id`s that rows refer to: of existing documents, and of all."""
        referenced: dict[str, set[uuid.UUID]] = defaultdict(set)
        for name, source in sources(table).items():
            if source.references is not None:
                values = (row.values[name] for row in rows)
                referenced[source.references].update(
                    row_id for value in values for row_id in references_in(source, value)
                )
        existing = {name: self.identifiers.known(name, uuids) for name, uuids in referenced.items()}
        return existing, {
            name: self.identifiers.of(name, uuids) for name, uuids in referenced.items()
        }

    def _arrays(
        self, table: sa.Table, uuids: Sequence[uuid.UUID]
    ) -> Mapping[uuid.UUID, dict[str, list[Any]]]:
        """Returns the arrays of relations of created documents, empty ones too, by field."""
        arrays: dict[uuid.UUID, dict[str, list[Any]]] = {row_id: {} for row_id in uuids}
        for junction, relation in _relations(model_of(table)):
            for holder, array, other in relation.arrays():
                if holder.collection != table.name:
                    continue
                query = sql.SQL(
                    "SELECT t.{0}, array_agg(t.{1} ORDER BY t.{1}) FROM {2} t "
                    "WHERE t.{0} = ANY(%s) GROUP BY 1"
                ).format(
                    sql.Identifier(holder.column),
                    sql.Identifier(other.column),
                    current_rows(junction),
                )
                elements: dict[uuid.UUID, list[uuid.UUID]] = dict(
                    self.connection.execute(query, [list(uuids)]).fetchall()
                )
                ids = self.identifiers.of(
                    other.collection,
                    (element for row_elements in elements.values() for element in row_elements),
                )
                for row_id in uuids:
                    arrays[row_id][array] = [ids[element] for element in elements.get(row_id, [])]
        return arrays

    def _pairs(
        self,
        holder: Side,
        array: str,
        other: Side,
        chunk: Sequence[tuple[Any, ...]],
        remedies: Remedies,
    ) -> None:
        own_ids = self.identifiers.of(holder.collection, [row[0] for row in chunk])
        elements = {
            element for row in chunk for ids_of_row in row[1:] for element in ids_of_row or ()
        }
        ids = self.identifiers.of(other.collection, elements)
        documents = self._documents(holder.collection, own_ids.values(), [array])
        for row, added_ids, removed_ids in chunk:
            document = documents[source_id(own_ids[row])]
            value = document.get(array, ABSENT)
            read_as = {remedied.original: remedied for remedied in remedies.apply(document)[1]}
            pulled = forms(value, other.collection, removed_ids or (), read_as)
            added = tuple(ids[element] for element in added_ids or ())
            operation = array_operation(own_ids[row], array, value, added, pulled)
            if operation is not None:
                self._write(holder.collection, row, operation)

    def _read(
        self, table: sa.Table, changed: sql.Composable, rows: sql.Composed
    ) -> Iterator[list[_Row]]:
        names = [column.name for column in value_columns(table)]
        expressions = [read_expression(column) for column in value_columns(table)]
        query = sql.SQL("SELECT {} {} ORDER BY 1").format(
            sql.SQL(", ").join([sql.SQL("t.id"), changed, *expressions]), rows
        )
        for chunk in chunks(self.connection, query):
            yield [
                _Row(key, tuple(differs or ()), dict(zip(names, values, strict=True)))
                for key, differs, *values in chunk
            ]

    def _documents(
        self, collection: str, ids: Iterable[Any], fields: Iterable[str] | None = None
    ) -> Mapping[str, Document]:
        """Returns documents of the source by source id.

        Raises:
            RefusedError: One is gone from the source.
        """
        wanted_ids = list(ids)
        projection = None if fields is None else dict.fromkeys(fields, 1)
        documents_found = self.source[collection].find({"_id": {"$in": wanted_ids}}, projection)
        documents = {source_id(document["_id"]): document for document in documents_found}
        if not documents.keys() >= {source_id(identifier) for identifier in wanted_ids}:
            raise RefusedError(
                f"{collection} is being written to",
                where="source",
                next_step="Stop all that writes to it, then export again into a new directory",
            )
        return documents

    def _write(self, collection: str, row: uuid.UUID, operation: Operation) -> None:
        try:
            self.files.operation(collection, operation)
        except ValueError as error:
            self.files.problem(collection, str(row), None, str(error))


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of an entity table: its id, the columns that changed, and all its values."""

    id: uuid.UUID
    changed: tuple[str, ...]
    values: Mapping[str, Any]


def _relations(model: Model) -> Iterator[tuple[sa.Table, Junction]]:
    for table in model.junctions.values():
        relation = junction_of(table)
        assert relation is not None
        yield table, relation


def _update(identifier: Any, document: Document, fields: Mapping[str, Any]) -> Update:
    """Returns the update that gives a document some fields; an absent one goes where it is there."""
    return Update(
        identifier,
        before=picked(document, frozenset(fields)),
        set={name: value for name, value in fields.items() if value is not ABSENT},
        unset=tuple(name for name, value in fields.items() if value is ABSENT),
    )
