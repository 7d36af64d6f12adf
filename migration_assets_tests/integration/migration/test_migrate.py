"""The whole way on real servers, through Dagster: migrate, damage, notice, repair, sign off."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
import sqlalchemy as sa
from bson import ObjectId
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.test_utils import BasicLoadingContext
from psycopg import sql
from pymongo import MongoClient
from pymongo.database import Database

from migration_assets.assets.keys import (
    CONSTRAINTS,
    PREFLIGHT,
    SIGN_OFF,
    UUID_MAP,
    source_key,
    table_key,
)
from migration_assets.assets.tables import BLOCKING
from migration_assets.definitions import MIGRATE, VALIDATE, build_defs
from migration_assets.embedded import Urls, fresh_database
from migration_assets.model import referenced_tables, source_of
from migration_assets.nextcrm import ENTITIES, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.nextcrm.sample.values import SECRET_PREFIX
from migration_assets.remediation.rules import Remediations
from migration_assets.settings import REMEDIATIONS, REPORTS, SOURCE_URL, TARGET_URL
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.source.digests import fingerprints
from migration_assets.target import bookkeeping
from migration_assets.target.bookkeeping import BOOKKEEPING
from migration_assets.target.connection import Connection
from migration_assets.validation.checks import Layers, run_checks
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets_tests.support.damages import DAMAGES
from migration_assets_tests.support.loaded_sample import database_copy

pytestmark = pytest.mark.timeout(600)

SCALE = 0.02
PROFILE_BYTES = 64 * 2**20
ROW_COUNT, VALUES, REFERENCES, TYPES, *_ = Layer
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@cache
def definitions() -> dg.Definitions:
    """Returns the definitions for the databases that the environment names: to make them takes a second."""
    return build_defs()


@dataclass(frozen=True)
class Migration:
    """A source, a target, and Dagster's memory of what was done with them."""

    source_url: str
    target_url: str = field(repr=False)
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    def environment(self) -> AbstractContextManager[object]:
        """Lets the environment name these two databases."""
        urls = {SOURCE_URL.name: self.source_url, TARGET_URL.name: self.target_url}
        return patch.dict(os.environ, urls)

    def run(
        self,
        job: str = MIGRATE,
        *,
        assets: Sequence[dg.AssetKey] | None = None,
        quiet: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """Runs a job as the UI does, or some of its assets, with their checks."""
        with self.environment():
            return (
                definitions()
                .resolve_job_def(job)
                .execute_in_process(
                    instance=self.instance,
                    asset_selection=assets,
                    raise_on_error=False,
                    run_config=QUIET if quiet else None,
                )
            )

    def check(self, *checks: dg.AssetCheckKey, quiet: bool = True) -> dg.ExecuteInProcessResult:
        """Runs some checks, without loading, in a graph of their tables alone."""
        checked_keys = {check.asset_key for check in checks}
        with self.environment():
            return dg.materialize(
                [
                    asset
                    for asset in definitions().assets or ()
                    if isinstance(asset, dg.AssetsDefinition) and checked_keys & set(asset.keys)
                ],
                instance=self.instance,
                resources=definitions().resources,
                selection=dg.AssetSelection.checks(*checks),
                raise_on_error=False,
                run_config=QUIET if quiet else None,
            )

    def sign_off(self) -> Mapping[str, Any]:
        """Materializes the sign-off alone and returns the report that it kept in the target."""
        result = self.run(assets=[SIGN_OFF])
        with psycopg.connect(self.target_url) as connection:
            row = connection.execute(
                "SELECT verdict, report FROM migration.sign_offs ORDER BY signed_at DESC LIMIT 1"
            ).fetchone()
        assert row is not None
        verdict, report = row
        (judged,) = [
            event for event in result.get_asset_check_evaluations() if event.asset_key == SIGN_OFF
        ]
        assert judged.passed is (verdict == "GO")
        # The step fails on a NO-GO, so that a re-execution from failure takes the sign-off with it.
        assert result.success is (verdict == "GO")
        return {**report, "verdict": verdict}

    def execute(self, statement: sql.Composable | str, *values: object) -> list[tuple[Any, ...]]:
        """Executes something in the target, behind the back of the migration."""
        with psycopg.connect(self.target_url, autocommit=True) as connection:
            cursor = connection.execute(statement, values or None)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def sample_url(servers: Urls) -> Iterator[str]:
    """A source with a small clean sample. Who writes to it puts it right again."""
    name = f"sample_{uuid.uuid4().hex[:12]}"
    url = servers.mongodb_url.replace("/nextcrm", f"/{name}")
    with MongoClient[dict[str, Any]](url) as client:
        generate(client.get_default_database(), scale=SCALE)
        yield url
        client.drop_database(name)


@pytest.fixture(scope="module")
def first_run(
    servers: Urls, sample_url: str
) -> Iterator[tuple[Migration, dg.ExecuteInProcessResult]]:
    """A first migration of the sample, which the tests copy; MongoDB notes what it returns to it."""
    with database_copy(servers) as url, MongoClient[dict[str, Any]](sample_url) as client:
        source = client.get_default_database()
        source.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
        source.command("profile", 2)
        migration = Migration(sample_url, url)
        result = migration.run()
        source.command("profile", 0)
        yield migration, result


@pytest.fixture
def migrated(
    servers: Urls, first_run: tuple[Migration, dg.ExecuteInProcessResult]
) -> Iterator[Migration]:
    """A migrated target of the test's own."""
    migration, _ = first_run
    with database_copy(servers, migration.target_url) as url:
        yield Migration(migration.source_url, url)


def checks(
    result: dg.ExecuteInProcessResult | Sequence[dg.DagsterEvent],
) -> dict[tuple[str, Layer], bool]:
    """Returns whether each check passed, by table and layer."""
    events = result if isinstance(result, Sequence) else result.all_events
    found = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION
        and event.asset_check_evaluation_data.asset_key not in (PREFLIGHT, SIGN_OFF)
    ]
    return {(each.asset_key.path[-1], Layer(each.check_name)): each.passed for each in found}


