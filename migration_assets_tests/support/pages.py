"""Pages of the documentation, done as a user does them: each command that can run here, on real servers.

What a page shows below a command must be seen, and its exit code. How a block says that it is for
elsewhere stands in ``docs/runbooks/README.md``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from typer.testing import CliRunner

from migration_assets.cli import app
from migration_assets.embedded import Urls
from migration_assets.settings import SOURCE_URL, TARGET_URL
from migration_assets_tests import ROOT

DOCS = ROOT / "docs"

ELSEWHERE = "elsewhere: "
SHOWN_ONLY = ("text", "yaml", "json", "python", "ini")
"""Languages of blocks that are only read, not run."""

PROGRAM = "migration-assets "
SUBSTITUTION = re.compile(r"\$\([^()]*\)")
OF_THE_SHELL = re.compile(r"[|<>;&`]")
EXIT_CODE = re.compile(r"exit code (\d)")


@dataclass(frozen=True)
class Step:
    """A command, and the output that must appear."""

    command: str
    seen: list[str] = field(default_factory=list)
    code: int = 0


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        where: Page and line.
        language: What stands behind the backquotes.
        lines: What is in it.
    """

    where: str
    language: str
    lines: list[str]

    @property
    def elsewhere(self) -> str:
        """The reason why it cannot run here; empty where it can."""
        first = self.lines[0].lstrip("#- ")
        return first.removeprefix(ELSEWHERE) if first.startswith(ELSEWHERE) else ""

    def steps(self) -> list[Step]:
        """Returns its commands."""
        if self.language == "sql":
            text = "\n".join(self.lines)
            return [Step(f'psql -v ON_ERROR_STOP=1 "$TARGET_POSTGRES_URL" <<"EOF"\n{text}\nEOF')]
        steps: list[Step] = []
        for line in self.lines:
            if line.startswith("$ "):
                steps.append(Step(line[2:]))
            elif steps and steps[-1].command.endswith("\\"):
                steps[-1] = replace(steps[-1], command=f"{steps[-1].command}\n{line}")
            elif exit_code := EXIT_CODE.fullmatch(line):
                steps[-1] = replace(steps[-1], code=int(exit_code[1]))
            else:
                steps[-1].seen.append(line)
        return steps


def blocks(page: Path) -> list[Block]:
    """Returns the blocks of a page, those within lists too."""
    all_blocks: list[Block] = []
    opened: Block | None = None
    indent = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"( *)```(.*)", line)
        if fence and opened is None:
            indent = fence[1]
            opened = Block(f"{page.relative_to(ROOT)}:{number}", fence[2], [])
        elif fence and opened is not None:
            all_blocks.append(opened)
            opened = None
        elif opened is not None:
            opened.lines.append(line.removeprefix(indent))
    return all_blocks


@dataclass
class Shell:
    """A user's shell: what is exported stays.

    Attributes:
        variables: The environment.
        here: The working directory.
        times: Page and line, command and seconds of what was done.
    """

    variables: dict[str, str]
    here: Path
    times: list[tuple[str, str, float]] = field(default_factory=list)

    def do(self, block: Block) -> None:
        """Runs a block, and checks its exit codes and output."""
        for step in block.steps():
            started = time.perf_counter()
            code, output = self._run(step.command)
            self.times.append((block.where, step.command, time.perf_counter() - started))
            run_text = f"{block.where}: {step.command}\n{output}"
            assert code == step.code, f"exit code {code} of {run_text}"
            remaining = " ".join(output.split())
            for line in step.seen:
                for part in filter(None, (" ".join(piece.split()) for piece in line.split("…"))):
                    _, seen, remaining = remaining.partition(part)
                    assert seen, f"not seen: {part!r}, at its place in {run_text}"

    def _run(self, command: str) -> tuple[int, str]:
        if command.startswith(PROGRAM) and not OF_THE_SHELL.search(SUBSTITUTION.sub("", command)):
            # In this process, which has imported everything; the shell only says what the words are.
            output = subprocess.check_output(
                ["bash", "-euc", f"printf '%s\\0' {command}"],
                cwd=self.here,
                env=self.variables,
                text=True,
            )
            words = output.split("\0")[1:-1]
            result = CliRunner().invoke(app, words, env=self.variables)
            if not isinstance(result.exception, SystemExit | None):
                raise result.exception
            return result.exit_code, result.output
        environment_file = self.here / ".environment"
        result_of_bash = subprocess.run(
            [
                "bash",
                "-euo",
                "pipefail",
                "-c",
                f"{command}\nenv -0 > {shlex.quote(str(environment_file))}",
            ],
            cwd=self.here,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result_of_bash.returncode == 0:
            pairs = (
                variable.partition("=")
                for variable in environment_file.read_text().split("\0")
                if variable
            )
            self.variables = {name: value for name, _, value in pairs}
        return result_of_bash.returncode, result_of_bash.stdout

    def use(self, urls: Urls) -> None:
        """Takes other databases, as an operator who goes from staging to production."""
        self.variables |= {SOURCE_URL.name: urls.mongodb_url, TARGET_URL.name: urls.postgres_url}


def do_page(
    page: Path, shell: Shell, instead: Mapping[str, Callable[[], None]] | None = None
) -> None:
    """Does a page.

    Args:
        page: The page.
        shell: Where its commands run.
        instead: What is done instead of blocks that are for elsewhere, by the reason that they give.
    """
    replacements = dict(instead or {})
    for block in blocks(page):
        if block.language in SHOWN_ONLY:
            continue
        if not block.elsewhere:
            shell.do(block)
        elif block.elsewhere in replacements:
            replacements.pop(block.elsewhere)()
    assert not replacements
