"""The command line: exit codes, one line for each error, no password in any output, nothing left behind."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from pymongo import MongoClient
from rich.console import Console
from typer.testing import CliRunner

from migration_assets.cli import app
from migration_assets.commands import running
from migration_assets.commands.decisions import print_decisions
from migration_assets.commands.progress import ConsoleProgress
from migration_assets.embedded import EmbeddedServers, Urls, fresh_database
from migration_assets.nextcrm import NEXTCRM
from migration_assets.nextcrm.sample.values import SECRET_PREFIX
from migration_assets.settings import ATTEMPTS, DAGSTER_URL, MODEL, SOURCE_URL, TARGET_URL
from migration_assets.sign_off.findings import Finding
from migration_assets.source.connection import open_source
from migration_assets.target.ddl import files
from migration_assets.urls import redacted
from migration_assets_tests import ROOT
from migration_assets_tests.support.second_application import SHOP, documents

pytestmark = pytest.mark.timeout(600)

PROGRAM = Path(sys.executable).with_name("migration-assets")
PASSWORD = "correct-horse"  # made up, so that it can be looked for
GO, NO_GO, COULD_NOT_RUN = running.Exit

VARIABLES = (
    ATTEMPTS.name,
    SOURCE_URL.name,
    TARGET_URL.name,
    DAGSTER_URL.name,
    "DAGSTER_HOME",
    "MIGRATION_ASSETS_HOME",
)
UNREACHABLE = "127.0.0.1:9"  # the port of discard, on which nobody listens


@pytest.fixture(autouse=True)
def small_application(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user's shell in an empty directory; of our variables, only the application is set.

    What a command says does not depend on how many tables there are: with NextCRM's, each run takes ten times
    as long.
    """
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(MODEL.name, SHOP.path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def nextcrm(monkeypatch: pytest.MonkeyPatch, small_application: None) -> None:
    """Migrates the default application."""
    del small_application
    monkeypatch.delenv(MODEL.name)


@dataclass(frozen=True)
class CommandResult:
    """The exit code and output of a command."""

    code: int
    out: str
    error: str

    @property
    def all(self) -> str:
        return self.out + self.error

    @property
    def line(self) -> str:
        """The one line of the error."""
        (line,) = self.error.strip().splitlines()
        assert line.startswith("error: ")
        return line


def call(*arguments: str, **variables: str) -> CommandResult:
    """Runs a command in this process."""
    result = CliRunner().invoke(app, arguments, env=variables)
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    return CommandResult(result.exit_code, result.stdout, result.stderr)


def spawn(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Starts a command as a user does."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.Popen(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {MODEL.name: SHOP.path, "PYTHONPATH": str(ROOT)} | variables,
    )


def command(*arguments: str, **variables: str) -> CommandResult:
    """Runs a command as a user does."""
    process = spawn(*arguments, **variables)
    out, error = process.communicate(timeout=300)
    return CommandResult(process.returncode, out, error)


def tables_of(target_url: str) -> list[str]:
    with psycopg.connect(target_url) as connection:
        rows = connection.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
        )
        return [name for (name,) in rows]


def password_of(url: str) -> str:
    password = urlsplit(url).password
    assert password is not None
    return password


def fill(url: str, collections: Mapping[str, list[dict[str, Any]]]) -> None:
    """Writes documents, by collection."""
    with MongoClient[dict[str, Any]](url) as client:
        for name, held in collections.items():
            client.get_default_database()[name].insert_many(held)


@pytest.fixture(scope="module")
def sample_url(servers: Urls) -> Iterator[str]:
    """A source in which one of the collections is missing, to which nothing refers."""
    collections = documents()
    del collections["categories"]
    for product in collections["products"]:
        product.pop("category", None)
    with fresh_database(servers, prefix="sample") as urls:
        fill(urls.mongodb_url, collections)
        yield urls.mongodb_url


