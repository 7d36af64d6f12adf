"""Sessions of the target: whatever role, database, URL and environment say, the same rows arrive."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from migration_assets.embedded import Urls
from migration_assets.errors import TargetError
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.preflight import target as on_target
from migration_assets.preflight.findings import Level
from migration_assets.source.connection import open_source
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.connection import Connection, open_target, reported, sibling
from migration_assets.target.refusals import next_step
from migration_assets.target.schema import build_constraints, roomy
from migration_assets.target.session import SESSION
from migration_assets.target.url import notes_on, understood
from migration_assets_tests.support.loaded_sample import database_copy, load_everything

HOSTILE = {
    "statement_timeout": "50ms",
    "transaction_timeout": "60ms",
    "idle_in_transaction_session_timeout": "50ms",
    "idle_session_timeout": "50ms",
    "lock_timeout": "1ms",
    "exit_on_error": "on",
    "search_path": "pg_catalog",
    "row_security": "on",
    "session_replication_role": "replica",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "client_encoding": "LATIN1",
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "xmloption": "document",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "escape_string_warning": "off",
    "quote_all_identifiers": "on",
    "synchronous_commit": "off",
    "maintenance_work_mem": "300MB",
}
"""Settings of a database that a strict administrator, or an old one, has."""


@pytest.fixture
def hostile_url(servers: Urls, empty_tables: str) -> Iterator[str]:
    """A database with the schema and with settings that would change rows."""
    with database_copy(servers, empty_tables) as url:
        with psycopg.connect(url, autocommit=True) as admin:
            known = {name for (name,) in admin.execute("SELECT name FROM pg_settings")}
            for name, value in HOSTILE.items():
                if name in known:
                    admin.execute(
                        sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                            sql.Identifier(admin.info.dbname),
                            sql.Identifier(name),
                            sql.Literal(value),
                        )
                    )
        yield url


def contents(url: str) -> dict[str, list[tuple[str]]]:
    """Every row of the application's tables, and of the books, as text."""
    with open_target(url) as connection:
        return {
            name: connection.execute(
                sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(identifier)
            ).fetchall()
            for name, identifier in (
                *((name, sql.Identifier("public", name)) for name in TABLES),
                *(
                    (name, sql.Identifier(SCHEMA, name))
                    for name in ("uuid_map", "issues", "rejected_documents")
                ),
            )
        }


def test_settings_of_the_database_change_nothing_that_arrives(
    small_migration: Urls, hostile_url: str
) -> None:
    with open_source(small_migration.mongodb_url) as source, open_target(hostile_url) as target:
        time.sleep(0.1)  # longer than each of its timeouts
        load_everything(source, target)
        build_constraints(NEXTCRM, target)
    assert contents(hostile_url) == contents(small_migration.postgres_url)


def test_every_session_has_the_settings_of_the_list(hostile_url: str) -> None:
    with open_target(hostile_url) as connection, sibling(connection) as another:
        for session in (connection, another):
            values = dict(session.execute("SELECT name, current_setting(name) FROM pg_settings"))
            expected = {**SESSION, "synchronous_commit": "on"}
            assert {name: values[name] for name in expected if name in values} == {
                name: value for name, value in expected.items() if name in values
            }
            assert values["maintenance_work_mem"] == "300MB"
        texts = [finding.what for finding in on_target.settings(connection)]
    assert any("set aside" in text and "DateStyle" in text for text in texts)


@pytest.mark.parametrize(("before", "within"), [("64MB", "256MB"), ("2GB", "2GB")])
def test_memory_for_indexes_is_raised_and_never_lowered(
    schema: Connection, before: str, within: str
) -> None:
    schema.execute("SELECT set_config('maintenance_work_mem', %s, true)", [before])
    with roomy(schema):
        assert schema.execute("SHOW maintenance_work_mem").fetchone() == (within,)


