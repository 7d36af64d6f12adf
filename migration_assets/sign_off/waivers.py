"""Waivers and approval: who takes responsibility for what, and for how much of it (section 10).

A waiver is bound to the rows that were seen when it was given: where they are not exactly the same now, it is
void. It is void after its last day, too. One that holds is recorded with the sign-off, and goes on to hold
for later ones, until somebody withdraws it. A waiver that is given for no finding is an error, so that
none is carried along unread.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from migration_assets.errors import MigrationError
from migration_assets.sign_off.findings import Finding
from migration_assets.text import printable

SHOWN = 20
"""Ids that an error names."""

_REQUIRED = ("finding", "count", "rows", "name", "reason")
_OPTIONAL = ("until",)
FORM = (
    "A waiver has finding (its id), count, rows, name, reason, and may have until (a date); "
    "`migration-assets waivers` writes the file"
)


class Decision(enum.Enum):
    """What the approver decided."""

    APPROVE = "approve"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True)
class Waiver:
    """Somebody answers for a finding.

    Attributes:
        finding: The id of the finding.
        count: How many of them are waived.
        rows: Which ones, as a digest of their keys.
        name: Who answers for it.
        reason: Why it may stand.
        until: Last day on which it holds; None where it has no end.
        since: When it was first recorded, as ISO 8601; empty where it is given now.
    """

    finding: str
    count: int
    rows: str
    name: str
    reason: str
    until: dt.date | None = None
    since: str = ""

    def why_void(self, finding: Finding, today: dt.date) -> str:
        """Returns why it does not hold for a finding, empty where it does."""
        if not finding.is_waivable:
            return "what has no count cannot be waived: nobody knows yet what it hides"
        if self.until is not None and today > self.until:
            return f"it ended on {self.until}"
        if finding.count != self.count:
            difference = f"it was given for {self.count:,}, there are {finding.count:,} now"
            return f"the rows behind it changed: {difference}"
        if finding.rows != self.rows:
            return f"the rows behind it changed: it was given for {self.count:,} others"
        return ""

    def as_json(self) -> dict[str, Any]:
        """Returns the waiver as JSON has it, and as :func:`parsed` reads it."""
        until = None if self.until is None else self.until.isoformat()
        return {name: value for name, value in {**asdict(self), "until": until}.items() if value}


@dataclass(frozen=True, slots=True)
class Approval:
    """What comes from people.

    Attributes:
        approver: Who signs; empty where nobody does.
        role: In which role.
        decision: What they decided.
        waivers: What is waived.
        withdraws: Waivers of earlier sign-offs do not count any more.
    """

    approver: str = ""
    role: str = ""
    decision: Decision = Decision.APPROVE
    waivers: Sequence[Waiver] = ()
    withdraws: bool = False

    def __post_init__(self) -> None:
        if not self.approver and (self.role or self.decision is Decision.DECLINE):
            raise MigrationError(
                "a role or a decision without an approver",
                where="sign-off",
                next_step="Give the approver's name too",
            )

    def __bool__(self) -> bool:
        """Whether anybody said anything."""
        return bool(self.approver or self.waivers or self.withdraws)


@dataclass(frozen=True, slots=True)
class Waived:
    """A waiver and the finding that it is for.

    Attributes:
        waiver: The waiver.
        finding: The finding as it is now.
        why_void: Why it does not hold, empty where it does.
    """

    waiver: Waiver
    finding: Finding
    why_void: str = ""


def matched(
    waivers: Sequence[Waiver],
    earlier: Sequence[Waiver],
    findings: Sequence[Finding],
    today: dt.date,
) -> list[Waived]:
    """Returns each waiver with its finding.

    Args:
        waivers: Those that are given now.
        earlier: Those that held at the last sign-off; one whose finding is gone, or waived anew, is left out.
        findings: The findings as they are now.
        today: The day.

    Raises:
        MigrationError: One that is given now matches no finding.
    """
    known = {finding.id: finding for finding in findings}
    unknown = [waiver.finding for waiver in waivers if waiver.finding not in known]
    if unknown:
        raise MigrationError(
            f"no finding has this id; {known_ids(known, unknown[0])}",
            where=f"waiver of {', '.join(unknown)}",
            next_step="Take the waiver out, or give the id of a finding; then sign off again",
        )
    waived_ids = {waiver.finding for waiver in waivers}
    still = [
        waiver for waiver in earlier if waiver.finding in known and waiver.finding not in waived_ids
    ]
    return [
        Waived(waiver, known[waiver.finding], waiver.why_void(known[waiver.finding], today))
        for waiver in (*waivers, *still)
    ]


def kept(recorded: Iterable[Mapping[str, Any]], signed_at: dt.datetime) -> list[Waiver]:
    """Returns the waivers that held at a sign-off, as it recorded them.

    Args:
        recorded: Its waivers.
        signed_at: When it was.
    """
    moment = signed_at.astimezone(dt.UTC).isoformat(timespec="seconds")
    return [
        replace(_waiver(entry), since=entry.get("since") or moment)
        for entry in recorded
        if entry["holds"] and "rows" in entry
    ]


def known_ids(ids: Iterable[str], wanted: str) -> str:
    """Returns the ids of findings in words, those first that are like the one that is wanted."""
    every = list(ids)
    like = get_close_matches(wanted, every, n=SHOWN, cutoff=0.5)
    shown = [*like, *(finding_id for finding_id in every if finding_id not in like)][:SHOWN]
    more = f" and {len(every) - SHOWN} more, see the report" if len(every) > SHOWN else ""
    return f"the findings are: {', '.join(shown)}{more}" if every else "there is no finding"


def read_waivers(path: Path) -> list[Waiver]:
    """Returns the waivers of a YAML or JSON file: a list, or a mapping with the list under `waivers`.

    Raises:
        MigrationError: It cannot be read, or an entry is not a waiver; all mistakes are named.
    """
    where = f"waivers in {path}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MigrationError(
            f"cannot be read ({error.strerror})", where=where, next_step="Check its name"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise MigrationError(f"is not YAML{line}", where=where, next_step=FORM) from None
    if isinstance(content, dict) and set(content) == {"waivers"}:
        content = content["waivers"]
    if not isinstance(content, list):
        raise MigrationError("is not a list of waivers", where=where, next_step=FORM)
    return parsed(content, where)


def parsed(entries: Iterable[Any], where: str) -> list[Waiver]:
    """Returns waivers from entries of YAML, JSON or a run's configuration.

    Args:
        entries: A mapping for each waiver.
        where: Where they stand, for errors.

    Raises:
        MigrationError: An entry is not a waiver, or two are for one finding; all mistakes are named.
    """
    listed = list(entries)
    mistakes: list[str] = []
    for number, entry in enumerate(listed, start=1):
        mistakes += [f"waiver {number}: {mistake}" for mistake in _mistakes(entry)]
    if not mistakes:
        ids = [entry["finding"] for entry in listed]
        mistakes = [
            f"{finding_id} is waived twice"
            for finding_id in dict.fromkeys(ids)
            if ids.count(finding_id) > 1
        ]
    if mistakes:
        raise MigrationError("; ".join(mistakes), where=where, next_step=FORM)
    return [_waiver(entry) for entry in listed]


def _waiver(entry: Mapping[str, Any]) -> Waiver:
    return Waiver(
        finding=entry["finding"],
        count=entry["count"],
        rows=entry["rows"].strip(),
        name=entry["name"].strip(),
        reason=entry["reason"].strip(),
        until=_date(entry.get("until")),
    )


def draft(last_report: Mapping[str, Any], name: str = "") -> str:
    """Returns the findings of a report as a file of waivers, for somebody to fill in and to cut.

    Those that are waived already have their name and reason; findings that cannot be waived are left out.

    Args:
        last_report: The report of a sign-off.
        name: Who answers for them.
    """
    held = {waiver["finding"]: waiver for waiver in last_report["waivers"] if waiver["holds"]}
    findings = [*last_report["findings"], *(waiver["of"] for waiver in held.values())]
    lines = [
        "# A waiver for each finding of the last report. Take out those that may not stand, and",
        "# give the others a name and a reason. `rows` says which rows were seen: where they change, the",
        "# waiver is void.",
    ]
    for finding in findings:
        if not (finding["count"] and finding["rows"]):
            continue
        waiver = held.get(finding["id"], {})
        entry = {
            "finding": finding["id"],
            "count": finding["count"],
            "rows": finding["rows"],
            "name": waiver.get("name", name),
            "reason": waiver.get("reason", ""),
        }
        if "until" in waiver:
            entry["until"] = waiver["until"]
        lines += ["", printable(f"# {finding['table']}: {finding['what']}")]
        is_plain = all(printable(str(value)) == str(value) for value in entry.values())
        lines.append(
            yaml.safe_dump([entry], sort_keys=False, allow_unicode=is_plain, width=10_000).rstrip()
        )
    return "\n".join(lines) + "\n"


def _mistakes(entry: Any) -> list[str]:
    if not isinstance(entry, Mapping):
        return ["is not a mapping"]
    mistakes = [f"{name!r} is not known" for name in entry if name not in (*_REQUIRED, *_OPTIONAL)]
    for name in _REQUIRED:
        value = entry.get(name)
        if name == "count":
            is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
            mistakes += [] if is_count else ["count is not a whole number above 0"]
        elif not (isinstance(value, str) and value.strip()):
            mistakes.append(f"{name} is missing or no text")
    try:
        _date(entry.get("until"))
    except ValueError:
        mistakes.append("until is not a date as 2027-01-31")
    return mistakes


def _date(value: Any) -> dt.date | None:
    if value is None or value == "":
        return None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return value
    return dt.date.fromisoformat(str(value))
