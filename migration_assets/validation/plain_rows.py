"""Documents of which every value is accepted as it is, held against their rows a column at a time.

Nearly all documents are such, and for them the judge needs no decoding: a text is in BSON the bytes that it
is in binary COPY, a number is its bytes the other way round. A document is proven equal to its row, every
field of the one and every cell of the other, or left to ``reference``. That a reference leads to a row,
PostgreSQL says itself for the whole table (``reference_targets``).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import MappingProxyType
from uuid import UUID

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from migration_assets.model import Missing, Rule, Source, fields, sources
from migration_assets.validation import binary_copy
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.binary_copy import Column, with_length
from migration_assets.validation.bson_places import (
    UNDERSTOOD,
    Documents,
    FieldPlaces,
    Found,
    Mask,
    Numbers,
    Places,
    at_each_byte,
    object_ids_in,
)
from migration_assets.validation.identities import (
    object_id_uuid,
)
from migration_assets.validation.json_cells import means
from migration_assets.validation.known_ids import KnownIds
from migration_assets.validation.reference import (
    FIRST_TIMESTAMP,
    LAST_TIMESTAMP,
)
from migration_assets.validation.same_bytes import are_same

Halves = tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]
"""UUIDs as two numbers each."""
Uuids = npt.NDArray[np.void]
"""UUIDs as bytes."""

_EMPTY_ARRAY = 5
"""Bytes of an empty array."""
_OBJECT_ID = 12
_VERSION = 7
_NULL = -1
_REMEMBERED = 10_000
"""References of which the cells are remembered: many to few documents repeat, others hardly do."""
_HEX = re.compile(rb"[0-9a-fA-F]{24}")
_EPOCH = 946_684_800_000
"""2000-01-01, from which PostgreSQL counts, in milliseconds since 1970."""

NO_OTHERS: Mapping[int, str] = MappingProxyType({})

_length = struct.Struct("<i").unpack_from


_Make = Callable[[bytes, int], bytes]
"""Makes the cell, without its length, that must stand for the value at a place in data."""


class _NotPlainError(Exception):
    """A value is not accepted as it is, or whether it is takes a closer look."""


_Agreement = Callable[[bytes, Places, Column, Numbers], Mask | list[bool]]
"""Tells of some documents, given as data and places in it, none of which is null, whether the cells of a
column are what they must be."""


@dataclass(frozen=True, slots=True)
class Equal:
    """What is proven of some documents.

    Attributes:
        mask: Which of them are plain and have just their row.
        references: How many references these hold.
    """

    mask: Mask
    references: int


@dataclass(slots=True)
class PlainRows:
    """Holds the plain documents of one collection against their rows.

    A row is the id, the source id, and the other columns in the order of ``selected``.

    Attributes:
        table: The entity table.
        documents: By collection, the documents that references held as text may point to.
        has_hex_texts: Tells whether a collection has a text for an `_id` that might be an ObjectId as well.
    """

    table: sa.Table
    documents: Mapping[str, KnownIds]
    has_hex_texts: Callable[[str], bool]
    _finder: FieldPlaces = field(init=False)
    _columns: list[Source] = field(init=False)
    _agreements: list[_Agreement] = field(init=False)
    _arrays_elsewhere: list[str] = field(init=False)

    def __post_init__(self) -> None:
        given = sources(self.table)
        self._columns = [
            given[name] for name in selected(self.table) if given[name].rule is not Rule.KEY
        ]
        self._agreements = [self._agreement(source) for source in self._columns]
        self._arrays_elsewhere = sorted(
            fields(self.table) - {source.field for source in given.values()}
        )
        self._finder = FieldPlaces(usual_kinds(self.table))

    def equal(
        self, documents: Documents, rows: Sequence[bytes], others: Mapping[int, str] = NO_OTHERS
    ) -> Equal:
        """Tells which documents are plain and have just the row that they are given with.

        Args:
            documents: The documents.
            rows: The row of each, found by its UUID.
            others: By number, the source ids of those whose `_id` is no ObjectId.
        """
        found = self._finder.find(documents)
        cells = binary_copy.divided(rows, 2 + len(self._columns))
        are_equal = found.are_whole & cells.are_whole
        key, source_id, *columns = cells.columns
        are_own = found.fields["_id"].kinds == bson.OBJECT_ID
        own, rest = (np.flatnonzero(are_equal & mask) for mask in (are_own, ~are_own))
        for agree, column in ((_keys, key), (_source_ids, source_id)):
            are_equal[own] &= agree(found.data, found.fields["_id"], column, own)
        for number, cell in zip(rest.tolist(), source_id.cells(rest), strict=True):
            are_equal[number] = number in others and cell == others[number].encode()
        for name in self._arrays_elsewhere:
            _leave_out_others(are_equal, found.data, found.fields[name])
        # JSON comes last, so of what is not equal by then nothing is parsed.
        for source, agreement, column in zip(self._columns, self._agreements, columns, strict=True):
            nulls = np.flatnonzero(are_equal & found.fields[source.field].are_null())
            are_equal[nulls] = _stands_for_null(source, column, nulls)
            self._compare(are_equal, agreement, found, source.field, column)
        return Equal(are_equal, self._references(columns, np.flatnonzero(are_equal)))

    def _references(self, columns: Sequence[Column], rows: Numbers) -> int:
        """Returns how many references some rows hold."""
        count = 0
        for source, column in zip(self._columns, columns, strict=True):
            if source.rule in (Rule.REFERENCE_ARRAY, Rule.REFERENCE_TEXT_ARRAY):
                count += int(binary_copy.counts_of_elements(column, rows).sum())
            elif source.rule in (Rule.REFERENCE, Rule.REFERENCE_TEXT):
                count += int(np.count_nonzero(column.sizes[rows] > 0))
        return count

    @staticmethod
    def _compare(
        are_equal: Mask, agreement: _Agreement, found: Found, name: str, column: Column
    ) -> None:
        """Leaves those documents out whose value, where there is one, is not what the column holds."""
        places = found.fields[name]
        rows = np.flatnonzero(are_equal & ~places.are_null())
        if rows.size:
            are_equal[rows] = agreement(found.data, places, column, rows)

    def _agreement(self, source: Source) -> _Agreement:
        """Returns what compares a column with the values of the types that it accepts as they are."""
        match source.rule:
            case Rule.REFERENCE_TEXT | Rule.REFERENCE_TEXT_ARRAY:
                return self._text_references(source)
            case Rule.TEXT if source.longest is not None:
                return _texts_up_to(source.longest)
            case _:
                return _AGREEMENTS[source.rule]

    def _text_references(self, source: Source) -> _Agreement:
        """Returns what compares references held as text: those of 24 hex digits, whose document there is."""
        collection = str(source.references)
        known = self.documents[collection]
        is_array = source.rule is Rule.REFERENCE_TEXT_ARRAY

        def make(data: bytes, start: int) -> bytes:
            texts = [_content_of_text(data, start)[0]]
            if is_array:
                texts = _elements(data, start, bson.STRING, _content_of_text)
            made = [_text_reference(text) for text in texts]
            are_known = [key in known for key, _ in made]  # all of them are to be noted
            if not all(are_known):
                raise _NotPlainError
            cells = [cell for _, cell in made]
            return binary_copy.array(binary_copy.TEXT_OID, cells) if is_array else cells[0]

        compare = _cells_made_by(make)

        def agreement(
            data: bytes, places: Places, column: Column, rows: Numbers
        ) -> Mask | list[bool]:
            if self.has_hex_texts(collection):
                return [False] * len(rows)
            found = compare(data, places, column, rows)
            return compare(data, places, column, rows) if known.ask() else found

        return agreement


def usual_kinds(table: sa.Table) -> Mapping[str, frozenset[int]]:
    """Returns the BSON types that the fields of plain documents have: all others are for ``reference``."""
    elsewhere = frozenset({bson.ARRAY, bson.NULL})
    return (
        dict.fromkeys(fields(table), elsewhere)
        | {source.field: _KINDS[source.rule] | {bson.NULL} for source in sources(table).values()}
        | {"_id": IDENTIFIERS}
    )


def selected(table: sa.Table) -> list[str]:
    """Returns the columns in the order in which rows are compared: the key, others, jsonb."""
    given = sources(table)
    order = {Rule.KEY: 0, Rule.JSON: 2}
    return sorted(given, key=lambda name: order.get(given[name].rule, 1))


def _stands_for_null(source: Source, column: Column, rows: Numbers) -> Mask:
    """Tells of documents without a value which have the cell that stands for that."""
    match source:
        case Source(rule=Rule.JSON) | Source(missing=Missing.NULL):
            are_null: Mask = column.sizes[rows] == _NULL
            return are_null
        case Source(missing=Missing.EMPTY_ARRAY):
            is_uuid = source.rule is Rule.REFERENCE_ARRAY
            oid = binary_copy.UUID_OID if is_uuid else binary_copy.TEXT_OID
            empty = binary_copy.array(oid, [])
            return np.array([cell == empty for cell in column.cells(rows)], dtype=np.bool_)
        case _:
            return np.zeros(len(rows), dtype=np.bool_)


def _leave_out_others(are_equal: Mask, data: bytes, places: Places) -> None:
    """Leaves documents out with an array, which a junction table holds, that is not one of ObjectIds."""
    rows = np.flatnonzero(are_equal & (places.kinds == bson.ARRAY))
    counts, _ = object_ids_in(data, places, rows)
    for row in rows[counts < 0].tolist():
        are_equal[row] = object_ids_of(data, int(places.starts[row])) is not None


def _keys(data: bytes, places: Places, column: Column, rows: Numbers) -> Mask:
    agree: Mask = column.sizes[rows] == binary_copy.UUID_SIZE
    for made, held in zip(_uuids(data, places.starts[rows]), _halves(column, rows), strict=True):
        agree &= made == held
    return agree


def _source_ids(data: bytes, places: Places, column: Column, rows: Numbers) -> Mask:
    ids = at_each_byte(data, f"V{_OBJECT_ID}")[places.starts[rows]].tobytes()
    made = np.frombuffer(ids.hex().encode(), dtype=f"S{2 * _OBJECT_ID}")
    held = at_each_byte(column.data, made.dtype.str)[column.starts[rows]]
    agree: Mask = (column.sizes[rows] == 2 * _OBJECT_ID) & (made == held)
    return agree


def _texts(data: bytes, places: Places, column: Column, rows: Numbers) -> Mask:
    starts, held = places.starts[rows] + 4, column.starts[rows]
    sizes = column.sizes[rows]
    agree: Mask = places.ends[rows] - 1 - starts == sizes
    rest = np.flatnonzero(agree)
    agree[rest] = are_same(data, starts[rest], column.data, held[rest], sizes[rest])
    return agree


def _texts_up_to(longest: int) -> _Agreement:
    def agreement(data: bytes, places: Places, column: Column, rows: Numbers) -> Mask:
        return _texts(data, places, column, rows) & (column.sizes[rows] <= longest)

    return agreement


def _integers(size: int) -> _Agreement:
    def agreement(data: bytes, places: Places, column: Column, rows: Numbers) -> Mask:
        starts = places.starts[rows]
        short, long = (at_each_byte(data, dtype)[starts] for dtype in ("<i4", "<i8"))
        values = np.where(places.kinds[rows] == bson.INT32, short, long)
        held = at_each_byte(column.data, f">i{size}")[column.starts[rows]]
        agree: Mask = (column.sizes[rows] == size) & (values == held)
        return agree

    return agreement


def _booleans(data: bytes, places: Places, column: Column, rows: Numbers) -> Mask:
    values, held = (
        at_each_byte(of, "u1")[starts[rows]]
        for of, starts in ((data, places.starts), (column.data, column.starts))
    )
    agree: Mask = (column.sizes[rows] == 1) & (values == held) & (values <= 1)
    return agree


def _dates(data: bytes, places: Places, column: Column, rows: Numbers) -> Mask:
    values = at_each_byte(data, "<i8")[places.starts[rows]]
    agree: Mask = (values >= FIRST_TIMESTAMP) & (values <= LAST_TIMESTAMP)
    made = (np.where(agree, values, 0) - _EPOCH) * 1000
    held = at_each_byte(column.data, ">i8")[column.starts[rows]]
    agree &= (column.sizes[rows] == 8) & (made == held)
    return agree


def _json(data: bytes, places: Places, column: Column, rows: Numbers) -> list[bool]:
    return _agree(data, places, column, rows, partial(means, data))


def _agree(
    data: bytes,
    places: Places,
    column: Column,
    rows: Numbers,
    is_same: Callable[[int, int, bytes | None], bool],
) -> list[bool]:
    """Tells of each value, given as its type and its place in data, whether it is what its cell holds.

    Tags and notes repeat: of values and cells that are the same bytes, one pair is looked at.
    """
    looked_at: dict[tuple[int, bytes, bytes | None], bool] = {}
    places_of_rows = (each[rows].tolist() for each in (places.kinds, places.starts, places.ends))
    found = []
    for kind, start, end, cell in zip(*places_of_rows, column.cells(rows), strict=True):
        pair = kind, data[start:end], cell
        if pair not in looked_at:
            looked_at[pair] = is_same(kind, start, cell)
        found.append(looked_at[pair])
    return found


def object_id_uuids(object_ids: Sequence[bytes]) -> list[bytes]:
    """Returns the UUIDs of ObjectIds (section 4)."""
    joined = b"".join(object_ids)
    uuids: list[bytes] = uuids_at(joined, np.arange(0, len(joined), _OBJECT_ID)).tolist()
    return uuids


def uuids_at(data: bytes, starts: Numbers) -> Uuids:
    """Returns the UUIDs of the ObjectIds at some places."""
    halves = np.stack(_uuids(data, starts), axis=1).astype(">u8")
    return halves.view(binary_copy.UUID_DTYPE)[:, 0]


def _uuids(data: bytes, starts: Numbers) -> Halves:
    """Returns the UUIDs of the ObjectIds at some places (section 4)."""
    seconds = at_each_byte(data, ">u4")[starts].astype(np.uint64)
    rest = at_each_byte(data, ">u8")[starts + 4].astype(np.uint64)
    version = np.uint64(_VERSION << 12)
    high = (seconds * np.uint64(1000)) << np.uint64(16) | version | rest >> np.uint64(52)
    low = np.uint64(1 << 63) | (rest & np.uint64((1 << 52) - 1)) << np.uint64(10)
    return high, low


def _halves(column: Column, rows: Numbers) -> Halves:
    """Returns the UUIDs in some cells."""
    words = at_each_byte(column.data, ">u8")
    starts = column.starts[rows]
    return words[starts].astype(np.uint64), words[starts + 8].astype(np.uint64)


def _cells_made_by(make: _Make) -> _Agreement:
    """Returns what compares cells with those that are made one by one."""

    def agreement(data: bytes, places: Places, column: Column, rows: Numbers) -> list[bool]:
        def is_same(kind: int, start: int, cell: bytes | None) -> bool:
            del kind
            try:
                return make(data, start) == cell
            except (_NotPlainError, ValueError, IndexError, struct.error):
                return False

        return _agree(data, places, column, rows, is_same)

    return agreement


@lru_cache(_REMEMBERED)
def _reference_cell(object_id: bytes) -> bytes:
    """Returns the cell of the UUID of an ObjectId, with its length."""
    return with_length(object_id_uuid(object_id))


@lru_cache(_REMEMBERED)
def _text_reference(text: bytes) -> tuple[bytes, bytes]:
    """Returns the UUID of an ObjectId that is given as text, and the cell of it as text."""
    if not _HEX.fullmatch(text):
        raise _NotPlainError
    key = object_id_uuid(bytes.fromhex(text.decode()))
    return key, str(UUID(bytes=key)).encode()


def _array(
    kind: int,
    oid: int,
    content_of: Callable[[bytes, int], tuple[bytes, int]],
    cell_of: Callable[[bytes], bytes],
) -> _Make:
    """Returns what makes the cell of an array of which every element has one type."""
    empty = binary_copy.array(oid, [])

    def make(data: bytes, start: int) -> bytes:
        elements = _elements(data, start, kind, content_of)
        return binary_copy.array_of(oid, list(map(cell_of, elements))) if elements else empty

    return make


def object_ids_of(document: bytes, start: int) -> list[bytes] | None:
    """Returns the ObjectIds of the array at a position, None where it holds anything else."""
    try:
        return _elements(document, start, bson.OBJECT_ID, _content_of_object_id)
    except (_NotPlainError, ValueError, IndexError, struct.error):
        return None


def _elements(
    document: bytes, start: int, kind: int, content_of: Callable[[bytes, int], tuple[bytes, int]]
) -> list[bytes]:
    """Returns the bytes of each element of an array."""
    size = _length(document, start)[0]
    position, last = start + 4, start + size - 1
    elements: list[bytes] = []
    if size < _EMPTY_ARRAY:
        raise _NotPlainError
    while position < last:
        if document[position] != kind:
            raise _NotPlainError
        content, position = content_of(document, document.index(0, position + 1) + 1)
        elements.append(content)
    if position != last:
        raise _NotPlainError
    return elements


def _content_of_text(document: bytes, start: int) -> tuple[bytes, int]:
    size = _length(document, start)[0]
    if size < 1:
        raise _NotPlainError
    end = start + 4 + size
    return document[start + 4 : end - 1], end


def _content_of_object_id(document: bytes, start: int) -> tuple[bytes, int]:
    return document[start : start + 12], start + 12


_TEXT_ELEMENTS = (bson.STRING, binary_copy.TEXT_OID, _content_of_text)
_OBJECT_ID_ELEMENTS = (bson.OBJECT_ID, binary_copy.UUID_OID, _content_of_object_id)

IDENTIFIERS = frozenset({bson.OBJECT_ID, bson.STRING, bson.INT32, bson.INT64})
"""The types of an `_id` that plain documents have."""

_KINDS: Mapping[Rule, frozenset[int]] = {
    Rule.KEY: IDENTIFIERS,
    Rule.TEXT: frozenset({bson.STRING}),
    Rule.INTEGER: frozenset({bson.INT32, bson.INT64}),
    Rule.BIGINT: frozenset({bson.INT32, bson.INT64}),
    Rule.BOOLEAN: frozenset({bson.BOOLEAN}),
    Rule.TIMESTAMP: frozenset({bson.DATE}),
    Rule.ENUM: frozenset({bson.STRING}),
    Rule.JSON: UNDERSTOOD,
    Rule.TEXT_ARRAY: frozenset({bson.ARRAY}),
    Rule.REFERENCE: frozenset({bson.OBJECT_ID}),
    Rule.REFERENCE_ARRAY: frozenset({bson.ARRAY}),
    Rule.REFERENCE_TEXT: frozenset({bson.STRING}),
    Rule.REFERENCE_TEXT_ARRAY: frozenset({bson.ARRAY}),
}
"""The types that a column accepts as they are (section 5)."""

_AGREEMENTS: Mapping[Rule, _Agreement] = {
    Rule.TEXT: _texts,
    Rule.INTEGER: _integers(4),
    Rule.BIGINT: _integers(8),
    Rule.BOOLEAN: _booleans,
    Rule.TIMESTAMP: _dates,
    Rule.ENUM: _texts,
    Rule.JSON: _json,
    Rule.TEXT_ARRAY: _cells_made_by(_array(*_TEXT_ELEMENTS, with_length)),
    Rule.REFERENCE: _keys,
    Rule.REFERENCE_ARRAY: _cells_made_by(_array(*_OBJECT_ID_ELEMENTS, _reference_cell)),
}
