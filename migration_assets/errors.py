"""The errors that a user reads: what happened, where, and what to do."""

from __future__ import annotations

from functools import partial

from migration_assets.text import one_line


class MigrationError(Exception):
    """An error that the operator can put right.

    Attributes:
        what: What happened, without values of documents and without secrets.
        where: The server, collection or table.
        next_step: What to do about it.
        is_transient: The reason may pass: the same may succeed in a moment.
    """

    def __init__(
        self, what: str, *, where: str, next_step: str, is_transient: bool = False
    ) -> None:
        self.what = what
        self.where = where
        self.next_step = next_step
        self.is_transient = is_transient
        super().__init__(one_line(f"{where}: {what}. {next_step}"))

    def __reduce__(self) -> tuple[object, ...]:
        """Tells how to make it again in another process."""
        rebuild = partial(
            type(self),
            self.what,
            where=self.where,
            next_step=self.next_step,
            is_transient=self.is_transient,
        )
        return rebuild, ()


class SourceError(MigrationError):
    """MongoDB or its contents cannot be used."""


class TargetError(MigrationError):
    """PostgreSQL or its contents cannot be used."""


class LoadError(MigrationError):
    """A table could not be brought to the state of its source."""


class RemediationError(MigrationError):
    """The file of remediations has mistakes."""


class UnexpectedError(MigrationError):
    """An unforeseen error. Its text may hold values of documents, so it is not repeated.

    Args:
        kind: The kind of the error.
        where: The line of code.
    """

    def __init__(self, kind: str, *, where: str) -> None:
        super().__init__(
            f"ended by an unexpected {kind}",
            where=where,
            next_step="What is committed stays: start again, and report this line if it comes again",
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Tells how to make it again in another process."""
        kind = self.what.rpartition(" ")[2]
        return partial(type(self), kind, where=self.where), ()
