"""Documents and invoices.

Each column names its MongoDB field (the same name, `id` from `_id`), its type and its rule.
"""

from __future__ import annotations

import sqlalchemy as sa

from migration_assets.model.columns import (
    NOW,
    boolean,
    choice,
    integer,
    json,
    key,
    reference,
    reference_text_array,
    text,
    timestamp,
    version,
)
from migration_assets.model.tables import entity
from migration_assets.nextcrm import enums
from migration_assets.nextcrm.metadata import METADATA

GROUP = "documents"

documents = entity(
    "Documents",
    METADATA,
    GROUP,
    key(),
    version(required=False),
    timestamp("date_created", default=NOW),
    timestamp("createdAt", default=NOW, index=True),
    timestamp("last_updated"),
    timestamp("updatedAt"),
    text("document_name", required=True),
    reference("created_by_user", "Users", index=True),
    reference("createdBy", "Users", foreign_key=False, index=True),
    text("description"),
    reference("document_type", "Documents_Types", index=True),
    boolean("favourite", index=True),
    text("document_file_mimeType", required=True),
    text("document_file_url", required=True),
    text("status", index=True),
    text("visibility", index=True),
    json("tags"),
    text("key"),
    integer("size"),
    reference("assigned_user", "Users", index=True),
    reference_text_array("connected_documents", "Documents"),
    choice("document_system_type", enums.DOCUMENT_SYSTEM_TYPE, default="OTHER", index=True),
)

documents_types = entity(
    "Documents_Types",
    METADATA,
    GROUP,
    key(),
    version(),
    text("name", required=True),
)

image_upload = entity(
    "ImageUpload",
    METADATA,
    GROUP,
    key(),
)

invoice_states = entity(
    "invoice_States",
    METADATA,
    GROUP,
    key(),
    text("name", required=True),
)

invoices = entity(
    "Invoices",
    METADATA,
    GROUP,
    key(),
    version(required=False),
    timestamp("date_created", required=True, default=NOW, index=True),
    timestamp("last_updated", required=True),
    reference("last_updated_by", "Users", foreign_key=False, index=True),
    timestamp("date_received", default=NOW),
    timestamp("date_of_case"),
    timestamp("date_tax"),
    timestamp("date_due", index=True),
    text("description"),
    text("document_type"),
    boolean("favorite", default=False, index=True),
    text("variable_symbol"),
    text("constant_symbol"),
    text("specific_symbol"),
    text("order_number"),
    text("internal_number"),
    text("invoice_number"),
    text("invoice_amount"),
    text("invoice_file_mimeType", required=True),
    text("invoice_file_url", required=True),
    json("invoice_items"),
    text("invoice_type", index=True),
    text("invoice_currency"),
    text("invoice_language"),
    text("partner"),
    text("partner_street"),
    text("partner_city"),
    text("partner_zip"),
    text("partner_country"),
    text("partner_country_code"),
    text("partner_business_street"),
    text("partner_business_city"),
    text("partner_business_zip"),
    text("partner_business_country"),
    text("partner_business_country_code"),
    text("partner_VAT_number"),
    text("partner_TAX_number"),
    text("partner_TAX_local_number"),
    text("partner_phone_prefix"),
    text("partner_phone_number"),
    text("partner_fax_prefix"),
    text("partner_fax_number"),
    text("partner_email"),
    text("partner_website"),
    boolean("partner_is_person"),
    text("partner_bank"),
    text("partner_account_number"),
    text("partner_account_bank_number"),
    text("partner_IBAN"),
    text("partner_SWIFT"),
    text("partner_BIC"),
    text("rossum_status"),
    text("rossum_annotation_id"),
    text("rossum_annotation_url"),
    text("rossum_document_id"),
    text("rossum_document_url"),
    text("rossum_annotation_json_url"),
    text("rossum_annotation_xml_url"),
    text("money_s3_url"),
    text("status", index=True),
    reference("invoice_state_id", "invoice_States", index=True),
    reference("assigned_user_id", "Users", index=True),
    reference("assigned_account_id", "crm_Accounts", index=True),
    boolean("visibility", required=True, default=True),
    sa.Index(None, "status", "date_created"),
)
