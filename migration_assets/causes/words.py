"""Causes in words, the same wherever they are shown. Names, keys and counts, never values."""

from __future__ import annotations

from collections import Counter

from migration_assets.causes.losses import ALTERED, ORPHANED, REJECTED
from migration_assets.causes.origins import TEXTS
from migration_assets.causes.tracing import GONE, REPEATED, Cause
from migration_assets.text import counted

SHOWN = 3

_VERBS = {REJECTED: "rejected", ORPHANED: "orphaned", ALTERED: "altered", "nulled": "nulled"}


def what(cause: Cause) -> str:
    """Returns the fault at the root, in a line."""
    root, count = cause.root, cause.direct.total()
    if root.kind == GONE:
        missing = len(cause.missing_ids)
        is_one = missing == 1
        if root.known_from == TEXTS:
            fact = f"{counted(missing, 'text')} {'stands' if is_one else 'stand'} where an id "
            return f"{fact}of {root.collection} should: {counted(count, 'reference')}"
        fact = f"{counted(missing, 'document')} of {root.collection} {'is' if is_one else 'are'} missing"
        if root.known_from:
            fact += f"; the ids are those of {root.known_from}"
        return f"{fact}: {counted(count, 'reference')} to {'it' if is_one else 'them'}"
    place = ".".join(filter(None, [root.collection, root.field]))
    if root.kind == REJECTED and not root.field:
        return f"{counted(count, 'document')} of {place} cannot be read"
    if root.kind in (REJECTED, REPEATED):
        return f"{counted(count, 'document')} rejected for {place}: {_reasons(cause)}"
    if root.kind == ORPHANED:
        return f"{counted(count, 'reference')} of {place} orphaned: {_reasons(cause)}"
    return f"{counted(count, 'value')} of {place} {_VERBS[root.kind]}: {_reasons(cause)}"


def follows(cause: Cause) -> str:
    """Returns its consequences, by table; empty where there are none beyond :func:`what`."""
    losses: Counter[tuple[str, str]] = Counter()
    counted_losses = cause.consequences + (cause.direct if cause.root.kind == GONE else Counter())
    for (_, collection, field, kind), count in counted_losses.items():
        losses[kind, collection if kind == REJECTED else f"{collection}.{field}"] += count
    parts = []
    for kind in (REJECTED, ORPHANED):
        named = [f"{count:,} {name}" for (of, name), count in losses.most_common() if of == kind]
        if named:
            more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
            parts.append(f"{kind}: {', '.join(named[:SHOWN])}{more}")
    return "; ".join(parts)


def _reasons(cause: Cause) -> str:
    reasons = [reason for reason, _ in cause.reasons.most_common()]
    more = f" and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
    return f"{reasons[0]}{more}"
