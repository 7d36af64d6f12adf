"""Rooms import in one direction, with no circle and no arrow back up, and their modules are short."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import migration_assets

PACKAGE = Path(migration_assets.__file__).parent

ORDER = (
    *("text", "errors", "urls", "settings", "embedded", "endpoints"),
    *("interrupts", "reusable", "memory", "retrying"),
    *("arrow", "identity", "known_ids"),
    *("model", "nextcrm", "application"),
    *("source", "target", "workers", "databases", "upgrade"),
    *("remediation", "conversion", "loading", "validation"),
    *("causes", "preflight", "sign_off", "rollback", "monitoring", "messages", "dump"),
    *("assets", "definitions", "commands", "reference"),
    *("cli_options", "cli_later", "cli_local", "cli", "__main__"),
)
"""Packages and modules, each after whatever it imports."""


def imports() -> Iterator[tuple[str, str]]:
    """Yields (room, room that it imports from), imports within functions too."""
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for name in names:
                package, _, path_in_package = name.partition(".")
                other = path_in_package.partition(".")[0]
                if package == "migration_assets" and other not in ("", room, "__version__"):
                    yield room, other


def test_rooms_import_in_one_direction() -> None:
    arrows = set(imports())
    assert {room for arrow in arrows for room in arrow} <= set(ORDER), "a room without its place"
    back = {arrow for arrow in arrows if ORDER.index(arrow[0]) < ORDER.index(arrow[1])}
    assert back == set()


LONGEST = 400


def test_a_module_is_one_thing() -> None:
    lines = {path: path.read_text("utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
    longer = {path.relative_to(PACKAGE).as_posix() for path in lines if lines[path] > LONGEST}
    assert longer == set()


def test_a_class_name_occurs_once() -> None:
    names = Counter(
        node.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert {name for name, count in names.items() if count > 1} == set()
