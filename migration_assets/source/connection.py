"""Opening the source database, with errors that say what to do."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient, ReadPreference
from pymongo.database import Database
from pymongo.errors import (
    ConfigurationError,
    InvalidName,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern

from migration_assets.errors import SourceError
from migration_assets.settings import SOURCE_URL
from migration_assets.source.refusals import (
    COMMAND_NOT_FOUND,
    OLDEST_MAJOR,
    UNAUTHORIZED,
    reported,
    unreachable,
)
from migration_assets.urls import redacted, without_urls

Document = dict[str, Any]
SourceDatabase = Database[Document]

CODEC: CodecOptions[Document] = CodecOptions(
    document_class=dict,
    tz_aware=False,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
"""How BSON is decoded: nothing is guessed, and a date beyond Python's range stays a number."""

_ANY_TEXT = CODEC.with_options(unicode_decode_error_handler="replace")

_READABLE = re.compile(r"mongodb(?:\+srv)?://(?:(?:[^\s/@%]|%[0-9A-Fa-f]{2})*@)?[^\s@]*")
"""A URL in which it is clear where the password ends, so that it can be shown without it."""


class SourceClient(MongoClient[Document]):
    """A client of the source, with what of its URL does not count.

    Attributes:
        ignored: Names of options of the URL that were left out, or stand against how the source is read.
        url: The URL itself, with the password where there is one.
    """

    ignored: tuple[str, ...] = ()
    url: str = ""


@contextmanager
def open_source(
    url: str, *, timeout: float = 10.0, variable: str = SOURCE_URL.name
) -> Iterator[SourceDatabase]:
    """Opens the database that a MongoDB URL names, to be read from its primary with majority concern.

    All that was acknowledged before is read: what a majority of the replica set has not yet is waited for.

    Args:
        url: MongoDB URL with the name of the database.
        timeout: How long to wait for a server, in seconds.
        variable: The environment variable that errors name as the place to put the URL right.

    Raises:
        SourceError: The URL is wrong or names no database, the server does not answer, is older
            than MongoDB 5 or no primary, or the database does not exist.
    """
    if not _READABLE.fullmatch(url):
        raise SourceError(
            "the URL cannot be read",
            where="MongoDB",
            next_step=f"Set {variable} to mongodb://user:password@host:port/name-of-the-database, "
            "special characters as in %40 for @, %2F for /, %25 for %",
        )
    where = f"MongoDB at {redacted(url)}"
    # Where somebody logs all that libraries say, the driver writes commands and replies: documents.
    logging.getLogger("pymongo").setLevel(logging.INFO)
    with _usable(url, where, variable):
        client = _client(url, timeout)
    with client:
        with _usable(url, where, variable):
            database = client.get_default_database(
                codec_options=CODEC,
                read_preference=ReadPreference.PRIMARY,
                read_concern=ReadConcern("majority"),
            )
        with reported(where, variable):
            try:
                hello = _hello(database)
            except ServerSelectionTimeoutError as error:
                raise unreachable(client, error, where, variable) from None
            _demand_primary(hello, where, variable)
            _demand_majority(database, hello, where, timeout)
            version = server_version(database)
            is_empty = not _collection_names(database)
        if version is not None and major(version) < OLDEST_MAJOR:
            raise SourceError(
                f"the server is MongoDB {version}; {OLDEST_MAJOR} or newer is needed",
                where=where,
                next_step="Upgrade the source, or restore a dump of it into a newer server",
            )
        if is_empty:
            raise SourceError(
                f"there is no database {database.name!r}, or it has no collections",
                where=where,
                next_step=f"Check the name at the end of {variable}, and the user's rights",
            )
        with reported(where, variable):
            yield database


def is_current(source: SourceDatabase, *, timeout: float = 10.0) -> bool:
    """Tells whether a database that was opened is still read from a primary, with all that was written."""
    try:
        hello = _hello(source)
        _demand_primary(hello, "", "")
        _demand_majority(source, hello, "", timeout)
    except (SourceError, PyMongoError):
        return False
    return True


def server_version(source: SourceDatabase) -> str | None:
    """Returns the server's version; None where it does not tell."""
    try:
        version = source.client.server_info().get("version")
    except OperationFailure:
        return None
    return version if isinstance(version, str) and version[:1].isdecimal() else None


def major(version: str) -> int:
    """Returns the major number of a version."""
    return int(version.split(".", maxsplit=1)[0])


