"""Ctrl-C and `kill`: a command ends at once, whatever it is doing, and leaves nothing running.

An exception that a signal raises can be swallowed on its way, by a library or a destructor, and the run goes
to its end. A run may be killed at any moment, so it is not unwound: what it has running elsewhere is ended,
then its process.
"""

from __future__ import annotations

import _thread
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SAID = "interrupted. What is committed stays, run it again to go on"
CODE = 2
PATIENCE = 5.0
"""Seconds for what is to be done before the process ends; a server that does not answer is not waited for."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_Handler = Callable[[int, FrameType | None], None]

_works: list[Callable[[], object]] = []


def end_at_once() -> None:
    """Makes the signals end this process, from now on."""
    for number in _SIGNALS:
        signal.signal(number, _end)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Makes the signals end this process within the block."""
    with _handled_by(_end):
        yield


@contextmanager
def raising() -> Iterator[None]:
    """Makes the signals raise ``KeyboardInterrupt`` within the block, for code that cleans up itself."""
    with _handled_by(signal.default_int_handler):
        yield


@contextmanager
def on_interrupt(work: Callable[[], object]) -> Iterator[None]:
    """Has some work done before the process ends, where a signal ends it within the block.

    It is done on a thread of its own, while the others still run; an error of it is passed over.
    """
    _works.append(work)
    try:
        yield
    finally:
        _works.remove(work)


@contextmanager
def _handled_by(handler: _Handler) -> Iterator[None]:
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # which alone may say who handles them
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _end(number: int, frame: FrameType | None) -> None:
    del number, frame
    for signal_number in _SIGNALS:  # a second one must not leave half of it running
        signal.signal(signal_number, signal.SIG_IGN)
    ended: list[bool] = []
    # The main thread may be anywhere, also within a lock that this needs: so not here, and not for long.
    _thread.start_new_thread(_put_in_order, (ended,))
    ends = time.monotonic() + PATIENCE
    while not ended and time.monotonic() < ends:
        time.sleep(0.01)
    is_terminal = os.isatty(2)
    os.write(2, f"{chr(10) * is_terminal}error: {SAID}\n".encode())
    os._exit(CODE)


def _put_in_order(ended: list[bool]) -> None:
    for child in multiprocessing.active_children():
        with suppress(Exception):
            child.kill()
    for work in reversed(_works):
        with suppress(Exception):
            work()
    with suppress(Exception):
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # a display of progress has hidden the cursor
        sys.stdout.flush()
    ended.append(True)
