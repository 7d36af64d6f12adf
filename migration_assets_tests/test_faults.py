"""Faults that really happen: processes and servers killed in the middle. Afterwards nothing is lost.

The judge is an undisturbed load of the same source: every table and every book must be the same.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import sql
from pymongo import MongoClient

from migration_assets.embedded import EmbeddedServers, Urls, create_database, fresh_database
from migration_assets.model import TABLES
from migration_assets.sample import generate
from migration_assets.source.connection import Document
from migration_assets.target import bookkeeping
from migration_assets.target.connection import Connection, open_target

KILLS = int(os.environ.get("FAULT_KILLS", "30"))
BOOKS = ("rejected_documents", "issues", "conversions", "unmapped_fields", "uuid_map")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EmbeddedServers, Urls]]:
    """Servers of this module's own, since it kills them, with a small and dirty sample."""
    servers = EmbeddedServers(tmp_path_factory.mktemp("faults"))
    with servers as urls:
        client: MongoClient[Document] = MongoClient(urls.mongodb_url, journal=True)
        with client:
            generate(client.get_default_database(), scale=0.05, seed=3, dirty=0.01)
        yield servers, urls


@dataclass(frozen=True)
class Undisturbed:
    """A load without a fault: what was in the target after it, and its seconds."""

    content: dict[str, str]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(own: tuple[EmbeddedServers, Urls]) -> Undisturbed:
    """A load without a fault, which all others are compared with."""
    _, urls = own
    url = create_database(urls.postgres_url, "undisturbed")
    with _victim(urls.mongodb_url, url) as process:
        started = time.monotonic()
        assert "finished" in process.communicate(timeout=120)[0]
    with open_target(url) as connection:
        return Undisturbed(_content(connection), time.monotonic() - started)


def test_a_process_killed_at_any_moment_goes_on_and_loses_nothing(
    own: tuple[EmbeddedServers, Urls], undisturbed: Undisturbed
) -> None:
    chance = random.Random(20)
    _, urls = own
    killed = resumed = 0
    with fresh_database(urls) as fresh:
        while killed < KILLS:
            with _victim(urls.mongodb_url, fresh.postgres_url) as process:
                time.sleep(chance.uniform(0, undisturbed.seconds))
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    killed += 1
                    said = process.communicate()[0]
                    resumed += said.count("resuming after batch")
                    continue
                said = process.communicate()[0]
                assert process.returncode == 0, said
            with open_target(fresh.postgres_url) as connection:
                assert _content(connection) == undisturbed.content
                _empty(connection)
        with _victim(urls.mongodb_url, fresh.postgres_url) as process:
            said = process.communicate(timeout=120)[0]
            assert process.returncode == 0, said
        with open_target(fresh.postgres_url) as connection:
            assert _content(connection) == undisturbed.content
    assert resumed > 0, "no kill fell into the middle of a load: make the sample larger"


@pytest.mark.parametrize("server", ["postgres", "mongod"])
def test_a_server_killed_and_started_again_loses_nothing(
    own: tuple[EmbeddedServers, Urls], undisturbed: Undisturbed, server: str
) -> None:
    servers, urls = own
    chance = random.Random(server)
    with fresh_database(urls) as fresh:
        with _victim(urls.mongodb_url, fresh.postgres_url) as process:
            for _ in range(2):
                time.sleep(chance.uniform(0.2, undisturbed.seconds / 4))
                if server == "postgres":
                    servers.kill_postgres()
                    servers.start_postgres()
                else:
                    servers.kill_mongod()
                    servers.start_mongod()
            said = process.communicate(timeout=180)[0]
            assert process.returncode == 0, said
        with open_target(fresh.postgres_url) as connection:
            assert _content(connection) == undisturbed.content


def _victim(source_url: str, target_url: str) -> subprocess.Popen[str]:
    """Returns a process that has just begun to load."""
    process = subprocess.Popen(
        [sys.executable, "-m", "migration_assets_tests.victim"],
        env=os.environ
        | {
            "SOURCE_MONGODB_URL": source_url,
            "TARGET_POSTGRES_URL": target_url,
            "MIGRATION_DOCUMENTS_PER_BATCH": "4",
        },
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _content(connection: Connection) -> dict[str, str]:
    """Returns a digest of the rows of every table and every book, the order apart."""
    tables = [sql.Identifier("public", name) for name in TABLES]
    tables += [sql.Identifier(bookkeeping.SCHEMA, name) for name in BOOKS]
    found = {}
    for table in tables:
        row = connection.execute(
            sql.SQL(
                "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) "
                "FROM {} t"
            ).format(table)
        ).fetchone()
        assert row is not None
        found[table.as_string()] = row[0]
    return found


def _empty(connection: Connection) -> None:
    """Empties the target, so that the next load has everything to do again."""
    names = sql.SQL(", ").join(sql.Identifier("public", name) for name in TABLES)
    connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))
    for name in (*BOOKS, "loads", "batches"):
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(bookkeeping.SCHEMA, name)))
