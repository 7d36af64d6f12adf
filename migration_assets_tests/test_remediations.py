"""Remediations on real servers: a faulty sample goes from NO-GO to GO by the file that comes with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from pymongo import MongoClient

from migration_assets.commands.losses import open_losses
from migration_assets.embedded import Urls, fresh_database
from migration_assets.loading.identities import load_identities
from migration_assets.loading.tables import load_table
from migration_assets.model import ENTITIES, TABLES
from migration_assets.remediation.parsing import load_remediations
from migration_assets.remediation.reporting import applied
from migration_assets.remediation.rules import NO_REMEDIATIONS, Action, Remediations
from migration_assets.sample import Ledger, generate, sample_remediations
from migration_assets.sign_off.verdict import verdict
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.source.fingerprints import fingerprints
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets.validation.checks import run_check
from migration_assets.validation.evidence import Layer, Severity

RULES = load_remediations(str(sample_remediations()))
CHANGING = [rule for rule in RULES.rules if rule.action is not Action.ACCEPT]
CHANGED = {
    name
    for name, table in TABLES.items()
    if any(rule.action is not Action.ACCEPT for rule in RULES.of(table))
}


@dataclass(frozen=True)
class Dirty:
    """A faulty sample, loaded with the rules that come with it."""

    source: SourceDatabase
    connection: Connection
    ledger: Ledger
    before: dict[str, bool]
    """Whether the checks of each table found losses before."""


def red(dirty: Dirty, table: str, rules: Remediations = RULES) -> set[Layer]:
    """Returns the checks of a table that fail as errors."""
    found = [
        run_check(dirty.source, dirty.connection, TABLES[table], layer, remediations=rules)
        for layer in Layer
    ]
    return {each.layer for each in found if not each.passed and each.severity is Severity.ERROR}


@pytest.fixture(scope="module")
def dirty(servers: Urls) -> Iterator[Dirty]:
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, object]](urls.mongodb_url) as client:
            ledger = generate(client.get_default_database(), scale=0.01, dirty=0.0001)
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as connection:
            create_schema(connection)
            load_identities(source, connection)
            for table in TABLES.values():
                load_table(source, connection, table)
            lost = Counter(loss.collection for loss in open_losses(connection))
            before = {name: lost[name] > 0 for name in ENTITIES}
            said: list[str] = []
            for table in TABLES.values():
                load_table(source, connection, table, say=said.append, remediations=RULES)
            yield Dirty(source, connection, ledger, before)


@pytest.fixture
def damaged(dirty: Dirty) -> Iterator[Dirty]:
    with dirty.connection.transaction(force_rollback=True):
        yield dirty


def test_the_sample_is_no_go_without_the_file_and_go_with_it(dirty: Dirty) -> None:
    assert all(dirty.before[name] for name in ("Users", "Tasks", "Documents"))
    build_constraints(dirty.connection)
    for table in TABLES:
        assert red(dirty, table) == set(), table
    now = fingerprints(dirty.source, ENTITIES)
    assert verdict(dirty.connection, now, remediations=RULES).findings == []
    other = verdict(dirty.connection, now, remediations=NO_REMEDIATIONS).findings
    assert {each.table for each in other} == set(TABLES)
    assert all("loaded with other remediations" in each.what for each in other)
    assert open_losses(dirty.connection) == []
    done = {each.rule: each.count for each in applied(dirty.connection, RULES)}
    assert done["Users-userStatus-spelling"] > 0
    assert sum(done[rule.name] > 0 for rule in CHANGING) > 5
