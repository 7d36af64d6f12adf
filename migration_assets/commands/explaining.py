"""The fate of documents, with both databases side by side. Secrets are masked."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import bson
import polars as pl
import sqlalchemy as sa
from bson import ObjectId
from bson.errors import BSONError
from psycopg import sql
from rich.console import Console

from migration_assets.application import chosen_model
from migration_assets.commands.running import require_schema
from migration_assets.conversion.columns import convert_columns
from migration_assets.conversion.extended_json import relaxed
from migration_assets.endpoints import source_url, target_url
from migration_assets.errors import MigrationError
from migration_assets.identity import document_uuid, from_canonical, source_id
from migration_assets.known_ids import is_object_id_text
from migration_assets.loading.ledger import loaded_with_other
from migration_assets.loading.lookup import Lookup
from migration_assets.model import (
    Model,
    Rule,
    fields,
    junction_of,
    sources,
)
from migration_assets.remediation.applying import Remedies
from migration_assets.remediation.parsing import load_remediations
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import CODEC, Document, SourceDatabase
from migration_assets.source.united import open_united
from migration_assets.source.walk import FieldFinder
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.sql import identifier
from migration_assets.text import escape
from migration_assets.validation.documents import drawn_numbers
from migration_assets.validation.table_pass import recheck

MASK = "(secret)"
_SHOWN = 60
"""Characters of a value that are shown."""


def explain(console: Console, collection: str, id_text: str) -> None:
    """Prints what became of a document.

    Args:
        console: Where it goes.
        collection: Its collection.
        id_text: Its `_id` as the books have it: 24 hex digits, or canonical Extended JSON; a text may go
            without its quotes.

    Raises:
        MigrationError: There is no such collection or document, or a database is out of reach.
    """
    model = chosen_model()
    counted_as = load_remediations(model).counted_as
    collection = next(
        (one for one, others in counted_as.items() if collection in others), collection
    )
    opening = open_united(source_url(), counted_as)
    with opening as source, open_target(target_url()) as connection:
        require_schema(connection)
        if collection in model.entities:
            document_id = _own_id(source, connection, collection, id_text)
            lines = list(_lines(model, source, connection, collection, document_id))
        else:
            lines = list(_kept_lines(connection, collection, id_text))
    _print(console, lines)


def show_sample(console: Console, collection: str, *, size: int, seed: int) -> None:
    """Prints what became of documents drawn at random: those that the check ``values`` draws.

    Args:
        console: Where it goes.
        collection: Their collection.
        size: How many to draw.
        seed: Which ones: the same seed and size, the same documents.

    Raises:
        MigrationError: There is no such collection, or a database is out of reach.
    """
    model = chosen_model()
    _require_known(model, collection)
    opening = open_united(source_url(), load_remediations(model).counted_as)
    with opening as source, open_target(target_url()) as connection:
        require_schema(connection)
        drawn = drawn_numbers(source, collection, size, seed)
        documents = source[collection].aggregate([{"$project": {"_id": 1}}, {"$sort": {"_id": 1}}])
        for number, document in enumerate(documents, start=1):
            if number in drawn:
                _print(
                    console, list(_lines(model, source, connection, collection, document["_id"]))
                )
                console.print()


def _require_known(model: Model, collection: str) -> None:
    if collection not in model.entities:
        raise MigrationError(
            "the model knows no such collection",
            where=f"collection {collection}",
            next_step="Give one of the model's, such as Users, in the application's own case",
        )


def _print(console: Console, lines: Iterable[tuple[str, str]]) -> None:
    for name, text in lines:
        console.print(f"[bold]{name:<12}[/] {escape(text)}", soft_wrap=True)


def _candidates(id_text: str) -> list[Any]:
    """Returns the `_id`s that a text may stand for: as the books write it first, then the bare text."""
    text = id_text[1:-1] if len(id_text) > 1 and id_text[0] == id_text[-1] == "'" else id_text
    candidates: list[Any] = [ObjectId(text.lower())] if is_object_id_text(text) else []
    with suppress(BSONError, ValueError, TypeError):
        candidates.append(from_canonical(text))
    return [candidate for candidate in (*candidates, text) if _can_be_asked_for(candidate)]


def _can_be_asked_for(document_id: Any) -> bool:
    """Tells whether BSON can hold a value: no number beyond 64 bits, and only Unicode text."""
    try:
        bson.encode({"_id": document_id}, codec_options=CODEC)
    except (BSONError, OverflowError, UnicodeEncodeError, TypeError):
        return False
    return True


def _own_id(source: SourceDatabase, connection: Connection, collection: str, id_text: str) -> Any:
    """Returns the `_id` of a document that the source or the map has.

    Raises:
        MigrationError: Neither has it.
    """
    for document_id in _candidates(id_text):
        has_row = _rows(connection, _MAPPED, _MAP, collection, source_id(document_id))
        if has_row or next(iter(_found(source, collection, document_id)), None) is not None:
            return document_id
    raise MigrationError(
        "neither the source nor the UUID map has it",
        where=f"document {id_text[:_SHOWN]} of {collection}",
        next_step="Check the id, and that the collection is the one it is of: 24 hex digits, or what stands "
        "as source_id in the books",
    )


def _found(source: SourceDatabase, collection: str, document_id: Any) -> Iterator[Document]:
    """Yields the `_id` of a document if it exists, without reading the rest."""
    yield from source[collection].aggregate(
        [{"$match": {"_id": {"$eq": document_id}}}, {"$project": {"_id": 1}}]
    )


def _kept_lines(connection: Connection, collection: str, id_text: str) -> Iterator[tuple[str, str]]:
    """Yields the lines on a document of a collection that the model does not know."""
    for document_id in _candidates(id_text) if _can_be_asked_for(collection) else ():
        name = source_id(document_id)
        for (unmapped,) in _book(connection, _UNMAPPED, collection, name):
            yield "document", f"{name} of {collection}, which the model does not know"
            yield "kept", f"whole in migration.unmapped_fields: {', '.join(json.loads(unmapped))}"
            return
        for _, _, reason, _, _, _ in _book(connection, _REJECTED, collection, name):
            yield "document", f"{name} of {collection}, which the model does not know"
            yield "kept", f"as its bytes in migration.rejected_documents: {reason}"
            return
    raise MigrationError(
        "the model knows no such collection, and the books keep no such document of it",
        where=f"document {id_text[:_SHOWN]} of collection {collection}",
        next_step="Give a collection of the model, such as Users, in the application's own case, or one "
        "whose documents are kept in migration.unmapped_fields, and an id as the books have it",
    )


def _document(
    source: SourceDatabase, collection: str, document_id: Any
) -> tuple[bool, Document | None]:
    """Tells whether a document is in the source, and returns it where it can be read."""
    try:
        document = source[collection].find_one({"_id": {"$eq": document_id}})
    except BSONError:
        return True, None
    return document is not None, document


def _lines(
    model: Model, source: SourceDatabase, connection: Connection, collection: str, document_id: Any
) -> Iterator[tuple[str, str]]:
    """Yields the lines on a document, as (subject, text)."""
    name, key = source_id(document_id), document_uuid(collection, document_id)
    is_there, document = _document(source, collection, document_id)
    mapped = _rows(connection, _MAPPED, _MAP, collection, name)
    yield "document", f"{name} of {collection}"
    is_unreadable = is_there and document is None
    there = "is there, and cannot be read whole" if is_unreadable else "is there"
    yield "source", there if is_there else "is not there any more"
    yield "UUID", f"{key}" + ("" if mapped else ", not in the map yet: materialize the UUID map")
    rules = load_remediations(model)
    stale = loaded_with_other(model, connection, rules)
    if collection in stale:
        yield "rules", f"{collection} was loaded with other remediations: materialize it again"
    for rule, field, element, is_set in _book(connection, _REMEDIATED, collection, name):
        effect = "replaced" if is_set else "dropped"
        yield "remediated", f"{_place(field, element)} {effect} by rule {rule}"
    yield from _row(model, connection, collection, key, document or {})
    for table, field, reason, accepted_by, until, whole in _book(
        connection, _REJECTED, collection, name
    ):
        origin = f"from {table} for {field or 'the whole document'}: {reason}"
        waits = f" (deferred by rule {accepted_by}, until {until})"
        yield "rejected", origin + (waits if until else _accepted(accepted_by))
        if field is not None and table == collection:
            yield from _rejected_values(model, connection, rules, collection, document, whole)
    for field, element, kind, reason, accepted_by in _book(connection, _ISSUES, collection, name):
        yield kind, f"{_place(field, element)}: {reason}{_accepted(accepted_by)}"
    for (unmapped,) in _book(connection, _UNMAPPED, collection, name):
        yield (
            "unknown",
            f"fields that the model does not know, kept: {', '.join(json.loads(unmapped))}",
        )
    yield from _findings(source, connection, model.entities[collection], document_id, rules)
    for table in model.junctions.values():
        relation = junction_of(table)
        assert relation is not None
        for side in (relation.left, relation.right):
            if side.collection == collection:
                count = _pairs(model, connection, table.name, side.column, key)
                yield "pairs", f"{count:,} in {table.name}"


def _findings(
    source: SourceDatabase,
    connection: Connection,
    table: sa.Table,
    document_id: Any,
    rules: Remediations,
) -> Iterator[tuple[str, str]]:
    """Yields the findings of the checks ``values`` and ``references`` on one document."""
    comparison = recheck(source, connection, table, [document_id], remediations=rules)
    wrong = [*comparison.values.sample, *comparison.faults.sample]
    lines = (f"{line['field'] or 'the whole'}: {line['what']}" for line in wrong)
    for finding in dict.fromkeys(lines):
        yield "checks", finding
    if not wrong:
        yield "checks", "row and books are as the document and the rules make them"


def _row(
    model: Model, connection: Connection, collection: str, key: uuid.UUID, document: Document
) -> Iterator[tuple[str, str]]:
    """Yields each column with the value of its field, and that of the row where its text differs."""
    origins = sources(model.entities[collection])
    chosen = sql.SQL(", ").join(
        sql.SQL("{}::text").format(sql.Identifier(column)) for column in origins
    )
    row = connection.execute(
        sql.SQL("SELECT {} FROM {} WHERE id = %s").format(
            chosen, identifier(model.tables[collection])
        ),
        [key],
    ).fetchone()
    if row is None:
        yield "row", f"none in {collection}"
        return
    yield "row", f"is in {collection}"
    for (column, origin), value in zip(origins.items(), row, strict=True):
        source_value = document.get(origin.field)
        if origin.field == "_id" or (source_value is None and value is None):
            continue
        yield f"  {column}", MASK if origin.secret else _side_by_side(source_value, value)


def _rejected_values(
    model: Model,
    connection: Connection,
    rules: Remediations,
    collection: str,
    document: Document | None,
    whole: str,
) -> Iterator[tuple[str, str]]:
    """Yields each field of a rejected document with the value for its column, or the reason for none."""
    table = model.entities[collection]
    original = from_canonical(whole) if document is None else document
    lookup = Lookup(connection, table)
    remedies = Remedies(rules.of(table), table, lookup)
    remedied, _ = lookup.answered(partial(remedies.apply, original))
    encoded = bson.encode(remedied, codec_options=CODEC)
    batch = FieldFinder(fields(table)).find(encoded)
    columns = {
        name: column_source
        for name, column_source in sources(table).items()
        if column_source.rule is not Rule.KEY
    }
    converted = lookup.answered(lambda: [*convert_columns(columns, batch.fields, lookup)])
    for column, conversion in converted:
        origin = columns[column]
        source_value, row_value = original.get(origin.field), _first(conversion.series)
        reasons = [reason for _, reason in conversion.rejections]
        if source_value is None and row_value is None and not reasons:
            continue
        shown = MASK if origin.secret else _side_by_side(source_value, _text_of(row_value))
        yield f"  {column}", f"{shown} ({'; '.join(reasons)})" if reasons else shown


def _first(values: pl.Series) -> Any:
    """Returns the first value of a series; a time as text, since Python's calendar is shorter."""
    return (values.cast(pl.String) if values.dtype.is_temporal() else values)[0]