def red(found: Mapping[tuple[str, Layer], bool]) -> set[tuple[str, Layer]]:
    return {name for name, passed in found.items() if not passed}


def materialized(result: dg.ExecuteInProcessResult) -> dict[dg.AssetKey, dict[str, Any]]:
    """Returns the metadata of what was materialized."""
    return {
        event.asset_key: {
            name: entry.value for name, entry in event.materialization.metadata.items()
        }
        for event in result.all_events
        if event.is_step_materialization and event.asset_key is not None
    }


def row_versions(migration: Migration) -> dict[str, list[tuple[Any, ...]]]:
    """Returns where each row of each table stands and which transaction wrote it."""
    query = 'SELECT ctid::text, xmin::text FROM "{}" ORDER BY ctid'
    return {name: migration.execute(query.format(name)) for name in TABLES}


def test_first_run_is_go(first_run: tuple[Migration, dg.ExecuteInProcessResult]) -> None:
    migration, result = first_run
    assert result.success
    found = checks(result)
    assert set(found) == {(name, layer) for name in TABLES for layer in Layer}
    assert red(found) == set()

    # Each check is of what the same run has materialized: in the UI it is not grey beside it.
    for evaluation in result.get_asset_check_evaluations():
        assert evaluation.target_materialization_data is not None, evaluation.asset_key
        assert evaluation.target_materialization_data.run_id == result.run_id

    made = materialized(result)
    assert made[SIGN_OFF]["verdict"] == "GO"
    assert made[SIGN_OFF]["checks"] == 4 * len(TABLES)
    with MongoClient[dict[str, Any]](migration.source_url) as client:
        source = client.get_default_database()
        for name in ENTITIES:
            metadata = made[table_key(name)]
            assert metadata["documents"] == source[name].count_documents({})
            assert metadata["rejected"] == 0
    for name in TABLES:
        ((rows,),) = migration.execute(f'SELECT count(*) FROM "{name}"')
        assert made[table_key(name)]["dagster/row_count"] == rows > 0
        assert made[table_key(name)]["inserted"] == rows


