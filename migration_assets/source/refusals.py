"""Errors of MongoDB and its driver, as one line that says what to do and holds no value of a document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
from pymongo import MongoClient
from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from migration_assets.errors import SourceError
from migration_assets.settings import SOURCE_URL
from migration_assets.urls import without_urls

OLDEST_MAJOR = 5
"""The oldest MongoDB that the project is made for (section 11)."""

_TIMEOUTS = re.compile(r" \(configured timeouts: [^)]*\)")
_LITERAL = re.compile(r"'[^']*'?|\"[^\"]*\"?")
"""What a message quotes."""

UNAUTHORIZED = 13
"""MongoDB's code for what a role does not permit."""
_NOT_LOGGED_IN = frozenset(
    {
        11,  # UserNotFound
        18,  # AuthenticationFailed
        334,  # MechanismUnavailable
        8000,  # AtlasError: bad auth
    }
)
COMMAND_NOT_FOUND = 59
_NOT_KNOWN = frozenset(
    {
        COMMAND_NOT_FOUND,
        115,  # CommandNotSupported
        238,  # NotImplemented
        303,  # FeatureNotSupported
        40324,  # Unrecognized pipeline stage
    }
)
_SNAPSHOT_GONE = frozenset(
    {
        239,  # SnapshotTooOld
        246,  # SnapshotUnavailable
    }
)
"""Codes of server errors where a read as of one moment comes too late."""

_PASSING = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        43,  # CursorNotFound
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        134,  # ReadConcernMajorityNotAvailableYet
        189,  # PrimarySteppedDown
        237,  # CursorKilled
        262,  # ExceededTimeLimit
        9001,  # SocketException
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11602,  # InterruptedDueToReplStateChange
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
"""Codes of server errors whose reason passes, as the drivers' specification of retryable reads has them,
and killed cursors, since a load reads again from the start."""


@contextmanager
def reported(where: str, variable: str = SOURCE_URL.name) -> Iterator[None]:
    """Turns the driver's errors into a :class:`SourceError` of one line.

    The error is not chained: its details may repeat parts of documents or of the URL.
    """
    try:
        yield
    except OperationFailure as error:
        raise _refused(error, where, variable) from None
    except PyMongoError as error:
        raise _no_answer(error, where) from None
    except BSONError as error:
        raise SourceError(
            f"the server's answer cannot be decoded ({type(error).__name__}): a name or a text of it is "
            "not UTF-8",
            where=where,
            next_step="Look for it with db.collection.validate(), rename it, then start again",
        ) from None


def _refused(error: OperationFailure, where: str, variable: str) -> SourceError:
    reason = _without_values(error)
    passes = error.code in _PASSING or error.has_error_label("RetryableReadError")
    if error.code in _SNAPSHOT_GONE:
        reason = (
            "the server no longer has the moment that this run reads: it is older than "
            "minSnapshotHistoryWindowInSeconds, or a collection was made or indexed since; "
            "writes must be frozen"
        )
        next_step = (
            "Raise that setting on the server and start again; or stop the application's "
            "writes, unset MIGRATION_SNAPSHOT and start again. Each load goes on only where what it "
            "had read is still the same"
        )
        return SourceError(reason, where=where, next_step=next_step)
    if error.code in _NOT_LOGGED_IN or "auth" in reason.lower().split(" ", 1)[0]:
        next_step = (
            f"Check user and password in {variable}, special characters as in %40 for @, and authSource: the "
            "database that the user was made in, often admin"
        )
    elif error.code == UNAUTHORIZED:
        next_step = "Check that the user may read the database (role `read`, sql/roles/mongodb.js)"
    elif error.code in _NOT_KNOWN:
        next_step = (
            "The server lacks a command that the migration needs: restore a dump of it into MongoDB "
            f"{OLDEST_MAJOR} or newer"
        )
    elif passes:
        next_step = "The reason passes: start again"
    else:
        next_step = "The server's log says more; put that right, then start again"
    return SourceError(
        f"the server refused: {reason}", where=where, next_step=next_step, is_transient=passes
    )


def _without_values(error: OperationFailure) -> str:
    """Returns what a server said, up to what may quote the command or a document."""
    message = str((error.details or {}).get("errmsg") or f"error {error.code}")
    return _LITERAL.sub("…", without_urls(message).partition("{")[0]).strip(" :;,")


def unreachable(
    client: MongoClient[Any], error: ServerSelectionTimeoutError, where: str, variable: str
) -> SourceError:
    """Returns why no server could be selected, in words that say what to do."""
    topology = client.topology_description
    servers, seeds = topology.server_descriptions(), client._topology_settings.seeds
    kinds = {server.server_type_name for server in servers.values()}
    name = topology.replica_set_name
    if topology.has_known_servers and "RSPrimary" not in kinds:
        return SourceError(
            f"the replica set {name} has no primary at present",
            where=where,
            next_step="Wait for the election (rs.status() says more), then start again",
            is_transient=True,
        )
    if topology.topology_type_name.startswith("ReplicaSet") and not servers:
        return SourceError(
            f"the servers are of no replica set named {name}",
            where=where,
            next_step=f"Put replicaSet right in {variable} (rs.status().set), or leave it out",
        )
    if servers and not servers.keys() & seeds:
        names = ", ".join(f"{host}:{port}" for host, port in sorted(servers))
        return SourceError(
            f"the replica set {name} calls its members {names}, which cannot be reached from here",
            where=where,
            next_step="Make these names known here; or, where the URL names the primary, add "
            f"directConnection=true to {variable}, without replicaSet",
        )
    return _no_answer(error, where)


def _no_answer(error: PyMongoError, where: str) -> SourceError:
    first = _TIMEOUTS.sub("", without_urls(str(error))).split(", Timeout:")[0]
    return SourceError(
        f"no answer: {first}",
        where=where,
        next_step="Check that the server runs and can be reached from here, then start again",
        is_transient=isinstance(error, ConnectionFailure),
    )
