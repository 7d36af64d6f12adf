"""What the C library's allocator does with memory that is freed."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8
"""From ``malloc.h`` of glibc: https://man7.org/linux/man-pages/man3/mallopt.3.html."""


def share_freed_memory() -> None:
    """Lets all threads of this process use what any of them has freed, where the C library is glibc.

    By default there are up to eight arenas a core, each of which keeps what was freed in it. Where one thread
    makes large buffers and another frees them, that is more than what is in use. What exists already stays.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Gives the operating system what this process has freed and glibc keeps for it.

    To get it again costs about a tenth of a second for 400 MB, so it is worth it after much work only.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