def _client(url: str, timeout: float) -> SourceClient:
    """Returns a client of the server that a URL names.

    Raises:
        ConfigurationError: An option has a value that it cannot have; the driver would leave it out, so that
            ``tls=yes`` would connect in the open.
    """
    with warnings.catch_warnings(record=True) as raised:
        # The driver's alone: what else the process warns of meanwhile, such as Python of something that
        # was not closed, says nothing about the URL.
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        client = SourceClient(
            url,
            appname="migration-assets",
            serverSelectionTimeoutMS=int(timeout * 1000),
            connectTimeoutMS=int(timeout * 1000),
        )
    left_out = [str(warning.message) for warning in raised]
    for message in left_out:
        if not message.startswith(_LEFT_OUT):
            client.close()
            raise ConfigurationError(message)
    options = _option_names(url)
    unknown = [
        option
        for option in options
        if any(f" {option.lower()}." in message for message in left_out)
    ]
    against = [option for option in options if option.lower() in _HOW_TO_READ]
    client.ignored = (*unknown, *against)
    client.url = url
    return client


@contextmanager
def _usable(url: str, where: str, variable: str) -> Iterator[None]:
    """Turns the driver's errors about a URL into a :class:`SourceError` of one line."""
    options = _option_names(url)
    files = ", ".join(option for option in options if option.lower().endswith("file"))
    next_step = f"Set {variable} to mongodb://host:port/name-of-the-database"
    if options:
        next_step += f", and look at its options: {', '.join(options)}"
    if files:
        next_step = f"Check the files that {variable} names: {files}"
    try:
        yield
        return
    except (InvalidURI, ConfigurationError, InvalidName, ValueError) as error:
        why = without_urls(str(error)).rstrip(".")
        if "DNS" in why or "SRV" in why:
            next_step = (
                f"Check the name of the host in {variable}, and the name server of this machine"
            )
    except OSError as error:  # SSLError is one
        why = f"a file that it names is not as needed ({error.strerror or type(error).__name__})"
    except (LookupError, TypeError, AttributeError) as error:
        why = f"the driver does not take one of its options ({type(error).__name__})"
    raise SourceError(f"the URL cannot be used: {why}", where=where, next_step=next_step)


_LEFT_OUT = ("Unknown option", "Wire protocol compression")
"""How the driver's warnings begin of what does no harm where it is left out."""
_HOW_TO_READ = frozenset(
    {"readpreference", "readpreferencetags", "maxstalenessseconds", "readconcernlevel"}
)
"""Options that say where and how to read, in lower case; the source is read from its primary all the same."""


def _option_names(url: str) -> list[str]:
    query = url.rpartition("@")[2].partition("?")[2]  # a password may hold what looks like one
    return [assignment.partition("=")[0] for assignment in re.split("[&;]", query) if assignment]


def _hello(source: SourceDatabase) -> Mapping[str, Any]:
    try:
        return source.client.admin.command("hello")
    except OperationFailure as refusal:
        if refusal.code != COMMAND_NOT_FOUND:
            raise
        return source.client.admin.command("isMaster")


def _demand_primary(hello: Mapping[str, Any], where: str, variable: str) -> None:
    """Refuses a member that is no primary: the driver reads from it when it is connected to directly."""
    if not hello.get("isWritablePrimary", hello.get("ismaster", True)):
        primary = f" (it says that {hello['primary']} is)" if "primary" in hello else ""
        raise SourceError(
            f"the server is not the primary of its replica set{primary}, and what it holds may be old",
            where=where,
            next_step=f"Name the primary in {variable}; or all members, with "
            f"replicaSet={hello.get('setName')} and without directConnection",
            is_transient=True,
        )


def _demand_majority(
    source: SourceDatabase, hello: Mapping[str, Any], where: str, timeout: float
) -> None:
    """Waits until a majority of the replica set has what the primary had: else it would not be read."""
    last = hello.get("operationTime")
    names = _collection_names(source)
    if last is None or not names:
        return
    find = {
        "find": names[0],
        "projection": {"_id": 1},
        "limit": 1,
        "readConcern": {"level": "majority", "afterClusterTime": last},
        "maxTimeMS": max(1, int(timeout * 1000)),
    }
    try:
        source.command(find, codec_options=_ANY_TEXT)
    except OperationFailure as refusal:
        if refusal.code not in _NOT_BY_MAJORITY:
            return  # a server that has no such times
        raise SourceError(
            "a majority of the replica set's members does not have what was written last: "
            "the server cannot read what is final",
            where=where,
            next_step="Bring the members that are down or behind back, or take them out of the set "
            "(rs.status() names them), then start again",
            is_transient=True,
        ) from None


_NOT_BY_MAJORITY = frozenset(
    {
        50,  # MaxTimeMSExpired
        134,  # ReadConcernMajorityNotAvailableYet
    }
)


def _collection_names(database: SourceDatabase) -> list[str]:
    try:
        return database.list_collection_names()
    except OperationFailure as refusal:
        if refusal.code != UNAUTHORIZED:
            raise
        return database.list_collection_names(authorizedCollections=True)