def returned(source: Database[dict[str, Any]]) -> Counter[tuple[str, tuple[str, ...]]]:
    """Returns how many documents MongoDB has returned, by collection and fields; none where whole."""
    asked = {"$ifNull": ["$originatingCommand", "$command"]}
    pipeline: list[dict[str, Any]] = [
        {"$match": {"nreturned": {"$gt": 0}}},
        {"$project": {"asked": asked, "nreturned": 1}},
        {"$match": {"asked.find": {"$exists": True}}},
        {
            "$group": {
                "_id": {"find": "$asked.find", "fields": "$asked.projection"},
                "returned": {"$sum": "$nreturned"},
            }
        },
    ]
    totals: Counter[tuple[str, tuple[str, ...]]] = Counter()
    for group in source["system.profile"].aggregate(pipeline):
        totals[group["_id"]["find"], tuple(group["_id"].get("fields", ()))] += group["returned"]
    return totals


def test_a_document_is_read_whole_three_times(
    first_run: tuple[Migration, dg.ExecuteInProcessResult],
) -> None:
    """To be loaded, to be judged, and for the fingerprint that is signed.

    Besides, the index on `_id` is read once for the map, and its first entry by the preflight. The arrays
    of relations are still read apart: each to be loaded, and to be judged.
    """
    migration, _ = first_run
    with MongoClient[dict[str, Any]](migration.source_url) as client:
        source = client.get_default_database()
        totals = returned(source)
        held = {name: source[name].count_documents({}) for name in ENTITIES}
    for name, documents in held.items():
        assert totals[name, ()] == 3 * documents, name
        assert totals[name, ("_id",)] <= documents + 1, name
    arrays = [times for (name, fields), times in totals.items() if set(fields) - {"_id"}]
    assert sum(arrays) <= 2 * sum(held[name] for name, fields in totals if len(fields) > 1)


def test_loads_observe_their_sources(
    first_run: tuple[Migration, dg.ExecuteInProcessResult],
) -> None:
    migration, result = first_run
    observed = {
        event.asset_key: event.asset_observation_data.asset_observation
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION and event.asset_key
    }
    with open_source(migration.source_url) as source:
        expected = fingerprints(source, ENTITIES)
        counts = {name: source[name].count_documents({}) for name in ENTITIES}
    assert {
        key.path[-1]: observation.data_version for key, observation in observed.items()
    } == expected
    for name, documents in counts.items():
        assert observed[source_key(name)].metadata["documents"].value == documents


def test_nothing_is_out_of_date_after_a_run(
    first_run: tuple[Migration, dg.ExecuteInProcessResult],
) -> None:
    """Else the UI would ask to materialize what has just been made."""
    migration, result = first_run
    graph = definitions().resolve_asset_graph()
    loading = BasicLoadingContext(migration.instance)
    resolver = CachingStaleStatusResolver(migration.instance, graph, loading)
    assert UUID_MAP in materialized(result)
    stale = {
        key.to_user_string(): [cause.reason for cause in resolver.get_stale_causes(key)]
        for key in materialized(result)
        if resolver.get_status(key) is not StaleStatus.FRESH
    }
    assert stale == {}


def test_second_run_writes_no_row(migrated: Migration) -> None:
    before = row_versions(migrated)
    result = migrated.run()
    assert result.success
    assert red(checks(result)) == set()
    made = materialized(result)
    for name in TABLES:
        metadata = made[table_key(name)]
        written = {each: metadata[each] for each in ("inserted", "updated", "deleted")}
        assert written == {"inserted": 0, "updated": 0, "deleted": 0}, name
    assert made[CONSTRAINTS]["indexes built"] == made[CONSTRAINTS]["foreign keys built"] == 0
    assert made[SIGN_OFF]["verdict"] == "GO"
    assert row_versions(migrated) == before


def test_unchanged_data_keep_their_version(migrated: Migration) -> None:
    """Otherwise the UI would call every table downstream stale after a rehearsal."""
    versions = []
    for _ in range(2):
        result = migrated.run(assets=[table_key("crm_Accounts")])
        (event,) = result.asset_materializations_for_node("postgres__crm_Accounts")
        assert event.tags is not None
        versions.append(event.tags["dagster/data_version"])
    assert versions[0] == versions[1]


