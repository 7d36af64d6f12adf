"""Documents of which every value is accepted as it is, as the rows that PostgreSQL must send for them.

Nearly all documents are such, and for them the judge needs no decoding: a text is in BSON the bytes that it
is in binary COPY, a number is its bytes the other way round. Whatever is not so plain, and whatever does
not equal its row, is left to ``reference``; what is made here is never taken for more than a row to
compare with, so a mistake in it shows as a difference and hides nothing.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from migration_assets.model import Missing, Rule, Source, fields, sources
from migration_assets.validation import binary_copy
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.binary_copy import with_length
from migration_assets.validation.reference import Ids, object_id_uuid, uuid_of

JsonSpan = tuple[int, int] | None
"""Type and position of the BSON value of a jsonb column; None for NULL."""

PlainRow = tuple[bytes, Sequence[JsonSpan]]
"""The row up to its jsonb columns, and the values of these. A row is the id, the source id, and the other
columns in the order of ``selected``."""

_SMALL = 1024
_LENGTHS = [struct.pack(">i", length) for length in range(_SMALL)]
_INT32_CELL = struct.pack(">i", 4)
_INT64_CELL = struct.pack(">i", 8)
_TRUE_OR_FALSE = struct.pack(">i", 1)
_UUID_CELL = struct.pack(">i", binary_copy.UUID_SIZE)
_SOURCE_ID_CELL = struct.pack(">i", 24)
_EMPTY_ARRAY = 5
_HEX = re.compile(rb"[0-9a-fA-F]{24}")

_length = struct.Struct("<i").unpack_from
_int64 = struct.Struct("<q").unpack_from
_length_and_int64 = struct.Struct(">iq").pack


class _NotPlainError(Exception):
    """A value is not accepted as it is, or whether it is takes a closer look."""


_Cells = list[Any]
_Read = Callable[[bytes, int, _Cells, int], int]
"""Reads the value at a position into its cell, and returns where it ends."""


@dataclass(slots=True)
class PlainRows:
    """Makes the rows of the plain documents of one collection.

    Attributes:
        table: The entity table.
        ids: What references may point to.
        types: How many values of which BSON type there were, by field, in the plain documents.
    """

    table: sa.Table
    ids: Ids
    types: Counter[tuple[str, str]] = field(default_factory=Counter)
    _plan: dict[bytes, tuple[_Read, int, int]] = field(init=False, default_factory=dict)
    _seen: list[tuple[str, str]] = field(init=False, default_factory=list)
    _bits: list[int] = field(init=False, default_factory=list)
    _empty: _Cells = field(init=False, default_factory=list)
    _width: int = field(init=False, default=0)
    _fields: list[str] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        given = sources(self.table)
        names = selected(self.table)
        self._fields = sorted(fields(self.table))
        self._width = 2 + sum(given[name].rule is not Rule.JSON for name in names)
        self._empty = [binary_copy.header(1 + len(names)), None, None]
        for position, name in enumerate(names, start=2):
            source = given[name]
            if source.rule is not Rule.KEY:
                self._empty.append(_when_missing(source))
            for kind, read in self._readers(source).items():
                self._add(source.field, kind, read, position)
            if source.rule is not Rule.KEY:
                self._add(source.field, bson.NULL, _null, position)
        for name in fields(self.table) - {source.field for source in given.values()}:
            self._add(name, bson.ARRAY, _object_ids, 0)
            self._add(name, bson.NULL, _null, 0)

    def rows(self, documents: Sequence[bytes]) -> list[PlainRow | None]:
        """Returns the rows of documents given as BSON, None for each that is not plain."""
        seen: list[int] = []
        made = [self._row(document, seen) for document in documents]
        for index, count in Counter(seen).items():
            self.types[self._seen[index]] += count
        return made

    def _row(self, document: bytes, seen: list[int]) -> PlainRow | None:
        cells, before = self._empty[:], len(seen)
        entry_of, find = self._plan.__getitem__, document.index
        position, last = 4, len(document) - 1
        try:
            while position < last:
                stop = find(0, position)
                read, column, index = entry_of(document[position:stop])
                position = read(document, stop + 1, cells, column)
                seen.append(index)
            mine = seen[before:]
            # The sum of different powers of two has as many bits as it has terms: no field twice.
            is_each_once = sum(map(self._bits.__getitem__, mine)).bit_count() == len(mine)
            if position != last or not is_each_once:
                raise _NotPlainError
            return b"".join(cells[: self._width]), cells[self._width :]
        except (_NotPlainError, KeyError, ValueError, TypeError, IndexError, struct.error):
            # TypeError: the cell of a missing NOT NULL value is None.
            del seen[before:]
            return None

    def _add(self, name: str, kind: int, read: _Read, column: int) -> None:
        self._plan[bytes([kind]) + name.encode()] = read, column, len(self._seen)
        self._seen.append((name, bson.TYPE_NAMES[kind]))
        self._bits.append(1 << self._fields.index(name))

    def _readers(self, source: Source) -> Mapping[int, _Read]:
        """Returns what reads the types that a column accepts as they are."""
        match source.rule:
            case Rule.KEY:
                return {bson.OBJECT_ID: _key}
            case Rule.REFERENCE:
                return {bson.OBJECT_ID: _reference(_Known(source, self.ids.rows))}
            case Rule.REFERENCE_ARRAY:
                known = _Known(source, self.ids.rows)
                return {bson.ARRAY: _array(*_OBJECT_IDS, known.cell)}
            case Rule.REFERENCE_TEXT:
                return {bson.STRING: _one(_Known(source, self.ids.documents).text_cell)}
            case Rule.REFERENCE_TEXT_ARRAY:
                known = _Known(source, self.ids.documents)
                return {bson.ARRAY: _array(*_TEXTS, known.text_cell)}
            case Rule.JSON:
                return {kind: _json(kind) for kind in bson.TYPE_NAMES if kind not in _NO_JSON}
            case _:
                return _READERS[source.rule]


def selected(table: sa.Table) -> list[str]:
    """Returns the columns in the order in which rows are compared: the key, others, jsonb."""
    given = sources(table)
    order = {Rule.KEY: 0, Rule.JSON: 2}
    return sorted(given, key=lambda name: order.get(given[name].rule, 1))


def _when_missing(source: Source) -> bytes | None:
    match source:
        case Source(rule=Rule.JSON):
            return None
        case Source(missing=Missing.NULL):
            return binary_copy.NULL
        case Source(missing=Missing.EMPTY_ARRAY):
            is_uuid = source.rule is Rule.REFERENCE_ARRAY
            oid = binary_copy.UUID_OID if is_uuid else binary_copy.TEXT_OID
            return with_length(binary_copy.array(oid, []))
        case _:
            return None


class _Known:
    """The cells of references to documents that are there, remembered by the reference's bytes."""

    def __init__(self, source: Source, ids: Mapping[str, AbstractSet[bytes]]) -> None:
        self._collection = str(source.references)
        self._ids = ids[self._collection]
        self._cells: dict[bytes, bytes] = {}

    def cell(self, object_id: bytes) -> bytes:
        """Returns the cell of the UUID of an ObjectId."""
        found = self._cells.get(object_id)
        if found is None:
            found = self._cells[object_id] = _UUID_CELL + self._there(object_id)
        return found

    def text_cell(self, text: bytes) -> bytes:
        """Returns the cell of the UUID, as text, of an ObjectId that is given as text."""
        found = self._cells.get(text)
        if found is None:
            is_hex = _HEX.fullmatch(text)
            if not is_hex or uuid_of(self._collection, (bson.STRING, text.decode())) in self._ids:
                raise _NotPlainError
            identifier = UUID(bytes=self._there(bytes.fromhex(text.decode())))
            found = self._cells[text] = with_length(str(identifier).encode())
        return found

    def _there(self, object_id: bytes) -> bytes:
        identifier = object_id_uuid(object_id)
        if identifier not in self._ids:
            raise _NotPlainError
        return identifier


