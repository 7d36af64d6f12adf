"""Real servers, started once for all tests, and an empty database on each for every test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from migration_assets.embedded import EmbeddedServers, Urls, fresh_database
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import create_schema


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """Running servers; what they hold is gone with the tests, so they need not be durable."""
    with EmbeddedServers(tmp_path_factory.mktemp("servers"), durable=False) as urls:
        yield urls


@pytest.fixture
def source_url(servers: Urls) -> Iterator[str]:
    """The URL of a MongoDB database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = servers.mongodb_url.replace("/nextcrm", f"/{name}")
    yield url
    with MongoClient(url) as client:
        client.drop_database(name)


@pytest.fixture
def mongo_database(source_url: str) -> Iterator[SourceDatabase]:
    """An empty MongoDB database."""
    with MongoClient(source_url) as client:
        yield client.get_default_database()


@pytest.fixture
def source(source_url: str) -> Iterator[SourceDatabase]:
    """An empty MongoDB database, opened as the migration opens it, and writable for the test."""
    with MongoClient(source_url) as client:
        client.get_default_database()["Users"].insert_one({"_id": 0})
        client.get_default_database()["Users"].delete_one({"_id": 0})
    with open_source(source_url) as database:
        yield database


@pytest.fixture
def target_url(servers: Urls) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with fresh_database(servers) as urls:
        yield urls.postgres_url


@pytest.fixture
def target(target_url: str) -> Iterator[Connection]:
    """A connection to an empty PostgreSQL database that has the schema."""
    with open_target(target_url) as connection:
        create_schema(connection)
        yield connection
