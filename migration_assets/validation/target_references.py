"""The references that stand in the target, read as UUIDs, many rows at once; and what the books say.

Columns come as arrays in binary COPY, with elements of fixed width (whether there is a value, and the
value), so that a column is an array of numbers and no value becomes a Python object. Here belongs the SQL of
``references``, and nothing that judges.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql

from migration_assets.identity import UUID_BYTES, hex_uuids
from migration_assets.model import Rule, junction_of, sources
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection, at_one_moment
from migration_assets.validation.pair_parts import Part
from migration_assets.validation.source_references import Mask, Positions, Uuids, uuids_of

ROWS_PER_BLOCK = 50_000

_HEADER = 19
"""Bytes before the first row of a binary COPY: signature, flags, length of the extension."""
_TRAILER = 2
_COUNT = struct.Struct(">h")
_LENGTH = struct.Struct(">i")
_ARRAY_HEADER = 20
"""Bytes before the first element of an array: dimensions, has NULL, type, size, first index."""
_WORK_MEMORY = "64MB"
_NO_UUID = "'00000000-0000-0000-0000-000000000000'::uuid"
_TEXT_RULES = (Rule.REFERENCE_TEXT, Rule.REFERENCE_TEXT_ARRAY)
_ARRAY_RULES = (Rule.REFERENCE_ARRAY, Rule.REFERENCE_TEXT_ARRAY)


@dataclass(frozen=True, slots=True)
class ReferenceColumn:
    """A column that holds references.

    Attributes:
        name: Its name.
        field: The field that they come from.
        rule: The rule of the field.
        references: The table that they point to.
        is_uuid: It is of type uuid or uuid[] in the target as it is now.
    """

    name: str
    field: str
    rule: Rule
    references: str
    is_uuid: bool

    @property
    def is_array(self) -> bool:
        """Whether it holds any number of references."""
        return self.rule in _ARRAY_RULES

    @property
    def is_text(self) -> bool:
        """Whether it holds references as text, and text that is no reference."""
        return self.rule in _TEXT_RULES


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of an entity table.

    Attributes:
        ids: Their ids.
        present: By column that holds one reference, whether it is NOT NULL.
        uuids: By column that holds one reference, the UUID; zeros where it is NULL or none.
    """

    ids: Uuids
    present: Mapping[str, Mask]
    uuids: Mapping[str, Uuids]


@dataclass(frozen=True, slots=True)
class RowElements:
    """Elements of an array column, one line each.

    Attributes:
        ids: The id of the row.
        positions: Position in the array, from 0.
        uuids: The element; zeros, which no document has, where it is NULL or no UUID.
    """

    ids: Uuids
    positions: Positions
    uuids: Uuids


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Reads within it see the target as it is now, and cannot change it.

    Args:
        connection: A connection in autocommit mode. In a transaction of its own already, that decides.
    """
    with at_one_moment(connection, read_only=True):
        connection.execute(
            sql.SQL("SET LOCAL work_mem = {}; SET LOCAL jit = off").format(
                sql.Literal(_WORK_MEMORY)
            )
        )
        yield


def reference_columns(connection: Connection, table: sa.Table) -> Sequence[ReferenceColumn]:
    """Returns the columns of a table that hold references, foreign keys or not."""
    if junction_of(table) is not None:
        return _pair_columns(connection, table)
    types = _types(connection, table)
    return [
        ReferenceColumn(
            column, source.field, source.rule, source.references, types.get(column) in _UUIDS
        )
        for column, source in sources(table).items()
        if source.references is not None
    ]


def _pair_columns(connection: Connection, table: sa.Table) -> Sequence[ReferenceColumn]:
    relation = junction_of(table)
    assert relation is not None
    types = _types(connection, table)
    return [
        ReferenceColumn(
            side.column,
            side.column,
            Rule.REFERENCE,
            side.collection,
            types.get(side.column) in _UUIDS,
        )
        for side in (relation.left, relation.right)
    ]


_UUIDS = ("uuid", "uuid[]")


def _types(connection: Connection, table: sa.Table) -> Mapping[str, str]:
    query = sql.SQL(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute "
        "WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped"
    ).format(sql.Literal(identifier(table).as_string(connection)))
    return dict(connection.execute(query).fetchall())


def identifier(table: sa.Table) -> sql.Identifier:
    """Returns a table's name for SQL, with its schema."""
    return sql.Identifier(table.schema or "public", table.name)


