"""Filling a template: from given values, computed values and the record, in this order; or refusing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from migration_assets.errors import MigrationError
from migration_assets.messages import fields
from migration_assets.messages.fields import FIELDS, PlaceholderKind
from migration_assets.messages.record import MigrationRecord, progress, results
from migration_assets.messages.templates import WINDOW_START, Template
from migration_assets.settings import MESSAGE_VALUES

UPDATE_HOURS = 4
"""Hours between reports during the window (operations, section 5)."""

MEETING = dt.timedelta(hours=2)
"""Length of the post-mortem."""

BAR = 20
"""Characters of the bar of progress."""

Value = str | dt.datetime
ReadRecord = Callable[[dt.datetime | None], MigrationRecord | None]


@dataclass(frozen=True, slots=True)
class Message:
    """A message, ready to be sent.

    Attributes:
        text: All of it, with audience and subject.
        hints: For the sender alone.
    """

    text: str
    hints: Sequence[str] = ()


def read_values(path: Path) -> dict[str, str]:
    """Returns the values of a YAML file, all as text.

    Raises:
        MigrationError: It cannot be read, or names what is no placeholder.
    """
    try:
        # The base loader leaves every value as it is written: no date is taken apart.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    except (OSError, yaml.YAMLError, ValueError) as error:
        raise MigrationError(
            f"the file of values cannot be read ({type(error).__name__})",
            where=path.name,
            next_step="Write it as lines of `name: value`",
        ) from None
    if not isinstance(content, dict):
        raise MigrationError(
            "the file of values holds no names", where=path.name, next_step="Write `name: value`"
        )
    return _known(
        {
            name: value if isinstance(value, str) else yaml.safe_dump(value)
            for name, value in content.items()
        },
        where=path.name,
    )


def read_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Returns values that were given as `name=value`.

    Raises:
        MigrationError: One is no pair, or names what is no placeholder.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise MigrationError(
                "the value has no name", where="--set", next_step="Write --set name=value"
            )
        values[name.strip()] = value
    return _known(values, where="--set")


def fill(
    template: Template,
    given_values: Mapping[str, str],
    *,
    now: dt.datetime,
    read_record: ReadRecord,
) -> Message:
    """Returns a message without a gap.

    Args:
        template: The template.
        given_values: Values by name; an empty one is none.
        now: The time with its zone.
        read_record: Reads the target's record since the start of the window; called only where the
            message needs it.

    Raises:
        MigrationError: A placeholder would be empty, a value cannot be used, or what the message says
            would not be true.
    """
    zone = fields.time_zone(given_values["time_zone"]) if given_values.get("time_zone") else None
    values: dict[str, Value] = {
        name: fields.moment(name, text, zone)
        if FIELDS[name].kind is PlaceholderKind.MOMENT
        else fields.shown(name, text)
        for name, text in given_values.items()
        if text.strip()
    }
    _require_order(template, values)
    values = {**_computed(values, now, zone), **values}
    problem, record = "", None
    if template.requires or any(
        name not in values and FIELDS[name].source for name in template.placeholders()
    ):
        record, problem = _read(values, read_record)
        if record is not None:
            values = {**_recorded(record, values, now, zone), **values}
    if WINDOW_START in values:
        _require_verdict(template, record, problem)
    missing = [name for name in template.needs() if name not in values]
    if missing:
        raise _missing(template, missing, problem)
    texts = {
        name: fields.shown_moment(value) if isinstance(value, dt.datetime) else value
        for name, value in values.items()
    }
    return Message(template.filled(texts), _hints(template, values))


def _read(
    values: Mapping[str, Value], read_record: ReadRecord
) -> tuple[MigrationRecord | None, str]:
    """Returns the record since the start of the window, and why it says little where it does."""
    since = values.get(WINDOW_START)
    assert since is None or isinstance(since, dt.datetime)
    try:
        record = read_record(since)
    except MigrationError as error:
        return None, error.what
    if record is None:
        return None, "the target has no record of a migration"
    if since is None:
        return record, "give window_start, so that a rehearsal is not taken for the migration"
    return record, "" if record.loads else "nothing was loaded since window_start"


def _recorded(
    record: MigrationRecord, values: Mapping[str, Value], now: dt.datetime, zone: dt.tzinfo | None
) -> dict[str, Value]:
    """Returns the values of the record, as messages show them."""
    read = results(record)
    if WINDOW_START in values:
        read |= progress(record, now)
    shown: dict[str, Value] = {
        name: value.astimezone(zone or dt.UTC)
        if isinstance(value, dt.datetime)
        else fields.shown(name, value)
        for name, value in read.items()
    }
    if "progress_percent" in shown:
        shown["progress_bar"] = _bar(str(shown["progress_percent"]))
    return shown


def _computed(
    values: Mapping[str, Value], now: dt.datetime, zone: dt.tzinfo | None
) -> dict[str, Value]:
    computed: dict[str, Value] = {"now": now.astimezone(zone or dt.UTC)}
    hours = str(values.get("update_hours", UPDATE_HOURS))
    computed["update_hours"] = hours
    computed["next_update"] = computed["now"] + dt.timedelta(hours=float(hours))  # type: ignore[operator]
    start, end = values.get("window_start"), values.get("window_end")
    revised, meeting = values.get("revised_end"), values.get("meeting_start")
    if isinstance(start, dt.datetime) and isinstance(end, dt.datetime):
        computed["window_duration"] = fields.shown_duration(end - start)
    if isinstance(end, dt.datetime) and isinstance(revised, dt.datetime):
        computed["delay_duration"] = fields.shown_duration(revised - end)
    if isinstance(meeting, dt.datetime):
        computed["meeting_end"] = meeting + MEETING
    if "progress_percent" in values:
        computed["progress_bar"] = _bar(str(values["progress_percent"]))
    return computed


def _bar(percent: str) -> str:
    filled = round(BAR * min(max(float(percent), 0), 100) / 100)
    return "#" * filled + "-" * (BAR - filled)


def _require_order(template: Template, values: Mapping[str, Value]) -> None:
    for first, second in (
        ("window_start", "window_end"),
        ("window_end", "revised_end"),
        ("window_start", "restored_at"),
    ):
        if second not in template.placeholders():
            continue
        early, late = values.get(first), values.get(second)
        if isinstance(early, dt.datetime) and isinstance(late, dt.datetime) and late <= early:
            raise MigrationError(
                f"the moment is not after {first}", where=second, next_step="Correct one of the two"
            )


def _require_verdict(template: Template, record: MigrationRecord | None, problem: str) -> None:
    verdict = (
        problem if record is None else record.verdict or "there is no sign-off since window_start"
    )
    if template.requires and verdict != template.requires:
        raise MigrationError(
            f"the message says that the migration was signed off with a {template.requires}: {verdict}",
            where=f"message {template.name}",
            next_step="Sign off first, or send `delay` or `rollback`",
        )


def _missing(template: Template, names: Sequence[str], problem: str) -> MigrationError:
    gaps = []
    is_recorded = False
    for name in names:
        field = FIELDS[name]
        kind = "" if field.kind is PlaceholderKind.TEXT else f", {field.kind.value}"
        if field.kind is PlaceholderKind.ITEMS:
            kind += f" of items with {', '.join(field.keys)}"
        gaps.append(f"{name} ({field.meaning}{kind})")
        is_recorded |= field.source != ""
    why = f"; {problem}" if problem and is_recorded else ""
    return MigrationError(
        f"{len(names)} placeholders would be empty: {'; '.join(gaps)}{why}",
        where=f"message {template.name}",
        next_step="Give each with --set name=value, or in the file that --values or "
        f"{MESSAGE_VALUES.name} names",
    )


def _hints(template: Template, values: Mapping[str, Value]) -> list[str]:
    expected, end = values.get("expected_end"), values.get("window_end")
    if "expected_end" not in template.placeholders():
        return []
    if isinstance(expected, dt.datetime) and isinstance(end, dt.datetime) and expected > end:
        return ["the estimated end is after the end of the window: decide, and send `delay`"]
    return []


def _known(values: dict[str, str], *, where: str) -> dict[str, str]:
    for name in values:
        if name not in FIELDS:
            raise MigrationError(
                f"there is no placeholder {name!r}",
                where=where,
                next_step="`migration-assets message` lists the names",
            )
    return values
