"""The placeholders: what each means, and how its value is read and shown."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import yaml

from migration_assets.errors import MigrationError


class PlaceholderKind(enum.Enum):
    """The kind of a value."""

    TEXT = "text"
    NUMBER = "a number"
    MOMENT = "a time such as 2025-11-08T08:00+01:00, or without the offset where time_zone is given"
    ZONE = "a time zone such as Europe/Prague"
    ITEMS = "a list"
    PRIORITY = "P1, P2, P3 or P4"


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder, or a value that others are computed from.

    Attributes:
        meaning: What it stands for.
        kind: What its value is.
        keys: What every item of a list says.
        source: Where it comes from when nobody gives it; empty where only somebody can.
    """

    meaning: str
    kind: PlaceholderKind = PlaceholderKind.TEXT
    keys: Sequence[str] = ()
    source: str = ""


_RECORD = "the run's record"
_COMPUTED = "computed"

FIELDS: Mapping[str, Placeholder] = {
    # given
    "time_zone": Placeholder("time zone that times are shown in", PlaceholderKind.ZONE),
    "window_start": Placeholder("start of the window", PlaceholderKind.MOMENT),
    "window_end": Placeholder("planned end of the window", PlaceholderKind.MOMENT),
    "support_email": Placeholder("mail address of the support desk"),
    "support_phone": Placeholder("phone number of the support desk"),
    "support_hours": Placeholder("when the support desk is staffed, such as 08:00 to 22:00"),
    "status_page_url": Placeholder("URL of the status page"),
    "help_url": Placeholder("URL of the help pages"),
    "sender": Placeholder("who signs"),
    "chat_channel": Placeholder("chat channel"),
    "bridge": Placeholder("phone or video bridge"),
    "escalation_phone": Placeholder("phone number for escalation"),
    "benefits": Placeholder("what the move is good for; only what was measured"),
    "window_reason": Placeholder("why at this time"),
    "rollback_minutes": Placeholder(
        "minutes that the rollback took in the rehearsal", PlaceholderKind.NUMBER
    ),
    "retention_days": Placeholder(
        "days that the old database is kept, 60 or more", PlaceholderKind.NUMBER
    ),
    "maintenance_reason": Placeholder("why NextCRM is offline, in a sentence"),
    "next_steps": Placeholder("what comes next"),
    "revised_end": Placeholder("new end of the window", PlaceholderKind.MOMENT),
    "delay_reason": Placeholder("why it takes longer: volume, a solved issue, optimisation"),
    "measured_gains": Placeholder(
        "what was measured to be better, or that nothing was measured yet"
    ),
    "issues": Placeholder(
        "the known issues", PlaceholderKind.ITEMS, ("description", "impact", "status", "workaround")
    ),
    "working_features": Placeholder("what works"),
    "resolution_time": Placeholder("when the issues will be solved", PlaceholderKind.MOMENT),
    "restored_at": Placeholder("when the old database was back", PlaceholderKind.MOMENT),
    "rollback_reason": Placeholder("why we went back, in a sentence"),
    "affected_records": Placeholder(
        "records written since the migration: `migration-assets export-gained` counts them",
        PlaceholderKind.NUMBER,
    ),
    "gain_pages": Placeholder("measured times of pages, before and after"),
    "gain_search": Placeholder("measured times of search, before and after"),
    "gain_reports": Placeholder("measured times of reports, before and after"),
    "feedback": Placeholder("what users said"),
    "resolved_count": Placeholder("number of solved issues", PlaceholderKind.NUMBER),
    "resolved_issues": Placeholder("the solved issues"),
    "upcoming": Placeholder("what comes next for users"),
    "briefing_start": Placeholder("start of the briefing", PlaceholderKind.MOMENT),
    "final_test": Placeholder("time of the final test", PlaceholderKind.MOMENT),
    "go_no_go": Placeholder("time of the decision", PlaceholderKind.MOMENT),
    "rollback_deadline": Placeholder("last moment to go back", PlaceholderKind.MOMENT),
    "roles": Placeholder("who does what", PlaceholderKind.ITEMS, ("role", "primary", "backup")),
    "shifts": Placeholder("the four shifts", PlaceholderKind.ITEMS, ("time", "primary", "backup")),
    "runbooks": Placeholder("where the runbooks are"),
    "priority": Placeholder("priority of the incident", PlaceholderKind.PRIORITY),
    "incident_status": Placeholder("status of the incident"),
    "incident_time": Placeholder("start of the incident", PlaceholderKind.MOMENT),
    "issue": Placeholder("what is wrong, in a line"),
    "impact": Placeholder("who is concerned, and how"),
    "assignee": Placeholder("who is in charge"),
    "monitors": Placeholder("who watches what"),
    "meeting_start": Placeholder("start of the meeting", PlaceholderKind.MOMENT),
    "location": Placeholder("where the meeting is"),
    "facilitator": Placeholder("who leads the meeting"),
    "pre_reads": Placeholder("what to read before: report, timeline, metrics"),
    # computed
    "now": Placeholder("the time of the message", PlaceholderKind.MOMENT, source=_COMPUTED),
    "update_hours": Placeholder("hours between reports", PlaceholderKind.NUMBER, source=_COMPUTED),
    "next_update": Placeholder("time of the next report", PlaceholderKind.MOMENT, source=_COMPUTED),
    "window_duration": Placeholder("length of the window", source=_COMPUTED),
    "delay_duration": Placeholder("how much later the new end is", source=_COMPUTED),
    "meeting_end": Placeholder("end of the meeting", PlaceholderKind.MOMENT, source=_COMPUTED),
    "progress_bar": Placeholder("progress as a bar", source=_COMPUTED),
    # from the record
    "progress_percent": Placeholder(
        "share of the records that are loaded", PlaceholderKind.NUMBER, source=_RECORD
    ),
    "records_done": Placeholder(
        "records loaded since the start", PlaceholderKind.NUMBER, source=_RECORD
    ),
    "records_total": Placeholder("records of the source", PlaceholderKind.NUMBER, source=_RECORD),
    "records_per_second": Placeholder("speed", PlaceholderKind.NUMBER, source=_RECORD),
    "tables_done": Placeholder(
        "tables loaded since the start", PlaceholderKind.NUMBER, source=_RECORD
    ),
    "tables_total": Placeholder("tables", PlaceholderKind.NUMBER, source=_RECORD),
    "current_step": Placeholder("what is being done", source=_RECORD),
    "expected_end": Placeholder(
        "estimated end of the load", PlaceholderKind.MOMENT, source=_RECORD
    ),
    "progress_findings": Placeholder("what the checks found so far", source=_RECORD),
    "record_total": Placeholder("records moved", PlaceholderKind.NUMBER, source=_RECORD),
    "validation_result": Placeholder("what the checks say", source=_RECORD),
    "known_items": Placeholder("what was not moved as it was", source=_RECORD),
    "uptime_percent": Placeholder("measured availability", PlaceholderKind.NUMBER, source=_RECORD),
}


