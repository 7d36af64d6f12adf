"""A dlt pipeline from MongoDB to PostgreSQL; it runs in the environment of the peers.

``dlt init`` downloads the verified source; this does what that one does: chunks of a cursor, ids and
decimals as text. Dates beyond Python's calendar are clamped, which that one would fail at, and binary
is text, which the csv format asks for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import dlt
from pymongo import MongoClient

CHUNK = 10_000


def plain(value: Any) -> Any:
    """Returns a BSON value as dlt takes it."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | datetime):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


def documents(url: str, collection: str) -> Iterator[list[dict[str, Any]]]:
    """Yields the documents of a collection in chunks."""
    with MongoClient[dict[str, Any]](url, datetime_conversion="DATETIME_CLAMP") as client:
        cursor = client.get_default_database()[collection].find({})
        while chunk := list(islice(cursor, CHUNK)):
            yield plain(chunk)


def main() -> None:
    """Runs the pipeline that stands on standard input."""
    given = json.load(sys.stdin)

    def collections() -> Iterator[Any]:
        for name, nested in given["collections"].items():
            yield dlt.resource(
                documents(given["source"], name),
                name=name,
                write_disposition="append",
                columns={field: {"data_type": "json"} for field in nested},
            )

    pipeline = dlt.pipeline(
        "nextcrm",
        destination=dlt.destinations.postgres(given["target"]),
        dataset_name=given["schema"],
        pipelines_dir=given["directory"],
    )
    source = dlt.source(collections, name="nextcrm", max_table_nesting=0)
    pipeline.run(source(), loader_file_format="csv").raise_on_failed_jobs()


if __name__ == "__main__":
    main()
