"""What the process asks of the C library and of numpy; how much memory that saves no test asks."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from migration_assets.memory import (
    give_back_freed_memory,
    return_large_buffers,
    share_freed_memory,
)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    share_freed_memory()
    return_large_buffers()
    give_back_freed_memory()


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted by /proc")
def test_numpy_starts_no_threads() -> None:
    tasks = "import migration_assets, numpy, os; print(len(os.listdir('/proc/self/task')))"
    run = [sys.executable, "-c", tasks]
    env = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    assert subprocess.run(run, check=True, env=env, capture_output=True).stdout == b"1\n"
