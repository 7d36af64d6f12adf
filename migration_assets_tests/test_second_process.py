"""The second process: what it does is what the first would, it may die, and it ends with the run."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from migration_assets.assets.keys import table_key
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.assets.second_process import SecondProcessResource
from migration_assets.definitions import MIGRATE, build_defs
from migration_assets.embedded import Urls
from migration_assets.errors import SourceError
from migration_assets.loading.identities import load_identities
from migration_assets.loading.pipeline import BEGUN, prefetched, shared_out, written_behind
from migration_assets.loading.staging import Staging
from migration_assets.loading.tables import load_table
from migration_assets.model import referenced_tables
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.remediation.rules import NO_REMEDIATIONS
from migration_assets.second_process import SecondProcess
from migration_assets.source.connection import SourceDatabase
from migration_assets.source.reading import BATCH_VARIABLE
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.shared_checks import CheckTask, checked_alone, is_worth
from migration_assets_tests.loaded_sample import Loaded
from migration_assets_tests.test_loading import BOOK_NAMES, KilledError, everything, interrupted

TABLE = "tasksComments"
RUN_ID = str(uuid.uuid4())


def children() -> list[int]:
    return [
        each.pid
        for each in psutil.Process().children(recursive=True)
        if "spawn_main" in " ".join(each.cmdline())
    ]


def values_of(process: SecondProcess, source_url: str, target_url: str) -> Future[list[Evidence]]:
    where = source_url, target_url, RUN_ID
    task = CheckTask(*where, None, NEXTCRM, TABLE, (Layer.VALUES,), NO_REMEDIATIONS)
    return process.submit(checked_alone, task)


def test_it_finds_a_changed_value_and_is_replaced_when_it_dies(
    small_migration: Urls, small_copy: str
) -> None:
    with SecondProcess(rows=1) as process:
        (evidence,) = values_of(process, small_migration.mongodb_url, small_copy).result()
        assert evidence.passed
        (pid,) = children()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            values_of(process, small_migration.mongodb_url, small_copy).result()
        with psycopg.connect(small_copy, autocommit=True) as connection:
            connection.execute(
                f'UPDATE "{TABLE}" SET comment = comment || $$!$$ '
                f'WHERE id = (SELECT min(id::text)::uuid FROM "{TABLE}")'
            )
        (evidence,) = values_of(process, small_migration.mongodb_url, small_copy).result()
        assert (evidence.passed, evidence.failures) == (False, 1)
        with pytest.raises(SourceError, match="cannot be read"):
            values_of(process, "mongodb//", small_copy).result()
        values_of(process, small_migration.mongodb_url, small_copy)  # nobody waits for it
    assert children() == []


def test_its_checks_share_connections_which_are_opened_anew_when_lost(
    small_migration: Urls, small_copy: str
) -> None:
    ours = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
        f"AND application_name = 'migration-assets run {RUN_ID[:8]}'"
    )
    found: list[set[int]] = []
    with SecondProcess(rows=1) as process, psycopg.connect(small_copy, autocommit=True) as watching:
        for turn in range(3):
            if turn == 2:
                watching.execute(f"SELECT pg_terminate_backend(pid) FROM ({ours}) AS found")
            (evidence,) = values_of(process, small_migration.mongodb_url, small_copy).result()
            assert evidence.passed
            found.append({pid for (pid,) in watching.execute(ours)})
    first, second, third = found
    assert (len(first), len(third)) == (1, 1)
    assert first == second != third


def test_it_is_for_large_tables(small_copy: str) -> None:
    with open_target(small_copy) as connection:
        (rows,) = connection.execute(f'SELECT count(*) FROM "{TABLE}"').fetchone() or (0,)
        assert is_worth(SecondProcess(rows), connection, TABLE)
        assert not is_worth(SecondProcess(rows + 1), connection, TABLE)
        assert not is_worth(SecondProcess(0), connection, TABLE)
        with SecondProcess(rows + 1) as process:
            process.start(os.getpid)
            assert is_worth(process, connection, TABLE)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions that second processes were given."""
    names: list[str] = []

    def note(_: SecondProcess, work: Callable[..., object], *__: object) -> None:
        names.append(work.__name__)

    interrupted(monkeypatch, SecondProcess, "submit", note)
    return names


def test_a_run_uses_it_and_has_the_same_results(
    small_migration: Urls, small_copy: str, given: list[str]
) -> None:
    definitions = build_defs(
        source=SourceMongo(url=small_migration.mongodb_url),
        target=TargetPostgres(url=small_copy),
        second_process=SecondProcessResource(rows=1),
    )
    result = definitions.resolve_job_def(MIGRATE).execute_in_process(
        asset_selection=[table_key(TABLE)],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    found = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert found == dict.fromkeys(Layer, True)
    assert set(given) == {checked_alone.__name__}
    assert children() == []


# --- Loads ---------------------------------------------------------------------------------------


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecondProcess]:
    """A second process that helps with every table, of which batches hold a few documents."""
    monkeypatch.setenv(BATCH_VARIABLE, "6")
    with SecondProcess(rows=1) as process:
        yield process