def test_triggers_that_a_role_has_off_are_named(servers: Urls) -> None:
    parts = urlsplit(servers.postgres_url)
    with open_target(servers.postgres_url) as admin:
        admin.execute("DROP ROLE IF EXISTS replica; CREATE ROLE replica LOGIN PASSWORD 'p'")
        admin.execute("ALTER ROLE replica SET session_replication_role = replica")
        url = parts._replace(netloc=f"replica:p@{parts.hostname}:{parts.port}").geturl()
        with (
            pytest.raises(TargetError, match="session_replication_role is not origin"),
            open_target(url),
        ):
            pass
        admin.execute("DROP ROLE replica")


def test_a_read_only_default_is_named_and_not_overridden(target_url: str) -> None:
    change = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
        sql.Identifier(urlsplit(target_url).path[1:])
    )
    with psycopg.connect(target_url, autocommit=True) as admin:
        admin.execute(change)
    with open_target(target_url) as connection:
        (finding,) = [
            finding for finding in on_target.settings(connection) if finding.level is Level.ERROR
        ]
    assert "default_transaction_read_only" in finding.what
    with (
        pytest.raises(TargetError, match=r"25006.*default_transaction_read_only = off"),
        open_target(target_url) as connection,
    ):
        connection.execute("CREATE TABLE t (a int)")


# --- URLs ---------------------------------------------------------------------------------------

HOST = "postgresql://u:p@127.0.0.1:5432/d"


def parameters(url: str) -> dict[str, str]:
    return {k: str(v) for k, v in conninfo_to_dict(understood(url, timeout=10).conninfo).items()}


def test_prismas_parameters_are_understood_or_noted() -> None:
    url = f"{HOST}?schema=public&connection_limit=5&pool_timeout=0&pgbouncer=true&sslmode=require"
    arguments = parameters(f"{url}&sslaccept=strict&sslcert=ca.pem&connect_timeout=3")
    assert not arguments.keys() & {
        "schema",
        "connection_limit",
        "pgbouncer",
        "sslaccept",
        "sslcert",
    }
    assert (arguments["sslmode"], arguments["sslrootcert"]) == ("verify-full", "ca.pem")
    assert arguments["connect_timeout"] == "3"
    notes = "; ".join(notes_on(url))
    assert "this is a pooler" in notes
    assert "connection_limit is ignored" in notes
    assert "pool_timeout is ignored" in notes
    assert notes_on(HOST) == ()


def test_libpqs_own_parameters_are_kept() -> None:
    query = (
        "sslcert=me.crt&sslkey=me.key&keepalives_idle=7&options=-c%20role%3Downer%20-c%20a.b%3D1+2"
    )
    arguments = parameters(f"{HOST}?{query}")
    assert (arguments["sslcert"], arguments["sslkey"], arguments["keepalives_idle"]) == (
        "me.crt",
        "me.key",
        "7",
    )
    assert arguments["options"] == "-c role=owner -c a.b=1+2"
    assert (arguments["keepalives_interval"], arguments["tcp_user_timeout"]) == ("10", "60000")
    assert arguments["application_name"] == "migration-assets"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p?w#x@h/d?sslmode=prefer", {"password": "p?w#x", "sslmode": "prefer"}),
        ("postgresql+psycopg2://u@[::1]:7/d", {"host": "::1", "port": "7"}),
        ("postgresql:///d?host=/tmp", {"host": "/tmp", "dbname": "d"}),
        ("postgresql://u@%2Ftmp/d?ssl=true", {"host": "/tmp", "sslmode": "require"}),
        ("postgresql://h/d?ssl=false&uselibpqcompat=true&user=u", {"user": "u", "host": "h"}),
    ],
)
def test_urls_are_read_as_libpq_reads_them(url: str, expected: dict[str, str]) -> None:
    assert expected.items() <= parameters(url).items()
    assert not parameters(url).keys() & {"ssl", "uselibpqcompat"}


