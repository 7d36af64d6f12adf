"""Findings about the upgrade to today's application that follows the migration."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping

from pymongo.errors import OperationFailure

from migration_assets.model import Model
from migration_assets.model.upgrade import UpgradeOutcome
from migration_assets.preflight.contents import Content
from migration_assets.preflight.findings import SEARCHES_ALL, Area, PreflightFinding, ok, warning
from migration_assets.source.connection import SourceDatabase
from migration_assets.text import listed
from migration_assets.upgrade import in_source, release_of

MILLISECONDS = 10_000
"""How long the server may take for all of it."""

_WORDS: Mapping[UpgradeOutcome, tuple[str, str]] = {
    UpgradeOutcome.REFUSED: (
        "its schema migrations refuse",
        "The files of sql/application/ add texts to the new lists; numbers are corrected by hand",
    ),
    UpgradeOutcome.DROPPED: (
        "its schema migrations drop",
        "The files of sql/application/ put it aside, and bring back what has a place",
    ),
    UpgradeOutcome.CHANGED: ("its schema migrations change", "Decide on each, before the window"),
    UpgradeOutcome.UNREADABLE: (
        "it cannot read",
        "Doubled addresses are corrected by hand, the rest by the files of sql/application/",
    ),
}


def findings(
    model: Model,
    source: SourceDatabase,
    held: Mapping[str, Content],
    *,
    is_searched: bool = True,
) -> Iterator[PreflightFinding]:
    """Yields what today's application would refuse, drop, change or not be able to read, with counts.

    Args:
        model: The application's tables.
        source: The source database.
        held: What each collection holds.
        is_searched: All documents are looked at; else it is said who does.
    """
    if (upgrade := model.upgrade) is None:
        return
    release = release_of(model)
    if not is_searched:
        yield ok(
            Area.UPGRADE,
            f"no document was searched for what {release} makes of it: the sign-off counts it in the target",
            SEARCHES_ALL,
        )
        return
    items_of: dict[UpgradeOutcome, list[str]] = defaultdict(list)
    unsearched = []
    ends = time.monotonic() + MILLISECONDS / 1000
    for name in dict.fromkeys(item.table for item in upgrade.consequences if item.in_source):
        if name not in held or not held[name].documents:
            continue
        left = int((ends - time.monotonic()) * 1000)
        try:
            if left <= 0:
                raise OperationFailure("too late")
            counts = list(in_source(model, source, name, left))
        except OperationFailure:
            unsearched.append(name)
            continue
        for item, count in counts:
            items_of[item.outcome].append(f"{item.what}: {count:,}")
    for outcome, (words, next_step) in _WORDS.items():
        if items_of[outcome]:
            yield warning(
                Area.UPGRADE,
                f"{release}: {words} {'; '.join(items_of[outcome])}",
                f"{next_step} ({upgrade.runbook})",
            )
    if unsearched:
        yield warning(
            Area.UPGRADE,
            f"not searched for what {release} makes of it: {listed(unsearched)}: refused, or not "
            f"within {MILLISECONDS // 1000} s",
            f"Look in the report of the sign-off, or at a quiet hour ({upgrade.runbook})",
        )
    elif not any(items_of.values()):
        yield ok(Area.UPGRADE, f"{release} takes all of it as it is")
