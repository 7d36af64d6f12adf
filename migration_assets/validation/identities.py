"""Identity as the judge has it, without the loader's code: ids of documents, and what references lead to."""

from __future__ import annotations

import re
import uuid
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha1
from typing import Any, TypeGuard

from bson import Int64, ObjectId

from migration_assets.validation import bson_reader as bson
from migration_assets.validation.bson_reader import UnreadableBsonError
from migration_assets.validation.extended_json import canonical
from migration_assets.validation.scalars import integral

_OBJECT_ID_HEX = re.compile(r"[0-9a-fA-F]{24}")
_FIRST_BYTES = 64
OBJECT_ID_SIZE = 12
UUID_SIZE = 16
_VERSION_AND_VARIANT = 0xF << 76 | 0x3 << 62
_VERSION_5 = 0x5 << 76 | 0x2 << 62


@dataclass(frozen=True, slots=True)
class Ids:
    """What references may point to, as UUIDs of 16 bytes.

    Attributes:
        rows: By table, the ids of its rows, without those whose document is gone.
        documents: By collection, the ids of all its documents.
    """

    rows: Mapping[str, Container[bytes]] = field(default_factory=dict)
    documents: Mapping[str, Container[bytes]] = field(default_factory=dict)


def identifier_of(document: bytes) -> Any:
    """Returns the `_id` of a document; its bytes where it has no Extended JSON.

    What it would be read as, with text that is not UTF-8 replaced, might be another document's too.
    """
    try:
        kind, start, end = next(
            (kind, start, end) for kind, name, start, end in bson.spans(document) if name == b"_id"
        )
    except (UnreadableBsonError, StopIteration):
        return document[:_FIRST_BYTES]
    try:
        return bson.read_value(kind, document[start:end])
    except UnreadableBsonError:
        return document[start:end]


def uuid_of(collection: str, identifier: Any) -> bytes:
    """Returns the UUID of a document, 16 bytes (section 4)."""
    if isinstance(identifier, ObjectId):
        return object_id_uuid(identifier.binary)
    return uuid_5(namespace(collection), source_id_of(identifier))


def object_id_uuid(object_id: bytes) -> bytes:
    """Returns the UUIDv7 of an ObjectId, both as bytes (section 4)."""
    milliseconds = int.from_bytes(object_id[:4], "big") * 1000
    rest = int.from_bytes(object_id[4:], "big")
    random_a, random_b = rest >> 52, (rest & (1 << 52) - 1) << 10
    number = milliseconds << 80 | 7 << 76 | random_a << 64 | 2 << 62 | random_b
    return number.to_bytes(16, "big")


def object_id_of(identifier: bytes) -> bytes | None:
    """Returns the ObjectId that a UUID was made from, None where it was made from none."""
    number = int.from_bytes(identifier, "big")
    seconds = (number >> 80) // 1000
    rest = (number >> 64 & 0xFFF) << 52 | number >> 10 & (1 << 52) - 1
    if seconds >= 1 << 32:
        return None
    object_id = seconds.to_bytes(4, "big") + rest.to_bytes(8, "big")
    return object_id if object_id_uuid(object_id) == identifier else None


def object_id_text(identifier: bytes) -> str | None:
    """Returns the same as 24 hex digits, which are the source id of its document."""
    object_id = object_id_of(identifier)
    return object_id.hex() if object_id else None


def source_id_of(identifier: Any) -> str:
    """Returns an `_id` as the books write it; integral numbers of all types alike (section 4)."""
    if isinstance(identifier, ObjectId):
        return str(identifier)
    if type(identifier) is str:
        return canonical(identifier)
    number = integral(identifier)
    if number is not None and -(2**63) <= number < 2**63:
        is_short = -(2**31) <= number < 2**31
        return canonical(number if is_short else Int64(number))
    return canonical(identifier)


def uuid_of_source_id(collection: str, source_id: str) -> uuid.UUID:
    """Returns the UUID of a document by its `_id` as the books write it."""
    if _OBJECT_ID_HEX.fullmatch(source_id):
        return uuid.UUID(bytes=object_id_uuid(bytes.fromhex(source_id)))
    # That of any other `_id` is the text that its UUID is the hash of.
    return uuid.UUID(bytes=uuid_5(namespace(collection), source_id))


def uuid_5(of: bytes, name: str) -> bytes:
    """Returns the UUID of a name, 16 bytes: ``uuid.uuid5`` in a fifth of its time.

    Args:
        of: The namespace, 16 bytes.
        name: The name.
    """
    number = int.from_bytes(sha1(of + name.encode(), usedforsecurity=False).digest()[:UUID_SIZE])
    return (number & ~_VERSION_AND_VARIANT | _VERSION_5).to_bytes(UUID_SIZE)


def resolved(value: Any, collection: str, ids: Container[bytes]) -> tuple[bytes | None, bool]:
    """Returns the id that a reference stands for, and whether it had to be read as an ObjectId."""
    identity = uuid_of(collection, value)
    if identity in ids:
        return identity, False
    if is_object_id_text(value):
        identity = object_id_uuid(bytes.fromhex(value))
        if identity in ids:
            return identity, True
    return None, False


def is_object_id_text(value: Any) -> TypeGuard[str]:
    """Tells whether a value is a text of 24 hex digits, which can stand for an ObjectId."""
    return type(value) is str and _OBJECT_ID_HEX.fullmatch(value) is not None


def only_id(value: Any) -> Any | None:
    """Returns the id in a list of exactly one, None for anything else."""
    is_of_one = isinstance(value, list) and len(value) == 1 and value[0] != ""
    return value[0] if is_of_one else None


@lru_cache(maxsize=256)
def namespace(collection: str) -> bytes:
    """Returns the namespace of the UUIDs of a collection whose `_id` is no ObjectId (section 4)."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"mongodb:{collection}").bytes
