"""Errors of PostgreSQL and libpq in our words: what to do, and whether trying again may help.

While connecting libpq gives a text and no SQLSTATE; afterwards only what names things is repeated, since the
server's own messages may quote values of a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from migration_assets.errors import TargetError
from migration_assets.settings import TARGET_URL
from migration_assets.urls import without_urls

_LOOK = "Look it up in the server's log, then start again"
_FREE = "Give the server disk space, memory or connections, then start again"
_READ_ONLY = (
    "Give the primary server; or lift the wish: ALTER DATABASE … (or ROLE … of this role) "
    "SET default_transaction_read_only = off"
)
_CREDENTIALS = (
    f"Check the user and the password in {TARGET_URL.name} (special characters as in %40 for @), and "
    "that the role may log in"
)
_CORRECT = f"Correct it in {TARGET_URL.name}"
_CERTIFICATES = (
    f"Correct sslmode, sslrootcert, sslcert or sslkey in {TARGET_URL.name}, or their files"
)
POOLER = (
    "Give the server's direct address, or a session of its own: pgbouncer's pool_mode=session, Supabase's "
    "port 5432 instead of 6543, Neon's host without -pooler"
)

NEXT_STEPS = {
    "08": f"Check that the server runs and that {TARGET_URL.name} names it; then start again",
    "08P01": POOLER,
    "22": _LOOK,
    "22021": "The database's encoding cannot hold every text: create it anew, with ENCODING 'UTF8'",
    "23": "Drop the constraint where it is not the application's, or empty the table; then start again",
    "25006": _READ_ONLY,
    "25P03": "Set idle_in_transaction_session_timeout = 0 for the role, then start again",
    "28": _CREDENTIALS,
    "3D000": f"Create the database (sql/roles/postgres.sql), or correct its name in {TARGET_URL.name}",
    "40": "Start again: what is committed stays",
    "42": "The target is not as the model has it: `migration-assets preflight` shows what differs",
    "42501": "Let the role own the database and what the migration made in it (sql/roles/postgres.sql)",
    "53": _FREE,
    "53300": "Close other connections, or raise max_connections or the role's CONNECTION LIMIT",
    "53400": "Raise temp_file_limit for the role, then start again",
    "54": "Shorten the value in the source, or correct it by a rule (docs/remediations.md)",
    "55000": "`migration-assets preflight` shows what stands in the way; then start again",
    "55006": "End the sessions that use it, then start again",
    "55P03": "End that session, or wait for it, then start again: what is committed stays",
    "57014": "Set statement_timeout = 0 for the role, or ask who cancelled it; then start again",
    "57P": f"Check that the server runs and that {TARGET_URL.name} names it; then start again",
    "58": "Look in the server's log: a file of the server is missing or cannot be read",
    "XX": "Look in the server's log: the server itself reports a fault in its data or program",
}
"""What to do, by SQLSTATE; the longest beginning counts."""

_PASSING = ("08", "57P", "40", "42710", "53300")
"""SQLSTATEs that pass: connection, shutdown and restart, deadlock and serialization, too many connections;
and that what was missing is there meanwhile, since a killed process's last statement came through."""

_UNREACHABLE = ("08", "28", "3D", "57P")
"""Classes of SQLSTATE after which there is no connection: their message names no row, and is shown."""


@dataclass(frozen=True, slots=True)
class _Cause:
    """A reason why connecting failed, recognized by the message of libpq or the server.

    Attributes:
        pattern: Matches the message.
        next_step: What to do.
        passes: Connecting again may help.
    """

    pattern: re.Pattern[str]
    next_step: str
    passes: bool = False


def _cause(pattern: str, next_step: str, *, passes: bool = False) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), next_step, passes)


