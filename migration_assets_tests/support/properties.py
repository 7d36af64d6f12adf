"""How many examples a property tries: its own number, scaled by the profile."""

from __future__ import annotations

import os

from hypothesis import settings

SUITE = 40
"""How many examples a property tries that gives no number."""


def load_profile() -> None:
    """Loads the profile that ``HYPOTHESIS_PROFILE`` names, for all properties."""
    # Often enough to fail within some runs; `thorough` is for a change of what a property is about.
    settings.register_profile("quick", max_examples=10, deadline=None)  # for `make test-unit`
    settings.register_profile("suite", max_examples=SUITE, deadline=None)
    settings.register_profile("thorough", max_examples=500, deadline=None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def examples(number: int) -> settings:
    """Returns the settings of a property with so many examples in the profile `suite`."""
    return settings(max_examples=max(1, number * settings().max_examples // SUITE))
