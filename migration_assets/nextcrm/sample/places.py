"""The places of a sample's documents that can hold a fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migration_assets.model import Missing, Rule, junction_of, sources, unique_columns
from migration_assets.nextcrm import ENTITIES, JUNCTIONS

RELATION = "relation"
"""The kind of a place that is an array of ids of a relation."""
COLLECTION = "collection"
"""The kind of a place that is a document as a whole."""

_UNKNOWN_FIELDS = ("CreatedBY", "legacy score", "notes.internal", "meta")

REQUIRED = (Missing.REJECT, Missing.DEFAULT, Missing.OBJECT_ID_TIME)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a fault can be put.

    Attributes:
        collection: The collection.
        field: The field.
        kind: A :class:`Rule`, ``RELATION`` or ``COLLECTION``.
        missing: What stands for a missing value.
        references: The collection that ids in it point to.
        mirror: For a relation, the array of the other side; empty where there is none.
        labels: The labels of an enum.
        secret: Its values are secret.
        unique: No two documents may have the same value.
    """

    collection: str
    field: str
    kind: Rule | str
    missing: Missing = Missing.NULL
    references: str = ""
    mirror: str = ""
    labels: tuple[str, ...] = ()
    secret: bool = False
    unique: bool = False

    @property
    def sort(self) -> tuple[object, ...]:
        """What has to differ between two places for both to need each fault that they can have."""
        name = self.field if self.kind == COLLECTION else ""
        return self.kind, self.missing, self.secret, self.unique, bool(self.mirror), name


def places(collection: str) -> Iterator[Place]:
    """Yields every place of a collection that can hold a fault."""
    unique = unique_columns(ENTITIES[collection])
    for source in sources(ENTITIES[collection]).values():
        yield Place(
            collection,
            source.field,
            source.rule,
            source.missing,
            references=source.references or "",
            labels=source.labels,
            secret=source.secret,
            unique=source.field in unique,
        )
    for name in sorted(JUNCTIONS):
        relation = junction_of(JUNCTIONS[name])
        for holder, field, other in relation.arrays() if relation else ():
            if holder.collection == collection:
                yield Place(
                    collection,
                    field,
                    RELATION,
                    Missing.EMPTY_ARRAY,
                    references=other.collection,
                    mirror=other.array or "",
                )
    for name in _UNKNOWN_FIELDS:
        yield Place(collection, name, COLLECTION)
