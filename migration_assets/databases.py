"""The two databases in a form that another process can receive to open connections of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial

from bson.timestamp import Timestamp

from migration_assets.reusable import Reusable
from migration_assets.source.connection import (
    SourceClient,
    SourceDatabase,
    is_current,
    open_source,
)
from migration_assets.source.snapshots import at_moment, moment_of
from migration_assets.source.united import UnitedDatabase, united
from migration_assets.target.connection import Connection, conninfo_of, is_idle, open_again
from migration_assets.target.lock import held_as, is_held, take


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the databases are, and how a run reads and holds them.

    Attributes:
        source_url: MongoDB URL with the name of the database.
        conninfo: How to connect to PostgreSQL.
        run: The name that the connections of the run have; None where none holds the target.
        moment: When to read the source at; None for the present.
        others: The collections that count as one, by the name of that one.
    """

    source_url: str = field(repr=False)
    conninfo: str = field(repr=False)
    run: str | None
    moment: Timestamp | None
    others: Mapping[str, Sequence[str]]

    @contextmanager
    def open(self) -> Iterator[tuple[SourceDatabase, Connection]]:
        """Lends connections, which are kept for the next ones of the same run.

        Raises:
            HeldError: Another run holds the target.
            SourceError: MongoDB is out of reach.
            TargetError: PostgreSQL is out of reach.
        """
        source, target = _reusable_connections(self.source_url, self.conninfo, self.run)
        with source.use() as plain, target.use() as connection:
            database = united(plain, self.others)
            yield (
                database if self.moment is None else at_moment(database, self.moment),
                connection,
            )


def databases_of(source: SourceDatabase, connection: Connection) -> Databases | None:
    """Returns where two open databases are, for another process.

    None where another process cannot do its part: it would not see what a transaction here has changed, or it
    is not known how the source was opened.
    """
    client = source.client
    if not isinstance(client, SourceClient) or not is_idle(connection):
        return None
    others = source.others if isinstance(source, UnitedDatabase) else {}
    moment = moment_of(source)
    return Databases(client.url, conninfo_of(connection), held_as(connection), moment, others)


@cache
def _reusable_connections(
    source_url: str, conninfo: str, run: str | None
) -> tuple[Reusable[SourceDatabase], Reusable[Connection]]:
    target = Reusable(partial(_opened, conninfo, run), is_held if run else is_idle)
    return Reusable(partial(open_source, source_url), is_current), target


@contextmanager
def _opened(conninfo: str, run: str | None) -> Iterator[Connection]:
    with open_again(conninfo) as connection:
        if run is not None:
            take(connection, run)
        yield connection
