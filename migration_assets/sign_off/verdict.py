"""The verdict: what stands against a GO, read from the target's own record and from the source."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from migration_assets.causes.books import KEYS_MODULUS
from migration_assets.causes.proposals import Confidence
from migration_assets.causes.tracing import GONE, REPEATED
from migration_assets.causes.words import follows, what
from migration_assets.loading.dependencies import depends_on
from migration_assets.model import Model
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.recorded import REJECTED, Line, Recorded, Result, read_recorded
from migration_assets.sign_off.waivers import Approval, Decision, Waived, matched
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.origin import Origin, others
from migration_assets.target.bookkeeping import uuid_map
from migration_assets.target.connection import Connection
from migration_assets.text import counted
from migration_assets.upgrade import release_of
from migration_assets.validation.evidence import Layer, Severity
from migration_assets.validation.key_digest import rows_of, rows_text

GO, NO_GO = "GO", "NO-GO"
CONSTRAINTS = "constraints"
SOURCE = "source"
ORPHANED = "orphaned"
TOUCHED = "touched"
"""The state of a check of rows or books that somebody has changed since."""

WARNING = "warning"
"""The state of a check that informs, and the kind of what it says."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """GO where nothing stands against it.

    Attributes:
        findings: What stands against a GO, and nobody answers for.
        checks: How many checks were expected.
        information: What does not stand against it, but somebody should know.
        waived: Waivers with their findings, those that do not hold included.
        approval: What came from people.
        documents_in_no_table: Documents that were rejected, agreed to or not.
        values_lost: Values that were altered or nulled and references that were orphaned, agreed to or not.
    """

    findings: Sequence[Finding]
    checks: int
    information: Sequence[Finding] = ()
    waived: Sequence[Waived] = ()
    approval: Approval = field(default_factory=Approval)
    documents_in_no_table: int = 0
    values_lost: int = 0

    @property
    def is_go(self) -> bool:
        """Whether the migration can be signed off, and nobody declines."""
        return not self.findings and self.approval.decision is not Decision.DECLINE

    @property
    def decisions(self) -> int:
        """How many causes of losses somebody has to decide on until GO."""
        return sum(is_loss(finding.check, finding.kind) for finding in self.findings)

    @property
    def word(self) -> str:
        """``GO`` or ``NO-GO``."""
        return GO if self.is_go else NO_GO

    @property
    def headline(self) -> str:
        """The word, and of a GO what somebody has accepted to lose."""
        lost = []
        if self.documents_in_no_table:
            lost.append(f"{counted(self.documents_in_no_table, 'document')} in no table")
        if self.values_lost:
            lost.append(f"{counted(self.values_lost, 'value')} lost or altered")
        return f"{GO}, with {' and '.join(lost)}" if self.is_go and lost else self.word

    @property
    def signature(self) -> str:
        """Who signed what, in words."""
        approval = self.approval
        if not approval.approver:
            return "not signed"
        who = f"{approval.approver}, {approval.role}" if approval.role else approval.approver
        if approval.decision is Decision.DECLINE:
            return f"declined by {who}"
        return (
            f"signed by {who}" if self.is_go else f"not signed: {who} would, but findings are open"
        )


def verdict(
    model: Model,
    connection: Connection,
    source: SourceDatabase,
    fingerprints: Mapping[str, str],
    approval: Approval | None = None,
    remediations: Remediations = NO_REMEDIATIONS,
    unkept: Mapping[str, tuple[int, int]] | None = None,
    origin: Origin | None = None,
) -> Verdict:
    """Returns what stands against a GO.

    Args:
        model: The application's tables.
        connection: A connection to the target.
        source: The source database, where ids that lead nowhere are looked up.
        fingerprints: Of every collection of the source, as it is now.
        approval: Waivers, and who decides; nobody where None.
        remediations: The rules as they are now.
        unkept: Unknown collections of which the books differ: documents in the source and in the books.
        origin: The source as it is now; it is not looked at where None.

    Raises:
        MigrationError: A waiver matches no finding.
    """
    recorded = read_recorded(model, connection, source, remediations)
    return judged(recorded, fingerprints, approval, unkept, origin)


def judged(
    recorded: Recorded,
    fingerprints: Mapping[str, str],
    approval: Approval | None = None,
    unkept: Mapping[str, tuple[int, int]] | None = None,
    origin: Origin | None = None,
) -> Verdict:
    """Returns what stands against a GO in a record.

    A check counts only when it is of the latest load of its table, of the rows and books that are there now,
    and has seen the last change of everything that the table's ids point to.

    Args:
        recorded: What the target has on record.
        fingerprints: Of every collection of the source, as it is now.
        approval: Waivers, and who decides; nobody where None.
        unkept: Unknown collections of which the books differ: documents in the source and in the books.
        origin: The source as it is now; it is not looked at where None.

    Raises:
        MigrationError: A waiver matches no finding.
    """
    approval = approval or Approval()
    found: list[Finding] = []
    for name in recorded.model.tables:
        found += _table_findings(name, recorded, fingerprints)
    found += _cause_findings(recorded)
    if origin is not None:
        found += _source_findings(recorded, origin)
    found += _map_findings(recorded)
    found += _constraint_findings(recorded)
    found += _unknown_findings(unkept or {})
    waived = matched(
        approval.waivers,
        () if approval.withdraws else recorded.waivers,
        found,
        dt.datetime.now(dt.UTC).date(),
    )
    held = {each.finding.id for each in waived if not each.why_void}
    return Verdict(
        findings=[each for each in found if each.id not in held],
        checks=len(recorded.model.tables) * len(Layer),
        information=list(_information(recorded)),
        waived=waived,
        approval=approval,
        documents_in_no_table=recorded.documents_in_no_table,
        values_lost=recorded.values_lost,
    )


def _unknown_findings(unkept: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
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


def _source_findings(recorded: Recorded, origin: Origin) -> Iterator[Finding]:
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
        name for each in recorded.origins if each not in others_before for name in each.collections
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


def _map_findings(recorded: Recorded) -> Iterator[Finding]:
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


def _constraint_findings(recorded: Recorded) -> Iterator[Finding]:
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
            said = "is missing" if kind == "missing" else "differs from the model"
            what = f"index or foreign key {name} {said}"
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


def _table_findings(
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
    losses = [each for each in recorded.losses if each.table == name]
    for layer in Layer:
        of_layer = [each for each in losses if layer_of(each) is layer]
        yield from _check_findings(name, layer, recorded, explained=bool(of_layer))


def layer_of(line: Line) -> Layer:
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


def _rows_of(result: Result) -> str:
    """Returns which rows failed, and as what: of keys alone, another wrong value would be the same."""
    rows = result.evidence.get("rows", "")
    return rows_of(rows, str(result.rows_mark), str(result.books_mark)) if rows else ""


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
        recorded.loads[each.name].version != result.versions.get(each.name)
        for each in depends_on(recorded.model.tables[name])
        if each.name in recorded.loads
    )
    if load is None or result.load_id != load.id or has_changed:
        return "stale"
    if (result.rows_mark, result.books_mark) != recorded.marks.get(name):
        return TOUCHED
    if result.passed:
        return "passed"
    return "failed" if result.severity == Severity.ERROR else WARNING


def _cause_findings(recorded: Recorded) -> Iterator[Finding]:
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


def is_loss(check: str, kind: str) -> bool:
    """Tells whether a finding is the cause of a loss on record: a decision that somebody has to take."""
    return kind in _LOSSES and check in (Layer.VALUES, Layer.REFERENCES)


_LOSSES = frozenset({REJECTED, "altered", "nulled", ORPHANED, GONE, REPEATED})


def _information(recorded: Recorded) -> Iterator[Finding]:
    """Yields what nobody has to do anything about."""
    for name in recorded.model.tables:
        for layer in Layer:
            result = recorded.results.get((name, layer))
            state = check_state(name, layer, recorded)
            if result is not None and state == WARNING:
                yield Finding(
                    name,
                    f"check {layer} warns: {result.summary}",
                    result.evidence.get("next_step", ""),
                    check=layer.value,
                    kind=WARNING,
                    count=result.evidence.get("failures", 0),
                )
    for rule in recorded.remediations:
        yield Finding(
            rule.collection,
            rule.said(),
            "" if rule.count else "Correct the rule, or take it out of the file",
            check="remediations",
            kind=rule.action.value if rule.count else "unused",
            field=rule.rule,
            count=rule.count,
        )
    for unmapped in recorded.unmapped:
        is_known = unmapped.collection in recorded.model.tables
        said = counted(unmapped.documents, "document")
        yield Finding(
            unmapped.collection,
            f"{said} with fields that the model does not know"
            if is_known
            else f"the model does not know this collection; {said} of it kept",
            "Nothing is lost: they are in migration.unmapped_fields",
            check="model",
            kind="unmapped",
            count=unmapped.documents,
        )
    for index in () if recorded.missing else recorded.left_out:
        yield Finding(
            CONSTRAINTS,
            f"index {index}, an addition for searching, is not there",
            "The application does without; materialize migration/constraints to have it",
            check=CONSTRAINTS,
            kind="left_out",
            field=index,
            count=1,
        )
    release = release_of(recorded.model)
    for item, count in recorded.upgrade:
        yield Finding(
            item.table,
            f"{release}, {item.outcome}: {item.what}: {count:,}",
            item.next_step,
            check="upgrade",
            kind=item.outcome.value,
            field=item.field,
            count=count,
        )
