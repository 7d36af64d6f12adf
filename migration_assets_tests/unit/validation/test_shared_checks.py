"""The checks of a table that several processes share: each is made once."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from migration_assets.validation.checks import Layers, together
from migration_assets.validation.evidence import Evidence, Layer
from migration_assets.validation.shared_checks import divided

COMPARED = (Layer.VALUES, Layer.REFERENCES, Layer.TYPES)
COUNTS = (Layer.ROW_COUNT,)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([*Layer], [COUNTS, COMPARED]),
        ([Layer.REFERENCES, Layer.TYPES, Layer.VALUES], [COMPARED]),
        ([Layer.REFERENCES], [(Layer.REFERENCES,)]),
        ([Layer.TYPES, Layer.VALUES], [(Layer.VALUES, Layer.TYPES)]),
        ([], []),
    ],
)
def test_what_one_comparison_answers_is_made_together(
    wanted: list[Layer], expected: list[Layers]
) -> None:
    assert together(wanted) == expected


def given_to_worker(_: Layers) -> Future[list[Evidence]]:
    return Future()


def test_alone_this_process_makes_them_all_in_order() -> None:
    assert [*divided(Layer, None).items()] == [(COUNTS, None), (COMPARED, None)]


@pytest.mark.parametrize("compared", [COMPARED, (Layer.REFERENCES,)])
def test_a_worker_makes_the_others_while_rows_are_compared(compared: Layers) -> None:
    answers = divided([Layer.ROW_COUNT, *compared], given_to_worker)
    assert [*answers] == [compared, COUNTS]
    assert answers[compared] is None
    assert answers[COUNTS] is not None


@pytest.mark.parametrize("layers", [[Layer.VALUES], [Layer.TYPES], [*COMPARED], []])
def test_a_check_alone_is_made_here(layers: list[Layer]) -> None:
    assert divided(layers, given_to_worker) == dict.fromkeys(together(layers))
