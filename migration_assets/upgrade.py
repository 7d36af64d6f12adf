"""Counting what the upgrade after a migration will change, in source and target."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from psycopg import sql

from migration_assets.model import Model
from migration_assets.model.upgrade import Consequence, Expression
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection


def release_of(model: Model) -> str:
    """Returns application and release that the upgrade goes to; the application alone where there is none."""
    return f"{model.name} {model.upgrade.release}" if model.upgrade else model.name


def consequences(model: Model) -> Sequence[Consequence]:
    """Returns what the upgrade of an application will change; nothing where there is no upgrade."""
    return () if model.upgrade is None else model.upgrade.consequences


def in_target(
    model: Model, connection: Connection, tables: Collection[str]
) -> Iterator[tuple[Consequence, int]]:
    """Yields the consequences that concern the target, with the number of rows.

    Args:
        model: The application's tables.
        connection: A connection to the target.
        tables: Names of the tables that are loaded.
    """
    columns = {
        (table, column)
        for table, column in connection.execute(
            "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "WHERE c.relnamespace = to_regnamespace('public') AND a.attnum > 0 AND NOT a.attisdropped"
        )
    }
    by_table: dict[str, list[Consequence]] = defaultdict(list)
    for item in consequences(model):
        if item.table in tables and all((item.table, name) in columns for name in item.fields):
            by_table[item.table].append(item)
    for table, items in by_table.items():
        query = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(
                sql.SQL(f"count(*) FILTER (WHERE {item.condition})") for item in items
            ),
            sql.Identifier("public", table),
        )
        counts = connection.execute(query).fetchone() or ()
        yield from ((item, count) for item, count in zip(items, counts, strict=True) if count)


def in_source(
    model: Model, source: SourceDatabase, collection: str, milliseconds: int
) -> Iterator[tuple[Consequence, int]]:
    """Yields the consequences that concern a collection, with the number of documents.

    Args:
        model: The application's tables.
        source: The source.
        collection: The collection.
        milliseconds: How long the server may take for each of at most two passes.

    Raises:
        OperationFailure: The server refuses, or it took too long.
    """
    items = [item for item in consequences(model) if item.table == collection]
    single = [item for item in items if isinstance(item.in_source, Mapping)]
    if single:
        sums = {
            f"n{number}": {"$sum": {"$cond": [item.in_source, 1, 0]}}
            for number, item in enumerate(single)
        }
        pipeline: list[Expression] = [{"$group": {"_id": None, **sums}}]
        for counts in source[collection].aggregate(pipeline, maxTimeMS=milliseconds):
            yield from (
                (item, counts[f"n{number}"])
                for number, item in enumerate(single)
                if counts[f"n{number}"]
            )
    for item in items:
        if isinstance(item.in_source, tuple):
            groups = source[collection].aggregate(list(item.in_source), maxTimeMS=milliseconds)
            yield from ((item, counts["count"]) for counts in groups)