def test_of_several_hosts_the_primary_is_taken() -> None:
    arguments = parameters("postgresql://u:p@a:1,b:2/d?load_balance_hosts=random")
    assert (arguments["host"], arguments["target_session_attrs"]) == ("a,b", "primary")
    assert "load_balance_hosts" not in arguments
    assert "target_session_attrs" not in parameters(HOST)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{HOST}?schema=crm", "schema=crm is asked for"),
        (f"{HOST}?sslidentity=me.p12", "sslidentity"),
        (f"{HOST}?sslaccept=maybe", "sslaccept"),
        (f"{HOST}?target_session_attrs=prefer-standby", "takes no writes"),
        (f"{HOST}?datetime_conversion=x", "datetime_conversion"),
        (f"{HOST}?autocommit=false", "autocommit"),
        (f"{HOST}?sslmode", "has no value"),
        (f"{HOST}?connect_timeout=soon", "connect_timeout"),
        ("postgresql://u:p@h:99999/d", "99999 is no port"),
        ("postgresql://u:p@h:abc/d", "abc is no port"),
        ("postgresql://u:p@h:5432/", "names no database"),
        ("postgresql://u:p@h", "names no database"),
        ("postgresql://u:%FF@h/d", "cannot be read"),
        ("postgresql://u:\udcff@h/d", "cannot be read"),
        ("postgresql://u:%00@h/d", "forbidden value"),
        ("postgresql://u:p@[::1/d", "matching"),
        ("mysql://u:p@h/d", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line(url: str, expected: str) -> None:
    with pytest.raises(TargetError) as raised, open_target(url):
        pass
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert ":p@" not in str(raised.value)
    assert "server runs" not in raised.value.next_step
    assert not raised.value.is_transient


@pytest.mark.parametrize(
    ("change", "expected", "fitting"),
    [
        ({"query": "sslmode=no-verify"}, "no-verify", "sslmode"),
        ({"query": "sslmode=verify-full&sslrootcert=/nowhere"}, "", "sslrootcert"),
        ({"query": "keepalives_idle=abc"}, "keepalives_idle", "Correct it"),
        ({"query": "service=nope"}, "nope", "PGSERVICEFILE"),
        ({"query": "options=-c%20role%3Dnope"}, '"nope" does not exist', "role in its options"),
        ({"query": "options=-c%20nope%3D1"}, "nope", "Correct options"),
        ({"path": "/nope"}, '"nope" does not exist', "Create the database"),
        ({"password": "wrong"}, "authentication failed", "password"),
        ({"host": "x" * 70}, "", "name of the host"),
        ({"host": "%2Fnowhere"}, "/nowhere", "server runs"),
    ],
)
def test_each_refusal_of_a_connection_has_its_own_next_step(
    servers: Urls, change: dict[str, str], expected: str, fitting: str
) -> None:
    server_parts = urlsplit(servers.postgres_url)
    host, password = (
        change.get("host", server_parts.hostname),
        change.get("password", server_parts.password),
    )
    parts = {name: value for name, value in change.items() if name in ("path", "query")}
    netloc = f"postgres:{password}@{host}:{server_parts.port}"
    with (
        pytest.raises(TargetError) as raised,
        open_target(server_parts._replace(netloc=netloc, **parts).geturl()),
    ):
        pass
    assert expected in raised.value.what
    assert fitting in raised.value.next_step
    assert raised.value.is_transient is ("server runs" in fitting)
    assert server_parts.password
    assert server_parts.password not in str(raised.value)


def test_a_password_may_hold_every_character(servers: Urls) -> None:
    password = "p@ss/wört%:?#& '\\\"=+"
    with open_target(servers.postgres_url) as admin:
        admin.execute("DROP ROLE IF EXISTS odd_password")
        admin.execute(
            sql.SQL("CREATE ROLE odd_password LOGIN PASSWORD {}").format(sql.Literal(password))
        )
        parts = urlsplit(servers.postgres_url)
        netloc = f"odd_password:{quote(password, safe='')}@{parts.hostname}:{parts.port}"
        with open_target(parts._replace(netloc=netloc).geturl()) as connection:
            assert connection.info.user == "odd_password"
        admin.execute("DROP ROLE odd_password")


@pytest.mark.parametrize("place", ["URL", "PGOPTIONS", "both"])
def test_a_role_of_the_options_holds_for_every_session(
    target_url: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with open_target(target_url) as admin:
        admin.execute("DROP ROLE IF EXISTS owner_of_all; CREATE ROLE owner_of_all")
    option = "-c role=owner_of_all"
    if place != "URL":
        monkeypatch.setenv("PGOPTIONS", option)
    in_url = {"URL": option, "PGOPTIONS": "", "both": "-c work_mem=5MB"}[place]
    url = target_url + (f"?options={quote(in_url)}" if in_url else "")
    with open_target(url) as connection, sibling(connection) as another:
        for session in (connection, another):
            assert session.execute("SELECT current_user").fetchone() == ("owner_of_all",)
            work_mem = session.execute("SHOW work_mem").fetchone()
            assert work_mem == ("5MB" if place == "both" else "4MB",)
    monkeypatch.delenv("PGOPTIONS", raising=False)
    with open_target(target_url) as admin:
        admin.execute("DROP ROLE owner_of_all")


# --- Refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "fitting"),
    [
        ("42501", "Let the role own"),
        ("42P01", "differs"),
        ("42703", "differs"),
        ("42804", "differs"),
        ("57014", "statement_timeout"),
        ("57P01", "server runs"),
        ("55P03", "End that session"),
        ("25006", "read_only"),
        ("53300", "connections"),
        ("53100", "disk space"),
        ("28P01", "password"),
        ("23514", "constraint"),
        ("22P02", "server's log"),
        ("22021", "ENCODING 'UTF8'"),
        ("F0000", "server's log"),
    ],
)
def test_each_sqlstate_has_a_next_step_that_fits(state: str, fitting: str) -> None:
    assert fitting in next_step(state)


def test_the_holder_of_a_table_is_named(target: Connection, tables_url: str) -> None:
    with psycopg.connect(tables_url, application_name="the app") as app:
        app.execute('LOCK TABLE "Users" IN ROW EXCLUSIVE MODE')
        target.execute("SET lock_timeout = '10ms'")
        with (
            pytest.raises(TargetError) as raised,
            reported("here", target),
            target.transaction(),
        ):
            target.execute('LOCK TABLE "Users"')
        pid = app.info.backend_pid
    assert f"held by process {pid} (the app, user postgres, in a transaction since" in str(
        raised.value
    )
    assert "on Users" in raised.value.what


# --- Poolers ------------------------------------------------------------------------------------

MODES = ("session", "transaction", "statement")


@pytest.fixture(scope="module")
def pooler(servers: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a pgbouncer, but for the database: one for each mode of pooling."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    directory = tmp_path_factory.mktemp("pooler")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = urlsplit(servers.postgres_url)
    users, configuration = directory / "users", directory / "pgbouncer.ini"
    users.write_text(f'"{server.username}" "{server.password}"')
    place = f"host=127.0.0.1 port={server.port} dbname={server.path[1:]}"
    configuration.write_text(
        "[databases]\n"
        + "".join(f"{mode} = {place} pool_mode={mode}\n" for mode in MODES)
        + f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = plain\nauth_file = {users}\n"
    )
    # It does not run as root, and reads its files once more as that account.
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    for path in (users, configuration, directory, *directory.parents):
        with suppress(OSError):
            path.chmod(path.stat().st_mode | (0o044 if path.is_file() else 0o011))
    command = [program, "-q", *account, str(configuration)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as running:
        try:
            _wait_for(port)
            yield f"postgresql://{server.username}:{server.password}@127.0.0.1:{port}"
        finally:
            running.kill()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    pytest.skip("pgbouncer does not start here")


def test_a_pooler_that_keeps_sessions_is_as_good_as_the_server(pooler: str) -> None:
    with open_target(f"{pooler}/session?pgbouncer=true") as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row != (connection.info.backend_pid,)
        with sibling(connection) as another:
            assert another.execute("SHOW statement_timeout").fetchone() == ("0",)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_keeps_no_session_is_refused(pooler: str, mode: str) -> None:
    with (
        pytest.raises(TargetError, match=r"pooler that keeps no session.*direct address"),
        open_target(f"{pooler}/{mode}"),
    ):
        pass


def test_a_pooler_that_takes_no_options_is_recognized(pooler: str) -> None:
    url = f"{pooler}/session?options=-c%20role%3Dpg_monitor"
    with pytest.raises(TargetError, match="a pooler, which takes no options"), open_target(url):
        pass
