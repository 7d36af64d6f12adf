"""Workers: what they do is what this process would, they may die, and they end with the run."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, LiteralString

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from migration_assets import workers as workers_module
from migration_assets.assets import workers as workers_resource
from migration_assets.assets.keys import table_key
from migration_assets.assets.resources import SourceMongo, TargetPostgres
from migration_assets.assets.workers import WorkersResource
from migration_assets.databases import Databases, databases_of
from migration_assets.definitions import MIGRATE, build_defs
from migration_assets.embedded import Urls
from migration_assets.errors import SourceError
from migration_assets.loading import ledger, stage
from migration_assets.loading.identities import load_identities
from migration_assets.loading.ledger import RangeLine
from migration_assets.loading.load import load_table
from migration_assets.loading.pipeline import prefetched
from migration_assets.loading.records import LoadResult
from migration_assets.loading.stage import ready, stage_there
from migration_assets.model import referenced_tables
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.remediation.rules import NO_REMEDIATIONS
from migration_assets.settings import DOCUMENTS_PER_BATCH
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation import documents, entity_pass
from migration_assets.validation.checks import run_checks
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.shared_checks import (
    Sharing,
    Sides,
    checked_there,
    compared_there,
    is_worth,
)
from migration_assets.workers import Workers
from migration_assets_tests.integration.loading.test_loading import (
    BOOK_NAMES,
    KilledError,
    everything,
    interrupted,
)
from migration_assets_tests.support.loaded_sample import Loaded, database_copy

TABLE = "tasksComments"
RUN_ID = str(uuid.uuid4())


def children() -> list[int]:
    return [
        each.pid
        for each in psutil.Process().children(recursive=True)
        if "spawn_main" in " ".join(each.cmdline())
    ]


def values_of(process: Workers, source_url: str, target_url: str) -> Future[list[Evidence]]:
    where = Databases(source_url, target_url, f"migration-assets run {RUN_ID[:8]}", None, {})
    return Sharing(process, Sides(where, NEXTCRM, NO_REMEDIATIONS)).submit(TABLE, (Layer.VALUES,))


def test_it_finds_a_changed_value_and_is_replaced_when_it_dies(
    small_migration: Urls, small_copy: str
) -> None:
    with Workers(rows=1, processes=2) as process:
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
    with (
        Workers(rows=1, processes=2) as process,
        psycopg.connect(small_copy, autocommit=True) as watching,
    ):
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
        assert is_worth(Workers(rows, processes=2), connection, TABLE)
        assert not is_worth(Workers(rows + 1, processes=2), connection, TABLE)
        assert not is_worth(Workers(rows, processes=1), connection, TABLE)
        with Workers(rows + 1, processes=2) as process:
            process.start(1, ready)
            assert is_worth(process, connection, TABLE)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions that workers were given."""
    names: list[str] = []

    def note(_: object, work: Callable[..., object], *__: object) -> None:
        names.append(getattr(work, "func", work).__name__)

    interrupted(monkeypatch, workers_module._Worker, "submit", note)
    return names


def test_a_run_uses_it_and_has_the_same_results(
    small_migration: Urls, small_copy: str, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_resource, "Workers", partial(Workers, rows=1))
    definitions = build_defs(
        source=SourceMongo(url=small_migration.mongodb_url),
        target=TargetPostgres(url=small_copy),
        workers=WorkersResource(processes=2),
    )
    result = definitions.resolve_job_def(MIGRATE).execute_in_process(
        asset_selection=[table_key(TABLE)],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    found = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert found == dict.fromkeys(Layer, True)
    assert set(given) == {checked_there.__name__}
    assert children() == []


# --- Loads ---------------------------------------------------------------------------------------


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """A worker that helps with every table, of which ranges hold a few documents."""
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "6")
    with Workers(rows=1, processes=2) as workers:
        workers.start(1, ready)
        workers.submit(ready).result()
        yield workers


def with_those_referred_to(*names: str) -> list[sa.Table]:
    """Tables and all that they refer to, in the order of the model."""
    wanted = set(names)
    for table in reversed([*TABLES.values()]):
        if table.name in wanted:
            wanted.update(referenced_tables(table))
    return [table for table in TABLES.values() if table.name in wanted]


LOADED = with_those_referred_to("crm_Contacts", "Tasks", "DocumentsToContacts")


def load_all(source: SourceDatabase, target: Connection, pool: Workers) -> None:
    load_identities(NEXTCRM, source, target, workers=pool)
    for table in LOADED:
        load_table(source, target, table, workers=pool)


def loaded(target: Connection) -> dict[str, list[str]]:
    """Their rows and books."""
    found = everything(target)
    names = tuple(f"({table.name}," for table in LOADED)
    books = {name: [line for line in found[name] if line.startswith(names)] for name in BOOK_NAMES}
    assert any(books.values())
    return {table.name: found[table.name] for table in LOADED} | books


