"""Memory that is freed is there for all threads."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from migration_assets.memory import share_freed_memory

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc's allocator")
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


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    share_freed_memory()