def count_rows(connection: Connection, table: sa.Table) -> int:
    """Returns how many rows of a table stand for a document; pending ones do not."""
    query = sql.SQL(
        "SELECT (SELECT count(*) FROM {}) - (SELECT count(*) FROM {} WHERE target_table = {})"
    ).format(identifier(table), identifier(bookkeeping.pending_deletes), sql.Literal(table.name))
    return number(connection, query)


def rows(
    connection: Connection, table: sa.Table, columns: Sequence[ReferenceColumn], ids: Uuids
) -> Rows:
    """Returns those rows of an entity table whose ids are given, with the references they hold."""
    scalars = [column for column in columns if not column.is_array]
    chosen: list[sql.Composable] = [sql.SQL("t.id")]
    layout: list[tuple[str, str]] = [("id", "uuid")]
    for number, column in enumerate(scalars):
        value = sql.Identifier("t", column.name)
        chosen.append(
            sql.SQL("{0} IS NOT NULL, coalesce({1}, {2})").format(
                value, _as_uuid(column, value), sql.SQL(_NO_UUID)
            )
        )
        layout += [(f"present{number}", "bool"), (f"uuid{number}", "uuid")]
    query = sql.SQL("SELECT {} FROM {} t WHERE t.id = ANY({})").format(
        sql.SQL(", ").join(chosen), identifier(table), id_array(ids)
    )
    found = _columns(connection, query, layout)
    return Rows(
        ids=_uuids(found["id"]),
        present={each.name: found[f"present{n}"] == 1 for n, each in enumerate(scalars)},
        uuids={each.name: _uuids(found[f"uuid{n}"]) for n, each in enumerate(scalars)},
    )


def row_elements(
    connection: Connection, table: sa.Table, column: ReferenceColumn, ids: Uuids
) -> RowElements:
    """Returns the elements of an array column in those rows whose ids are given."""
    element = sql.Identifier("e", "element")
    query = sql.SQL(
        "SELECT t.id, e.position - 1, coalesce({uuid}, {none}) "
        "FROM {table} t, unnest(t.{column}) WITH ORDINALITY e(element, position) "
        "WHERE t.id = ANY({ids})"
    ).format(
        uuid=_as_uuid(column, element),
        none=sql.SQL(_NO_UUID),
        table=identifier(table),
        column=sql.Identifier(column.name),
        ids=id_array(ids),
    )
    layout = [("id", "uuid"), ("position", "bigint"), ("uuid", "uuid")]
    found = _columns(connection, query, layout)
    return RowElements(
        _uuids(found["id"]), found["position"].astype(np.int64), _uuids(found["uuid"])
    )


def texts(
    connection: Connection, table: sa.Table, columns: Sequence[ReferenceColumn], ids: Uuids
) -> dict[bytes, dict[str, list[str | None]]]:
    """Returns what the columns of some rows hold as text, by id and column; a lone value as one."""
    chosen = [
        sql.SQL("{}::text[]" if each.is_array else "{}::text").format(sql.Identifier(each.name))
        for each in columns
    ]
    query = sql.SQL("SELECT {} FROM {} WHERE id = ANY({})").format(
        sql.SQL(", ").join([sql.SQL("uuid_send(id)"), *chosen]), identifier(table), id_array(ids)
    )
    found = {}
    for key, *values in connection.execute(query):
        found[bytes(key)] = {
            column.name: (value or []) if column.is_array else [value]
            for column, value in zip(columns, values, strict=True)
        }
    return found


def ids_in_pages(connection: Connection, table: sa.Table) -> Iterator[Uuids]:
    """Yields the ids of the rows that stand for a document, page by page."""
    last: sql.Composable = sql.SQL(_NO_UUID)
    query = sql.SQL(
        "SELECT t.id FROM {} t WHERE t.id > {} AND NOT EXISTS (SELECT FROM {} p "
        "WHERE p.target_table = {} AND p.id = t.id) ORDER BY t.id LIMIT {}"
    )
    pending = identifier(bookkeeping.pending_deletes)
    while True:
        page = query.format(
            identifier(table), last, pending, sql.Literal(table.name), sql.Literal(ROWS_PER_BLOCK)
        )
        ids = _uuids(_columns(connection, page, [("id", "uuid")])["id"])
        if not len(ids):
            return
        yield ids
        last = sql.SQL("{}::uuid").format(sql.Literal(ids[-1].tobytes().hex()))


