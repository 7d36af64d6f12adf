"""Pairs of a junction table, as elements of the arrays of documents."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from migration_assets.identity import canonical, from_canonical
from migration_assets.known_ids import uuid_of
from migration_assets.model import Side, model_of
from migration_assets.remediation.applying import Remedied
from migration_assets.rollback.baseline import current_rows
from migration_assets.rollback.gains import deleted_rows, inserted_rows
from migration_assets.rollback.identifiers import new_ids
from migration_assets.rollback.operations import Operation, PairChange, Update

ABSENT = object()


def pairs_query(table: sa.Table, holder: Side, other: Side) -> sql.Composed:
    """Returns the query of (holder, added ids, removed ids) for documents that stay."""
    return sql.SQL(
        "SELECT d.holder, array_agg(d.other ORDER BY d.other) FILTER (WHERE d.came), "
        "array_agg(d.other ORDER BY d.other) FILTER (WHERE NOT d.came) FROM ("
        "SELECT t.{holder} AS holder, t.{other} AS other, true AS came {inserted} UNION ALL "
        "SELECT b.{holder}, b.{other}, false {deleted}) d "
        "WHERE EXISTS (SELECT FROM {holders} h WHERE h.id = d.holder) "
        "AND NOT EXISTS (SELECT FROM {new} n WHERE n.collection = {collection} "
        "AND n.id = d.holder) GROUP BY 1 ORDER BY 1"
    ).format(
        holder=sql.Identifier(holder.column),
        other=sql.Identifier(other.column),
        inserted=inserted_rows(table),
        deleted=deleted_rows(table),
        holders=current_rows(model_of(table).tables[holder.collection]),
        new=new_ids(),
        collection=sql.Literal(holder.collection),
    )


def forms(
    value: Any,
    collection: str,
    removed: Sequence[uuid.UUID],
    read_as: Mapping[str | None, Remedied],
) -> tuple[Any, ...]:
    """Returns the elements of an array that stand for removed ids, as the array holds them.

    Args:
        value: The array, as the source has it.
        collection: The collection that its elements point to.
        removed: The ids.
        read_as: What remediations made of elements, by the original.
    """
    ids = frozenset(row_id.bytes for row_id in removed)
    if not ids or value is ABSENT or value is None:
        return ()
    elements = value if isinstance(value, list) else [value]
    forms = {
        canonical(element): element
        for element in elements
        if _resolves(element, collection, ids, read_as)
    }
    return tuple(forms.values())


def _resolves(
    element: Any, collection: str, ids: frozenset[bytes], read_as: Mapping[str | None, Remedied]
) -> bool:
    remedied = read_as.get(canonical(element))
    if remedied is not None:
        replacement = remedied.replacement
        element = None if replacement is None else from_canonical(replacement)
    return element is not None and uuid_of(element, collection, ids) is not None


def array_operation(
    identifier: Any, array: str, value: Any, added: tuple[Any, ...], pulled: tuple[Any, ...]
) -> Operation | None:
    """Returns what changes an array; a lone value, or null, in its place becomes an array first."""
    if not added and not pulled:
        return None
    if value is ABSENT or isinstance(value, list):
        return PairChange(identifier, array, added, pulled)
    pulled_forms = {canonical(element) for element in pulled}
    remaining = [] if value is None or canonical(value) in pulled_forms else [value]
    return Update(identifier, {array: value}, {array: [*remaining, *added]})
