"""Reading every collection as it was at one moment, on a replica set or a sharded cluster.

The server keeps the past for some minutes (``minSnapshotHistoryWindowInSeconds``). A database that was
opened at a moment reads it with every ``find`` and ``aggregate``, on any thread and connection. Decision 0006
says why it has to be asked for.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from migration_assets.errors import SourceError
from migration_assets.settings import SNAPSHOT
from migration_assets.source.collections import collection_types
from migration_assets.source.connection import SourceDatabase

REFUSED = frozenset(
    {
        72,  # InvalidOptions: older storage engines
        123,  # NotAReplicaSet
        20,  # IllegalOperation
    }
)
"""Codes of the server's error where it cannot read at one moment at all."""


class AtMoment(ReadConcern):
    """The read concern of reads as of one moment of the cluster."""

    def __init__(self, moment: Timestamp) -> None:
        super().__init__("snapshot")
        self.moment = moment

    @property
    def document(self) -> dict[str, Any]:
        """What is sent with each command."""
        return {**super().document, "atClusterTime": self.moment}


def snapshot_wanted() -> bool:
    """Returns whether ``MIGRATION_SNAPSHOT`` asks to read every collection as of one moment.

    Raises:
        MigrationError: It is something else than ``on`` or ``off``.
    """
    return SNAPSHOT.read() == "on"


def current_moment(source: SourceDatabase) -> Timestamp:
    """Returns the latest moment that the cluster can be read at.

    Raises:
        SourceError: The server cannot be read at one moment.
    """
    # The server tells the moment only with the documents of a collection that exists.
    for name in (name for name, kind in collection_types(source).items() if kind == "collection"):
        try:
            reply = source.command(
                "find", name, projection={"_id": 1}, limit=1, readConcern={"level": "snapshot"}
            )
        except OperationFailure as error:
            if error.code in REFUSED:
                break
            raise
        moment: Timestamp | None = reply["cursor"].get("atClusterTime")
        if moment is not None:
            return moment
    raise SourceError(
        "the server cannot be read as of one moment, which takes a replica set: writes must be frozen",
        where=f"database {source.name}",
        next_step=f"Stop the application's writes and unset {SNAPSHOT.name}, or migrate from a "
        "member of a replica set",
    )


def at_moment(source: SourceDatabase, moment: Timestamp) -> SourceDatabase:
    """Returns the database as it was at a moment."""
    return source.with_options(read_concern=AtMoment(moment))


def moment_of(source: SourceDatabase) -> Timestamp | None:
    """Returns the moment that a database is read at; None where it is the present."""
    concern = source.read_concern
    return concern.moment if isinstance(concern, AtMoment) else None


def moment_read(source: SourceDatabase) -> str | None:
    """Returns the moment that a database is read at, in words; None where it is the present."""
    moment = moment_of(source)
    if moment is None:
        return None
    when = dt.datetime.fromtimestamp(moment.time, dt.UTC)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC, operation {moment.inc}"
