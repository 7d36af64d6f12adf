"""Findings about what a run would lose: by cause, each with the documents and values that it takes along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migration_assets.causes.losses import REJECTED
from migration_assets.causes.origins import known_from
from migration_assets.causes.rehearsal import rehearse
from migration_assets.causes.tracing import causes_of
from migration_assets.causes.words import follows, what
from migration_assets.model import Model
from migration_assets.preflight.contents import Content
from migration_assets.preflight.findings import SEARCHES_ALL, Area, PreflightFinding, ok, warning
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.text import counted

MOST_DOCUMENTS = 500_000
"""A preflight takes a minute at most: what is larger is not rehearsed."""

SHOWN = 20
"""Causes that are told one by one."""


def losses(
    model: Model,
    source: SourceDatabase,
    held: Mapping[str, Content],
    remediations: Remediations | None,
) -> Iterator[PreflightFinding]:
    """Yields what would stand against a GO, since every document is converted in memory.

    Args:
        model: The application's tables.
        source: The source database, with collections that count as others united.
        held: What each collection holds.
        remediations: The rules as they are now; nothing is converted where None.
    """
    if remediations is None:
        yield ok(
            Area.LOSSES,
            "no document was converted to tell what would be lost: the run that follows tells",
            SEARCHES_ALL,
        )
        return
    documents = sum(content.documents for content in held.values())
    if documents > MOST_DOCUMENTS:
        yield ok(
            Area.LOSSES,
            f"what {counted(documents, 'document')} would lose was not rehearsed: over {MOST_DOCUMENTS:,}",
            "`migration-assets propose` rehearses any number of them",
        )
        return
    rehearsal = rehearse(model, source, remediations)
    causes = causes_of(rehearsal.losses, known_from(model, source, rehearsal.losses))
    if not causes:
        yield ok(Area.LOSSES, "every document would arrive, and every value of it")
        return
    rejected = len({document for cause in causes for document in cause.documents})
    values = sum(
        loss.count for loss in rehearsal.losses if loss.kind != REJECTED and not loss.is_accepted
    )
    yield warning(
        Area.LOSSES,
        f"a run would be a NO-GO for {counted(len(causes), 'cause')}: {counted(rejected, 'document')} "
        f"would be in no table, {counted(values, 'value')} would not arrive",
        "`migration-assets propose` drafts the rules that resolve them; docs/remediations.md",
    )
    for cause in causes[:SHOWN]:
        yield warning(Area.LOSSES, what(cause), following(follows(cause)))
    if len(causes) > SHOWN:
        yield warning(Area.LOSSES, f"and {len(causes) - SHOWN} more causes", "See the draft")


def following(words: str) -> str:
    """Returns what follows from a cause, as a line under it."""
    return f"What follows is {words}" if words else "Nothing else follows from it"
