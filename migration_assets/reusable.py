"""A connection that the loads and checks of a run use one after the other.

Opening anew for each of two hundred loads and checks takes longer than small tables do.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Generic, TypeVar

Opened = TypeVar("Opened")


class Reusable(Generic[Opened]):
    """A resource that is opened at its first use and stays open until an error passes through it.

    Attributes:
        opening: Opens it.
        is_alive: Tells whether it can be used once more.
    """

    def __init__(
        self,
        opening: Callable[[], AbstractContextManager[Opened]],
        is_alive: Callable[[Opened], bool] = lambda _: True,
    ) -> None:
        self.opening = opening
        self.is_alive = is_alive
        self._stack = ExitStack()
        self._opened: list[Opened] = []

    @contextmanager
    def use(self) -> Iterator[Opened]:
        """Lends it, opened anew where it is not open or not alive."""
        if self._opened and not self.is_alive(self._opened[0]):
            self.close()
        if not self._opened:
            self._opened.append(self._stack.enter_context(self.opening()))
        try:
            yield self._opened[0]
        except BaseException:
            # What opened it turns the error into one that an operator can read.
            self._opened.clear()
            self._stack.__exit__(*sys.exc_info())
            raise

    def close(self) -> None:
        """Closes it where it is open."""
        self._opened.clear()
        self._stack.close()
