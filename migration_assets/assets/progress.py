"""Telling somebody how a run goes on, while it does."""

from __future__ import annotations

from migration_assets.loading.records import LoadResult
from migration_assets.validation.evidence import Evidence


class Progress:
    """What a run tells; this one keeps silent, as the UI has its own display."""

    def started(self, table: str) -> None:
        """A table is next."""

    def loaded(self, result: LoadResult) -> None:
        """A table was brought to the state of its source."""

    def checked(self, evidence: Evidence) -> None:
        """A check has its result."""
