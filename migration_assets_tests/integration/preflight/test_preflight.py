"""The preflight: one page of findings on both databases, each with a next step, none with a value."""

from __future__ import annotations

import datetime as dt
import json
import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import dagster as dg
import psycopg
import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from psycopg import sql
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from rich.console import Console
from typer.testing import CliRunner

from migration_assets.assets.keys import PREFLIGHT, TARGET_SCHEMA
from migration_assets.assets.preflight import check_name, is_alone
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.cli import app
from migration_assets.commands.preflight import require_preflight
from migration_assets.definitions import MIGRATE, PREFLIGHT_JOB, build_defs
from migration_assets.embedded import EmbeddedServers, Urls
from migration_assets.errors import MigrationError, TargetError
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.preflight import fields, freeze, space
from migration_assets.preflight import source as on_source
from migration_assets.preflight import target as on_target
from migration_assets.preflight.contents import Content, contents, written_between
from migration_assets.preflight.duration import (
    OPTIMISED_FACTOR,
    SAFETY_FACTOR,
    Estimate,
    Rehearsal,
    duration,
    in_words,
    rehearsal,
    table_estimates,
)
from migration_assets.preflight.findings import Area, Level, Page, PreflightFinding
from migration_assets.preflight.freeze import Snapshots
from migration_assets.preflight.page import examine
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.settings import SERVER_DF, SOURCE_URL, TARGET_URL
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.occupants import require_own_target
from migration_assets.target.schema import create_schema

HOURS = 3600.0
VALUE = "a value that must not be shown"


def fill(database: SourceDatabase) -> None:
    """One document in every collection of the model."""
    for name in ENTITIES:
        database[name].insert_one({})


@pytest.fixture
def filled_url(source_url: str) -> str:
    with MongoClient[dict[str, Any]](source_url) as client:
        fill(client.get_default_database())
    return source_url


def page(
    source: str,
    target: str,
    *,
    observed_seconds: float = 0.0,
    rehearsed_with: Remediations | None = None,
) -> Page:
    return examine(
        NEXTCRM,
        partial(open_source, source),
        partial(open_target, target),
        observed_seconds=observed_seconds,
        rehearsed_with=rehearsed_with,
    )


def levels(examined: Page | list[PreflightFinding], area: Area) -> dict[str, Level]:
    findings = examined.findings if isinstance(examined, Page) else examined
    return {finding.what: finding.level for finding in findings if finding.area is area}


def only(findings: Iterator[PreflightFinding]) -> PreflightFinding:
    (finding,) = findings
    return finding


# --- The page ----------------------------------------------------------------------------------


def test_page_of_a_clean_source_and_an_empty_target(filled_url: str, target_url: str) -> None:
    preflight_page = page(filled_url, target_url, rehearsed_with=NO_REMEDIATIONS)
    assert preflight_page.errors == []
    assert {finding.area for finding in preflight_page.findings} == set(Area)
    assert [finding.area for finding in preflight_page.findings] == sorted(
        (finding.area for finding in preflight_page.findings), key=list(Area).index
    )
    assert levels(preflight_page, Area.CONTENT) == {"the database is empty": Level.OK}
    assert levels(preflight_page, Area.FIELDS) == {
        "the model knows every field in all 29 documents": Level.OK
    }
    assert levels(preflight_page, Area.TARGET)["encoding UTF8"] is Level.OK
    assert all(finding.next_step for finding in (*preflight_page.warnings, *preflight_page.errors))
    with psycopg.connect(target_url) as connection:  # it has changed nothing
        row = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 2200"
        ).fetchone()
    assert row == (0,)


def test_database_out_of_reach_is_a_finding_and_the_other_is_examined(
    filled_url: str, target_url: str
) -> None:
    nowhere = "postgresql://somebody:hunter2@127.0.0.1:9/nextcrm"
    preflight_page = page(filled_url, nowhere)
    assert [finding.area for finding in preflight_page.errors] == [Area.TARGET]
    assert levels(preflight_page, Area.COLLECTIONS)
    empty = filled_url.rpartition("/")[0] + f"/test_{uuid.uuid4().hex}"
    other = page(empty, target_url)
    assert [finding.area for finding in other.errors] == [Area.SOURCE]
    assert levels(other, Area.CONTENT)
    assert "hunter2" not in str(preflight_page)
    assert preflight_page.summary().startswith("1 error (target server), ")