_CAUSES: Sequence[_Cause] = (
    _cause(
        r"unsupported startup parameter|options.{0,40}not supported",
        f"This is a pooler, which takes no options: leave them out of the URL and PGOPTIONS. {POOLER}",
    ),
    _cause(
        r"query_wait_timeout|transaction blocks not allowed|tenant or user not found|no such database:",
        POOLER,
    ),
    _cause(
        r"permission denied to set role|invalid value for parameter|unrecognized configuration parameter"
        r"|invalid command-line argument|permission denied to set parameter|-c \w* ?requires a value",
        f"Correct options in {TARGET_URL.name} or PGOPTIONS; a role is taken by its members (GRANT … TO …)",
    ),
    _cause(r"authentication failed|no password supplied|not permitted to log in", _CREDENTIALS),
    _cause(
        r"role \".*\" does not exist",
        f"Correct the user, or the role in its options, in {TARGET_URL.name}",
    ),
    _cause(
        r"permission denied for database",
        "GRANT CONNECT ON DATABASE … TO the role (sql/roles/postgres.sql)",
    ),
    _cause(r"database \".*\" does not exist", NEXT_STEPS["3D000"]),
    _cause(
        r"not currently accepting connections",
        "ALTER DATABASE … ALLOW_CONNECTIONS true, or give another database",
    ),
    _cause(
        r"pg_hba\.conf",
        "Let pg_hba.conf admit this host, user and database; where it says no encryption, add "
        f"sslmode=require to {TARGET_URL.name}",
    ),
    _cause(
        r"too many (clients|connections)|remaining connection slots",
        NEXT_STEPS["53300"],
        passes=True,
    ),
    _cause(
        r"translate host name|resolve host|parse network address|codec",
        f"Correct the name of the host in {TARGET_URL.name}",
    ),
    _cause(
        r"certificate|private key|SSL error|does not support SSL|SSL was required|root\.crt|sslmode",
        _CERTIFICATES,
    ),
    _cause(r"read-only|hot standby mode|is in recovery|not in hot standby", _READ_ONLY),
    _cause(
        r"service", "Correct service or PGSERVICE, and the file that defines it (PGSERVICEFILE)"
    ),
    _cause(r"invalid|missing|bad value|forbidden", _CORRECT),
)
"""The first that fits counts. One whose text is in another language, or of another kind, may pass."""

_NO_SPACE = "No space left on device"


def target_error(error: psycopg.Error, where: str, holders: str = "") -> TargetError:
    """Returns an error of one line for an error of the driver.

    Args:
        error: The driver's error.
        where: The server and database.
        holders: The sessions that hold the lock that a statement has waited for, in words.
    """
    state = error.sqlstate
    if state is None or state.startswith(_UNREACHABLE):
        return _no_connection(error, where)
    diagnosis = error.diag
    named = {
        "table": diagnosis.table_name,
        "column": diagnosis.column_name,
        "constraint": diagnosis.constraint_name,
    }
    about = "".join(f", {what} {name}" for what, name in named.items() if name)
    holders_note = f": a table is held by {holders}" if holders else ""
    return TargetError(
        f"{type(error).__name__} (SQLSTATE {state}{about}){holders_note}",
        where=where,
        next_step=next_step(state),
        is_transient=state.startswith(_PASSING),
    )


def next_step(state: str) -> str:
    """Returns what to do after an error of a SQLSTATE."""
    beginnings = [name for name in NEXT_STEPS if state.startswith(name)]
    return NEXT_STEPS[max(beginnings, key=len)] if beginnings else _LOOK


def _no_connection(error: psycopg.Error, where: str) -> TargetError:
    text = without_urls(str(error))
    if _NO_SPACE in text:
        return TargetError("no connection, since its disk is full", where=where, next_step=_FREE)
    is_lost = isinstance(error, psycopg.OperationalError)
    cause = next((candidate for candidate in _CAUSES if candidate.pattern.search(text)), None)
    if error.sqlstate is not None:
        steps, passes = next_step(error.sqlstate), error.sqlstate.startswith(_PASSING)
        if cause is not None:
            steps = cause.next_step
    elif cause is not None:
        steps, passes = cause.next_step, cause.passes and is_lost
    else:
        steps, passes = (
            f"Check that the server runs and that {TARGET_URL.name} names it, a database on it, and a role "
            "that may log in; then start again",
            is_lost,
        )
    return TargetError(f"no connection: {text}", where=where, next_step=steps, is_transient=passes)
