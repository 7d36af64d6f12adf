"""Brings a MongoDB application into PostgreSQL as a graph of Dagster assets, proven on NextCRM."""

from migration_assets.memory import share_freed_memory

__version__ = "0.1.0"

share_freed_memory()  # here, as it must come before the libraries that start threads