IN_THE_GRAPH = (
    "a text is changed",
    "a row is deleted",
    "a reference points to another row",
    "a pair points to another row",
)
"""Damages that the whole graph is tested with."""


def test_damage_turns_checks_red_until_the_tables_are_materialized(migrated: Migration) -> None:
    damages = [each for each in DAMAGES if each.what in IN_THE_GRAPH]
    before = {each.table: rows_of(migrated, each.table) for each in damages}
    for damage in damages:
        for statement in damage.statements:
            migrated.execute(statement)
        assert rows_of(migrated, damage.table) != before[damage.table]

    result = migrated.run(VALIDATE)
    expected = {(each.table, layer) for each in damages for layer in each.red}
    assert red(checks(result)) == expected
    for evaluation in result.get_asset_check_evaluations():
        is_told = not evaluation.passed and Layer(evaluation.check_name) not in BLOCKING
        is_told = is_told and evaluation.severity is dg.AssetCheckSeverity.ERROR
        assert ("what to press" in evaluation.metadata) is is_told
    assert materialized(result) == {}
    report = migrated.sign_off()
    assert report["verdict"] == "NO-GO"
    found = [finding["table"] for finding in report["findings"]]
    assert sorted(found) == sorted(table for table, _ in expected)

    for table, rows in before.items():
        repaired = migrated.run(assets=[table_key(table)])
        assert repaired.success
        assert checks(repaired) == {(table, layer): True for layer in Layer}
        metadata = materialized(repaired)[table_key(table)]
        assert 1 <= sum(metadata[each] for each in ("inserted", "updated", "deleted")) <= 4
        assert rows_of(migrated, table) == rows
    if any(set(before) & set(referenced_tables(table)) for table in TABLES.values()):
        # Rows changed that others refer to: what was checked before that counts no longer.
        findings = migrated.sign_off()["findings"]
        assert {"older" in finding["what"] for finding in findings} == {True}
        assert migrated.run(VALIDATE).success
    assert migrated.sign_off()["verdict"] == "GO"


def rows_of(migrated: Migration, table: str) -> list[tuple[Any, ...]]:
    return migrated.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')


def test_write_to_the_source_is_no_go(migrated: Migration) -> None:
    with MongoClient[dict[str, Any]](migrated.source_url) as client:
        boards = client.get_default_database()["Boards"]
        before = boards.find_one()
        assert before is not None
        boards.update_one({"_id": before["_id"]}, {"$set": {"title": "written after the run"}})
        try:
            report = migrated.sign_off()
        finally:
            boards.replace_one({"_id": before["_id"]}, before)
    assert report["verdict"] == "NO-GO"
    assert "Boards" in {finding["table"] for finding in report["findings"]}
    for finding in report["findings"]:
        assert "collection Boards was written to" in finding["what"]
        assert "written after the run" not in json.dumps(finding)
    assert migrated.sign_off()["verdict"] == "GO"


@pytest.mark.parametrize("layer", Layer)
def test_check_that_raises_is_a_failed_check_without_values(
    migrated: Migration, monkeypatch: pytest.MonkeyPatch, layer: Layer
) -> None:
    def broken(
        source: SourceDatabase,
        connection: Connection,
        table: sa.Table,
        layers: Layers,
        rules: Remediations,
    ) -> list[Evidence]:
        del source, connection, layers, rules
        raise ValueError(f"{table.name} holds {SECRET_PREFIX}of a document")

    raising = partial(run_checks, check=broken)
    monkeypatch.setattr("migration_assets.assets.tables.run_checks", raising)
    key = dg.AssetCheckKey(table_key("Users"), layer)
    result = migrated.check(key)
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert evaluation.description == "the check could not run: ValueError"
    # The checks that block fail the step; a table whose count could not be taken is not good.
    assert result.success is (layer not in BLOCKING)
    assert SECRET_PREFIX not in said(migrated)
    report = migrated.sign_off()
    assert report["verdict"] == "NO-GO"
    (finding,) = report["findings"]
    assert finding["what"] == f"check {layer} failed: {evaluation.description}"


