"""Retries: after which errors, how often, and with which waits."""

from __future__ import annotations

import pytest

from migration_assets.errors import MigrationError, TargetError
from migration_assets.retrying import Patience, with_retries
from migration_assets.settings import ATTEMPTS


def _error(*, is_transient: bool) -> TargetError:
    return TargetError("gone", where="here", next_step="Wait.", is_transient=is_transient)


def test_a_transient_error_is_retried_with_growing_waits() -> None:
    failures = [_error(is_transient=True) for _ in range(3)]
    waits: list[float] = []
    messages: list[str] = []

    def work() -> str:
        if failures:
            raise failures.pop()
        return "done"

    outcome = with_retries(
        work,
        say=messages.append,
        patience=Patience(attempts=5, delay=1, longest=3),
        sleep=waits.append,
    )

    assert outcome == "done"
    assert waits == [1, 2, 3]
    assert messages[0] == "here: gone. Wait. Attempt 1 of 5; next in 1 s."


def test_a_permanent_error_fails_at_once() -> None:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        raise _error(is_transient=False)

    with pytest.raises(TargetError):
        with_retries(work, say=lambda _: None, sleep=lambda _: None)
    assert calls == 1


def test_it_ends_after_the_last_attempt() -> None:
    calls = 0

    def work() -> None:
        nonlocal calls
        calls += 1
        raise _error(is_transient=True)

    with pytest.raises(TargetError):
        with_retries(work, say=lambda _: None, patience=Patience(attempts=3), sleep=lambda _: None)
    assert calls == 3


def test_attempts_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ATTEMPTS.name, "2")
    assert Patience.configured().attempts == 2
    monkeypatch.setenv(ATTEMPTS.name, "none")
    with pytest.raises(MigrationError, match="whole number"):
        Patience.configured()
