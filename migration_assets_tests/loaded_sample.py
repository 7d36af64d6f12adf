"""A sample on real servers, loaded as the migration loads it: what checks of the books are tested on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pymongo import MongoClient

from migration_assets.embedded import Urls, fresh_database
from migration_assets.loading.identities import load_identities
from migration_assets.loading.tables import load_table
from migration_assets.model import TABLES
from migration_assets.sample import generate
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import create_schema


@dataclass(frozen=True, slots=True)
class Loaded:
    """Both sides after a load.

    Attributes:
        source: The source, writable for the test.
        connection: A connection to the target.
    """

    source: SourceDatabase
    connection: Connection


@contextmanager
def loaded_sample(servers: Urls, *, dirty: float) -> Iterator[Loaded]:
    """Lends both sides of a small sample after a load; nothing of it is left afterwards.

    Args:
        servers: Running servers.
        dirty: Faults for each clean document; above 0, every kind of fault occurs.
    """
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, object]](urls.mongodb_url) as client:
            generate(client.get_default_database(), scale=0.01, dirty=dirty)
        with (
            open_source(urls.mongodb_url) as source,
            open_target(urls.postgres_url) as connection,
        ):
            create_schema(connection)
            load_identities(source, connection)
            for table in TABLES.values():
                load_table(source, connection, table)
            yield Loaded(source, connection)
