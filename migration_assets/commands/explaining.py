"""What became of documents, both databases side by side. Secrets are masked; originals stay in the books."""

from __future__ import annotations

import enum
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bson.errors import BSONError
from psycopg import sql
from rich.console import Console

from migration_assets.commands.running import require_schema
from migration_assets.conversion.extended_json import relaxed
from migration_assets.errors import MigrationError
from migration_assets.identity import document_uuid, from_canonical, source_id
from migration_assets.loading.ledger import loaded_with_other
from migration_assets.loading.staging import identifier
from migration_assets.model import ENTITIES, JUNCTIONS, TABLES, junction_of, sources
from migration_assets.remediation.parsing import load_remediations
from migration_assets.source.connection import Document, SourceDatabase
from migration_assets.source.united import open_united
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection, open_target
from migration_assets.text import escape
from migration_assets.urls import source_url, target_url
from migration_assets.validation.entity_pass import drawn_numbers

MASK = "(secret)"
_SHOWN = 60
"""Characters of a value that are shown."""


class Exit(enum.IntEnum):
    """Exit codes; 2 is that there is no such document, or that it could not look."""

    FOUND = 0


def explain(console: Console, collection: str, given: str) -> Exit:
    """Prints what became of a document.

    Args:
        console: Where it goes.
        collection: Its collection.
        given: Its `_id` as the books have it: 24 hex digits, or canonical Extended JSON.

    Raises:
        MigrationError: There is no such collection or document, or a database is out of reach.
    """
    _require_known(collection)
    own = _own_id(given)
    opened = open_united(source_url(), load_remediations().counted_as)
    with opened as source, open_target(target_url()) as connection:
        require_schema(connection)
        lines = list(_lines(source, connection, collection, own))
    _print(console, lines)
    return Exit.FOUND


def show_sample(console: Console, collection: str, *, size: int, seed: int) -> Exit:
    """Prints what became of documents drawn at random: those that the check ``values`` draws.

    Args:
        console: Where it goes.
        collection: Their collection.
        size: How many to draw.
        seed: Which ones: the same seed and size, the same documents.

    Raises:
        MigrationError: There is no such collection, or a database is out of reach.
    """
    _require_known(collection)
    opened = open_united(source_url(), load_remediations().counted_as)
    with opened as source, open_target(target_url()) as connection:
        require_schema(connection)
        drawn = drawn_numbers(source, collection, size, seed)
        documents = source[collection].aggregate([{"$project": {"_id": 1}}, {"$sort": {"_id": 1}}])
        for number, document in enumerate(documents, start=1):
            if number in drawn:
                _print(console, list(_lines(source, connection, collection, document["_id"])))
                console.print()
    return Exit.FOUND


def _require_known(collection: str) -> None:
    if collection not in ENTITIES:
        raise MigrationError(
            "the model knows no such collection",
            where=f"collection {collection}",
            next_step="Give one of the model's, such as Users, in the application's own case",
        )


def _print(console: Console, lines: Iterable[tuple[str, str]]) -> None:
    for name, said in lines:
        console.print(f"[bold]{name:<12}[/] {escape(said)}", soft_wrap=True)


def _own_id(given: str) -> Any:
    try:
        return from_canonical(json.dumps({"$oid": given}))
    except (BSONError, ValueError, TypeError):
        pass
    try:
        return from_canonical(given)
    except (BSONError, ValueError, TypeError):
        raise MigrationError(
            "is not a source id",
            where=f"document {given[:_SHOWN]}",
            next_step="Give 24 hex digits, or what stands as source_id in the books; an `_id` that is a "
            "text is '\"text\"', with its quotes",
        ) from None


