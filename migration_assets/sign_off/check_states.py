"""Whether a check counts: by the loads and marks that it has seen, not by clocks."""

from __future__ import annotations

from migration_assets.loading.dependencies import depends_on
from migration_assets.sign_off.recorded import Recorded
from migration_assets.validation.evidence import Layer, Severity

TOUCHED = "touched"
"""The state of a check of rows or books that somebody has changed since."""

WARNING = "warning"
"""The state of a check that informs, and the kind of what it says."""


def check_state(name: str, layer: Layer, recorded: Recorded) -> str:
    """Returns `passed`, `warning`, `failed`, `touched`, `stale` or `missing`.

    It goes by the loads and marks that the check has seen, not by clocks.
    """
    result, load = recorded.results.get((name, layer)), recorded.loads.get(name)
    if result is None:
        return "missing"
    if result.rows_mark is None and not result.passed:
        return "failed"  # it could not even look
    has_changed = any(
        recorded.loads[referred_table.name].version != result.versions.get(referred_table.name)
        for referred_table in depends_on(recorded.model.tables[name])
        if referred_table.name in recorded.loads
    )
    if load is None or result.load_id != load.id or has_changed:
        return "stale"
    if (result.rows_mark, result.books_mark) != recorded.marks.get(name):
        return TOUCHED
    if result.passed:
        return "passed"
    return "failed" if result.severity == Severity.ERROR else WARNING