def pairs(connection: Connection, table: sa.Table, part: Part) -> tuple[Uuids, Uuids]:
    """Returns the pairs of a part of a junction table as left and right ids."""
    left, right = (
        sql.SQL("coalesce({}, {})").format(
            _as_uuid(column, sql.Identifier("t", column.name)), sql.SQL(_NO_UUID)
        )
        for column in _pair_columns(connection, table)
    )
    query = sql.SQL("SELECT {left}, {right} FROM {table} t WHERE {part}").format(
        left=left, right=right, table=identifier(table), part=part.condition(left)
    )
    found = _columns(connection, query, [("left", "uuid"), ("right", "uuid")])
    return _uuids(found["left"]), _uuids(found["right"])


def pointing_nowhere(
    connection: Connection, table: sa.Table, column: ReferenceColumn
) -> Iterator[tuple[list[str], list[str]]]:
    """Yields, block by block, rows that refer to no row, and what they refer to, as hex digits.

    It is not for references held as text: what is no id is kept there as it is. For a pair, the row is
    the ids of both its sides.
    """
    yield from _pointing(connection, table, column, _TO_NO_ROW)


def pointing_to_gone(
    connection: Connection, table: sa.Table, column: ReferenceColumn
) -> Iterator[tuple[list[str], list[str]]]:
    """Yields rows that refer to a row whose document is gone, in the same way."""
    yield from _pointing(connection, table, column, _TO_GONE_ROW)


_POINTING = """
    SELECT {row}, {last}, {value} FROM {table} t{unnested}
    WHERE {value} IS NOT NULL AND {condition}
      AND NOT EXISTS (SELECT FROM {pending} p WHERE p.target_table = {name} AND p.id = {row})
"""
_TO_NO_ROW = "NOT EXISTS (SELECT FROM {referenced} r WHERE r.id = {value})"
_TO_GONE_ROW = (
    "EXISTS (SELECT FROM {pending} p WHERE p.target_table = {references} AND p.id = {value})"
)


def _pointing(
    connection: Connection, table: sa.Table, column: ReferenceColumn, condition: LiteralString
) -> Iterator[tuple[list[str], list[str]]]:
    held = sql.Identifier("t", column.name)
    unnested: sql.Composable = sql.SQL("")
    if column.is_array:
        unnested = sql.SQL(", unnest({}) e(element)").format(held)
        held = sql.Identifier("e", "element")
    keys = [sql.Identifier("t", key.name) for key in table.primary_key]
    names = {
        "row": keys[0],
        "last": keys[-1],
        "value": _as_uuid(column, held),
        "table": identifier(table),
        "unnested": unnested,
        "name": sql.Literal(table.name),
        "references": sql.Literal(column.references),
        "referenced": sql.Identifier("public", column.references),
        "pending": identifier(bookkeeping.pending_deletes),
    }
    query = sql.SQL(_POINTING).format(condition=sql.SQL(condition).format(**names), **names)
    layout = [("row", "uuid"), ("last", "uuid"), ("uuid", "uuid")]
    for block in _blocks(connection, query, layout):
        first, last = (_hexes(_uuids(block[name])) for name in ("row", "last"))
        keyed = first
        if len(keys) > 1:
            keyed = [f"{left} {right}" for left, right in zip(first, last, strict=True)]
        yield keyed, _hexes(_uuids(block["uuid"]))


