"""A finding of the preflight, and the page of them. It holds names, keys and counts, never values."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import psycopg
from bson.errors import BSONError
from pymongo.errors import OperationFailure

from migration_assets.errors import MigrationError
from migration_assets.source.refusals import UNAUTHORIZED
from migration_assets.text import counted

SEARCHES_ALL = "`migration-assets preflight`, or the job `preflight`, looks at all documents"
"""What to do where only what must be known before a run was looked at."""


class Level(enum.StrEnum):
    """What a finding means."""

    OK = "ok"
    WARNING = "warning"
    """The migration can start; somebody should know."""
    ERROR = "error"
    """It would fail, or not be what was asked for: it is not started."""


class Area(enum.StrEnum):
    """What a finding is about, in the order of the page."""

    SOURCE = "source server"
    SOURCE_ACCESS = "source access"
    COLLECTIONS = "collections"
    FIELDS = "fields"
    UPGRADE = "upgrade"
    LOSSES = "losses"
    FREEZE = "write freeze"
    TARGET = "target server"
    TARGET_ACCESS = "target access"
    CONTENT = "target content"
    SPACE = "target space"
    DURATION = "duration"


@dataclass(frozen=True, slots=True)
class PreflightFinding:
    """Something that the operator should know before the start.

    Attributes:
        area: What it is about.
        level: What it means.
        what: What was found, in words and counts.
        next_step: What to do about it; empty where there is nothing to do.
    """

    area: Area
    level: Level
    what: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All findings of a preflight."""

    findings: Sequence[PreflightFinding]

    @property
    def errors(self) -> list[PreflightFinding]:
        """What the migration would fail on."""
        return [finding for finding in self.findings if finding.level is Level.ERROR]

    @property
    def warnings(self) -> list[PreflightFinding]:
        """What somebody should know."""
        return [finding for finding in self.findings if finding.level is Level.WARNING]

    def summary(self) -> str:
        """Returns the page in one line."""
        counts = [
            f"{counted(len(findings), word)} ({', '.join(dict.fromkeys(one.area for one in findings))})"
            for findings, word in ((self.errors, "error"), (self.warnings, "warning"))
            if findings
        ]
        return ", ".join(counts) or f"all {len(self.findings)} findings are ok"


def ok(area: Area, what: str, next_step: str = "") -> PreflightFinding:
    """Returns a finding of something that is as it should be."""
    return PreflightFinding(area, Level.OK, what, next_step)


def warning(area: Area, what: str, next_step: str) -> PreflightFinding:
    """Returns a finding that somebody should know."""
    return PreflightFinding(area, Level.WARNING, what, next_step)


def error(area: Area, what: str, next_step: str) -> PreflightFinding:
    """Returns a finding that the migration would fail on."""
    return PreflightFinding(area, Level.ERROR, what, next_step)


def unusable(area: Area, cause: MigrationError) -> PreflightFinding:
    """Returns the finding that a database cannot be used at all."""
    return error(area, f"{cause.where}: {cause.what}", cause.next_step)


def where_permitted(
    area: Area, work: Callable[[], Iterable[PreflightFinding]]
) -> list[PreflightFinding]:
    """Returns the findings of some work, or that the server does not let itself be examined.

    A lost connection is left to the caller: the database cannot be used then.
    """
    next_step = "Give the rights of sql/roles/, or have the administrator look"
    try:
        return list(work())
    except OperationFailure as refusal:
        why = "the user may not look"
        if refusal.code != UNAUTHORIZED:
            why = f"the server refused (code {refusal.code})"
            next_step = (
                "Nothing to do where a rehearsal goes well; else restore a dump into MongoDB"
            )
    except psycopg.errors.InsufficientPrivilege:
        why = "the user may not look"
    except (BSONError, LookupError, TypeError, ValueError, AttributeError) as odd:
        # Servers that speak the protocol answer in their own ways.
        why = f"the server's answer is not as expected ({type(odd).__name__})"
        next_step = "Nothing to do where a rehearsal goes well"
    return [warning(area, f"could not be examined: {why}", next_step)]
