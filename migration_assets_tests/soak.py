"""`make soak`: more faults than the tests have time for, and the page of their figures.

Nothing of `docs/reliability.md` is written by hand: change it here, and run the command again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from pymongo import MongoClient

from migration_assets.assets.retries import STEP_RETRIES, STEP_WAIT
from migration_assets.retrying import Patience
from migration_assets.source.connection import Document
from migration_assets.target.connection import open_target
from migration_assets_tests import ROOT
from migration_assets_tests.support import faults
from migration_assets_tests.support.faults import Figures, Ground

KILLS = 200
"""How often the process is killed where nothing is said: the whole measure."""

PAGE = ROOT / "docs" / "reliability.md"

_TEXT = """\
# Reliability

Written by `{command}` on {date}, in {minutes:.0f} minutes, on
{machine}.{part}

**{faults} faults of {kinds} kinds; losses: {losses}; false GO: {false_gos}.**

| what was done | faults | loads resumed | begun again | attempts repeated | comparisons | losses | false GO |
|---|--:|--:|--:|--:|--:|--:|--:|
{lines}

- **Resumed:** the load continued after its last committed batch. **Begun again:** it started over
  and said why, since the source, the model or staging had changed. **Attempts repeated:** it went
  on from its last position after a lost connection.
- **Loss:** a row, or a line of the books, that is missing, doubled or different. After each fault
  the load was started again, or went on by itself. Then all rows of all tables and all lines of the
  books were compared with those of an undisturbed load of the same source.
- **False GO:** a difference that all checks call green, or a command that says GO of a damaged
  target. The four checks judged the undisturbed load and every load after a fault.

The faults are real. Processes and servers end by SIGKILL, at moments drawn with the seed {seed};
one load bears several kills. Locks hold a load where a fault has to hit it. The full disk is a file
system of its own. The sample is small and dirty, in small batches, so that there is much to
interrupt. Seven tables stand for all kinds of loads. `make test` does a part of this with fixed
seeds, {ci_kills} kills among them.

## What is tried again, and what is not

| what fails | what happens |
|---|---|
| a connection, a cursor, a primary that steps down, a restart, a deadlock | the step tries {attempts} times in all, after {delays} s (`MIGRATION_ATTEMPTS`) |
| that goes on failing | Dagster starts the step again, {step_retries} times, after {step_wait:.0f} s each; the UI shows it as up for retry |
| the process of a run: killed, out of memory | Dagster's daemon starts the run again from where it failed, twice (`run_retries` in `dagster.yaml`); without the daemon, and with `migration-assets run`, start it again |
| anything else: a full disk, a missing privilege, a wrong URL, a NO-GO | fails at once, with one line: what, where, next step |

With `MIGRATION_ATTEMPTS=1` a run tries nothing again.

## What was not tried

- Loss of power: the servers of these runs do not wait for the disk.
- A network that loses single packets, and clocks that differ.
- An election of a new primary during a load. Its error codes are retried, but no election was made.
"""  # noqa: E501 - Markdown


def campaign(ground: Ground, *, kills: int, seed: int) -> Iterator[Figures]:
    """Yields the figures of each kind of faults.

    Args:
        ground: Where.
        kills: How often the process is killed; the other kinds are fewer in proportion.
        seed: Of the moments.
    """
    chance = random.Random(seed)
    few = max(1, kills // 20)
    yield faults.killed(ground, chance, kills)
    yield faults.postgres_killed(ground, "COPY", few)
    yield faults.postgres_killed(ground, "the merge", few)
    yield faults.mongod_killed(ground, chance, few)
    yield faults.connections_cut(ground, chance, 4 * few)
    yield faults.two_runners(ground, few)
    yield faults.locks_cut(ground, chance, 2 * few)
    yield faults.second_commands(ground, chance, few)
    yield faults.interrupted(ground, chance, 3 * few)
    yield faults.hostile_settings(ground, chance, few)
    yield faults.another_plan(ground, chance, few)
    yield faults.source_changing(ground, chance, few)
    try:
        yield faults.disk_full(ground, step=500_000)
    except faults.NoDiskError as error:
        print(f"disk full: not tried, this account cannot mount a small disk: {error}")


def page(figures: Sequence[Figures], *, kills: int, seed: int, seconds: float, machine: str) -> str:
    """Returns the page, in Markdown."""
    part = f"\nIt is a part of the measure of {KILLS} kills, with fewer faults of every kind."
    patience = Patience()
    waits = [f"{patience.wait(attempt):g}" for attempt in range(1, patience.attempts)]
    return _TEXT.format(
        command=f"make soak KILLS={kills} SEED={seed}",
        part=part if kills < KILLS else "",
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        minutes=seconds / 60,
        machine=machine,
        faults=sum(results.faults for results in figures),
        kinds=len(figures),
        losses=sum(results.losses for results in figures),
        false_gos=sum(results.false_gos for results in figures),
        lines="\n".join(
            f"| {results.kind} | {results.faults} | {results.resumed} | {results.anew} | {results.retried} | "
            f"{results.compared} | {results.losses} | {results.false_gos} |"
            for results in figures
        ),
        seed=seed,
        ci_kills=faults.KILLS,
        attempts=patience.attempts,
        delays=", ".join(waits),
        step_retries=STEP_RETRIES,
        step_wait=STEP_WAIT,
    )


def machine_of(ground: Ground) -> str:
    """Returns in words what the figures were taken on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    with open_target(ground.urls.postgres_url) as connection:
        version = connection.info.server_version // 10_000
    client: MongoClient[Document] = MongoClient(ground.urls.mongodb_url)
    with client:
        mongodb = client.server_info()["version"]
    return (
        f"a machine with {os.cpu_count()} cores and {memory:.0f} GB ({platform.system()} "
        f"{platform.machine()}), Python {platform.python_version()}, PostgreSQL {version}, MongoDB {mongodb}"
    )


def main() -> int:
    """Tries the faults and writes the page. Exit code: 0 where nothing was lost and no GO false, else 1."""
    parser = argparse.ArgumentParser(prog="python -m migration_assets_tests.soak")
    parser.add_argument("--kills", type=int, default=KILLS, help="how often the process is killed")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other moments")
    parser.add_argument("--docs", type=Path, default=PAGE, help="where the page goes")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="migration-assets-"))
    started = time.monotonic()
    figures = []
    try:
        with faults.prepared(directory, scale=0.02, is_judging=True) as ground:
            for results in campaign(ground, kills=arguments.kills, seed=arguments.seed):
                print(results, flush=True)
                figures.append(results)
            machine = machine_of(ground)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    text = page(
        figures,
        kills=arguments.kills,
        seed=arguments.seed,
        seconds=time.monotonic() - started,
        machine=machine,
    )
    arguments.docs.write_text(text, encoding="utf-8")
    return 1 if any(results.losses or results.false_gos for results in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