def test_unknown_and_missing_collections_and_fields_are_named_without_values(
    filled_url: str, target_url: str
) -> None:
    with MongoClient[dict[str, Any]](filled_url) as client:
        database = client.get_default_database()
        database["old_notes"].insert_many([{"text": VALUE}, {}])
        database["Users"].insert_one({"nick.name": VALUE, "email": VALUE})
        database["Boards"].drop()
        database.create_collection("log", timeseries={"timeField": "at"})
        database.command("create", "everybody", viewOn="Users", pipeline=[])
    preflight_page = page(filled_url, target_url)
    assert preflight_page.errors == []
    warnings_text = "\n".join(finding.what for finding in preflight_page.warnings)
    assert "1 collection of the model missing: Boards" in warnings_text
    assert "the model does not know: old_notes (2)" in warnings_text
    assert (
        "Users: 1 field that the model does not know, in all 2 documents: nick.name (1)"
        in warnings_text
    )
    assert "time series that the model does not know: log" in warnings_text
    assert "1 view, which" in str(preflight_page)
    assert VALUE not in str(preflight_page)


def test_database_without_a_collection_of_the_model_is_an_error(
    mongo_database: SourceDatabase, source_url: str, target_url: str
) -> None:
    mongo_database["something"].insert_one({})
    (refused,) = page(source_url, target_url).errors
    assert refused.area is Area.COLLECTIONS
    assert "none of the 29 collections" in refused.what


# --- The source ---------------------------------------------------------------------------------


def test_newer_server_is_a_warning() -> None:
    class Server:
        client: Any

        def __init__(self, info: Mapping[str, Any]) -> None:
            self.client = self
            self.info = info

        def server_info(self) -> Mapping[str, Any]:
            if not self.info:
                raise OperationFailure("not authorized", 13)
            return self.info

    def level(info: Mapping[str, Any]) -> Level:
        return only(on_source.version(cast("SourceDatabase", Server(info)))).level

    versions: list[Mapping[str, Any]] = [
        {"version": version} for version in ("5.0.31", "8.2.1", "9.0.0", "nonsense")
    ]
    levels = [level(info) for info in [*versions, {"ok": 1}, {}]]
    assert levels == ["ok", "ok", "warning", "warning", "warning", "warning"]


class Answering:
    """A server that speaks the protocol and answers some commands differently, or refuses them."""

    def __init__(self, database: SourceDatabase, answers: Mapping[str, Any]) -> None:
        self.database, self.answers = database, answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)

    def __getitem__(self, name: str) -> Any:
        return Answering(cast("Any", self.database[name]), self.answers)

    def with_options(self, **options: Any) -> Any:
        return Answering(self.database.with_options(**options), self.answers)

    def _answer(self, name: str, ask: Callable[[], Any]) -> Any:
        if name not in self.answers:
            return ask()
        if isinstance(self.answers[name], int):
            raise OperationFailure(f"no: {VALUE}", self.answers[name], {"errmsg": VALUE})
        return self.answers[name]

    def command(self, command: str, *arguments: Any, **named: Any) -> Any:
        return self._answer(command, lambda: self.database.command(command, *arguments, **named))

    def aggregate(self, pipeline: list[Mapping[str, Any]], **named: Any) -> Any:
        (stage,) = list(pipeline[0])[:1]
        ask = cast("Any", self.database).aggregate
        return self._answer(stage, lambda: ask(pipeline, **named))

    def list_collections(self, **named: Any) -> Any:
        if named:
            return self.database.list_collections(**named)
        return self._answer("listCollections", self.database.list_collections)

    def list_collection_names(self) -> Any:
        return self._answer("listCollections", self.database.list_collection_names)


