"""Names that come from data are text: on a terminal, in Markdown, in HTML and in files."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

import migration_assets
from migration_assets.cli import app
from migration_assets.commands.decisions import print_decisions
from migration_assets.errors import MigrationError
from migration_assets.settings import SOURCE_URL, TARGET_URL
from migration_assets.sign_off.dashboard import dashboard, summary
from migration_assets.sign_off.findings import Finding
from migration_assets.sign_off.page import page
from migration_assets.sign_off.recorded import Unmapped
from migration_assets.sign_off.verdict import judged
from migration_assets.sign_off.waivers import draft
from migration_assets.source.connection import SourceDatabase
from migration_assets.text import code, escape, markdown, one_line, printable
from migration_assets_tests.integration.sign_off.test_sign_off import PRINTS, made_report, recorded

PACKAGE = Path(migration_assets.__file__).parent
EVIL = "a\x1b[2J\x9b1m\u202eb\u2028[x](https://evil.example)<img src=x>`c`\n- finding: y www.evil.example"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain Übung €", "plain Übung €"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b\x07\x7f", "\\x9b\\x07\\x7f"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\u2028\ufeff\u200b\x00", "\\u2028\\ufeff\\u200b\\x00"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_invisible_characters_are_written_out(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert one_line(text.strip()).isprintable()


def test_a_name_brings_no_control_and_no_markup_to_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, width=400, force_terminal=True, highlight=False)
    console.print(f"{escape(EVIL)} {escape('[bold]x[/]')}", soft_wrap=True)
    print_decisions(console, [Finding(EVIL, EVIL, EVIL, rule=f"- {{name: {EVIL}}}")])
    output = out.getvalue()
    assert "\x1b[2J" not in output
    assert not {"\x9b", "\u202e", "\u2028"} & set(output)
    assert "\n- finding" not in output
    assert "[bold]x[/]" in output


def test_markdown_shows_a_name_as_it_is() -> None:
    escaped = markdown(EVIL)
    assert "[x](" not in escaped
    assert "<img" not in escaped
    assert "://" not in escaped
    assert "www\\." not in escaped
    assert "\n" not in escaped
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("a\nb") == "`a\\nb`"


def test_error_is_one_line_whatever_a_name_holds() -> None:
    message = str(MigrationError(EVIL, where=EVIL, next_step="a\n  b"))
    assert message.isprintable()
    assert message.endswith("a b")


def test_sign_off_shows_names_as_text() -> None:
    record = recorded(
        unmapped=[Unmapped(EVIL, 1, {}), Unmapped("Tasks", 1, {EVIL: 1})], missing=[EVIL]
    )
    report = made_report(record, judged(record, PRINTS, unkept={EVIL: (1, 0)}))
    texts = summary(report, "0") + dashboard(report)
    assert "<img" not in page(report, "0")
    assert "\n- finding: y" not in texts
    assert "\x1b" not in texts
    assert "\\[x\\]" in texts
    drafted = draft(report)
    (waiver,) = yaml.safe_load(drafted)
    assert waiver["finding"] == f"constraints:constraints:missing:{EVIL}".replace(
        "https:", "https%3A"
    ).replace("finding:", "finding%3A").replace("evil.example", "evil%2Eexample").replace(
        "www.", "www%2E"
    )
    assert not {"\x1b", "\x9b", "\u202e"} & set(drafted)


def test_preflight_shows_names_of_collections_as_text(
    mongo_database: SourceDatabase,
    source_url: str,
    target_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mongo_database["legacy\x1b[2J\u202e"].insert_one({"a": 1})
    mongo_database["Users"].insert_one({"a\x1b[2J": 1})
    monkeypatch.setenv(SOURCE_URL.name, source_url)
    monkeypatch.setenv(TARGET_URL.name, target_url)
    output = CliRunner().invoke(app, ["preflight"]).output
    assert "legacy\\x1b[2J\\u202e" in "".join(output.split())
    assert "a\\x1b[2J" in output
    assert "\x1b[2J" not in output


def test_every_command_uses_our_own_escape() -> None:
    """rich's own lets controls through."""
    for file in [*PACKAGE.glob("cli*.py"), *(PACKAGE / "commands").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "rich.markup"), file
