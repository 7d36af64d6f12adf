"""Builders for the tables of the model, and questions about a table.

An entity table holds the documents of the collection of the same name; a junction table holds the
pairs of one relation. Both are plain :class:`sqlalchemy.Table` objects in the model's ``MetaData``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model.columns import Column, Missing, Source, source_of
from migration_assets.model.rules import Rule

JUNCTIONS = "junctions"

BTREE_ENTRY = 2_704
"""Bytes of the longest entry that a B-tree of PostgreSQL 12 or later takes, a third of a page."""
BTREE_HEAD = 16
"""Of these, what an entry begins with where one of its columns is NULL."""
BTREE_VALUE = 16
"""Of these, what another column takes at most: a uuid; the length of a text and the gap before it take 8."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a relation.

    Attributes:
        column: Column of the junction table.
        collection: Collection, and entity table, whose ids the column holds.
        array: Field of that collection that holds the ids of the other side; None where the
            application keeps the relation on the other side only.
    """

    column: str
    collection: str
    array: str | None = None


@dataclass(frozen=True, slots=True)
class Junction:
    """A relation between two collections, as a junction table holds it."""

    left: Side
    right: Side

    def arrays(self) -> Iterator[tuple[Side, str, Side]]:
        """Yields (the side that holds an array, the array, the side its elements point to)."""
        for holder, other in ((self.left, self.right), (self.right, self.left)):
            if holder.array is not None:
                yield holder, holder.array, other


def new_metadata() -> sa.MetaData:
    """Returns the ``MetaData`` for the tables and enum types of a model, with Prisma's names of keys."""
    return sa.MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )


def entity(name: str, metadata: sa.MetaData, group: str, *items: Column | sa.Index) -> sa.Table:
    """Returns the table for the collection of the same name.

    Args:
        name: Collection and table, in the application's own case.
        metadata: The ``MetaData`` of the model's tables.
        group: Domain: the group of its asset.
        items: Columns in the order of the schema, then further indexes.
    """
    table = sa.Table(name, metadata, *items, info={"group": group})
    for index in table.indexes:
        _bound_texts(index)
    return table


def _bound_texts(index: sa.Index) -> None:
    """Notes at the text columns of an index what it takes of each (section 5, what does not fit an index).

    Counted in bytes as they are: how far PostgreSQL compresses a text hangs on the server and on the text.
    """
    texts = [column for column in index.columns if source_of(column).rule is Rule.TEXT]
    if not texts:
        return
    room = BTREE_ENTRY - BTREE_HEAD - BTREE_VALUE * (len(index.columns) - len(texts))
    longest = room // len(texts) - 8
    for column in texts:
        source = source_of(column)
        bounded = min(longest, source.longest or longest)
        column.info["source"] = replace(source, longest=bounded)


def junction(name: str, metadata: sa.MetaData, *, left: Side, right: Side) -> sa.Table:
    """Returns a junction table: two foreign keys that together are the primary key."""
    columns: list[Column] = [
        sa.Column(
            side.column,
            pg.UUID(),
            sa.ForeignKey(f"{side.collection}.id", onupdate="CASCADE", ondelete="CASCADE"),
            primary_key=True,
            index=True,
        )
        for side in (left, right)
    ]
    info = {"group": JUNCTIONS, "junction": Junction(left, right)}
    return sa.Table(name, metadata, *columns, info=info)


def group_of(table: sa.Table) -> str:
    """Returns the domain of a table: the group of its asset."""
    group: str = table.info["group"]
    return group


def junction_of(table: sa.Table) -> Junction | None:
    """Returns the relation that a junction table holds, None for an entity table."""
    return table.info.get("junction")


def sources(table: sa.Table) -> Mapping[str, Source]:
    """Returns the source of each column of an entity table, by column name, in table order."""
    return {column.name: source_of(column) for column in table.columns}


def value_sources(table: sa.Table) -> Mapping[str, Source]:
    """Returns the same without the key."""
    return {name: of for name, of in sources(table).items() if of.rule is not Rule.KEY}


