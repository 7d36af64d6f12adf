"""Which program makes rows of documents: what it was loaded with is current only while this is the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import cache
from pathlib import Path

import migration_assets

_LIBRARIES = ("polars", "pymongo")
"""What decodes and converts beside our own code."""


@cache
def program_version() -> str:
    """Returns a digest of this package's source and of what it decodes and converts with, 32 hex digits.

    The source itself, not its version number, so that a correction in a working copy counts too. It takes
    some 10 milliseconds, once for each process.
    """
    digest = hashlib.blake2b(platform.python_version().encode(), digest_size=16)
    for library in _LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}\n".encode())
    package = Path(migration_assets.__file__).parent
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()
