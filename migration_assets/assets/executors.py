"""What distributes the steps of a run: the user's choice.

A step needs its environment and the two databases, nothing of another step's process. In one process a
step costs little, which is right for small databases; with ``multiprocess`` the tables that do not refer
to each other are loaded and checked side by side. Another executor, such as those of Celery or
Kubernetes, is given to ``build_defs``.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from migration_assets.settings import EXECUTOR

IN_PROCESS, MULTIPROCESS = EXECUTOR.words

EXECUTORS: Mapping[str, dg.ExecutorDefinition] = {
    IN_PROCESS: dg.in_process_executor,
    # A server of processes that has imported everything: a step starts in a fraction of a second.
    MULTIPROCESS: dg.multiprocess_executor.configured(
        {"start_method": {"forkserver": {"preload_modules": ["migration_assets.definitions"]}}},
        name=MULTIPROCESS,
    ),
}


def chosen_executor() -> dg.ExecutorDefinition:
    """Returns the executor that the environment asks for.

    Raises:
        MigrationError: There is none of that name.
    """
    return EXECUTORS[EXECUTOR.read()]
