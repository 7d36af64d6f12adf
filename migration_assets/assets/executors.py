"""What distributes the steps of a run: the user's choice.

A step needs its environment and the two databases, nothing of another step's process. In one process a
step costs little, which is right for small databases; with ``multiprocess`` the tables that do not refer
to each other are loaded and checked side by side. Another executor, such as those of Celery or
Kubernetes, is given to ``build_defs``.
"""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from migration_assets.errors import MigrationError
from migration_assets.urls import variable

EXECUTOR_VARIABLE = "MIGRATION_EXECUTOR"
IN_PROCESS, MULTIPROCESS = "in_process", "multiprocess"

EXECUTORS: Mapping[str, dg.ExecutorDefinition] = {
    IN_PROCESS: dg.in_process_executor,
    # A server of processes that has imported everything: a step starts in a fraction of a second.
    MULTIPROCESS: dg.multiprocess_executor.configured(
        {"start_method": {"forkserver": {"preload_modules": ["migration_assets.definitions"]}}},
        name=MULTIPROCESS,
    ),
}


def executor_name() -> str:
    """Returns the name of the executor that the environment asks for.

    Raises:
        MigrationError: There is none of that name.
    """
    name = variable(EXECUTOR_VARIABLE) or IN_PROCESS
    if name not in EXECUTORS:
        raise MigrationError(
            f"is neither {IN_PROCESS} nor {MULTIPROCESS}",
            where=EXECUTOR_VARIABLE,
            next_step="Unset it, or give one of the two; any other executor is given to `build_defs`",
        )
    return name


def chosen_executor() -> dg.ExecutorDefinition:
    """Returns the executor that the environment asks for.

    Raises:
        MigrationError: There is none of that name.
    """
    return EXECUTORS[executor_name()]
