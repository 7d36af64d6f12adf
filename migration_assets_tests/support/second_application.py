"""A second application, as small as one can be that has what NextCRM has not: declared from scratch.

A category refers to its parent, teams and people refer to each other in a circle, two columns of a product
are unique together, and a field has another name than its column.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import sqlalchemy as sa
from bson import ObjectId

from migration_assets.model import Model, Side, new_metadata
from migration_assets.model.columns import (
    from_field,
    integer,
    json,
    key,
    reference,
    text,
    timestamp,
)
from migration_assets.model.tables import entity, junction

METADATA = new_metadata()
GROUP = "shop"

entity(
    "categories",
    METADATA,
    GROUP,
    key(),
    text("name", required=True),
    reference("parent", "categories", index=True),
)
entity(
    "teams",
    METADATA,
    GROUP,
    key(),
    text("name", required=True),
    reference("lead", "people"),
)
entity(
    "people",
    METADATA,
    GROUP,
    key(),
    text("name", required=True),
    timestamp("createdAt", required=True),
    reference("team", "teams", required=True),
)
entity(
    "products",
    METADATA,
    GROUP,
    key(),
    text("shop", required=True),
    text("sku", required=True),
    from_field("desc", text("description")),
    integer("stock", required=True, default=0),
    json("details"),
    reference("category", "categories"),
    sa.Index("products_shop_sku_key", "shop", "sku", unique=True),
)
junction(
    "productKeepers",
    METADATA,
    left=Side("product_id", "products"),
    right=Side("person_id", "people", array="keeps"),
)

SHOP = Model("Shop", METADATA, path="migration_assets_tests.support.second_application:SHOP")


DAY = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)


def oid(number: int) -> ObjectId:
    """Returns the ObjectId of a number."""
    return ObjectId(f"{0x65000000 + number:08x}0000000000000000")


def documents() -> dict[str, list[dict[str, Any]]]:
    """Returns clean documents by collection; each group has ids of its own."""
    return {
        "categories": [
            # The child stands before its parent, and one is its own.
            {"_id": oid(1), "name": "shoes", "parent": oid(3)},
            {"_id": oid(2), "name": "boots", "parent": oid(1)},
            {"_id": oid(3), "name": "all", "parent": oid(3)},
            {"_id": oid(4), "name": "none"},
        ],
        "teams": [
            {"_id": oid(11), "name": "sales", "lead": oid(21)},
            {"_id": oid(12), "name": "stock", "lead": oid(22)},
            {"_id": oid(13), "name": "new", "lead": None},
        ],
        "people": [
            {
                "_id": oid(21),
                "name": "Ada",
                "createdAt": DAY,
                "team": oid(12),
                "keeps": [oid(31), oid(32)],
            },
            {"_id": oid(22), "name": "Bob", "createdAt": DAY, "team": oid(12), "keeps": []},
            {"_id": oid(23), "name": "Cyd", "createdAt": DAY, "team": oid(11), "keeps": [oid(32)]},
        ],
        "products": [
            {"_id": oid(31), "shop": "a", "sku": "1", "desc": "red", "stock": 3},
            {
                "_id": oid(32),
                "shop": "a",
                "sku": "2",
                "desc": "blue",
                "stock": 0,
                "category": oid(2),
            },
            {"_id": oid(33), "shop": "b", "sku": "1", "stock": 1, "details": {"sizes": [41, 42]}},
        ],
    }