def _lines(
    source: SourceDatabase, connection: Connection, collection: str, own: Any
) -> Iterator[tuple[str, str]]:
    """Yields (what it is about, what there is to say)."""
    name, key = source_id(own), document_uuid(collection, own)
    document = source[collection].find_one({"_id": own})
    is_there = document is not None
    mapped = _rows(connection, _MAPPED, {"uuid_map": bookkeeping.uuid_map}, collection, name)
    if not is_there and not mapped:
        raise MigrationError(
            "neither the source nor the UUID map has it",
            where=f"document {name[:_SHOWN]} of {collection}",
            next_step="Check the id, and that the collection is the one it is of",
        )
    yield "document", f"{name} of {collection}"
    yield "source", "is there" if is_there else "is not there any more"
    yield "UUID", f"{key}" + ("" if mapped else ", not in the map yet: materialize the UUID map")
    stale = loaded_with_other(connection, load_remediations())
    if collection in stale:
        yield "rules", f"{collection} was loaded with other remediations: materialize it again"
    for rule, field, element, is_set in _book(connection, _REMEDIATED, collection, name):
        done = "replaced" if is_set else "dropped"
        yield "remediated", f"{_place(field, element)} {done} by rule {rule}"
    yield from _row(connection, collection, key, document or {})
    for table, field, reason, accepted_by in _book(connection, _REJECTED, collection, name):
        whole = field or "the whole document"
        yield "rejected", f"from {table} for {whole}: {reason}{_accepted(accepted_by)}"
    for field, element, kind, reason, accepted_by in _book(connection, _ISSUES, collection, name):
        yield kind, f"{_place(field, element)}: {reason}{_accepted(accepted_by)}"
    for (fields,) in _book(connection, _UNMAPPED, collection, name):
        yield (
            "unknown",
            f"fields that the model does not know, kept: {', '.join(json.loads(fields))}",
        )
    for table in JUNCTIONS.values():
        relation = junction_of(table)
        assert relation is not None
        for side in (relation.left, relation.right):
            if side.collection == collection:
                count = _pairs(connection, table.name, side.column, key)
                yield "pairs", f"{count:,} in {table.name}"


def _row(
    connection: Connection, collection: str, key: uuid.UUID, document: Document
) -> Iterator[tuple[str, str]]:
    """Yields each column with the value of its field, and what it became where that is another text."""
    given = sources(ENTITIES[collection])
    chosen = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(column)) for column in given
    )
    found = connection.execute(
        sql.SQL("SELECT {} FROM {} WHERE id = %s").format(chosen, identifier(TABLES[collection])),
        [key],
    ).fetchone()
    if found is None:
        yield "row", f"none in {collection}"
        return
    yield "row", f"is in {collection}"
    for (column, origin), value in zip(given.items(), found, strict=True):
        was = document.get(origin.field)
        if origin.field == "_id" or (was is None and value is None):
            continue
        yield f"  {column}", MASK if origin.secret else _side_by_side(was, value)


def _side_by_side(was: Any, value: str | None) -> str:
    before = "nothing" if was is None else was if isinstance(was, str) else relaxed(was)
    after = "NULL" if value is None else value
    return _shortened(after) if before == after else f"{_shortened(before)} → {_shortened(after)}"


def _shortened(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}... ({len(value):,} characters)"


def _place(field: str, element: int | None) -> str:
    return field if element is None else f"{field}[{element}]"


def _accepted(rule: str | None) -> str:
    return "" if rule is None else f" (accepted by rule {rule})"


_MAPPED = "SELECT id FROM {uuid_map} WHERE collection = %s AND source_id = %s"
_REMEDIATED = """
    SELECT rule, field, element, replacement IS NOT NULL FROM {remediations}
    WHERE collection = %s AND source_id = %s ORDER BY field, element
"""
_REJECTED = """
    SELECT target_table, field, reason, accepted_by FROM {rejected_documents}
    WHERE collection = %s AND source_id = %s ORDER BY 1, 2
"""
_ISSUES = """
    SELECT field, element, kind, reason, accepted_by FROM {issues}
    WHERE collection = %s AND source_id = %s ORDER BY 1, 2
"""
_UNMAPPED = "SELECT fields FROM {unmapped_fields} WHERE collection = %s AND source_id = %s"


def _book(connection: Connection, query: str, collection: str, name: str) -> list[tuple[Any, ...]]:
    return _rows(
        connection, query, {book.name: book for book in bookkeeping.BOOKS}, collection, name
    )


def _rows(
    connection: Connection, query: str, tables: Mapping[str, Any], *values: str
) -> list[tuple[Any, ...]]:
    names = {name: identifier(table) for name, table in tables.items()}
    return connection.execute(sql.SQL(query).format(**names), values).fetchall()


def _pairs(connection: Connection, table: str, column: str, key: uuid.UUID) -> int:
    found = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {} = %s").format(
            identifier(TABLES[table]), sql.Identifier(column)
        ),
        [key],
    ).fetchone()
    return 0 if found is None else int(found[0])
