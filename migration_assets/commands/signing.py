"""Signing off on the command line: who signs, what is waived, and whether a report is the recorded one."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from migration_assets.commands.running import Exit, require_schema, sign_off
from migration_assets.endpoints import target_url
from migration_assets.errors import MigrationError
from migration_assets.sign_off.report import digest
from migration_assets.sign_off.signing import is_recorded, latest
from migration_assets.sign_off.waivers import (
    Approval,
    Decision,
    Waiver,
    draft,
    known_ids,
    read_waivers,
)
from migration_assets.target.connection import open_target
from migration_assets.target.lock import held_for_run
from migration_assets.target.ownership import withdraw, withdrawal_of
from migration_assets.text import escape

_SURROGATE = re.compile("[\ud800-\udfff]")
_AGAIN = "Run `migration-assets sign-off`, look at the report, and take the id from there"


def require_unicode(**texts: str | None) -> None:
    """Refuses text that is not UTF-8, which no database takes; the terminal has another encoding.

    Raises:
        MigrationError: A text is not Unicode.
    """
    for name, text in texts.items():
        if _SURROGATE.search(text or ""):
            raise MigrationError(
                "the text is not UTF-8",
                where=f"--{name}",
                next_step="Set the terminal to UTF-8, or write it without accents",
            )


def approval_of(
    *,
    approver: str | None,
    role: str | None,
    decline: bool = False,
    waivers: Path | None = None,
    withdraws: bool = False,
) -> Approval:
    """Returns the approval that the options of a command give.

    Raises:
        MigrationError: The file of waivers cannot be used, an approver is missing, or a text is not UTF-8.
    """
    require_unicode(approver=approver, role=role)
    return Approval(
        approver=(approver or "").strip(),
        role=(role or "").strip(),
        decision=Decision.DECLINE if decline else Decision.APPROVE,
        waivers=read_waivers(waivers) if waivers is not None else (),
        withdraws=withdraws,
    )


def sign(
    console: Console, approval: Approval, *, waive: Sequence[str] = (), reports: str = ""
) -> Exit:
    """Determines the verdict anew, and records it as signed.

    Args:
        console: Where the result goes.
        approval: Waivers, and who signs.
        waive: Further waivers of the approver's, as `id=reason`. They are for the rows of the last
            recorded report, which is what the approver has seen.
        reports: Directory of the report.

    Raises:
        MigrationError: A waiver is none, or it cannot start.
    """
    require_unicode(waive="".join(waive))
    more = _waived(waive, approval.approver) if waive else []
    whole = replace(approval, waivers=(*approval.waivers, *more))
    return sign_off(console, approval=whole, reports=reports)


def _waived(pairs: Sequence[str], approver: str) -> list[Waiver]:
    if not approver:
        raise MigrationError(
            "nobody answers for it", where="--waive", next_step="Give --approver too"
        )
    with open_target(target_url()) as connection:
        require_schema(connection)
        last_report = latest(connection)
    findings = (
        []
        if last_report is None
        else [*last_report["findings"], *(waiver["of"] for waiver in last_report["waivers"])]
    )
    by_id = {entry["id"]: entry for entry in findings}
    waivers = []
    for pair in pairs:
        finding, _, reason = pair.partition("=")
        if not reason.strip():
            raise MigrationError(
                "has no reason", where=f"--waive {finding}", next_step="Write it as ID=REASON"
            )
        if finding not in by_id:
            raise MigrationError(
                f"the last report has no such finding; {known_ids(by_id, finding)}",
                where=f"--waive {finding}",
                next_step=_AGAIN,
            )
        count, rows = by_id[finding]["count"], by_id[finding]["rows"]
        if not (count and rows):
            raise MigrationError(
                "the finding has no count, so nobody knows what a waiver would hide",
                where=f"--waive {finding}",
                next_step="Do what the finding says",
            )
        waivers.append(Waiver(finding, count, rows, approver, reason.strip()))
    return waivers


def draft_waivers(console: Console, approver: str, output: Path | None) -> None:
    """Writes the findings of the last report as a file of waivers.

    Args:
        console: Where it goes, or the name of the file that was written.
        approver: Who answers for them, empty where that is filled in by hand.
        output: The file; none is overwritten.

    Raises:
        MigrationError: Nothing was signed off yet, or the file cannot be written.
    """
    require_unicode(approver=approver)
    with open_target(target_url()) as connection:
        require_schema(connection)
        last_report = latest(connection)
    if last_report is None:
        raise MigrationError(
            "there is no report yet",
            where="waivers",
            next_step="Run `migration-assets sign-off` first",
        )
    text = draft(last_report, approver.strip())
    if output is None:
        console.out(text, end="", highlight=False)
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise MigrationError(
            f"cannot be written ({error.strerror})",
            where=str(output),
            next_step="Give the name of a new file",
        ) from None
    console.print(f"wrote {escape(str(output))}", soft_wrap=True)


def withdraw_go(console: Console, name: str, reason: str) -> Exit:
    """Withdraws the signed GO that stands, so that loads are not refused any more.

    Raises:
        MigrationError: Name or reason is missing, no signed GO stands, or a run holds the target.
    """
    require_unicode(withdraw=name, reason=reason)
    with held_for_run(target_url(), str(uuid.uuid4())) as hold, hold.open() as connection:
        require_schema(connection)
        signed = withdraw(connection, name, reason)
    console.print(
        escape(
            f"withdrawn by {name.strip()}: {signed}. A load brings tables to MongoDB's state again, and "
            "undoes what the application has written"
        ),
        soft_wrap=True,
    )
    return Exit.GO


def verify(console: Console, file: Path) -> Exit:
    """Prints whether a report is as it was recorded in the target.

    Raises:
        MigrationError: It cannot be read, or the target cannot.
    """
    try:
        file_report = json.loads(file.read_text(encoding="utf-8"))
        carried = file_report["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        raise MigrationError(
            "is not a report of a sign-off",
            where=str(file),
            next_step="Give the JSON file that the sign-off has written",
        ) from None
    actual = digest(file_report)
    with open_target(target_url()) as connection:
        require_schema(connection)
        is_known = is_recorded(connection, actual)
        withdrawal = withdrawal_of(connection, actual)
    is_good = actual == carried and is_known
    outcome = (
        "is the report that was recorded"
        if is_good
        else "has the digest of no recorded sign-off"
        if actual == carried
        else "was changed: its content has another digest than it says"
    )
    colour = "green" if is_good else "red"
    console.print(f"[{colour}]{escape(str(file))} {outcome}[/]\nsha256 {actual}", soft_wrap=True)
    if withdrawal:
        console.print(f"[yellow]![/] {escape(withdrawal)}", soft_wrap=True)
    return Exit.GO if is_good else Exit.NO_GO
