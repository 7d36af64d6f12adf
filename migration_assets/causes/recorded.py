"""The causes of the losses on record in the target, each with the rules that would resolve it."""

from __future__ import annotations

from migration_assets.causes.books import recorded_losses
from migration_assets.causes.origins import known_from
from migration_assets.causes.proposals import Proposal, proposals
from migration_assets.causes.tracing import Cause, causes_of
from migration_assets.model import Model
from migration_assets.source.connection import SourceDatabase
from migration_assets.target.connection import Connection

Explained = tuple[Cause, Proposal]
"""A cause, and the rules that would resolve it; they hold no value of a document."""


def recorded_causes(
    model: Model, source: SourceDatabase, connection: Connection
) -> list[Explained]:
    """Returns the causes of the losses on record, the largest first.

    Args:
        model: The application's tables.
        source: The source database, where ids that lead nowhere are looked up.
        connection: A connection to the target; only read.
    """
    losses = recorded_losses(model, connection)
    return proposals(model, causes_of(losses, known_from(model, source, losses)), source)
