"""Findings about the freeze of writes: whether it is needed, and whether somebody writes to the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from bson.errors import BSONError
from pymongo.errors import ConfigurationError, OperationFailure

from migration_assets.model import Model
from migration_assets.preflight.contents import Content, written_between
from migration_assets.preflight.findings import Area, PreflightFinding, error, ok, warning
from migration_assets.settings import SNAPSHOT
from migration_assets.source.connection import SourceDatabase
from migration_assets.text import counted, listed

DEFAULT_HISTORY = 300.0
"""Seconds for which MongoDB keeps snapshots where nobody has set it otherwise."""

FREEZE = (
    "Stop the application, or take away its user's right to write, before the run that counts and until "
    "the sign-off: a write after its collection was read makes the sign-off a NO-GO"
)


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Whether all tables can be read at one point in time.

    Attributes:
        are_possible: A read at a snapshot was tried and went well.
        history: For how many seconds the server keeps a snapshot.
        is_known: The user may read that setting; else it is MongoDB's default.
    """

    are_possible: bool
    history: float = DEFAULT_HISTORY
    is_known: bool = False


def snapshots(model: Model, source: SourceDatabase) -> Snapshots | None:
    """Returns what the server can do for reads at one point in time; None on a standalone server."""
    try:
        hello = source.command("hello")
    except OperationFailure:
        return None
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        return None
    setting = _history(source)
    answer = partial(Snapshots, history=setting or DEFAULT_HISTORY, is_known=setting is not None)
    try:
        with source.client.start_session(snapshot=True) as session:
            source[next(iter(model.entities))].find_one({}, {"_id": 1}, session=session)
    except (OperationFailure, ConfigurationError):
        return answer(are_possible=False)
    except BSONError:  # it was read, though it is not UTF-8
        return answer(are_possible=True)
    return answer(are_possible=True)


def _history(source: SourceDatabase) -> float | None:
    name = "minSnapshotHistoryWindowInSeconds"
    try:
        return float(source.client.admin.command({"getParameter": 1, name: 1})[name])
    except (OperationFailure, LookupError, TypeError, ValueError):
        return None


def freeze(possible: Snapshots | None, *, is_wanted: bool = False) -> Iterator[PreflightFinding]:
    """Yields whether writes must be frozen for the tables to be of one point in time.

    Args:
        possible: What the server can do; None on a standalone server.
        is_wanted: The run is to read every collection as of one moment.
    """
    if is_wanted and (possible is None or not possible.are_possible):
        yield error(
            Area.FREEZE,
            f"{SNAPSHOT.name} is on, but this server cannot be read as of one moment: writes must "
            "be frozen",
            f"Unset {SNAPSHOT.name} and stop the application's writes, or migrate from a member of "
            "a replica set",
        )
        return
    if possible is None:
        yield warning(
            Area.FREEZE,
            "a standalone server cannot be read at one point in time: writes must be frozen",
            FREEZE,
        )
        return
    origin = (
        "as set" if possible.is_known else "MongoDB's default; the user may not read the setting"
    )
    how_long = f"kept for {possible.history:,.0f} s ({origin}: minSnapshotHistoryWindowInSeconds)"
    if is_wanted:
        yield ok(
            Area.FREEZE,
            f"every collection will be read as of one moment; a snapshot is {how_long}",
            f"For the run that counts: {FREEZE[0].lower()}{FREEZE[1:]}",
        )
    elif possible.are_possible:
        yield ok(
            Area.FREEZE,
            f"snapshot reads are possible ({SNAPSHOT.name}=on); a snapshot is {how_long}",
            FREEZE,
        )
    else:
        yield warning(
            Area.FREEZE,
            f"the server refuses snapshot reads, though a snapshot is {how_long}: writes must be frozen",
            FREEZE,
        )


def writes(
    before: Mapping[str, Content], after: Mapping[str, Content], seconds: float
) -> Iterator[PreflightFinding]:
    """Yields whether somebody wrote between two looks at the collections."""
    within = f"within {seconds:.1f} s"
    written = written_between(before, after)
    if written:
        yield warning(
            Area.FREEZE,
            f"{counted(len(written), 'collection')} written to {within}: {listed(written)}",
            FREEZE,
        )
    elif any(content.writes is None for content in after.values()):
        yield ok(
            Area.FREEZE,
            f"no count of documents changed {within}; updates cannot be seen by this user",
        )
    else:
        yield ok(Area.FREEZE, f"nobody wrote {within}, which is no proof that nobody will")