def with_those_referred_to(*names: str) -> list[sa.Table]:
    """Tables and all that they refer to, in the order of the model."""
    wanted = set(names)
    for table in reversed([*TABLES.values()]):
        if table.name in wanted:
            wanted.update(referenced_tables(table))
    return [table for table in TABLES.values() if table.name in wanted]


LOADED = with_those_referred_to("crm_Contacts", "Tasks", "DocumentsToContacts")


def load_all(source: SourceDatabase, target: Connection, second: SecondProcess) -> None:
    load_identities(NEXTCRM, source, target, second=second)
    for table in LOADED:
        load_table(source, target, table, second=second)


def loaded(target: Connection) -> dict[str, list[str]]:
    """Their rows and books."""
    found = everything(target)
    names = tuple(f"({table.name}," for table in LOADED)
    books = {name: [line for line in found[name] if line.startswith(names)] for name in BOOK_NAMES}
    assert any(books.values())
    return {table.name: found[table.name] for table in LOADED} | books


def test_what_two_processes_load_is_what_one_does(
    faulty_sample: Loaded, target: Connection, second: SecondProcess, given: list[str]
) -> None:
    load_all(faulty_sample.source, target, second)
    assert loaded(target) == loaded(faulty_sample.connection)
    assert given.count("encoded") > len(LOADED)
    assert len(children()) == 1


NOTED = "PROCESSES_THAT_GAVE_BACK"


def note_process() -> None:
    """Notes who was asked to give memory back, as either process can."""
    with Path(os.environ[NOTED]).open("a", encoding="utf-8") as noted:
        noted.write(f"{os.getpid()}\n")


@pytest.mark.parametrize("size", [1, 10**9])
def test_both_give_memory_back_after_a_large_load(
    faulty_sample: Loaded,
    target: Connection,
    second: SecondProcess,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    size: int,
) -> None:
    noted = tmp_path / "noted"
    noted.touch()
    load_identities(NEXTCRM, faulty_sample.source, target)
    monkeypatch.setenv(NOTED, str(noted))
    monkeypatch.setattr("migration_assets.loading.load.LARGE", size)
    monkeypatch.setattr("migration_assets.loading.load.give_back_freed_memory", note_process)
    load_table(faulty_sample.source, target, TABLES["Boards"], second=second)
    second.submit(os.getpid).result()  # what was given to it before is done
    both = {os.getpid(), *children()}
    assert set(map(int, noted.read_text(encoding="utf-8").split())) == (
        both if size == 1 else set()
    )


