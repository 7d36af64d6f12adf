"""A reusable connection: lent again, replaced when dead, closed by an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from migration_assets.reusable import Reusable


class SaidError(Exception):
    """An error in the words of an operator."""


class Door:
    """Something to open: counts how often it was opened and closed."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed = 0

    @contextmanager
    def open(self) -> Iterator[int]:
        self.opened += 1
        try:
            yield self.opened
        except OSError as error:
            raise SaidError from error
        finally:
            self.closed += 1


def test_it_is_opened_once_at_the_first_use() -> None:
    door = Door()
    reusable = Reusable(door.open)
    assert door.opened == 0
    for _ in range(3):
        with reusable.use() as opened:
            assert opened == 1
    assert (door.opened, door.closed) == (1, 0)
    reusable.close()
    reusable.close()
    assert door.closed == 1


def test_an_error_passes_through_its_opener_and_closes_it() -> None:
    door = Door()
    reusable = Reusable(door.open)
    with pytest.raises(SaidError), reusable.use():
        raise OSError
    assert door.closed == 1
    with pytest.raises(KeyError), reusable.use():
        raise KeyError
    with reusable.use() as opened:
        assert opened == 3


def test_a_dead_one_is_replaced() -> None:
    door = Door()
    dead: set[int] = set()
    reusable = Reusable(door.open, lambda opened: opened not in dead)
    with reusable.use():
        pass
    dead.add(1)
    with reusable.use() as opened:
        assert opened == 2
    assert door.closed == 1
