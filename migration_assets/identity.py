"""Identity: the UUID of a document as a pure function of its collection and `_id` (section 4).

Here belong the rule itself, for one value and for many at once, and its inverse.
"""

from __future__ import annotations

import json
import re
import uuid
from decimal import Decimal
from functools import lru_cache
from hashlib import sha1
from typing import Any

import numpy as np
import numpy.typing as npt
from bson import DatetimeConversion, Decimal128, ObjectId, json_util
from bson.errors import BSONError

OBJECT_ID_BYTES = 12
UUID_BYTES = 16

_CANONICAL = json_util.CANONICAL_JSON_OPTIONS
_READ = _CANONICAL.with_options(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
"""A date beyond Python's calendar stays a number."""

_HEX = re.compile(r"[0-9a-f]{24}")
_VERSION_5, _VERSION_7 = 0x50, 0x70
_VARIANT = 0x80
_MILLISECONDS = 1000
_LEAST, _MOST = -(2**63), 2**63 - 1


def canonical(value: Any) -> str:
    """Returns a BSON value as canonical Extended JSON, without blanks."""
    if type(value) is str:  # most values are, and json_util takes ten times as long
        return json.dumps(value)
    return json_util.dumps(value, json_options=_CANONICAL, separators=(",", ":"))


def from_canonical(text: str) -> Any:
    """Returns the BSON value that a text in canonical Extended JSON stands for.

    A document may have fields such as `$oid` that are not Extended JSON: it is read as it stands.

    Raises:
        ValueError: It is not JSON.
    """
    return json.loads(text, object_hook=_read)


def _read(parsed: dict[str, Any]) -> Any:
    try:
        value = json_util.object_hook(parsed, _READ)
    except (BSONError, ArithmeticError, LookupError, TypeError, ValueError):
        return parsed
    return parsed if isinstance(value, int) and not _LEAST <= value <= _MOST else value


def source_id(identifier: Any) -> str:
    """Returns an `_id` as text: 24 hex digits for an ObjectId, else canonical Extended JSON.

    Numbers that MongoDB holds equal are one `_id`: an integral one counts as the smallest type of integers
    that holds it (section 4).
    """
    return str(identifier) if isinstance(identifier, ObjectId) else canonical(_as_one(identifier))


def _as_one(identifier: Any) -> Any:
    """Returns an integral number as an integer that has no type of its own, anything else as it is."""
    if isinstance(identifier, str | bool):
        return identifier
    number = identifier.to_decimal() if isinstance(identifier, Decimal128) else identifier
    if not isinstance(number, int | float | Decimal):
        return identifier
    # Neither NaN nor what is beyond 64 bits is between them.
    is_small = not number.is_nan() if isinstance(number, Decimal) else True
    if is_small and _LEAST <= number <= _MOST and number == int(number):
        return int(number)
    return identifier


def document_uuid(collection: str, identifier: Any) -> uuid.UUID:
    """Returns the UUID of a document.

    Args:
        collection: Name of its collection; it counts only where `_id` is not an ObjectId.
        identifier: Its `_id`, as pymongo decodes it.
    """
    return uuid.UUID(bytes=uuid_bytes(collection, identifier))


def uuid_bytes(collection: str, identifier: Any) -> bytes:
    """Returns the same as 16 bytes, in a third of the time."""
    if isinstance(identifier, ObjectId):
        return _uuid_7(int.from_bytes(identifier.binary, "big")).to_bytes(UUID_BYTES, "big")
    return _uuid_5(collection, source_id(identifier))


def source_uuid(collection: str, written_id: str) -> uuid.UUID:
    """Returns the UUID of a document, given its `_id` as :func:`source_id` writes it."""
    if _HEX.fullmatch(written_id):
        return document_uuid(collection, ObjectId(written_id))
    return uuid.UUID(bytes=_uuid_5(collection, written_id))


@lru_cache(maxsize=100)
def _namespace(collection: str) -> bytes:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"mongodb:{collection}").bytes


def _uuid_5(collection: str, written_id: str) -> bytes:
    """Returns ``uuid.uuid5`` of an `_id` that is no ObjectId, 16 bytes (RFC 9562, section 5.5)."""
    name = _namespace(collection) + written_id.encode()
    octets = bytearray(sha1(name, usedforsecurity=False).digest()[:UUID_BYTES])
    octets[6] = octets[6] & 0x0F | _VERSION_5
    octets[8] = octets[8] & 0x3F | _VARIANT
    return bytes(octets)


def _uuid_7(value: int) -> int:
    """Returns the UUID of one ObjectId, both as a number (section 4)."""
    seconds, rest = value >> 64, value & (1 << 64) - 1
    top, low = rest >> 52, rest & (1 << 52) - 1
    return seconds * _MILLISECONDS << 80 | 7 << 76 | top << 64 | 0b10 << 62 | low << 10


def object_id_uuids(object_ids: bytes) -> bytes:
    """Returns the UUIDv7s, 16 bytes each, of ObjectIds, 12 bytes each, one after the other.

    Raises:
        ValueError: The length is not a multiple of 12.
    """
    octets = np.frombuffer(object_ids, dtype=np.uint8)
    if octets.size % OBJECT_ID_BYTES:
        raise ValueError("ObjectIds are 12 bytes each")
    octets = octets.reshape(-1, OBJECT_ID_BYTES)
    seconds = _big_endian(octets[:, :4]).astype(np.uint64)
    rest = _big_endian(octets[:, 4:])
    uuids = np.empty((len(octets), UUID_BYTES), dtype=np.uint8)
    uuids[:, :6] = _bytes(seconds * np.uint64(_MILLISECONDS))[:, 2:]
    top, low = rest >> np.uint64(52), rest & np.uint64((1 << 52) - 1)
    uuids[:, 6] = (top >> np.uint64(8)).astype(np.uint8) | _VERSION_7
    uuids[:, 7] = (top & np.uint64(0xFF)).astype(np.uint8)
    uuids[:, 8:] = _bytes((low << np.uint64(10)) | (np.uint64(_VARIANT) << np.uint64(56)))
    return uuids.tobytes()


def object_id(identifier: uuid.UUID) -> ObjectId | None:
    """Returns the ObjectId that a UUID was made from, None where it was made from none."""
    value = identifier.int
    milliseconds, low = value >> 80, value & ((1 << 62) - 1)
    seconds, remainder = divmod(milliseconds, _MILLISECONDS)
    is_ours = (
        identifier.version == 7
        and identifier.variant == uuid.RFC_4122
        and remainder == 0
        and seconds < 1 << 32
        and low & 0x3FF == 0
    )
    if not is_ours:
        return None
    rest = ((value >> 64) & 0xFFF) << 52 | low >> 10
    return ObjectId(seconds.to_bytes(4, "big") + rest.to_bytes(8, "big"))


def hex_uuids(uuids: bytes) -> list[str]:
    """Returns UUIDs, 16 bytes each, as 32 hex digits each."""
    digits = uuids.hex()
    return [digits[start : start + 32] for start in range(0, len(digits), 32)]


def uuid_texts(uuids: bytes) -> list[str]:
    """Returns UUIDs, 16 bytes each, as PostgreSQL writes them."""
    return [f"{x[:8]}-{x[8:12]}-{x[12:16]}-{x[16:20]}-{x[20:]}" for x in hex_uuids(uuids)]


def _big_endian(columns: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    width = columns.shape[1]
    return np.ascontiguousarray(columns).view(f">u{width}").ravel().astype(np.uint64)


def _bytes(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    return values.astype(">u8").view(np.uint8).reshape(-1, 8)
