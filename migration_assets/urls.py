"""Environment variables, and how database URLs are shown without their secrets."""

from __future__ import annotations

import os
import re

from migration_assets.errors import MigrationError

SOURCE_VARIABLE = "SOURCE_MONGODB_URL"
TARGET_VARIABLE = "TARGET_POSTGRES_URL"
DAGSTER_VARIABLE = "DAGSTER_POSTGRES_URL"
ROLLBACK_VARIABLE = "ROLLBACK_MONGODB_URL"
REMEDIATIONS_VARIABLE = "MIGRATION_REMEDIATIONS"

_CREDENTIALS = re.compile(r"(?<=://).*@")
_QUERY = re.compile(r"\?.*$")
_URL = re.compile(r"\b(?:mongodb(?:\+srv)?|postgres(?:ql)?(?:\+\w+)?)://\S+")


def redacted(url: str) -> str:
    """Returns a URL without user, password and parameters."""
    return _QUERY.sub("", _CREDENTIALS.sub("", url))


def without_urls(message: str) -> str:
    """Returns a driver's message as one line in which every URL is redacted."""
    return _URL.sub(lambda found: redacted(found.group()), " ".join(message.split()))


def variable(name: str) -> str | None:
    """Returns an environment variable, None where it is unset or empty."""
    return os.environ.get(name) or None


def positive(name: str, default: int) -> int:
    """Returns an environment variable that must be a whole number above 0, the default where unset.

    Raises:
        MigrationError: It is something else.
    """
    value = variable(name)
    if value is None:
        return default
    if not value.isdecimal() or int(value) == 0:
        raise MigrationError(
            "is not a whole number above 0",
            where=name,
            next_step=f"Unset it for {default}, or give a number",
        )
    return int(value)
