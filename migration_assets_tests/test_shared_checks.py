"""The checks of a table that two processes share: each is done once, by whichever is free."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from migration_assets.validation.beside import SharedChecks
from migration_assets.validation.checks import Layers, together
from migration_assets.validation.evidence import Evidence, Layer, Severity


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


COMPARED = (Layer.VALUES, Layer.REFERENCES)
COUNTS, TYPES = (Layer.ROW_COUNT,), (Layer.TYPES,)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([*Layer], [COUNTS, COMPARED, TYPES]),
        ([Layer.REFERENCES, Layer.TYPES, Layer.VALUES], [COMPARED, TYPES]),
        ([Layer.REFERENCES], [(Layer.REFERENCES,)]),
        ([Layer.TYPES, Layer.VALUES], [TYPES, (Layer.VALUES,)]),
        ([], []),
    ],
)
def test_what_one_comparison_answers_is_made_together(
    wanted: list[Layer], found: list[Layers]
) -> None:
    assert together(wanted) == found


def test_alone_this_process_does_them_all_in_order() -> None:
    checks = SharedChecks(Layer, None)
    assert list(checks) == [COUNTS, COMPARED, TYPES]
    assert checks.given == {}


def test_the_other_begins_with_the_longest_and_takes_the_next_when_it_is_free() -> None:
    other = Other()
    checks = SharedChecks(Layer, other.submit)
    assert list(other.given) == [COMPARED]
    ours = iter(checks)
    assert next(ours) == COUNTS
    other.finish(COMPARED)
    assert list(other.given) == [COMPARED, TYPES]
    other.finish(TYPES)
    assert list(ours) == [COMPARED, TYPES]
    assert {
        layers: [evidence.layer for evidence in future.result()]
        for layers, future in checks.given.items()
    } == {COMPARED: [*COMPARED], TYPES: [*TYPES]}


def test_the_other_may_do_nothing_but_the_longest() -> None:
    other = Other()
    checks = SharedChecks(Layer, other.submit)
    assert list(checks) == [COUNTS, TYPES, COMPARED]
    assert list(checks.given) == list(other.given) == [COMPARED]


@pytest.mark.parametrize("layers", [[Layer.VALUES], [Layer.TYPES], [*COMPARED], []])
def test_a_check_alone_is_done_here(layers: list[Layer]) -> None:
    other = Other()
    assert list(SharedChecks(layers, other.submit)) == together(layers)
    assert other.given == {}


def test_without_the_longest_the_other_takes_the_first() -> None:
    other = Other()
    checks = SharedChecks([Layer.REFERENCES, Layer.TYPES], other.submit)
    assert list(checks) == [TYPES, (Layer.REFERENCES,)]
    assert list(other.given) == [(Layer.REFERENCES,)]


@pytest.mark.parametrize("end", ["error", "cancel"])
def test_the_dead_are_given_nothing_more(end: str) -> None:
    other = Other()
    checks = SharedChecks(Layer, other.submit)
    if end == "error":
        other.given[COMPARED].set_exception(BrokenProcessPool())
    else:
        other.given[COMPARED].cancel()
        other.given[COMPARED].set_running_or_notify_cancel()
    # That it failed is for whoever asks for its result.
    assert list(checks) == [COUNTS, TYPES, COMPARED]
    assert list(other.given) == [COMPARED]


def test_what_cannot_be_given_is_done_here() -> None:
    other = Other()

    def submit(layers: Layers) -> Future[list[Evidence]]:
        if other.given:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return other.submit(layers)

    checks = SharedChecks(Layer, submit)
    other.finish(COMPARED)
    assert sorted(checks) == sorted([COUNTS, COMPARED, TYPES])
    assert list(checks.given) == [COMPARED]


def test_who_stops_early_leaves_nothing_to_the_other() -> None:
    other = Other()
    ours = iter(SharedChecks(Layer, other.submit))
    assert next(ours) == COUNTS
    ours.close()  # type: ignore[attr-defined]
    other.finish(COMPARED)
    assert list(other.given) == [COMPARED]
