"""Fingerprints of collections: what a source asset's data version is."""

from __future__ import annotations

from collections.abc import Iterable

from migration_assets.source.connection import SourceDatabase
from migration_assets.source.reading import Fingerprint, raw_batches, split


def fingerprint(source: SourceDatabase, collection: str) -> Fingerprint:
    """Returns the fingerprint of a collection as it is now; it is read as a whole.

    Raises:
        SourceError: MongoDB is out of reach.
    """
    made = Fingerprint()
    for batch in raw_batches(source[collection]):
        made.add(batch.data, sum(1 for _ in split(batch.data)))
    return made


def fingerprints(source: SourceDatabase, collections: Iterable[str]) -> dict[str, str]:
    """Returns the fingerprints of collections as they are now, as hex digits, by name."""
    return {name: fingerprint(source, name).hexdigest() for name in collections}
