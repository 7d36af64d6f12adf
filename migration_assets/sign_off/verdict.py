"""The verdict: GO where nothing in the target's record or in the source stands against it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from migration_assets.causes.tracing import GONE, REPEATED
from migration_assets.model import Model
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.sign_off.blockers import (
    ORPHANED,
    cause_findings,
    constraint_findings,
    map_findings,
    source_findings,
    table_findings,
    unknown_findings,
)
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.information import information
from migration_assets.sign_off.recorded import REJECTED, Recorded, read_recorded
from migration_assets.sign_off.waivers import Approval, Decision, Waived, matched
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.origin import Origin
from migration_assets.target.connection import Connection
from migration_assets.text import counted
from migration_assets.validation.evidence import Layer

GO, NO_GO = "GO", "NO-GO"


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
    findings: list[Finding] = []
    for name in recorded.model.tables:
        findings += table_findings(name, recorded, fingerprints)
    findings += cause_findings(recorded)
    if origin is not None:
        findings += source_findings(recorded, origin)
    findings += map_findings(recorded)
    findings += constraint_findings(recorded)
    findings += unknown_findings(unkept or {})
    waived = matched(
        approval.waivers,
        () if approval.withdraws else recorded.waivers,
        findings,
        dt.datetime.now(dt.UTC).date(),
    )
    held = {waiver.finding.id for waiver in waived if not waiver.why_void}
    return Verdict(
        findings=[finding for finding in findings if finding.id not in held],
        checks=len(recorded.model.tables) * len(Layer),
        information=list(information(recorded)),
        waived=waived,
        approval=approval,
        documents_in_no_table=recorded.documents_in_no_table,
        values_lost=recorded.values_lost,
    )


def is_loss(check: str, kind: str) -> bool:
    """Tells whether a finding is the cause of a loss on record: a decision that somebody has to take."""
    return kind in _LOSSES and check in (Layer.VALUES, Layer.REFERENCES)


_LOSSES = frozenset({REJECTED, "altered", "nulled", ORPHANED, GONE, REPEATED})
