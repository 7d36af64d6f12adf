"""The contents of a dump: its collections and documents, from a directory or an archive.

Sources of the formats: MongoDB Database Tools, `common/archive/spec.md` and `mongorestore/filepath.go`.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import bson
from bson import json_util
from bson.errors import BSONError

from migration_assets.dump.stream import GZIP, TERMINATOR, DumpError, Stream, opened

MAGIC = (0x8199E26D).to_bytes(4, "little")
"""How an archive begins."""
SERVERS_OWN = frozenset({"admin", "config", "local"})
"""Databases that are the server's own."""

_OTHERS = frozenset({"oplog.bson", "prelude.json"})
"""Files of a dump that hold no collection."""
_LONGEST_NAME = 238
"""Letters of the name of a file that was shortened: the whole name is in its metadata then."""
_MAKE_ONE = "Give a directory or an archive that mongodump made"


@dataclass(frozen=True, slots=True)
class DumpedCollection:
    """A collection, view or time series of a dump.

    Attributes:
        database: Its database.
        name: Its name.
        kind: `collection`, or what is not restored: `view`, `time series`, `system collection`.
        collation: How its texts compare where not byte by byte.
    """

    database: str
    name: str
    kind: str = "collection"
    collation: Mapping[str, Any] | None = None


class Dump(Protocol):
    """A dump that is open.

    Attributes:
        collections: Its collections.
        others: Files without a collection, such as the oplog.
    """

    collections: list[DumpedCollection]
    others: list[str]

    def documents(self, database: str) -> Iterator[tuple[str, bytes]]:
        """Yields (collection, document) of the collections of a database.

        Raises:
            DumpError: The dump is damaged or cut off.
        """
        ...


@contextmanager
def open_dump(path: Path) -> Iterator[Dump]:
    """Opens a dump, whichever form it has.

    Raises:
        DumpError: It is none, or cannot be read.
    """
    if path.is_dir():
        yield _Directory(path)
        return
    with opened(path, is_packed=False) as file:
        is_packed = file.read(len(GZIP)) == GZIP
    with opened(path, is_packed=is_packed) as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise DumpError(
                f"the file is no archive of mongodump{' within the gzip' if is_packed else ''}",
                where=str(path),
                next_step="For files such as Users.bson give the directory that they are in. "
                + _MAKE_ONE,
            )
        yield _Archive(stream)


@dataclass(slots=True)
class _File:
    """A `.bson` or `.metadata.json` file, by the name that both share."""

    path: Path
    is_packed: bool


class _Directory:
    """A dump as files: a directory for each database, or the directory of one."""

    def __init__(self, path: Path) -> None:
        self._data: dict[tuple[str, str], _File] = {}
        self.collections: list[DumpedCollection] = []
        self.others: list[str] = []
        try:
            entries = sorted(path.iterdir())
            inner = [entry for entry in entries if entry.is_dir()]
            files = [entry for entry in entries if not entry.is_dir() and not self._is_other(entry)]
            databases = [(path.resolve().name, files)] if files else []
            databases += [(directory.name, sorted(directory.iterdir())) for directory in inner]
        except OSError as error:
            raise DumpError(
                f"the file cannot be read: {error.strerror}",
                where=str(error.filename or path),
                next_step="Check the rights of the directory, then start again",
            ) from None
        for database, paths in databases:
            self._add(database, [file for file in paths if not self._is_other(file)])
        if not self.collections:
            raise DumpError(
                "there is no file of a dump in it", where=str(path), next_step=_MAKE_ONE
            )

    def documents(self, database: str) -> Iterator[tuple[str, bytes]]:
        for collection in self.collections:
            if collection.database != database or collection.kind != "collection":
                continue
            file = self._data[database, collection.name]
            with opened(file.path, is_packed=file.is_packed) as stream:
                while (document := stream.document()) is not None:
                    if document == TERMINATOR:
                        raise stream.error("no BSON document begins here", stream.offset - 4)
                    yield collection.name, document

    def _is_other(self, path: Path) -> bool:
        """Tells whether a file holds no collection, and notes it."""
        name = path.name.removesuffix(".gz")
        is_other = name in _OTHERS or not name.endswith((".bson", ".metadata.json"))
        if (
            is_other
            and not path.is_dir()
            and name != "prelude.json"
            and str(path) not in self.others
        ):
            self.others.append(str(path))
        return is_other

    def _add(self, database: str, paths: Sequence[Path]) -> None:
        """Adds the files of a database."""
        data: dict[str, _File] = {}
        metadata: dict[str, _File] = {}
        for path in paths:
            name, is_packed = path.name.removesuffix(".gz"), path.name.endswith(".gz")
            kinds = data if name.endswith(".bson") else metadata
            stem = name.removesuffix(".bson").removesuffix(".metadata.json")
            if stem in kinds:
                raise DumpError(
                    "the file is there twice, compressed and not compressed",
                    where=str(path),
                    next_step="Take one of the two out of the directory",
                )
            kinds[stem] = _File(path, is_packed)
        for stem in sorted(data | metadata):
            described = _read_metadata(metadata[stem]) if stem in metadata else {}
            is_shortened = "%24" in stem and len(stem) == _LONGEST_NAME
            name = str(described.get("collectionName") or "") if is_shortened else unquote(stem)
            if not name:
                raise DumpError(
                    "its whole name would be in its .metadata.json, and is not",
                    where=str(data[stem].path),
                    next_step="Copy both files again from where the dump was made",
                )
            collection = _described(database, name, described)
            self.collections.append(collection)
            if stem in data:
                self._data[database, name] = data[stem]
            elif collection.kind == "collection":
                raise DumpError(
                    "the file of its documents is missing",
                    where=str(metadata[stem].path),
                    next_step="Copy the whole directory again from where the dump was made",
                )


