"""The floor: what the two servers need anyhow, whoever moves the data.

Reading all collections as raw batches without decoding them, COPY BINARY of the very same rows into the
same tables without indexes, then primary keys, indexes, foreign keys and statistics as the product
builds them.
"""

from __future__ import annotations

import mmap
import time
from pathlib import Path
from typing import Any

from psycopg import sql
from pymongo import MongoClient

from migration_assets.loading.pipeline import Stopwatch
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.target.connection import Connection, open_target
from migration_assets.target.schema import build_constraints, create_schema
from migration_assets_bench.ours import load
from migration_assets_bench.sample import read
from migration_assets_bench.tasks import Done, Task

_PIECE = 1 << 20
"""Bytes that are handed to COPY at once."""


def prepare(task: Task) -> Done:
    """Loads a target and writes its rows into files, as COPY BINARY has them."""
    started = time.perf_counter()
    load(task)
    directory = Path(task.directory)
    directory.mkdir(parents=True, exist_ok=True)
    size = 0
    with open_target(task.target) as connection:
        for name in TABLES:
            statement = sql.SQL("COPY {} TO STDOUT (FORMAT binary)").format(sql.Identifier(name))
            file = directory / f"{name}.bin"
            with (
                connection.cursor() as cursor,
                cursor.copy(statement) as copy,
                file.open("wb") as out,
            ):
                for piece in copy:
                    out.write(piece)
            size += file.stat().st_size
    return Done(time.perf_counter() - started, counts={"bytes": size})


def empty_tables(task: Task) -> Done:
    """Creates the tables without any key or index. It is not part of the floor."""
    started = time.perf_counter()
    with open_target(task.target) as connection:
        create_schema(NEXTCRM, connection)
        for name, table in TABLES.items():
            connection.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(
                    sql.Identifier(name), sql.Identifier(_key(table.name))
                )
            )
    return Done(time.perf_counter() - started)


def measure(task: Task) -> Done:
    """Reads, copies and builds, one after the other."""
    watch = Stopwatch()
    started = time.perf_counter()
    with MongoClient[dict[str, Any]](task.source) as client, watch.stage("read"):
        read(client.get_default_database())
    with open_target(task.target) as connection:
        with watch.stage("copy"):
            for name in TABLES:
                _copy(connection, name, Path(task.directory) / f"{name}.bin")
        with watch.stage("primary keys"):
            for name, table in TABLES.items():
                _add_key(connection, name, [column.name for column in table.primary_key])
        with watch.stage("constraints"):
            build_constraints(NEXTCRM, connection)
    return Done(time.perf_counter() - started, stages=dict(watch.seconds))


def _copy(connection: Connection, name: str, file: Path) -> None:
    statement = sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(sql.Identifier(name))
    with (
        file.open("rb") as rows,
        mmap.mmap(rows.fileno(), 0, access=mmap.ACCESS_READ) as data,
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        for start in range(0, len(data), _PIECE):
            copy.write(data[start : start + _PIECE])


def _add_key(connection: Connection, table: str, columns: list[str]) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL maintenance_work_mem = '256MB'")
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})").format(
                sql.Identifier(table),
                sql.Identifier(_key(table)),
                sql.SQL(", ").join(map(sql.Identifier, columns)),
            )
        )


def _key(table: str) -> str:
    return f"{table}_pkey"
