"""The checks are themselves proven: a damage turns exactly its checks red, a new load all of them green."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import pytest

from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.model import referenced_tables
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.validation.checks import run_checks, together
from migration_assets.validation.evidence import Layer
from migration_assets.validation.unknown_collections import unkept
from migration_assets_tests import ROOT
from migration_assets_tests.support.damages import BOOKS, DAMAGES, ROW, UUID_MAP, Damage, page
from migration_assets_tests.support.loaded_sample import Loaded

PAGE = ROOT / "docs" / "reference" / "failures.md"
RENEW = "RENEW_SNAPSHOTS"

Verdicts = Mapping[tuple[str, Layer], tuple[bool, bool]]
"""Whether a check passed, and whether the table is as it was loaded."""


def verdicts(loaded: Loaded, tables: list[str]) -> Verdicts:
    """Runs the checks of tables."""
    verdict_by_check = {}
    for name in tables:
        for layers in together(Layer):
            for evidence in run_checks(loaded.source, loaded.connection, TABLES[name], layers):
                verdict_by_check[name, evidence.layer] = evidence.passed, evidence.is_sound
                # What is wrong can be waived by its rows, which a check that could not run does not know.
                assert bool(evidence.rows) == bool(evidence.failures and not evidence.is_sound)
    return verdict_by_check


def concerned(damage: Damage) -> list[str]:
    """Returns the table of a damage, and those that refer to it where it is one of ids."""
    if damage.group not in (ROW, BOOKS):
        return [damage.table]
    referring = [name for name, table in TABLES.items() if damage.table in referenced_tables(table)]
    return list(dict.fromkeys([damage.table, *referring]))


@pytest.fixture(scope="module")
def before(faulty_sample: Loaded) -> Verdicts:
    """The verdicts before any damage."""
    tables = dict.fromkeys(name for damage in DAMAGES for name in concerned(damage))
    verdicts_before = verdicts(faulty_sample, list(tables))
    assert {is_sound for _, is_sound in verdicts_before.values()} == {True}
    return verdicts_before


@pytest.fixture
def loaded(faulty_sample: Loaded) -> Iterator[Loaded]:
    """A sample for damage to the target, which is undone afterwards."""
    with faulty_sample.connection.transaction(force_rollback=True):
        yield faulty_sample


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.what)
def test_a_damage_turns_its_checks_red_until_the_table_is_materialized(
    loaded: Loaded, before: Verdicts, damage: Damage
) -> None:
    tables = concerned(damage)
    for statement in damage.statements:
        assert loaded.connection.execute(statement.encode()).rowcount != 0
    red = {check for check, (_, sound) in verdicts(loaded, tables).items() if not sound}
    expected = {(damage.table, layer) for layer in damage.red}
    expected |= {(name, layer) for name, layers in damage.dependents.items() for layer in layers}
    assert red == expected
    assert bool(unkept(NEXTCRM, loaded.source, loaded.connection)) is damage.is_no_go
    if damage.restored_by:
        loaded.connection.execute(damage.restored_by.encode())
    if damage.materialize == UUID_MAP:
        load_identities(NEXTCRM, loaded.source, loaded.connection)
    else:
        load_table(loaded.source, loaded.connection, TABLES[damage.table])
    assert unkept(NEXTCRM, loaded.source, loaded.connection) == {}
    after = verdicts(loaded, tables)
    assert after == {check: before[check] for check in after}


def test_the_page_of_failures_is_these_tests() -> None:
    if os.environ.get(RENEW):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), f"write the page anew with `{RENEW}=1 make test`"


def test_every_check_and_every_gap_is_on_the_page() -> None:
    assert {layer for damage in DAMAGES for layer in damage.red} == set(Layer)
    assert len({damage.what for damage in DAMAGES}) == len(DAMAGES)
    assert [damage.what for damage in DAMAGES if not (damage.red or damage.is_no_go)] == [
        "the reason of a lossless conversion is changed",
    ]
