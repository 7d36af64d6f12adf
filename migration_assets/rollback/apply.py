"""Applying an export to MongoDB: looked at as a whole first, then written in bulk.

An operation has been applied already, can be applied, or is in conflict: the document is not what it was
when it was migrated. So an export can be applied again, after an interruption too, and changes
nothing more; and what somebody else has written in the meantime is never overwritten: what was looked at is a
condition of the write itself.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from pymongo import DeleteOne, InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure
from pymongo.write_concern import WriteConcern

from migration_assets.errors import SourceError
from migration_assets.identity import canonical, source_id
from migration_assets.loading.load import silent
from migration_assets.rollback.files import Manifest, Written, operations
from migration_assets.rollback.operations import (
    KINDS,
    Delete,
    Insert,
    Operation,
    PairChange,
    Update,
    kind_of,
    picked,
    same,
)
from migration_assets.source.connection import Document, SourceDatabase

SHOWN = 20
"""Conflicts that are kept to be shown; all are counted."""

_CHUNK = 200
_DURABLE = WriteConcern(w="majority", j=True)
_DUPLICATE_KEY = 11000
_ORDER: tuple[tuple[type[Operation], ...], ...] = ((Delete,), (Update,), (Insert,), (PairChange,))
"""What goes first makes room for what comes: a unique value that a later operation takes."""

_Write = InsertOne[Document] | UpdateOne | DeleteOne


class OperationState(enum.Enum):
    """How an operation stands to the document as it is now."""

    PENDING = "can be applied"
    DONE = "has been applied"
    CONFLICT = "is in conflict"


@dataclass(frozen=True, slots=True)
class Conflict:
    """An operation that would overwrite what somebody else has written.

    Attributes:
        collection: The collection.
        source_id: The `_id` of the document as text.
        what: What is in the way, without values.
    """

    collection: str
    source_id: str
    what: str


@dataclass(slots=True)
class ApplyResult:
    """What applying an export came to, in operations.

    Attributes:
        pending: Operations that can be applied; after applying, those that were.
        done: Operations that had been applied before.
        conflicts: Operations that are in conflict.
        examples: Some of the conflicts.
    """

    pending: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    examples: list[Conflict] = field(default_factory=list)

    def conflict(self, conflict: Conflict) -> None:
        """Counts a conflict."""
        self.conflicts += 1
        if len(self.examples) < SHOWN:
            self.examples.append(conflict)


def apply_gained(
    directory: Path,
    manifest: Manifest,
    database: SourceDatabase,
    *,
    write: bool,
    say: Callable[[str], None] = silent,
) -> ApplyResult:
    """Applies an export, or looks at what it would do.

    Args:
        directory: The export.
        manifest: Its manifest, as ``read_manifest`` returns it.
        database: The MongoDB database that it is brought into.
        write: Whether anything is written; operations in conflict are left out.
        say: Is told which collection it is at.

    Raises:
        MigrationError: A file cannot be read.
    """
    applied = ApplyResult()
    for kinds in _ORDER:
        for name, written in manifest.collections.items():
            applicable = [kind for kind in kinds if written.operations.get(_name(kind))]
            if not applicable:
                continue
            say(f"{'writing' if write else 'looking at'} {name}")
            step = _CollectionStep(name, database, applied, write)
            for chunk in _chunks(directory, written, kinds):
                step.take(chunk)
    return applied


def state_of(operation: Operation, current: Document | None) -> tuple[OperationState, str]:
    """Returns how an operation stands to a document, and the conflict where there is one.

    Args:
        operation: The operation.
        current: The document as it is now, None where there is none.
    """
    match operation:
        case Insert():
            return _insert_state(operation, current)
        case Delete():
            return _delete_state(operation, current)
        case Update():
            return _update_state(operation, current)
        case PairChange():
            return _pairs_state(operation, current)


def _insert_state(operation: Insert, current: Document | None) -> tuple[OperationState, str]:
    if current is None:
        return OperationState.PENDING, ""
    if same(current, operation.document):
        return OperationState.DONE, ""
    return (
        OperationState.CONFLICT,
        "another document has its _id, or it was changed after it was applied",
    )


def _delete_state(operation: Delete, current: Document | None) -> tuple[OperationState, str]:
    if current is None:
        return OperationState.DONE, ""
    if same(current, operation.before):
        return OperationState.PENDING, ""
    names = _differing(current, operation.before)
    return OperationState.CONFLICT, f"changed since the migration: {', '.join(names)}"


def _update_state(operation: Update, current: Document | None) -> tuple[OperationState, str]:
    if current is None:
        return OperationState.CONFLICT, "the document is gone"
    fields = picked(current, operation.touched)
    if not _differing(fields, operation.set):
        return OperationState.DONE, ""
    names = _differing(fields, operation.before)
    if not names:
        return OperationState.PENDING, ""
    return OperationState.CONFLICT, f"changed since the migration: {', '.join(names)}"


def _pairs_state(operation: PairChange, current: Document | None) -> tuple[OperationState, str]:
    if current is None:
        return OperationState.CONFLICT, "the document is gone"
    array = current.get(operation.field, [])
    if not isinstance(array, list):
        return OperationState.CONFLICT, f"changed since the migration: {operation.field}"
    forms = {canonical(element) for element in array}
    is_added = forms.issuperset(map(canonical, operation.add))
    is_pulled = forms.isdisjoint(map(canonical, operation.pull))
    return (OperationState.DONE if is_added and is_pulled else OperationState.PENDING), ""


def _differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Returns the fields in which two documents differ, in order of their names."""
    return sorted(
        name
        for name in left.keys() | right.keys()
        if name not in left or name not in right or not same(left[name], right[name])
    )


