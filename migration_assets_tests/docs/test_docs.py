"""The documentation: derived pages agree with the code, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from migration_assets.cli import app
from migration_assets.nextcrm import NEXTCRM, TABLES
from migration_assets.reference import files
from migration_assets.settings import VARIABLES
from migration_assets_bench.report import BEGIN
from migration_assets_tests import ROOT

TOP = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*TOP, *DOCS]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
WIDTH = 100
READ = re.compile(r'"((?:MIGRATION|SOURCE|TARGET|ROLLBACK|DAGSTER|EMBEDDED)_[A-Z_]+)"')


@pytest.mark.parametrize("name", files(NEXTCRM, app))
def test_reference_pages_agree_with_the_code(name: str) -> None:
    expected = files(NEXTCRM, app)[name]
    page = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert page == expected, "write it anew: make docs"


def test_every_column_has_a_line() -> None:
    tables = files(NEXTCRM, app)["tables.md"]
    lines = [line for line in tables.splitlines() if line.startswith("| `")]
    assert len(lines) == sum(len(table.columns) for table in TABLES.values())


def test_settings_alone_name_variables() -> None:
    """So each has its line in the page of variables, which is written from them."""
    for file in (ROOT / "migration_assets").rglob("*.py"):
        named = set(READ.findall(file.read_text(encoding="utf-8")))
        assert named == (set(VARIABLES) if file.name == "settings.py" else set()), file


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            if link.startswith(("http://", "https://")):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.relative_to(ROOT)}: {link}"
            if anchor:
                assert anchor in _anchors(target), f"{page.relative_to(ROOT)}: {link}"


def test_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in DOCS:
        path = page.relative_to(ROOT / "docs")
        folder = f"({path.parent.as_posix()}/README.md)"
        assert path.name == "README.md" or f"({path.as_posix()})" in index or folder in index, path


def test_prose_is_wrapped() -> None:
    """Tables and blocks cannot be wrapped; derived text, such as figures, stays as written."""
    for page in PAGES:
        if page.parent.name == "reference":
            continue
        is_block = False
        by_hand, _, _ = page.read_text(encoding="utf-8").partition(BEGIN)
        for number, line in enumerate(by_hand.splitlines(), 1):
            is_block ^= line.lstrip().startswith("```")
            if not is_block and not line.lstrip().startswith("|"):
                assert len(line) <= WIDTH, f"{page.relative_to(ROOT)}:{number}"


def test_glossary_is_short() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert 20 <= len(re.findall(r"^\| \*\*", page, re.MULTILINE)) <= 30


def test_every_inconsistency_of_the_public_plans_has_an_answer() -> None:
    """Operations, section 10: thirty of them."""
    page = (ROOT / "docs" / "runbooks" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 31))
