"""Real faults, and the judgement of what each leaves behind.

A process loads some tables; it, or a server that it uses, is killed, cut off or filled up. What is there in
the end must be what an undisturbed load of the same source leaves, row by row and line by line of the books;
that in turn is judged by the checks, which share no conversion with the loader.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import LiteralString

from psycopg import sql
from pymongo import MongoClient
from pymongo.collection import Collection

from migration_assets import interrupts
from migration_assets.embedded import EmbeddedServers, Urls, create_database, fresh_database
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.settings import REPORTS, SOURCE_URL, TARGET_URL
from migration_assets.source.connection import CODEC, Document, open_source
from migration_assets.target import bookkeeping
from migration_assets.target.connection import open_target
from migration_assets.target.schema import create_schema
from migration_assets_tests.support import victim
from migration_assets_tests.support.loaded_sample import all_checks

BOOKS = ("rejected_documents", "issues", "conversions", "unmapped_fields", "uuid_map")
KILLS = 8
"""How often the tests kill the process; ``make soak`` does it more often."""
SECONDS = 120.0
"""How long a load may take before the test gives it up."""

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([victim.__name__, "pytest", "migration_assets.commands.running"])


class NoDiskError(Exception):
    """This account cannot mount a small disk."""


@dataclass
class Figures:
    """The results of the faults of one kind.

    Attributes:
        kind: What was done, in words.
        faults: How often.
        resumed: Loads that went on after their last committed batch.
        anew: Loads that were not resumed, and wrote why.
        retried: Attempts after a lost connection.
        compared: How often all rows and books were held against those of an undisturbed load.
        losses: How often they differed.
        false_gos: How often every check was green although they did, and how often a command said GO of a
            target that was damaged.
    """

    kind: str
    faults: int = 0
    resumed: int = 0
    anew: int = 0
    retried: int = 0
    compared: int = 0
    losses: int = 0
    false_gos: int = 0

    def take(self, output: str) -> None:
        """Counts the messages of a load."""
        self.resumed += output.count(": resuming after batch")
        self.anew += output.count(": not resumed,")
        self.retried += output.count("; next in ")


@dataclass(frozen=True)
class Ground:
    """Own servers with a small dirty sample, and the result of an undisturbed load of it.

    Attributes:
        servers: The servers.
        urls: Where they are.
        content: A digest of the rows of each table and book.
        seconds: What the load took.
        is_judging: Have every target judged by the checks too, not only the undisturbed one.
    """

    servers: EmbeddedServers
    urls: Urls
    content: Mapping[str, str]
    seconds: float
    is_judging: bool = False

    @contextmanager
    def target(self) -> Iterator[str]:
        """Lends an empty target."""
        with fresh_database(self.urls, prefix="fault") as fresh:
            yield fresh.postgres_url

    def compare(self, target_url: str, figures: Figures, *, source_url: str | None = None) -> None:
        """Compares a target with an undisturbed load."""
        figures.compared += 1
        is_same = contents(target_url) == self.content
        if is_same and not self.is_judging:
            return
        red = unsound(source_url or self.urls.mongodb_url, target_url)
        figures.losses += not is_same or bool(red)
        figures.false_gos += not is_same and not red


@contextmanager
def prepared(directory: Path, *, scale: float, is_judging: bool = False) -> Iterator[Ground]:
    """Starts servers and loads a sample once, undisturbed.

    Args:
        directory: Where the servers are kept; they may be killed, so they are nobody else's.
        scale: Size of the sample.
        is_judging: Have every target judged by the checks too, not only the undisturbed one.
    """
    servers = EmbeddedServers(directory, durable=False)  # a killed server keeps its commits
    with servers as urls:
        client: MongoClient[Document] = MongoClient(urls.mongodb_url, journal=True)
        with client:
            generate(client.get_default_database(), scale=scale, seed=3, dirty=0.01)
        target_url = create_database(urls.postgres_url, "undisturbed")
        with loading(urls.mongodb_url, target_url) as process:
            started = time.monotonic()
            assert victim.FINISHED in process.end(), process.output
            seconds = time.monotonic() - started
        red = unsound(urls.mongodb_url, target_url)
        assert not red, red
        yield Ground(servers, urls, contents(target_url), seconds, is_judging)


@dataclass
class Loading:
    """A process that loads."""

    process: ForkServerProcess
    file: Path

    @property
    def output(self) -> str:
        """Its output until now."""
        return self.file.read_text() if self.file.exists() else ""

    @property
    def is_running(self) -> bool:
        return self.process.is_alive()

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self.process.kill()
        self.process.join()

    def end(self) -> str:
        """Waits until it has ended; returns its output."""
        self.process.join(SECONDS)
        assert not self.process.is_alive(), self.output
        return self.output

    @property
    def code(self) -> int | None:
        return self.process.exitcode


@contextmanager
def loading(
    source_url: str,
    target_url: str,
    *,
    documents_per_batch: int = 10,
    attempts: int = 8,
) -> Iterator[Loading]:
    """Starts a process that loads; it is running when this returns, and gone afterwards."""
    options = {"documents_per_batch": documents_per_batch, "attempts": attempts}
    with _beside(victim.main, source_url, target_url, options=options) as running:
        until(lambda: victim.READY in running.output or not running.is_running)
        yield running


@contextmanager
def command(urls: Urls, *arguments: str) -> Iterator[Loading]:
    """Starts a command of the program; its process is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="migration-assets-") as reports:
        variables = {
            SOURCE_URL.name: urls.mongodb_url,
            TARGET_URL.name: urls.postgres_url,
            REPORTS.name: reports,
        }
        with _beside(victim.command, arguments, options={"variables": variables}) as running:
            yield running


