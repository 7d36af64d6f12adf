"""Opening the target database, with errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from migration_assets.errors import TargetError
from migration_assets.urls import TARGET_VARIABLE, redacted, without_urls

Connection = psycopg.Connection[TupleRow]

OLDEST_VERSION = 150_000

_DRIVER = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")


@contextmanager
def open_target(url: str, *, timeout: float = 10.0) -> Iterator[Connection]:
    """Opens the target database, in autocommit mode: a transaction is always written out.

    Args:
        url: PostgreSQL URL; one written for SQLAlchemy (`postgresql+psycopg2://`) is taken as well.
        timeout: How long to wait for the server, in seconds.

    Raises:
        TargetError: The URL is wrong, the server does not answer or is older than PostgreSQL 15, or the
            connection is lost.
    """
    where = f"PostgreSQL at {redacted(url)}"
    with reported(where):
        connection = psycopg.connect(
            _DRIVER.sub("postgresql://", url),
            autocommit=True,
            connect_timeout=int(timeout),
            application_name="migration-assets",
            options="-c search_path=public -c timezone=UTC -c client_encoding=UTF8",
        )
    with connection:
        if connection.info.server_version < OLDEST_VERSION:
            major = connection.info.server_version // 10_000
            raise TargetError(
                f"the server is PostgreSQL {major}; 15 or newer is needed",
                where=where,
                next_step="Upgrade the target, or use another server",
            )
        with reported(where):
            yield connection


@contextmanager
def reported(where: str) -> Iterator[None]:
    """Turns a lost connection or a refused login into a :class:`TargetError` of one line."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is not None:
            raise
        raise TargetError(
            f"no connection: {without_urls(str(error))}",
            where=where,
            next_step=f"Check that the server runs and that {TARGET_VARIABLE} names it and a "
            "database on it, then start again",
        ) from error
