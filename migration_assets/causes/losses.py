"""A loss: values of one field, or one document, that did not arrive."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

REJECTED = "rejected"
ORPHANED = "orphaned"
ALTERED = "altered"
EXAMPLES = 50
"""Different originals that a loss keeps at most; with one more, nobody writes a rule for each."""
LONGEST_EXAMPLE = 100
"""Characters of an original that is kept."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What was lost for one reason.

    Attributes:
        table: The table that lacks it.
        collection: The collection that holds the values.
        field: The field; empty for a document that cannot be read.
        kind: `rejected`, `nulled`, `altered` or `orphaned`.
        reason: Why, in words without values.
        count: How many values; 1 for a rejected document.
        source_id: The rejected document; empty for other kinds.
        points_to: Collection that the field refers to; empty where it refers to none.
        missing_id: Source id that the lost references name; empty where they name none.
        keys: The sum of hashes of what was lost, as a waiver is bound to it; 0 where nothing is on record.
        originals: Different values that were lost, canonical Extended JSON, for a rule to be made of; they
            are shown nowhere else. None of secret fields.
        is_accepted: Somebody answers for it: it is the cause of others at most.
    """

    table: str
    collection: str
    field: str
    kind: str
    reason: str
    count: int = 1
    source_id: str = ""
    points_to: str = ""
    missing_id: str = ""
    keys: int = 0
    originals: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    is_accepted: bool = False
