"""Both servers in one directory, as everybody else uses them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from migration_assets.embedded.databases import DAGSTER_DATABASE, DATABASE, Urls
from migration_assets.embedded.mongod import Mongod
from migration_assets.embedded.postgres import Postgres
from migration_assets.embedded.server import ServerStatus
from migration_assets.settings import EMBEDDED_HOME


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
        host: The address they listen on, for machines of the same network.
    """

    directory: Path
    replica_set: bool = False
    durable: bool = True
    timeout: float = 60
    host: str = "127.0.0.1"

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
            mongodb_url=self._mongod.url(DATABASE),
            postgres_url=self._postgres.url(DATABASE),
            dagster_url=self._postgres.url(DAGSTER_DATABASE, scheme="postgresql+psycopg2"),
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
    def _postgres(self) -> Postgres:
        return Postgres(self._home("postgres"), self.timeout, self.host, self.durable)

    @property
    def _mongod(self) -> Mongod:
        return Mongod(self._home("mongod"), self.timeout, self.host, self.replica_set)

    def _home(self, name: str) -> Path:
        return self.directory.expanduser().resolve() / name


def default_directory() -> Path:
    """The directory when none is named: `$MIGRATION_ASSETS_HOME`, else `./.migration-assets`."""
    return Path(EMBEDDED_HOME.read()).expanduser().absolute()
