"""The ``MetaData`` of the tables and enum types of NextCRM."""

from __future__ import annotations

from migration_assets.model.tables import new_metadata

METADATA = new_metadata()
