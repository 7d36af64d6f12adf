"""Whose the target is: ours until somebody signs a GO, the application's from then on (section 8).

A load brings a table to the source's state. After go-live that would undo what the application has
written, so a table that was touched since its load is refused, and nothing that the application may have
dropped is created again, until the sign-off is withdrawn by name. Neither a later NO-GO nor a verdict that
nobody signed gives the target back.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa
from psycopg import sql

from migration_assets.errors import LoadError, MigrationError, TargetError
from migration_assets.model import model_of
from migration_assets.target.bookkeeping import BOOKKEEPING, SCHEMA, sign_offs
from migration_assets.target.connection import Connection
from migration_assets.target.marks import are_untouched

WITHDRAW = "migration-assets sign-off --withdraw NAME --reason TEXT"

_SIGN_OFFS = sql.Identifier(SCHEMA, sign_offs.name)
_STANDS = sql.SQL("verdict = 'GO' AND approver IS NOT NULL AND withdrawn_at IS NULL")

_CASCADES = """
    SELECT format('%s.%s', n.nspname, c.relname)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'f' AND k.confrelid = {table}::regclass AND k.confdeltype NOT IN ('a', 'r')
      AND NOT (n.nspname = 'public' AND c.relname = ANY({ours}))
    ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class SignedGo:
    """A GO that somebody signed and nobody has withdrawn.

    Attributes:
        approver: Who signed.
        signed_at: When.
    """

    approver: str
    signed_at: dt.datetime

    def __str__(self) -> str:
        """Returns it in words."""
        return f"{self.approver} signed a GO on {self.signed_at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def standing_go(connection: Connection) -> SignedGo | None:
    """Returns the last GO that was signed and not withdrawn, None where the target is still ours."""
    exists = connection.execute("SELECT to_regclass(%s)", [_SIGN_OFFS.as_string()]).fetchone()
    if exists == (None,):
        return None
    query = sql.SQL("SELECT approver, signed_at FROM {} WHERE {} ORDER BY signed_at DESC LIMIT 1")
    row = connection.execute(query.format(_SIGN_OFFS, _STANDS)).fetchone()
    return None if row is None else SignedGo(*row)


def withdraw(connection: Connection, name: str, reason: str) -> SignedGo:
    """Withdraws every standing GO, so that loads are possible again.

    Args:
        connection: A connection to the target.
        name: Who withdraws it.
        reason: Why.

    Returns:
        The last of them, as it stood.

    Raises:
        MigrationError: Name or reason is missing, or no signed GO stands.
    """
    if not (name.strip() and reason.strip()):
        raise MigrationError(
            "a withdrawal has a name and a reason",
            where="sign-off",
            next_step=f"Write `{WITHDRAW}`",
        )
    with connection.transaction():
        signed = standing_go(connection)
        if signed is None:
            raise MigrationError(
                "no GO stands that somebody has signed, so there is nothing to withdraw",
                where=f"database {connection.info.dbname}",
                next_step="Loads are not refused: go on",
            )
        connection.execute(
            sql.SQL(
                "UPDATE {} SET withdrawn_at = clock_timestamp(), withdrawn_by = %s, "
                "withdrawal_reason = %s WHERE {}"
            ).format(_SIGN_OFFS, _STANDS),
            [name.strip(), reason.strip()],
        )
    return signed


def withdrawal_of(connection: Connection, sealed: str) -> str:
    """Returns who withdrew the sign-off of a digest, when and why, in words; empty where nobody did."""
    row = connection.execute(
        sql.SQL(
            "SELECT withdrawn_by, withdrawn_at, withdrawal_reason FROM {} "
            "WHERE digest = %s AND withdrawn_at IS NOT NULL"
        ).format(_SIGN_OFFS),
        [sealed],
    ).fetchone()
    if row is None:
        return ""
    name, moment, reason = row
    return f"withdrawn by {name} on {moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC: {reason}"


def require_ours(connection: Connection, table: sa.Table) -> None:
    """Refuses to write to a table that somebody else has written to since a signed GO.

    It is asked before a load begins, and again in the merging transaction: that one sees one moment, and
    fails where somebody changes the same rows after it.

    Args:
        connection: A connection to the target.
        table: The table; of bookkeeping nothing is the application's.

    Raises:
        LoadError: A GO is signed, and the table is not as its last load left it.
    """
    if table.metadata is BOOKKEEPING:
        return
    signed = standing_go(connection)
    if signed is not None and not are_untouched(connection, [table]):
        raise LoadError(
            f"the target was written to since the load, and {signed}: the target is the application's, and a "
            "load would undo what it wrote (VACUUM FULL, ALTER TABLE, a new label of an enum and a dump that "
            "was restored look the same)",
            where=f"table {table.name}",
            next_step=f"Leave the target as it is. To load it all the same, save what was written by "
            f"`migration-assets export-gained`, then `{WITHDRAW}`",
        )


def require_no_cascade(connection: Connection, table: sa.Table) -> None:
    """Refuses to delete rows of a table after a signed GO where that changes tables of the application's own.

    Raises:
        LoadError: A GO is signed, and a foreign key from a table that the model does not know would delete or
            change its rows.
    """
    if table.metadata is BOOKKEEPING or (signed := standing_go(connection)) is None:
        return
    query = sql.SQL(_CASCADES).format(
        table=sql.Literal(sql.Identifier("public", table.name).as_string()),
        ours=sql.Literal(list(model_of(table).tables)),
    )
    others = [name for (name,) in connection.execute(query)]
    if others:
        raise LoadError(
            f"its rows whose document is gone would take rows of {', '.join(others)} with them, and "
            f"{signed}: the target is the application's",
            where=f"table {table.name}",
            next_step=f"Leave the target as it is, or `{WITHDRAW}`",
        )


def refused_to_create(connection: Connection, signed: SignedGo, missing: str) -> TargetError:
    """Returns the error for a missing object that is not created again after a signed GO.

    Args:
        connection: A connection to the target.
        signed: The GO.
        missing: What is not as in the model, in words.
    """
    return TargetError(
        f"{missing} is not there any more or is another now, and {signed}: the target is the application's, "
        "which may have meant it",
        where=f"database {connection.info.dbname}",
        next_step=f"Leave the target as it is. To migrate into it all the same, `{WITHDRAW}`",
    )
