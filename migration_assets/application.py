"""Which application is migrated: NextCRM, or the one whose model ``MIGRATION_MODEL`` names."""

from __future__ import annotations

from migration_assets.errors import MigrationError
from migration_assets.model import Model, model_at
from migration_assets.settings import MODEL


def chosen_model() -> Model:
    """Returns the model of the application that is migrated.

    Raises:
        MigrationError: The variable names none, or one that contradicts itself.
    """
    path = MODEL.read()
    try:
        return model_at(path)
    except ValueError as error:
        raise MigrationError(
            str(error),
            where=f"model {path}",
            next_step=f"Set {MODEL.name} to package.module:NAME of a Model that Python can import",
        ) from error
