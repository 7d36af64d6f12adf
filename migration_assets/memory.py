"""How this process frees memory: the C library's allocator, and Python's search for cycles."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
"""From ``malloc.h`` of glibc: https://man7.org/linux/man-pages/man3/mallopt.3.html."""

_LARGE = 4 * 2**20
"""Bytes of a buffer that is returned: a reply of large documents, and what is made of it."""

_KEPT = 32 * 2**20
"""Bytes that stay free at the end of the memory: to shrink it after each buffer, and let it grow again for
the next, costs the kernel more than the buffers themselves."""


def share_freed_memory() -> None:
    """Lets all threads of this process use what any of them has freed, where the C library is glibc.

    By default there are up to eight arenas a core, each of which keeps what was freed in it. Where one thread
    makes large buffers and another frees them, that is more than what is in use. What exists already stays.
    """
    _call("mallopt", _M_ARENA_MAX, 1)


def return_large_buffers() -> None:
    """Gives the operating system each large buffer as soon as it is freed, where the C library is glibc.

    By default glibc keeps buffers of up to 32 MB for later. What is smaller comes to lie between them, so
    that the next large one does not fit, and memory grows with the number of batches.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, _LARGE)
    _call("mallopt", _M_TRIM_THRESHOLD, _KEPT)


def give_back_freed_memory() -> None:
    """Gives the operating system what this process has freed and glibc keeps for it.

    To get it again costs about a tenth of a second for 400 MB, so it is worth it after much work only.
    """
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    """Calls a function of the C library, where it has it."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)


@contextmanager
def without_cycle_detection() -> Iterator[None]:
    """Keeps Python from looking for reference cycles.

    Decoded documents have none, but are so many objects that looking takes as long as decoding.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
