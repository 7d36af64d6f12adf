"""Pairs of documents of which the array holds nothing but ObjectIds, made of many at once.

Nearly all documents are such. Every other one, such as one with an id that stands twice in its array, is left
to ``reference``. Whether the ids lead to rows is not asked here: the pairs of those that do not are no pairs
of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from migration_assets.arrow import of_width
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.binary_copy import UUID_DTYPE, UUID_SIZE
from migration_assets.validation.bson_places import (
    MISSING,
    Documents,
    FieldPlaces,
    Mask,
    object_ids_in,
)
from migration_assets.validation.plain_rows import IDENTIFIERS, uuids_at

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
    """

    array: str
    is_left: bool
    _finder: FieldPlaces = field(init=False)

    def __post_init__(self) -> None:
        arrays = frozenset({bson.ARRAY, bson.NULL})
        self._finder = FieldPlaces({"_id": IDENTIFIERS, self.array: arrays})

    def of(self, documents: Documents, keys: Sequence[bytes], candidates: Mask) -> Pairs:
        """Returns the pairs of those documents that are plain.

        Args:
            documents: The documents, no two with one `_id`.
            keys: Their UUIDs.
            candidates: Which of them may be plain.
        """
        found = self._finder.find(documents)
        arrays = found.fields[self.array]
        are_plain = candidates & found.are_whole & (found.fields["_id"].kinds != MISSING)
        rows = np.flatnonzero(are_plain & (arrays.kinds == bson.ARRAY))
        counts, places = object_ids_in(found.data, arrays, rows)
        holders = np.frombuffer(b"".join(keys), dtype=UUID_DTYPE)[rows]
        elements = uuids_at(found.data, places)
        holder = np.repeat(np.arange(len(rows)), np.maximum(counts, 0))
        sides = (holders[holder], elements) if self.is_left else (elements, holders[holder])
        pairs = np.stack(sides, axis=1).view(PAIR_DTYPE)[:, 0]
        are_twice = of_width(pairs.tobytes(), PAIR_SIZE).is_duplicated().to_numpy()
        fit = counts >= 0
        fit[holder[are_twice]] = False
        are_plain[rows[~fit]] = False
        return Pairs(are_plain, int(np.count_nonzero(fit)), pairs[fit[holder]])
