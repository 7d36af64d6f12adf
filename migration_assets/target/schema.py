"""Creating the schema in a target that is empty or ours, and its constraints after the load."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import LiteralString

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.pq import TransactionStatus

from migration_assets.errors import TargetError
from migration_assets.model import Model
from migration_assets.target import ddl
from migration_assets.target.bookkeeping import SCHEMA
from migration_assets.target.catalog import (
    differences,
    differing_constraints,
    is_unbounded,
    missing_constraints,
    obstacles,
)
from migration_assets.target.connection import Connection, sibling
from migration_assets.target.created import present_objects, record_created
from migration_assets.target.lock import hold_too
from migration_assets.target.occupants import require_own_target
from migration_assets.target.ownership import refused_to_create, standing_go
from migration_assets.target.statistics import largest_first, stale_statistics

_ROOM = """
    SELECT set_config('maintenance_work_mem', '256MB', true)
    WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('256MB')
"""
"""Never less than the server's administrator has given."""

MOST = 8
"""Connections that build indexes, each with that much memory."""

_BOOKKEEPING = """
    SELECT obj_description(n.oid, 'pg_namespace') FROM pg_namespace n
    WHERE n.nspname = %s AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid)
"""


@dataclass(frozen=True, slots=True)
class Built:
    """The constraints that were added to the target, by name."""

    indexes: tuple[str, ...]
    foreign_keys: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """Indexes that a value is too long for."""
    analyzed: tuple[str, ...] = ()
    """Tables whose statistics were gathered."""


@dataclass(frozen=True, slots=True)
class _Work:
    """The work on one table."""

    table: str
    is_stale: bool
    indexes: tuple[str, ...]


def create_schema(model: Model, connection: Connection) -> tuple[str, ...]:
    """Creates enums, tables and bookkeeping where they are missing, in one transaction.

    Returns:
        The extensions that could not be created: the application uses them later, the migration does not.

    Raises:
        TargetError: The target holds tables that are not this project's, its bookkeeping is another
            version's, or its tables differ from the model. Nothing was changed then.
    """
    prepared = require_own_target(model, connection)
    require_own_version(connection)
    require_plain_tables(connection, model.tables.values())
    statements = [*ddl.extensions(model), *ddl.enums(model), *ddl.tables(model), *ddl.bookkeeping()]
    with connection.transaction():
        connection.execute("SET LOCAL client_min_messages = warning")
        before = present_objects(connection)
        for statement in statements:
            connection.execute(_trusted(statement))
        created = record_created(model, connection, before)
        record_created(model, connection, before, prepared)
        differing = differences(model, connection)
        if (created or differing) and (signed := standing_go(connection)) is not None:
            what = ", ".join(map(str, created)) or "; ".join(differing[:5])
            raise refused_to_create(connection, signed, what)
        if differing:
            raise TargetError(
                f"the tables differ from the model: {'; '.join(differing[:5])} ({len(differing)} in all)",
                where=f"database {connection.info.dbname}",
                next_step="Migrate into an empty database, or put the tables right",
            )
        rows = connection.execute("SELECT extname FROM pg_extension").fetchall()
    return tuple(name for name in model.extensions if (name,) not in rows)


def require_plain_tables(connection: Connection, tables: Iterable[sa.Table]) -> None:
    """Refuses tables with obstacles that would change rows, refuse or hide them.

    Raises:
        TargetError: A table has an obstacle; nothing was written.
    """
    hindrances = obstacles(connection, tables)
    if hindrances:
        listed = "; ".join(obstacle.what for obstacle in hindrances[:3])
        more = f" ({len(hindrances)} in all)" if len(hindrances) > 3 else ""
        raise TargetError(
            f"rows would not arrive as they are: {listed}{more}",
            where=f"database {connection.info.dbname}",
            next_step="; ".join(dict.fromkeys(obstacle.way_out for obstacle in hindrances[:3]))
            + ". Nothing was written",
        )


def require_own_version(connection: Connection) -> None:
    """Refuses the bookkeeping of another version; a schema without tables may have been made ahead.

    Raises:
        TargetError: Another version made it.
    """
    row = connection.execute(_BOOKKEEPING, [SCHEMA]).fetchone()
    expected = ddl.BOOKKEEPING_MARK + ddl.bookkeeping_version()
    if row is not None and row != (expected,):
        raise TargetError(
            f"the schema {SCHEMA} was made by another version of this program",
            where=f"database {connection.info.dbname}",
            next_step="Where the target may be filled anew, as after a rehearsal: `migration-assets "
            "rollback`, then `migration-assets run`. Else go on with the version that made it",
        )


