"""The consequences of today's NextCRM schema migrations for a migrated database.

``CONSEQUENCES`` is the list, written for release ``RELEASE``: the preflight counts it in the source, the
sign-off in the target, and ``sql/application/`` deals with it (docs/runbooks/upgrade.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa

from migration_assets.model import Rule, junction_of, sources
from migration_assets.model.tables import in_load_order
from migration_assets.model.upgrade import Consequence, Expression, Upgrade, UpgradeOutcome
from migration_assets.nextcrm.metadata import METADATA

RELEASE = "0.21.2"
RUNBOOK = "docs/runbooks/upgrade.md"

FIRST_YEAR, LAST_YEAR = 100, 9999
"""The years that the application's driver reads as they are."""

_BEFORE = "sql/application/02_before_deploy.sql"
_AFTER = "sql/application/03_after_deploy.sql"


def _text(field: str) -> Expression:
    """Returns a field if it is a text, else null: text functions take no other type."""
    return {"$cond": [{"$eq": [{"$type": f"${field}"}, "string"]}, f"${field}", None]}


def _text_outside(field: str, *labels: str) -> Expression:
    is_text = {"$ne": [_text(field), None]}
    return {"$and": [is_text, {"$not": [{"$in": [{"$toLower": _text(field)}, list(labels)]}]}]}


def _matches(field: str, pattern: str) -> Expression:
    return {"$regexMatch": {"input": _text(field), "regex": pattern}}


def _beyond(*fields: str, limit: int) -> Expression:
    numbers = [{"$cond": [{"$isNumber": f"${name}"}, f"${name}", 0]} for name in fields]
    return {
        "$or": [
            {"$or": [{"$gte": [number, limit]}, {"$lte": [number, -limit]}]} for number in numbers
        ]
    }


def _refused(table: str, field: str, what: str, *labels: str) -> Consequence:
    """Returns the consequence that texts outside a list are refused."""
    listed = ", ".join(f"'{name}'" for name in labels)
    return Consequence(
        UpgradeOutcome.REFUSED,
        table,
        (field,),
        what,
        f'lower("{field}") NOT IN ({listed})',
        _text_outside(field, *labels),
        f"{_BEFORE} adds them to the new list (empty ones become NULL); correct misspelt ones before",
    )


def _dropped(table: str, what: str, next_step: str) -> Consequence:
    """Returns the consequence that a table is dropped."""
    return Consequence(
        UpgradeOutcome.DROPPED, table, (), what, "true", {"$literal": True}, next_step
    )


def _two_creators(table: str, what: str) -> Consequence:
    return Consequence(
        UpgradeOutcome.DROPPED,
        table,
        ("created_by", "createdBy"),
        what,
        'created_by <> "createdBy"',
        {
            "$and": [
                {"$eq": [{"$type": "$created_by"}, "objectId"]},
                {"$eq": [{"$type": "$createdBy"}, "objectId"]},
                {"$ne": ["$created_by", "$createdBy"]},
            ]
        },
        f'`createdBy` stays; {_BEFORE} keeps the other in legacy."{table}"',
    )


_OUT = "NOT BETWEEN -2147483648 AND 2147483647"
_BY_HAND = "Correct the numbers in the application or by a rule: the schema migration fails on them"
_SPELLINGS = (
    {"$match": {"email": {"$type": "string"}}},
    {"$group": {"_id": {"$toLower": "$email"}, "spellings": {"$addToSet": "$email"}}},
    {"$match": {"spellings.1": {"$exists": True}}},
    {"$group": {"_id": None, "count": {"$sum": {"$size": "$spellings"}}}},
)