@dataclass(frozen=True)
class Migrated:
    """The result of `migration-assets run`."""

    variables: Mapping[str, str]
    result: CommandResult

    @property
    def target_url(self) -> str:
        return self.variables[TARGET_URL.name]


@pytest.fixture(scope="module")
def migrated(servers: Urls, sample_url: str) -> Iterator[Migrated]:
    """A target that `migration-assets run` has filled."""
    with fresh_database(servers) as urls:
        variables = {SOURCE_URL.name: sample_url, TARGET_URL.name: urls.postgres_url}
        yield Migrated(variables, command("run", **variables))


def test_run_is_go_and_ends_with_a_line_for_each_table(migrated: Migrated) -> None:
    result = migrated.result
    assert (result.code, result.error) == (GO, "")
    *_, last = result.out.strip().splitlines()
    assert re.fullmatch(r"GO after \d+\.\d s", last)
    for name in SHOP.tables:
        assert re.search(
            rf"^ {name} +[\d,]+ +[\d,]+ .* ✓  ✓  ✓  ✓ *$", result.out, flags=re.MULTILINE
        )
    assert password_of(migrated.target_url) not in result.all


def test_missing_collection_is_an_empty_table(migrated: Migrated) -> None:
    """MongoDB creates a collection with its first document, so a missing one is one without any."""
    assert re.search(r"^ categories +0 +0 +0 ", migrated.result.out, flags=re.MULTILINE)
    with psycopg.connect(migrated.target_url) as connection:
        assert connection.execute("SELECT count(*) FROM categories").fetchone() == (0,)


def test_select_brings_some_tables_up_to_date(migrated: Migrated) -> None:
    result = call("run", "--select", "products, productKeepers", **migrated.variables)
    assert (result.code, result.error) == (GO, "")
    assert re.search(
        r"^ 1/2 products +\d+ rows, +0 written .* ✓✓✓✓$", result.out, flags=re.MULTILINE
    )
    assert re.search(r"^ 2/2 productKeepers ", result.out, flags=re.MULTILINE)


def test_validate_and_summary_repeat_the_result(migrated: Migrated) -> None:
    validated = call("validate", **migrated.variables)
    assert (validated.code, validated.error) == (GO, "")
    summary = call("summary", **migrated.variables)
    assert summary.code == 0
    assert "5 of 5 tables" in summary.out


@pytest.mark.parametrize(
    ("damage", "damaged", "check"),
    [
        pytest.param(
            'DELETE FROM "productKeepers"', "productKeepers", "row_count", id="blocking check"
        ),
        pytest.param(
            "UPDATE products SET description = '?'", "products", "values", id="other check"
        ),
    ],
)
def test_red_check_is_no_go(migrated: Migrated, damage: str, damaged: str, check: str) -> None:
    with psycopg.connect(migrated.target_url) as connection:
        connection.execute(damage)
    result = call("validate", **migrated.variables)
    assert result.code == NO_GO
    assert f"✗ {damaged}: check {check} failed" in result.out
    assert re.search(r"^NO-GO after", result.out, flags=re.MULTILINE)
    # With the pairs, which refer to products: they were checked against rows that change now.
    repaired = call("run", "--select", "products,productKeepers", **migrated.variables)
    assert repaired.code == GO


def test_write_to_the_source_is_no_go(migrated: Migrated) -> None:
    with MongoClient[dict[str, Any]](migrated.variables[SOURCE_URL.name]) as client:
        products = client.get_default_database()["products"]
        before = products.find_one_and_update({}, {"$set": {"desc": "written after the run"}})
        assert before is not None
        result = call("validate", **migrated.variables)
        products.replace_one({"_id": before["_id"]}, before)
    assert result.code == NO_GO
    assert "collection products was written to after it was read" in " ".join(result.out.split())


