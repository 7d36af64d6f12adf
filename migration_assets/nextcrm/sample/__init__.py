"""A NextCRM database in MongoDB, of any size and always the same: for tests, rehearsals and the demo.

The story of a document: how many there are and which `_id` each has (``population``), what its fields hold
(``values`` by rule, ``documents`` by meaning, ``words`` as the vocabulary), what it is connected with
(``relations``), and what is wrong with it where that is asked for (``places`` where a fault can be put,
``hand`` and ``faults`` that make it, ``extras`` that hold it, and the ``ledger`` of them). All of it follows
from the model of the tables, so a new column has values and faults at once. ``history`` is another database:
of the proportions of real ones, with the ``shapes`` that older versions of the application left (``shape``
is what one is).
"""

from __future__ import annotations

from pathlib import Path

from migration_assets.nextcrm.sample.generation import Progress, generate
from migration_assets.nextcrm.sample.history import generate_history
from migration_assets.nextcrm.sample.ledger import Entry, Expectation, Ledger, OldShape, SampleFault

__all__ = [
    "Entry",
    "Expectation",
    "Ledger",
    "OldShape",
    "Progress",
    "SampleFault",
    "generate",
    "generate_history",
    "sample_remediations",
]


def sample_remediations() -> Path:
    """Returns the file of rules that corrects the faults of a sample, or accepts them."""
    return Path(__file__).with_name("remediations.yaml")
