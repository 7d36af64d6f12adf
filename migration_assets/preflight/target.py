"""Findings about the target: version, settings, what the role may do, what stands in it, free space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from migration_assets.errors import TargetError
from migration_assets.model import Model
from migration_assets.preflight.contents import Content
from migration_assets.preflight.findings import Area, PreflightFinding, error, ok, warning
from migration_assets.preflight.space import free_bytes
from migration_assets.settings import SERVER_DF
from migration_assets.target.bookkeeping import SCHEMA, STAGING_SCHEMA
from migration_assets.target.catalog import additions, differences
from migration_assets.target.connection import OLDEST_VERSION, Connection, lock_holders
from migration_assets.target.occupants import is_ours, require_own_target
from migration_assets.target.schema import require_own_version, require_plain_tables
from migration_assets.target.session import LOCK_TIMEOUT, SESSION
from migration_assets.text import counted, listed, megabytes

NEWEST_MAJOR = 18
"""The newest PostgreSQL that the project is made for (section 11)."""

SPACE_FACTOR = 3
"""Free space for each byte of BSON: rows, their staged copy, indexes and WAL (operations 1.2, 2.1)."""

_UTC = frozenset({"UTC", "UCT", "GMT", "ZULU", "UNIVERSAL", "GREENWICH"})

_WRITABLE = """
    SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only')::boolean,
           current_setting('server_encoding'),
           (SELECT spcname FROM pg_tablespace WHERE spcname = current_setting('default_tablespace')
            AND NOT has_tablespace_privilege(oid, 'CREATE'))
"""

_SET_ASIDE = frozenset(
    {name for name in SESSION if not name.startswith(("client_", "tcp_", "lc_"))}
    - {"extra_float_digits"}
)
"""What the application may count on; its own sessions keep it."""

_RIGHTS = """
    SELECT rolsuper,
           has_database_privilege(current_database(), 'CREATE'),
           has_database_privilege(current_database(), 'TEMPORARY'),
           has_schema_privilege('public', 'CREATE')
    FROM pg_roles WHERE rolname = current_user
"""

_NOT_OWNED = """
    SELECT n.nspname || '.' || c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT pg_has_role(c.relowner, 'USAGE')
      AND (n.nspname IN (%s, %s) OR n.nspname = 'public' AND c.relname = ANY(%s))
    UNION ALL
    SELECT 'schema ' || nspname FROM pg_namespace
    WHERE nspname IN (%s, %s) AND NOT has_schema_privilege(oid, 'CREATE')
    ORDER BY 1
"""

_EXTENSIONS = """
    SELECT e.name, e.installed_version IS NOT NULL,
           EXISTS (SELECT FROM pg_available_extension_versions v WHERE v.name = e.name
                   AND v.version = e.default_version AND (v.trusted OR NOT v.superuser))
    FROM pg_available_extensions e WHERE e.name = ANY(%s)
"""


def version(connection: Connection) -> Iterator[PreflightFinding]:
    """Yields whether the server's version is one that the project is made for."""
    major = connection.info.server_version // 10_000
    server_version = connection.info.parameter_status("server_version")
    if major <= NEWEST_MAJOR:
        yield ok(Area.TARGET, f"PostgreSQL {server_version}")
    else:
        yield warning(
            Area.TARGET,
            f"PostgreSQL {server_version} is newer than {NEWEST_MAJOR}, the newest that was tried "
            f"({OLDEST_VERSION // 10_000} to {NEWEST_MAJOR})",
            "Rehearse and look at the checks, or use an older server",
        )