STATISTICS: Mapping[str, Any] = {"latencyStats": {"writes": {"ops": 2}}, "count": 3}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"connectionStatus": 13}, "whether the user may write is not known"),
        ({"connectionStatus": 59}, "whether the user may write is not known"),
        ({"connectionStatus": {"ok": 1}}, "whether the user may write is not known"),
        ({"connectionStatus": {"authInfo": {"authenticatedUsers": [{}]}}}, "is not known"),
        ({"listCollections": 13}, "the user may not list the collections"),
        ({"hello": 59}, "a standalone server cannot be read"),
        ({"$collStats": 40415}, " documents, 0.0 MB"),
        ({"$collStats": []}, " documents, 0.0 MB"),
        ({"$collStats": [{"count": 3}]}, "87 documents, 0.0 MB"),
        ({"$collStats": [STATISTICS]}, "87 documents, 0.0 MB"),
        ({"$collStats": [{**STATISTICS, "storageStats": {"size": math.nan}}]}, "87 documents"),
        ({"$collStats": [{"count": "many"}]}, " documents, 0.0 MB"),
        ({"$limit": 40324}, "no sample of"),
        ({"$group": 40324}, "not searched for dates"),
    ],
)
def test_a_server_with_other_answers_is_examined_nevertheless(
    small_migration: Urls, answers: Mapping[str, Any], expected: str
) -> None:
    """FerretDB, DocumentDB, Atlas' shared tiers, and roles that permit less than `read`."""

    @contextmanager
    def opened() -> Iterator[SourceDatabase]:
        with open_source(small_migration.mongodb_url) as database:
            yield cast("SourceDatabase", Answering(database, answers))

    preflight_page = examine(
        NEXTCRM,
        opened,
        partial(open_target, ""),
        observed_seconds=0.0,
        # Before a run a sample is drawn first.
        rehearsed_with=NO_REMEDIATIONS if "$group" in answers else None,
    )
    assert [finding.area for finding in preflight_page.errors] == [Area.TARGET]
    assert expected in "\n".join(finding.what for finding in preflight_page.findings)
    assert VALUE not in str(preflight_page)


def raw(name: bytes, value: bytes) -> RawBSONDocument:
    body = b"\x02" + name + b"\x00" + (len(value) + 1).to_bytes(4, "little") + value + b"\x00\x00"
    return RawBSONDocument((len(body) + 4).to_bytes(4, "little") + body)


def test_names_and_texts_that_are_no_utf_8_do_not_end_it(filled_url: str, target_url: str) -> None:
    with MongoClient[dict[str, Any]](filled_url) as client:
        users: Any = client.get_default_database()["Users"]
        users.drop()
        users.insert_one(raw(b"_id", b"\xff\xfe"))
        users.insert_one(raw(b"na\xffme", b"text"))
        users.insert_one(raw(b"name", b"\xc3("))
    preflight_page = page(filled_url, target_url)
    assert preflight_page.errors == []
    assert "na\ufffdme (1)" in "\n".join(finding.what for finding in preflight_page.findings)


def test_dates_that_the_application_cannot_read_are_counted(
    filled_url: str, target_url: str
) -> None:
    readable = [-59_011_459_200_000, 253_402_300_799_999, 0]
    beyond = [-59_011_459_200_001, 253_402_300_800_000, 9 * 10**15]
    with MongoClient[dict[str, Any]](filled_url) as client:
        dates = [{"created_on": DatetimeMS(milliseconds)} for milliseconds in (*readable, *beyond)]
        client.get_default_database()["Users"].insert_many([*dates, {"created_on": "0001-01-01"}])
    warnings = "\n".join(finding.what for finding in page(filled_url, target_url).warnings)
    assert "before year 100 or after 9999" in warnings
    assert "Users.created_on (3)" in warnings


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"db": "crm", "collection": ""}, {"insert"}),
        ({"db": "crm", "collection": "Users"}, {"insert"}),
        ({"db": "", "collection": ""}, {"insert"}),
        ({"anyResource": True}, {"insert"}),
        ({"db": "crm2", "collection": ""}, set()),
        ({"db": "crm", "collection": "system.js"}, set()),
        ({"cluster": True}, set()),
    ],
)
def test_privileges_that_permit_to_write(resource: dict[str, Any], expected: set[str]) -> None:
    privileges = [{"resource": resource, "actions": ["find", "insert", "collStats"]}]
    assert on_source.writing_actions(privileges, "crm") == expected


