"""What the figures were measured on: the machine and the versions, without names of either's owner."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from pymongo import MongoClient

from migration_assets import __version__
from migration_assets.embedded import Urls

_PACKAGES = ("polars", "pymongo", "psycopg", "pandera", "dagster", "dagster-postgres")


def machine() -> Mapping[str, str]:
    """Returns processor, cores, memory and system."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages * size / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(urls: Urls) -> Mapping[str, str]:
    """Returns the versions of the two servers, of Python, and of what the load is made with."""
    with MongoClient[dict[str, Any]](urls.mongodb_url) as client:
        mongodb = str(client.server_info()["version"])
    with psycopg.connect(urls.postgres_url) as connection:
        number = connection.info.server_version
    found = {
        "migration-assets": __version__,
        "MongoDB": mongodb,
        "PostgreSQL": f"{number // 10_000}.{number % 10_000}",
        "Python": platform.python_version(),
    }
    return found | {name: importlib.metadata.version(name) for name in _PACKAGES}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
