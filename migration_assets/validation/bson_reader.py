"""BSON as the judge reads it: values by the driver's own decoder, and what that hides by a walk over bytes.

The driver keeps the last of two fields with one name, drops the options of a regular expression that there
are not, and a DBRef's database that is null. That it hid nothing is proven by encoding again what it decoded;
where the bytes differ, the walk says why. Here belongs the format (https://bsonspec.org/spec.html) and
nothing of the migration's rules.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import bson as driver
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

STRING: Final = 0x02
DOCUMENT: Final = 0x03
ARRAY: Final = 0x04
BINARY: Final = 0x05
UNDEFINED: Final = 0x06
OBJECT_ID: Final = 0x07
BOOLEAN: Final = 0x08
DATE: Final = 0x09
NULL: Final = 0x0A
REGEX: Final = 0x0B
CODE: Final = 0x0D
SYMBOL: Final = 0x0E
CODE_WITH_SCOPE: Final = 0x0F
INT32: Final = 0x10
INT64: Final = 0x12

_TYPES: tuple[tuple[int, str, int | None, int | None], ...] = (
    # with the bytes that a value always has, or those besides the length that it begins with
    (0x01, "double", 8, None),
    (STRING, "string", None, 4),
    (DOCUMENT, "object", None, 0),
    (ARRAY, "array", None, 0),
    (BINARY, "binData", None, 5),
    (UNDEFINED, "undefined", 0, None),
    (OBJECT_ID, "objectId", 12, None),
    (BOOLEAN, "bool", 1, None),
    (DATE, "date", 8, None),
    (NULL, "null", 0, None),
    (REGEX, "regex", None, None),
    (0x0C, "dbPointer", None, 16),
    (CODE, "javascript", None, 4),
    (SYMBOL, "symbol", None, 4),
    (CODE_WITH_SCOPE, "javascriptWithScope", None, 0),
    (INT32, "int", 4, None),
    (0x11, "timestamp", 8, None),
    (INT64, "long", 8, None),
    (0x13, "decimal", 16, None),
    (0x7F, "maxKey", 0, None),
    (0xFF, "minKey", 0, None),
)
TYPE_NAMES: Mapping[int, str] = {kind: name for kind, name, _, _ in _TYPES}
"""The types by the names that MongoDB's ``$type`` gives them."""
FIXED_SIZES: Mapping[int, int] = {kind: size for kind, _, size, _ in _TYPES if size is not None}
"""Bytes of the values of types that always have the same."""
OVERHEADS: Mapping[int, int] = {kind: size for kind, _, _, size in _TYPES if size is not None}
"""Bytes of a value besides the length that it begins with."""

NULLISH: Final = frozenset({NULL, UNDEFINED})
"""What stands for no value; deprecated types are what every driver reads."""
TEXTUAL: Final = frozenset({STRING, SYMBOL})

Fields = dict[str, Any]
"""The fields of a document, in order, with their values as the driver has them."""

CODEC: CodecOptions[Fields] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)
_LENGTH = 4
"""Bytes of the length that a text or a document begins with."""
_OVERHEAD = 5
"""Bytes of an empty document: its length and its end."""
_NAMELESS = 2
"""Bytes of a field with an empty name, besides its value: its type and a zero."""
_ARRAY_BEGINS = 6
"""Where the array begins in a document whose only field has an empty name."""
_REGEX_OPTIONS = frozenset(b"ilmsux")
_int32 = struct.Struct("<i").unpack_from


class UnreadableBsonError(ValueError):
    """What was given is not valid BSON, holds text that is not UTF-8, or what the driver hides."""


def type_as_read(value: Any) -> str:
    """Returns the name of the type that drivers read a value as."""
    kind = driver.encode({"": value}, codec_options=CODEC)[_LENGTH]
    return TYPE_NAMES[CODE if kind == CODE_WITH_SCOPE else kind]


def read_document(document: bytes) -> Fields:
    """Returns the fields of a document with their values.

    Args:
        document: The document as BSON, nothing before and nothing after it.

    Raises:
        UnreadableBsonError: It is not valid BSON, a text in it is not UTF-8, or the driver hides something of
            it.
    """
    try:
        fields = driver.decode(document, CODEC)
    except BSONError as error:
        raise UnreadableBsonError(f"not valid BSON: {type(error).__name__}") from error
    is_whole = driver.encode(fields, codec_options=CODEC) == document
    flaw = None if is_whole else _flaw(document, 0)
    if flaw is not None:
        raise UnreadableBsonError(flaw)
    return fields