def build_constraints(model: Model, connection: Connection, processes: int = 2) -> Built:
    """Adds the secondary indexes and foreign keys that are missing, and gathers statistics that are stale.

    Connections share the tables, the largest first, since each keeps no more than one core busy. Each
    statement commits by itself, so that a build that was cut off goes on where it stopped. Additions that an
    earlier version built so that they could refuse a value are built anew. An index that a value is too long
    for is left out, and all others are built: a sign-off says no without one of the application's.

    Args:
        model: The application's tables.
        connection: A connection to the target; the only one that works where it is within a transaction.
        processes: How many share a table while it is loaded: as many connections share the tables here, from
            two to eight.

    Raises:
        TargetError: An index or foreign key has a name of the model but is another. Nothing was built then.
    """
    stale = set(stale_statistics(model, connection))
    with connection.transaction():
        differing = differing_constraints(model, connection)
        unbounded = {name for name in differing if is_unbounded(model, name, differing[name])}
        differing = {name: differing[name] for name in differing.keys() - unbounded}
        missing = [*missing_constraints(model, connection), *sorted(unbounded)]
        tables = largest_first(model, connection)
    signed = standing_go(connection)
    additions = ddl.search_indexes(model)
    lacking = [*differing, *(name for name in missing if name not in additions)]
    if signed is not None and lacking:
        raise refused_to_create(connection, signed, ", ".join(lacking[:5]))
    if differing:
        name, definition = next(iter(differing.items()))
        raise TargetError(
            f"{len(differing)} indexes or foreign keys differ from the model, such as {name}, which is "
            f"{definition}",
            where=f"database {connection.info.dbname}",
            next_step="Drop or rename each (a foreign key that is NOT VALID: validate it), then "
            "materialize migration/constraints",
        )
    # After go-live, the application may have dropped an index that this project had added.
    left_out = list(missing) if signed is not None else []
    foreign_keys, table_of = ddl.foreign_keys(model), ddl.tables_of_indexes(model)
    of_table: dict[str, list[str]] = {}
    for name in missing:
        if name in table_of and name not in left_out:
            of_table.setdefault(table_of[name], []).append(name)
    works = deque(
        _Work(name, name in stale, tuple(of_table.get(name, ())))
        for name in tables
        if name in stale or name in of_table
    )
    added = [name for name in missing if name in foreign_keys]
    if works or added:
        with _connections(connection, min(max(processes, 2), MOST)) as connections:
            _at_once(model, connections, works, left_out)
        _add_foreign_keys(model, connection, added)
    built = [name for name in missing if name not in left_out]
    return Built(
        indexes=tuple(name for name in built if name not in foreign_keys),
        foreign_keys=tuple(added),
        left_out=tuple(left_out),
        analyzed=tuple(name for name in tables if name in stale),
    )


@contextmanager
def _connections(connection: Connection, count: int) -> Iterator[Sequence[Connection]]:
    """Yields the connection and others, alone within a transaction: the others would wait for its end."""
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        yield [connection]
        return
    with ExitStack() as stack:
        others = [stack.enter_context(sibling(connection)) for _ in range(count - 1)]
        for other in others:
            hold_too(connection, other)
        yield [connection, *others]


def _at_once(
    model: Model, connections: Sequence[Connection], works: deque[_Work], left_out: list[str]
) -> None:
    """Builds indexes with several connections at the same time; raises the first error at the end.

    Whoever interrupts it, as Dagster does where a run is terminated, need not wait for an index.
    """
    with ThreadPoolExecutor(max_workers=len(connections)) as threads:
        begun = [
            threads.submit(_build_indexes, model, connection, works, left_out)
            for connection in connections
        ]
        try:
            for future in begun:
                future.result()
        except Exception:
            raise
        except BaseException:
            works.clear()
            for connection in connections:
                connection.cancel_safe()
            raise


def _build_indexes(
    model: Model, connection: Connection, works: deque[_Work], left_out: list[str]
) -> None:
    """Works on tables until none is left; notes the indexes that a value is too long for.

    Statistics come before indexes: once a full-text index is there, ANALYZE makes the search vector of
    30,000 rows of the table, which is two fifths of all its time. It would learn how frequent each word is,
    which no plan hangs on: a search takes the index either way, since without it every row's vector would
    have to be made. Autovacuum gathers it when a tenth of the table has changed.
    """
    statements = ddl.constraints(model)
    while True:
        try:
            work = works.popleft()
        except IndexError:
            return
        if work.is_stale:
            connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(work.table)))
        for name in work.indexes:
            try:
                with roomy(connection):
                    # An invalid index would pass for the missing one: CREATE only looks at the name.
                    former = sql.Identifier("public", name)
                    connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(former))
                    connection.execute(_trusted(statements[name]))
            except psycopg.errors.ProgramLimitExceeded:
                left_out.append(name)


def _add_foreign_keys(model: Model, connection: Connection, names: Sequence[str]) -> None:
    """Adds foreign keys, those of a table at once, one table after the other.

    Each holds both its tables, so two connections could block each other.
    """
    statements = ddl.foreign_keys(model)
    for _, added in groupby(names, key=ddl.tables_of_foreign_keys(model).__getitem__):
        with roomy(connection):
            connection.execute(_trusted("; ".join(statements[name] for name in added)))


@contextmanager
def roomy(connection: Connection) -> Iterator[None]:
    """Runs a transaction with the memory to sort or join a whole table."""
    with connection.transaction():
        connection.execute(_ROOM)
        yield


def _trusted(statement: str) -> LiteralString:
    """Marks a statement that was generated from the model, never from data, as a literal."""
    return statement
