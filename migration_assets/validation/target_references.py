"""The references that stand in the target, read as UUIDs, many rows at once; and what the books say.

A row comes as binary COPY in fields of fixed width (whether there is a value, and the value), so that a
block of rows is an array of numbers and no value becomes a Python object. Here belongs the SQL of
``references``, and nothing that judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from psycopg import sql

from migration_assets.identity import UUID_BYTES, hex_uuids
from migration_assets.model import Rule, junction_of, sources
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection
from migration_assets.validation.source_references import Mask, Positions, Uuids, uuids_of

ROWS_PER_BLOCK = 50_000

_HEADER = 19
"""Bytes before the first row of a binary COPY: signature, flags, length of the extension."""
_TRAILER = 2
_WORK_MEMORY = "64MB"
_UUID = "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'"
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
        present: Whether the element is NOT NULL.
        uuids: The element; zeros where it is NULL or no UUID.
    """

    ids: Uuids
    positions: Positions
    present: Mask
    uuids: Uuids


@dataclass(frozen=True, slots=True)
class Records:
    """What the books say of some documents.

    Attributes:
        issues: (collection, source id, field, element) of lossy conversions.
        rejected: Source ids of rejected documents.
    """

    issues: frozenset[tuple[str, str, str, int | None]]
    rejected: frozenset[str]


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Reads within it see the target as it is now, and cannot change it.

    Args:
        connection: A connection in autocommit mode.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(sql.SQL("SET LOCAL work_mem = {}").format(sql.Literal(_WORK_MEMORY)))
        connection.execute("SET LOCAL jit = off")
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
    return _number(connection, query)


def count_orphaned(connection: Connection, table: sa.Table) -> int:
    """Returns how many references of a table are recorded as orphaned."""
    query = sql.SQL("SELECT count(*) FROM {} WHERE target_table = {} AND kind = 'orphaned'")
    return _number(
        connection, query.format(identifier(bookkeeping.issues), sql.Literal(table.name))
    )


def orphaned(connection: Connection, table: sa.Table, limit: int) -> list[tuple[str, str, str]]:
    """Returns (collection, source id, field) of some references that are recorded as orphaned."""
    query = sql.SQL(
        "SELECT collection, source_id, field FROM {} WHERE target_table = {} "
        "AND kind = 'orphaned' ORDER BY collection, source_id, field, element LIMIT {}"
    ).format(identifier(bookkeeping.issues), sql.Literal(table.name), sql.Literal(limit))
    return connection.execute(query).fetchall()


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
        sql.SQL(", ").join(chosen), identifier(table), _array(ids)
    )
    found = _block(connection, query, layout)
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
        "SELECT t.id, e.position - 1, {element} IS NOT NULL, coalesce({uuid}, {none}) "
        "FROM {table} t, unnest(t.{column}) WITH ORDINALITY e(element, position) "
        "WHERE t.id = ANY({ids})"
    ).format(
        element=element,
        uuid=_as_uuid(column, element),
        none=sql.SQL(_NO_UUID),
        table=identifier(table),
        column=sql.Identifier(column.name),
        ids=_array(ids),
    )
    layout = [("id", "uuid"), ("position", "bigint"), ("present", "bool"), ("uuid", "uuid")]
    found = _block(connection, query, layout)
    return RowElements(
        _uuids(found["id"]),
        found["position"].astype(np.int64),
        found["present"] == 1,
        _uuids(found["uuid"]),
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
        sql.SQL(", ").join([sql.SQL("uuid_send(id)"), *chosen]), identifier(table), _array(ids)
    )
    found = {}
    for key, *values in connection.execute(query):
        found[bytes(key)] = {
            column.name: value or [] if column.is_array else [] if value is None else [value]
            for column, value in zip(columns, values, strict=True)
        }
    return found


