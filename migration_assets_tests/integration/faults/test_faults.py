"""Faults that really happen, with fixed seeds. Afterwards nothing is lost. `make soak` does more of them."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from migration_assets.errors import TargetError
from migration_assets.target.connection import open_target, reported, sibling
from migration_assets_tests.support import faults
from migration_assets_tests.support.faults import Figures, Ground


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """Servers of this module's own, since it kills them; not in pytest's folder, as in ``conftest``."""
    directory = Path(tempfile.mkdtemp(prefix="migration-assets-"))
    try:
        with faults.prepared(directory, scale=0.01) as prepared_ground:
            yield prepared_ground
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def assert_nothing_is_lost(figures: Figures) -> None:
    assert figures.faults > 0
    assert figures.compared > 0
    assert figures.losses == 0
    assert figures.false_gos == 0


@pytest.mark.timeout(600)
def test_a_process_killed_at_any_moment_goes_on_and_loses_nothing(ground: Ground) -> None:
    figures = faults.killed(ground, random.Random(20), faults.KILLS)
    assert_nothing_is_lost(figures)
    assert figures.faults == faults.KILLS
    assert figures.resumed > 0, "no kill fell into the middle of a load: make the sample larger"


@pytest.mark.parametrize("moment", ["COPY", "the merge"])
def test_postgres_killed_in_a_transaction_loses_nothing(ground: Ground, moment: str) -> None:
    figures = faults.postgres_killed(ground, moment, 1)
    assert_nothing_is_lost(figures)
    assert figures.retried > 0


def test_mongod_killed_while_it_is_read_loses_nothing(ground: Ground) -> None:
    assert_nothing_is_lost(faults.mongod_killed(ground, random.Random(1), 1))


def test_connections_that_are_cut_lose_nothing(ground: Ground) -> None:
    figures = faults.connections_cut(ground, random.Random(9), 4)
    assert_nothing_is_lost(figures)
    assert figures.retried > 0


def test_a_full_disk_is_one_line_and_a_larger_one_loses_nothing(ground: Ground) -> None:
    try:
        figures = faults.disk_full(ground)
    except faults.NoDiskError as error:
        pytest.skip(f"this account cannot mount a small disk: {error}")
    assert_nothing_is_lost(figures)


def test_a_server_whose_disk_is_too_full_to_connect_says_so() -> None:
    with pytest.raises(TargetError, match="its disk is full") as caught, reported("here"):
        raise psycopg.OperationalError("FATAL: could not write init file: No space left on device")
    assert not caught.value.is_transient


def test_a_statement_ends_soon_after_the_process_that_was_killed(ground: Ground) -> None:
    with open_target(ground.urls.postgres_url) as connection:
        setting = connection.execute("SHOW client_connection_check_interval").fetchone()
        with sibling(connection) as other:
            same = other.execute("SHOW client_connection_check_interval").fetchone()
    assert setting == same == ("2s",)


def test_a_second_run_is_refused_and_the_first_is_not_disturbed(ground: Ground) -> None:
    assert_nothing_is_lost(faults.two_runners(ground, 1))


def test_a_run_whose_lock_is_cut_goes_on_or_ends_and_a_second_one_says_which(
    ground: Ground,
) -> None:
    assert_nothing_is_lost(faults.locks_cut(ground, random.Random(5), 1))


def test_settings_of_the_database_lose_nothing(ground: Ground) -> None:
    assert_nothing_is_lost(faults.hostile_settings(ground, random.Random(6), 1))


def test_the_ledger_of_another_model_is_not_gone_on_with(ground: Ground) -> None:
    figures = faults.another_plan(ground, random.Random(3), 1)
    assert_nothing_is_lost(figures)
    assert figures.anew > 0


def test_a_source_that_changes_meanwhile_is_read_again(ground: Ground) -> None:
    assert_nothing_is_lost(faults.source_changing(ground, random.Random(4), 1))
