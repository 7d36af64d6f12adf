"""The checks of a table that two processes share: each is done once, by whichever is free."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from migration_assets.validation.checks import Layers, together
from migration_assets.validation.evidence import Evidence, Layer, Severity
from migration_assets.validation.shared_checks import SharedChecks


class Other:
    """A second process that is done with a check when it is told so."""

    def __init__(self) -> None:
        self.given: dict[Layers, Future[list[Evidence]]] = {}

    def submit(self, layers: Layers) -> Future[list[Evidence]]:
        assert layers not in self.given
        self.given[layers] = Future()
        return self.given[layers]

    def finish(self, layers: Layers) -> None:
        self.given[layers].set_result([evidence(layer) for layer in layers])


def evidence(layer: Layer) -> Evidence:
    return Evidence(
        table="Users",
        layer=layer,
        passed=True,
        severity=Severity.ERROR,
        is_sound=True,
        summary="",
        next_step="",
    )


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


def test_alone_this_process_does_them_all_in_order() -> None:
    checks = SharedChecks(Layer, None)
    assert list(checks) == [COUNTS, COMPARED]
    assert checks.given == {}


def test_the_other_makes_the_longest_meanwhile() -> None:
    other = Other()
    checks = SharedChecks(Layer, other.submit)
    assert list(checks.given) == list(other.given) == [COMPARED]
    other.finish(COMPARED)
    assert list(checks) == [COUNTS, COMPARED]
    assert [evidence.layer for evidence in checks.given[COMPARED].result()] == [*COMPARED]


@pytest.mark.parametrize("layers", [[Layer.VALUES], [Layer.TYPES], [*COMPARED], []])
def test_a_check_alone_is_done_here(layers: list[Layer]) -> None:
    other = Other()
    assert list(SharedChecks(layers, other.submit)) == together(layers)
    assert other.given == {}


def test_whatever_compares_all_rows_is_the_longest() -> None:
    other = Other()
    checks = SharedChecks([Layer.REFERENCES, Layer.ROW_COUNT], other.submit)
    assert list(checks) == [COUNTS, (Layer.REFERENCES,)]
    assert list(other.given) == [(Layer.REFERENCES,)]