def _null(document: bytes, start: int, cells: _Cells, column: int) -> int:
    del document, cells, column
    return start


def _text(document: bytes, start: int, cells: _Cells, column: int) -> int:
    size = _length(document, start)[0]
    prefix = _LENGTHS[size - 1] if 0 < size <= _SMALL else _long(size)
    end: int = start + 4 + size
    cells[column] = prefix + document[start + 4 : end - 1]
    return end


def _long(size: int) -> bytes:
    if size < 1:
        raise _NotPlainError
    return struct.pack(">i", size - 1)


def _int32_as_integer(document: bytes, start: int, cells: _Cells, column: int) -> int:
    cells[column] = _INT32_CELL + document[start + 3 : start - 1 : -1]
    return start + 4


def _int64_as_integer(document: bytes, start: int, cells: _Cells, column: int) -> int:
    cells[column] = _INT32_CELL + struct.pack(">i", _int64(document, start)[0])
    return start + 8


def _int32_as_bigint(document: bytes, start: int, cells: _Cells, column: int) -> int:
    cells[column] = _length_and_int64(8, _length(document, start)[0])
    return start + 4


def _int64_as_bigint(document: bytes, start: int, cells: _Cells, column: int) -> int:
    cells[column] = _INT64_CELL + document[start + 7 : start - 1 : -1]
    return start + 8


