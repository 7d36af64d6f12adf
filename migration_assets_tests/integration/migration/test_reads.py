"""How often a full cycle reads a document of the source, and what Dagster knows of the source then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.test_utils import BasicLoadingContext
from pymongo import MongoClient
from pymongo.database import Database

from migration_assets.assets.keys import UUID_MAP, source_key
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.definitions import MIGRATE, build_defs
from migration_assets.embedded import Urls, fresh_database
from migration_assets.nextcrm import ENTITIES
from migration_assets.nextcrm.sample import generate
from migration_assets.source.connection import open_source
from migration_assets.source.digests import fingerprints
from migration_assets_tests.support.loaded_sample import database_copy

pytestmark = pytest.mark.timeout(600)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
PROFILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Cycle:
    """A full cycle in Dagster, with all that MongoDB was asked for.

    Attributes:
        definitions: Of Dagster.
        instance: Dagster's memory.
        result: The run.
        source_url: URL of the source.
        database: The same.
        documents: How many documents the source has.
    """

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    result: dg.ExecuteInProcessResult
    source_url: str
    database: Database[dict[str, Any]]
    documents: int

    def returned(self) -> Counter[tuple[str, tuple[str, ...]]]:
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
        found: Counter[tuple[str, tuple[str, ...]]] = Counter()
        for each in self.database["system.profile"].aggregate(pipeline):
            fields = tuple(each["_id"].get("fields", ()))
            found[each["_id"]["find"], fields] += each["returned"]
        return found


@pytest.fixture(scope="module")
def cycle(servers: Urls) -> Iterator[Cycle]:
    with (
        fresh_database(servers) as urls,
        database_copy(servers) as target,
        MongoClient[dict[str, Any]](urls.mongodb_url) as client,
    ):
        database = client.get_default_database()
        generate(database, scale=0.05)
        documents = sum(database[name].count_documents({}) for name in ENTITIES)
        database.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
        definitions = build_defs(
            source=SourceMongo(url=urls.mongodb_url), target=TargetPostgres(url=target)
        )
        with dg.DagsterInstance.ephemeral() as instance:
            database.command("profile", 2)
            result = definitions.resolve_job_def(MIGRATE).execute_in_process(
                instance=instance, run_config=QUIET, raise_on_error=False
            )
            database.command("profile", 0)
            yield Cycle(definitions, instance, result, urls.mongodb_url, database, documents)


def test_a_document_is_read_whole_three_times(cycle: Cycle) -> None:
    """To be loaded, to be judged, and for the fingerprint that is signed.

    Besides, the index on `_id` is read once for the map, and its first entry by the preflight. The arrays
    of relations are still read apart: each to be loaded, and to be judged.
    """
    assert cycle.result.success
    returned = cycle.returned()
    for name in ENTITIES:
        documents = cycle.database[name].count_documents({})
        assert returned[name, ()] == 3 * documents, name
        assert returned[name, ("_id",)] <= documents + 1, name
    arrays = [times for (name, fields), times in returned.items() if set(fields) - {"_id"}]
    held = [
        cycle.database[name].count_documents({}) for name, fields in returned if len(fields) > 1
    ]
    assert sum(arrays) <= 2 * sum(held)


def test_loads_observe_their_sources(cycle: Cycle) -> None:
    observed = {
        event.asset_key: event.asset_observation_data.asset_observation
        for event in cycle.result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION and event.asset_key
    }
    with open_source(cycle.source_url) as source:
        expected = fingerprints(source, ENTITIES)
    assert {key.path[-1]: each.data_version for key, each in observed.items()} == expected
    for name in ENTITIES:
        metadata = observed[source_key(name)].metadata
        assert metadata["documents"].value == cycle.database[name].count_documents({})


def test_nothing_is_out_of_date_after_a_cycle(cycle: Cycle) -> None:
    """Else the UI would ask to materialize what has just been made."""
    graph = cycle.definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(
        cycle.instance, graph, BasicLoadingContext(cycle.instance)
    )
    events = [event for event in cycle.result.all_events if event.is_step_materialization]
    made = {event.asset_key for event in events if event.asset_key}
    assert UUID_MAP in made
    stale = {
        key.to_user_string(): [each.reason for each in resolver.get_stale_causes(key)]
        for key in made
        if resolver.get_status(key) is not StaleStatus.FRESH
    }
    assert stale == {}
