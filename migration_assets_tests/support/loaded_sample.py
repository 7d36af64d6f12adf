"""A sample on real servers, loaded as the migration loads it: what checks of the books are tested on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa
from bson import ObjectId
from psycopg import sql
from pymongo import MongoClient

from migration_assets.causes.books import recorded_losses
from migration_assets.causes.losses import Loss
from migration_assets.embedded import Urls, fresh_database
from migration_assets.loading.identities import load_identities
from migration_assets.loading.load import load_table
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.nextcrm.sample import generate
from migration_assets.remediation.rules import NO_REMEDIATIONS, Remediations
from migration_assets.settings import SAMPLE
from migration_assets.source.connection import SourceDatabase, open_source
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import create_schema
from migration_assets.validation.checks import run_checks, together
from migration_assets.validation.evidence import Evidence, Layer, Phases
from migration_assets.validation.references import references_evidence
from migration_assets.validation.table_pass import compare
from migration_assets.validation.values import values_evidence

_TASK = {"__v": 0, "position": 1, "priority": "low", "title": "own"}
FAULTY: Mapping[str, list[dict[str, Any]]] = {
    "Tasks": [
        {"_id": ObjectId("60000000000000000000000a"), **_TASK, "likes": "many"},
        {"_id": ObjectId("600000000000000000000009"), **_TASK, "likes": True},
        {"_id": ObjectId("60000000000000000000000b"), **_TASK, "title": ["own"]},
        {"_id": ObjectId("60000000000000000000000c"), **_TASK, "unknown": "own"},
    ],
    "crm_Industry_Type": [
        {"_id": "600000000000000000000013", "__v": 0, "name": "own text"},
        {"_id": ObjectId("600000000000000000000013"), "__v": 0, "name": "own"},
    ],
    "crm_Accounts": [
        {
            "_id": ObjectId("600000000000000000000014"),
            "__v": 0,
            "name": "own",
            "industry": "600000000000000000000013",
        }
    ],
    "gpt_models": [
        {"_id": ObjectId("60000000000000000000000e"), "model": "own", "status": "ACTIVE"},
        {"_id": ObjectId("60000000000000000000000f"), "__v": 0, "model": {}, "status": "ACTIVE"},
    ],
    "crm_Contacts": [
        {"_id": ObjectId("600000000000000000000010"), "last_name": "own", "tags": ["own", None]}
    ],
    "Documents": [
        {
            "_id": ObjectId("600000000000000000000011"),
            "document_name": "own",
            "document_file_mimeType": "own",
            "document_file_url": "own",
            "crm_accounts_tasksIDs": [None, ObjectId("600000000000000000000012")],
        }
    ],
}
"""Faulty documents that tests name, whatever else the sample holds."""


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
def database_copy(urls: Urls, template: str = "template1") -> Iterator[str]:
    """Lends a PostgreSQL database that is a copy of another one, to which nobody may be connected.

    Args:
        urls: The servers.
        template: The name of the other one, or its URL.
    """
    name = f"copy_{secrets.token_hex(6)}"
    names = {
        "copy": sql.Identifier(name),
        "template": sql.Identifier(template.rpartition("/")[2]),
    }
    with psycopg.connect(urls.postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {copy} TEMPLATE {template}").format(**names))
        yield f"{urls.postgres_url.rpartition('/')[0]}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {copy} WITH (FORCE)").format(**names))


def load_everything(source: SourceDatabase, target: Connection) -> None:
    """Makes the schema and loads the map and all tables, without checks and constraints."""
    create_schema(NEXTCRM, target)
    load_identities(NEXTCRM, source, target)
    for table in TABLES.values():
        load_table(source, target, table)


def all_checks(
    source: SourceDatabase,
    target: Connection,
    table: str,
    remediations: Remediations = NO_REMEDIATIONS,
) -> list[Evidence]:
    """Runs the four checks of a table, those together that one comparison answers."""
    return [
        evidence
        for layers in together(Layer)
        for evidence in run_checks(source, target, TABLES[table], layers, remediations=remediations)
    ]


def check_values(
    source: SourceDatabase,
    target: Connection,
    table: sa.Table,
    *,
    sample_size: int = SAMPLE.default,
    seed: int = 0,
    remediations: Remediations = NO_REMEDIATIONS,
) -> Evidence:
    """Compares a table, within a transaction too, and returns the evidence on values."""
    phases = Phases()
    comparison = compare(
        source,
        target,
        table,
        phases,
        sample_size=sample_size,
        seed=seed,
        remediations=remediations,
    )
    return values_evidence(table, comparison, phases)


def check_references(source: SourceDatabase, target: Connection, table: sa.Table) -> Evidence:
    """Compares a table, within a transaction too, and returns the evidence on references."""
    phases = Phases()
    return references_evidence(table, compare(source, target, table, phases), phases)


@contextmanager
def faulty_migration(servers: Urls) -> Iterator[Urls]:
    """Lends a small sample in which every kind of fault occurs, and ``FAULTY``, after a load."""
    with fresh_database(servers) as urls:
        with MongoClient[dict[str, object]](urls.mongodb_url) as client:
            database = client.get_default_database()
            generate(database, scale=0.01, dirty=0.0001)
            for name, documents in FAULTY.items():
                database[name].insert_many(documents)
        with open_source(urls.mongodb_url) as source, open_target(urls.postgres_url) as target:
            load_everything(source, target)
        yield urls


@contextmanager
def opened_copy(servers: Urls, urls: Urls) -> Iterator[Loaded]:
    """Opens the source of a migration, and a copy of its target, to which nobody may be connected."""
    with (
        database_copy(servers, urls.postgres_url) as url,
        open_source(urls.mongodb_url) as source,
        open_target(url) as connection,
    ):
        yield Loaded(source, connection)


def open_losses(connection: Connection) -> list[Loss]:
    """Returns the recorded losses that nobody has accepted."""
    return [loss for loss in recorded_losses(NEXTCRM, connection) if not loss.is_accepted]
