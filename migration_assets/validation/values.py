"""Layer 2, ``values``: all rows held against an independent reading of the documents (section 9).

Every document is judged by section 5 (``judge``) and held against its row, every column exactly; every
loss that the judge sees must be on record with its original, and nothing else may be. A sample drawn at
random is compared field by field and reported as keys. The server's own counts of documents, and of values
of an unusual BSON type, guard the judge's reader.

A batch of documents and the same range of rows are held at a time. What grows with the source are the pairs
of a relation, 32 bytes each on either side. Findings are counted in full and kept as a few keys; where rows
are found that no document stands for, the ids of all documents are read once more, 16 bytes each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from migration_assets.text import counted
from migration_assets.validation.evidence import SAMPLE_SIZE, Evidence, Layer, Phases, Severity
from migration_assets.validation.exact_values import ALTERED, NULLED, REJECTED
from migration_assets.validation.findings import (
    TOTALS,
    Comparison,
    Total,
    What,
    failing_rows,
    totals_frame,
)
from migration_assets.validation.key_digest import KeyDigest

LOAD_AGAIN = (
    "Materialize the table again, then run this check; if it stays red, the loader and the judge read "
    "section 5 differently: report the keys"
)


def values_evidence(table: sa.Table, comparison: Comparison, phases: Phases) -> Evidence:
    """Returns what a comparison says of values.

    It passes where nothing differs, no document was rejected and no value was altered or nulled. Where
    some were, the table is sound, but nobody has agreed to the loss yet, unless a remediation accepts it.
    """
    with phases.phase("verdict"):
        kinds = comparison.values.totals(What)
        kinds.append(Total("rows that do not agree", 0, comparison.unequal))
        frame = totals_frame([*kinds, *comparison.totals])
        wrong = failing_rows(TOTALS, frame)
        totals = frame[[number for number in wrong if number >= len(kinds)]].to_dicts()
        verdict = _Verdict(comparison, is_sound=not wrong, totals=totals)
    return Evidence(
        table=table.name,
        layer=Layer.VALUES,
        passed=verdict.is_sound and not verdict.lost,
        severity=Severity.ERROR,
        is_sound=verdict.is_sound,
        summary=verdict.summary(),
        next_step=verdict.next_step(),
        counts=verdict.counts(),
        failures=comparison.values.count + len(verdict.totals) + verdict.lost,
        sample=verdict.sample(),
        rows=verdict.rows(),
        seconds=phases.seconds,
    )


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What follows from a comparison.

    Attributes:
        comparison: The comparison.
        is_sound: Whether the table is what the documents and the rules make of it, by the schema.
        totals: Totals that the schema found.
    """

    comparison: Comparison
    is_sound: bool
    totals: list[dict[str, Any]]

    @property
    def lost(self) -> int:
        """Documents that were rejected, and values that were altered or nulled: what nobody accepts."""
        return sum(
            self.comparison.recorded.get(kind, 0) - self.comparison.accepted.get(kind, 0)
            for kind in (REJECTED, ALTERED, NULLED)
        )

    def counts(self) -> dict[str, int]:
        """Returns the totals by name."""
        conversions: Counter[str] = Counter()
        for (_, _, kind), count in self.comparison.conversions.items():
            conversions[kind] += count
        sampled = self.comparison.sampled
        return {
            "documents": self.comparison.documents,
            "rows": self.comparison.rows,
            "differences": self.comparison.values.count,
            "totals_compared": len(self.comparison.totals),
            "totals_that_differ": len(self.totals),
            **self.comparison.lines,
            **conversions,
            **{
                f"accepted: {kind}": count
                for kind, count in self.comparison.accepted.items()
                if count
            },
            "sampled": len(sampled),
            "sampled_fields_compared": sum(keys["fields_compared"] for keys in sampled),
            "sampled_fields_equal": sum(keys["fields_equal"] for keys in sampled),
        }

    def sample(self) -> list[Mapping[str, Any]]:
        """Returns what failed, else what was drawn at random, as keys."""
        failed: list[Mapping[str, Any]] = [
            *self.comparison.values.sample,
            *self.totals,
        ]
        return (failed or self.comparison.sampled)[:SAMPLE_SIZE]

    def rows(self) -> str:
        """Returns which differences and totals there are; losses on record are findings of their own."""
        digest = KeyDigest(self.comparison.values.keys.total)
        for total in self.totals:
            digest.add(*total.values())
        return digest.text()

    def summary(self) -> str:
        """Returns the verdict in one line."""
        if not self.is_sound:
            faults = [
                (self.comparison.values.count, "difference"),
                (len(self.totals), "wrong total"),
            ]
            counts = " and ".join(counted(count, noun) for count, noun in faults if count)
            of_what = (self.comparison.documents, "document"), (self.comparison.rows, "row")
            return f"{counts} in {' and '.join(counted(*of) for of in of_what)}"
        equal = (
            f"all {self.comparison.rows} rows equal what {self.comparison.documents} documents say"
        )
        by_kind = {kind: count for kind, count in self.comparison.recorded.items() if count}
        if not by_kind:
            return equal
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(by_kind.items()))
        accepted = sum(self.comparison.accepted.values())
        return f"{equal}; on record: {kinds}" + (f"; {accepted} accepted" if accepted else "")

    def next_step(self) -> str:
        """Returns what to do, nothing where the check passed."""
        if not self.is_sound:
            return LOAD_AGAIN
        if self.lost:
            return (
                "Look at migration.rejected_documents and migration.issues for this table: correct each "
                "rejected document and each altered or nulled value in the source or by a remediation, "
                "then materialize the table again"
            )
        return ""