def ids_in_pages(connection: Connection, table: sa.Table) -> Iterator[Uuids]:
    """Yields the ids of the rows that stand for a document, page by page."""
    last = sql.SQL(_NO_UUID)
    query = sql.SQL(
        "SELECT t.id FROM {} t WHERE t.id > {} AND NOT EXISTS (SELECT FROM {} p "
        "WHERE p.target_table = {} AND p.id = t.id) ORDER BY t.id LIMIT {}"
    )
    pending = identifier(bookkeeping.pending_deletes)
    while True:
        page = query.format(
            identifier(table), last, pending, sql.Literal(table.name), sql.Literal(ROWS_PER_BLOCK)
        )
        ids = _uuids(_block(connection, page, [("id", "uuid")])["id"])
        if not len(ids):
            return
        yield ids
        last = sql.SQL("{}::uuid").format(sql.Literal(ids[-1].tobytes().hex()))


def pairs(connection: Connection, table: sa.Table) -> Iterator[tuple[Uuids, Uuids]]:
    """Yields the pairs of a junction table, block by block, as left and right ids."""
    query = sql.SQL("SELECT {} FROM {} t").format(
        sql.SQL(", ").join(
            sql.SQL("coalesce({}, {})").format(
                _as_uuid(column, sql.Identifier("t", column.name)), sql.SQL(_NO_UUID)
            )
            for column in _pair_columns(connection, table)
        ),
        identifier(table),
    )
    for block in _blocks(connection, query, [("left", "uuid"), ("right", "uuid")]):
        yield _uuids(block["left"]), _uuids(block["right"])


def pointing_nowhere(
    connection: Connection, table: sa.Table, column: ReferenceColumn
) -> Iterator[tuple[list[str], list[str]]]:
    """Yields, block by block, rows that refer to no row, and what they refer to, as hex digits.

    References as text are left out: what is no id is kept there as it is. For a pair, the row is the
    id of both its sides.
    """
    if column.is_text:
        return
    condition = (
        "NOT EXISTS (SELECT FROM {referenced} r WHERE r.id = {value}) "
        "AND NOT EXISTS (SELECT FROM {pending} p WHERE p.target_table = {name} AND p.id = {row})"
    )
    yield from _pointing(connection, table, column, condition)


def pointing_to_gone(
    connection: Connection, table: sa.Table, column: ReferenceColumn
) -> Iterator[tuple[list[str], list[str]]]:
    """Yields rows that refer to a row whose document is gone, in the same way."""
    if column.is_text:
        return
    condition = (
        "EXISTS (SELECT FROM {pending} p WHERE p.target_table = {references} AND p.id = {value}) "
        "AND NOT EXISTS (SELECT FROM {pending} p WHERE p.target_table = {name} AND p.id = {row})"
    )
    yield from _pointing(connection, table, column, condition)


def _pointing(
    connection: Connection, table: sa.Table, column: ReferenceColumn, condition: str
) -> Iterator[tuple[list[str], list[str]]]:
    held = sql.Identifier("t", column.name)
    unnested = sql.SQL("")
    if column.is_array:
        unnested = sql.SQL(", unnest({}) e(element)").format(held)
        held = sql.Identifier("e", "element")
    keys = [sql.Identifier("t", key.name) for key in table.primary_key]
    value = _as_uuid(column, held)
    query = sql.SQL(
        "SELECT {row}, {last}, {value} FROM {table} t{unnested} "
        "WHERE {value} IS NOT NULL AND " + condition
    ).format(
        row=keys[0],
        last=keys[-1],
        value=value,
        table=identifier(table),
        unnested=unnested,
        name=sql.Literal(table.name),
        references=sql.Literal(column.references),
        referenced=sql.Identifier("public", column.references),
        pending=identifier(bookkeeping.pending_deletes),
    )
    layout = [("row", "uuid"), ("last", "uuid"), ("uuid", "uuid")]
    for block in _blocks(connection, query, layout):
        first, last = (_hexes(_uuids(block[name])) for name in ("row", "last"))
        keyed = first
        if len(keys) > 1:
            keyed = [f"{left} {right}" for left, right in zip(first, last, strict=True)]
        yield keyed, _hexes(_uuids(block["uuid"]))


def has_pending(connection: Connection) -> frozenset[str]:
    """Returns the tables that hold rows whose document is gone."""
    query = sql.SQL("SELECT DISTINCT target_table FROM {}").format(
        identifier(bookkeeping.pending_deletes)
    )
    return frozenset(name for (name,) in connection.execute(query))