def _writes(operation: Operation, current: Document | None) -> Iterator[_Write]:
    """Yields the writes of an operation; each applies only if the document is still as it was judged.

    Args:
        operation: The operation.
        current: The document that it was judged by, None where there was none.
    """
    match operation:
        case Insert():
            yield InsertOne(operation.document)  # refused if a document with this _id exists by now
        case Delete():
            yield DeleteOne(_if(operation, [_is("$$ROOT", current)]))
        case Update():
            fields = current or {}
            conditions = [
                _is(f"${name}", fields[name]) if name in fields else _is_of(f"${name}", "missing")
                for name in sorted(operation.touched)
            ]
            yield UpdateOne(_if(operation, conditions), _changes(operation))
        case PairChange():
            # Neither touches other elements that were added or removed since.
            is_array = _if(operation, [_is_of(f"${operation.field}", "array", "missing")])
            # One update cannot pull from an array and add to it.
            if operation.pull:
                pull = {"$pull": {operation.field: {"$in": list(operation.pull)}}}
                yield UpdateOne(is_array, pull)
            if operation.add:
                add = {"$addToSet": {operation.field: {"$each": list(operation.add)}}}
                yield UpdateOne(is_array, add)


def _if(operation: Operation, conditions: Sequence[Document]) -> Document:
    """Returns the filter of a write to the document of an operation."""
    return {"_id": operation.identifier, "$expr": {"$and": list(conditions)}}


def _is(path: str, value: Any) -> Document:
    """Returns the condition that an expression equals a value, in type and size, too.

    Within an expression an array equals an array alone, and null nothing that is missing. But numbers equal
    each other whatever their type; of those within documents and arrays, the size tells most.
    """
    literal = {"$literal": value}
    return {
        "$and": [
            {"$eq": [path, literal]},
            {"$eq": [{"$type": path}, {"$type": literal}]},
            {"$eq": [{"$bsonSize": {"v": path}}, {"$bsonSize": {"v": literal}}]},
        ]
    }


def _is_of(path: str, *types: str) -> Document:
    """Returns the condition that an expression has one of the given types."""
    return {"$in": [{"$type": path}, list(types)]}


def _changes(operation: Update) -> Document:
    changes: Document = {}
    if operation.set:
        changes["$set"] = operation.set
    if operation.unset:
        changes["$unset"] = dict.fromkeys(operation.unset, "")
    return changes


