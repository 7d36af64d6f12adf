"""RabbitMQ, as Debian packages it, with a directory and a configuration of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PORT = 5672
_TIMEOUT = 60


@contextmanager
def broker(directory: Path, address: str) -> Iterator[str]:
    """Runs a broker and yields its URL; nothing of it is left afterwards.

    Raises:
        RuntimeError: It is not installed, or does not start; the log is in the directory.
    """
    if not PROGRAM.exists():
        raise RuntimeError("RabbitMQ is missing: apt-get install rabbitmq-server")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    configuration = directory / "rabbitmq.conf"
    configuration.write_text(f"listeners.tcp.1 = {address}:{PORT}\nloopback_users = none\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "RABBITMQ_NODENAME": "scale@localhost",
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    with (directory / "output").open("wb") as output:
        # In a space of process numbers of its own, so that Erlang's daemon ends with it.
        process = subprocess.Popen(  # noqa: S603 - the package's
            ["/usr/bin/unshare", "--pid", "--fork", "--kill-child", "--mount-proc", PROGRAM],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    try:
        deadline = time.monotonic() + _TIMEOUT
        while not _listens(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ does not start: see {directory / 'output'}")
            time.sleep(0.2)
        yield f"pyamqp://guest:guest@{address}:{PORT}//"
    finally:
        process.kill()
        process.wait()


def _listens(address: str) -> bool:
    with suppress(OSError), socket.create_connection((address, PORT), timeout=1):
        return True
    return False
