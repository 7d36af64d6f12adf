"""References of the target that lead nowhere, found by PostgreSQL itself; and the orphans on record.

One anti-join for each column that holds references, declared as a foreign key or not. References held as
text are not looked at: what is no id is kept there as it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from psycopg import ServerCursor, sql

from migration_assets.model import Rule, Source, junction_of, sources
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection
from migration_assets.validation.evidence import SAMPLE_SIZE
from migration_assets.validation.findings import Comparison, Fault, What
from migration_assets.validation.identities import object_id_text, uuid_of_source_id
from migration_assets.validation.rows import table_name

_FETCHED = 10_000

_POINTING: Final = (
    "SELECT {keys} FROM {table} t{unnested} WHERE {value} IS NOT NULL AND {of_rows} AND {condition} "
    "AND NOT EXISTS (SELECT FROM {pending} p WHERE p.target_table = {name} AND p.id = {row})"
)
_TO_NO_ROW: Final = "NOT EXISTS (SELECT FROM {referenced} r WHERE r.id = {value})"
_TO_GONE_ROW: Final = (
    "EXISTS (SELECT FROM {pending} p WHERE p.target_table = {references} AND p.id = {value})"
)
_PENDING = sql.Identifier(SCHEMA, bookkeeping.pending_deletes.name)
_ISSUES = sql.Identifier(SCHEMA, bookkeeping.issues.name)


def reference_columns(table: sa.Table) -> Mapping[str, Source]:
    """Returns the columns that hold references, foreign keys or not; a side of a pair is its own field."""
    relation = junction_of(table)
    if relation is None:
        return {name: of for name, of in sources(table).items() if of.rule.is_reference}
    return {
        side.column: Source(side.column, Rule.REFERENCE, side.collection)
        for side in (relation.left, relation.right)
    }


def find_targets(
    connection: Connection,
    table: sa.Table,
    result: Comparison,
    *,
    rows: Sequence[uuid.UUID] | None = None,
) -> None:
    """Finds the ids in a table, or in some rows, that lead nowhere or to a row whose document is gone."""
    of_rows = (
        sql.SQL("TRUE") if rows is None else sql.SQL("t.id = ANY({})").format(sql.Literal([*rows]))
    )
    gone = sql.SQL("SELECT DISTINCT target_table FROM {}").format(_PENDING)
    have_gone = {name for (name,) in connection.execute(gone)}
    for column, column_source in reference_columns(table).items():
        if not column_source.rule.refers_to_rows:
            continue
        faults = [(Fault.DANGLING, sql.SQL(_TO_NO_ROW))]
        if column_source.references in have_gone:
            faults.append((Fault.GONE, sql.SQL(_TO_GONE_ROW)))
        for fault, condition in faults:
            for keys in _pointing(connection, table, column, column_source, condition, of_rows):
                source_id = object_id_text(keys[0].bytes)
                for findings, what, between in (
                    (result.faults, fault, " "),
                    (result.values, What.LEADS_NOWHERE, "/"),
                ):
                    findings.add(
                        what,
                        source_id=source_id,
                        identifier=between.join(map(str, keys)),
                        name=column_source.field,
                    )


def _pointing(
    connection: Connection,
    table: sa.Table,
    column: str,
    column_source: Source,
    condition: sql.SQL,
    of_rows: sql.Composable,
) -> Iterator[tuple[uuid.UUID, ...]]:
    """Yields the keys of the rows, as often as they point where a condition says."""
    value: sql.Composable = sql.Identifier("t", column)
    unnested: sql.Composable = sql.SQL("")
    if column_source.rule.is_array:
        unnested = sql.SQL(", unnest({}) e(element)").format(value)
        value = sql.Identifier("e", "element")
    keys = [sql.SQL("{}::uuid").format(sql.Identifier("t", key.name)) for key in table.primary_key]
    names: dict[str, Any] = {
        "keys": sql.SQL(", ").join(keys),
        "row": keys[0],
        "value": sql.SQL("{}::uuid").format(value),
        "table": table_name(table),
        "unnested": unnested,
        "name": sql.Literal(table.name),
        "references": sql.Literal(column_source.references),
        "referenced": sql.Identifier("public", str(column_source.references)),
        "pending": _PENDING,
        "of_rows": of_rows,
    }
    query = sql.SQL(_POINTING).format(condition=condition.format(**names), **names)
    with ServerCursor(connection, "pointing") as cursor:
        cursor.itersize = _FETCHED
        yield from cursor.execute(query)


def name_documents(connection: Connection, table: sa.Table, result: Comparison) -> None:
    """Names some orphans on record that nobody accepts, and the documents of the references found."""
    query = sql.SQL(
        "SELECT collection, source_id, field FROM {} WHERE target_table = {} "
        "AND kind = 'orphaned' AND accepted_by IS NULL "
        "ORDER BY collection, source_id, field, element LIMIT {}"
    ).format(_ISSUES, sql.Literal(table.name), sql.Literal(SAMPLE_SIZE))
    result.orphaned = [
        {
            "source_id": name,
            "id": str(uuid_of_source_id(collection, name)),
            "field": field,
            "what": "orphaned",
        }
        for collection, name, field in connection.execute(query).fetchall()
    ]
    relation = junction_of(table)
    collections = [table.name]
    if relation is not None:
        collections = [relation.left.collection, relation.right.collection]
    for line in result.faults.sample:
        if line["source_id"] is None and line["id"] is not None:
            key = uuid.UUID(line["id"].split()[0]).bytes
            line["source_id"] = source_id_of(connection, collections, key)


def source_id_of(connection: Connection, collections: Sequence[str], key: bytes) -> str | None:
    """Returns the source id of a row: from its UUID where that can be undone, else from the map."""
    name = object_id_text(key)
    if name is not None:
        return name
    query = sql.SQL("SELECT source_id FROM {} WHERE collection = ANY(%s) AND id = %s").format(
        sql.Identifier(SCHEMA, bookkeeping.uuid_map.name)
    )
    line = connection.execute(query, [[*collections], uuid.UUID(bytes=key)]).fetchone()
    return line[0] if line is not None else None