WRONG_URLS = {
    "source without scheme": (SOURCE_URL.name, f"mongodb//u:{PASSWORD}@localhost/nextcrm"),
    "source with one slash": (SOURCE_URL.name, f"mongodb:/u:{PASSWORD}@localhost/nextcrm"),
    "source without database": (SOURCE_URL.name, f"mongodb://u:{PASSWORD}@{UNREACHABLE}"),
    "source with a bare slash": (SOURCE_URL.name, f"mongodb://u:/{PASSWORD}@localhost/nextcrm"),
    "source with a bare @": (SOURCE_URL.name, f"mongodb://u:@{PASSWORD}@localhost/nextcrm"),
    "source with a wrong port": (SOURCE_URL.name, f"mongodb://u:{PASSWORD}@localhost:no/nextcrm"),
    "target without scheme": (TARGET_URL.name, f"u:{PASSWORD}@localhost/nextcrm"),
    "target with one slash": (TARGET_URL.name, f"postgresql:/u:{PASSWORD}@localhost/nextcrm"),
    "target of another kind": (TARGET_URL.name, f"mysql://u:{PASSWORD}@localhost/nextcrm"),
    "target with a bare slash": (TARGET_URL.name, f"postgresql://u:/{PASSWORD}@localhost/nextcrm"),
    "target with a bare @": (TARGET_URL.name, f"postgresql://u:@{PASSWORD}@localhost/nextcrm"),
    "target with words": (TARGET_URL.name, f"host=localhost user=u password={PASSWORD}"),
    "target with a wrong parameter": (
        TARGET_URL.name,
        f"postgresql://u:{PASSWORD}@{UNREACHABLE}/nextcrm?sslmod={PASSWORD}",
    ),
    "target out of reach": (TARGET_URL.name, f"postgresql://u:{PASSWORD}@{UNREACHABLE}/nextcrm"),
}


@pytest.mark.parametrize(("name", "url"), WRONG_URLS.values(), ids=WRONG_URLS.keys())
def test_wrong_url_is_one_line(sample_url: str, target_url: str, name: str, url: str) -> None:
    variables = {SOURCE_URL.name: sample_url, TARGET_URL.name: target_url} | {name: url}
    result = call("run", **variables)
    assert result.code == COULD_NOT_RUN
    assert name in result.line
    assert PASSWORD not in result.all
    assert tables_of(target_url) == []


