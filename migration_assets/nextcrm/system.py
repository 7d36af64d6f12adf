"""Users, settings, services and keys.

Each column names its MongoDB field (the same name, `id` from `_id`), its type and its rule.
"""

from __future__ import annotations

import sqlalchemy as sa

from migration_assets.model.columns import (
    NOW,
    bigint,
    boolean,
    choice,
    integer,
    key,
    reference,
    text,
    timestamp,
    version,
)
from migration_assets.model.tables import entity
from migration_assets.nextcrm import enums
from migration_assets.nextcrm.metadata import METADATA

GROUP = "system"

employees = entity(
    "Employees",
    METADATA,
    GROUP,
    key(),
    version(),
    text("avatar", required=True),
    text("email"),
    text("name", required=True),
    bigint("salary", required=True),
    text("status", required=True),
)

gpt_models = entity(
    "gpt_models",
    METADATA,
    GROUP,
    key(),
    version(),
    text("model", required=True),
    text("description"),
    choice("status", enums.GPT_STATUS),
    timestamp("created_on", default=NOW),
)

modul_status = entity(
    "modulStatus",
    METADATA,
    GROUP,
    key(),
    text("name", required=True),
    boolean("isVisible", required=True),
)

my_account = entity(
    "MyAccount",
    METADATA,
    GROUP,
    key(),
    version(),
    text("company_name", required=True),
    boolean("is_person", required=True, default=False),
    text("email"),
    text("email_accountant"),
    text("phone_prefix"),
    text("phone"),
    text("mobile_prefix"),
    text("mobile"),
    text("fax_prefix"),
    text("fax"),
    text("website"),
    text("street"),
    text("city"),
    text("state"),
    text("zip"),
    text("country"),
    text("country_code"),
    text("billing_street"),
    text("billing_city"),
    text("billing_state"),
    text("billing_zip"),
    text("billing_country"),
    text("billing_country_code"),
    text("currency"),
    text("currency_symbol"),
    text("VAT_number", required=True),
    text("TAX_number"),
    text("bank_name"),
    text("bank_account"),
    text("bank_code"),
    text("bank_IBAN"),
    text("bank_SWIFT"),
)

open_ai_keys = entity(
    "openAi_keys",
    METADATA,
    GROUP,
    key(),
    version(),
    reference("user", "Users", required=True, index=True),
    text("organization_id", required=True),
    text("api_key", required=True, secret=True),
)

second_brain_notions = entity(
    "secondBrain_notions",
    METADATA,
    GROUP,
    key(),
    version(),
    reference("user", "Users", required=True, index=True),
    text("notion_api_key", required=True, secret=True),
    text("notion_db_id", required=True),
)

system_modules_enabled = entity(
    "system_Modules_Enabled",
    METADATA,
    GROUP,
    key(),
    version(),
    text("name", required=True),
    boolean("enabled", required=True),
    integer("position", required=True),
)

system_services = entity(
    "systemServices",
    METADATA,
    GROUP,
    key(),
    version(),
    text("name", required=True),
    text("serviceUrl"),
    text("serviceId"),
    text("serviceKey", secret=True),
    text("servicePassword", secret=True),
    text("servicePort"),
    text("description"),
)

users = entity(
    "Users",
    METADATA,
    GROUP,
    key(),
    version(default=0),
    text("account_name"),
    text("avatar"),
    text("email", required=True, index=True),
    boolean("is_account_admin", required=True, default=False, index=True),
    boolean("is_admin", required=True, default=False, index=True),
    timestamp("created_on", required=True, default=NOW, index=True),
    timestamp("lastLoginAt", index=True),
    text("name"),
    text("password", secret=True),
    text("username"),
    choice("userStatus", enums.ACTIVE_STATUS, required=True, default="PENDING", index=True),
    choice("userLanguage", enums.LANGUAGE, required=True, default="en", index=True),
    sa.Index("Users_email_key", "email", unique=True),
)
