"""BSON types that plain documents do not have: MongoDB's own count of them guards the judge's reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import sqlalchemy as sa

from migration_assets.source.connection import SourceDatabase
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.expected import usual_kinds

_ARRAY, _MISSING = "array", "missing"


def usual_types(table: sa.Table) -> Mapping[str, AbstractSet[str]]:
    """Returns the BSON types that the fields of plain documents have, by MongoDB's names."""
    return {
        name: {bson.TYPE_NAMES[kind] for kind in kinds}
        for name, kinds in usual_kinds(table).items()
    }


def odd_types(
    database: SourceDatabase, collection: str, usual: Mapping[str, AbstractSet[str]]
) -> Mapping[tuple[str, str], int]:
    """Returns how many values of other types than the usual ones the server counts, by field and type.

    Nearly all documents have none, which the server sees in half the time that it takes to count all types.

    Args:
        database: The source.
        collection: The collection.
        usual: The usual BSON types of each field that is looked at.
    """
    names = sorted(usual)
    has_odd = {"$or": [_is_odd(name, usual[name]) for name in names]}
    facets = {
        f"f{number}": [{"$group": {"_id": {"$type": f"${name}"}, "n": {"$sum": 1}}}]
        for number, name in enumerate(names)
    }
    (counts_by_facet,) = database[collection].aggregate([{"$match": has_odd}, {"$facet": facets}])
    return {
        (name, line["_id"]): line["n"]
        for number, name in enumerate(names)
        for line in counts_by_facet[f"f{number}"]
        if line["_id"] not in {*usual[name], _MISSING}
    }


def _is_odd(name: str, usual: AbstractSet[str]) -> dict[str, Any]:
    """Returns the condition that a field has a value of another type."""
    if _ARRAY in usual:
        return {name: {"$exists": True, "$not": {"$type": sorted(usual)}}}
    # An array is of the types of its elements, too, so it takes all the others to find one.
    return {name: {"$type": sorted({*bson.TYPE_NAMES.values()} - usual)}}


def odd_types_in(
    document: bytes, usual: Mapping[str, AbstractSet[str]]
) -> Counter[tuple[str, str]]:
    """Returns the same of one document, as far as it can be divided into fields.

    One that cannot is rejected as unreadable; the server's count shows what was not seen.
    """
    counts: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()  # the server counts the first of two fields with one name
    try:
        for kind, written, _, _ in bson.spans(document):
            name = written.decode(errors="replace")
            if name in usual and name not in seen and bson.TYPE_NAMES[kind] not in usual[name]:
                counts[name, bson.TYPE_NAMES[kind]] += 1
            seen.add(name)
    except bson.UnreadableBsonError:
        pass
    return counts
