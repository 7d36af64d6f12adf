"""The losses on record in the target."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bson import ObjectId
from psycopg import ServerCursor, sql

from migration_assets.causes.losses import (
    EXAMPLES,
    LONGEST_EXAMPLE,
    ORPHANED,
    REJECTED,
    Loss,
)
from migration_assets.conversion.values import HOLDER_REJECTED
from migration_assets.identity import canonical, from_canonical, source_id
from migration_assets.model import Model, sources
from migration_assets.remediation.rules import references_of
from migration_assets.target.bookkeeping import BOOKKEEPING, SCHEMA
from migration_assets.target.connection import Connection, at_one_moment

_VALUES = """
    SELECT target_table, collection, field, kind, reason, count(*), {keys_of_values}, {originals}
    FROM {issues} WHERE accepted_by IS NULL AND kind <> 'orphaned' GROUP BY 1, 2, 3, 4, 5
"""
_REFERENCES = """
    SELECT target_table, collection, field, reason, original,
           CASE WHEN reason = {holder_rejected} THEN source_id END, count(*),
           {keys_of_values}
    FROM {issues} WHERE accepted_by IS NULL AND kind = 'orphaned' GROUP BY 1, 2, 3, 4, 5, 6
"""
_DOCUMENTS = """
    SELECT target_table, collection, source_id, coalesce(field, ''), reason, document,
           accepted_by IS NOT NULL, {key_of_document}
    FROM {rejected_documents} WHERE target_table = collection
"""
_KEY = "('x' || left(encode(sha256(convert_to({}::text, 'UTF8')), 'hex'), 15))::bit(60)::bigint"
KEYS_MODULUS = 1 << 62
"""What a waiver is bound to: the table and place, the document, within it the element, and the original.

A cause spans tables and fields: of the document alone, the same id lost in another field would be the same.
"""

_BESIDES = re.compile(r" \(besides, .*\)$", re.DOTALL)


def recorded_losses(model: Model, connection: Connection) -> list[Loss]:
    """Returns the losses on record, as of one moment; accepted ones serve as links to a cause only.

    Args:
        model: The application's tables.
        connection: A connection to the target, in autocommit mode; only read.
    """
    with at_one_moment(connection, read_only=True):
        losses = [_value(model, *row) for row in connection.execute(_query(_VALUES))]
        losses += [orphaned(model, *row) for row in connection.execute(_query(_REFERENCES))]
        # A document can have 16 MB: they are fetched a few at a time.
        with ServerCursor(connection, "rejected") as cursor:
            cursor.itersize = 20
            for row in cursor.execute(_query(_DOCUMENTS)):
                losses += rejected_for(model, *row)
    return losses


def pointed_to(value: Any) -> str:
    """Returns the source id that a reference names: 24 hex digits count as an ObjectId (section 5).

    Args:
        value: The reference as pymongo decodes it.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if (
        isinstance(value, str)
        and len(value) == len(ObjectId().binary) * 2
        and ObjectId.is_valid(value)
    ):
        return value.lower()
    return source_id(value)


def _value(
    model: Model,
    table: str,
    collection: str,
    field: str,
    kind: str,
    reason: str,
    count: int,
    keys: int,
    originals: Sequence[str] | None,
) -> Loss:
    return Loss(
        table,
        collection,
        field,
        kind,
        reason,
        count,
        keys=keys,
        originals=() if is_secret(model, collection, field) else tuple(originals or ()),
    )


def is_secret(model: Model, collection: str, field: str) -> bool:
    """Returns whether the values of a field must never be shown outside the bookkeeping."""
    columns = sources(model.entities[collection]).values() if collection in model.entities else ()
    return any(source.secret and source.field == field for source in columns)


def orphaned(
    model: Model,
    table: str,
    collection: str,
    field: str,
    reason: str,
    original: str,
    holder: str | None,
    count: int,
    keys: int = 0,
) -> Loss:
    """Returns references that were lost, as the books have them.

    Args:
        model: The application's tables.
        table: The table that lacks them.
        collection: The collection that holds them.
        field: Their field.
        reason: Why, in words.
        original: The reference, canonical Extended JSON.
        holder: Source id of the document that holds it, where that one was rejected.
        count: How many.
        keys: The sum of hashes of them.
    """
    if holder is not None:
        points_to, missing = collection, holder
    else:
        points_to, missing = (
            references_of(model.entities[collection])[field].collection,
            _named(original),
        )
    return Loss(
        table,
        collection,
        field,
        ORPHANED,
        reason,
        count,
        points_to=points_to,
        missing_id=missing,
        keys=keys,
    )


def rejected_for(
    model: Model,
    table: str,
    collection: str,
    identifier: str,
    fields: str,
    reason: str,
    document: str,
    is_accepted: bool,
    keys: int = 0,
) -> Iterator[Loss]:
    """Yields the rejection of a document once for each field that is wrong."""
    names = fields.split(", ")
    reason = _BESIDES.sub("", reason)
    content: Mapping[str, Any] = from_canonical(document) if fields else {}
    for name, why in _reasons(names, reason):
        points_to, missing = "", ""
        originals: tuple[str, ...] = ()
        refers = references_of(model.entities[collection]).get(name)
        if refers is not None and why.endswith("has this id"):
            points_to, missing = refers.collection, pointed_to(content.get(name))
        elif not is_secret(model, collection, name):
            original = canonical(content.get(name))
            originals = (original,) if len(original) <= LONGEST_EXAMPLE else ()
        yield Loss(
            table,
            collection,
            name,
            REJECTED,
            why,
            source_id=identifier,
            points_to=points_to,
            missing_id=missing,
            keys=keys,
            originals=originals,
            is_accepted=is_accepted,
        )


def _reasons(names: Sequence[str], reason: str) -> Iterator[tuple[str, str]]:
    """Yields each wrong field of a rejected document with its reason, from the one text of the books."""
    if len(names) == 1:
        yield names[0], reason
        return
    rest = reason.removeprefix(f"{names[0]}: ")
    for name, following in zip(names, [*names[1:], None], strict=True):
        if following is None:
            yield name, rest
        else:
            why, _, rest = rest.partition(f"; {following}: ")
            yield name, why


def _named(original: str) -> str:
    return pointed_to(from_canonical(original))


def _query(text: str) -> sql.Composed:
    names = {
        table.name: sql.Identifier(SCHEMA, table.name) for table in BOOKKEEPING.tables.values()
    }
    of_values = sql.SQL(_KEY).format(
        sql.SQL(
            "json_build_array(target_table, collection, field, kind, source_id, element, original)"
        )
    )
    of_document = sql.SQL(_KEY).format(
        sql.SQL("json_build_array(collection, field, source_id, document)")
    )
    return sql.SQL(text).format(
        **names,
        map=sql.Literal("uuid_map"),
        holder_rejected=sql.Literal(HOLDER_REJECTED),
        originals=sql.SQL(
            "(array_agg(DISTINCT original) FILTER (WHERE length(original) <= {}))[:{}]"
        ).format(LONGEST_EXAMPLE, EXAMPLES + 1),
        keys_of_values=sql.SQL("mod(sum({}), {})::bigint").format(of_values, KEYS_MODULUS),
        key_of_document=of_document,
    )
