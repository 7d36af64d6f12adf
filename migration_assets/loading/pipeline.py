"""Reading, converting and writing at the same time, each on its own thread, with bounded queues."""

from __future__ import annotations

import gc
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

AHEAD = 1
"""Batches that may wait between two stages: enough to overlap, few enough to keep memory flat."""

Item = TypeVar("Item")


@dataclass(slots=True)
class Stopwatch:
    """Seconds that each stage was busy. Stages overlap, so their sum exceeds the whole."""

    seconds: Counter[str] = field(default_factory=Counter)
    _adding: threading.Lock = field(init=False, default_factory=threading.Lock)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time within to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add({name: time.perf_counter() - started})

    def add(self, seconds: Mapping[str, float]) -> None:
        """Adds the seconds of some stages; several threads may."""
        with self._adding:
            self.seconds.update(seconds)

    def timed(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yields items, adding the time that each takes to come to a stage."""
        iterator = iter(items)
        while True:
            with self.stage(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item


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


@contextmanager
def prefetched(items: Iterable[Item], *, ahead: int = AHEAD) -> Iterator[Iterator[Item]]:
    """Yields items that a thread of its own fetches ahead, from now on and until the end of the block.

    An error of the iterable is raised where the items are consumed.
    """
    waiting: queue.Queue[tuple[str, Item | BaseException | None]] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(kind: str, value: Item | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put((kind, value), timeout=0.1)
            except queue.Full:
                continue
            return

    def fetch() -> None:
        try:
            for item in items:
                put("item", item)
                if stopped.is_set():
                    return
        except BaseException as error:  # raised where the items are consumed
            put("error", error)
        else:
            put("end", None)

    def fetched() -> Iterator[Item]:
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]

    thread = threading.Thread(target=fetch, name="reader", daemon=True)
    thread.start()
    try:
        yield fetched()
    finally:
        stopped.set()
        thread.join()


def written_behind(
    items: Iterable[Item],
    write: Callable[[Item], None],
    *,
    ahead: int = AHEAD,
) -> None:
    """Writes items in order on a thread of its own while the next ones are made.

    The first error of a write is raised here, and nothing after it is written.

    Args:
        items: The items; they are made here.
        write: Writes one.
        ahead: How many items may wait to be written.
    """
    pending: deque[Future[None]] = deque()
    # The writer may begin the next one before the error of one is raised here.
    has_failed = threading.Event()

    def do_next(work: Callable[[], None]) -> None:
        if has_failed.is_set():
            return
        try:
            work()
        except BaseException:
            has_failed.set()
            raise

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as writer:
        try:
            for item in items:
                pending.append(writer.submit(do_next, partial(write, item)))
                while len(pending) > ahead:
                    pending.popleft().result()
            while pending:
                pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
