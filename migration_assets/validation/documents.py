"""Documents of the source as the judge reads them, in `_id` order, each cut out where it is asked for.

Nothing here is shared with the loader but the cursor (``source.replies``), so that what one of them does not
see, the other does. Documents that the cursor lost are missed by MongoDB's own counts.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
from pymongo.read_concern import ReadConcern

from migration_assets.errors import SourceError
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.ranges import WHOLE, Range
from migration_assets.source.replies import raw_replies
from migration_assets.validation import bson_reader as bson
from migration_assets.validation.identities import (
    UUID_SIZE,
    identifier_of,
    is_object_id_text,
    object_id_uuid,
    source_id_of,
)
from migration_assets.validation.many_ids import (
    IS_ID,
    UUID_DTYPE,
    hex_texts,
    keys_of_source_ids,
    object_ids,
    source_ids,
    uuid_texts,
    uuids_of,
)
from migration_assets.validation.placed_values import (
    LENGTH,
    PADDING,
    Numbers,
    are_named,
    places_after,
)

DOCUMENTS_PER_BATCH = 4_000
_UUID_DTYPE = f"S{UUID_SIZE}"
_LEAST = 5
"""Bytes of an empty document: its length and its end."""
_IDENTIFIER = b"_id\0"

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, eq=False)
class Documents:
    """Documents as they stand in a reply of the server; each is cut out only where it is asked for.

    Attributes:
        data: The documents, one after the other, and some bytes more.
        starts: Where each begins.
        ends: Where it ends.
    """

    data: bytes
    starts: Numbers
    ends: Numbers

    @classmethod
    def of(cls, reply: bytes) -> Documents:
        """Returns the documents that stand one after the other in a reply.

        Raises:
            SourceError: The reply does not consist of documents.
        """
        places = np.array([*starts(reply), len(reply)], dtype=np.int64)
        return cls(reply + PADDING, places[:-1], places[1:])

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, number: int) -> bytes:
        return self.data[self.starts[number] : self.ends[number]]

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))


@dataclass(frozen=True, slots=True)
class Identities:
    """Who documents are (section 4).

    Attributes:
        keys: The UUIDs, 16 bytes each.
        ids: The same as text.
        source_ids: The `_id` of each, as the books write it.
        are_object_ids: Whether all `_id`s are ObjectIds.
    """

    keys: bytes
    ids: pl.Series
    source_ids: pl.Series
    are_object_ids: bool

    @classmethod
    def of(cls, collection: str, documents: Documents) -> Identities:
        """Returns who documents are."""
        data, first = documents.data, documents.starts + LENGTH
        places, fit = places_after(data, first, len(_IDENTIFIER), documents.ends - 1)
        fit &= IS_ID[places.kinds] & are_named(data, _IDENTIFIER, first)
        are_own = fit & (places.kinds == bson.OBJECT_ID)
        own = object_ids(data, np.where(are_own, places.starts, 0))
        keys, names = uuids_of(own), hex_texts(own)
        if are_own.all():
            return cls(keys, uuid_texts(keys), names, are_object_ids=True)
        names = names.set(pl.Series(~are_own), None)
        at = np.flatnonzero(fit & ~are_own)
        names = names.scatter(at, source_ids(data, places.of(at), of_references=False))
        others = names.is_null().arg_true()
        texts = [source_id_of(identifier_of(documents[number])) for number in others]
        names = names.scatter(others, pl.Series(texts, dtype=pl.String))
        each_key, at = np.frombuffer(keys, dtype=UUID_DTYPE).copy(), np.flatnonzero(~are_own)
        of_others = keys_of_source_ids(collection, names.gather(at))
        each_key[at] = np.frombuffer(of_others, dtype=UUID_DTYPE)
        for number, name in zip(others, texts, strict=True):
            if is_object_id_text(name):  # it does not stand first
                each_key[number] = object_id_uuid(bytes.fromhex(name))
                are_own[number] = True
        keys = each_key.tobytes()
        return cls(keys, uuid_texts(keys), names, are_object_ids=bool(are_own.all()))


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields items, the next of which a thread fetches while one is worked on; None ends them."""
    iterator = iter(items)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="judge") as reader:
        waiting = reader.submit(next, iterator, None)
        while (item := waiting.result()) is not None:
            waiting = reader.submit(next, iterator, None)
            yield item


def batches(
    database: SourceDatabase,
    collection: str,
    *,
    fields: Sequence[str] | None = None,
    part: Range = WHOLE,
) -> Iterator[Documents]:
    """Yields the documents of a collection in `_id` order.

    Args:
        database: The source.
        collection: The collection; one that does not exist has no documents.
        fields: The fields to read besides `_id`; all where None.
        part: Which documents to read.
    """
    for options in part.finds():
        cursor: Any = raw_replies(
            database[collection],
            projection=None if fields is None else {"_id": 1, **dict.fromkeys(fields, 1)},
            sort=[("_id", 1)],
            hint=[("_id", 1)] if {"min", "max"} & {*options} else None,
            batch_size=DOCUMENTS_PER_BATCH,
            **options,
        )
        with cursor:
            for data in ahead(cursor):
                if data:
                    yield Documents.of(data)


def drawn_numbers(source: SourceDatabase, collection: str, size: int, seed: int) -> list[int]:
    """Draws the numbers of documents, in `_id` order, that are reported one by one."""
    # An estimate is of the present, also where the documents are read as of a moment.
    present = source[collection].with_options(read_concern=ReadConcern())
    total = present.estimated_document_count()
    drawn = random.Random(seed)  # noqa: S311 - a sample to look at, not a secret
    return drawn.sample(range(1, total + 1), min(size, total))


def starts(data: bytes) -> list[int]:
    """Returns where the documents begin that stand in a reply of the server one after the other.

    Raises:
        SourceError: A length is not that of a document.
    """
    offsets, position, end = [], 0, len(data)
    while position < end:
        offsets.append(position)
        size = int.from_bytes(data[position : position + LENGTH], "little", signed=True)
        if not _LEAST <= size <= end - position:
            raise SourceError(
                f"document {len(offsets)} of a reply has a length of {size} bytes, and "
                f"{end - position} are left of the reply",
                where="MongoDB",
                next_step="Repeat the check; if it stays so, let mongod validate the collection",
            )
        position += size
    return offsets


class SourceIds:
    """The UUIDs of the documents of a collection, 16 bytes each."""

    def __init__(self, source: SourceDatabase, collection: str) -> None:
        """Reads the `_id` of each document."""
        keys = b"".join(
            Identities.of(collection, documents).keys
            for documents in batches(source, collection, fields=())
        )
        self._ids = np.sort(np.frombuffer(keys, dtype=_UUID_DTYPE))

    def have(self, uuids: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """Tells of UUIDs, 16 bytes each, which of them documents have."""
        if not len(self._ids):
            return np.zeros(len(uuids), dtype=np.bool_)
        wanted = np.array(uuids, dtype=_UUID_DTYPE)
        at = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        is_there: npt.NDArray[np.bool_] = self._ids[at] == wanted
        return is_there
