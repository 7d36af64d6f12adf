"""The error of a rollback that could run, but must not."""

from __future__ import annotations

from migration_assets.errors import MigrationError


class RefusedError(MigrationError):
    """Going on would lose something; nothing was changed."""
