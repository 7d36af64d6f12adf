"""What the tables and enum types of NextCRM are declared in."""

from __future__ import annotations

from migration_assets.model.tables import new_metadata

METADATA = new_metadata()
