"""BSON read by walking its bytes, without the driver: the judge's own eyes.

A value is a pair of its BSON type and plain Python data, so nothing is merged on the way: a symbol is
not a string, an int32 not an int64, and a field that occurs twice is seen twice. Here belongs the format
(https://bsonspec.org/spec.html) and nothing of the migration's rules.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

DOUBLE: Final = 0x01
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
DB_POINTER: Final = 0x0C
CODE: Final = 0x0D
SYMBOL: Final = 0x0E
CODE_WITH_SCOPE: Final = 0x0F
INT32: Final = 0x10
TIMESTAMP: Final = 0x11
INT64: Final = 0x12
DECIMAL128: Final = 0x13
MAX_KEY: Final = 0x7F
MIN_KEY: Final = 0xFF

TYPE_NAMES: Mapping[int, str] = MappingProxyType(
    {
        DOUBLE: "double",
        STRING: "string",
        DOCUMENT: "object",
        ARRAY: "array",
        BINARY: "binData",
        UNDEFINED: "undefined",
        OBJECT_ID: "objectId",
        BOOLEAN: "bool",
        DATE: "date",
        NULL: "null",
        REGEX: "regex",
        DB_POINTER: "dbPointer",
        CODE: "javascript",
        SYMBOL: "symbol",
        CODE_WITH_SCOPE: "javascriptWithScope",
        INT32: "int",
        TIMESTAMP: "timestamp",
        INT64: "long",
        DECIMAL128: "decimal",
        MAX_KEY: "maxKey",
        MIN_KEY: "minKey",
    }
)
"""The types by the names that MongoDB's ``$type`` gives them."""

NULLISH: Final = frozenset({NULL, UNDEFINED})
"""What stands for no value; deprecated types are what every driver reads."""
TEXTUAL: Final = frozenset({STRING, SYMBOL})
_READ_AS: Mapping[int, int] = {SYMBOL: STRING, DB_POINTER: DOCUMENT, CODE_WITH_SCOPE: CODE}

Value = tuple[int, Any]
"""BSON type and data: ``float`` for DOUBLE, ``str`` for STRING, SYMBOL and CODE, ``Fields`` for DOCUMENT, a
list of values for ARRAY, (subtype, ``bytes``) for BINARY, 12 ``bytes`` for OBJECT_ID, ``bool`` for BOOLEAN,
milliseconds since 1970 for DATE, (pattern, options) for REGEX, (collection, 12 bytes) for DB_POINTER,
(code, ``Fields``) for CODE_WITH_SCOPE, ``int`` for INT32 and INT64, (seconds, increment) for TIMESTAMP,
text for DECIMAL128, None for the others."""

Fields = list[tuple[str, Value]]
"""The fields of a document, in order."""

_OBJECT_ID_SIZE = 12
_REGEX_OPTIONS = frozenset("ilmsux")
_OLD_BINARY = 2
_OVERHEAD = 5
"""Bytes of an empty document: its length and its end."""

_int32 = struct.Struct("<i").unpack_from
_int64 = struct.Struct("<q").unpack_from
_double = struct.Struct("<d").unpack_from
_two_uint32 = struct.Struct("<II").unpack_from
_two_uint64 = struct.Struct("<QQ").unpack_from

_Reader = Callable[[bytes, int], tuple[Any, int]]


class UnreadableError(ValueError):
    """What was given is not valid BSON, or holds text that is not UTF-8."""


def type_as_read(value: Value) -> str:
    """Returns the name of the type that drivers read a value as."""
    return TYPE_NAMES[_READ_AS.get(value[0], value[0])]


def read_document(document: bytes) -> Fields:
    """Returns the fields of a document with their values.

    Args:
        document: The document as BSON, nothing before and nothing after it.

    Raises:
        UnreadableError: It is not valid BSON, or a text in it is not UTF-8.
    """
    if _document_end(document, 0) != len(document):
        raise UnreadableError("the length of the document is not that of its bytes")
    try:
        fields, _ = _fields(document, 0)
    except (struct.error, UnicodeDecodeError, IndexError, KeyError) as error:
        raise UnreadableError(f"not valid BSON: {type(error).__name__}") from error
    return fields


def read_value(kind: int, data: bytes, start: int) -> Value:
    """Returns the value of a type that begins at a position.

    Raises:
        UnreadableError: There is no valid value.
    """
    try:
        value, _ = _READERS[kind](data, start)
    except (struct.error, UnicodeDecodeError, IndexError, KeyError) as error:
        raise UnreadableError(f"not valid BSON: {type(error).__name__}") from error
    return kind, value


