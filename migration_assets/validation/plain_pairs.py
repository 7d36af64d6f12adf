"""Pairs of documents of which the array holds nothing but plain ids, made of many at once.

Nearly all documents are such. Every other one, such as one with an id that stands twice in its array, is left
to the ``judge``. Whether the ids lead to rows is not asked here: the pairs of those that do not are no pairs
of the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from migration_assets.arrow import of_width
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.documents import Documents
from migration_assets.validation.field_places import FieldPlaces, elements_in
from migration_assets.validation.identities import UUID_SIZE
from migration_assets.validation.many_ids import IDENTIFIERS, UUID_DTYPE, keys_of
from migration_assets.validation.placed_values import MISSING, Mask

PAIR_SIZE = 2 * UUID_SIZE
PAIR_DTYPE = f"V{PAIR_SIZE}"
"""What numpy takes for a pair, as bytes."""
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
        references: The collection that its elements lead to.
        is_left: Whether the document stands before its element in a pair.
    """

    array: str
    references: str
    is_left: bool
    _finder: FieldPlaces = field(init=False)

    def __post_init__(self) -> None:
        arrays = frozenset({bson.ARRAY, bson.NULL})
        self._finder = FieldPlaces({"_id": IDENTIFIERS, self.array: arrays})

    def of(self, documents: Documents, keys: bytes, candidates: Mask) -> Pairs:
        """Returns the pairs of those documents that are plain.

        Args:
            documents: The documents, no two with one `_id`.
            keys: Their UUIDs, 16 bytes each.
            candidates: Which of them may be plain.
        """
        taken_apart = self._finder.find(documents)
        arrays = taken_apart.fields[self.array]
        are_plain = (
            candidates & taken_apart.are_whole & (taken_apart.fields["_id"].kinds != MISSING)
        )
        rows = np.flatnonzero(are_plain & (arrays.kinds == bson.ARRAY))
        counts, places = elements_in(taken_apart.data, arrays.of(rows))
        holders = np.frombuffer(keys, dtype=UUID_DTYPE)[rows]
        element_keys, are_odd = keys_of(self.references, taken_apart.data, places)
        elements = np.frombuffer(element_keys, dtype=UUID_DTYPE)
        holder = np.repeat(np.arange(len(rows)), np.maximum(counts, 0))
        sides = (holders[holder], elements) if self.is_left else (elements, holders[holder])
        pairs = np.stack(sides, axis=1).view(PAIR_DTYPE)[:, 0]
        are_twice = of_width(pairs.tobytes(), PAIR_SIZE).is_duplicated().to_numpy()
        fit = counts >= 0
        fit[holder[are_twice | are_odd]] = False
        are_plain[rows[~fit]] = False
        return Pairs(are_plain, int(np.count_nonzero(fit)), pairs[fit[holder]])
