"""Builders for the tables of the model, and questions about a table.

An entity table holds the documents of the collection of the same name; a junction table holds the
pairs of one relation. Both are plain :class:`sqlalchemy.Table` objects in the model's ``MetaData``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from migration_assets.model.columns import Column, Rule, Source, source_of

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
    """Returns what the tables and enum types of one model are declared in, with Prisma's names of keys."""
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
        metadata: What the model's tables are declared in.
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
    """Returns the tables whose rows must be loaded before this one's: those its uuids point to."""
    relation = junction_of(table)
    if relation is not None:
        return tuple(dict.fromkeys([relation.left.collection, relation.right.collection]))
    found = (
        source.references
        for source in sources(table).values()
        if source.rule in (Rule.REFERENCE, Rule.REFERENCE_ARRAY)
    )
    return tuple(dict.fromkeys(name for name in found if name is not None))


def documents_referred_to(table: sa.Table) -> tuple[str, ...]:
    """Returns the collections whose documents, loaded or not, a table refers to as text."""
    if junction_of(table) is not None:
        return ()
    found = (
        source.references
        for source in sources(table).values()
        if source.rule in (Rule.REFERENCE_TEXT, Rule.REFERENCE_TEXT_ARRAY)
    )
    return tuple(dict.fromkeys(name for name in found if name is not None))


def unique_columns(table: sa.Table) -> tuple[str, ...]:
    """Returns the columns that must be unique on their own, the primary key apart."""
    return tuple(
        column.name
        for index in sorted(table.indexes, key=lambda index: str(index.name))
        if index.unique
        for column in index.columns
    )
