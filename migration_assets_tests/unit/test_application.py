"""Which application is migrated is a setting of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from migration_assets.application import chosen_model
from migration_assets.cli import app
from migration_assets.errors import MigrationError
from migration_assets.nextcrm import NEXTCRM
from migration_assets.settings import MODEL
from migration_assets_tests.support.second_application import SHOP


def test_it_is_nextcrm_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MODEL.name, raising=False)
    assert chosen_model() is NEXTCRM


def test_a_command_works_with_another_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MODEL.name, SHOP.path)
    assert CliRunner().invoke(app, ["sql", str(tmp_path)]).exit_code == 0
    statements = (tmp_path / "03_tables.sql").read_text("utf-8")
    assert statements.count("CREATE TABLE") == len(SHOP.tables)
    assert "Boards" not in statements


def test_a_path_without_a_model_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODEL.name, "nowhere:SHOP")
    with pytest.raises(MigrationError, match="there is no model at 'nowhere:SHOP'") as raised:
        chosen_model()
    assert MODEL.name in raised.value.next_step