def test_sample_is_bounded_in_documents_and_bytes() -> None:
    assert fields.sample_size(Content(documents=10**6, size=10**9)) == 1000
    assert fields.sample_size(Content(documents=100, size=100 * 15_000_000)) == 2
    assert fields.sample_size(Content(documents=0)) == 1000


def test_sample_of_a_large_collection_says_that_it_is_one(mongo_database: SourceDatabase) -> None:
    mongo_database["Users"].insert_many({"email": str(number)} for number in range(1100))
    finding = only(fields.unknown_fields(NEXTCRM, mongo_database, contents(mongo_database)))
    assert finding.what == "the model knows every field in a sample of 1,000 of 1,100 documents"


@pytest.mark.parametrize(
    "write",
    [
        lambda users: users.insert_one({}),
        lambda users: users.update_one(
            {}, {"$set": {"email": "b"}}
        ),  # neither count nor size change
        lambda users: users.delete_one({}),
        lambda users: users.database["new"].insert_one({}),
        lambda users: users.drop(),
    ],
)
def test_write_between_two_looks_is_seen(
    mongo_database: SourceDatabase, write: Callable[[Any], object]
) -> None:
    mongo_database["Users"].insert_many([{"email": "a"}, {"email": "a"}])
    mongo_database["Boards"].insert_one({})
    before = contents(mongo_database)
    assert written_between(before, contents(mongo_database)) == []
    write(mongo_database["Users"])
    after = contents(mongo_database)
    assert written_between(before, after) in (["Users"], ["new"])
    assert only(freeze.writes(before, after, 1.0)).level is Level.WARNING


def test_writes_that_cannot_be_seen_are_named() -> None:
    held = {"Users": Content(documents=3)}
    assert "updates cannot be seen" in only(freeze.writes(held, held, 1.0)).what


@pytest.mark.server
def test_replica_set_can_be_read_at_one_point_in_time(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    servers = EmbeddedServers(tmp_path_factory.mktemp("replica"), replica_set=True)
    servers.start_mongod()
    try:
        port = servers.status()[1].port
        url = f"mongodb://127.0.0.1:{port}/nextcrm?replicaSet=rs0"
        with MongoClient[dict[str, Any]](url) as client:
            client.get_default_database()["Users"].insert_one({})
            client.admin.command("setParameter", 1, minSnapshotHistoryWindowInSeconds=77)
        with open_source(url) as source:
            possible = freeze.snapshots(NEXTCRM, source)
    finally:
        servers.stop_mongod()
    assert possible == Snapshots(are_possible=True, history=77.0, is_known=True)
    finding = only(freeze.freeze(possible))
    assert finding.level is Level.OK
    assert "kept for 77 s" in finding.what
    wanted_finding = only(freeze.freeze(possible, is_wanted=True))
    assert wanted_finding.level is Level.OK
    assert wanted_finding.what.startswith("every collection will be read as of one moment")


def test_standalone_server_needs_frozen_writes(mongo_database: SourceDatabase) -> None:
    assert freeze.snapshots(NEXTCRM, mongo_database) is None
    finding = only(freeze.freeze(None))
    assert finding.level is Level.WARNING
    assert "writes must be frozen" in finding.what
    wanted_finding = only(freeze.freeze(None, is_wanted=True))
    assert wanted_finding.level is Level.ERROR


# --- The target ---------------------------------------------------------------------------------


@pytest.fixture
def odd_database(servers: Urls) -> Iterator[str]:
    """A read-only database of another encoding and time zone, with a foreign table."""
    name = f"odd_{uuid.uuid4().hex[:8]}"
    named = sql.Identifier(name)
    url = servers.postgres_url.replace("/nextcrm", f"/{name}")
    with psycopg.connect(servers.postgres_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL(
                "CREATE DATABASE {} ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc "
                "TEMPLATE template0"
            ).format(named)
        )
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE public.somebodys (id int)")
        for setting in ("timezone = 'Europe/Prague'", "default_transaction_read_only = on"):
            change = sql.SQL("ALTER DATABASE {} SET ").format(named)
            admin.execute(change + sql.SQL(setting))
        yield url
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(named))


