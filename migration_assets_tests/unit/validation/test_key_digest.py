"""The digest of keys that a waiver is bound to."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from migration_assets.validation.key_digest import KeyDigest, rows_of, rows_text


def of(*keys: tuple[object, ...]) -> str:
    digest = KeyDigest()
    for key in keys:
        digest.add(*key)
    return digest.text()


@pytest.mark.parametrize(
    ("keys", "others"),
    [
        ([("a",)], [("b",)]),
        ([("a",)], [("a",), ("a",)]),
        ([("a", "b")], [("ab",)]),
        ([("a", None)], [("a", "None")]),
        ([("a", "c"), ("b", "d")], [("a", "d"), ("b", "c")]),
    ],
)
def test_other_keys_have_another_digest(
    keys: list[tuple[object, ...]], others: list[tuple[object, ...]]
) -> None:
    assert of(*keys) != of(*others)
    assert of(*keys) == of(*reversed(keys))


@given(st.integers(min_value=1))
def test_yaml_reads_it_as_a_text(total: int) -> None:
    assert yaml.safe_load(rows_text(total)) == rows_text(total)


def test_nothing_has_no_digest() -> None:
    assert (KeyDigest().text(), rows_text(0)) == ("", "")
    assert rows_of("a") == of(("a",)) != rows_of("b")
