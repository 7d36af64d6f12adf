"""Rows as PostgreSQL sends them in binary COPY: read with their key, divided into cells, and made.

The loader writes the same format; nothing of its code is used here. A cell is what stands for one value,
without its length; None is NULL. Formats: https://www.postgresql.org/docs/current/sql-copy.html and the
``send`` functions of the types.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg import sql

from migration_assets.model import Rule
from migration_assets.target.connection import Connection
from migration_assets.validation.bson_places import Mask, Numbers, at_each_byte

NULL = b"\xff\xff\xff\xff"
"""A length of -1."""
TEXT_OID = 25
UUID_OID = 2950
UUID_SIZE = 16
UUID_DTYPE = f"V{UUID_SIZE}"
"""What numpy takes for a UUID as bytes."""

ROWS_PER_VALUE = 1_000_000
"""Rows whose packed bytes are one value: some hundredth of what one may hold."""

Cells = tuple[bytes | None, ...]

_SIGNATURE = b"PGCOPY\n\xff\r\n\x00"
_HEADER = len(_SIGNATURE) + 8
_TRAILER = b"\xff\xff"
_COUNT = struct.Struct(">h")
_LENGTH = struct.Struct(">i")
_BIGINT = struct.Struct(">q")
_ARRAY = struct.Struct(">iiIii")
_EMPTY_ARRAY = struct.Struct(">iiI")
_KEY = slice(_COUNT.size + _LENGTH.size, _COUNT.size + _LENGTH.size + UUID_SIZE)

_POSTGRES_EPOCH = 946_684_800_000
"""2000-01-01 in milliseconds since 1970."""


def rows(connection: Connection, query: sql.Composed) -> Iterator[bytes]:
    """Yields what a query returns, a row at a time, as binary COPY has it."""
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for chunk in copy:
            row = bytes(chunk)
            if row.startswith(_SIGNATURE):
                row = row[_HEADER:]
            if row and row != _TRAILER:
                yield row


def key(row: bytes) -> bytes:
    """Returns the UUID that a row begins with."""
    return row[_KEY]


def ids(connection: Connection, query: sql.Composed) -> bytes:
    """Returns the UUIDs of the column ``id`` of a query, 16 bytes each, one after the other."""
    return packed(connection, query, sql.SQL("uuid_send(id)"))


def packed(
    connection: Connection, query: sql.Composed, expression: sql.SQL | sql.Composed
) -> bytes:
    """Returns what an expression gives for each row of a query, in no order, sent as few values.

    PostgreSQL holds at most 1 GB in one value, so there is one for each million rows.

    Args:
        connection: A connection to the target.
        query: The rows.
        expression: What to send of each, as ``bytea``; NULL is left out.
    """
    statement = sql.SQL(
        "SELECT string_agg(part, ''::bytea) FROM "
        "(SELECT {} AS part, (row_number() OVER () - 1) / {} AS number FROM ({}) q) p GROUP BY number"
    ).format(expression, sql.Literal(ROWS_PER_VALUE), query)
    with connection.cursor() as cursor:
        found = cursor.stream(statement, binary=True)
        return b"".join([part for (part,) in found if part is not None])


def cells(row: bytes) -> Cells:
    """Divides a row into its cells.

    Raises:
        ValueError: The bytes are not one row.
    """
    found: list[bytes | None] = []
    (count,), position = _COUNT.unpack_from(row), _COUNT.size
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(row, position)
        position += _LENGTH.size
        found.append(row[position : position + size] if size >= 0 else None)
        position += max(size, 0)
    if position != len(row):
        raise ValueError("not one row of binary COPY")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Column:
    """The cells of one column of many rows.

    Attributes:
        data: The rows, one after the other, and some bytes more.
        starts: Where each cell begins.
        sizes: How many bytes it has, -1 for NULL.
    """

    data: bytes
    starts: Numbers
    sizes: Numbers

    def cells(self, rows: Numbers) -> list[bytes | None]:
        """Returns the cells of some rows."""
        each = zip(self.starts[rows].tolist(), self.sizes[rows].tolist(), strict=True)
        return [self.data[at : at + size] if size >= 0 else None for at, size in each]


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows divided into columns.

    Attributes:
        are_whole: Which of them consist of so many cells and nothing else; of the others nothing is known.
        columns: The columns.
    """

    are_whole: Mask
    columns: Sequence[Column]


