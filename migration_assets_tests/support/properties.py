"""How often a property is tried: as often as it says, and more or less often where the profile says so."""

from __future__ import annotations

import os

from hypothesis import settings

SUITE = 40
"""How often the tests try a property that says no number."""


def load_profile() -> None:
    """Makes the profile that ``HYPOTHESIS_PROFILE`` names that of all properties."""
    # Often enough to fail within some runs; `thorough` is for a change of what a property is about.
    settings.register_profile("quick", max_examples=10, deadline=None)  # for `make test-unit`
    settings.register_profile("suite", max_examples=SUITE, deadline=None)
    settings.register_profile("thorough", max_examples=500, deadline=None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def examples(number: int) -> settings:
    """Returns the settings of a property that is tried so often by the profile `suite`."""
    return settings(max_examples=max(1, number * settings().max_examples // SUITE))
