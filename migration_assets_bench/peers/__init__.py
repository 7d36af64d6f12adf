"""Other tools on the same servers and documents, each in an environment of the benchmark's own."""

from __future__ import annotations

from migration_assets_bench.peers.dlt_peer import DLT
from migration_assets_bench.peers.environment import Peer, PeerEnvironment
from migration_assets_bench.peers.sling_peer import SLING

PEERS: tuple[Peer, ...] = (DLT, SLING)

__all__ = ["PEERS", "Peer", "PeerEnvironment"]
