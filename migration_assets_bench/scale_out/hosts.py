"""Hosts in network namespaces, which can be cut off as a host is that loses its power."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ADDRESS = "10.77.0.1"
"""Of the host that everybody reaches: databases, broker, and who launches the run."""

HOME = "/run"
"""Where a host keeps what it writes."""

_BRIDGE = "migrate0"
_DISKS = (HOME, "/tmp")  # noqa: S108 - mounted anew by each host


@dataclass
class Network:
    """A bridge, and the hosts on it; all of it is gone when it is closed.

    Needs root.
    """

    hosts: list[Host] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.close()  # what a run that was killed has left
        _ip(f"link add {_BRIDGE} type bridge")
        _ip(f"addr add {ADDRESS}/24 dev {_BRIDGE}")
        _ip(f"link set {_BRIDGE} up")

    def add(self, name: str) -> Host:
        """Adds a host."""
        host = Host(name, f"10.77.0.{11 + len(self.hosts)}")
        inside = f"-n {name}"
        _ip(f"netns add {name}")
        _ip(f"link add {host.link} type veth peer name eth0 netns {name}")
        _ip(f"link set {host.link} master {_BRIDGE} up")
        _ip(f"{inside} addr add {host.address}/24 dev eth0")
        _ip(f"{inside} link set eth0 up")
        _ip(f"{inside} link set lo up")
        self.hosts.append(host)
        return host

    def close(self) -> None:
        """Ends every host, and removes the bridge."""
        for host in self.hosts:
            host.cut()
        for name in ("worker-1", "worker-2"):
            with suppress(subprocess.CalledProcessError):
                _ip(f"netns del {name}")
        with suppress(subprocess.CalledProcessError):
            _ip(f"link del {_BRIDGE}")
        self.hosts.clear()


@dataclass
class Host:
    """A host: its processes see its own network, name, processes and memory disks, and read the rest."""

    name: str
    address: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def link(self) -> str:
        """Its cable, on the side of the bridge."""
        return f"v-{self.name}"

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        files: Sequence[Path],
        log: Path,
    ) -> None:
        """Starts its only command.

        Args:
            command: The program with its arguments.
            environment: Its variables; nothing of ours.
            files: Are copied to its home first.
            log: Takes what it prints.
        """
        copies = [f"cat > {HOME}/{path.name} <<'END'\n{path.read_text()}\nEND" for path in files]
        script = "\n".join(
            [
                "set -e",
                f"hostname {self.name}",
                "mount -o remount,bind,ro /",
                *(f"mount -t tmpfs tmpfs {disk}" for disk in _DISKS),
                *copies,
                f"cd {HOME}",
                f"exec {shlex.join(command)}",
            ]
        )
        apart = "unshare --mount --uts --pid --fork --kill-child --mount-proc"
        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - our own script
                ["/usr/sbin/ip", "netns", "exec", self.name, *apart.split(), "sh", "-c", script],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "HOME": HOME, **environment},
            )

    def cut(self) -> None:
        """Takes the host away in the middle of what it does: first its network, so nobody hears a word."""
        with suppress(subprocess.CalledProcessError):
            _ip(f"link set {self.link} down")
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _ip(arguments: str) -> None:
    subprocess.run(["/usr/sbin/ip", *arguments.split()], check=True, capture_output=True)  # noqa: S603
