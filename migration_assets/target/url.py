"""The target URL, translated into the terms of libpq.

Operators copy the application's ``DATABASE_URL``, which is written for Prisma. What Prisma and libpq both
have keeps its meaning; what only tunes Prisma's client is ignored, with a note; what we cannot do is refused
by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, unquote_to_bytes

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migration_assets.errors import TargetError
from migration_assets.settings import TARGET_URL
from migration_assets.urls import redacted, without_urls

_DRIVER = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")
_READABLE = re.compile(_DRIVER.pattern + r"(?:(?:[^\s/@%]|%[0-9A-Fa-f]{2})*@)?[^\s@]*")
"""A URL in which it is clear where the password ends, so that it can be shown without it."""
_AUTHORITY = re.compile(r"(postgresql://(?:[^/@]*@)?)(.*)", re.DOTALL)
"""The user and password, which may hold a question mark, and the rest."""

APPLICATION_NAME = "migration-assets"

KEEPALIVES: Mapping[str, str] = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""A line that was cut is given up after a minute (seconds, milliseconds), unless the URL says otherwise."""

_SCHEMA = "public"

_IGNORED: Mapping[str, str] = {
    "connection_limit": "Prisma's pool",
    "pool_timeout": "Prisma's pool",
    "max_idle_connection_lifetime": "Prisma's pool",
    "max_connection_lifetime": "Prisma's pool",
    "socket_timeout": "Prisma's client",
    "statement_cache_size": "Prisma's client",
    "single_use_connections": "Prisma's client",
    "supa": "Supabase",
    "uselibpqcompat": "node-postgres",
    "application_name": "ours tells who holds the target",
}
"""What the URL of the application may have besides, and whose it is, or why not."""

_PRISMAS = frozenset(name for name, whose in _IGNORED.items() if whose.startswith("Prisma"))

_TRUE = frozenset({"true", "1", "on", "yes"})


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """A URL of the target, understood.

    Attributes:
        shown: The server and database, without secrets.
        conninfo: What libpq is given.
        notes: The parts of the URL that the migration ignores, in words.
    """

    shown: str
    conninfo: str
    notes: tuple[str, ...]


def understood(url: str, *, timeout: float) -> TargetUrl:
    """Returns the parameters of a URL, completed by those that a migration needs.

    Args:
        url: PostgreSQL URL; one written for SQLAlchemy (`postgresql+psycopg2://`) or Prisma is taken as well.
        timeout: How long to wait for the server, in seconds, where the URL does not say.

    Raises:
        TargetError: It cannot be read, or asks for what the migration cannot do. The message has no secret.
    """
    if not _is_text(url) or not _READABLE.fullmatch(url):
        raise TargetError(
            "the URL cannot be read",
            where="PostgreSQL",
            next_step=f"Set {TARGET_URL.name} to postgresql://user:password@host:port/database, in UTF-8, "
            "special characters as in %40 for @, %2F for /, %25 for %",
        )
    shown = redacted(url)
    refuse = partial(_refused, shown)
    split = _AUTHORITY.fullmatch(_DRIVER.sub("postgresql://", url))
    assert split is not None
    account, place = split.groups()
    address, _, query = place.partition("?")
    query_parameters = dict(_parameters(query, refuse))
    notes = tuple(_notes(query_parameters, refuse))
    try:
        parameters = {
            k: str(v) for k, v in conninfo_to_dict(account + address).items()
        } | query_parameters
        make_conninfo("", **parameters)
    except psycopg.Error as error:
        raise refuse(without_urls(str(error))) from None
    _require_database(parameters, refuse)
    _require_ports(parameters.get("port", ""), refuse)
    return TargetUrl(shown, make_conninfo("", **_completed(parameters, timeout, refuse)), notes)


def notes_on(url: str) -> tuple[str, ...]:
    """Returns notes on the parts of a URL that the migration ignores; none for an unusable URL."""
    try:
        return understood(url, timeout=1.0).notes
    except TargetError:
        return ()


def _is_text(url: str) -> bool:
    """Tells whether a URL is UTF-8, also where it is percent-encoded."""
    try:
        unquote_to_bytes(url.encode()).decode()
    except UnicodeError:
        return False
    return True


def _refused(shown: str, what: str, next_step: str = "") -> TargetError:
    return TargetError(
        what,
        where=f"PostgreSQL at {shown}",
        next_step=next_step or f"Correct it in {TARGET_URL.name}",
    )


Refuse = Callable[..., TargetError]


