"""The files of an export: one of operations for each collection, the new `_id`s, and a manifest.

They hold values of documents, secret ones too, so only their owner may read them. The manifest is written
last, with the digest of each file: an export that was cut off has none, and a file that was changed is
noticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from migration_assets.errors import MigrationError
from migration_assets.rollback.operations import KINDS, Operation, kind_of, line_of, operation_of

FORMAT = 1
MANIFEST = "manifest.json"
NEW_IDS = "new_ids"
PROBLEMS = "problems"
_SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Written:
    """A file of an export.

    Attributes:
        file: Its name in the directory.
        lines: How many lines it has.
        sha256: Its digest, as hex digits.
        operations: How many operations it has, by kind; of a file of operations.
    """

    file: str
    lines: int
    sha256: str
    operations: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a table of the target held when it was exported.

    Attributes:
        rows: How many rows it had.
        digest: Sum of a hash of each row: equal rows, equal digest, in any order.
    """

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export consists of; it holds no value of any document.

    Attributes:
        format: Version of the format of the files.
        made_at: When it was made, ISO 8601 in UTC.
        source: Name of the MongoDB database that it is to be applied to.
        target: Name of the PostgreSQL database that it was made of.
        collections: The file of each collection; a collection without operations has none.
        others: The files of new `_id`s and of problems.
        tables: What each table held.
        unknown_columns: Columns that the application added, and how many rows use them: not exported.
        unknown_tables: Tables that the application added: not exported.
        changes: What the application has changed of our tables, in words.
    """

    format: int
    made_at: str
    source: str
    target: str
    collections: Mapping[str, Written]
    others: Mapping[str, Written]
    tables: Mapping[str, Fingerprint]
    unknown_columns: Mapping[str, int]
    unknown_tables: tuple[str, ...]
    changes: tuple[str, ...] = ()

    @property
    def operations(self) -> Counter[str]:
        """How many operations there are, by kind, in all collections."""
        total: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        for collection in self.collections.values():
            total.update(collection.operations)
        return total

    @property
    def problems(self) -> int:
        """How many values could not be exported."""
        used = sum(1 for rows in self.unknown_columns.values() if rows)
        return self.others[PROBLEMS].lines + used


class LineFile:
    """A file of lines that is being written; only its owner may read it.

    Attributes:
        path: Where it is.
        lines: How many lines it has so far.
        operations: How many operations it has so far, by kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = 0
        self.operations: Counter[str] = Counter()
        self._digest = hashlib.sha256()
        self._file: IO[bytes] = os.fdopen(_created(path), "wb")

    def write(self, line: str) -> None:
        """Appends a line."""
        data = line.encode() + b"\n"
        self._file.write(data)
        self._digest.update(data)
        self.lines += 1

    def close(self) -> Written:
        """Flushes the file to disk, once, and returns its description."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        digest = self._digest.hexdigest()
        return Written(self.path.name, self.lines, digest, dict(self.operations))


class ExportFiles:
    """The files of an export that is being written.

    Attributes:
        directory: Where they are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._collections: dict[str, LineFile] = {}
        self._others: dict[str, LineFile] = {}

    def __enter__(self) -> ExportFiles:
        _prepare(self.directory)
        # A collection could have one of these names, so they begin with a prefix that its file never has.
        self._others = {
            name: LineFile(self.directory / f"_{name}{_SUFFIX}") for name in (NEW_IDS, PROBLEMS)
        }
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for writer in [*self._collections.values(), *self._others.values()]:
            writer.close()

    def operation(self, collection: str, operation: Operation) -> None:
        """Appends an operation on a document.

        Raises:
            ValueError: It cannot be written without loss.
        """
        line = line_of(operation)
        if collection not in self._collections:
            path = self.directory / f"collection.{collection}{_SUFFIX}"
            self._collections[collection] = LineFile(path)
        into = self._collections[collection]
        into.write(line)
        into.operations[kind_of(operation)] += 1

    def new_id(self, collection: str, row: str, source_id: str) -> None:
        """Appends the `_id` of a row that was created in PostgreSQL."""
        line = {"collection": collection, "id": row, "_id": source_id}
        self._others[NEW_IDS].write(json.dumps(line, ensure_ascii=False))

    def problem(self, table: str, row: str, column: str | None, reason: str) -> None:
        """Appends a value that could not be exported: its place and the reason, not the value."""
        line = {"table": table, "id": row, "column": column, "reason": reason}
        self._others[PROBLEMS].write(json.dumps(line))

    def finish(self, **attributes: Any) -> Manifest:
        """Closes the files and writes the manifest.

        Args:
            **attributes: The other attributes of the manifest.
        """
        manifest = Manifest(
            format=FORMAT,
            collections={
                name: writer.close() for name, writer in sorted(self._collections.items())
            },
            others={name: writer.close() for name, writer in sorted(self._others.items())},
            **attributes,
        )
        with os.fdopen(_created(self.directory / MANIFEST), "w", encoding="utf-8") as file:
            json.dump(asdict(manifest), file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        return manifest


def read_manifest(directory: Path) -> Manifest:
    """Returns the manifest of an export whose files are as they were written.

    Raises:
        MigrationError: There is no whole export, or one of its files was changed.
    """
    try:
        content = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        manifest = _manifest(content)
        for written in [*manifest.collections.values(), *manifest.others.values()]:
            if _sha256(directory / written.file) != written.sha256:
                raise _unusable(directory, f"{written.file} is not as it was exported")
    except OSError as error:
        raise _unusable(directory, f"no whole export: {error.strerror}") from None
    except (KeyError, TypeError, ValueError):
        raise _unusable(directory, f"its {MANIFEST} cannot be read") from None
    return manifest


def operations(directory: Path, written: Written) -> Iterator[Operation]:
    """Yields the operations of a file, one at a time.

    Raises:
        MigrationError: A line is no operation.
    """
    with (directory / written.file).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield operation_of(line)
            except (KeyError, TypeError, ValueError):
                raise _unusable(directory, f"{written.file}, line {number}: no operation") from None


def _manifest(content: dict[str, Any]) -> Manifest:
    if content["format"] != FORMAT:
        raise ValueError(content["format"])
    for name, kind in (("collections", Written), ("others", Written), ("tables", Fingerprint)):
        content[name] = {key: kind(**attributes) for key, attributes in content[name].items()}
    for name in ("unknown_tables", "changes"):
        content[name] = tuple(content.get(name, ()))
    return Manifest(**content)


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise MigrationError(
                "the directory is not empty", where=str(directory), next_step="Name a new one"
            )
    except OSError as error:
        raise MigrationError(
            f"cannot be written to: {error.strerror}",
            where=str(directory),
            next_step="Name a directory that you may create",
        ) from None


def _created(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unusable(directory: Path, what: str) -> MigrationError:
    return MigrationError(
        what,
        where=str(directory),
        next_step="Name the directory of a whole export, or export again into a new one",
    )
