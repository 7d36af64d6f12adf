"""What goes to a measured process and what comes back from it, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CLEAN, TEXT_IDS, DIRTY = "clean", "ids as texts", "5 % dirty"
"""The sources that load and checks are measured with besides the usual one, which is clean."""

CHANGED = "changed documents"
"""What the number of changed documents is called among the counts of a sample."""


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of work for a process of its own.

    Attributes:
        work: Name of the work, a key of ``child.WORKS``.
        source: URL of the MongoDB database.
        target: URL of the PostgreSQL database.
        storage: URL of the database for Dagster's own storage.
        directory: Where the work finds or puts files.
        options: What else it must know, as JSON has it.
    """

    work: str
    source: str = field(repr=False)
    target: str = field(default="", repr=False)
    storage: str = field(default="", repr=False)
    directory: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """What a process says of its work.

    Attributes:
        seconds: How long the work took, without start and imports.
        stages: Seconds by stage. Those of a load overlap, so they may exceed the whole.
        counts: What there is to count, such as the rows that were written.
        problem: Why its figures are not to be quoted, None where nothing is wrong.
    """

    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one kind of work.

    Attributes:
        name: What was measured.
        scale: Size of the sample.
        number: Which of the repeats, from 1.
        seconds: How long the work took, without start and imports; that of the process where it does
            not say.
        process_seconds: From the start of the process to its end.
        cpu_seconds: User and system time of the process and of those that it waited for.
        server_seconds: User and system time of both servers meanwhile.
        peak_megabytes: Resident memory of all of those together.
        load_average: Processes that wanted a processor in the minute before.
        stages: Seconds by stage.
        counts: What there was to count.
        problem: Why the figures are not to be quoted, None where the rows were verified.
    """

    name: str
    scale: float
    number: int
    seconds: float
    process_seconds: float
    cpu_seconds: float
    server_seconds: float
    peak_megabytes: float
    load_average: float
    stages: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    problem: str | None = None
