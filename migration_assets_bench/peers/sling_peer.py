"""Sling: a stream for each collection, the documents' top level flattened into columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from migration_assets_bench.peers.environment import Peer, PeerEnvironment
from migration_assets_bench.process import Usage, run


def _run(
    environment: PeerEnvironment, source: str, target: str, collections: Sequence[str]
) -> Usage:
    home = environment.directory / "sling"
    home.mkdir(parents=True, exist_ok=True)
    program = environment.packages() / "sling_linux_amd64" / "bin" / "sling-linux-amd64"
    program.chmod(0o755)
    database = urlsplit(source).path.lstrip("/")
    replication = {
        "source": "SOURCE",
        "target": "TARGET",
        "defaults": {
            "mode": "full-refresh",
            "object": f"{SLING.schema}.{{stream_table}}",
            "source_options": {"flatten": 1},
            "target_options": {
                "column_casing": "source",
                "table_casing": "source",
                "adjust_column_type": True,
            },
        },
        "streams": {f"{database}.{name}": None for name in collections},
    }
    file = home / "replication.json"
    file.write_text(json.dumps(replication), encoding="utf-8")
    return run(
        [str(program), "run", "-r", str(file)],
        what="Sling",
        environment={
            "HOME": str(home),
            "SLING_HOME_DIR": str(home),
            "SLING_THREADS": "2",
            "DO_NOT_TRACK": "1",
            "SOURCE": source,
            "TARGET": f"{target}?sslmode=disable",
        },
        directory=home,
    )


SLING = Peer(
    name="Sling",
    package="sling-linux-amd64",
    requirements=("sling-linux-amd64==1.4.11",),
    schema="public",
    settings=(
        "one replication of 29 streams, full-refresh, flatten to depth 1 and adjust_column_type: with "
        "unlimited flattening, or without adjusting, it fails on some collections of the sample"
    ),
    run=_run,
)
