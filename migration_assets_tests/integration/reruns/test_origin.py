"""Another source than before, and a collection that is gone: loaded, but not without a finding."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.sign_off.blockers import SOURCE
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.verdict import verdict
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.digests import fingerprints
from migration_assets.source.origin import Origin, origin_of, others
from migration_assets.source.united import united
from migration_assets.target.connection import Connection


def origin(database: str = "nextcrm", host: str = "here", **collections: str) -> Origin:
    return Origin(database, [host], collections)


BEFORE = origin(Users="1", Tasks="2")
SAME: Mapping[str, Origin] = {
    "as it was": BEFORE,
    "hosts moved": origin(host="there", Users="1", Tasks="2"),
    "renamed": origin("nextcrm_2", Users="1"),
    "a collection restored": origin(Users="9", Tasks="2"),
    "nothing told, same place": origin(Users=""),
    "empty, same place": origin(),
}
OTHERS: Mapping[str, Origin] = {
    "restored as a whole": origin(Users="3", Tasks="4"),
    "nothing told, another host": origin(host="there", Users=""),
    "empty, another name": origin("test"),
}


@pytest.mark.parametrize("now", SAME.values(), ids=SAME.keys())
def test_source_is_the_same(now: Origin) -> None:
    assert others(now, [BEFORE]) == []


@pytest.mark.parametrize("now", OTHERS.values(), ids=OTHERS.keys())
def test_source_is_another(now: Origin) -> None:
    assert others(now, [BEFORE]) == [BEFORE]


def test_sources_that_share_with_one_that_shares_are_the_same() -> None:
    between = origin(Users="3", Tasks="2")
    now = origin(Users="3", Tasks="4")
    assert others(now, [between, BEFORE]) == []
    assert others(now, [BEFORE]) == [BEFORE]


def findings(source: SourceDatabase, target: Connection) -> dict[str, Finding]:
    judgement = verdict(
        NEXTCRM, target, source, fingerprints(source, ENTITIES), origin=origin_of(source)
    )
    return {finding.id: finding for finding in judgement.findings if finding.check == SOURCE}


def test_collection_that_is_gone_is_a_finding_however_often_it_is_loaded(
    source: SourceDatabase, target: Connection
) -> None:
    industries = source["crm_Industry_Type"]
    industries.insert_many([{"__v": 0, "name": name} for name in "abc"])
    source["legacy_Notes"].insert_one({"note": 1})

    def loaded() -> dict[str, Finding]:
        load_identities(NEXTCRM, source, target)
        load_table(source, target, TABLES["crm_Industry_Type"])
        return findings(source, target)

    assert loaded() == {}
    industries.delete_many({})
    finding = loaded()["crm_Industry_Type:source:gone:crm_Industry_Type"]
    assert "has no document any more" in finding.what
    assert "found 3 documents" in finding.what
    industries.drop()
    source["legacy_Notes"].drop()
    for _ in range(2):
        gone = loaded()
        assert gone.keys() == {
            "crm_Industry_Type:source:gone:crm_Industry_Type",
            "legacy_Notes:source:gone:legacy_Notes",
        }
        assert "is gone" in gone[finding.id].what
        assert (gone[finding.id].rows, gone[finding.id].is_waivable) == (finding.rows, True)
    industries.insert_one({"__v": 0, "name": "a"})
    assert loaded().keys() == {"legacy_Notes:source:gone:legacy_Notes"}


def test_another_source_than_the_one_before_is_a_finding(
    source: SourceDatabase, target: Connection
) -> None:
    name = "crm_Industry_Type"
    other = source.client[f"{source.name}_other"]
    try:
        for database in (source, other):
            database[name].insert_one({"_id": 1, "__v": 0, "name": "same"})
            load_table(database, target, TABLES[name])
        (finding,) = findings(other, target).values()
        assert (finding.kind, finding.is_waivable) == ("another", True)
        assert f"filled from another source before: {source.name} on " in finding.what
        (back,) = findings(source, target).values()
        assert back.id != finding.id
    finally:
        source.client.drop_database(other)


def test_collection_that_begins_to_count_as_another_is_not_gone(
    source: SourceDatabase, target: Connection
) -> None:
    source["crm_campains"].insert_one({"name": "Fair"})
    load_identities(NEXTCRM, source, target)
    counted = united(source, {"crm_campaigns": ["crm_campains"]})
    load_identities(NEXTCRM, counted, target)
    assert findings(counted, target) == {}
