"""The consequences of the application's next release for a migrated database, counted beforehand."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Expression = Mapping[str, Any]
"""A condition as an expression of MongoDB's aggregation."""


class UpgradeOutcome(enum.StrEnum):
    """The outcome for a table, column or row."""

    REFUSED = "refused"
    """A schema migration fails."""
    DROPPED = "dropped"
    """It is gone, unless it was put aside."""
    CHANGED = "changed"
    """It is there, as something else."""
    UNREADABLE = "unreadable"
    """The application cannot read it, or the user cannot sign in."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """A change that the upgrade makes to a table.

    Attributes:
        outcome: What becomes of it.
        table: The table, and the collection.
        fields: The fields that it hangs on; it is about the first, or about the rows where there is none.
        what: What it is, to stand before a count.
        condition: Which rows have it, in SQL.
        in_source: Which documents have it; a list of stages where it takes more than one document.
        next_step: What to do about it.
    """

    outcome: UpgradeOutcome
    table: str
    fields: tuple[str, ...]
    what: str
    condition: str
    in_source: Expression | Sequence[Expression] | None
    next_step: str

    @property
    def field(self) -> str:
        """The field that it is about; empty where it is about the rows."""
        return self.fields[0] if self.fields else ""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The release that the application goes on to once it is migrated.

    Attributes:
        release: Its version.
        runbook: The page that says what to do.
        consequences: What it does not leave as it is; the preflight counts it in the source where it has a
            condition for it, the sign-off in the target.
    """

    release: str
    runbook: str
    consequences: Sequence[Consequence]
