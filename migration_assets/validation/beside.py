"""The longest check of a large table in a second process, beside the other checks of the table.

Comparing all values takes as long as the three other checks together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bson.timestamp import Timestamp
from psycopg import sql

from migration_assets.model import TABLES
from migration_assets.remediation.rules import Remediations
from migration_assets.second_process import SecondProcess
from migration_assets.source.connection import open_source
from migration_assets.source.snapshots import at_moment
from migration_assets.target.connection import Connection, open_target
from migration_assets.validation.checks import run_check
from migration_assets.validation.evidence import Evidence, Layer


@dataclass(frozen=True, slots=True)
class CheckTask:
    """A check of a table, as another process can be told of it.

    Attributes:
        source_url: MongoDB URL with the name of the database.
        target_url: PostgreSQL URL.
        moment: When to read the source at; None for the present.
        table: Name of the table.
        layer: Which check.
        remediations: The rules that hold.
    """

    source_url: str = field(repr=False)
    target_url: str = field(repr=False)
    moment: Timestamp | None
    table: str
    layer: Layer
    remediations: Remediations


def is_worth(second: SecondProcess, connection: Connection, table: str) -> bool:
    """Tells whether a table has rows enough for a second process."""
    return second.is_worth_rows_of(
        connection, sql.SQL("SELECT FROM {}").format(sql.Identifier(table))
    )


def checked_alone(task: CheckTask) -> Evidence:
    """Runs a check over connections of its own."""
    with open_source(task.source_url) as source, open_target(task.target_url) as connection:
        return run_check(
            source if task.moment is None else at_moment(source, task.moment),
            connection,
            TABLES[task.table],
            task.layer,
            remediations=task.remediations,
        )