def _boolean(document: bytes, start: int, cells: _Cells, column: int) -> int:
    cells[column] = _TRUE_OR_FALSE + document[start : start + 1]
    return start + 1


def _date(document: bytes, start: int, cells: _Cells, column: int) -> int:
    cells[column] = _INT64_CELL + binary_copy.timestamp(_int64(document, start)[0])
    return start + 8


def _key(document: bytes, start: int, cells: _Cells, column: int) -> int:
    end = start + 12
    object_id = document[start:end]
    cells[column - 1] = _UUID_CELL + object_id_uuid(object_id)
    cells[column] = _SOURCE_ID_CELL + object_id.hex().encode()
    return end


def _reference(known: _Known) -> _Read:
    def read(document: bytes, start: int, cells: _Cells, column: int) -> int:
        end = start + 12
        cells[column] = known.cell(document[start:end])
        return end

    return read


def _one(cell_of: Callable[[bytes], bytes]) -> _Read:
    def read(document: bytes, start: int, cells: _Cells, column: int) -> int:
        content, end = _content_of_text(document, start)
        cells[column] = cell_of(content)
        return end

    return read


def _array(
    kind: int,
    oid: int,
    content_of: Callable[[bytes, int], tuple[bytes, int]],
    cell_of: Callable[[bytes], bytes],
) -> _Read:
    """Returns what reads an array of which every element has one type."""

    def read(document: bytes, start: int, cells: _Cells, column: int) -> int:
        elements, end = _elements(document, start, kind, content_of)
        cells[column] = with_length(binary_copy.array_of(oid, list(map(cell_of, elements))))
        return end

    return read


def _object_ids(document: bytes, start: int, cells: _Cells, column: int) -> int:
    """Passes over an array that a junction table holds, as long as it is one of ObjectIds."""
    del cells, column
    _, end = _elements(document, start, bson.OBJECT_ID, _content_of_object_id)
    return end


def object_ids_of(document: bytes, start: int) -> list[bytes] | None:
    """Returns the ObjectIds of the array at a position, None where it holds anything else."""
    try:
        return _elements(document, start, bson.OBJECT_ID, _content_of_object_id)[0]
    except (_NotPlainError, ValueError, IndexError, struct.error):
        return None


def _elements(
    document: bytes, start: int, kind: int, content_of: Callable[[bytes, int], tuple[bytes, int]]
) -> tuple[list[bytes], int]:
    """Returns the bytes of each element of an array, and where it ends."""
    size = _length(document, start)[0]
    position, end = start + 4, start + size
    elements = []
    if size < _EMPTY_ARRAY:
        raise _NotPlainError
    while position < end - 1:
        if document[position] != kind:
            raise _NotPlainError
        content, position = content_of(document, document.index(0, position + 1) + 1)
        elements.append(content)
    if position != end - 1:
        raise _NotPlainError
    return elements, end


def _content_of_text(document: bytes, start: int) -> tuple[bytes, int]:
    size = _length(document, start)[0]
    if size < 1:
        raise _NotPlainError
    end = start + 4 + size
    return document[start + 4 : end - 1], end


def _content_of_object_id(document: bytes, start: int) -> tuple[bytes, int]:
    return document[start : start + 12], start + 12


def _json(kind: int) -> _Read:
    size = bson.SIZES[kind]

    def read(document: bytes, start: int, cells: _Cells, column: int) -> int:
        cells[column] = kind, start
        return size(document, start)

    return read


_NO_JSON = frozenset({bson.NULL, bson.UNDEFINED})
_TEXTS = (bson.STRING, binary_copy.TEXT_OID, _content_of_text)
_OBJECT_IDS = (bson.OBJECT_ID, binary_copy.UUID_OID, _content_of_object_id)

_READERS: Mapping[Rule, Mapping[int, _Read]] = {
    Rule.TEXT: {bson.STRING: _text},
    Rule.INTEGER: {bson.INT32: _int32_as_integer, bson.INT64: _int64_as_integer},
    Rule.BIGINT: {bson.INT32: _int32_as_bigint, bson.INT64: _int64_as_bigint},
    Rule.BOOLEAN: {bson.BOOLEAN: _boolean},
    Rule.TIMESTAMP: {bson.DATE: _date},
    Rule.ENUM: {bson.STRING: _text},
    Rule.TEXT_ARRAY: {bson.ARRAY: _array(*_TEXTS, with_length)},
}