def spans(document: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Yields (type, name, start, end) of each field without decoding its value.

    Raises:
        UnreadableError: The bytes cannot be divided into fields.
    """
    position, last = 4, _document_end(document, 0) - 1
    try:
        while position < last:
            kind = document[position]
            stop = document.index(0, position + 1)
            end = _end_of(kind, document, stop + 1)
            if end > last:
                raise UnreadableError("a field ends after its document")
            yield kind, document[position + 1 : stop], stop + 1, end
            position = end
    except (struct.error, ValueError, IndexError, KeyError) as error:
        raise UnreadableError(f"not valid BSON: {type(error).__name__}") from error


def read_whole(document: bytes) -> Fields:
    """Returns the fields of a document that drivers read all of.

    Raises:
        UnreadableError: It is not valid BSON, or drivers do not read all of it.
    """
    fields = read_document(document)
    if (found := flaw(fields)) is not None:
        raise UnreadableError(found)
    return fields


def flaw(fields: Fields) -> str | None:
    """Returns why drivers do not read all of a document, or of one within it; None where they do."""
    names = {name: kind for name, (kind, _) in fields}
    if len(names) != len(fields):
        return "a field occurs twice"
    if "$id" in names and (names.get("$ref"), names.get("$db")) == (STRING, NULL):
        return "a DBRef has null for a database"
    return next(filter(None, (flaw_within(value) for _, value in fields)), None)


def flaw_within(value: Value) -> str | None:
    """Returns why drivers do not read all of the documents within a value; None where they do."""
    kind, data = value
    if kind == DOCUMENT:
        return flaw(data)
    if kind == ARRAY:
        return next(filter(None, map(flaw_within, data)), None)
    return flaw(data[1]) if kind == CODE_WITH_SCOPE else None


def _document_end(data: bytes, start: int) -> int:
    """Returns where a document ends; it must lie within the data and end with a zero."""
    if len(data) < start + _OVERHEAD:
        raise UnreadableError("too short for a document")
    end: int = start + _int32(data, start)[0]
    if not start + _OVERHEAD <= end <= len(data) or data[end - 1]:
        raise UnreadableError("a document does not end where it says")
    return end


def _fields(data: bytes, start: int) -> tuple[Fields, int]:
    end = _document_end(data, start)
    fields: Fields = []
    position, last = start + 4, end - 1
    readers, find = _READERS, data.find
    while position < last:
        kind = data[position]
        stop = find(0, position + 1, last)
        if stop < 0:
            raise UnreadableError("a name does not end")
        name = str(data[position + 1 : stop], "utf-8")
        value, position = readers[kind](data, stop + 1)
        fields.append((name, (kind, value)))
    if position != last:
        raise UnreadableError("a field ends after its document")
    return fields, end


def _array(data: bytes, start: int) -> tuple[list[Value], int]:
    fields, end = _fields(data, start)
    return [value for _, value in fields], end


def _text(data: bytes, start: int) -> tuple[str, int]:
    size: int = _int32(data, start)[0]
    end = start + 4 + size
    if size < 1 or data[end - 1]:
        raise UnreadableError("a text does not end where it says")
    return str(data[start + 4 : end - 1], "utf-8"), end


def _name(data: bytes, start: int) -> tuple[str, int]:
    stop = data.find(0, start)
    if stop < 0:
        raise UnreadableError("a name does not end")
    return str(data[start:stop], "utf-8"), stop + 1


def _bytes(data: bytes, start: int, size: int) -> tuple[bytes, int]:
    end = start + size
    if size < 0 or end > len(data):
        raise UnreadableError("a value ends after the document")
    return data[start:end], end


def _binary(data: bytes, start: int) -> tuple[tuple[int, bytes], int]:
    size, subtype = _int32(data, start)[0], data[start + 4]
    content, end = _bytes(data, start + 5, size)
    if subtype == _OLD_BINARY:
        if _int32(content, 0)[0] != size - 4:
            raise UnreadableError("a binary value does not end where it says")
        content = content[4:]
    return (subtype, content), end


def _object_id(data: bytes, start: int) -> tuple[bytes, int]:
    return _bytes(data, start, _OBJECT_ID_SIZE)


def _boolean(data: bytes, start: int) -> tuple[bool, int]:
    if data[start] > 1:
        raise UnreadableError("a boolean is neither 0 nor 1")
    return data[start] == 1, start + 1


def _regex(data: bytes, start: int) -> tuple[tuple[str, str], int]:
    pattern, position = _name(data, start)
    options, end = _name(data, position)
    if len(set(options) & _REGEX_OPTIONS) != len(options):
        raise UnreadableError("a regular expression has an option that there is not, or one twice")
    return (pattern, options), end


def _db_pointer(data: bytes, start: int) -> tuple[tuple[str, bytes], int]:
    collection, position = _text(data, start)
    identifier, end = _object_id(data, position)
    return (collection, identifier), end


def _code_with_scope(data: bytes, start: int) -> tuple[tuple[str, Fields], int]:
    code, position = _text(data, start + 4)
    scope, end = _fields(data, position)
    if start + _int32(data, start)[0] != end:
        raise UnreadableError("code with scope does not end where it says")
    return (code, scope), end


def _timestamp(data: bytes, start: int) -> tuple[tuple[int, int], int]:
    increment, seconds = _two_uint32(data, start)
    return (seconds, increment), start + 8


def _decimal128(data: bytes, start: int) -> tuple[str, int]:
    low, high = _two_uint64(data, start)
    return _decimal_text(high, low), start + 16


def _decimal_text(high: int, low: int) -> str:
    """Returns a Decimal128 in the text form of its specification.

    The specification is
    https://github.com/mongodb/specifications/blob/master/source/bson-decimal128/decimal128.md.
    """
    sign = "-" if high >> 63 else ""
    if high >> 58 & 0x1F == 0x1F:
        return "NaN"
    if high >> 58 & 0x1E == 0x1E:
        return f"{sign}Infinity"
    if high >> 61 & 0b11 == 0b11:
        # An encoding of coefficients beyond 34 digits: such a coefficient counts as 0.
        exponent, coefficient = (high >> 47 & 0x3FFF) - 6176, 0
    else:
        exponent, coefficient = (high >> 49 & 0x3FFF) - 6176, (high & (1 << 49) - 1) << 64 | low
    digits = str(coefficient) if coefficient < 10**34 else "0"
    adjusted = exponent + len(digits) - 1
    if exponent > 0 or adjusted < -6:
        point = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{point}E{adjusted:+}"
    if exponent == 0:
        return f"{sign}{digits}"
    padded = digits.rjust(1 - exponent, "0")
    return f"{sign}{padded[:exponent]}.{padded[exponent:]}"


def _nothing(data: bytes, start: int) -> tuple[None, int]:
    del data
    return None, start


_READERS: Mapping[int, _Reader] = {
    DOUBLE: lambda data, start: (_double(data, start)[0], start + 8),
    STRING: _text,
    DOCUMENT: _fields,
    ARRAY: _array,
    BINARY: _binary,
    UNDEFINED: _nothing,
    OBJECT_ID: _object_id,
    BOOLEAN: _boolean,
    DATE: lambda data, start: (_int64(data, start)[0], start + 8),
    NULL: _nothing,
    REGEX: _regex,
    DB_POINTER: _db_pointer,
    CODE: _text,
    SYMBOL: _text,
    CODE_WITH_SCOPE: _code_with_scope,
    INT32: lambda data, start: (_int32(data, start)[0], start + 4),
    TIMESTAMP: _timestamp,
    INT64: lambda data, start: (_int64(data, start)[0], start + 8),
    DECIMAL128: _decimal128,
    MAX_KEY: _nothing,
    MIN_KEY: _nothing,
}


FIXED_SIZES: Mapping[int, int] = MappingProxyType(
    {
        **dict.fromkeys((UNDEFINED, NULL, MAX_KEY, MIN_KEY), 0),
        BOOLEAN: 1,
        INT32: 4,
        **dict.fromkeys((DOUBLE, DATE, TIMESTAMP, INT64), 8),
        OBJECT_ID: _OBJECT_ID_SIZE,
        DECIMAL128: 16,
    }
)
"""Bytes of the values of types that always have the same."""
OVERHEADS: Mapping[int, int] = MappingProxyType(
    {
        **dict.fromkeys((DOCUMENT, ARRAY, CODE_WITH_SCOPE), 0),
        **dict.fromkeys((STRING, CODE, SYMBOL), 4),
        BINARY: 5,
        DB_POINTER: 4 + _OBJECT_ID_SIZE,
    }
)
"""Bytes of a value besides the length that it begins with."""


def _end_of(kind: int, data: bytes, start: int) -> int:
    """Returns where a value ends, by its type."""
    if kind in FIXED_SIZES:
        return start + FIXED_SIZES[kind]
    if kind == REGEX:
        return data.index(0, data.index(0, start) + 1) + 1
    overhead, size = OVERHEADS[kind], _int32(data, start)[0]
    if size < 0:
        raise UnreadableError("a length is negative")
    return int(start + overhead + size)
