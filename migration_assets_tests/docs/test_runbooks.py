"""The runbooks and the tutorial, done: each command of theirs that can run here, in order, on real servers.

``RECORD_TIMES=1`` writes the seconds of each command to
``docs/runbooks/times.md``.
"""

from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from bson import ObjectId
from psycopg import sql
from pymongo import MongoClient

from migration_assets.embedded import Urls
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.source.connection import open_source
from migration_assets.target.connection import open_target
from migration_assets.target.schema import build_constraints
from migration_assets_tests.support.loaded_sample import load_everything
from migration_assets_tests.support.pages import DOCS, SHOWN_ONLY, Block, Shell, blocks, do_page

pytestmark = pytest.mark.timeout(600)

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

AHEAD = "a week before the window; the test fills the target, then part 4 runs into the filled one"
"""The loads that stand in for a whole run."""


@pytest.fixture
def sites(servers: Urls) -> Iterator[dict[str, Urls]]:
    """Staging and production, each with a sample; their targets are what the runbooks make of a server.

    All roles are without special rights. That of the migration has a password, for which psql would ask.
    """
    password = secrets.token_hex(16)
    admin = urlsplit(servers.postgres_url)
    urls_by_site: dict[str, Urls] = {}
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
            urls_by_site[name] = replace(servers, mongodb_url=mongodb, postgres_url=postgres)
        try:
            yield urls_by_site
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
        load_everything(source, target)
        build_constraints(NEXTCRM, target)
    with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
        comments = client.get_default_database()["tasksComments"]
        first = comments.find_one(sort=[("_id", 1)])
        assert first is not None
        comments.update_one({"_id": first["_id"]}, {"$set": {"comment": "Corrected"}})
        comments.insert_one(first | {"_id": ObjectId()})


def test_every_block_runs_here_or_says_why_not() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {*ORDER, "README", "times", "upgrade"}
    other_pages = ("how-to", "access", "remediations", "sign-off", "messages/README")
    pages = [*RUNBOOKS.glob("*.md"), TUTORIAL, *(DOCS / f"{name}.md" for name in other_pages)]
    all_blocks = [block for page in pages for block in blocks(page)]
    for block in all_blocks:
        assert block.language in {"console", "sql", *SHOWN_ONLY}, block.where
        assert block.language in SHOWN_ONLY or block.elsewhere or block.steps(), block.where
        # Not on a machine for tests.
        unavailable = ("mongodump", "mongorestore", "mongosh", "systemctl")
        if not block.elsewhere and block.language == "console":
            assert not any(name in line for name in unavailable for line in block.lines), (
                block.where
            )


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
def test_a_difference_from_the_page_is_noticed(shell: Shell, lines: list[str], wrong: str) -> None:
    block = Block("page:1", "console", lines)
    with pytest.raises(AssertionError, match=wrong) if wrong else nullcontext():
        shell.do(block)


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
        do_page(RUNBOOKS / f"{name}.md", shell, instead)
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
    do_page(TUTORIAL, shell)


def _record(shell: Shell) -> None:
    lines = [
        "# Times of the runbooks' commands",
        "",
        "Measured by the test that does the runbooks in order: about 500 documents, "
        f"{os.cpu_count()} cores ({platform.machine()}) shared",
        "with other work. This is the time of each command itself; the program takes two to three seconds",
        "more to start. The rehearsal says what your data takes. Write it anew with",
        "`RECORD_TIMES=1 python -m pytest migration_assets_tests/docs/test_runbooks.py`.",
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
