"""The checks of a table that several processes share: each is made once."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from migration_assets.source.ranges import WHOLE
from migration_assets.validation.checks import Layers, together
from migration_assets.validation.entity_pass import Part
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.findings import Comparison
from migration_assets.validation.shared_checks import Sharing, divided
from migration_assets.workers import Workers

COMPARED = (Layer.VALUES, Layer.REFERENCES, Layer.TYPES)
COUNTS = (Layer.ROW_COUNT,)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([*Layer], [COUNTS, COMPARED]),
        ([Layer.REFERENCES, Layer.TYPES, Layer.VALUES], [COMPARED]),
        ([Layer.REFERENCES], [(Layer.REFERENCES,)]),
        ([Layer.TYPES, Layer.VALUES], [(Layer.VALUES, Layer.TYPES)]),
        ([], []),
    ],
)
def test_what_one_comparison_answers_is_made_together(
    wanted: list[Layer], found: list[Layers]
) -> None:
    assert together(wanted) == found


def given_to_worker(_: Layers) -> Future[list[Evidence]]:
    return Future()


def test_alone_this_process_makes_them_all_in_order() -> None:
    assert [*divided(Layer, None).items()] == [(COUNTS, None), (COMPARED, None)]


@pytest.mark.parametrize("compared", [COMPARED, (Layer.REFERENCES,)])
def test_a_worker_makes_the_others_while_rows_are_compared(compared: Layers) -> None:
    found = divided([Layer.ROW_COUNT, *compared], given_to_worker)
    assert [*found] == [compared, COUNTS]
    assert found[compared] is None
    assert found[COUNTS] is not None


@pytest.mark.parametrize("layers", [[Layer.VALUES], [Layer.TYPES], [*COMPARED], []])
def test_a_check_alone_is_made_here(layers: list[Layer]) -> None:
    assert divided(layers, given_to_worker) == dict.fromkeys(together(layers))


def test_a_worker_that_died_is_told_and_its_part_compared_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    is_asked = threading.Event()

    class DeadWorkers:
        processes = 2

        def submit(self, *_: object) -> Future[Comparison]:
            dead = Future[Comparison]()
            dead.set_exception(BrokenProcessPool())
            is_asked.set()
            return dead

    def here(part: Part) -> Comparison:
        assert is_asked.wait(timeout=30)
        return Comparison(documents=len(part.drawn))

    workers: Any = DeadWorkers()
    sides: Any = None
    parts = [Part("Tasks", WHOLE, drawn=[1] * number) for number in range(3)]
    found = Sharing(workers, sides).compare("", parts, here)
    assert [each.documents for each in found] == [0, 1, 2]
    assert caplog.messages == ["A worker died: what it had of Tasks is compared here"]


def test_an_error_of_a_comparison_is_not_taken_for_the_end() -> None:
    def here(_: Part) -> Comparison:
        raise IndexError("of the comparison")

    workers: Any = Workers(processes=1)
    sides: Any = None
    with pytest.raises(IndexError, match="of the comparison"):
        Sharing(workers, sides).compare("", [Part("Tasks", WHOLE)], here)