def settings(connection: Connection) -> Iterator[PreflightFinding]:
    """Yields whether the database takes writes, and every text; and which of its settings we set aside."""
    row = connection.execute(_WRITABLE).fetchone()
    assert row is not None
    is_standby, is_read_only, encoding, tablespace = row
    if is_standby:
        yield error(Area.TARGET, "the server is a standby", "Give the primary server")
    elif is_read_only:
        yield error(
            Area.TARGET,
            "transactions are read-only by default (default_transaction_read_only)",
            "ALTER DATABASE … SET default_transaction_read_only = off, or of the role; a provider sets it "
            "when the disk is full",
        )
    if tablespace is not None:
        yield error(
            Area.TARGET,
            f"new tables go to the tablespace {tablespace} (default_tablespace), which the role may not use",
            "GRANT CREATE ON TABLESPACE … TO the role, or ALTER ROLE … RESET default_tablespace",
        )
    others = [
        name
        for name, value in connection.execute(
            "SELECT name, reset_val FROM pg_settings WHERE reset_val <> boot_val AND name = ANY(%s)",
            [[*_SET_ASIDE]],
        )
        if name != "TimeZone" and value
    ]
    if others:
        yield ok(
            Area.TARGET, f"set by role, database or server, and set aside by us: {listed(others)}"
        )
    if encoding == "UTF8":
        yield ok(Area.TARGET, "encoding UTF8")
    else:
        yield error(
            Area.TARGET,
            f"the database's encoding is {encoding}, which cannot hold every text",
            "Create the database with ENCODING 'UTF8' TEMPLATE template0",
        )


def time_zone(connection: Connection) -> Iterator[PreflightFinding]:
    """Yields whether sessions of the application get UTC: CURRENT_TIMESTAMP is a default of columns.

    Our own sessions are always UTC, so what they would have without that is asked.
    """
    row = connection.execute("SELECT reset_val FROM pg_settings WHERE name = 'TimeZone'").fetchone()
    zone = str(row[0]) if row is not None else "unknown"
    if zone.upper().removeprefix("ETC/") in _UTC:
        yield ok(Area.TARGET, f"time zone {zone}")
    else:
        yield warning(
            Area.TARGET,
            f"sessions get the time zone {zone}; the columns hold UTC, and the application's defaults "
            "would write local time into them",
            f"ALTER DATABASE \"{connection.info.dbname}\" SET timezone = 'UTC'",
        )


def rights(model: Model, connection: Connection) -> Iterator[PreflightFinding]:
    """Yields whether the role may create what the migration creates, and owns what there is of it."""
    row = connection.execute(_RIGHTS).fetchone()
    assert row is not None
    is_superuser, schemas, temporary, public = row
    lacking = [
        name
        for name, has in (
            ("CREATE on the database", schemas or _schemas_exist(connection)),
            ("TEMPORARY on the database", temporary),
            ("CREATE on the schema public", public),
        )
        if not has
    ]
    next_step = "Let the role own the database (sql/roles/postgres.sql)"
    if lacking:
        yield error(Area.TARGET_ACCESS, f"the role lacks {', '.join(lacking)}", next_step)
    ours = (SCHEMA, STAGING_SCHEMA)
    not_owned = [
        name
        for (name,) in connection.execute(_NOT_OWNED, [*ours, list(model.tables), *ours]).fetchall()
    ]
    if not_owned:
        yield error(
            Area.TARGET_ACCESS,
            f"{counted(len(not_owned), 'table')} or schemas belong to another role: {listed(not_owned)}",
            "Run as the role that migrated before, or REASSIGN OWNED BY it TO this one",
        )
    if lacking or not_owned:
        return
    if is_superuser:
        yield ok(
            Area.TARGET_ACCESS,
            "the role may do everything: it is a superuser",
            "A role that owns the database suffices (sql/roles/postgres.sql)",
        )
    else:
        yield ok(Area.TARGET_ACCESS, "the role may create schemas, tables and types")


def _schemas_exist(connection: Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_namespace WHERE nspname IN (%s, %s)", [SCHEMA, STAGING_SCHEMA]
    ).fetchone()
    return row == (2,)


