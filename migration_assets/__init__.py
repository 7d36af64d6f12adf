"""Brings a MongoDB application into PostgreSQL as a graph of Dagster assets, proven on NextCRM."""

__version__ = "0.1.0"
