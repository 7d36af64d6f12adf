"""Reading and converting at the same time as writing, each on its own thread, one item ahead of the other."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

_END = object()

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
def prefetched(items: Iterable[Item]) -> Iterator[Iterator[Item]]:
    """Yields items that a thread of its own fetches, one ahead, from now on and until the end of the block.

    An error of the iterable is raised where the items are consumed.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        first = reader.submit(next, iterator, _END)

        def fetched() -> Iterator[Item]:
            item = first.result()
            while item is not _END:
                following = reader.submit(next, iterator, _END)
                yield item  # type: ignore[misc]
                item = following.result()

        yield fetched()