def existing_rows(connection: Connection, table: str, ids: Iterable[bytes]) -> frozenset[bytes]:
    """Returns those of some ids that rows of a table have; pending ones do not count."""
    query = sql.SQL(
        "SELECT uuid_send(t.id) FROM {} t WHERE t.id = ANY({}) AND NOT EXISTS "
        "(SELECT FROM {} p WHERE p.target_table = {} AND p.id = t.id)"
    ).format(
        sql.Identifier("public", table),
        _array(uuids_of(b"".join(ids))),
        identifier(bookkeeping.pending_deletes),
        sql.Literal(table),
    )
    return frozenset(bytes(found) for (found,) in connection.execute(query))


def existing_documents(
    connection: Connection, collection: str, ids: Iterable[bytes]
) -> frozenset[bytes]:
    """Returns those of some ids that documents of a collection have, loaded or not."""
    query = sql.SQL("SELECT uuid_send(id) FROM {} WHERE collection = {} AND id = ANY({})").format(
        identifier(bookkeeping.uuid_map), sql.Literal(collection), _array(uuids_of(b"".join(ids)))
    )
    return frozenset(bytes(found) for (found,) in connection.execute(query))


def source_ids(
    connection: Connection, collection: str, ids: Iterable[bytes]
) -> Mapping[bytes, str]:
    """Returns the source ids of documents, by UUID, as far as the map knows them."""
    query = sql.SQL(
        "SELECT uuid_send(id), source_id FROM {} WHERE collection = {} AND id = ANY({})"
    ).format(
        identifier(bookkeeping.uuid_map), sql.Literal(collection), _array(uuids_of(b"".join(ids)))
    )
    return {bytes(key): source_id for key, source_id in connection.execute(query)}


def records(
    connection: Connection, table: sa.Table, collection: str, among: Iterable[str]
) -> Records:
    """Returns what the books of a table say of some documents.

    Args:
        connection: A connection to the target.
        table: The table whose books they are.
        collection: The collection of the documents.
        among: Their source ids.
    """
    names = {
        "issues": identifier(bookkeeping.issues),
        "rejected": identifier(bookkeeping.rejected_documents),
    }
    wanted = {"table": table.name, "collection": collection, "among": list(among)}
    condition = (
        "WHERE target_table = %(table)s AND collection = %(collection)s "
        "AND source_id = ANY(%(among)s)"
    )
    issues = connection.execute(
        sql.SQL("SELECT collection, source_id, field, element FROM {issues} " + condition).format(
            **names
        ),
        wanted,
    ).fetchall()
    rejected = connection.execute(
        sql.SQL("SELECT source_id FROM {rejected} " + condition).format(**names), wanted
    ).fetchall()
    return Records(
        frozenset(tuple(each) for each in issues), frozenset(each for (each,) in rejected)
    )


def _as_uuid(column: ReferenceColumn, value: sql.Composable) -> sql.Composed:
    """Returns a value as uuid, NULL where it is none; a reference as text only if it is in the map."""
    if column.is_text:
        return sql.SQL(
            "CASE WHEN {0} ~ {1} THEN (SELECT m.id FROM {2} m "
            "WHERE m.collection = {3} AND m.id = {0}::uuid) END"
        ).format(
            value,
            sql.SQL(_UUID),
            identifier(bookkeeping.uuid_map),
            sql.Literal(column.references),
        )
    if column.is_uuid:
        return sql.Composed([value])
    return sql.SQL("CASE WHEN {0}::text ~ {1} THEN {0}::text::uuid END").format(
        value, sql.SQL(_UUID)
    )


def _array(ids: Uuids) -> sql.Composed:
    literal = "{" + ",".join(hex_uuids(ids.tobytes())) + "}"
    return sql.SQL("{}::uuid[]").format(sql.Literal(literal))


def _number(connection: Connection, query: sql.Composed) -> int:
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


def _block(
    connection: Connection, query: sql.Composed, columns: Sequence[tuple[str, str]]
) -> npt.NDArray[Any]:
    """Returns all rows of a query as one array."""
    blocks = list(_blocks(connection, query, columns))
    return np.concatenate(blocks) if blocks else np.empty(0, dtype=_layout(columns))


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
