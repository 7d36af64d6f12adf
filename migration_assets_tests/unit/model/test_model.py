"""A model as an object: what it is made of, what it refuses, and how another process gets it."""

from __future__ import annotations

import pickle

import pytest
import sqlalchemy as sa

from migration_assets.model import Model, Side, model_at, model_of, new_metadata
from migration_assets.model.columns import integer, key, reference, text
from migration_assets.model.search import containment
from migration_assets.model.tables import entity, junction
from migration_assets.nextcrm import NEXTCRM


def test_a_table_knows_its_model() -> None:
    assert {model_of(table) for table in NEXTCRM.tables.values()} == {NEXTCRM}


def test_another_process_gets_the_same_model() -> None:
    assert pickle.loads(pickle.dumps(NEXTCRM)) is NEXTCRM


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere:MODEL", "No module named 'nowhere'"),
        ("migration_assets.nextcrm:MODEL", "no attribute 'MODEL'"),
        ("migration_assets.nextcrm", "no attribute ''"),
        ("", "Empty module name"),
        ("migration_assets.nextcrm:crm", "is no model, but module"),
    ],
)
def test_a_path_without_a_model_is_refused(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        model_at(path)


def test_a_reference_to_no_table_is_refused() -> None:
    metadata = new_metadata()
    entity("Orders", metadata, "shop", key(), reference("customer", "Customers"))
    with pytest.raises(ValueError, match="Orders refers to Customers, which is no table"):
        Model("Shop", metadata, path="")


def test_a_junction_of_a_junction_is_refused() -> None:
    metadata = new_metadata()
    entity("Orders", metadata, "shop", key())
    junction("Pairs", metadata, left=Side("a", "Orders"), right=Side("b", "Orders", array="others"))
    junction("Bad", metadata, left=Side("c", "Orders", array="pairs"), right=Side("d", "Pairs"))
    with pytest.raises(ValueError, match="Bad joins Pairs, which holds no documents"):
        Model("Shop", metadata, path="")


def test_an_index_on_no_table_is_refused() -> None:
    with pytest.raises(ValueError, match="is on Orders, which is no table"):
        Model("Shop", new_metadata(), path="", search_indexes=(containment("Orders", "tags"),))


def test_tables_that_require_each_other_are_refused() -> None:
    metadata = new_metadata()
    entity("Teams", metadata, "shop", key(), reference("lead", "People", required=True))
    entity("People", metadata, "shop", key(), reference("team", "Teams", required=True))
    with pytest.raises(ValueError, match="People, Teams require each other"):
        Model("Shop", metadata, path="")


def test_a_table_that_requires_itself_is_refused() -> None:
    metadata = new_metadata()
    entity("Groups", metadata, "shop", key(), reference("parent", "Groups", required=True))
    with pytest.raises(ValueError, match="Groups requires itself"):
        Model("Shop", metadata, path="")


def test_a_unique_key_without_a_text_is_refused() -> None:
    metadata = new_metadata()
    unique = sa.Index("Groups_rank_key", "rank", unique=True)
    entity("Groups", metadata, "shop", key(), integer("rank"), unique)
    with pytest.raises(ValueError, match="unique key rank of Groups has no column of text"):
        Model("Shop", metadata, path="")


def test_a_unique_key_with_a_reference_to_a_later_table_is_refused() -> None:
    metadata = new_metadata()
    unique = sa.Index("Groups_key", "name", "parent", unique=True)
    parent = reference("parent", "Groups")
    entity("Groups", metadata, "shop", key(), text("name"), parent, unique)
    with pytest.raises(ValueError, match="Groups cannot have name, parent unique"):
        Model("Shop", metadata, path="")
