"""dlt: extract, normalize, load; the documents' top level as columns, what is nested as jsonb."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from migration_assets.model import Rule, sources
from migration_assets.nextcrm import ENTITIES
from migration_assets_bench.peers.environment import Peer, PeerEnvironment
from migration_assets_bench.process import Usage, run

_WORKERS = "2"
_ITEMS_PER_FILE = "50000"
"""Documents in a file between two of dlt's steps: few enough that its workers share a collection."""

_SETTINGS = {
    "SCHEMA__NAMING": "sql_cs_v1",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "NORMALIZE__WORKERS": _WORKERS,
    "EXTRACT__DATA_WRITER__FILE_MAX_ITEMS": _ITEMS_PER_FILE,
    "NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS": _ITEMS_PER_FILE,
    "EXTRACT__DATA_WRITER__DISABLE_COMPRESSION": "true",
    "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
}


def _run(
    environment: PeerEnvironment, source: str, target: str, collections: Sequence[str]
) -> Usage:
    home = environment.directory / "dlt"
    shutil.rmtree(home, ignore_errors=True)  # its state would make the next run another one
    home.mkdir(parents=True)
    given = {
        "source": source,
        "target": target,
        "collections": {name: _json_fields(name) for name in collections},
        "directory": str(home),
        "schema": DLT.schema,
    }
    script = Path(__file__).with_name("dlt_pipeline.py")
    return run(
        [str(environment.python), "-I", str(script)],
        what="dlt",
        stdin=json.dumps(given),
        environment={**_SETTINGS, "HOME": str(home)},
        directory=home,
    )


def _json_fields(collection: str) -> list[str]:
    """Returns the fields that hold any value: dlt would take the type of the first one for that of all."""
    table = ENTITIES[collection]
    return [source.field for source in sources(table).values() if source.rule is Rule.JSON]


DLT = Peer(
    name="dlt",
    package="dlt",
    requirements=("dlt[postgres]==1.31.0", "pymongo>=4.20,<5", "orjson"),
    schema="peer",
    settings=(
        "the resource of its verified MongoDB source written out (find in chunks of 10,000, ids as text), "
        "max_table_nesting=0, fields of any type declared json, naming sql_cs_v1, csv, 2 normalizing "
        "workers, files not compressed"
    ),
    run=_run,
)