@contextmanager
def _beside(
    target: Callable[..., None], *arguments: object, options: Mapping[str, object]
) -> Iterator[Loading]:
    directory = Path(tempfile.mkdtemp(prefix="migration-assets-"))
    output_file = directory / "output"
    process = FORKS.Process(target=target, args=(*arguments, output_file), kwargs=options)
    process.start()
    running = Loading(process, output_file)
    try:
        yield running
    finally:
        running.kill()
        shutil.rmtree(directory)


def until(condition: Callable[[], bool], *, seconds: float = SECONDS) -> None:
    """Waits until a condition holds."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it does not come to that"
        time.sleep(0.005)


def contents(target_url: str) -> dict[str, str]:
    """Returns a digest of the rows of every table and every book, whatever their order."""
    tables = [sql.Identifier("public", name) for name in TABLES]
    tables += [sql.Identifier(bookkeeping.SCHEMA, name) for name in BOOKS]
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL(
            "SELECT {}, count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) "
            "FROM {} t"
        ).format(sql.Literal(table.as_string()), table)
        for table in tables
    )
    with open_target(target_url) as connection:
        return {str(name): str(digest) for name, digest in connection.execute(query)}


def unsound(source_url: str, target_url: str) -> list[str]:
    """Returns the failed checks: tables that differ from the converted documents."""
    with open_source(source_url) as source, open_target(target_url) as connection:
        all_evidence = [
            evidence for name in victim.LOADED for evidence in all_checks(source, connection, name)
        ]
    return [
        f"{evidence.table} {evidence.layer}: {evidence.summary}"
        for evidence in all_evidence
        if not evidence.is_sound
    ]


# --- The kinds of faults ------------------------------------------------------------------------


def killed(ground: Ground, chance: random.Random, kills: int) -> Figures:
    """Kills the loading process at random moments, as often as `kills` says."""
    figures = Figures(
        "SIGKILL of the process at a random moment, from the schema to the constraints"
    )
    while figures.faults < kills:
        with ground.target() as target_url:
            finished = False
            while not finished:
                with loading(ground.urls.mongodb_url, target_url) as process:
                    if figures.faults < kills:
                        time.sleep(chance.uniform(0, ground.seconds))
                        if process.is_running:
                            process.kill()
                            figures.faults += 1
                    finished = victim.FINISHED in process.end()
                    assert finished or process.code == -9, process.output
                    figures.take(process.output)
            ground.compare(target_url, figures)
    return figures


_BLOCKED_AT = {
    # A batch's rows are on their way; other batches are committed.
    "COPY": ('"migration_staging"."uuid_map"', "COPY %"),
    # The books are replaced last: rows are inserted, updated and deleted, and not committed.
    "the merge": ('"migration"."issues"', "DELETE FROM %"),
}


def postgres_killed(ground: Ground, moment: str, times: int) -> Figures:
    """Kills PostgreSQL in the middle of a COPY or of a merging transaction, and starts it again."""
    figures = Figures(f"PostgreSQL killed in the middle of {moment}")
    table, query = _BLOCKED_AT[moment]
    for _ in range(times):
        with ground.target() as target_url, open_target(target_url) as holder:
            create_schema(NEXTCRM, holder)
            with loading(ground.urls.mongodb_url, target_url) as process:
                until(lambda: _count(target_url, _BATCHES) > 2)
                # A lock that the load waits for, so that the moment is not left to chance.
                holder.execute("BEGIN")
                holder.execute(f"LOCK TABLE {table} IN SHARE MODE")
                until(lambda: _count(target_url, _WAITING, query) > 0)
                ground.servers.kill_postgres()
                figures.faults += 1
                holder.close()
                ground.servers.start_postgres()
                assert victim.FINISHED in process.end(), process.output
                figures.take(process.output)
            ground.compare(target_url, figures)
    return figures


_BATCHES = "SELECT count(*) FROM migration.batches WHERE digest IS NOT NULL"
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock' AND query LIKE %s"
)


def _count(target_url: str, query: LiteralString, *values: object) -> int:
    with open_target(target_url) as connection:
        row = connection.execute(query, values).fetchone()
    return int(row[0]) if row is not None else 0


@contextmanager
def _half_way(ground: Ground, chance: random.Random, target_url: str) -> Iterator[Loading]:
    """Yields a process that loads into an empty target and has committed some batches."""
    with open_target(target_url) as connection:
        create_schema(NEXTCRM, connection)
    with loading(ground.urls.mongodb_url, target_url) as process:
        committed = chance.randrange(1, 40)
        until(lambda: _count(target_url, _BATCHES) >= committed)
        yield process


def mongod_killed(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Kills mongod while it is read, and starts it again."""
    figures = Figures("mongod killed while it is read")
    while figures.faults < times:
        with ground.target() as target_url:
            with _half_way(ground, chance, target_url) as process:
                ground.servers.kill_mongod()
                figures.faults += 1
                ground.servers.start_mongod()
                assert victim.FINISHED in process.end(), process.output
                figures.take(process.output)
            ground.compare(target_url, figures)
    return figures


