"""What loads count, did, and leave behind, without SQL, and without a value of any document."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from migration_assets.source.origin import Origin


@dataclass(frozen=True, slots=True)
class Tally:
    """What a load counts: what the books of its table hold.

    Attributes:
        documents: Documents read, or elements of arrays for a junction table.
        rejected: Documents that did not become a row.
        unmapped: Documents with fields that the model does not know.
        lossless: Lossless conversions, by kind.
        lossy: Lossy conversions, by kind.
        remediated: Applications of remediations, and losses that one accepts, by rule.
    """

    documents: int = 0
    rejected: int = 0
    unmapped: int = 0
    lossless: Counter[str] = field(default_factory=Counter)
    lossy: Counter[str] = field(default_factory=Counter)
    remediated: Counter[str] = field(default_factory=Counter)

    @classmethod
    def from_statistics(cls, statistics: Mapping[str, Any]) -> Tally:
        """Returns what stands in the ledger as :meth:`LoadResult.statistics` wrote it."""
        counts: dict[str, Any] = {count.name: statistics[count.name] for count in fields(cls)}
        by_kind = {name: Counter(n) for name, n in counts.items() if isinstance(n, dict)}
        return cls(**(counts | by_kind))


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did to a table, in rows."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int
    pending: int
    """Rows whose document is gone, kept while other tables refer to them."""
    moved: int = 0
    """Rows that became pending, or ceased to be: what other tables may refer to has changed."""

    @property
    def written(self) -> int:
        """Rows that the merge touched."""
        return self.inserted + self.updated + self.deleted


_STATISTICS = (
    "seconds",
    "seconds_before",
    "size",
    "moment",
    "is_converted",
    "as_before",
    "was_touched",
)
"""Attributes of a result that stand in the ledger under their names."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load did, in counts and seconds.

    Attributes:
        table: The table that was loaded.
        load_id: The load, as the ledger knows it.
        merged: What the merge did.
        tally: What was counted, the ranges before an interruption included.
        version: The load that last changed a row: equal versions, equal rows.
        fingerprints: Fingerprint of what was read, by collection.
        origin: The source that was read; None where it is not known.
        seconds: Seconds from start to end, without the time between an interruption and the resumption.
        seconds_before: Those of them that were spent on ranges committed before an interruption.
        stages: Seconds that each stage was busy; stages overlap.
        size: Bytes read from the source.
        moment: The moment that the source was read at, in words; None where it was the present.
        is_converted: False where source and table were what the load before had left: what it counted
            counts on.
        as_before: Documents that are as the load before had read them, and were not converted.
        was_touched: Whether the table was not as the load before had left it, or there was none: which ids
            it lost is not known then.
    """

    table: str
    load_id: uuid.UUID
    merged: Merged
    tally: Tally = field(default_factory=Tally)
    version: str = ""
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    seconds: float = 0.0
    seconds_before: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    size: int = 0
    moment: str | None = None
    is_converted: bool = True
    as_before: int = 0
    was_touched: bool = False

    @property
    def documents(self) -> int:
        """Documents read, or elements of arrays for a junction table."""
        return self.tally.documents

    @property
    def rows(self) -> int:
        """Rows that the table has for the documents of the source."""
        return self.merged.inserted + self.merged.updated + self.merged.unchanged

    @property
    def rate(self) -> float:
        """Documents for each second."""
        return self.documents / self.seconds if self.seconds else 0.0

    def statistics(self) -> dict[str, Any]:
        """Returns the counts and seconds as JSON has them."""
        return {
            **{counter.name: getattr(self.tally, counter.name) for counter in fields(self.tally)},
            "merged": asdict(self.merged),
            "stages": dict(self.stages),
            **{name: getattr(self, name) for name in _STATISTICS},
        }
