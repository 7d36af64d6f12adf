"""The processes of the UI end, however often they have to be asked."""

from __future__ import annotations

import subprocess
import sys

import pytest

from migration_assets.commands import serving

DEAF = """
import signal, sys, time

asked = 0

def ask(*_):
    global asked
    asked += 1
    if asked > {times}:
        sys.exit(7)

signal.signal(signal.SIGTERM, ask)
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def asked_once(times: int) -> subprocess.Popen[bytes]:
    """Returns a process, asked once already, that ignores so many requests to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF.format(times=times)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"ready\n"
    process.terminate()
    return process


@pytest.mark.parametrize(("deaf", "status"), [(0, 7), (1, 7), (2, 7), (9, -9)])
def test_a_process_is_asked_again_and_in_the_end_killed(
    monkeypatch: pytest.MonkeyPatch, deaf: int, status: int
) -> None:
    monkeypatch.setattr(serving, "_PATIENCE", 0.5)
    process = asked_once(deaf)
    serving._end(process)
    assert process.wait(30) == status