def said(migration: Migration) -> str:
    """Returns what Dagster keeps of all runs, what the books keep without documents, and all reports."""
    runs = migration.instance.get_runs()
    kept = [dg.serialize_value(run) for run in runs]
    kept += [
        dg.serialize_value(entry)
        for run in runs
        for entry in migration.instance.all_logs(run.run_id)
    ]
    for book in set(BOOKKEEPING.tables.values()) - set(_HOLDING_DOCUMENTS):
        kept += map(str, migration.execute(f"SELECT b::text FROM migration.{book.name} b"))
    for book, columns in _HOLDING_DOCUMENTS.items():
        query = f"SELECT to_jsonb(b) - %s::text[] FROM migration.{book.name} b"
        kept += map(str, migration.execute(query, [*columns, "source_id"]))
    reports = [path.read_text() for path in Path(os.environ[REPORTS.name]).iterdir()]
    return "\n".join([*kept, *reports])


_HOLDING_DOCUMENTS = {
    bookkeeping.rejected_documents: ["document"],
    bookkeeping.issues: ["original"],
    bookkeeping.unmapped_fields: ["fields"],
    bookkeeping.remediations: ["original", "replacement"],
}
"""The books that keep values, and the columns that do."""


def secret_rules(source: Database[dict[str, Any]]) -> str:
    """Returns rules that match, set, map, drop and accept secrets, and one that matches none."""

    def found(collection: str, name: str) -> list[str]:
        held = source[collection].find({name: {"$regex": f"^{SECRET_PREFIX}"}}).sort("_id", 1)
        return [json.dumps(each[name]) for each in held.limit(2)]

    mapped, matched = found("openAi_keys", "api_key")
    dropped, _ = found("systemServices", "serviceKey")
    new = f"{SECRET_PREFIX}in the file"
    return f"""version: 1
rules:
  - {{name: mapped, collection: openAi_keys, field: api_key, map: {{{mapped}: {new} 1}}}}
  - name: dropped
    collection: systemServices
    field: serviceKey
    match: {{values: [{dropped}]}}
    drop: true
  - {{name: accepted, collection: openAi_keys, field: api_key, match: {{any: true}}, accept: true}}
  - {{name: matched, collection: openAi_keys, field: api_key, match: {{values: [{matched}]}}, set: {new} 2}}
  - {{name: unused, collection: Users, field: password, map: {{{new} 3: {new} 4}}}}
  - name: set
    collection: Users
    field: password
    match: {{type: string}}
    set: {new} 5
    changes_fine_values: true
"""


_QUOTING_ROWS = """
    ALTER TABLE "openAi_keys" ADD CONSTRAINT strict CHECK (api_key = '') NOT VALID
"""
"""PostgreSQL's error on it has the whole row as its detail."""


