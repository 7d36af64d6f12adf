"""The digest of a content: what stands in a collection, in whatever order and cut it was read.

Each document has a SHA-256. Taken as eight numbers of 32 bits each, those of all documents are added up lane
by lane, in 64 bits, so that no sum ends before 2^32 documents. So the digests of the ranges of a collection
add up to that of the whole, whoever has read them, and its fingerprint hangs on its documents alone.

It tells accidents, not forgers: who may choose documents could find some whose sums are those of others. But
who can write to the source has no need to; what a fingerprint is for is to notice that somebody wrote. By
chance two contents have the same sums once in 2^256, as with any digest of that length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from migration_assets.source.connection import SourceDatabase
from migration_assets.source.reading import document_bounds, raw_batches

DIGEST_BYTES = 32
_LANES = 8
_new_digest = hashlib.sha256().copy
"""A new one is a copy of one: to take options again costs as much as the digest of a short document."""


def document_digests(data: bytes, bounds: list[int] | None = None) -> bytes:
    """Returns the SHA-256 of each of some documents, 32 bytes each, one after the other.

    Args:
        data: Documents as BSON, one after the other.
        bounds: Where they begin, and where the last one ends, if that is known.
    """
    return b"".join(
        [_digest(data[start:end]) for start, end in pairwise(bounds or document_bounds(data))]
    )


@dataclass(slots=True)
class ContentDigest:
    """The digest of some documents of a collection.

    Attributes:
        documents: How many there are.
        size: Their size in bytes.
        lanes: The sums of their digests, eight numbers.
    """

    documents: int = 0
    size: int = 0
    lanes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(_LANES, np.uint64))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Returns the digest that :meth:`as_text` gave.

        Raises:
            ValueError: It is none.
        """
        documents, size, *lanes = text.split()
        if len(lanes) != _LANES:
            raise ValueError("a digest of a content has eight sums")
        return cls(
            int(documents), int(size), np.array([int(lane, 16) for lane in lanes], np.uint64)
        )

    def as_text(self) -> str:
        """Returns documents, bytes and sums as a text."""
        return " ".join(
            [str(self.documents), str(self.size), *(f"{lane:x}" for lane in self.lanes)]
        )

    def add(self, data: bytes) -> None:
        """Takes in more documents, as BSON one after the other."""
        self.add_digests(document_digests(data), len(data))

    def add_digests(self, digests: bytes, size: int) -> None:
        """Takes in more documents, given their digests, 32 bytes each, and their size in bytes."""
        added = np.frombuffer(digests, dtype="<u4").reshape(-1, _LANES)
        self.lanes = self.lanes + added.sum(axis=0, dtype=np.uint64)
        self.documents += len(added)
        self.size += size

    def add_content(self, other: ContentDigest) -> None:
        """Takes in the documents of another digest."""
        self.lanes = self.lanes + other.lanes
        self.documents += other.documents
        self.size += other.size

    def fingerprint(self, collection: str) -> str:
        """Returns the fingerprint of a collection that holds these documents, as 64 hex digits.

        Equal content, equal fingerprint. It is the data version of the source asset (section 7).
        """
        text = f"{self.documents} {' '.join(f'{lane:x}' for lane in self.lanes)} {collection}"
        return hashlib.sha256(text.encode()).hexdigest()


def content(source: SourceDatabase, collection: str) -> ContentDigest:
    """Returns the digest of what a collection holds now; it is read as a whole.

    Raises:
        SourceError: MongoDB is out of reach.
    """
    digest = ContentDigest()
    for data in raw_batches(source[collection]):
        digest.add(data)
    return digest


def fingerprints(source: SourceDatabase, collections: Iterable[str]) -> dict[str, str]:
    """Returns the fingerprints of collections as they are now, as hex digits, by name."""
    return {name: content(source, name).fingerprint(name) for name in collections}


class BytesDigest:
    """The digest of what is read of a range, in the order of `_id`.

    It is of all bytes at once, so it says something of the same range alone; it takes a tenth of what the
    digests of so many documents take, and nothing is signed by it.
    """

    def __init__(self) -> None:
        self._digest, self._size = _new_digest(), 0

    def add(self, data: bytes) -> None:
        """Takes in more documents, as BSON one after the other."""
        self._digest.update(data)
        self._size += len(data)

    def as_text(self) -> str:
        """Returns it as 64 hex digits."""
        return self._digest.hexdigest()

    def content(self) -> ContentDigest:
        """Returns the digest as that of a content, where no document has a digest of its own."""
        digest = ContentDigest()
        digest.add_digests(self._digest.digest(), self._size)
        return digest


def _digest(document: bytes) -> bytes:
    digest = _new_digest()
    digest.update(document)
    return digest.digest()