def extensions(model: Model, connection: Connection) -> Iterator[PreflightFinding]:
    """Yields the extensions that will be missing: the application uses them later."""
    row = connection.execute(_RIGHTS).fetchone()
    assert row is not None
    is_superuser, may_create, *_ = row
    available = {
        name: is_installed or is_superuser or (may_create and is_trusted)
        for name, is_installed, is_trusted in connection.execute(
            _EXTENSIONS, [list(model.extensions)]
        )
    }
    unavailable = [name for name in model.extensions if name not in available]
    forbidden = [name for name, can in available.items() if not can]
    if unavailable:
        yield warning(
            Area.TARGET,
            f"the server does not have the extensions {listed(unavailable)}",
            "Install their packages on the server where the application needs them; the migration does not",
        )
    if forbidden:
        yield warning(
            Area.TARGET_ACCESS,
            f"the role may not create the extensions {listed(forbidden)}",
            "Have a superuser create them (sql/roles/postgres.sql); the migration goes on without them",
        )
    if not unavailable and not forbidden:
        yield ok(Area.TARGET, f"extensions {', '.join(model.extensions)}")


def content(model: Model, connection: Connection) -> Iterator[PreflightFinding]:
    """Yields whether the database is empty, or ours and as the model has it."""
    try:
        prepared = require_own_target(model, connection)
        require_own_version(connection)
        require_plain_tables(connection, model.tables.values())
    except TargetError as refusal:
        yield error(Area.CONTENT, refusal.what, refusal.next_step)
        return
    if not is_ours(connection):
        yield ok(
            Area.CONTENT,
            f"{counted(len(prepared), 'table')} of the application stand ready, as in the model and empty"
            if prepared
            else "the database is empty",
        )
        return
    differing = differences(model, connection)
    if differing:
        yield error(
            Area.CONTENT,
            f"the tables differ from the model: {listed(differing)}",
            "Migrate into an empty database, or put the tables right",
        )
    else:
        yield ok(
            Area.CONTENT,
            "the database was migrated to before; the run brings it up to date with the source",
        )


def constraints(model: Model, connection: Connection) -> Iterator[PreflightFinding]:
    """Yields what somebody has added to the tables that may refuse a row."""
    added = additions(model, connection)
    if added:
        yield warning(
            Area.CONTENT,
            f"{counted(len(added), 'constraint')} that the model lacks may refuse a row: {listed(added)}",
            "Drop them until the sign-off where a rehearsal fails on one",
        )


def locks(connection: Connection) -> Iterator[PreflightFinding]:
    """Yields who holds tables now: what waits for one longer than the limit ends the run."""
    holders = lock_holders(connection)
    if holders:
        yield warning(
            Area.CONTENT,
            f"tables are held by {'; '.join(holders)}",
            "Stop the application, or end these sessions: a statement that waits for a table longer than "
            f"{LOCK_TIMEOUT} ends the run",
        )


def space(connection: Connection, held: Mapping[str, Content]) -> Iterator[PreflightFinding]:
    """Yields whether the target has space for the source, where that can be known."""
    size = sum(of_collection.size for of_collection in held.values())
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    used = int(row[0]) if row is not None and is_ours(connection) else 0
    # What an earlier run has filled is not needed a second time, but the staged copy is.
    needed = max(SPACE_FACTOR * size - used, size)
    need_in_words = (
        f"needed are about {megabytes(needed)} ({SPACE_FACTOR} times {megabytes(size)} of documents"
    )
    need_in_words += f", less {megabytes(used)} of an earlier run)" if used else ")"
    free = free_bytes(connection)
    if free is None:
        yield warning(
            Area.SPACE,
            f"the free space cannot be known from here; {need_in_words}",
            f"Look on the server with `df -h` at the data directory; {SERVER_DF.name}=on runs `df` "
            "there, where the role may run programs",
        )
    elif free >= needed:
        yield ok(Area.SPACE, f"{megabytes(free)} are free; {need_in_words}")
    else:
        level = error if free + used < size else warning
        yield level(
            Area.SPACE,
            f"only {megabytes(free)} are free; {need_in_words}",
            "Give the server more space",
        )
