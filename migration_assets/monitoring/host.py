"""CPU, memory, disk, I/O wait and network of the database's host, as Linux counts them.

Only the host of the database is of interest. Whether this process runs there is not guessed from the
URL: the server process of our own connection must be one of this machine. Where it is not (another
host, a container, another system), nothing is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from migration_assets.target.connection import Connection

PROC = Path("/proc")
NETWORK = Path("/sys/class/net")

ELSEWHERE = (
    "the monitor does not run on the database's host, or not under Linux: run it there, or give the "
    "value as a reading"
)


def is_host_of(connection: Connection, *, proc: Path = PROC) -> bool:
    """Returns whether the server process of a connection runs on this machine."""
    row = connection.execute(
        "SELECT /* migration-assets */ pg_backend_pid(), inet_client_port()"
    ).fetchone()
    assert row is not None
    pid, port = row
    try:
        name = (proc / str(pid) / "comm").read_text().strip()
        title = (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return False
    return name == "postgres" and ("[local]" in title if port is None else f"({port})" in title)


def counters(
    connection: Connection, *, proc: Path = PROC, network: Path = NETWORK
) -> dict[str, float]:
    """Returns the counters of the host; empty where the database runs on another one.

    The names: ``cpu_total``, ``cpu_idle``, ``cpu_io_wait`` (ticks), ``memory_total``, ``memory_available``
    (bytes), ``disk_used``, ``disk_free`` (bytes of the volume of the data directory), ``network_bytes``
    and ``network_limit`` (bytes, bytes a second, of the interface that has the most to do).
    """
    if not is_host_of(connection, proc=proc):
        return {}
    numbers: dict[str, float] = {}
    measures: tuple[Callable[[], Mapping[str, float]], ...] = (
        partial(_cpu, proc),
        partial(_memory, proc),
        partial(_disk, connection),
        partial(_network, proc, network),
    )
    for measure in measures:
        # An unreadable counter is left out, and its KPI says so.
        with suppress(OSError, ValueError, LookupError):
            numbers |= measure()
    return numbers


def _cpu(proc: Path) -> Mapping[str, float]:
    line = (proc / "stat").read_text().splitlines()[0]
    # user nice system idle iowait irq softirq steal; guest time is within user time
    ticks = [int(field) for field in line.split()[1:9]]
    return {"cpu_total": sum(ticks), "cpu_idle": ticks[3] + ticks[4], "cpu_io_wait": ticks[4]}


def _memory(proc: Path) -> Mapping[str, float]:
    lines = (line.split(":") for line in (proc / "meminfo").read_text().splitlines())
    sizes = {name: int(size.split()[0]) * 1024 for name, size in lines}
    return {"memory_total": sizes["MemTotal"], "memory_available": sizes["MemAvailable"]}


def _disk(connection: Connection) -> Mapping[str, float]:
    # The view has no row for a role that may not see it.
    row = connection.execute(
        "SELECT /* migration-assets */ setting FROM pg_settings WHERE name = 'data_directory'"
    ).fetchone()
    if row is None:
        return {}
    volume = os.statvfs(row[0])
    used = (volume.f_blocks - volume.f_bfree) * volume.f_frsize
    return {"disk_used": used, "disk_free": volume.f_bavail * volume.f_frsize}


def _network(proc: Path, network: Path) -> Mapping[str, float]:
    busiest: tuple[int, str] | None = None
    for line in (proc / "net" / "dev").read_text().splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        # Each direction has the full speed, so the busier one counts.
        moved = max(int(fields[0]), int(fields[8]))
        if name.strip() != "lo" and (busiest is None or moved > busiest[0]):
            busiest = (moved, name.strip())
    if busiest is None:
        return {}
    megabits = int((network / busiest[1] / "speed").read_text())
    if megabits <= 0:  # a virtual interface has no speed
        return {}
    return {"network_bytes": busiest[0], "network_limit": megabits * 125_000}
