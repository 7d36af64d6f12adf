"""Versions of the model: digests of the declarations of tables."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from migration_assets.model.tables import fields, junction_of, sources


def model_version(table: sa.Table) -> str:
    """Returns a digest of a table's declaration, 16 hex digits.

    It covers names, types, nullability, defaults and sources, so that a change of any of them makes what
    was loaded before it out of date.
    """
    relation = junction_of(table)
    parts = [f"{column.name} {column.type!r} {column.nullable}" for column in table.columns]
    parts += [repr(relation)] if relation else [repr(sources(table)), repr(sorted(fields(table)))]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
