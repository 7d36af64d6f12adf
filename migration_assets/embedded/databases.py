"""Databases on the embedded servers, and those that tests borrow."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from pymongo import MongoClient

DATABASE = "nextcrm"
DAGSTER_DATABASE = "dagster"


@dataclass(frozen=True)
class Urls:
    """Where the databases are. A URL that holds a password stays out of the `repr`.

    Attributes:
        mongodb_url: The source, with the database name.
        postgres_url: The target.
        dagster_url: A second database of the same PostgreSQL, for Dagster's own storage. It is
            `postgresql+psycopg2://` because SQLAlchemy 2.1 reads `postgresql://` as psycopg 3, with
            which dagster-postgres 0.29 fails (design, section 9).
    """

    mongodb_url: str
    postgres_url: str = field(repr=False)
    dagster_url: str = field(repr=False)


def create_database(postgres_url: str, name: str) -> str:
    """Creates a database unless there is one of this name.

    Args:
        postgres_url: Any database on the server; `postgresql+driver://` will do.
        name: The new database.

    Returns:
        The URL of the new database, otherwise like `postgres_url`.
    """
    exists = "SELECT FROM pg_database WHERE datname = %s"
    with connected(postgres_url) as connection:
        if connection.execute(exists, (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return with_database(postgres_url, name)


@contextmanager
def fresh_database(urls: Urls, prefix: str = "test") -> Iterator[Urls]:
    """Lends an empty target and an empty source on running servers, so that tests share servers.

    Args:
        urls: The servers.
        prefix: What the names of the databases begin with.

    Yields:
        The URLs of the new databases, which are dropped at the end in spite of open connections.
        Dagster's database remains that of `urls`.
    """
    name = f"{prefix}_{secrets.token_hex(6)}"
    fresh = replace(
        urls,
        mongodb_url=with_database(urls.mongodb_url, name),
        postgres_url=create_database(urls.postgres_url, name),
    )
    try:
        yield fresh
    finally:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with connected(urls.postgres_url) as connection:
            connection.execute(drop)
        with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
            client.drop_database(name)


def connected(postgres_url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Opens a connection in autocommit mode; `postgresql+driver://` will do."""
    url = urlsplit(postgres_url)
    plain = url._replace(scheme=url.scheme.partition("+")[0]).geturl()
    return psycopg.connect(plain, autocommit=True)


def with_database(url: str, name: str) -> str:
    """Returns the URL of another database on the same server."""
    return urlsplit(url)._replace(path=f"/{quote(name, safe='')}").geturl()