@pytest.fixture
def dirty_url(servers: Urls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A source with a sample in which every kind of fault occurs, in secret fields too, and rules."""
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
            database = client.get_default_database()
            generate(database, scale=0.01, dirty=0.01)
            file = tmp_path / "rules.yaml"
            file.write_text(secret_rules(database), encoding="utf-8")
        monkeypatch.setenv(REMEDIATIONS.name, str(file))
        yield urls.mongodb_url


def test_secrets_stand_in_the_books_only(
    servers: Urls,
    dirty_url: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret_columns = {
        (name, column.name)
        for name, table in ENTITIES.items()
        for column in table.columns
        if source_of(column).secret
    }
    assert len(secret_columns) == 5
    with database_copy(servers) as url:
        migration = Migration(dirty_url, url)
        first = migration.run(quiet=False)
        # A warning of a check that blocks lets the tables after it start.
        assert materialized(first).keys() >= {table_key(name) for name in TABLES}
        warned = {
            each.asset_key.path[-1]
            for each in first.get_asset_check_evaluations()
            if each.severity is dg.AssetCheckSeverity.WARN and each.check_name == ROW_COUNT
        }
        assert warned >= {"Tasks", "Users", "DocumentsToTasks"}
        applied = dict(
            migration.execute("SELECT rule, count(*) FROM migration.remediations GROUP BY 1")
        )
        assert applied.keys() == {"mapped", "dropped", "matched", "set"}
        for name, column in secret_columns:
            changed = migration.execute(
                f'UPDATE "{name}" SET "{column}" = %s WHERE "{column}" IS NOT NULL RETURNING id',
                f"{SECRET_PREFIX}that somebody has set",
            )
            assert changed, (name, column)
        checks_of_secrets = [
            dg.AssetCheckKey(table_key(name), layer)
            for name in {name for name, _ in secret_columns}
            for layer in Layer
        ]
        validated = migration.check(*checks_of_secrets, quiet=False)
        assert {name for name, _ in secret_columns} <= {
            table for table, _ in red(checks(validated))
        }

        migration.execute('DELETE FROM "openAi_keys"')
        migration.execute(_QUOTING_ROWS)
        failed = migration.run(assets=[table_key("openAi_keys")], quiet=False)
        (failure,) = [event for event in failed.all_events if event.is_step_failure]
        assert "SQLSTATE 23514" in str(failure.step_failure_data.error)
        migration.run(assets=[SIGN_OFF], quiet=False)

        ((held,),) = migration.execute(
            "SELECT count(*) FROM migration.rejected_documents WHERE document LIKE %s",
            f"%{SECRET_PREFIX}%",
        )
        assert held > 0  # the sample has what this test looks for
        ((held,),) = migration.execute(
            "SELECT count(*) FROM migration.remediations WHERE original LIKE %s AND replacement LIKE %s",
            *[f"%{SECRET_PREFIX}%"] * 2,
        )
        assert held >= applied["set"]
        everything_said = said(migration)
        for name in ("mapped", "accepted", "unused"):  # and the report of the rules is there
            assert f"rule {name}" in everything_said
        assert list(Path(os.environ[REPORTS.name]).glob("*NO-GO.html"))
        assert SECRET_PREFIX not in everything_said
    captured = capfd.readouterr()
    assert "STEP_FAILURE" in captured.err  # the log is there, and was looked through
    assert SECRET_PREFIX not in captured.out + captured.err
    assert SECRET_PREFIX not in caplog.text


def test_run_says_no_url_with_a_password(migrated: Migration) -> None:
    """Not even when a database is gone."""
    password = urlsplit(migrated.target_url).password
    assert password is not None
    lost = replace(migrated, target_url=migrated.target_url + "_that_is_not_there")
    result = lost.run(assets=[table_key("Users")])
    assert not result.success
    kept = [dg.serialize_value(entry) for entry in lost.instance.all_logs(result.run_id)]
    assert "that_is_not_there" in "".join(kept)
    assert password not in "".join(kept)


def test_red_check_names_the_causes_with_the_rules_that_would_resolve_them(
    mongo_database: SourceDatabase, source_url: str, tables_url: str
) -> None:
    gone = ObjectId()
    board = {"__v": 0, "title": "a title", "description": "x", "user": gone}
    mongo_database["Boards"].insert_one(board)
    mongo_database["Sections"].insert_one({"__v": 0, "title": "y", "board": board["_id"]})
    migration = Migration(source_url, tables_url)
    done = migration.run(
        assets=[UUID_MAP, *(table_key(name) for name in ("Users", "Boards", "Sections"))]
    )
    (red_check,) = [
        event
        for event in done.get_asset_check_evaluations()
        if event.asset_key == table_key("Sections") and not event.passed
    ]
    causes = red_check.metadata["causes"]
    assert isinstance(causes, dg.TableMetadataValue)
    (line,) = causes.records
    assert line.data["cause"] == "1 document of Users is missing: 1 reference to it"
    assert line.data["what follows"] == "rejected: 1 Sections, 1 Boards"
    assert "references_to: Users" in str(line.data["rule"])
    assert "a title" not in str(red_check.metadata)