def connections_cut(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Cuts the connections to PostgreSQL, and the cursors and sessions of MongoDB, in turn."""
    figures = Figures("connections to PostgreSQL cut, cursors of MongoDB killed")
    client: MongoClient[Document] = MongoClient(ground.urls.mongodb_url)
    with client:
        while figures.faults < times:
            with ground.target() as target_url:
                with loading(ground.urls.mongodb_url, target_url) as process:
                    until(lambda: victim.HOLDING in process.output)
                    for _ in range(2):
                        time.sleep(chance.uniform(0.05, ground.seconds / 2))
                        with open_target(target_url) as connection:
                            connection.execute(
                                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                            )
                        client.admin.command({"killAllSessions": []})
                        figures.faults += 2
                    assert victim.FINISHED in process.end(), process.output
                    figures.take(process.output)
                ground.compare(target_url, figures)
    return figures


def two_runners(ground: Ground, times: int) -> Figures:
    """Starts a second run while one is under way: it is refused at once and says who holds the target."""
    figures = Figures("two runs at once: the second is refused and says who holds the target")
    for _ in range(times):
        with ground.target() as target_url, open_target(target_url) as holder:
            create_schema(NEXTCRM, holder)
            table, _ = _BLOCKED_AT["the merge"]
            holder.execute(
                "BEGIN"
            )  # what the first run waits for, so that it is there for long enough
            holder.execute(f"LOCK TABLE {table} IN SHARE MODE")
            with loading(ground.urls.mongodb_url, target_url) as first:
                until(lambda: victim.HOLDING in first.output)
                with loading(ground.urls.mongodb_url, target_url) as second:
                    output = second.end()
                assert second.code == 2
                assert "another run is under way (migration-assets run " in output
                assert "process " in output
                figures.faults += 1
                holder.execute("ROLLBACK")
                assert victim.FINISHED in first.end(), first.output
            ground.compare(target_url, figures)
    return figures


_CUT = (
    "SELECT count(pg_terminate_backend(pid)) FROM (SELECT DISTINCT pid FROM pg_locks "
    "WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())) AS holding"
)


def locks_cut(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Cuts the connections that hold the target for a run, and starts a second run at once.

    One of the two goes on, and the other says so; who was refused is started again in the end.
    """
    figures = Figures("the lock of a run cut, and a second run started at once")
    for _ in range(times):
        with ground.target() as target_url:
            with loading(ground.urls.mongodb_url, target_url) as first:
                until(lambda: victim.HOLDING in first.output or not first.is_running)
                time.sleep(chance.uniform(0, ground.seconds / 2))
                figures.faults += _count(target_url, _CUT) > 0
                with loading(ground.urls.mongodb_url, target_url) as second:
                    ended = [(process.end(), process.code) for process in (second, first)]
            for output, code in ended:
                figures.take(output)
                assert code == (0 if victim.FINISHED in output else 2), output
                assert code == 0 or "another run is under way (migration-assets run" in output, (
                    output
                )
            assert 0 in [code for _, code in ended], ended
            with loading(ground.urls.mongodb_url, target_url) as again:
                assert victim.FINISHED in again.end(), again.output
            ground.compare(target_url, figures)
    return figures


HOSTILE: Mapping[str, str] = {
    # Of a busy machine even what sets them anew takes some of it.
    "statement_timeout": "200ms",
    "idle_in_transaction_session_timeout": "200ms",
    "idle_session_timeout": "200ms",
    "lock_timeout": "1ms",
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
    "timezone": "Asia/Kathmandu",
    "search_path": "nowhere",
    "row_security": "on",
    "default_transaction_isolation": "serializable",
}
"""Settings of a database that a strict or careless administrator may have made."""


def hostile_settings(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Loads into a database with some settings against it, by a process that is killed once."""
    figures = Figures("settings of the database against the load, and the process killed")
    for _ in range(times):
        with ground.target() as target_url:
            with open_target(target_url) as connection:
                name = sql.Identifier(connection.info.dbname)
                for setting in chance.sample(sorted(HOSTILE), 6):
                    value = sql.SQL(HOSTILE[setting]) if "," in HOSTILE[setting] else None
                    connection.execute(
                        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                            name, sql.Identifier(setting), value or sql.Literal(HOSTILE[setting])
                        )
                    )
                    figures.faults += 1
            with loading(ground.urls.mongodb_url, target_url) as process:
                time.sleep(chance.uniform(0, ground.seconds))
                process.kill()
                figures.take(process.output)
            with loading(ground.urls.mongodb_url, target_url) as process:
                assert victim.FINISHED in process.end(), process.output
                figures.take(process.output)
            ground.compare(target_url, figures)
    return figures


@contextmanager
def signed(ground: Ground) -> Iterator[Urls]:
    """Lends a clean source, and a target that has a signed GO of it."""
    with fresh_database(ground.urls, prefix="signed") as urls:
        client: MongoClient[Document] = MongoClient(urls.mongodb_url)
        with client:
            generate(client.get_default_database(), scale=0.01)
        with command(urls, "run", "--approver", "Soak") as process:
            process.end()
            assert process.code == 0, process.output
        yield urls


_COMMANDS = (
    ("run", "--select", "Boards"),
    ("validate",),
    ("validate", "--approver", "Soak"),
    ("sign-off", "--approver", "Soak"),
)


def second_commands(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Starts commands at once into a target with a signed GO that was damaged since, and cuts locks.

    None may say GO: whoever does its work finds the damage, all others say who holds the target.
    """
    figures = Figures("commands at once into a damaged target whose last verdict is GO, locks cut")
    with signed(ground) as urls:
        with open_target(urls.postgres_url) as connection:
            connection.execute('DELETE FROM "tasksComments"')
        for _ in range(times):
            chosen = chance.sample(_COMMANDS, 3)
            with ExitStack() as stack:
                running = [stack.enter_context(command(urls, *arguments)) for arguments in chosen]
                time.sleep(chance.uniform(0, 2))
                figures.faults += len(chosen) + (_count(urls.postgres_url, _CUT) > 0)
                for process in running:
                    output = process.end()
                    figures.take(output)
                    figures.false_gos += process.code == 0 or "\nGO after" in output
                    assert process.code in (0, 1, 2), output
                    assert process.code != 2 or "error: " in output.splitlines()[-1], output
    return figures


def interrupted(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Interrupts a command by Ctrl-C or `kill` at random moments, then lets it finish."""
    figures = Figures("Ctrl-C or `kill` at a random moment of `run`, then the same command again")
    with signed(ground) as urls:
        before = contents(urls.postgres_url)
        started = time.monotonic()
        with command(urls, "run", "--select", "Boards,Sections,Tasks") as process:
            process.end()
        seconds = time.monotonic() - started
        for _ in range(times):
            with command(urls, "run", "--select", "Boards,Sections,Tasks") as process:
                until(process.file.exists)
                time.sleep(chance.uniform(0, seconds))
                for number in chance.choice(
                    [(signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT,) * 2]
                ):
                    with suppress(ProcessLookupError):  # it was through before
                        os.killpg(process.process.pid or 0, number)
                output = process.end()
                figures.faults += process.code == 2
                assert process.code in (0, 1, 2), output
                assert process.code != 2 or output.endswith(f"error: {interrupts.SAID}\n"), output
                until(lambda: not is_anybody_of(process.process.pid or 0))
            until(lambda: _count(urls.postgres_url, _LEFT) == 0)
        with command(urls, "run", "--select", "Boards,Sections,Tasks") as process:
            output = process.end()
        figures.compared += 1
        figures.losses += contents(urls.postgres_url) != before or process.code != 0
    return figures


_LEFT = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def is_anybody_of(group: int) -> bool:
    """Tells whether a process of a group is still there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def another_plan(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Has a load find the ledger of a load by another model: it begins again, and says so."""
    figures = Figures("ledger of a load by another model")
    while figures.faults < times:
        with ground.target() as target_url:
            with _half_way(ground, chance, target_url) as process:
                process.kill()
            with open_target(target_url) as connection:
                # One statement: what a killed process leaves behind ends on its own time.
                changed = connection.execute(
                    "UPDATE migration.loads l SET plan = 'another' WHERE finished_at IS NULL "
                    "AND EXISTS (SELECT FROM migration.batches b WHERE b.load_id = l.id "
                    "AND b.digest IS NOT NULL)"
                ).rowcount
            with loading(ground.urls.mongodb_url, target_url) as process:
                output = process.end()
                assert victim.FINISHED in output, output
            if changed:
                assert "not resumed, the model or what it refers to has changed" in output, output
                assert "resuming after batch" not in output, output
                figures.faults += 1
            figures.take(output)
            ground.compare(target_url, figures)
    return figures


def source_changing(ground: Ground, chance: random.Random, times: int) -> Figures:
    """Writes to the source while it is read, by a process that is killed; then once more, in peace.

    What is compared with is an undisturbed load of the source as it is in the end.
    """
    figures = Figures("source written to during the scan, and the process killed")
    for _ in range(times):
        with fresh_database(ground.urls, prefix="changing") as fresh:
            client: MongoClient[Document] = MongoClient(fresh.mongodb_url)
            with client:
                source = client.get_default_database(codec_options=CODEC)
                generate(source, scale=0.01, seed=chance.randrange(1000), dirty=0.01)
                for _ in range(2):
                    with loading(fresh.mongodb_url, fresh.postgres_url) as process:
                        ends = time.monotonic() + chance.uniform(0.2, 0.8) * ground.seconds
                        while time.monotonic() < ends and process.is_running:
                            _write(source["Users"], chance)
                            _write(source["crm_Accounts"], chance)
                        process.kill()
                        figures.take(process.output)
                        figures.faults += 1
            with loading(fresh.mongodb_url, fresh.postgres_url) as process:
                assert victim.FINISHED in process.end(), process.output
                figures.take(process.output)
            with ground.target() as other_url:
                with loading(fresh.mongodb_url, other_url) as process:
                    assert victim.FINISHED in process.end(), process.output
                undisturbed = replace(ground, content=contents(other_url))
            undisturbed.compare(fresh.postgres_url, figures, source_url=fresh.mongodb_url)
    return figures


def _write(collection: Collection[Document], chance: random.Random) -> None:
    """Adds, changes or removes a document, but not the last ones."""
    some, *others = collection.aggregate([{"$sample": {"size": 3}}])
    operation = chance.randrange(3 if others else 2)
    if operation == 0:
        collection.update_one({"_id": some["_id"]}, {"$set": {"name": secrets.token_hex(4)}})
    elif operation == 1:
        del some["_id"]
        collection.insert_one(some)
    else:
        collection.delete_one({"_id": some["_id"]})


def disk_full(ground: Ground, *, step: int = 2_000_000) -> Figures:
    """Loads into a disk that is full, makes it a little larger, and so on until the load is through.

    Args:
        ground: Where.
        step: By how much it becomes larger, in bytes.

    Raises:
        NoDiskError: This account cannot mount one.
    """
    figures = Figures("disk of the target full")
    name = f"full_{secrets.token_hex(4)}"
    with small_disk(ground.servers) as disk, open_target(ground.urls.postgres_url) as server:
        place = sql.Literal(str(disk.path))
        server.execute(
            sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(name), place)
        )
        server.execute(sql.SQL("CREATE DATABASE {0} TABLESPACE {0}").format(sql.Identifier(name)))
        target_url = ground.urls.postgres_url.rpartition("/")[0] + f"/{name}"
        try:
            with open_target(target_url) as connection:
                create_schema(NEXTCRM, connection)
                connection.execute("CHECKPOINT")
            disk.leave(step)
            while True:
                with loading(ground.urls.mongodb_url, target_url, attempts=1) as process:
                    output = process.end()
                    figures.take(output)
                    if victim.FINISHED in output:
                        break
                figures.faults += 1
                assert process.code == 2, output
                line = output.strip().splitlines()[-1]
                assert line.startswith("error: PostgreSQL at "), line
                # A server without any space cannot even take a connection.
                assert "DiskFull (SQLSTATE 53100" in line or "its disk is full" in line, line
                assert line.endswith(
                    "Give the server disk space, memory or connections, then start again"
                ), line
                disk.leave(step)
                half = {
                    table: digest
                    for table, digest in contents(target_url).items()
                    if digest not in (ground.content[table], "0 0") and '"public"' in table
                }
                assert half == {}, half
            ground.compare(target_url, figures)
        finally:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            server.execute(drop)
            server.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))
    return figures


@dataclass(frozen=True)
class Disk:
    """A file system in memory, of which one says how much is free."""

    path: Path

    def leave(self, free: int) -> None:
        """Resizes it so that so many bytes are free."""
        size = shutil.disk_usage(self.path).used + free
        _mount("-o", f"remount,size={size}", str(self.path))


@contextmanager
def small_disk(servers: EmbeddedServers) -> Iterator[Disk]:
    """Mounts a disk that belongs to the account of PostgreSQL.

    Raises:
        NoDiskError: This account cannot.
    """
    path = Path(tempfile.mkdtemp(prefix="migration-assets-disk-"))
    owner = (servers.directory / "postgres" / "data").stat()
    try:
        _mount("-t", "tmpfs", "-o", "size=256m", "tmpfs", str(path))
        try:
            path.chmod(0o700)
            shutil.chown(path, owner.st_uid, owner.st_gid)
            yield Disk(path)
        finally:
            subprocess.run(["umount", str(path)], check=True)
    finally:
        path.rmdir()


def _mount(*arguments: str) -> None:
    completed = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if completed.returncode:
        raise NoDiskError(completed.stderr.strip() or "mount failed")
