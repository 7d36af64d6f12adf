"""The checks of a table that two processes share: each is done once, by whichever is free."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from migration_assets.validation.beside import SharedChecks
from migration_assets.validation.evidence import Evidence, Layer, Severity


class Other:
    """A second process that is done with a check when it is told so."""

    def __init__(self) -> None:
        self.given: dict[Layer, Future[Evidence]] = {}

    def submit(self, layer: Layer) -> Future[Evidence]:
        assert layer not in self.given
        self.given[layer] = Future()
        return self.given[layer]

    def finish(self, layer: Layer) -> None:
        self.given[layer].set_result(evidence(layer))


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


def test_alone_this_process_does_them_all_in_order() -> None:
    checks = SharedChecks(Layer, None)
    assert list(checks) == list(Layer)
    assert checks.given == {}


def test_the_other_begins_with_the_longest_and_takes_the_next_when_it_is_free() -> None:
    other = Other()
    checks = SharedChecks(Layer, other.submit)
    assert list(other.given) == [Layer.VALUES]
    ours = iter(checks)
    assert next(ours) == Layer.ROW_COUNT
    other.finish(Layer.VALUES)
    assert list(other.given) == [Layer.VALUES, Layer.REFERENCES]
    assert next(ours) == Layer.TYPES
    other.finish(Layer.REFERENCES)
    assert list(ours) == [Layer.VALUES, Layer.REFERENCES]
    assert {layer: each.result().layer for layer, each in checks.given.items()} == {
        Layer.VALUES: Layer.VALUES,
        Layer.REFERENCES: Layer.REFERENCES,
    }


def test_the_other_may_do_nothing_but_the_longest() -> None:
    other = Other()
    checks = SharedChecks(Layer, other.submit)
    assert list(checks) == [Layer.ROW_COUNT, Layer.REFERENCES, Layer.TYPES, Layer.VALUES]
    assert list(checks.given) == list(other.given) == [Layer.VALUES]


@pytest.mark.parametrize("layers", [[Layer.VALUES], [Layer.TYPES], []])
def test_a_check_alone_is_done_here(layers: list[Layer]) -> None:
    other = Other()
    assert list(SharedChecks(layers, other.submit)) == layers
    assert other.given == {}


def test_without_the_longest_the_other_takes_the_first() -> None:
    other = Other()
    assert list(SharedChecks([Layer.REFERENCES, Layer.TYPES], other.submit)) == [
        Layer.TYPES,
        Layer.REFERENCES,
    ]
    assert list(other.given) == [Layer.REFERENCES]


@pytest.mark.parametrize("end", ["error", "cancel"])
def test_the_dead_are_given_nothing_more(end: str) -> None:
    other = Other()
    checks = SharedChecks(Layer, other.submit)
    if end == "error":
        other.given[Layer.VALUES].set_exception(BrokenProcessPool())
    else:
        other.given[Layer.VALUES].cancel()
        other.given[Layer.VALUES].set_running_or_notify_cancel()
    # That it failed is for whoever asks for its result.
    assert list(checks) == [Layer.ROW_COUNT, Layer.REFERENCES, Layer.TYPES, Layer.VALUES]
    assert list(other.given) == [Layer.VALUES]


def test_what_cannot_be_given_is_done_here() -> None:
    other = Other()

    def submit(layer: Layer) -> Future[Evidence]:
        if other.given:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return other.submit(layer)

    checks = SharedChecks(Layer, submit)
    other.finish(Layer.VALUES)
    assert sorted(checks) == sorted(Layer)
    assert list(checks.given) == [Layer.VALUES]


def test_who_stops_early_leaves_nothing_to_the_other() -> None:
    other = Other()
    ours = iter(SharedChecks(Layer, other.submit))
    assert next(ours) == Layer.ROW_COUNT
    ours.close()  # type: ignore[attr-defined]
    other.finish(Layer.VALUES)
    assert list(other.given) == [Layer.VALUES]