def test_source_out_of_reach_is_one_line(target_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"mongodb://u:{PASSWORD}@{UNREACHABLE}/nextcrm"
    monkeypatch.setitem(open_source.__wrapped__.__kwdefaults__, "timeout", 1.0)  # type: ignore[attr-defined]
    result = call("run", **{SOURCE_URL.name: url, TARGET_URL.name: target_url})
    assert (result.code, result.out) == (COULD_NOT_RUN, "")
    assert f"MongoDB at mongodb://{UNREACHABLE}/nextcrm: no answer" in result.line
    assert PASSWORD not in result.all
    assert tables_of(target_url) == []


def test_missing_source_database_is_one_line(sample_url: str, target_url: str) -> None:
    result = call("run", **{SOURCE_URL.name: sample_url + "_", TARGET_URL.name: target_url})
    assert result.code == COULD_NOT_RUN
    assert "there is no database" in result.line
    assert tables_of(target_url) == []


def test_missing_target_database_is_one_line(sample_url: str, target_url: str) -> None:
    result = call("run", **{SOURCE_URL.name: sample_url, TARGET_URL.name: target_url + "_"})
    assert result.code == COULD_NOT_RUN
    assert "does not exist" in result.line
    assert password_of(target_url) not in result.all


def test_wrong_password_is_one_line(sample_url: str, target_url: str) -> None:
    wrong = target_url.replace(password_of(target_url), PASSWORD)
    result = call("run", **{SOURCE_URL.name: sample_url, TARGET_URL.name: wrong})
    assert result.code == COULD_NOT_RUN
    assert "password authentication failed" in result.line
    assert PASSWORD not in result.all


@pytest.mark.parametrize("arguments", [["run"], ["validate"], ["run", "--select", "people"]])
def test_target_of_others_is_left_alone(
    sample_url: str, target_url: str, arguments: list[str]
) -> None:
    with psycopg.connect(target_url) as connection:
        connection.execute("CREATE TABLE theirs (id int); INSERT INTO theirs VALUES (1)")
    result = call(*arguments, **{SOURCE_URL.name: sample_url, TARGET_URL.name: target_url})
    assert result.code == COULD_NOT_RUN
    assert "public.theirs" in result.line
    assert "nothing was touched" in result.line
    assert tables_of(target_url) == ["public.theirs"]


@pytest.mark.parametrize("arguments", [["validate"], ["summary"], ["run", "--select", "people"]])
def test_target_without_tables_is_one_line(
    sample_url: str, target_url: str, arguments: list[str]
) -> None:
    result = call(*arguments, **{SOURCE_URL.name: sample_url, TARGET_URL.name: target_url})
    assert result.code == COULD_NOT_RUN
    assert "nothing was migrated to it yet" in result.line
    assert tables_of(target_url) == []


@pytest.mark.parametrize(
    ("module", "name", "newest", "what"),
    [
        ("migration_assets.target.connection", "OLDEST_VERSION", 990_000, "PostgreSQL"),
        ("migration_assets.source.connection", "OLDEST_MAJOR", 99, "MongoDB"),
    ],
)
def test_old_server_is_one_line(
    sample_url: str,
    target_url: str,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    name: str,
    newest: int,
    what: str,
) -> None:
    monkeypatch.setattr(f"{module}.{name}", newest)
    result = call("run", **{SOURCE_URL.name: sample_url, TARGET_URL.name: target_url})
    assert result.code == COULD_NOT_RUN
    assert re.search(rf"the server is {what} \d[\d.]*; \d+ or newer is needed", result.line)
    assert tables_of(target_url) == []


@pytest.mark.parametrize("select", ["Nobody", "people,Nobody", "", "People"])
def test_unknown_table_is_one_line(migrated: Migrated, select: str) -> None:
    result = call("run", "--select", select, **migrated.variables)
    assert result.code == COULD_NOT_RUN
    assert "there is no table" in result.line


def test_dagster_storage_out_of_reach_is_one_line(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As often as ever, but without twelve seconds of waits in between.
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0.0)
    storage = f"postgresql+psycopg2://u:{PASSWORD}@{UNREACHABLE}/dagster"
    variables = {"DAGSTER_HOME": str(ROOT), DAGSTER_URL.name: storage}
    result = call("run", **migrated.variables, **variables)
    assert result.code == COULD_NOT_RUN
    assert DAGSTER_URL.name in result.line
    assert PASSWORD not in result.all


def test_unexpected_error_is_no_verdict_and_holds_no_value(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"{SECRET_PREFIX}of a document")

    monkeypatch.setattr(running, "run_job", broken)
    result = call("run", **migrated.variables)
    assert result.code == COULD_NOT_RUN
    assert "unexpected ValueError" in result.error.splitlines()[-1]
    assert "in broken" in result.error
    assert SECRET_PREFIX not in result.all


def test_crash_of_the_sign_off_is_not_the_verdict_of_an_earlier_run(
    migrated: Migrated, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"{SECRET_PREFIX}of a document")

    monkeypatch.setattr("migration_assets.assets.sign_off.sign", broken)
    result = call("run", **migrated.variables)
    assert result.code == COULD_NOT_RUN
    assert "unexpected ValueError" in result.line
    assert "GO" not in result.out.splitlines()[-1]
    assert SECRET_PREFIX not in result.all


@pytest.mark.server
def test_server_that_dies_half_way_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = EmbeddedServers(tmp_path / "home", durable=False)
    later = "teams"
    started = ConsoleProgress.started
    kills = [servers.kill_mongod, servers.kill_postgres]

    def killing(self: ConsoleProgress, table: str) -> None:
        started(self, table)
        if table == later and kills:
            kills.pop(0)()

    monkeypatch.setattr(ConsoleProgress, "started", killing)
    monkeypatch.setitem(open_source.__wrapped__.__kwdefaults__, "timeout", 2.0)  # type: ignore[attr-defined]
    with servers as urls:
        fill(urls.mongodb_url, documents())
        variables = {SOURCE_URL.name: urls.mongodb_url, TARGET_URL.name: urls.postgres_url}
        for where in (f"MongoDB at {redacted(urls.mongodb_url)}", "PostgreSQL at postgresql://"):
            result = call("run", **variables, **{ATTEMPTS.name: "1"})
            assert result.code == COULD_NOT_RUN
            assert result.line.startswith(f"error: {where}")
            assert password_of(urls.postgres_url) not in result.all
            assert not re.search(r"^(NO-)?GO", result.out, flags=re.MULTILINE)

            servers.start()
            with psycopg.connect(urls.postgres_url) as connection:
                assert connection.execute(f'SELECT count(*) FROM "{later}"').fetchone() == (0,)
                assert connection.execute("SELECT count(*) FROM categories").fetchone() != (0,)


def test_interrupted_run_is_one_line(migrated: Migrated) -> None:
    process = spawn("run", **migrated.variables)
    assert process.stdout is not None
    process.stdout.readline()  # it has begun with the tables
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == COULD_NOT_RUN
    (line,) = error.strip().splitlines()
    assert line.startswith("error: ")
    assert "interrupted" in line
    assert not re.search(r"^(NO-)?GO", out, flags=re.MULTILINE)


@pytest.mark.parametrize("name", [SOURCE_URL.name, TARGET_URL.name])
def test_demo_does_not_touch_the_users_servers(migrated: Migrated, name: str) -> None:
    result = call("demo", "--scale", "0.01", **{name: migrated.variables[name]})
    assert result.code == COULD_NOT_RUN
    assert name in result.line
    assert password_of(migrated.target_url) not in result.all


@pytest.mark.parametrize("command", ["demo", "sample"])
def test_a_history_takes_no_other_faults(command: str) -> None:
    result = call(command, "--history", "--dirty", "0.1")
    assert result.code == COULD_NOT_RUN
    assert "--history" in result.line
    assert "--dirty" in result.line


@pytest.mark.parametrize("command", ["demo", "sample"])
@pytest.mark.parametrize(
    ("option", "value"), [("--dirty", "5"), ("--dirty", "-1"), ("--scale", "0")]
)
def test_a_number_out_of_range_is_refused_by_name(command: str, option: str, value: str) -> None:
    result = call(command, option, value)
    assert result.code == COULD_NOT_RUN
    assert option in result.all
    assert "Traceback" not in result.all
    assert "unexpected" not in result.all


def test_ui_outside_of_the_project_is_one_line(migrated: Migrated) -> None:
    result = call("ui", **migrated.variables, **{DAGSTER_URL.name: "postgresql+psycopg2://nowhere"})
    assert result.code == COULD_NOT_RUN
    assert "workspace.yaml" in result.line


@pytest.mark.usefixtures("nextcrm")
def test_sql_writes_the_ddl(tmp_path: Path) -> None:
    result = call("sql", str(tmp_path / "made"))
    assert result.code == 0
    written_files = {path.name: path.read_text() for path in (tmp_path / "made").glob("*.sql")}
    assert written_files == files(NEXTCRM)
    printed = {Path(line).name for line in result.out.splitlines()}
    assert printed >= files(NEXTCRM).keys()


def test_version() -> None:
    assert re.fullmatch(r"migration-assets \d+\.\d+\.\d+\n", call("--version").out)


@pytest.mark.server
def test_servers_start_and_stop_and_leave_nothing_running(tmp_path: Path) -> None:
    home = {"MIGRATION_ASSETS_HOME": str(tmp_path / "home")}
    before = call("servers", "status", **home)
    assert before.out == "postgres: is stopped\nmongod: is stopped\n"
    try:
        started = command("servers", "start", **home)
        assert (started.code, started.error.count("error")) == (0, 0)
        status = call("servers", "status", **home)
        pids = [int(pid) for pid in re.findall(r"runs as process (\d+) on port \d+", status.out)]
        assert len(pids) == 2
        assert all(Path("/proc", str(pid)).exists() for pid in pids)
        urls = call("servers", "urls", **home)
        exported = dict(re.findall(r"^export (\w+)='(.+)'$", urls.out, flags=re.MULTILINE))
        assert set(exported) == {SOURCE_URL.name, TARGET_URL.name, DAGSTER_URL.name}
        # Only `urls` is for a shell; what is for people shows no password.
        assert password_of(exported[TARGET_URL.name]) not in started.all + status.all
    finally:
        stopped = command("servers", "stop", **home)
    assert (stopped.code, stopped.all) == (0, "")
    assert call("servers", "status", **home).out == before.out
    assert processes_naming(tmp_path) == []


@pytest.mark.usefixtures("nextcrm")
def test_faulty_demo_lists_what_was_lost_and_is_go_by_the_command_that_it_names(
    servers: Urls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(servers) as urls:
        monkeypatch.setattr(EmbeddedServers, "start", lambda _: urls)
        monkeypatch.setattr(EmbeddedServers, "urls", urls)
        monkeypatch.setenv(DAGSTER_URL.name, urls.dagster_url)  # the demo sets it where it is unset
        faulty = call("demo", "--scale", "0.01", "--dirty", "0.0001")
        assert (faulty.code, faulty.error) == (NO_GO, "")
        assert re.search(r"^NO-GO after", faulty.out, flags=re.MULTILINE)
        decisions = re.search(r"^(\d+) decisions left until GO", faulty.out, re.MULTILINE)
        assert decisions is not None
        numbered = re.findall(r"^ +(\d+) \d", faulty.out, re.MULTILINE)
        assert len(numbered) == min(int(decisions[1]), 20)
        rules = re.findall(r"^ +- (\{name: .*\})$", faulty.out, re.MULTILINE)
        assert len(rules) >= len(numbered)
        assert re.search(
            r"^! \d+ checks only warned: nothing is lost there", faulty.out, re.MULTILINE
        )
        # Losses are listed by cause, and not a second time as checks that failed.
        assert re.findall(r"^✗ .*", faulty.out, re.MULTILINE) == []
        (named,) = re.findall(r"^\S+ (run --remediations \S+)$", faulty.out, re.MULTILINE)
        corrected = call(*named.split())
    assert (corrected.code, corrected.error) == (GO, "")
    assert re.search(r"^✓ remediated [\d,]+ values? of \S+ by rule", corrected.out, re.MULTILINE)
    assert re.search(r"^✓ accepted [\d,]+ losses of \S+ by rule", corrected.out, re.MULTILINE)
    assert "decisions left" not in corrected.out
    assert SECRET_PREFIX not in faulty.all + corrected.all


def test_decisions_are_readable_on_a_narrow_terminal() -> None:
    rule = "- {name: x, collection: crm_Opportunities_Sales_Stages, match: any, accept: true}"
    findings = [Finding("Boards", "9 values lost", "Decide", rule=rule)] * 22
    output = io.StringIO()
    print_decisions(Console(file=output, width=80), findings)
    assert output.getvalue().startswith("22 decisions left until GO")
    assert output.getvalue().count(f"    {rule}\n") == 20
    assert "and 2 more: the report has all of them" in output.getvalue()


def processes_naming(directory: Path) -> list[str]:
    """Returns the command lines of processes that name a directory."""
    command_lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(directory) in line:
            command_lines.append(line)
    return command_lines