CONSEQUENCES: tuple[Consequence, ...] = (
    _refused(
        "crm_Contacts",
        "type",
        "contacts of a type other than Customer, Partner, Vendor, Prospect",
        *("customer", "partner", "vendor", "prospect"),
    ),
    _refused(
        "crm_Leads",
        "status",
        "leads with a status other than New, Contacted, Qualified, Lost",
        *("new", "contacted", "qualified", "lost"),
    ),
    _refused("crm_Leads", "type", "leads of a type other than Demo", "demo"),
    Consequence(
        UpgradeOutcome.REFUSED,
        "crm_Opportunities",
        ("budget", "expected_revenue"),
        "opportunities with a budget or expected revenue of 10^16 or more",
        "abs(budget::numeric) >= 1e16 OR abs(expected_revenue::numeric) >= 1e16",
        _beyond("budget", "expected_revenue", limit=10**16),
        _BY_HAND,
    ),
    Consequence(
        UpgradeOutcome.REFUSED,
        "crm_Opportunities_Sales_Stages",
        ("order", "probability"),
        "sales stages with an order or probability beyond 32 bits",
        f'"order" {_OUT} OR probability {_OUT}',
        _beyond("order", "probability", limit=2**31),
        _BY_HAND,
    ),
    Consequence(
        UpgradeOutcome.REFUSED,
        "crm_Opportunities_Type",
        ("order",),
        "opportunity types with an order beyond 32 bits",
        f'"order" {_OUT}',
        _beyond("order", limit=2**31),
        _BY_HAND,
    ),
    _dropped(
        "Invoices",
        "invoices (a new module takes the name of their table)",
        f'{_BEFORE} keeps them, with the links to documents, in legacy."Invoices"',
    ),
    Consequence(
        UpgradeOutcome.DROPPED,
        "Users",
        ("is_admin",),
        "administrators",
        "is_admin",
        {"$eq": ["$is_admin", True]},
        f"{_BEFORE} keeps them, {_AFTER} makes them administrators again",
    ),
    Consequence(
        UpgradeOutcome.DROPPED,
        "crm_Leads",
        ("lead_source",),
        "lead sources",
        "btrim(lead_source) <> ''",
        _matches("lead_source", r"\S"),
        f"{_BEFORE} keeps them and fills the new list, {_AFTER} brings them back",
    ),
    Consequence(
        UpgradeOutcome.DROPPED,
        "crm_Opportunities",
        ("currency",),
        "currencies that are no code of three letters (they become NULL)",
        "btrim(currency) !~* '^[a-z]{3}$' AND left(btrim(currency), 3) NOT IN ('EUR', 'USD', 'CZK')",
        {
            "$and": [
                _matches("currency", ""),
                {"$not": [_matches("currency", r"^\s*([A-Za-z]{3}\s*$|EUR|USD|CZK)")]},
            ]
        },
        'Correct them by a `map` rule before; the texts stay in legacy."crm_Opportunities"',
    ),
    _dropped(
        "openAi_keys",
        "API keys of OpenAI",
        'Their users enter them again (they are encrypted then); legacy."openAi_keys" has them',
    ),
    _dropped(
        "system_Modules_Enabled",
        "settings of modules",
        'The application has no such setting any more; legacy."system_Modules_Enabled" has them',
    ),
    _dropped("gpt_models", "GPT models", "Nothing uses them any more; legacy.gpt_models has them"),
    _dropped(
        "modulStatus", "module states", 'Nothing uses them any more; legacy."modulStatus" has them'
    ),
    _two_creators("crm_Contacts", "contacts with two creators that differ"),
    _two_creators("crm_Opportunities", "opportunities with two creators that differ"),
    Consequence(
        UpgradeOutcome.CHANGED,
        "crm_Opportunities",
        ("currency",),
        "opportunities in a currency other than EUR, USD, CZK",
        "btrim(currency) ~* '^[a-z]{3}$' AND upper(btrim(currency)) NOT IN ('EUR', 'USD', 'CZK')",
        {
            "$and": [
                _matches("currency", r"^\s*[A-Za-z]{3}\s*$"),
                {"$not": [_matches("currency", r"(?i)^\s*(EUR|USD|CZK)\s*$")]},
            ]
        },
        f"{_BEFORE} adds them to the currencies: without it they become NULL",
    ),
    Consequence(
        UpgradeOutcome.CHANGED,
        "Users",
        ("email",),
        "addresses with capital letters (they become lower case)",
        "email <> lower(email)",
        _matches("email", "[A-Z]"),
        f"{_BEFORE} does it: the application looks an address up in lower case alone",
    ),
    Consequence(
        UpgradeOutcome.CHANGED,
        "crm_Accounts",
        ("status",),
        "accounts with the status DELETED (they are hidden as deleted)",
        "status = 'DELETED'",
        {"$eq": ["$status", "DELETED"]},
        "Give those that are to be seen another status before",
    ),
    Consequence(
        UpgradeOutcome.CHANGED,
        "crm_campaigns",
        ("status",),
        "campaigns with the status deleted (they are hidden as deleted)",
        "status = 'deleted'",
        {"$eq": ["$status", "deleted"]},
        "Give those that are to be seen another status before",
    ),
    Consequence(
        UpgradeOutcome.UNREADABLE,
        "Users",
        ("email",),
        "users whose address another one has, apart from case (one of the two cannot sign in)",
        'lower(email) IN (SELECT lower(email) FROM "Users" GROUP BY 1 HAVING count(*) > 1)',
        _SPELLINGS,
        "Make one user of the two by a `redirect` rule, or correct an address",
    ),
    Consequence(
        UpgradeOutcome.UNREADABLE,
        "Documents",
        ("document_system_type",),
        "documents labelled INVOICE, which the application does not know any more",
        "document_system_type = 'INVOICE'",
        {"$eq": ["$document_system_type", "INVOICE"]},
        f"{_BEFORE} labels them OTHER: with one INVOICE left, every list of documents fails",
    ),
)


def _dates(entities: Mapping[str, sa.Table]) -> Iterator[Consequence]:
    """Yields each column of times; the preflight counts the source's by itself."""
    for name, table in entities.items():
        for column, source in sources(table).items():
            if source.rule is Rule.TIMESTAMP:
                yield Consequence(
                    UpgradeOutcome.UNREADABLE,
                    name,
                    (column,),
                    f"times before year {FIRST_YEAR} or after {LAST_YEAR}",
                    f"\"{column}\" < timestamp '0100-01-01' OR \"{column}\" >= timestamp '10000-01-01'",
                    None,
                    "Correct them in the source or by a rule: pages that show one of them fail",
                )


def upgrade() -> Upgrade:
    """Returns the upgrade, once all tables are declared."""
    tables = in_load_order(METADATA.tables)
    entities = {name: table for name, table in tables.items() if junction_of(table) is None}
    return Upgrade(RELEASE, RUNBOOK, (*CONSEQUENCES, *_dates(entities)))
