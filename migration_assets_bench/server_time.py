"""What the two servers take of the processors: a figure that a busy machine spoils less than seconds."""

from __future__ import annotations

import psutil

from migration_assets.embedded import EmbeddedServers


def cpu_seconds(servers: EmbeddedServers) -> float:
    """Returns the user and system time of both servers up to now, ended backends included."""
    total = 0.0
    for status in servers.status():
        if status.pid is None:
            continue
        main = psutil.Process(status.pid)
        for process in (main, *main.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:  # its time is its parent's by now
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total