def _text_of(value: Any) -> str | None:
    """Returns a converted value as a person reads it."""
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value))
    if isinstance(value, pl.Series | list):
        return "{" + ",".join(str(_text_of(element)) for element in value) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _side_by_side(source_value: Any, value: str | None) -> str:
    before = (
        "nothing"
        if source_value is None
        else source_value
        if isinstance(source_value, str)
        else relaxed(source_value)
    )
    after = "NULL" if value is None else value
    return _shortened(after) if before == after else f"{_shortened(before)} → {_shortened(after)}"


def _shortened(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}... ({len(value):,} characters)"


def _place(field: str, element: int | None) -> str:
    return field if element is None else f"{field}[{element}]"


def _accepted(rule: str | None) -> str:
    return "" if rule is None else f" (accepted by rule {rule})"


_MAP = {"uuid_map": bookkeeping.uuid_map}
_MAPPED = "SELECT id FROM {uuid_map} WHERE collection = %s AND source_id = %s"
_REMEDIATED = """
    SELECT rule, field, element, replacement IS NOT NULL FROM {remediations}
    WHERE collection = %s AND source_id = %s ORDER BY field, element
"""
_REJECTED = """
    SELECT target_table, field, reason, accepted_by, deferred_until, document FROM {rejected_documents}
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


def _pairs(model: Model, connection: Connection, table: str, column: str, key: uuid.UUID) -> int:
    row = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {} = %s").format(
            identifier(model.tables[table]), sql.Identifier(column)
        ),
        [key],
    ).fetchone()
    return 0 if row is None else int(row[0])