def test_odd_target_is_described(filled_url: str, odd_database: str) -> None:
    preflight_page = page(filled_url, odd_database)
    errors = "\n".join(finding.what for finding in preflight_page.errors)
    assert "the database's encoding is SQL_ASCII" in errors
    assert "the database is not empty and was not made by this project" in errors
    assert "transactions are read-only by default" in errors
    (zone,) = [finding for finding in preflight_page.warnings if "Europe/Prague" in finding.what]
    assert zone.next_step.endswith("SET timezone = 'UTC'")


def test_a_name_that_is_not_utf_8_is_one_line(odd_database: str) -> None:
    with psycopg.connect(odd_database, autocommit=True) as admin:
        admin.execute("SET default_transaction_read_only = off; SET client_encoding = 'SQL_ASCII'")
        admin.execute(b'CREATE TABLE "caf\xe9" (a int)')
    with (
        pytest.raises(TargetError, match=r"22021.*ENCODING 'UTF8'"),
        open_target(odd_database) as connection,
    ):
        require_own_target(NEXTCRM, connection)


def test_migrated_target_is_ours_unless_its_tables_were_changed(target: Connection) -> None:
    assert only(on_target.content(NEXTCRM, target)).level is Level.OK
    target.execute('ALTER TABLE "Users" DROP COLUMN email')
    refused = only(on_target.content(NEXTCRM, target))
    assert refused.level is Level.ERROR
    assert "Users.email is missing" in refused.what