@pytest.fixture
def completed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ranges that this process has completed, while the other may as well."""
    numbers: list[int] = []

    def note(_: Connection, __: uuid.UUID, line: RangeLine) -> None:
        numbers.append(line.number)
        time.sleep(0.02)

    interrupted(monkeypatch, ledger, "complete", note)
    return numbers


def test_what_two_processes_load_is_what_one_does(
    faulty_sample: Loaded,
    target: Connection,
    pool: Workers,
    given: list[str],
    completed: list[int],
) -> None:
    load_all(faulty_sample.source, target, pool)
    assert loaded(target) == loaded(faulty_sample.connection)
    assert stage_there.__name__ in given
    (ranges,) = target.execute("SELECT count(*) FROM migration.batches").fetchone() or (0,)
    assert len(completed) < ranges
    assert len(children()) == 1


def test_workers_do_nothing_where_nothing_has_changed(
    faulty_sample: Loaded, target: Connection, pool: Workers, given: list[str]
) -> None:
    load_all(faulty_sample.source, target, pool)
    given.clear()
    again = [load_table(faulty_sample.source, target, table, workers=pool) for table in LOADED]
    assert not any(result.is_converted for result in again)
    assert given == []


@pytest.mark.parametrize("size", [1, 10**9])
def test_memory_is_given_back_after_a_large_load(
    faulty_sample: Loaded, target: Connection, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    given_back: list[None] = []
    load_identities(NEXTCRM, faulty_sample.source, target)
    monkeypatch.setattr(stage, "LARGE", size)
    monkeypatch.setattr(stage, "give_back_freed_memory", lambda: given_back.append(None))
    load_table(faulty_sample.source, target, TABLES["Boards"])
    assert len(given_back) == (size == 1)


def recorded(target: Connection) -> dict[str, list[str]]:
    """Rows, books and ledger of a target, but for ids and times."""
    return everything(target) | {
        name: [text for (text,) in target.execute(query)] for name, query in LEDGER.items()
    }


LEDGER: Mapping[str, LiteralString] = {
    "batches": """
        SELECT ROW(target_table, number, range, lines, digest, bytes_digest,
                   tally - '{seconds,stages}'::text[])::text
        FROM migration.batches JOIN migration.loads ON id = load_id ORDER BY target_table, number
    """,
    "document_digests": """
        SELECT ROW(target_table, number, keys, digests)::text
        FROM migration.document_digests ORDER BY target_table, number
    """,
    "loads": """
        SELECT ROW(target_table, finished_at IS NULL, remediations, fingerprints, source, documents,
                   statistics - '{seconds,seconds_before,stages}'::text[])::text
        FROM migration.loads ORDER BY target_table
    """,
}


def test_any_number_of_workers_gives_the_same_whoever_dies(
    faulty_sample: Loaded,
    servers: Urls,
    empty_tables: str,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    monkeypatch.setenv(DOCUMENTS_PER_BATCH.name, "6")

    def recorded_by(processes: int) -> dict[str, list[str]]:
        with (
            database_copy(servers, empty_tables) as url,
            open_target(url) as connection,
            Workers(rows=1, processes=processes) as workers,
        ):
            loads: list[Callable[..., LoadResult]] = [partial(load_identities, NEXTCRM)]
            loads += [partial(load_table, table=table) for table in LOADED]
            for load in loads:
                while True:
                    try:
                        result = load(faulty_sample.source, connection, workers=workers)
                        resumed.append(result.seconds_before)
                    except KilledError:
                        continue
                    break
            # One that was killed in the last load is missed by the next one only.
            assert processes - 1 - len(children()) in {0, int(bool(killed))}
            return recorded(connection)

    killed: list[int] = []
    resumed: list[float] = []
    alone = recorded_by(1)
    assert given == []
    assert recorded_by(2) == alone
    assert recorded_by(3) == alone
    assert given.count(stage_there.__name__) > 20
    assert not any(resumed)

    numbers = count(1)

    def kill(*_: object) -> None:
        if next(numbers) % 20 == 0 and children():
            killed.append(children()[0])
            os.kill(killed[-1], signal.SIGKILL)
            raise KilledError

    interrupted(monkeypatch, ledger, "complete", kill)
    assert recorded_by(3) == alone
    assert sum(map(bool, resumed)) > 1


@pytest.mark.usefixtures("completed")
def test_what_a_worker_says_is_raised_here(
    faulty_sample: Loaded, target: Connection, pool: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    databases = databases_of(faulty_sample.source, target)
    assert databases is not None
    elsewhere = replace(databases, source_url=databases.source_url + "_gone")
    monkeypatch.setattr(stage, "databases_of", lambda *_: elsewhere)
    load_identities(NEXTCRM, faulty_sample.source, target)
    with pytest.raises(SourceError, match="there is no database"):
        load_table(faulty_sample.source, target, TABLES["Boards"], workers=pool)
    assert children() == []


def test_a_load_that_was_cut_off_goes_on_in_two_processes(
    faulty_sample: Loaded,
    target: Connection,
    pool: Workers,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
) -> None:
    source, name = faulty_sample.source, "crm_Contacts"
    written = count(1)

    def fail(*_: object) -> None:
        if next(written) == 3:
            raise KilledError

    load_identities(NEXTCRM, source, target)
    for table in LOADED:
        if table.name != name:
            load_table(source, target, table, workers=pool)
            continue
        with monkeypatch.context() as patch:
            interrupted(patch, ledger, "complete", fail)
            with pytest.raises(KilledError):
                load_table(source, target, table)
        given.clear()
        said: list[str] = []
        load_table(source, target, table, workers=pool, say=said.append)
        assert stage_there.__name__ in given
        assert len(said) == 1
        assert "resuming after batch " in said[0]
    assert loaded(target) == loaded(faulty_sample.connection)


# --- Checks --------------------------------------------------------------------------------------


def made_alike(evidence: Sequence[Evidence]) -> list[dict[str, Any]]:
    """What must be the same, whoever compares which part: all but times and which ones are shown."""
    return [{**each.as_json(), "seconds": {}, "sample": len(each.sample)} for each in evidence]


def checks_of(sample: Loaded, table: str, sharing: Sharing | None) -> list[Evidence]:
    share = None if sharing is None else sharing.compare
    layers = (Layer.VALUES, Layer.REFERENCES, Layer.TYPES)
    return run_checks(sample.source, sample.connection, TABLES[table], layers, share=share)


DAMAGED = (
    """UPDATE "crm_Contacts" SET last_name = last_name || '!' WHERE right(id::text, 1) < '4'""",
    """DELETE FROM "crm_Contacts" WHERE right(id::text, 1) = '5'""",
    """UPDATE "crm_Contacts" SET id = gen_random_uuid() WHERE right(id::text, 1) = '6'""",
    """DELETE FROM migration.issues WHERE ctid IN (SELECT ctid FROM migration.issues
    WHERE target_table = 'crm_Contacts' LIMIT 2)""",
    """INSERT INTO migration.unmapped_fields SELECT 'crm_Contacts', 'crm_Contacts', source_id, '{}'
    FROM (VALUES ('000000000000000000000000'), ('ffffffffffffffffffffffff'), ('"text"')) i (source_id)""",
)


@pytest.mark.parametrize("processes", [2, 3])
def test_what_several_processes_compare_is_what_one_does(
    faulty_copy: Loaded,
    given: list[str],
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
) -> None:
    monkeypatch.setattr(documents, "DOCUMENTS_PER_BATCH", 4)
    monkeypatch.setattr(entity_pass, "BATCHES_PER_PART", 1)
    monkeypatch.setattr(entity_pass, "DOCUMENTS_PER_BATCH", 6)
    where = databases_of(faulty_copy.source, faulty_copy.connection)
    assert where is not None
    with Workers(rows=1, processes=processes) as workers:
        sharing = Sharing(workers, Sides(where, NEXTCRM, NO_REMEDIATIONS))
        for statements in ((), DAMAGED):
            for statement in statements:
                faulty_copy.connection.execute(statement.encode())
            for name in ("Users", "crm_Contacts", "Tasks", "gpt_models", "DocumentsToTasks"):
                shared, alone = (checks_of(faulty_copy, name, by) for by in (sharing, None))
                assert made_alike(shared) == made_alike(alone)
                assert shared[0].is_sound != (bool(statements) and name == "crm_Contacts")
        assert given.count(compared_there.__name__) > 4
        assert len(children()) == processes - 1


def test_what_a_worker_compared_that_died_is_compared_here(
    faulty_sample: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entity_pass, "BATCHES_PER_PART", 1)
    monkeypatch.setattr(entity_pass, "DOCUMENTS_PER_BATCH", 6)
    where = databases_of(faulty_sample.source, faulty_sample.connection)
    assert where is not None
    alone = checks_of(faulty_sample, "crm_Contacts", None)
    killed: list[int] = []

    def kill(*_: object) -> None:
        if not killed:
            killed.extend(children())
            os.kill(killed[0], signal.SIGKILL)

    with Workers(rows=1, processes=2) as workers:
        workers.submit(ready).result()
        interrupted(monkeypatch, workers_module._Worker, "submit", kill)
        sharing = Sharing(workers, Sides(where, NEXTCRM, NO_REMEDIATIONS))
        assert made_alike(checks_of(faulty_sample, "crm_Contacts", sharing)) == made_alike(alone)
    assert len(killed) == 1


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
    assert not [each for each in threading.enumerate() if each.name.startswith("reader")]
