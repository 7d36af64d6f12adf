"""The measured process: reads a task as JSON from standard input, does it, writes what it did to a file.

What the work needs is imported only here and only for it, so that memory and imports are its own.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from migration_assets_bench.tasks import Done, Task

WORKS: Mapping[str, str] = {
    "sample": "migration_assets_bench.sample:make",
    "variant": "migration_assets_bench.sample:make_variant",
    "warm": "migration_assets_bench.sample:warm",
    "rows": "migration_assets_bench.floor:prepare",
    "empty": "migration_assets_bench.floor:empty_tables",
    "floor": "migration_assets_bench.floor:measure",
    "load": "migration_assets_bench.ours:load",
    "checks": "migration_assets_bench.checks:run",
    "cycle": "migration_assets_bench.cycle:without_dagster",
    "dagster": "migration_assets_bench.cycle:with_dagster",
}
"""Where each kind of work is: a function from a task to what was done."""


def main() -> None:
    """Does the task that stands on standard input."""
    task = Task(**json.load(sys.stdin))
    module, _, name = WORKS[task.work].partition(":")
    work: Callable[[Task], Done] = getattr(importlib.import_module(module), name)
    done = work(task)
    Path(sys.argv[1]).write_text(json.dumps(asdict(done)), encoding="utf-8")


if __name__ == "__main__":
    main()
