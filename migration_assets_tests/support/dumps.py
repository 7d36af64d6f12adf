"""Dumps as MongoDB's tools write them, made here from their documented formats: directories and archives."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import bson

Pack = Callable[[bytes], bytes]
MAGIC, END = bytes.fromhex("6de29981"), b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Dumped:
    """A collection, view or time series as a dump has it."""

    name: str
    documents: Sequence[bytes] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    database: str = "nextcrm"
    type: str = "collection"

    @property
    def metadata(self) -> str:
        index = {"v": {"$numberInt": "2"}, "key": {"_id": {"$numberInt": "1"}}, "name": "_id_"}
        described = {"indexes": [index], "uuid": "0" * 32, "collectionName": self.name}
        return json.dumps({"options": self.options, **described, "type": self.type})

    @property
    def stem(self) -> str:
        """The name of its files without ending; a long name is shortened and gets a hash."""
        escaped = quote(self.name, safe="$&+,/:;=@".replace("/", "").replace("$", ""))
        if len(escaped) <= 238:
            return escaped
        digest = hashlib.sha1(self.name.encode()).digest()
        return f"{escaped[:208]}%24{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def write_directory(root: Path, collections: Sequence[Dumped], pack: Pack = bytes) -> Path:
    """Writes a dump as files, compressed where `pack` says so."""
    end = "" if pack is bytes else ".gz"
    for collection in collections:
        home = root / collection.database
        home.mkdir(parents=True, exist_ok=True)
        (home / f"{collection.stem}.metadata.json{end}").write_bytes(
            pack(collection.metadata.encode())
        )
        if collection.type == "collection":
            (home / f"{collection.stem}.bson{end}").write_bytes(
                pack(b"".join(collection.documents))
            )
    return root


def write_archive(path: Path, collections: Sequence[Dumped], pack: Pack = bytes) -> Path:
    """Writes a dump as an archive in which the documents of collections take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(archive(collections)))
    return path


def archive(collections: Sequence[Dumped]) -> bytes:
    head = {
        "concurrent_collections": 4,
        "version": "0.1",
        "server_version": "6.0.5",
        "tool_version": "100.9.4",
    }
    parts = [MAGIC, bson.encode(head)]
    for collection in collections:
        entry = {
            "db": collection.database,
            "collection": collection.name,
            "metadata": collection.metadata,
        }
        parts.append(bson.encode(entry | {"size": 0, "type": collection.type}))
    parts.append(END)
    turns = max((len(collection.documents) for collection in collections), default=0)
    for turn in range(turns):
        for collection in collections:
            parts += (
                [*block(collection), collection.documents[turn], END]
                if turn < len(collection.documents)
                else []
            )
    for collection in collections:
        if collection.type == "timeseries":
            continue
        parts += [*block(collection), END] if not collection.documents else []
        parts += [*block(collection, is_end=True), END]
    return b"".join(parts)


def block(collection: Dumped, *, is_end: bool = False) -> list[bytes]:
    """The head of a block of documents, or the mark of the last block."""
    crc = crc64(b"".join(collection.documents)) if is_end else 0
    signed = bson.Int64(crc - (1 << 64) if crc >> 63 else crc)
    names = {"db": collection.database, "collection": collection.name}
    return [bson.encode(names | {"EOF": is_end, "CRC": signed})]


@cache
def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xC96C5795D7870F42 if byte & 1 else 0)  # noqa: PLW2901
        table.append(byte)
    return table


def crc64(data: bytes) -> int:
    """CRC-64 as Go's `hash/crc64` with the table of ECMA counts it."""
    crc = (1 << 64) - 1
    for byte in data:
        crc = _table()[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ (1 << 64) - 1


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data)
