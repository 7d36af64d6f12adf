"""Layer 3, ``references``: every reference of the source is in the target or on record, and leads somewhere.

Three questions (section 9): does an id point nowhere, did the target lose a reference that the source
has, did either side lose a pair. A view of the comparison that ``values`` is made of; that an id leads
somewhere is PostgreSQL's own answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from migration_assets.model import junction_of
from migration_assets.text import counted
from migration_assets.validation.evidence import SAMPLE_SIZE, Evidence, Layer, Phases, Severity
from migration_assets.validation.exact_values import ORPHANED
from migration_assets.validation.findings import (
    TOTALS,
    Comparison,
    Fault,
    Total,
    failing,
    totals_frame,
)
from migration_assets.validation.reference_targets import reference_columns

_KEYS = ("source_id", "id", "field", "what")


def references_evidence(table: sa.Table, comparison: Comparison, phases: Phases) -> Evidence:
    """Returns what a comparison says of references.

    It is not sound where a reference is not in order and not on record: only a new load helps. References
    that are on record as orphaned fail the check too, since the source's data is at fault; pairs that only
    one of their two arrays has are a warning.
    """
    accepted = comparison.accepted.get(ORPHANED, 0)
    counts = Counter[str](orphaned=comparison.recorded.get(ORPHANED, 0) - accepted)
    if junction_of(table) is not None:
        counts.update(
            pairs=comparison.pairs,
            references=comparison.references,
            asymmetric=comparison.asymmetric,
        )
    elif reference_columns(table):
        counts.update(documents=comparison.documents, references=comparison.references)
    if accepted:
        counts["accepted"] = accepted
    totals = [
        *comparison.faults.totals(Fault),
        Total("orphaned", 0, counts["orphaned"]),
        Total("asymmetric", 0, comparison.asymmetric),
    ]
    failed = {line["name"] for line in failing(TOTALS, totals_frame(totals))}
    is_sound = failed <= {"orphaned", "asymmetric"}
    sample: list[Mapping[str, Any]] = [
        {key: line[key] for key in _KEYS} for line in comparison.faults.sample
    ]
    sample += [*comparison.orphaned, *comparison.asymmetric_sample]
    unresolved = comparison.faults.count
    return Evidence(
        table=table.name,
        layer=Layer.REFERENCES,
        passed=not failed,
        severity=Severity.WARN if failed == {"asymmetric"} else Severity.ERROR,
        is_sound=is_sound,
        summary=_summary(counts, comparison),
        next_step=_next_step(table, counts, unresolved),
        counts={**counts, "unresolved": unresolved, **comparison.faults.kinds},
        failures=unresolved + counts["orphaned"] + counts["asymmetric"],
        sample=sample[:SAMPLE_SIZE],
        rows=comparison.faults.keys.text(),
        seconds=phases.seconds,
    )


def _summary(counts: Counter[str], comparison: Comparison) -> str:
    parts = []
    if comparison.faults.count:
        kinds = ", ".join(
            f"{count} {what}" for what, count in sorted(comparison.faults.kinds.items())
        )
        parts.append(f"{counted(comparison.faults.count, 'reference')} not in order ({kinds})")
    if counts["orphaned"]:
        parts.append(f"{counted(counts['orphaned'], 'reference')} orphaned, on record")
    if counts["accepted"]:
        accepted = counted(counts["accepted"], "orphaned reference")
        parts.append(f"{accepted} accepted by a remediation")
    if counts["asymmetric"]:
        parts.append(f"{counted(counts['asymmetric'], 'pair')} in only one of the two arrays")
    return "; ".join(parts) or f"all {counts['references']} references arrived and lead to a row"


def _next_step(table: sa.Table, counts: Counter[str], unresolved: int) -> str:
    if unresolved:
        return "Materialize the table again, after those that it refers to"
    if counts["orphaned"]:
        return (
            f"Look at migration.issues where target_table = '{table.name}' and kind = 'orphaned': "
            "correct them by a remediation and materialize the table again, or waive the finding"
        )
    if counts["asymmetric"]:
        return "Nothing is lost: the table has the pairs of both arrays"
    return ""