def read_value(kind: int, value: bytes) -> Any:
    """Returns a value, given its type and its bytes.

    Raises:
        UnreadableBsonError: There is no valid value, or the driver hides something of it.
    """
    return read_document(_document_of(kind, value))[""]


def read_values(values: Sequence[tuple[int, bytes]]) -> list[Fields]:
    """Returns values, each as the one field of a document, given their types and their bytes.

    Returns:
        An empty document for each that is not, byte for byte, what the driver would write of what it reads.
    """
    documents = b"".join(_document_of(*kind_and_data) for kind_and_data in values)
    with suppress(Exception):  # of bytes that are not sound, the driver raises what it likes
        values_read = driver.decode_all(documents, CODEC)
        whole = driver.encode({"": values_read}, codec_options=CODEC)
        held = driver._array_of_documents_to_buffer(memoryview(whole)[_ARRAY_BEGINS:-1])
        if held == documents:
            return values_read
    if len(values) == 1:
        return [{}]
    half = len(values) // 2
    return read_values(values[:half]) + read_values(values[half:]) if values else []


def _document_of(kind: int, value: bytes) -> bytes:
    """Returns a document with one field, whose name is empty."""
    size = _OVERHEAD + _NAMELESS + len(value)
    return b"%b%c\0%b\0" % (size.to_bytes(_LENGTH, "little"), kind, value)


def spans(document: bytes, begin: int = 0) -> Iterator[tuple[int, bytes, int, int]]:
    """Yields (type, name, start, end) of each field without decoding its value.

    Args:
        document: BSON.
        begin: Where in it the document begins whose fields they are.

    Raises:
        UnreadableBsonError: The bytes cannot be divided into fields.
    """
    try:
        last = begin + _int32(document, begin)[0] - 1
        if not begin + _LENGTH <= last < len(document) or document[last]:
            raise UnreadableBsonError("a document does not end where it says")
        position = begin + _LENGTH
        while position < last:
            kind = document[position]
            stop = document.index(0, position + 1)
            end = _end_of(kind, document, stop + 1)
            if end > last:
                raise UnreadableBsonError("a field ends after its document")
            yield kind, document[position + 1 : stop], stop + 1, end
            position = end
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise UnreadableBsonError(f"not valid BSON: {type(error).__name__}") from error


def _end_of(kind: int, data: bytes, start: int) -> int:
    """Returns where a value ends, by its type."""
    if kind in FIXED_SIZES:
        return start + FIXED_SIZES[kind]
    if kind == REGEX:
        return data.index(0, data.index(0, start) + 1) + 1
    overhead, size = OVERHEADS[kind], _int32(data, start)[0]
    if size < 0:
        raise UnreadableBsonError("a length is negative")
    return int(start + overhead + size)


def _flaw(data: bytes, begin: int, *, is_array: bool = False) -> str | None:
    """Returns what drivers hide of a document that they read; None where they hide nothing."""
    kinds: dict[bytes, int] = {}
    for kind, name, start, end in spans(data, begin):
        if name in kinds and not is_array:
            return "a field occurs twice"
        kinds[name] = kind
        flaw = _flaw_of_value(kind, data, start, end)
        if flaw is not None:
            return flaw
    is_reference = not is_array and b"$id" in kinds and kinds.get(b"$ref") == STRING
    if is_reference and kinds.get(b"$db") == NULL:
        return "a DBRef has null for a database"
    return None


def _flaw_of_value(kind: int, data: bytes, start: int, end: int) -> str | None:
    if kind in (DOCUMENT, ARRAY):
        return _flaw(data, start, is_array=kind == ARRAY)
    if kind == CODE_WITH_SCOPE:
        code = start + _LENGTH
        return _flaw(data, code + _LENGTH + _int32(data, code)[0])
    if kind == REGEX:
        options = data[data.index(0, start) + 1 : end - 1]
        if len(_REGEX_OPTIONS.intersection(options)) < len(options):
            return "a regular expression has an option that there is not, or one twice"
    return None
