"""Dagster's UI and its daemon, as one: both run on this machine alone, and both end together."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg

from migration_assets.assets.keys import POOL
from migration_assets.errors import MigrationError

HOST = "127.0.0.1"
_LOOKS = 0.5
"""Seconds between two looks at the processes."""

_PATIENCE = 10
"""Seconds that a process has to end, each time that it is asked to."""

_ASKED = 3
"""How often it is asked before it is killed."""


def serve(workspace: str, port: int, *, ready: Callable[[], None]) -> None:
    """Runs the webserver and the daemon, which schedules and sensors need, until Ctrl-C or `kill`.

    Args:
        workspace: File of the code locations.
        port: Port of the webserver on 127.0.0.1.
        ready: Is called once a browser can be pointed there.

    Raises:
        MigrationError: One of them ended by itself; the other one is ended then.
    """
    commands = (
        ["dagster-webserver", "-w", workspace, "-h", HOST, "-p", str(port)],
        ["dagster-daemon", "run", "-w", workspace, "--log-level", "warning"],
    )
    # What is wrong with Dagster's storage, the processes say themselves.
    with suppress(Exception), dg.DagsterInstance.get() as instance:
        make_pool_known(instance)
    with _asked_to_end() as asked, _running(commands) as processes:
        is_ready = False
        while not asked and all(process.poll() is None for process in processes):
            if not is_ready and _listens(port):
                is_ready = True
                ready()
            time.sleep(_LOOKS)
        if asked:
            return
        ended = next(
            command[0]
            for command, process in zip(commands, processes, strict=True)
            if process.poll() is not None
        )
    raise MigrationError(
        f"{ended} ended by itself, so all of the UI was ended",
        where=f"{HOST}:{port}",
        next_step="Look at the lines above; where the port is taken, give another one with --port",
    )


def make_pool_known(instance: dg.DagsterInstance) -> None:
    """Has Dagster's storage know the pool before a run is queued.

    When runs are taken from the queue, Dagster leaves out a pool that it sees for the first time: of two that
    were queued at once, the second one would not wait, and fail.
    """
    instance.event_log_storage.initialize_concurrency_limit_to_default(POOL)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=_LOOKS):
            return True
    except OSError:
        return False


@contextmanager
def _asked_to_end() -> Iterator[list[int]]:
    """Lends the list of signals that have asked this process to end; none of them interrupts it."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda caught, _: asked.append(caught)) for number in numbers]
    try:
        yield asked
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _running(commands: Sequence[Sequence[str]]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Runs programs of our own environment within the block, and ends them with it."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name, *arguments in commands:
            program = Path(sys.executable).with_name(name)
            processes.append(subprocess.Popen([program, *arguments]))  # noqa: S603 - our own programs
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that has been asked to end once.

    Dagster raises an exception wherever it happens to be; where Python drops that, as in a destructor, it
    goes on as if nobody had asked.
    """
    for _ in range(_ASKED):
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.terminate()
        else:
            return
    process.kill()
