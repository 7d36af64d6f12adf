"""Which program makes rows of documents: what it was loaded with is current only while this is the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import migration_assets

MAKERS = (
    "arrow.py",
    "conversion",
    "identity.py",
    "known_ids.py",
    "loading",
    "model",
    "remediation",
    "source",
)
"""What makes cells of documents. Checks, commands, messages and the UI do not: a correction of theirs leaves
the rows what they are, and the final run a small difference."""

LIBRARIES = ("nanoarrow", "numpy", "orjson", "polars", "psycopg", "pymongo")
"""What reads, converts and writes beside our own code."""


@cache
def program_version() -> str:
    """Returns a digest of what makes rows of documents, 32 hex digits.

    The source itself, not its version number, so that a correction in a working copy counts too. It takes
    some milliseconds, once for each process.
    """
    package = Path(migration_assets.__file__).parent
    libraries = [f"python {platform.python_version()}"]
    libraries += [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    return digest_of(package, libraries)


def digest_of(package: Path, libraries: Sequence[str]) -> str:
    """Returns a digest of the files of a package that make rows, and of the versions of libraries."""
    digest = hashlib.blake2b("\n".join(libraries).encode(), digest_size=16)
    for file in making_files(package):
        digest.update(f"\n{file.relative_to(package).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def making_files(package: Path) -> list[Path]:
    """Returns the files of a package that make rows, in order."""
    places = [package / name for name in MAKERS]
    files = [place for place in places if place.is_file()]
    files += [file for place in places if place.is_dir() for file in place.rglob("*.py")]
    return sorted(files)
