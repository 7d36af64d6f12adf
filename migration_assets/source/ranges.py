"""Ranges: the parts of a collection that are read, converted, compared and committed by themselves.

A range goes from one `_id` to before another in MongoDB's own order of all values, so that every document
falls in exactly one of the ranges of a collection, whatever was written since they were cut. Some `_id`s
that are listed are a range, too: reading, converting or comparing just these documents is no other work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import bson
from bson import MaxKey, MinKey
from bson.errors import BSONError
from pymongo.collection import Collection
from pymongo.read_concern import ReadConcern

from migration_assets.identity import canonical, from_canonical
from migration_assets.source.connection import CODEC, Document
from migration_assets.source.reading import documents_per_batch, raw_batches
from migration_assets.source.united import UnitedCollection

BATCHES_PER_RANGE = 4
"""Batches of a range of a large collection: what is between two commits, and what is lost by a kill."""
RANGES = 16
"""As many a collection has at least, where each can still be a batch; they do not depend on how many
processes share them. Where only some fields are read, there is too little to share: a range costs more than
it holds."""

_BY_IDENTIFIER = [("_id", 1)]
_FIRST, _LAST = MinKey(), MaxKey()


@dataclass(frozen=True, slots=True)
class Range:
    """Documents of a collection: those from one `_id` to before another, or those that are listed.

    Attributes:
        start: The least `_id`.
        end: The `_id` before which it ends; MaxKey belongs to the range that it ends.
        ids: The `_id`s alone that are meant; None where start and end say it.
    """

    start: Any = _FIRST
    end: Any = _LAST
    ids: tuple[Any, ...] | None = None

    @classmethod
    def from_json(cls, bounds: Mapping[str, str]) -> Self:
        """Returns the range that :meth:`as_json` gave."""
        return cls(from_canonical(bounds["start"]), from_canonical(bounds["end"]))

    def as_json(self) -> dict[str, str]:
        """Returns start and end, in canonical Extended JSON."""
        return {"start": canonical(self.start), "end": canonical(self.end)}

    def options(self) -> dict[str, Any]:
        """Returns what a ``find`` in the order of `_id` takes to return these documents alone.

        Bounds of the index, not conditions: these only meet values of the type that they are of. A document
        whose `_id` is MaxKey itself is not within them; :meth:`finds` has it.
        """
        if self.ids is not None:
            return {"filter": {"_id": {"$in": list(self.ids)}}}
        bounds: dict[str, Any] = {}
        if not isinstance(self.start, MinKey):
            bounds["min"] = {"_id": self.start}
        if not isinstance(self.end, MaxKey):
            bounds["max"] = {"_id": self.end}
        return bounds

    def finds(self) -> list[dict[str, Any]]:
        """Returns the options of each ``find`` that it takes to return all of these documents, in order."""
        options = self.options()
        return [options, {"filter": {"_id": _LAST}}] if [*options] == ["min"] else [options]

    def batches(
        self,
        collection: Collection[Document],
        *,
        projection: Mapping[str, int] | None = None,
        by_identifier: bool = True,
    ) -> Iterator[bytes]:
        """Yields the documents of the range as BSON, in batches, as ``raw_batches`` does."""
        for part in self.finds():
            yield from raw_batches(
                collection, projection=projection, by_identifier=by_identifier, part=part
            )


WHOLE = Range()


def ranges_of(
    collection: Collection[Document], *, of_parts: bool = False, size: int | None = None
) -> list[Range]:
    """Returns the ranges that a collection is cut into, in the order of `_id`.

    The server counts along its index on `_id`, so none of the documents is read.

    Args:
        collection: The collection. Where others count as it, its own documents say where it is cut.
        of_parts: Whether some fields alone are read, of more documents at once.
        size: How many documents each has, but for the last; what is good for a load where None.
    """
    documents = about_how_many(collection)
    if size is None:
        batch = documents_per_batch(of_parts=of_parts)
        batches = BATCHES_PER_RANGE if of_parts else documents // (batch * RANGES)
        size = batch * min(max(batches, 1), BATCHES_PER_RANGE)
    cuts = [*_cuts(collection, size)] if documents > size else []
    return [Range(start, end) for start, end in zip([_FIRST, *cuts], [*cuts, _LAST], strict=True)]


def about_how_many(collection: Collection[Document]) -> int:
    """Returns about how many documents a collection has now, others that count as it left out."""
    # The server tells it of the present alone.
    return _alone(collection).with_options(read_concern=ReadConcern()).estimated_document_count()


def _alone(collection: Collection[Document]) -> Collection[Document]:
    return collection.alone() if isinstance(collection, UnitedCollection) else collection


def _cuts(collection: Collection[Document], size: int) -> Iterator[Any]:
    """Yields the `_id`s at which ranges begin, but for the first.

    It ends at one that cannot be written and read again as it is; what follows is one range.
    """
    part = WHOLE
    while True:
        replies = _alone(collection).find_raw_batches(
            projection={"_id": 1},
            sort=_BY_IDENTIFIER,
            hint=_BY_IDENTIFIER,
            skip=size,
            limit=1,
            **part.options(),
        )
        data: Any = next(iter(replies), b"")
        if not data:
            return
        try:
            cut = bson.decode(data, CODEC)["_id"]
            is_kept = from_canonical(canonical(cut)) == cut and not isinstance(cut, MaxKey | MinKey)
        except (BSONError, ArithmeticError, LookupError, TypeError, ValueError):
            return
        if not is_kept:
            return
        yield cut
        part = Range(cut)