def divided(rows: Sequence[bytes], count: int) -> Columns:
    """Divides rows of so many cells into columns."""
    data = b"".join([*rows, bytes(2 * UUID_SIZE)])
    ends = np.cumsum([len(row) for row in rows], dtype=np.int64)
    firsts = np.append(0, ends)[: len(rows)]
    counts, lengths = (at_each_byte(data, f">i{width}") for width in (_COUNT.size, _LENGTH.size))
    are_whole = counts[firsts] == count
    position = firsts + _COUNT.size
    columns = []
    for _ in range(count):
        are_whole &= position + _LENGTH.size <= ends
        position[~are_whole] = 0
        sizes = lengths[position].astype(np.int64)
        are_whole &= sizes >= -1
        starts = position + _LENGTH.size
        columns.append(Column(data, starts, sizes))
        position = starts + np.maximum(sizes, 0)
    return Columns(are_whole & (position == ends), columns)


def with_length(cell: bytes | None) -> bytes:
    """Returns a cell as it stands in a row."""
    return NULL if cell is None else _LENGTH.pack(len(cell)) + cell


def timestamp(milliseconds: int) -> bytes:
    """Returns the cell of a time in milliseconds since 1970: microseconds since 2000."""
    return _BIGINT.pack((milliseconds - _POSTGRES_EPOCH) * 1000)


def array(oid: int, elements: list[bytes]) -> bytes:
    """Returns the cell of an array with one dimension, counted from 1, without NULLs."""
    return array_of(oid, list(map(with_length, elements)))


def array_of(oid: int, elements: list[bytes]) -> bytes:
    """Returns the cell of an array of cells that have their length."""
    if not elements:
        return _EMPTY_ARRAY.pack(0, 0, oid)
    return _ARRAY.pack(1, 0, oid, len(elements), 1) + b"".join(elements)


def cell(rule: Rule, value: Any) -> bytes | None:
    """Returns the cell of a value as ``reference.Judgement.row`` has it; JSON is not compared so."""
    return None if value is None else _CELLS[rule](value)


def _texts(value: list[str]) -> bytes:
    return array(TEXT_OID, [each.encode() for each in value])


_CELLS: Mapping[Rule, Callable[[Any], bytes]] = {
    Rule.KEY: bytes,
    Rule.TEXT: str.encode,
    Rule.INTEGER: _LENGTH.pack,
    Rule.BIGINT: _BIGINT.pack,
    Rule.BOOLEAN: lambda value: b"\x01" if value else b"\x00",
    Rule.TIMESTAMP: timestamp,
    Rule.ENUM: str.encode,
    Rule.TEXT_ARRAY: _texts,
    Rule.REFERENCE: bytes,
    Rule.REFERENCE_ARRAY: lambda value: array(UUID_OID, value),
    Rule.REFERENCE_TEXT: str.encode,
    Rule.REFERENCE_TEXT_ARRAY: _texts,
}


def elements(cell: bytes) -> list[bytes | None]:
    """Returns the elements of an array's cell, whatever its dimensions."""
    dimensions = _LENGTH.unpack_from(cell)[0]
    position, found = _EMPTY_ARRAY.size + dimensions * 2 * _LENGTH.size, list[bytes | None]()
    while position < len(cell):
        (size,) = _LENGTH.unpack_from(cell, position)
        position += _LENGTH.size
        found.append(cell[position : position + size] if size >= 0 else None)
        position += max(size, 0)
    return found


def counts_of_elements(column: Column, rows: Numbers) -> Numbers:
    """Returns how many elements the arrays of some rows have that have one dimension or none."""
    numbers = at_each_byte(column.data, ">i4")
    starts = column.starts[rows]
    are_empty = (column.sizes[rows] < _ARRAY.size) | (numbers[starts] == 0)
    # A NULL has no bytes of its own; what stands after it is not looked at.
    found: Numbers = np.where(are_empty, 0, numbers[starts + _EMPTY_ARRAY.size]).astype(np.int64)
    return found
