"""The ids of all documents of a collection: read where something is there that no document seems to have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from migration_assets.source.connection import SourceDatabase
from migration_assets.validation.documents import Identities, batches
from migration_assets.validation.uuids import UUID_SIZE

_DTYPE = f"S{UUID_SIZE}"


class SourceIds:
    """The UUIDs of the documents of a collection, 16 bytes each."""

    def __init__(self, source: SourceDatabase, collection: str) -> None:
        """Reads the `_id` of each document."""
        keys = b"".join(
            Identities.of(collection, documents).keys
            for documents in batches(source, collection, fields=())
        )
        self._ids = np.sort(np.frombuffer(keys, dtype=_DTYPE))

    def have(self, uuids: Sequence[bytes]) -> npt.NDArray[np.bool_]:
        """Tells of UUIDs, 16 bytes each, which of them documents have."""
        if not len(self._ids):
            return np.zeros(len(uuids), dtype=np.bool_)
        wanted = np.array(uuids, dtype=_DTYPE)
        at = np.minimum(np.searchsorted(self._ids, wanted), len(self._ids) - 1)
        found: npt.NDArray[np.bool_] = self._ids[at] == wanted
        return found
