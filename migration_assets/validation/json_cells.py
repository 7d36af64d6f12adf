"""jsonb cells held against BSON values without decoding these: most mean the same, and that is quickly seen.

What is not seen to mean the same here is compared as structures (``extended_json``), which decides. A number
is compared with every digit, so the digits of one with a fraction are kept as text.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

from migration_assets.validation import bson_reader as bson
from migration_assets.validation.extended_json import means_same, parsed, relaxed, storable

_VERSION = b"\x01"
_ESCAPED_ZERO = rb"\u0000"
_DIGITS = "\ud800"
"""Marks the digits of a number: half a character, which no text in UTF-8 can hold."""

_int32: Callable[[bytes, int], tuple[int]] = struct.Struct("<i").unpack_from
_int64 = struct.Struct("<q").unpack_from
_double = struct.Struct("<d").unpack_from


class _OtherError(Exception):
    """A value is another, or whether it is takes a closer look."""


_Compare = Callable[[bytes, int, Any], int]
"""Holds the value at a place in data against what JSON was parsed to; returns where it ends."""


def means(data: bytes, kind: int, start: int, cell: bytes | None) -> bool:
    """Tells whether a jsonb cell means what the BSON value of a type does that begins at a place in data.

    A value that jsonb cannot hold as it is (U+0000, -0.0) is meant by no cell, whatever that holds.
    """
    if cell is None:
        return False
    if _seen_to_mean(data, kind, start, cell):
        return True
    try:
        value = bson.read_value(kind, data, start)
        expected = relaxed(value)
    except bson.UnreadableError:
        return False
    if bson.flaw_within(value) is not None or storable(expected) != expected:
        return False
    return means_same(expected, parsed_cell(cell))


def parsed_cell(cell: bytes) -> Any:
    """Returns a jsonb cell as a structure; one that is no JSON equals nothing."""
    try:
        return parsed(cell.removeprefix(_VERSION).decode())
    except ValueError:
        return cell


def _seen_to_mean(data: bytes, kind: int, start: int, cell: bytes) -> bool:
    if _ESCAPED_ZERO in cell:  # which PostgreSQL does not send
        return False
    try:
        text = str(cell[1:], "utf-8")
        held, end = _decode(text)
        _COMPARE[kind](data, start, held)
    except (_OtherError, LookupError, ValueError, TypeError, struct.error):
        return False
    return end == len(text) and cell.startswith(_VERSION)


def _container(type_: type, key_of: Callable[[bytes, int], Any]) -> _Compare:
    """Returns what compares a document or an array, given what its parts are called in JSON."""

    def compare(data: bytes, start: int, held: Any) -> int:
        parts = 0
        position, last = start + 4, start + _int32(data, start)[0] - 1
        while position < last:
            stop = data.index(0, position + 1)
            part = held[key_of(data[position + 1 : stop], parts)]
            position = _COMPARE[data[position]](data, stop + 1, part)
            parts += 1
        is_alike = type(held) is type_
        if not is_alike or position != last or parts != len(held) or data[last]:
            raise _OtherError
        return last + 1

    return compare


def _name(written: bytes, number: int) -> str:
    del number
    name = str(written, "utf-8")
    if name.startswith("$"):  # it may be a DBRef, which drivers do not always read whole
        raise _OtherError
    return name


def _number_of(written: bytes, number: int) -> int:
    del written
    return number


def _string(data: bytes, start: int, held: Any) -> int:
    end: int = start + 4 + _int32(data, start)[0]
    if str(data[start + 4 : end - 1], "utf-8") != held or data[end - 1] or end < start + 5:
        raise _OtherError
    return end


def _integer(size: int, read: Callable[[bytes, int], tuple[Any, ...]]) -> _Compare:
    def compare(data: bytes, start: int, held: Any) -> int:
        if type(held) is not int or read(data, start)[0] != held:
            raise _OtherError
        return start + size

    return compare


def _number(data: bytes, start: int, held: Any) -> int:
    value = _double(data, start)[0]
    written = repr(value)
    # jsonb has no negative zero, so nothing means it.
    is_same = value == held if type(held) is int else _DIGITS + written == held
    if not is_same or written == "-0.0":
        raise _OtherError
    return start + 8


def _boolean(data: bytes, start: int, held: Any) -> int:
    if type(held) is not bool or data[start] != held:
        raise _OtherError
    return start + 1


def _null(data: bytes, start: int, held: Any) -> int:
    del data
    if held is not None:
        raise _OtherError
    return start


def _object_id(data: bytes, start: int, held: Any) -> int:
    if held != {"$oid": data[start : start + 12].hex()}:
        raise _OtherError
    return start + 12


def _date(data: bytes, start: int, held: Any) -> int:
    if held != relaxed((bson.DATE, _int64(data, start)[0])):
        raise _OtherError
    return start + 8


_COMPARE: Mapping[int, _Compare] = {
    bson.DOUBLE: _number,
    bson.STRING: _string,
    bson.DOCUMENT: _container(dict, _name),
    bson.ARRAY: _container(list, _number_of),
    bson.OBJECT_ID: _object_id,
    bson.BOOLEAN: _boolean,
    bson.DATE: _date,
    bson.NULL: _null,
    bson.INT32: _integer(4, _int32),
    bson.INT64: _integer(8, _int64),
}
_decode = json.JSONDecoder(parse_float=_DIGITS.__add__).raw_decode
