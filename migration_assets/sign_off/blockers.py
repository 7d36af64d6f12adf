"""What stands against a GO in the record, table by table and cause by cause."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

from migration_assets.causes.books import KEYS_MODULUS
from migration_assets.causes.proposals import Confidence
from migration_assets.causes.tracing import GONE
from migration_assets.causes.words import follows, what
from migration_assets.sign_off.check_states import TOUCHED, check_state
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.recorded import BookCount, CheckResult, Recorded
from migration_assets.source.origin import Origin, others
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.text import counted
from migration_assets.validation.evidence import Layer
from migration_assets.validation.key_digest import rows_of, rows_text

CONSTRAINTS = "constraints"
SOURCE = "source"
ORPHANED = "orphaned"


def table_findings(
    name: str, recorded: Recorded, fingerprints: Mapping[str, str]
) -> Iterator[Finding]:
    """Yields what stands against a table."""
    load = recorded.loads.get(name)
    if load is None:
        do = f"Materialize postgres/{name}"
        yield Finding(name, "was never loaded", do, check="load", kind="missing")
        return
    if name in recorded.loaded_with_other:
        yield Finding(
            name,
            "was loaded with other remediations",
            f"Materialize postgres/{name} again",
            check="remediations",
            kind="stale",
        )
    if name in recorded.loaded_by_other:
        yield _loaded_by_other(name, f"Materialize postgres/{name} again")
    for collection, fingerprint in load.fingerprints.items():
        if fingerprints.get(collection) != fingerprint:
            yield Finding(
                name,
                f"collection {collection} was written to after it was read",
                "Freeze writes to the source, then migrate again",
                check=SOURCE,
                kind="written",
                field=collection,
            )
    touched = [layer for layer in Layer if check_state(name, layer, recorded) == TOUCHED]
    if touched:
        yield Finding(
            name,
            f"rows or books were touched by somebody else since they were checked ({', '.join(touched)}); "
            "VACUUM FULL, ALTER TABLE and a new label of an enum look the same",
            f"Run the checks of postgres/{name} again",
            check="target",
            kind=TOUCHED,
        )
    losses = [loss for loss in recorded.losses if loss.table == name]
    for layer in Layer:
        of_layer = [loss for loss in losses if layer_of(loss) is layer]
        yield from _check_findings(name, layer, recorded, explained=bool(of_layer))


def layer_of(line: BookCount) -> Layer:
    """Returns the check that is red for a loss that is on record."""
    return Layer.REFERENCES if line.kind == ORPHANED else Layer.VALUES


def _check_findings(
    name: str, layer: Layer, recorded: Recorded, *, explained: bool
) -> Iterator[Finding]:
    """Yields what is the matter with a check; one that is red for losses on record alone is explained."""
    again = f"Run the checks of postgres/{name}"
    result = recorded.results.get((name, layer))
    state = check_state(name, layer, recorded)
    if state == "missing":
        yield Finding(name, f"check {layer} never ran", again, check=layer.value, kind=state)
    elif state == "stale":
        what = f"check {layer} is older than the data"
        yield Finding(name, what, again, check=layer.value, kind=state)
    elif state == "failed" and result is not None:
        if explained and result.evidence.get("is_sound"):
            return
        yield Finding(
            name,
            f"check {layer} failed: {result.summary}",
            result.evidence.get("next_step") or again,
            check=layer.value,
            kind=state,
            count=result.evidence.get("failures", 0),
            rows=_rows_of(result),
        )


def _rows_of(result: CheckResult) -> str:
    """Returns which rows failed, and as what: of keys alone, another wrong value would be the same."""
    rows = result.evidence.get("rows", "")
    return rows_of(rows, str(result.rows_mark), str(result.books_mark)) if rows else ""


def cause_findings(recorded: Recorded) -> Iterator[Finding]:
    """Yields a finding for each cause of what is on record as lost, with all that follows from it."""
    for cause, proposed in recorded.causes:
        following = follows(cause)
        layer = Layer.REFERENCES if cause.root.kind in (GONE, ORPHANED) else Layer.VALUES
        do = "Correct the source" if proposed.confidence is Confidence.CHOICE else "Keep the rule"
        yield Finding(
            cause.root.collection,
            f"{what(cause)}{f'; what follows is {following}' if following else ''}",
            f"{do} ({proposed.why}), materialize the tables again, or waive it",
            check=layer.value,
            kind=cause.root.kind,
            field=cause.root.field or cause.root.known_from,
            count=cause.count,
            rows=rows_text(cause.keys % KEYS_MODULUS),
            rule=f"# {proposed.confidence}: {proposed.why}\n{proposed.text()}",
        )


def source_findings(recorded: Recorded, origin: Origin) -> Iterator[Finding]:
    """Yields what is not as it was in the source: another database, or collections that are gone.

    Loading them all the same is right where it was meant, so each can be waived; it cannot pass unseen.
    """
    others_before = others(origin, recorded.origins)
    for other in others_before:
        rows = rows_of("another", other.database, *sorted(other.uuids or other.hosts))
        yield Finding(
            SOURCE,
            f"the target was filled from another source before: {other}",
            "Where that is meant, as after a rehearsal with a copy, waive it; else set the source's URL "
            "right and migrate again",
            check=SOURCE,
            kind="another",
            field=f"{other.database} {rows}",
            count=1,
            rows=rows,
        )
    for name, (documents, moment) in recorded.had_documents.items():
        state = "has no document any more" if name in origin.collections else "is gone"
        when = f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
        yield _gone(
            name, f"{state}; the load of {when} found {counted(documents, 'document')}", documents
        )
    before = {
        name
        for origin in recorded.origins
        if origin not in others_before
        for name in origin.collections
    }
    for name in sorted(before - origin.collections.keys() - recorded.model.entities.keys()):
        yield _gone(
            name, "is gone, which the model does not know: what was kept of it is gone too", 1
        )


def _gone(collection: str, what: str, count: int) -> Finding:
    return Finding(
        collection,
        f"collection {collection} {what}",
        "Where that is meant, waive it; else bring it back, from a backup if need be, and migrate again",
        check=SOURCE,
        kind="gone",
        field=collection,
        count=count,
        rows=rows_of("gone", collection, str(count)),
    )


def map_findings(recorded: Recorded) -> Iterator[Finding]:
    """Yields what stands against the UUID map: checks go by it, and none is of it."""
    name = uuid_map.name
    again = "Materialize migration/uuid_map again, then run the checks"
    if name in recorded.loaded_by_other:
        yield _loaded_by_other(name, again)
    if recorded.is_map_touched:
        what = "the map, or what it keeps, was touched by somebody else since it was loaded"
        yield Finding(name, what, again, check="target", kind="touched")


def _loaded_by_other(name: str, next_step: str) -> Finding:
    what = "was loaded by another version of this program, of its model or of a library"
    return Finding(name, what, next_step, check="load", kind="stale")


def constraint_findings(recorded: Recorded) -> Iterator[Finding]:
    """Yields what stands against the indexes and foreign keys, one by one."""
    for names, kind, do in (
        (
            recorded.missing,
            "missing",
            "Materialize migration/constraints; where that leaves an index out, a row that was written since "
            "holds a value that is too long for it",
        ),
        (recorded.differing, "differs", "Drop it, then materialize migration/constraints"),
    ):
        for name in names:
            complaint = "is missing" if kind == "missing" else "differs from the model"
            what = f"index or foreign key {name} {complaint}"
            yield Finding(
                CONSTRAINTS,
                what,
                do,
                check=CONSTRAINTS,
                kind=kind,
                field=name,
                count=1,
                rows=rows_of(kind, name),
            )


def unknown_findings(unkept: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    """Yields what stands against the books of collections that the model does not know.

    It has no count and so cannot be waived: nobody has looked at what is not kept.
    """
    for collection, (documents, kept) in unkept.items():
        numbers = f"{counted(documents, 'document')} in the source, {kept:,} in the books"
        yield Finding(
            collection,
            f"this collection, which the model does not know, is not kept as it is: {numbers}",
            "Materialize migration/uuid_map again, then sign off",
            check="model",
            kind="unkept",
        )
