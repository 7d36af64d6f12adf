"""The settings: defaults, and errors that name the variable and keep its value to themselves."""

from __future__ import annotations

from typing import Any

import pytest

from migration_assets import settings
from migration_assets.errors import MigrationError

VALUE = "secret-value"


@pytest.mark.parametrize(
    ("variable", "default"),
    [
        (settings.SOURCE_URL, None),
        (settings.REPORTS, "reports"),
        (settings.ATTEMPTS, 6),
        (settings.EXECUTOR, "in_process"),
        (settings.SNAPSHOT, "off"),
    ],
)
@pytest.mark.parametrize("text", [None, ""])
def test_default_holds_where_a_variable_is_unset_or_empty(
    monkeypatch: pytest.MonkeyPatch, variable: Any, default: object, text: str | None
) -> None:
    monkeypatch.delenv(variable.name, raising=False)
    if text is not None:
        monkeypatch.setenv(variable.name, text)
    assert variable.read() == default


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        (settings.SOURCE_URL, VALUE, VALUE),
        (settings.REPORTS, VALUE, VALUE),
        (settings.ATTEMPTS, "1", 1),
        (settings.EXECUTOR, "multiprocess", "multiprocess"),
        (settings.SNAPSHOT, "on", "on"),
    ],
)
def test_value_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, variable: Any, text: str, value: object
) -> None:
    monkeypatch.setenv(variable.name, text)
    assert variable.read() == value


@pytest.mark.parametrize("text", [VALUE, "0", "-1", "1.5"])
@pytest.mark.parametrize(
    "variable", [settings.ATTEMPTS, settings.SNAPSHOT], ids=["number", "choice"]
)
def test_error_names_the_variable_and_not_its_value(
    monkeypatch: pytest.MonkeyPatch, variable: Any, text: str
) -> None:
    monkeypatch.setenv(variable.name, text)
    with pytest.raises(MigrationError) as raised:
        variable.read()
    assert raised.value.where == variable.name
    assert raised.value.next_step
    assert VALUE not in str(raised.value)
