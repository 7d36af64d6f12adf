"""Fingerprints of collections: what a source asset's data version is."""

from __future__ import annotations

from collections.abc import Iterable

from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import ContentDigest
from migration_assets.source.reading import raw_batches


def content(source: SourceDatabase, collection: str) -> ContentDigest:
    """Returns the digest of what a collection holds now; it is read as a whole.

    Raises:
        SourceError: MongoDB is out of reach.
    """
    digest = ContentDigest()
    for batch in raw_batches(source[collection]):
        digest.add(batch.data)
    return digest


def fingerprints(source: SourceDatabase, collections: Iterable[str]) -> dict[str, str]:
    """Returns the fingerprints of collections as they are now, as hex digits, by name."""
    return {name: content(source, name).fingerprint(name) for name in collections}
