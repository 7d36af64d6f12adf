"""The page: all findings on both databases, in order. It reads, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial

from migration_assets.errors import MigrationError
from migration_assets.model import Model
from migration_assets.preflight import fields, freeze, upgrade
from migration_assets.preflight import source as on_source
from migration_assets.preflight import target as on_target
from migration_assets.preflight.contents import Content, contents
from migration_assets.preflight.duration import duration
from migration_assets.preflight.findings import (
    Area,
    Page,
    PreflightFinding,
    ok,
    unusable,
    where_permitted,
)
from migration_assets.preflight.freeze import Snapshots
from migration_assets.preflight.losses import losses
from migration_assets.remediation.rules import Remediations
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection

OBSERVED_SECONDS = 1.0
"""How long the collections are watched for writes, at least, where no run follows at once."""

OpenSource = Callable[[], AbstractContextManager[SourceDatabase]]
OpenTarget = Callable[[], AbstractContextManager[Connection]]


@dataclass(slots=True)
class _Known:
    """What the findings on the source tell those on the target."""

    at_one_moment: bool
    rehearsed_with: Remediations | None = None
    held: dict[str, Content] = field(default_factory=dict)
    snapshots: Snapshots | None = None


def examine(
    model: Model,
    open_source: OpenSource,
    open_target: OpenTarget,
    *,
    at_one_moment: bool = False,
    observed_seconds: float | None = None,
    notes: Sequence[str] = (),
    rehearsed_with: Remediations | None = None,
) -> Page:
    """Returns the findings on both databases; one that cannot be used is itself a finding.

    Args:
        model: The application's tables.
        open_source: Opens the source.
        open_target: Opens the target.
        at_one_moment: The run is to read every collection as of one moment.
        observed_seconds: How long to watch for writes, at least, in seconds; where None
            ``OBSERVED_SECONDS``, and before a run not longer than the rest takes.
        notes: What of the target's URL does not hold for the migration.
        rehearsed_with: The rules with which every document is converted, to tell what a run would lose.
            None: a run follows, which reads every document itself, so that counts and samples are enough.
    """
    findings: list[PreflightFinding] = [ok(Area.TARGET, f"of the URL: {note}") for note in notes]
    known = _Known(at_one_moment, rehearsed_with)
    if observed_seconds is None:
        observed_seconds = 0.0 if rehearsed_with is None else OBSERVED_SECONDS
    try:
        with open_source() as source:
            _examine_source(model, source, known, findings, observed_seconds)
    except MigrationError as cause:
        findings.append(unusable(Area.SOURCE, cause))
    try:
        with open_target() as connection:
            _examine_target(model, connection, known, findings)
    except MigrationError as cause:
        findings.append(unusable(Area.TARGET, cause))
    order = list(Area)
    return Page(sorted(findings, key=lambda finding: order.index(finding.area)))


def _examine_source(
    model: Model,
    source: SourceDatabase,
    known: _Known,
    findings: list[PreflightFinding],
    observed_seconds: float,
) -> None:
    started = time.monotonic()
    before = known.held = contents(source)
    known.snapshots = freeze.snapshots(model, source)
    is_whole = known.rehearsed_with is not None
    dates = fields.unreadable_dates
    for area, work in (
        (Area.SOURCE, partial(on_source.version, source)),
        (Area.SOURCE, partial(on_source.url_options, source)),
        (Area.SOURCE_ACCESS, partial(on_source.reading, model, source)),
        (Area.SOURCE_ACCESS, partial(on_source.writing, source)),
        (Area.COLLECTIONS, partial(on_source.collections, model, source, before)),
        (Area.FIELDS, partial(fields.unknown_fields, model, source, before)),
        (Area.FIELDS, partial(dates, model, source, before, is_sampled=not is_whole)),
        (Area.UPGRADE, partial(upgrade.findings, model, source, before, is_searched=is_whole)),
        (Area.LOSSES, partial(losses, model, source, before, known.rehearsed_with)),
        (Area.FREEZE, partial(freeze.freeze, known.snapshots, is_wanted=known.at_one_moment)),
    ):
        findings += where_permitted(area, work)
    time.sleep(max(0.0, observed_seconds - (time.monotonic() - started)))
    after = contents(source)
    findings += freeze.writes(before, after, time.monotonic() - started)


def _examine_target(
    model: Model, connection: Connection, known: _Known, findings: list[PreflightFinding]
) -> None:
    for area, work in (
        (Area.TARGET, partial(on_target.version, connection)),
        (Area.TARGET, partial(on_target.settings, connection)),
        (Area.TARGET, partial(on_target.time_zone, connection)),
        (Area.TARGET_ACCESS, partial(on_target.rights, model, connection)),
        (Area.TARGET, partial(on_target.extensions, model, connection)),
        (Area.CONTENT, partial(on_target.content, model, connection)),
        (Area.CONTENT, partial(on_target.constraints, model, connection)),
        (Area.CONTENT, partial(on_target.locks, connection)),
        (Area.SPACE, partial(on_target.space, connection, known.held)),
        (Area.DURATION, partial(duration, model, connection, known.held, known.snapshots)),
    ):
        findings += where_permitted(area, work)
