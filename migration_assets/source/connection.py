"""Opening the source database, with errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from migration_assets.errors import SourceError
from migration_assets.urls import SOURCE_VARIABLE, redacted, without_urls

Document = dict[str, Any]
SourceDatabase = Database[Document]

CODEC: CodecOptions[Document] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""How BSON is decoded: nothing is guessed, and a date beyond Python's range stays a number."""

OLDEST_MAJOR = 5

_READABLE = re.compile(r"mongodb(?:\+srv)?://(?:(?:[^\s/@%]|%[0-9A-Fa-f]{2})*@)?[^\s@]*")
"""A URL in which it is clear where the password ends, so that it can be shown without it."""


@contextmanager
def open_source(
    url: str, *, timeout: float = 10.0, variable: str = SOURCE_VARIABLE
) -> Iterator[SourceDatabase]:
    """Opens the database that a MongoDB URL names.

    Args:
        url: MongoDB URL with the name of the database.
        timeout: How long to wait for a server, in seconds.
        variable: The environment variable that errors name as the place to put the URL right.

    Raises:
        SourceError: The URL is wrong or names no database, the server does not answer or is older
            than MongoDB 5, or the database does not exist.
    """
    if not _READABLE.fullmatch(url):
        raise SourceError(
            "the URL cannot be read",
            where="MongoDB",
            next_step=f"Set {variable} to mongodb://user:password@host:port/name-of-the-database, "
            "special characters as in %40 for @, %2F for /, %25 for %",
        )
    where = f"MongoDB at {redacted(url)}"
    try:
        client: MongoClient[Document] = MongoClient(
            url,
            appname="migration-assets",
            serverSelectionTimeoutMS=int(timeout * 1000),
            connectTimeoutMS=int(timeout * 1000),
        )
        database = client.get_default_database(codec_options=CODEC)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise SourceError(
            f"the URL cannot be used: {without_urls(str(error))}",
            where=where,
            next_step=f"Set {variable} to mongodb://host:port/name-of-the-database",
        ) from error
    with client:
        with reported(where):
            version = client.server_info()["version"]
            names = set(database.list_collection_names())
        if int(version.split(".")[0]) < OLDEST_MAJOR:
            raise SourceError(
                f"the server is MongoDB {version}; {OLDEST_MAJOR} or newer is needed",
                where=where,
                next_step="Upgrade the source, or restore a dump of it into a newer server",
            )
        if not names:
            raise SourceError(
                f"there is no database {database.name!r}, or it has no collections",
                where=where,
                next_step=f"Check the name at the end of {variable}, and the user's rights",
            )
        with reported(where):
            yield database


@contextmanager
def reported(where: str) -> Iterator[None]:
    """Turns the driver's errors into a :class:`SourceError` of one line.

    The error is not chained: its details may repeat parts of documents or of the URL.
    """
    try:
        yield
    except OperationFailure as error:
        if error.code in _SNAPSHOT_GONE:
            raise SourceError(
                "the server no longer has the moment that this run reads: it is older than "
                "minSnapshotHistoryWindowInSeconds, or a collection was made or indexed since; "
                "writes must be frozen",
                where=where,
                next_step="Raise that setting on the server and start again; or stop the application's "
                "writes, unset MIGRATION_SNAPSHOT and start again. Each load goes on only where what it "
                "had read is still the same",
            ) from None
        raise SourceError(
            f"the server refused: {without_urls(str(error.details and error.details.get('errmsg')))}",
            where=where,
            next_step="Check that the user may read the database (role `read`)",
            is_transient=error.code in _PASSING or error.has_error_label("RetryableReadError"),
        ) from None
    except PyMongoError as error:
        first = without_urls(str(error)).split(", Timeout:")[0]
        raise SourceError(
            f"no answer: {first}",
            where=where,
            next_step="Check that the server runs and can be reached from here, then start again",
            is_transient=isinstance(error, ConnectionFailure),
        ) from None


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
