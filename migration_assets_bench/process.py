"""Running something in a process of its own, and what the operating system says of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from migration_assets_bench.tasks import Done, Task

TIMEOUT = 7200.0
"""Seconds after which a process is ended: longer than any work at the largest size."""

_LOOK = 0.05
"""Seconds between two looks at the memory of a process and its children: a peak lasts a tenth of a second."""

_LOOKS = 20
"""For how many looks the children are the same: to look for them takes milliseconds."""

_SAID = 300
"""Characters of a failed process's words that are kept."""

_ERROR = re.compile(r"[\w.]*(?:Error|Exception|errors\.\w+): |fatal:|pq: ")


class ProcessFailedError(Exception):
    """A process did not end well; the message says what it said last."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took.

    Attributes:
        seconds: From its start to its end.
        cpu_seconds: User and system time, of it and of the processes that it waited for.
        peak_megabytes: Resident memory of the process and those that it started, together, as looked at
            twenty times a second; no less than what the largest of them ever had, of which the kernel keeps
            count.
    """

    seconds: float
    cpu_seconds: float
    peak_megabytes: float


def run_task(task: Task) -> tuple[Done, Usage]:
    """Does a task in a fresh interpreter.

    Raises:
        ProcessFailedError: It did not end well.
    """
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "done.json"
        usage = run(
            [sys.executable, "-m", "migration_assets_bench.child", str(result)],
            stdin=json.dumps(asdict(task)),
            what=task.work,
        )
        return Done(**json.loads(result.read_text(encoding="utf-8"))), usage


def run(
    command: Sequence[str],
    *,
    what: str,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Usage:
    """Runs a command to its end.

    Args:
        command: The program and its arguments; no passwords, which others could see.
        what: What it is called in an error.
        stdin: What it reads.
        environment: Variables besides those of this process.
        directory: Where it runs.

    Raises:
        ProcessFailedError: It did not end well, or not within ``TIMEOUT``.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(stdin.encode())
        given.seek(0)
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own programs, without a shell
            command,
            stdin=given,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=directory,
        )
        timer = threading.Timer(TIMEOUT, process.kill)
        timer.daemon = True
        timer.start()
        ended = threading.Event()
        watch = ThreadPoolExecutor(1).submit(_peak_together, process.pid, ended)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # interrupted: nothing goes on behind our back
            process.kill()
            process.wait()
            raise
        finally:
            ended.set()
            timer.cancel()
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            complaint = _complaint(said.read().decode(errors="replace"))
            raise ProcessFailedError(f"{what} ended with {process.returncode}: {complaint}")
    peak = max(used.ru_maxrss * 1024, watch.result()) / 2**20
    return Usage(seconds, used.ru_utime + used.ru_stime, peak)


def _peak_together(pid: int, ended: threading.Event) -> int:
    """Returns the most bytes that a process and those that it started had at once."""
    peak = looks = 0
    each: list[psutil.Process] = []
    while not ended.wait(_LOOK):
        if looks % _LOOKS == 0:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                each = [process, *process.children(recursive=True)]
        peak = max(peak, sum(map(_resident, each)))
        looks += 1
    return peak


def _resident(process: psutil.Process) -> int:
    """Returns the bytes of memory of a process, 0 where it has ended."""
    with suppress(psutil.NoSuchProcess):
        found: int = process.memory_info().rss
        return found
    return 0


def _complaint(output: str) -> str:
    """Returns the first line that names an error, which is its cause, else the last words."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = (line for line in lines if _ERROR.match(line))
    return next(named, " ".join(lines)[-_SAID:])[:_SAID]