def _as_uuid(column: ReferenceColumn, value: sql.Composable) -> sql.Composed:
    """Returns a value as uuid, NULL where it is none; a reference as text only if it is in the map."""
    if column.is_text:
        return sql.SQL(
            "CASE WHEN {is_uuid} THEN (SELECT m.id FROM {map} m "
            "WHERE m.collection = {collection} AND m.id = {value}::uuid) END"
        ).format(
            is_uuid=is_uuid_text(value),
            map=identifier(bookkeeping.uuid_map),
            collection=sql.Literal(column.references),
            value=value,
        )
    if column.is_uuid:
        return sql.Composed([value])
    text = sql.SQL("{}::text").format(value)
    return sql.SQL("CASE WHEN {} THEN {}::uuid END").format(is_uuid_text(text), text)


def is_uuid_text(text: sql.Composable) -> sql.Composed:
    """Returns whether a text is a UUID as PostgreSQL writes it, as a condition in SQL.

    LIKE says how long it is and where four hyphens are, and the pattern that there are no others. A pattern
    that counts digits says both, and takes three times as long.
    """
    return sql.SQL(
        "({0} LIKE '________-____-____-____-____________' AND {0} ~ '^[0-9a-f]+(-[0-9a-f]+){{4}}$')"
    ).format(text)


def id_array(ids: Uuids) -> sql.Composed:
    """Returns ids as an array for SQL."""
    literal = "{" + ",".join(hex_uuids(ids.tobytes())) + "}"
    return sql.SQL("{}::uuid[]").format(sql.Literal(literal))


def number(connection: Connection, query: sql.Composed) -> int:
    """Returns the one number that a query returns."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


_WIDTHS: Mapping[str, tuple[Any, ...]] = {
    "uuid": ("u1", UUID_BYTES),
    "bigint": (">i8",),
    "bool": ("u1",),
}


def _layout(columns: Sequence[tuple[str, str]]) -> np.dtype[Any]:
    """Returns a row of a binary COPY whose columns are NOT NULL and of fixed width."""
    fields: list[Any] = [("columns", ">i2")]
    for name, type_ in columns:
        fields += [(f"size of {name}", ">i4"), (name, *_WIDTHS[type_])]
    return np.dtype(fields)


def _columns(
    connection: Connection, query: sql.Composed, columns: Sequence[tuple[str, str]]
) -> Mapping[str, npt.NDArray[Any]]:
    """Returns what a query returns, by column; one message holds it all, so it has to be bounded.

    Args:
        connection: A connection to the target.
        query: A query whose columns are NOT NULL.
        columns: Name and type (uuid, bigint or bool) of each column.
    """
    names = [sql.Identifier(name) for name, _ in columns]
    statement = sql.SQL("COPY (SELECT {} FROM ({}) q({})) TO STDOUT (FORMAT binary)").format(
        sql.SQL(", ").join(sql.SQL("array_agg({})").format(name) for name in names),
        query,
        sql.SQL(", ").join(names),
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        data = b"".join(copy)
    found, start = {}, _HEADER + _COUNT.size
    for name, type_ in columns:
        (size,) = _LENGTH.unpack_from(data, start)
        start += _LENGTH.size
        dtype = np.dtype([("size", ">i4"), ("value", *_WIDTHS[type_])])
        elements = data[start + _ARRAY_HEADER : start + max(size, 0)]
        found[name] = np.frombuffer(elements, dtype=dtype)["value"]
        start += max(size, 0)
    return found


def _blocks(
    connection: Connection, query: sql.Composed, columns: Sequence[tuple[str, str]]
) -> Iterator[npt.NDArray[Any]]:
    """Yields the rows of a query as arrays of so many rows at most.

    Args:
        connection: A connection to the target.
        query: A query whose columns are NOT NULL.
        columns: Name and type (uuid, bigint or bool) of each column.
    """
    layout = _layout(columns)
    most = ROWS_PER_BLOCK * layout.itemsize
    waiting, start = bytearray(), _HEADER
    statement = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(query)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for message in copy:
            waiting += message
            if len(waiting) - start > most:
                yield np.frombuffer(bytes(waiting[start : start + most]), dtype=layout)
                del waiting[: start + most]
                start = 0
    rest = bytes(waiting[start:-_TRAILER])
    if rest:
        yield np.frombuffer(rest, dtype=layout)


def _uuids(column: npt.NDArray[Any]) -> Uuids:
    return uuids_of(np.ascontiguousarray(column).tobytes())


def _hexes(ids: Uuids) -> list[str]:
    return hex_uuids(ids.tobytes())