def fields(table: sa.Table) -> frozenset[str]:
    """Returns every field of a collection that the model knows, arrays of relations included."""
    held = {
        side.array
        for other in table.metadata.tables.values()
        if (relation := junction_of(other)) is not None
        for side in (relation.left, relation.right)
        if side.collection == table.name and side.array is not None
    }
    return frozenset({source.field for source in sources(table).values()} | held)


def referenced_tables(table: sa.Table) -> tuple[str, ...]:
    """Returns the tables that its uuids point to, itself where they do."""
    relation = junction_of(table)
    if relation is not None:
        return tuple(dict.fromkeys([relation.left.collection, relation.right.collection]))
    names = (source.references for source in sources(table).values() if source.rule.refers_to_rows)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def documents_referred_to(table: sa.Table) -> tuple[str, ...]:
    """Returns the collections whose documents, loaded or not, a table refers to as text."""
    if junction_of(table) is not None:
        return ()
    names = (
        source.references for source in sources(table).values() if source.rule.refers_to_documents
    )
    return tuple(dict.fromkeys(name for name in names if name is not None))


def unique_keys(table: sa.Table) -> tuple[tuple[str, ...], ...]:
    """Returns the columns of each unique index: together they must be unique, the primary key apart."""
    return tuple(
        tuple(column.name for column in index.columns)
        for index in sorted(table.indexes, key=lambda index: str(index.name))
        if index.unique
    )


def unique_columns(table: sa.Table) -> tuple[str, ...]:
    """Returns the columns that must be unique on their own, the primary key apart."""
    return tuple(key[0] for key in unique_keys(table) if len(key) == 1)


def is_text(column: Column) -> bool:
    """Tells whether a column holds any text."""
    return isinstance(column.type, sa.Text)


def required_tables(table: sa.Table) -> frozenset[str]:
    """Returns the tables that NOT NULL references point to: without their rows, this table has none."""
    if junction_of(table) is not None:
        return frozenset(referenced_tables(table))
    return frozenset(
        source.references
        for source in sources(table).values()
        if source.rule.refers_to_rows
        and source.missing is Missing.REJECT
        and source.references is not None
    )


def tables_before(tables: Mapping[str, sa.Table]) -> Mapping[str, frozenset[str]]:
    """Returns the tables that are loaded before each: those that it refers to, as far as none of them waits.

    Where tables refer to each other in a circle, references that may be NULL are left out until there is no
    circle left: they are settled when the other table is loaded.

    Raises:
        ValueError: Tables of a circle require each other: none of them could have a first row.
    """
    before = {name: set(referenced_tables(tables[name])) - {name} for name in sorted(tables)}
    for name, table in tables.items():
        if name in required_tables(table):
            raise ValueError(f"{name} requires itself: it could have no first row")
    while True:
        try:
            TopologicalSorter({name: sorted(before[name]) for name in before}).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]  # each stands before the next
            optional = sorted(
                (after, first)
                for first, after in pairwise(circle)
                if first not in required_tables(tables[after])
            )
            if not optional:
                raise ValueError(f"{', '.join(sorted(set(circle)))} require each other") from None
            after, first = optional[0]
            before[after].remove(first)
        else:
            return {name: frozenset(before[name]) for name in before}


def in_load_order(tables: Mapping[str, sa.Table]) -> Mapping[str, sa.Table]:
    """Returns tables by name, each after the tables that it waits for."""
    graph = {name: sorted(before) for name, before in tables_before(tables).items()}
    return MappingProxyType(
        {name: tables[name] for name in TopologicalSorter(graph).static_order()}
    )


def circles(tables: Mapping[str, sa.Table]) -> Iterator[tuple[sa.Table, ...]]:
    """Yields tables that refer to each other in a circle together, every other table alone.

    Args:
        tables: The tables by name, in load order.
    """
    reached = {name: set(referenced_tables(tables[name])) for name in tables}
    for through in tables:
        for name in tables:
            if through in reached[name]:
                reached[name] |= reached[through]
    yielded: set[str] = set()
    for name in tables:
        if name not in yielded:
            circle = [
                other
                for other in tables
                if other == name or (other in reached[name] and name in reached[other])
            ]
            yielded.update(circle)
            yield tuple(tables[other] for other in circle)
