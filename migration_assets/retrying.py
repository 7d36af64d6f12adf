"""Retries after failures that pass: a lost connection, a restart, a deadlock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from migration_assets.errors import MigrationError
from migration_assets.settings import ATTEMPTS

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on trying.

    Attributes:
        attempts: How often in all, the first included.
        delay: Seconds before the second attempt; each further wait is twice as long.
        longest: No wait is longer, in seconds.
    """

    attempts: int = ATTEMPTS.default
    delay: float = 0.5
    longest: float = 15.0

    @classmethod
    def configured(cls) -> Patience:
        """Returns the patience with as many attempts as ``MIGRATION_ATTEMPTS`` says, where it is set.

        Raises:
            MigrationError: It is not a whole number above 0.
        """
        return cls(attempts=ATTEMPTS.read())

    def wait(self, attempt: int) -> float:
        """Returns the seconds to wait after an attempt, counted from 1."""
        return min(self.longest, self.delay * 2.0 ** (attempt - 1))


def with_retries(
    work: Callable[[], Result],
    *,
    say: Callable[[str], None],
    patience: Patience | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Returns the result of some work, which is retried after a failure that passes.

    The work must open what it uses anew each time, and must not do twice what it did already: a load goes
    on after its last committed batch.

    Args:
        work: What is tried.
        say: Is told of each failed attempt.
        patience: How long to go on; as configured where None.
        sleep: Waits, for tests.

    Raises:
        MigrationError: It does not pass, or has not passed within the limit.
    """
    patience = patience or Patience.configured()
    for attempt in range(1, patience.attempts):
        try:
            return work()
        except MigrationError as error:
            if not error.is_transient:
                raise
            wait = patience.wait(attempt)
            say(f"{error} Attempt {attempt} of {patience.attempts}; next in {wait:g} s.")
            sleep(wait)
    return work()