def _parameters(query: str, refuse: Refuse) -> Iterator[tuple[str, str]]:
    """Yields the parameters of a URL as libpq reads them: a plus is a plus."""
    for part in filter(None, query.split("&")):
        name, has_value, value = part.partition("=")
        if not has_value:
            raise refuse(f"the parameter {unquote(name)!r} of the URL has no value")
        yield unquote(name), unquote(value)


def _notes(parameters: dict[str, str], refuse: Refuse) -> Iterator[str]:
    """Removes parameters that libpq does not know, and yields a note on each."""
    if parameters.get("schema", _SCHEMA) != _SCHEMA:
        raise refuse(
            f"schema={parameters['schema']} is asked for; the application's tables are in the schema "
            f"{_SCHEMA}",
            f"Leave schema out of {TARGET_URL.name}, or make it schema={_SCHEMA}",
        )
    if "sslidentity" in parameters:
        raise refuse(
            "sslidentity (a PKCS#12 file, of Prisma) cannot be used",
            "Take the certificate and the key out of it with `openssl pkcs12`, and name them as sslcert "
            "and sslkey",
        )
    is_prismas = bool(parameters.keys() & {*_PRISMAS, "schema", "pgbouncer", "sslaccept"})
    if parameters.pop("ssl", "").lower() in _TRUE:  # as libpq reads it in a URL
        parameters.setdefault("sslmode", "require")
    parameters.pop("schema", None)
    if parameters.pop("pgbouncer", "").lower() in _TRUE:
        yield (
            "pgbouncer=true says that this is a pooler: the migration needs a session of its own, so give "
            "the server's direct address if this one is refused"
        )
    for name in [name for name in parameters if name in _IGNORED]:
        del parameters[name]
        yield f"{name} is ignored ({_IGNORED[name]})"
    if is_prismas and "sslcert" in parameters and "sslkey" not in parameters:
        parameters.setdefault("sslrootcert", parameters.pop("sslcert"))
        yield "sslcert is taken as Prisma means it: the certificate of the authority (sslrootcert)"
    accept = parameters.pop("sslaccept", "accept_invalid_certs")
    if accept == "strict":
        parameters["sslmode"] = "verify-full"
        parameters.setdefault("sslrootcert", "system")
    elif accept != "accept_invalid_certs":
        raise refuse(f"invalid sslaccept value: {accept!r}")


def _require_database(parameters: Mapping[str, str], refuse: Refuse) -> None:
    """Refuses a URL without a database: libpq would take one that is named as the user."""
    elsewhere = os.environ.get("PGDATABASE"), os.environ.get("PGSERVICE"), parameters.get("service")
    if not parameters.get("dbname") and not any(elsewhere):
        raise refuse(
            "the URL names no database",
            f"Set {TARGET_URL.name} to postgresql://user:password@host:port/database",
        )


def _require_ports(ports: str, refuse: Refuse) -> None:
    for port in filter(None, ports.split(",")):
        if not port.isdecimal() or not 1 <= int(port) <= 65_535:
            raise refuse(f"{port} is no port: ports are 1 to 65535")


def _completed(parameters: dict[str, str], timeout: float, refuse: Refuse) -> dict[str, str]:
    """Returns the parameters, completed by those that a migration needs."""
    session_attributes = parameters.get("target_session_attrs", "any")
    if session_attributes in ("standby", "read-only", "prefer-standby"):
        raise refuse(
            f"target_session_attrs={session_attributes} asks for a server that takes no writes",
            f"Leave it out of {TARGET_URL.name}, or make it primary",
        )
    if (
        "," in parameters.get("host", "") + parameters.get("hostaddr", "")
        and session_attributes == "any"
    ):
        parameters["target_session_attrs"] = "primary"
    # Each of our connections must come to the same server.
    if parameters.pop("load_balance_hosts", "disable") not in ("disable", "random"):
        raise refuse("invalid load_balance_hosts value")
    seconds = parameters.get("connect_timeout", "0")
    if not seconds.lstrip("-").isdecimal():
        raise refuse("connect_timeout is no number of seconds")
    if int(seconds) <= 0:  # libpq would wait forever
        parameters["connect_timeout"] = str(max(1, int(timeout)))
    if "options" in parameters and (more := os.environ.get("PGOPTIONS")):
        parameters["options"] = (
            f"{more} {parameters['options']}"  # libpq takes one or the other; the last wins
        )
    return {**KEEPALIVES, **parameters, "application_name": APPLICATION_NAME}
