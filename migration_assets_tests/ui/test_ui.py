"""Dagster's UI in a real browser: look at the graph, find a red check, materialize the table, see it green.

The pictures in ``docs/images`` are this test's: ``SCREENSHOTS=docs/images make test``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest

from migration_assets.embedded import EmbeddedServers, Urls
from migration_assets_tests import ROOT
from migration_assets_tests.support.browsing import keep, launched, opened_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = pytest.mark.timeout(600)

BIN = Path(sys.executable).parent
SCALE = "0.02"
TABLE = "tasksComments"
OF_THE_BOARDS = [
    *[f"mongodb/{name}" for name in ("Boards", "Users")],
    *[f"postgres/{name}" for name in ("Boards", "BoardWatchers", "Users")],
    *[f"migration/{name}" for name in ("target_schema", "uuid_map", "constraints", "sign_off")],
]
"""A part of the graph that is small enough for a picture with the checks of each table."""


@pytest.fixture(scope="module")
def running(browser: str) -> Iterator[Browser]:
    """A browser for all tests here."""
    with launched(browser) as running:
        yield running


@pytest.fixture
def page(running: Browser) -> Iterator[Page]:
    """A page of it."""
    with opened_page(running) as opened:
        yield opened


@dataclass(frozen=True)
class Ui:
    """The UI of a migrated sample.

    Attributes:
        url: Where it is.
        urls: The databases.
    """

    url: str
    urls: Urls

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Executes a statement in the target, unknown to the migration."""
        with psycopg.connect(self.urls.postgres_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def ui(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """What a user has after `make demo` and `make ui`, in a directory of its own."""
    del browser  # is looked for first
    here = tmp_path_factory.mktemp("ui")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, here)
    variables = {
        "SOURCE_MONGODB_URL",
        "TARGET_POSTGRES_URL",
        "DAGSTER_POSTGRES_URL",
        "DAGSTER_HOME",
    }
    environment = {name: value for name, value in os.environ.items() if name not in variables}
    environment["MIGRATION_ASSETS_HOME"] = str(here / "home")
    servers = EmbeddedServers(here / "home", durable=False)
    try:
        servers.start()
        demo = subprocess.run(
            [BIN / "migration-assets", "demo", "--scale", SCALE],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert demo.returncode == 0, demo.stdout + demo.stderr
        with started(here, environment) as url:
            yield Ui(url, servers.urls)
    finally:
        servers.stop()


@contextmanager
def started(here: Path, environment: dict[str, str]) -> Iterator[str]:
    """Starts the UI, waits for its code location, and ends it as Ctrl-C does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = here / "ui.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [BIN / "migration-assets", "ui", "--port", str(port)],
            cwd=here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not answers(f"{url}/server_info"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        while f"Dagster on {url}, Ctrl-C ends it" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def open_graph(page: Page, ui: Ui, *, expanded: list[str], keys: list[str] | None = None) -> None:
    """Opens the asset graph, of all assets or of some, without its side panels."""
    selection = " or ".join(f'key:"{key}"' for key in keys or ())
    path = f"~{quote(selection, safe='')}" if selection else ""
    groups = quote(",".join(f"global@global:{group}" for group in expanded))
    page.goto(f"{ui.url}/asset-groups{path}/?expanded={groups}")
    page.get_by_label("unfold_less").first.wait_for()
    navigation = page.get_by_text("Hide navigation")
    if navigation.is_visible():
        navigation.click()
    # That of the navigation has become another one, so the one that is left closes the list of groups.
    page.locator("button", has=page.get_by_label("panel_show_right")).click()
    page.mouse.dblclick(
        1400, 960
    )  # the background, which fits the graph into what is now its place


def graph_node(page: Page, name: str) -> Locator:
    """Returns an asset, or a group that is folded, in the graph."""
    return page.locator("foreignObject", has=page.get_by_text(name, exact=True))


def test_graph_shows_all_groups_and_green_assets(page: Page, ui: Ui) -> None:
    open_graph(page, ui, expanded=["migration", "projects"])
    for group in ("mongodb", "system", "crm", "documents", "junctions"):
        graph_node(page, group).first.wait_for()
    for name in ("target_schema", "uuid_map", "constraints", "sign_off", "Boards", TABLE):
        graph_node(page, name).locator('[style*="background-green"]').first.wait_for()
    keep(page, "asset-graph")


def test_graph_shows_the_checks_of_tables(page: Page, ui: Ui) -> None:
    groups = ["migration", "mongodb", "system", "projects", "junctions"]
    open_graph(page, ui, expanded=groups, keys=OF_THE_BOARDS)
    for name in ("Boards", "BoardWatchers", "Users"):
        graph_node(page, name).get_by_text("4 / 4 Passed").wait_for()
    keep(page, "asset-graph-boards")


def test_daemon_runs_along(ui: Ui) -> None:
    query = (
        b'{"query": "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy } } } }"}'
    )
    request = urllib.request.Request(
        f"{ui.url}/graphql", query, {"Content-Type": "application/json"}
    )
    deadline = time.monotonic() + 60
    healthy: set[str] = set()
    while not {"SCHEDULER", "SENSOR"} <= healthy:
        assert time.monotonic() < deadline, healthy
        time.sleep(0.2)
        with urllib.request.urlopen(request, timeout=30) as response:
            health = json.load(response)["data"]["instance"]["daemonHealth"]
        healthy = {
            status["daemonType"] for status in health["allDaemonStatuses"] if status["healthy"]
        }


def button(page: Page, name: str) -> Locator:
    """Returns a button; the name of its icon comes before its own."""
    return page.get_by_role("button", name=re.compile(rf"\b{name}$"))


def check_row(page: Page, name: str) -> Locator:
    """Returns a check in the list on the page of an asset."""
    return page.locator("[class*=checkRow]", has=page.get_by_title(name, exact=True))


CLICKS = 3
"""After so many clicks, a new user knows what failed and what to do."""


def find_what_to_do(page: Page, start: str, *clicks: Locator) -> None:
    """Clicks from the page of a failure to the page with the next step."""
    assert len(clicks) <= CLICKS
    page.goto(start)
    for element in clicks:
        element.click()
    row = page.get_by_role("row").filter(has_text="what to do")
    row.get_by_text("Materialize the table again").wait_for()


def run_link(page: Page) -> Locator:
    """Returns the link to the latest run in the list of runs."""
    return page.locator("a[href^='/runs/']").first


def values_link(page: Page) -> Locator:
    """Returns the link from a run's event to the check that failed in it."""
    failed = page.get_by_text("failed for materialization of")
    return failed.get_by_role("link", name="values", exact=True)


def test_red_check_is_put_right_by_materializing_the_table(page: Page, ui: Ui) -> None:
    page.goto(f"{ui.url}/assets/migration/sign_off")
    page.get_by_text("Latest materialization").wait_for()
    page.get_by_text("GO", exact=True).first.wait_for()
    keep(page, "sign-off")
    page.get_by_text("decisions left: 0").wait_for()
    page.get_by_text("[Show Markdown]").first.click()
    link = page.locator(f"a[href='/assets/postgres/{TABLE}?view=checks&checkDetail=values']")
    link.wait_for()
    page.get_by_text("Tables and checks").scroll_into_view_if_needed()
    keep(page, "sign-off-dashboard")
    link.click()
    check_row(page, "values").get_by_text("Succeeded").wait_for()
    page.get_by_text("docs/reference/checks.md#values").first.wait_for()

    page.goto(f"{ui.url}/assets/postgres/{TABLE}?view=checks")
    for name in ("row_count", "values", "references", "types"):
        check_row(page, name).get_by_text("Succeeded").wait_for()
    check_row(page, "row_count").click()
    keep(page, "checks")

    query = f'SELECT * FROM "{TABLE}" ORDER BY id'
    before = ui.execute(query)
    ui.execute(
        f"UPDATE \"{TABLE}\" SET comment = comment || '!' "
        f'WHERE id = (SELECT max(id::text)::uuid FROM "{TABLE}")'
    )
    check_row(page, "values").click()
    button(page, "Execute").click()
    check_row(page, "values").get_by_text("Failed").wait_for()
    page.get_by_text("what to do").wait_for()
    keep(page, "failed-check")

    find_what_to_do(page, f"{ui.url}/runs", run_link(page), values_link(page))
    tab = page.get_by_role("tab", name="Checks")
    find_what_to_do(page, f"{ui.url}/assets/postgres/{TABLE}", tab, check_row(page, "values"))

    button(page, "Materialize").click()
    check_row(page, "values").get_by_text("Succeeded").wait_for()
    for name in ("row_count", "references", "types"):
        check_row(page, name).get_by_text("Succeeded").wait_for()
    assert ui.execute(query) == before