@dataclass(slots=True)
class _CollectionStep:
    """One kind of operations on one collection."""

    name: str
    database: SourceDatabase
    applied: ApplyResult
    write: bool

    def take(self, chunk: Sequence[Operation]) -> None:
        current = self._current(chunk)
        pending: list[Operation] = []
        for operation in chunk:
            state, what = state_of(operation, current.get(source_id(operation.identifier)))
            if state is OperationState.DONE:
                self.applied.done[kind_of(operation)] += 1
            elif state is OperationState.CONFLICT:
                self._conflict(operation, what)
            else:
                pending.append(operation)
        failed = self._written(pending, current) if self.write and pending else set()
        for number, operation in enumerate(pending):
            if number not in failed:
                self.applied.pending[kind_of(operation)] += 1

    def _current(self, chunk: Sequence[Operation]) -> Mapping[str, Document]:
        """Returns the documents of operations as they are now, by their source id."""
        ids = [operation.identifier for operation in chunk]
        documents = self.database[self.name].find({"_id": {"$in": ids}})
        return {source_id(document["_id"]): document for document in documents}

    def _written(self, pending: Sequence[Operation], current: Mapping[str, Document]) -> set[int]:
        """Writes operations on documents that are still as judged; returns those that were not written."""
        owners: list[int] = []
        writes: list[_Write] = []
        for number, operation in enumerate(pending):
            for write in _writes(operation, current.get(source_id(operation.identifier))):
                owners.append(number)
                writes.append(write)
        collection = self.database.get_collection(self.name, write_concern=_DURABLE)
        refused: list[Mapping[str, Any]] = []
        try:
            result = collection.bulk_write(writes, ordered=False)
            hit = result.matched_count + result.inserted_count + result.deleted_count
        except BulkWriteError as error:
            refused = error.details.get("writeErrors", [])
            hit = sum(error.details.get(name, 0) for name in ("nMatched", "nInserted", "nRemoved"))
            if not refused or error.details.get("writeConcernErrors"):
                raise self._not_written(error.code) from None
            # The driver's own message quotes values.
            for refusal in refused:
                self._conflict(pending[owners[refusal["index"]]], _refusal(refusal["code"]))
        except OperationFailure as error:
            raise self._not_written(error.code) from None
        failed = {owners[refusal["index"]] for refusal in refused}
        if hit + len(refused) < len(writes):
            failed |= self._missed(pending, failed)
        return failed

    def _missed(self, pending: Sequence[Operation], refused: Set[int]) -> set[int]:
        """Returns the operations that matched no document: somebody wrote to it after it was judged."""
        current = self._current(pending)
        missed: set[int] = set()
        for number, operation in enumerate(pending):
            state, what = state_of(operation, current.get(source_id(operation.identifier)))
            if number not in refused and state is not OperationState.DONE:
                self._conflict(operation, what or "written to by somebody else just now")
                missed.add(number)
        return missed

    def _not_written(self, code: int | None) -> SourceError:
        # The server's own message quotes the command, and with it values.
        return SourceError(
            f"MongoDB did not write (code {code})",
            where=f"collection {self.database.name}.{self.name}",
            next_step="Check that the user has the role readWrite on it and that a majority of the "
            "replica set runs, then apply again: what was applied stays and is recognized",
        )

    def _conflict(self, operation: Operation, what: str) -> None:
        self.applied.conflict(Conflict(self.name, source_id(operation.identifier), what))


def _refusal(code: int) -> str:
    if code == _DUPLICATE_KEY:
        return "another document has a value that a unique index allows once"
    return f"MongoDB refused it (code {code})"


def _name(kind: type[Operation]) -> str:
    return next(name for name, named in KINDS.items() if named is kind)


def _chunks(
    directory: Path, written: Written, kinds: tuple[type[Operation], ...]
) -> Iterator[list[Operation]]:
    chosen = (
        operation for operation in operations(directory, written) if isinstance(operation, kinds)
    )
    while chunk := list(islice(chosen, _CHUNK)):
        yield chunk