def moment(name: str, text: str, zone: dt.tzinfo | None) -> dt.datetime:
    """Returns a time that was given.

    Args:
        name: The placeholder.
        text: The time in ISO 8601.
        zone: The zone of a time without one.

    Raises:
        MigrationError: It is no time, or has no zone.
    """
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise _refused(name, PlaceholderKind.MOMENT) from None
    if time.tzinfo is not None:
        return time if zone is None else time.astimezone(zone)
    if zone is None:
        raise _refused(name, PlaceholderKind.MOMENT)
    return time.replace(tzinfo=zone)


def time_zone(text: str) -> dt.tzinfo:
    """Returns a time zone by its name.

    Raises:
        MigrationError: This machine does not know it.
    """
    try:
        return ZoneInfo(text)
    except (LookupError, ValueError, OSError):
        raise _refused("time_zone", PlaceholderKind.ZONE) from None


def shown_moment(when: dt.datetime) -> str:
    """Returns a time in words: weekday, date, time, zone."""
    offset = when.strftime("%z")
    name = when.tzname() or ""
    zone = f"UTC{offset[:3]}:{offset[3:5]}" if offset.strip("+-0") else "UTC"
    if name and not name.startswith("UTC") and name.isalpha():
        zone = f"{name}, {zone}"
    weekday, month = _WEEKDAYS[when.weekday()], _MONTHS[when.month - 1]
    return f"{weekday}, {when.day} {month} {when.year}, {when:%H:%M} ({zone})"


def shown_duration(span: dt.timedelta) -> str:
    """Returns a time in words, as in `46 hours` or `1 hour 30 minutes`."""
    minutes = round(span.total_seconds() / 60)
    parts = [(minutes // 60, "hour"), (minutes % 60, "minute")]
    words = [f"{count} {unit}{'s' if count != 1 else ''}" for count, unit in parts if count]
    return " ".join(words) or "0 minutes"


def shown(name: str, text: str) -> str:
    """Returns a given value as the message shows it, unless it is a time.

    Raises:
        MigrationError: Its placeholder does not take it.
    """
    field = FIELDS[name]
    if field.kind is PlaceholderKind.NUMBER:
        return _number(name, text)
    if field.kind is PlaceholderKind.PRIORITY and text not in ("P1", "P2", "P3", "P4"):
        raise _refused(name, field.kind)
    return _items(name, field, text) if field.kind is PlaceholderKind.ITEMS else text


def _number(name: str, text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        raise _refused(name, PlaceholderKind.NUMBER) from None
    if not math.isfinite(number):
        raise _refused(name, PlaceholderKind.NUMBER)
    return f"{number:,.10g}" if number != int(number) else f"{int(number):,}"


def _items(name: str, field: Placeholder, text: str) -> str:
    """Returns a list as Markdown: the first key of each item in bold, the others below it."""
    try:
        items = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings only
    except yaml.YAMLError:
        items = None
    if not isinstance(items, list) or not items:
        raise _refused(name, PlaceholderKind.ITEMS)
    lines: list[str] = []
    for place, item in enumerate(items, start=1):
        empty = [key for key in field.keys if not isinstance(item, dict) or not item.get(key)]
        if empty:
            raise MigrationError(
                f"item {place} says nothing of {', '.join(empty)}",
                where=name,
                next_step=f"Every item has {', '.join(field.keys)}",
            )
        first, *others = field.keys
        lines += [f"- **{item[first]}**", *[f"  - {key}: {item[key]}" for key in others]]
    return "\n".join(lines)


def _refused(name: str, kind: PlaceholderKind) -> MigrationError:
    return MigrationError("the value cannot be used", where=name, next_step=f"Give {kind.value}")


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