def test_its_death_loses_nothing(
    faulty_sample: Loaded,
    target: Connection,
    second: SecondProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed: list[int] = []
    numbers = count()

    def kill(_: SecondProcess, work: Callable[..., object], *__: object) -> None:
        if work.__name__ == "encoded" and next(numbers) % 6 == 2:
            killed.extend(children())
            os.kill(killed[-1], signal.SIGKILL)

    interrupted(monkeypatch, SecondProcess, "submit", kill)
    load_all(faulty_sample.source, target, second)
    assert len(set(killed)) > 1
    assert loaded(target) == loaded(faulty_sample.connection)


def test_another_process_than_the_one_that_was_told_how_to_convert_is_not_asked(
    faulty_sample: Loaded,
    target: Connection,
    second: SecondProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replaced: list[int] = []

    def replace(process: SecondProcess, work: Callable[..., object], *_: object) -> None:
        if work.__name__ == "encoded" and len(replaced) < 2:
            replaced.extend(children())
            os.kill(replaced[-1], signal.SIGKILL)
            psutil.wait_procs([psutil.Process(replaced[-1])])
            with suppress(BrokenProcessPool):  # where that it is dead is not known yet
                SUBMIT(process, os.getpid).result()
            SUBMIT(process, os.getpid).result()

    interrupted(monkeypatch, SecondProcess, "submit", replace)
    load_all(faulty_sample.source, target, second)
    assert len(set(replaced)) == 2
    assert loaded(target) == loaded(faulty_sample.connection)


SUBMIT = SecondProcess.submit


def test_a_load_that_was_cut_off_goes_on_in_two_processes(
    faulty_sample: Loaded,
    target: Connection,
    second: SecondProcess,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    source, name = faulty_sample.source, "crm_Contacts"
    written = count(1)

    def fail(*_: object) -> None:
        if next(written) == 4:
            raise KilledError

    load_identities(NEXTCRM, source, target)
    for table in LOADED:
        if table.name != name:
            load_table(source, target, table, second=second)
            continue
        with monkeypatch.context() as patch:
            interrupted(patch, Staging, "write", fail)
            with pytest.raises(KilledError):
                load_table(source, target, table, second=second)
        given.clear()
        said: list[str] = []
        load_table(source, target, table, second=second, say=said.append)
        assert "encoded" in given
        assert len(said) == 1
        assert "resuming after batch 3" in said[0]
    assert loaded(target) == loaded(faulty_sample.connection)


# --- Reading ahead -------------------------------------------------------------------------------


def test_items_are_fetched_before_anybody_asks_for_them() -> None:
    is_begun = threading.Event()

    def items() -> Iterator[int]:
        is_begun.set()
        yield from range(30)

    with prefetched(items()) as fetched:
        assert is_begun.wait(timeout=30)
        assert list(fetched) == list(range(30))


def test_an_error_in_fetching_is_raised_after_what_came_before() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise KilledError

    with prefetched(items()) as fetched:
        assert next(fetched) == 0
        with pytest.raises(KilledError):
            next(fetched)


def test_an_error_of_the_consumer_ends_the_fetching() -> None:
    def fail() -> None:
        with prefetched(iter(range(30))):
            raise KilledError

    with pytest.raises(KilledError):
        fail()
    assert "reader" not in [each.name for each in threading.enumerate()]


# --- Writing behind ------------------------------------------------------------------------------


def test_nothing_is_written_after_an_error() -> None:
    is_waiting = threading.Event()
    written: list[int] = []

    def items() -> Iterator[int]:
        yield from range(3)
        is_waiting.set()  # the last one stands behind the one that fails

    def write(item: int) -> None:
        if item == 1:
            assert is_waiting.wait(timeout=30)
            raise KilledError
        written.append(item)

    with pytest.raises(KilledError):
        written_behind(items(), write, ahead=2)
    assert written == [0]


def test_what_comes_first_is_done_while_the_first_item_is_made_and_before_it_is_written() -> None:
    is_begun, is_made = threading.Event(), threading.Event()
    done: list[str] = []

    def items() -> Iterator[str]:
        assert is_begun.wait(timeout=30)
        is_made.set()
        yield "item"

    def first() -> None:
        is_begun.set()
        assert is_made.wait(timeout=30)
        done.append("first")

    written_behind(items(), done.append, first=first)
    assert done == ["first", "item"]


def test_what_comes_first_is_done_where_there_is_no_item() -> None:
    done: list[str] = []
    written_behind(iter([]), done.append, first=lambda: done.append("first"))
    assert done == ["first"]


def test_nothing_is_written_where_what_comes_first_fails() -> None:
    written: list[int] = []

    def fail() -> None:
        raise KilledError

    with pytest.raises(KilledError):
        written_behind(range(3), written.append, first=fail)
    assert written == []


# --- Sharing out ---------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_items() -> None:
    first = threading.Event()

    def slow(item: int) -> int:
        first.wait()
        return item

    def quick(item: int) -> int:
        if item == BEGUN - 1:
            first.set()
        return item

    assert list(shared_out(iter(range(30)), [slow, quick])) == list(range(30))


def test_no_more_items_are_begun_than_may_wait() -> None:
    begun: list[int] = []
    free = threading.Event()

    def items() -> Iterator[int]:
        for number in range(30):
            begun.append(number)
            yield number

    def wait(item: int) -> int:
        free.wait()
        return item

    results = shared_out(items(), [wait, wait, wait, wait, wait, wait])
    threading.Timer(0.2, free.set).start()
    assert next(results) == 0
    assert len(begun) <= BEGUN + 1
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_is_raised_in_its_turn(workers: int) -> None:
    def fail(item: int) -> int:
        if item >= 3:
            raise KilledError(item)
        return item

    found: list[int] = []
    with pytest.raises(KilledError, match="3"):
        found.extend(shared_out(iter(range(30)), [fail] * workers))
    assert found in ([], [0, 1, 2])


def test_an_error_that_looks_like_an_end_is_none() -> None:
    def fail(_: int) -> int:
        raise StopIteration

    with pytest.raises(RuntimeError):
        list(shared_out(iter(range(30)), [fail] * 2))


def test_an_error_of_the_items_is_raised_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise KilledError

    results = shared_out(items(), [lambda item: item] * 2)
    assert next(results) == 0
    with pytest.raises(KilledError):
        next(results)


def test_who_stops_early_leaves_no_thread() -> None:
    results = shared_out(iter(range(30)), [lambda item: item] * 2)
    assert next(results) == 0
    results.close()
    assert not [each.name for each in threading.enumerate() if each.name.startswith("worker")]