def test_free_space_is_that_of_the_file_system(
    target: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert space.is_on_this_machine(target)
    here = space.free_bytes(target)
    assert here is not None
    assert here > 0
    # A superuser may ask `df` on another machine, where that is wanted.
    monkeypatch.setattr(space, "is_on_this_machine", lambda _: False)
    assert space.free_bytes(target) is None
    monkeypatch.setenv(SERVER_DF.name, "on")
    there = space.free_bytes(target)
    assert there is not None
    assert math.isclose(there, here, rel_tol=0.2)


def test_df_is_understood() -> None:
    head = "Filesystem 1024-blocks Used Available Capacity Mounted on"
    assert space.available([head, "/dev/sda1 100 60 40 60% /var/lib/my data"]) == 40 * 1024
    assert space.available([head]) is None
    assert space.available([]) is None
    assert space.available([head, "nonsense"]) is None


@pytest.mark.parametrize(
    ("free", "level"),
    [(None, Level.WARNING), (400, Level.OK), (200, Level.WARNING), (50, Level.ERROR)],
)
def test_space_is_compared_with_the_source(
    target_url: str, monkeypatch: pytest.MonkeyPatch, free: int | None, level: Level
) -> None:
    monkeypatch.setattr(on_target, "free_bytes", lambda _: free)
    with open_target(target_url) as connection:
        finding = only(on_target.space(connection, {"Users": Content(1, size=100)}))
    assert finding.level is level
    assert finding.what.endswith("needed are about 0.0 MB (3 times 0.0 MB of documents)")


# --- Duration -----------------------------------------------------------------------------------


def test_duration_counts_the_safety_factor_once() -> None:
    # The example of operations 1.5, whose own document multiplies twice.
    staging = Rehearsal(
        seconds=4 * HOURS + 23 * 60,
        documents=125_430,
        size=2_300_000_000,
        ended=dt.datetime.now(dt.UTC),
        is_whole=True,
    )
    expected = Estimate(staging, documents=1_250_000, size=23_000_000_000).seconds
    assert expected / HOURS == pytest.approx(65.75)
    assert SAFETY_FACTOR == 1.5
    tuned = Estimate(staging, documents=1_250_000, size=23_000_000_000, factor=OPTIMISED_FACTOR)
    assert tuned.seconds / HOURS == pytest.approx(52.6)
    # The larger ratio counts: more documents of the same size in all.
    doubled = Estimate(staging, documents=250_860, size=2_300_000_000).seconds
    assert doubled == pytest.approx(staging.seconds * 2 * 1.5)


def test_duration_in_words() -> None:
    assert [in_words(seconds) for seconds in (12.3, 240, 7500)] == ["12 s", "4 min", "2 h 05 min"]


def record_load(
    connection: Connection, table: str, started: dt.datetime, **statistics: Any
) -> None:
    ended = started + dt.timedelta(seconds=statistics["seconds"])
    connection.execute(
        "INSERT INTO migration.loads (id, target_table, started_at, finished_at, plan, remediations, "
        "fingerprints, statistics) VALUES (gen_random_uuid(), %s, %s, %s, '', '', '{}', %s)",
        [table, started, ended, json.dumps(statistics)],
    )


def record_run(connection: Connection, started: dt.datetime, seconds: float, inserted: int) -> None:
    """A run that loads ten documents of 100 bytes into every table, a second each."""
    numbers = {"documents": 10, "size": 100, "seconds": 1.0, "merged": {"inserted": inserted}}
    for name in ("uuid_map", *TABLES):
        record_load(connection, name, started, **numbers)
    connection.execute(
        "INSERT INTO migration.sign_offs VALUES (%s, 'GO', '{}')",
        [started + dt.timedelta(seconds=seconds)],
    )


def test_duration_is_that_of_the_last_rehearsal_that_filled_the_tables(target: Connection) -> None:
    held = {name: Content(documents=20, size=200) for name in ENTITIES}
    assert "no rehearsal" in only(duration(NEXTCRM, target, held, None)).what
    day = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    record_run(target, day, seconds=400, inserted=10)
    record_run(target, day + dt.timedelta(days=1), seconds=300, inserted=10)
    record_run(target, day + dt.timedelta(days=2), seconds=60, inserted=0)  # changes nothing
    measured = rehearsal(NEXTCRM, target)
    assert measured is not None
    assert (measured.seconds, measured.documents, measured.size) == (300, 290, 2900)
    assert measured.is_whole
    finding = only(duration(NEXTCRM, target, held, None))
    assert finding.what.startswith("about 15 min: a whole run took 5 min for 290 documents, ")


def test_estimate_of_each_table_is_by_its_own_rate(target: Connection) -> None:
    day = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    record_run(target, day, seconds=400, inserted=10)
    record_load(target, "Users", day + dt.timedelta(days=1), documents=10, size=100, seconds=0.1)
    held = {name: Content(documents=20, size=200) for name in ENTITIES}
    held["Boards"] = Content(documents=50, size=500)
    estimates = {estimate.table: estimate for estimate in table_estimates(NEXTCRM, target, held)}
    assert estimates.keys() == TABLES.keys()
    # The slowest load counts.
    assert (estimates["Users"].rate, estimates["Users"].seconds) == (10, 2)
    assert (estimates["Boards"].expected, estimates["Boards"].seconds) == (50, 5)
    # A junction table grows with the documents that hold its arrays.
    assert (estimates["BoardWatchers"].expected, estimates["BoardWatchers"].seconds) == (50, 5)
    assert [estimate.seconds for estimate in table_estimates(NEXTCRM, target, held)][:2] == [5, 5]


def test_duration_of_loads_alone_and_snapshots_that_are_too_short(target: Connection) -> None:
    started = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    record_load(target, "Users", started, documents=10, size=1000, seconds=100)
    record_load(target, "Users", started, documents=10, size=1000, seconds=5)  # changed nothing
    held = {"Users": Content(documents=30, size=3000)}
    about, short = duration(NEXTCRM, target, held, Snapshots(are_possible=True, history=300))
    assert about.what.startswith(
        "about 8 min: the loads alone, without checks and constraints, took"
    )
    assert short.area is Area.FREEZE
    assert "less than the run may take (8 min)" in short.what
    assert (
        len(list(duration(NEXTCRM, target, held, Snapshots(are_possible=True, history=9000)))) == 1
    )


# --- Command and job ----------------------------------------------------------------------------


@pytest.fixture
def variables(
    filled_url: str, target_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SOURCE_URL.name, filled_url)
    monkeypatch.setenv(TARGET_URL.name, target_url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("variables")
def test_command_prints_the_page_and_says_whether_to_start(
    target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = target_url.split(":")[2].partition("@")[0]
    result = CliRunner().invoke(app, ["preflight"])
    assert result.exit_code == 0, result.output
    assert "the migration can start" in result.output
    assert "write freeze" in result.output
    assert "sql/roles/mongodb.js" in result.output
    assert password not in result.output
    monkeypatch.setenv(TARGET_URL.name, target_url.replace(password, "hunter2"))
    refused = CliRunner().invoke(app, ["preflight"])
    assert refused.exit_code == 2, refused.output
    assert "the migration would fail: 1 error (target server)" in refused.output
    assert "hunter2" not in refused.output


@pytest.mark.usefixtures("variables")
def test_run_starts_with_one_line_or_stops_at_an_error(target_url: str) -> None:
    console = Console(record=True, width=200, quiet=False)
    require_preflight(NEXTCRM, console)
    line = console.export_text(clear=True)
    assert line.startswith("preflight: ")
    assert line.count("\n") == 1
    with psycopg.connect(target_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE somebodys (id int)")
    with pytest.raises(MigrationError, match=r"found 1 error \(target content\)"):
        require_preflight(NEXTCRM, console)
    assert "Give an empty database" in console.export_text()


def run_job(source: str, target: str) -> dg.ExecuteInProcessResult:
    defs = build_defs(source=SourceMongo(url=source), target=TargetPostgres(url=target))
    return defs.resolve_job_def(PREFLIGHT_JOB).execute_in_process(
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def test_job_materializes_the_page_and_fails_on_an_error(filled_url: str, target_url: str) -> None:
    result = run_job(filled_url, target_url)
    (materialization,) = result.asset_materializations_for_node("migration__preflight")
    assert materialization.metadata["errors"].value == 0
    records = cast("dg.TableMetadataValue", materialization.metadata["findings"]).records
    assert {record.data["level"] for record in records} <= {"ok", "warning"}
    with psycopg.connect(target_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE somebodys (id int)")
    refused = run_job(filled_url, target_url)
    assert not refused.success
    (failed,) = [event for event in refused.all_events if event.is_step_failure]
    failure_data = failed.step_failure_data.user_failure_data
    assert failure_data is not None
    assert failure_data.metadata["errors"].value == 1


def test_only_a_run_that_does_nothing_else_looks_at_all_documents() -> None:
    assert is_alone(dg.DagsterRun(job_name=PREFLIGHT_JOB))
    assert is_alone(dg.DagsterRun(job_name="__ASSET_JOB", asset_selection=frozenset({PREFLIGHT})))
    assert not is_alone(dg.DagsterRun(job_name=MIGRATE))
    several = frozenset({PREFLIGHT, TARGET_SCHEMA})
    assert not is_alone(dg.DagsterRun(job_name="__ASSET_JOB", asset_selection=several))


def test_preflight_is_the_head_of_the_job_that_migrates_and_an_error_stops_it(
    filled_url: str, target_url: str
) -> None:
    defs = build_defs(source=SourceMongo(url=filled_url), target=TargetPostgres(url=target_url))
    graph = defs.resolve_asset_graph()
    assert graph.get(PREFLIGHT).parent_keys == set()
    assert graph.get(PREFLIGHT).child_keys == {TARGET_SCHEMA}
    assert set(defs.resolve_job_def(PREFLIGHT_JOB).asset_layer.selected_asset_keys) == {PREFLIGHT}
    with psycopg.connect(target_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE somebodys (id int)")
    result = defs.resolve_job_def(MIGRATE).execute_in_process(
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert not result.success
    assert result.get_failed_step_keys() == {"migration__preflight"}
    succeeded_steps = {event.step_key for event in result.get_step_success_events()}
    assert succeeded_steps <= {"mongodb"}
    evaluations = {
        evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()
    }
    assert evaluations.keys() == {check_name(area) for area in Area}
    red = [
        name
        for name, evaluation in evaluations.items()
        if evaluation.severity is dg.AssetCheckSeverity.ERROR
    ]
    assert red == ["target_content"]
    assert not evaluations["target_content"].passed
    assert "somebodys" in (evaluations["target_content"].description or "")
    with psycopg.connect(target_url) as connection:
        assert connection.execute("SELECT to_regclass('migration.loads')").fetchone() == (None,)


def test_command_estimates_the_window(variables: None, target_url: str) -> None:
    del variables
    result = CliRunner().invoke(app, ["estimate"])
    assert result.exit_code == 2
    assert "nothing was migrated to it yet" in result.stderr
    with open_target(target_url) as connection:
        create_schema(NEXTCRM, connection)
        record_run(connection, dt.datetime(2026, 5, 1, tzinfo=dt.UTC), seconds=400, inserted=10)
    result = CliRunner().invoke(app, ["estimate", "--optimised"])
    assert result.exit_code == 0, result.stderr
    assert "a whole run took 7 min for 290 documents" in result.stdout
    assert "x 1.2 (safety) = about" in result.stdout
    assert "plan a window of" in result.stdout


def test_losses_of_a_run_are_told_by_cause(
    mongo_database: SourceDatabase, source_url: str, target_url: str
) -> None:
    gone = ObjectId()
    boards = [{"__v": 0, "title": "x", "description": "x", "user": gone} for _ in range(2)]
    mongo_database["Boards"].insert_many(boards)
    preflight_page = page(source_url, target_url, rehearsed_with=NO_REMEDIATIONS)
    loss_levels = levels(preflight_page, Area.LOSSES)
    assert [*loss_levels.values()] == [Level.WARNING, Level.WARNING]
    first, cause = loss_levels
    assert "NO-GO for 1 cause: 2 documents would be in no table" in first
    assert cause == "1 document of Users is missing: 2 references to it"
    # The run itself is about to tell, so nothing is rehearsed before it.
    (before_a_run,) = levels(page(source_url, target_url), Area.LOSSES).items()
    assert before_a_run == (
        "no document was converted to tell what would be lost: the run that follows tells",
        Level.OK,
    )


def test_before_a_run_no_collection_is_read_as_a_whole(
    mongo_database: SourceDatabase,
    source_url: str,
    target_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fields, "SAMPLED_DOCUMENTS", 10)
    year_10000 = DatetimeMS(253_402_300_800_000)
    documents = [{"userStatus": "ACTIVE", "created_on": year_10000} for _ in range(300)]
    mongo_database["Users"].insert_many(documents)
    mongo_database.command("profile", 2)
    preflight_page = page(source_url, target_url)
    mongo_database.command("profile", 0)
    looked_at = {
        entry["command"].get("aggregate"): entry.get("docsExamined", 0)
        for entry in mongo_database["system.profile"].find({"docsExamined": {"$gt": 0}})
        if "$sample" not in entry["command"].get("pipeline", [{}])[0]
    }
    assert max(looked_at.values(), default=0) <= 10
    levels_by_text = (
        levels(preflight_page, Area.FIELDS)
        | levels(preflight_page, Area.UPGRADE)
        | levels(preflight_page, Area.LOSSES)
    )
    (dates,) = [what for what in levels_by_text if "created_on" in what]
    assert levels_by_text.pop(dates) is Level.WARNING
    assert "created_on (10); a sample of each collection was looked at" in dates
    assert set(levels_by_text.values()) == {Level.OK}
    about_unread = [
        finding
        for finding in preflight_page.findings
        if finding.what in levels_by_text and "no document" in finding.what
    ]
    assert [finding.area for finding in about_unread] == [Area.UPGRADE, Area.LOSSES]
    assert all("`migration-assets preflight`" in finding.next_step for finding in about_unread)
    full_page = page(source_url, target_url, rehearsed_with=NO_REMEDIATIONS)
    assert any("created_on (300)" in what for what in levels(full_page, Area.FIELDS))
