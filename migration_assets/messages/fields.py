"""The placeholders: what each means, and how a value that is given for it is read and shown."""

from __future__ import annotations

import datetime as dt
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import yaml

from migration_assets.errors import MigrationError


class Kind(enum.Enum):
    """What a value is."""

    TEXT = "text"
    NUMBER = "a number"
    MOMENT = "a time such as 2025-11-08T08:00+01:00, or without the offset where time_zone is given"
    ZONE = "a time zone such as Europe/Prague"
    ITEMS = "a list"
    PRIORITY = "P1, P2, P3 or P4"


@dataclass(frozen=True, slots=True)
class Field:
    """A placeholder, or a value that others are computed from.

    Attributes:
        meaning: What it stands for.
        kind: What its value is.
        keys: What every item of a list says.
        source: Where it comes from when nobody gives it; empty where only somebody can.
    """

    meaning: str
    kind: Kind = Kind.TEXT
    keys: Sequence[str] = ()
    source: str = ""


_RECORD = "the run's record"
_COMPUTED = "computed"

FIELDS: Mapping[str, Field] = {
    # given
    "time_zone": Field("time zone that times are shown in", Kind.ZONE),
    "window_start": Field("start of the window", Kind.MOMENT),
    "window_end": Field("planned end of the window", Kind.MOMENT),
    "support_email": Field("mail address of the support desk"),
    "support_phone": Field("phone number of the support desk"),
    "support_hours": Field("when the support desk is staffed, such as 08:00 to 22:00"),
    "status_page_url": Field("URL of the status page"),
    "help_url": Field("URL of the help pages"),
    "sender": Field("who signs"),
    "chat_channel": Field("chat channel"),
    "bridge": Field("phone or video bridge"),
    "escalation_phone": Field("phone number for escalation"),
    "benefits": Field("what the move is good for; only what was measured"),
    "window_reason": Field("why at this time"),
    "rollback_minutes": Field("minutes that the rollback took in the rehearsal", Kind.NUMBER),
    "retention_days": Field("days that the old database is kept, 60 or more", Kind.NUMBER),
    "maintenance_reason": Field("why NextCRM is offline, in a sentence"),
    "next_steps": Field("what comes next"),
    "revised_end": Field("new end of the window", Kind.MOMENT),
    "delay_reason": Field("why it takes longer: volume, a solved issue, optimisation"),
    "measured_gains": Field("what was measured to be better, or that nothing was measured yet"),
    "issues": Field(
        "the known issues", Kind.ITEMS, ("description", "impact", "status", "workaround")
    ),
    "working_features": Field("what works"),
    "resolution_time": Field("when the issues will be solved", Kind.MOMENT),
    "restored_at": Field("when the old database was back", Kind.MOMENT),
    "rollback_reason": Field("why we went back, in a sentence"),
    "affected_records": Field(
        "records written since the migration: `migration-assets export-gained` counts them",
        Kind.NUMBER,
    ),
    "gain_pages": Field("measured times of pages, before and after"),
    "gain_search": Field("measured times of search, before and after"),
    "gain_reports": Field("measured times of reports, before and after"),
    "feedback": Field("what users said"),
    "resolved_count": Field("number of solved issues", Kind.NUMBER),
    "resolved_issues": Field("the solved issues"),
    "upcoming": Field("what comes next for users"),
    "briefing_start": Field("start of the briefing", Kind.MOMENT),
    "final_test": Field("time of the final test", Kind.MOMENT),
    "go_no_go": Field("time of the decision", Kind.MOMENT),
    "rollback_deadline": Field("last moment to go back", Kind.MOMENT),
    "roles": Field("who does what", Kind.ITEMS, ("role", "primary", "backup")),
    "shifts": Field("the four shifts", Kind.ITEMS, ("time", "primary", "backup")),
    "runbooks": Field("where the runbooks are"),
    "priority": Field("priority of the incident", Kind.PRIORITY),
    "incident_status": Field("status of the incident"),
    "incident_time": Field("start of the incident", Kind.MOMENT),
    "issue": Field("what is wrong, in a line"),
    "impact": Field("who is concerned, and how"),
    "assignee": Field("who is in charge"),
    "monitors": Field("who watches what"),
    "meeting_start": Field("start of the meeting", Kind.MOMENT),
    "location": Field("where the meeting is"),
    "facilitator": Field("who leads the meeting"),
    "pre_reads": Field("what to read before: report, timeline, metrics"),
    # computed
    "now": Field("the time of the message", Kind.MOMENT, source=_COMPUTED),
    "update_hours": Field("hours between reports", Kind.NUMBER, source=_COMPUTED),
    "next_update": Field("time of the next report", Kind.MOMENT, source=_COMPUTED),
    "window_duration": Field("length of the window", source=_COMPUTED),
    "delay_duration": Field("how much later the new end is", source=_COMPUTED),
    "meeting_end": Field("end of the meeting", Kind.MOMENT, source=_COMPUTED),
    "progress_bar": Field("progress as a bar", source=_COMPUTED),
    # from the record
    "progress_percent": Field("share of the records that are loaded", Kind.NUMBER, source=_RECORD),
    "records_done": Field("records loaded since the start", Kind.NUMBER, source=_RECORD),
    "records_total": Field("records of the source", Kind.NUMBER, source=_RECORD),
    "records_per_second": Field("speed", Kind.NUMBER, source=_RECORD),
    "tables_done": Field("tables loaded since the start", Kind.NUMBER, source=_RECORD),
    "tables_total": Field("tables", Kind.NUMBER, source=_RECORD),
    "current_step": Field("what is being done", source=_RECORD),
    "expected_end": Field("estimated end of the load", Kind.MOMENT, source=_RECORD),
    "progress_findings": Field("what the checks found so far", source=_RECORD),
    "record_total": Field("records moved", Kind.NUMBER, source=_RECORD),
    "validation_result": Field("what the checks say", source=_RECORD),
    "known_items": Field("what was not moved as it was", source=_RECORD),
    "uptime_percent": Field("measured availability", Kind.NUMBER, source=_RECORD),
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
        raise _refused(name, Kind.MOMENT) from None
    if time.tzinfo is not None:
        return time if zone is None else time.astimezone(zone)
    if zone is None:
        raise _refused(name, Kind.MOMENT)
    return time.replace(tzinfo=zone)


def time_zone(text: str) -> dt.tzinfo:
    """Returns a time zone by its name.

    Raises:
        MigrationError: This machine does not know it.
    """
    try:
        return ZoneInfo(text)
    except (LookupError, ValueError, OSError):
        raise _refused("time_zone", Kind.ZONE) from None


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
    """Returns a value that was given as the message shows it. Times are not meant here.

    Raises:
        MigrationError: It is not what its placeholder takes.
    """
    field = FIELDS[name]
    if field.kind is Kind.NUMBER:
        return _number(name, text)
    if field.kind is Kind.PRIORITY and text not in ("P1", "P2", "P3", "P4"):
        raise _refused(name, field.kind)
    return _items(name, field, text) if field.kind is Kind.ITEMS else text


def _number(name: str, text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        raise _refused(name, Kind.NUMBER) from None
    if not math.isfinite(number):
        raise _refused(name, Kind.NUMBER)
    return f"{number:,.10g}" if number != int(number) else f"{int(number):,}"


def _items(name: str, field: Field, text: str) -> str:
    """Returns a list as Markdown: the first key of each item in bold, the others below it."""
    try:
        items = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings only
    except yaml.YAMLError:
        items = None
    if not isinstance(items, list) or not items:
        raise _refused(name, Kind.ITEMS)
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


def _refused(name: str, kind: Kind) -> MigrationError:
    return MigrationError("the value cannot be used", where=name, next_step=f"Give {kind.value}")


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