class _Archive:
    """A dump as one file, in which the documents of collections are interleaved."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.collections: list[DumpedCollection] = []
        self.others: list[str] = []
        header = self._decoded(self._document("its head"))
        if "version" not in header:
            raise stream.error("the head of an archive is not here")
        while (document := self._document("its table of contents")) != TERMINATOR:
            entry = self._decoded(document)
            database, name = self._named(entry)
            if not database:
                self.others.append(name)
                continue
            described = _parsed(entry.get("metadata") or "{}", f"{stream.path}: {database}.{name}")
            described.setdefault("type", entry.get("type"))
            self.collections.append(_described(database, name, described))

    def documents(self, database: str) -> Iterator[tuple[str, bytes]]:
        awaited = {
            (collection.database, collection.name)
            for collection in self.collections
            if collection.kind == "collection"
        }
        left_out = {
            (collection.database, collection.name)
            for collection in self.collections
            if collection.kind != "collection"
        }
        sums: dict[tuple[str, str], _Checksum] = {}
        while (document := self._stream.document()) is not None:
            start = self._stream.offset - len(document)
            if document == TERMINATOR:
                raise self._stream.error("a block of documents has no head", start)
            head = self._decoded(document)
            namespace = self._named(head)
            checksum = sums.setdefault(namespace, _Checksum())
            is_wanted = (
                namespace[0] == database
                and namespace not in left_out
                and _kind(namespace[1], {}) == "collection"
            )
            while (document := self._document(f"collection {'.'.join(namespace)}")) != TERMINATOR:
                checksum.add(document)
                if is_wanted:
                    yield namespace[1], document
            if head.get("EOF"):
                if checksum.value() != int(head.get("CRC", 0)):
                    what = (
                        f"the checksum of {'.'.join(namespace)} is another: a document is damaged"
                    )
                    raise self._stream.error(what, start)
                awaited.discard(namespace)
                del sums[namespace]
        open_ones = sorted(awaited | set(sums))
        if open_ones:
            what = f"the archive ends before the end of {'.'.join(open_ones[0])}"
            more = f" and {len(open_ones) - 1} others" if len(open_ones) > 1 else ""
            raise self._stream.error(what + more)

    def _document(self, within: str) -> bytes:
        document = self._stream.document()
        if document is None:
            raise self._stream.error(f"the archive ends within {within}")
        return document

    def _decoded(self, document: bytes) -> dict[str, Any]:
        try:
            return bson.decode(document)
        except (BSONError, UnicodeDecodeError, ValueError):
            start = self._stream.offset - len(document)
            raise self._stream.error("the head of a block is damaged", start) from None

    def _named(self, head: Mapping[str, Any]) -> tuple[str, str]:
        database, name = head.get("db"), head.get("collection")
        if not isinstance(database, str) or not isinstance(name, str) or not name:
            raise self._stream.error("a block does not say of which collection it is")
        return database, name


@dataclass(slots=True)
class _Checksum:
    """CRC-64 with the polynomial of ECMA-182, as Go's `hash/crc64` and the format .xz have it.

    Counted in C by the compressor of the standard library, of whose output only the checksum is kept.
    """

    _compressor: lzma.LZMACompressor = field(
        default_factory=lambda: lzma.LZMACompressor(
            check=lzma.CHECK_CRC64,
            filters=[
                {
                    "id": lzma.FILTER_LZMA2,
                    "dict_size": 4096,
                    "mode": lzma.MODE_FAST,
                    "mf": lzma.MF_HC3,
                    "nice_len": 5,
                    "depth": 1,
                }
            ],
        )
    )
    _is_empty: bool = True

    def add(self, data: bytes) -> None:
        self._compressor.compress(data)
        self._is_empty = False

    def value(self) -> int:
        """Returns the checksum as a signed number, as an archive holds it; it ends the count."""
        if self._is_empty:
            return 0
        end = self._compressor.flush()
        footer = 12
        (size_of_index,) = struct.unpack_from("<I", end, len(end) - footer + 4)
        place = len(end) - footer - (size_of_index + 1) * 4 - 8
        (number,) = struct.unpack_from("<q", end, place)
        return int(number)


def _read_metadata(file: _File) -> dict[str, Any]:
    with opened(file.path, is_packed=file.is_packed) as stream:
        data = b"".join(iter(lambda: stream.read(1 << 20), b""))
    return _parsed(data, str(file.path))


def _parsed(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        described = json_util.loads(text if isinstance(text, str) else text.decode())
    except (ValueError, TypeError, BSONError):
        described = None
    if not isinstance(described, dict):
        raise DumpError(
            "the metadata are not the JSON that mongodump writes",
            where=where,
            next_step="Copy the file again from where the dump was made, or make the dump anew",
        )
    return described


def _described(database: str, name: str, metadata: Mapping[str, Any]) -> DumpedCollection:
    options = metadata.get("options")
    options = dict(options) if isinstance(options, Mapping) else {}
    if metadata.get("type") in ("view", "timeseries"):
        options.setdefault({"view": "viewOn", "timeseries": "timeseries"}[metadata["type"]], name)
    collation = options.get("collation")
    if isinstance(collation, Mapping):
        # Of another server's library: it compares the same, and would be refused.
        collation = {key: value for key, value in collation.items() if key != "version"}
    return DumpedCollection(database, name, _kind(name, options), collation or None)


def _kind(name: str, options: Mapping[str, Any]) -> str:
    if "viewOn" in options:
        return "view"
    if "timeseries" in options:
        return "time series"
    return "system collection" if name.startswith(("system.", "$")) else "collection"
