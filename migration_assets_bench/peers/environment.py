"""The virtual environment that the peers are installed into, away from the project's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration_assets_bench.process import ProcessFailedError, Usage, run


@dataclass(frozen=True, slots=True)
class PeerEnvironment:
    """A directory with a virtual environment and what the peers write besides."""

    directory: Path

    @property
    def python(self) -> Path:
        """The interpreter of the environment."""
        return self.directory / "venv" / "bin" / "python"

    def install(self, requirements: Sequence[str]) -> str | None:
        """Installs packages; returns why it cannot, None where it did."""
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            if not self.python.exists():
                venv = [sys.executable, "-m", "venv", str(self.python.parents[1])]
                run(venv, what="making the environment")
            pip = [str(self.python), "-m", "pip", "install", "--quiet"]
            run([*pip, "--disable-pip-version-check", *requirements], what="pip")
        except ProcessFailedError as error:
            return f"cannot be installed: {' '.join(str(error).split())[:200]}"
        return None

    def version(self, package: str) -> str:
        """Returns the version of an installed package."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        found = subprocess.run(  # noqa: S603 - the interpreter of our own environment
            [self.python, "-c", code], check=True, capture_output=True, text=True
        )
        return found.stdout.strip()

    def packages(self) -> Path:
        """Returns where the packages are."""
        return next((self.python.parents[1] / "lib").glob("python*/site-packages"))


@dataclass(frozen=True, slots=True)
class Peer:
    """Another tool.

    Attributes:
        name: What it is called.
        package: What its version is asked of.
        requirements: What is installed for it.
        schema: Schema of the target that it puts its tables into.
        settings: How it is used, in a sentence.
        run: Moves the collections of a source into a target: environment, URL of the source, URL of
            the target, names of the collections.
    """

    name: str
    package: str
    requirements: tuple[str, ...]
    schema: str
    settings: str
    run: Callable[[PeerEnvironment, str, str, Sequence[str]], Usage]
