"""Memory that is freed is there for all threads, and goes back to the system when asked for."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from migration_assets.memory import (
    give_back_freed_memory,
    return_large_buffers,
    share_freed_memory,
)

THREADS = """
import ctypes, sys, threading
if sys.argv[2] == "shared":
    import migration_assets
together = threading.Barrier(4)
def hold():
    held = [bytearray(2000) for _ in range(100)]
    together.wait()
    return held
threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""

FREED = """
import resource
from migration_assets.memory import give_back_freed_memory
def resident():
    with open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1]) * resource.getpagesize()
before = resident()
held = [bytearray(5000) for _ in range(20_000)]
del held[:-1]
kept = resident()
give_back_freed_memory()
print(kept - before, resident() - before)
"""

RETURNED = """
import resource, sys
if sys.argv[1] == "returned":
    import migration_assets
def resident():
    with open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1]) * resource.getpagesize()
before = resident()
bytearray(30_000_000)  # from now on glibc keeps buffers of that size
held = [bytearray(b"x" * 6_000_000) for _ in range(8)]
del held
print(resident() - before)
"""

of_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="it is about glibc's allocator"
)


@of_glibc
def test_freed_memory_is_given_back() -> None:
    run = [sys.executable, "-c", FREED]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    kept, left = map(int, said.split())
    assert kept > 90_000_000
    assert left < 10_000_000


@of_glibc
def test_threads_share_one_arena(tmp_path: Path) -> None:
    def arenas(kind: str) -> int:
        described = tmp_path / kind
        subprocess.run(
            [sys.executable, "-c", THREADS, described, kind],
            check=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")},
        )
        return described.read_text(encoding="utf-8").count("<heap nr=")

    assert arenas("as ever") > 1
    assert arenas("shared") == 1


@of_glibc
def test_large_buffers_are_returned_when_they_are_freed() -> None:
    def kept(kind: str) -> int:
        run = [sys.executable, "-c", RETURNED, kind]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
        return int(subprocess.run(run, check=True, env=env, capture_output=True).stdout)

    assert kept("as ever") > 40_000_000
    assert kept("returned") < 10_000_000


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
