"""Whatever goes wrong in a step, no value of a document reaches Dagster's storage or the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest

from migration_assets.assets.boundary import guarded
from migration_assets.assets.keys import (
    CAPACITY,
    CONSTRAINTS,
    HEALTH,
    PREFLIGHT,
    QUERIES,
    SIGN_OFF,
    TARGET_SCHEMA,
    UUID_MAP,
    source_key,
    table_key,
)
from migration_assets.commands.jobs import failures
from migration_assets.embedded import Urls
from migration_assets.errors import LoadError, UnexpectedError
from migration_assets.nextcrm.sample.values import SECRET_PREFIX
from migration_assets.settings import ATTEMPTS
from migration_assets.validation.checks import run_checks
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets_tests.integration.migration.test_migrate import Migration, definitions
from migration_assets_tests.support.loaded_sample import database_copy

SECRET = f"{SECRET_PREFIX}of a document"


class PanicError(BaseException):
    """As polars' own, which is no Exception."""


def value_error() -> None:
    raise ValueError(SECRET)


def polars_error() -> None:
    pl.Series([SECRET]).cast(pl.Int64)


def row_error() -> None:
    raise psycopg.errors.CheckViolation(f"new row violates a rule DETAIL: Failing row: {SECRET}")


def panic() -> None:
    raise PanicError(SECRET)


def own_error_of_another() -> None:
    try:
        value_error()
    except ValueError as error:
        raise LoadError("cannot", where="here", next_step="Do") from error


def own_error_while_another_is_handled() -> None:
    try:
        value_error()
    except ValueError:
        raise LoadError("cannot", where="here", next_step="Do", is_transient=True)  # noqa: B904


KINDS: tuple[Callable[[], None], ...] = (
    value_error,
    polars_error,
    row_error,
    panic,
    own_error_of_another,
    own_error_while_another_is_handled,
)

BOARDS = table_key("Boards")
MONITORED = [HEALTH, QUERIES, CAPACITY]  # one step, which has no parts
PLACES = {
    "migration_assets.assets.resources.held_for_run": TARGET_SCHEMA,
    "migration_assets.assets.sources.content": source_key("Boards"),
    "migration_assets.assets.whole.create_schema": TARGET_SCHEMA,
    "migration_assets.assets.whole.load_identities": UUID_MAP,
    "migration_assets.conversion.batches.BatchConverter.attempt": BOARDS,
    "migration_assets.loading.staging.Staging.write": BOARDS,
    "migration_assets.loading.load.merge": BOARDS,
    "migration_assets.assets.describe.load_metadata": BOARDS,
    "migration_assets.assets.tables.run_checks": BOARDS,
    "migration_assets.assets.whole.build_constraints": CONSTRAINTS,
    "migration_assets.assets.sign_off.sign": SIGN_OFF,
    "migration_assets.assets.preflight.examine": PREFLIGHT,
    "migration_assets.assets.monitoring.check_health": HEALTH,
}


@pytest.fixture(scope="module")
def boards_url(servers: Urls, empty_tables: str) -> Iterator[str]:
    """A target that has the schema. What fails there leaves it as it was."""
    with database_copy(servers, empty_tables) as url:
        yield url


@pytest.mark.parametrize("place", PLACES)
def test_an_unexpected_error_is_its_kind_and_place_and_no_value(
    small_migration: Urls,
    boards_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    place: str,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        value_error()

    monkeypatch.setattr(place, broken)
    result, logs = executed(small_migration.mongodb_url, boards_url, PLACES[place])
    assert not result.success
    assert "ended by an unexpected ValueError" in logs
    assert "in broken" in logs  # the lines of code are there
    (problem,) = failures(result).values()
    assert "ended by an unexpected ValueError" in problem
    captured = capfd.readouterr()
    assert "unexpected ValueError" in captured.err  # the log is there, and was looked through
    assert SECRET_PREFIX not in problem + logs + captured.out + captured.err


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_error_shows_a_value(
    small_migration: Urls,
    boards_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    kind: Callable[[], None],
) -> None:
    monkeypatch.setenv(ATTEMPTS.name, "2")
    monkeypatch.setattr("migration_assets.assets.retries.STEP_WAIT", 0.01)
    monkeypatch.setattr("migration_assets.retrying.Patience.wait", lambda *_: 0.01)
    monkeypatch.setattr("migration_assets.assets.tables.load_table", lambda *_, **__: kind())
    result, logs = executed(small_migration.mongodb_url, boards_url, BOARDS)
    captured = capfd.readouterr()
    assert not result.success
    assert (kind.__name__ in logs) is (
        kind is not row_error
    )  # that one is translated: its SQLSTATE is kept
    assert ("CheckViolation" in logs) is (kind is row_error)
    assert SECRET_PREFIX not in logs + captured.out + captured.err + str(failures(result))


def test_a_check_that_an_error_kept_from_running_is_red_and_says_why(
    small_migration: Urls, boards_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a result it would be grey beside the materialization."""

    def once(*arguments: Any, **named: Any) -> list[Evidence]:
        monkeypatch.setattr("migration_assets.assets.tables.run_checks", gone)
        return run_checks(*arguments, **named)

    def gone(*_: Any, **__: Any) -> None:
        raise LoadError("the server is gone", where="here", next_step="Wait")

    monkeypatch.setattr("migration_assets.assets.tables.run_checks", once)
    result, _ = executed(small_migration.mongodb_url, boards_url, BOARDS)
    assert [event.asset_key for event in result.all_events if event.is_step_materialization]
    first, *others = result.get_asset_check_evaluations()
    assert "could not run" not in str(first.description)
    descriptions = {evaluation.description for evaluation in others if not evaluation.passed}
    assert len(others) == len(Layer) - 1
    assert descriptions == {"the check could not run: here: the server is gone. Wait"}
    assert [*failures(result).values()] == ["here: the server is gone. Wait"]


def executed(
    source_url: str, target_url: str, key: dg.AssetKey
) -> tuple[dg.ExecuteInProcessResult, str]:
    """Materializes an asset as the UI does; returns the result, and all that Dagster keeps of it."""
    with (
        dg.DagsterInstance.ephemeral() as instance,
        Migration(source_url, target_url, instance).environment(),
    ):
        result = (
            definitions()
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                asset_selection=MONITORED if key == HEALTH else [key],
                instance=instance,
                raise_on_error=False,
            )
        )
        entries = [dg.serialize_value(entry) for entry in instance.all_logs(result.run_id)]
    return result, "\n".join(entries)


def test_every_step_is_guarded() -> None:
    """This finds a new step without the boundary."""
    unguarded = [
        asset.op.name
        for asset in definitions().assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        and asset.is_executable
        and not hasattr(asset.op.compute_fn.decorated_fn, "__wrapped__")  # type: ignore[union-attr]
    ]
    assert unguarded == []


def test_an_error_of_another_process_is_the_same_here() -> None:
    @guarded
    def broken() -> None:
        value_error()

    with pytest.raises(UnexpectedError) as caught:
        broken()
    rebuild, arguments = caught.value.__reduce__()
    assert callable(rebuild)
    assert str(rebuild(*arguments)) == str(caught.value)  # type: ignore[misc]
    assert caught.value.__context__ is None or caught.value.__suppress_context__
