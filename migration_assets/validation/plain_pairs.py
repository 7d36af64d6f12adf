"""Pairs of documents of which the array holds nothing but ObjectIds of rows, made of many at once.

Nearly all documents are such. Every other one, such as one with an id that nobody has or that stands twice
in its array, is left to ``reference``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from migration_assets.arrow import of_width
from migration_assets.uuid_set import UuidSet
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.binary_copy import UUID_SIZE
from migration_assets.validation.bson_places import Documents, FieldPlaces, Mask, object_ids_in
from migration_assets.validation.plain_rows import uuids_at

PAIR_SIZE = 2 * UUID_SIZE
PAIR_DTYPE = f"V{PAIR_SIZE}"
"""What numpy takes for a pair as bytes."""
PairBytes = npt.NDArray[np.void]
"""Pairs as bytes."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What some documents say of a relation.

    Attributes:
        are_plain: Which of them are plain; one without a value is, and has no pairs.
        arrays: How many of these have an array.
        pairs: Their pairs, each once, 32 bytes each.
    """

    are_plain: Mask
    arrays: int
    pairs: PairBytes


@dataclass(slots=True)
class PlainPairs:
    """Makes the pairs of plain documents.

    Attributes:
        array: The field that holds the array.
        is_left: Whether the document stands before its element in a pair.
        holders: The UUIDs of the rows that documents with such an array have.
        others: Those of the rows that elements may point to.
    """

    array: str
    is_left: bool
    holders: UuidSet
    others: UuidSet
    _finder: FieldPlaces = field(init=False)

    def __post_init__(self) -> None:
        kinds = {"_id": {bson.OBJECT_ID}, self.array: {bson.ARRAY, bson.NULL}}
        self._finder = FieldPlaces({name: frozenset(each) for name, each in kinds.items()})

    def of(self, documents: Documents, candidates: Mask) -> Pairs:
        """Returns the pairs of those documents that are plain.

        Args:
            documents: The documents, no two with one `_id`.
            candidates: Which of them may be plain.
        """
        found = self._finder.find(documents)
        keys, arrays = found.fields["_id"], found.fields[self.array]
        are_plain = candidates & found.are_whole & (keys.kinds == bson.OBJECT_ID)
        rows = np.flatnonzero(are_plain & (arrays.kinds == bson.ARRAY))
        counts, places = object_ids_in(found.data, arrays, rows)
        holders, elements = (uuids_at(found.data, at) for at in (keys.starts[rows], places))
        holder = np.repeat(np.arange(len(rows)), np.maximum(counts, 0))
        sides = (holders[holder], elements) if self.is_left else (elements, holders[holder])
        pairs = np.stack(sides, axis=1).view(PAIR_DTYPE)[:, 0]
        are_twice = of_width(pairs.tobytes(), PAIR_SIZE).is_duplicated().to_numpy()
        fit = (counts >= 0) & self.holders.contain_each(holders.tobytes())
        fit[holder[~self.others.contain_each(elements.tobytes()) | are_twice]] = False
        are_plain[rows[~fit]] = False
        return Pairs(are_plain, int(np.count_nonzero(fit)), pairs[fit[holder]])
