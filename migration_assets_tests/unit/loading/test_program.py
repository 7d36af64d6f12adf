"""Changes of the code that makes cells force a full load; other changes do not."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import migration_assets
from migration_assets.loading import program
from migration_assets.loading.program import LIBRARIES, MAKERS, digest_of, making_files

PACKAGE = Path(migration_assets.__file__).parent
NO_MAKERS = {
    "errors": "says what went wrong",
    "memory": "gives memory back",
    "databases": "tells another process where the databases are",
    "reusable": "keeps connections",
    "nextcrm": "declares tables, whose versions are in the ledger",
    "workers": "runs the same code elsewhere",
    "settings": "reads the environment",
    "target": "statements and the ledger; types come from the model",
    "urls": "shows URLs without their secrets",
}
"""Our own modules that they use and that make no cell, and why."""
NO_LIBRARIES = {
    "sqlalchemy": "declares the model, whose source counts",
    "yaml": "reads rules, whose meaning is in the ledger",
}


def imported(file: Path) -> Iterator[str]:
    """Yields the full names that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            if node.module == "migration_assets":
                yield from (f"migration_assets.{alias.name}" for alias in node.names)


def names() -> set[str]:
    return {name for file in making_files(PACKAGE) for name in imported(file)}


def test_everything_that_makes_cells_counts() -> None:
    own = {name.split(".")[1] for name in names() if name.startswith("migration_assets.")}
    counted = {name.removesuffix(".py") for name in MAKERS}
    assert own - counted - NO_MAKERS.keys() - {"__version__"} == set()
    assert all((PACKAGE / name).exists() for name in MAKERS)


def test_every_library_that_makes_cells_counts() -> None:
    distributions = importlib.metadata.packages_distributions()
    modules = {name.partition(".")[0] for name in names()}
    libraries = modules - sys.stdlib_module_names - {"migration_assets"} - NO_LIBRARIES.keys()
    assert {distribution for library in libraries for distribution in distributions[library]} <= {
        *LIBRARIES
    }


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("conversion/new.py", True),
        ("loading/deep/new.py", True),
        ("identity.py", True),
        ("cli.py", False),
        ("messages/text.py", False),
        ("validation/values.py", False),
        ("sign_off/identity.py", False),
        ("conversion/notes.txt", False),
    ],
)
def test_file_counts_where_it_makes_cells(tmp_path: Path, file: str, *, counts: bool) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "reading.py").write_text("1")
    before = digest_of(tmp_path, ["a 1"])
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("1")
    added = digest_of(tmp_path, ["a 1"])
    assert (added != before) is counts
    (tmp_path / file).write_text("2")
    assert (digest_of(tmp_path, ["a 1"]) != added) is counts
    assert digest_of(tmp_path, ["a 2"]) != added


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_version_of_a_library_is_another_program(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, version = program.program_version.__wrapped__(), importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "0.0" if name == library else version(name),
    )
    assert program.program_version.__wrapped__() != before
