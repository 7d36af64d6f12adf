"""The indexes that NextCRM's schema file cannot state, on top of the contract (operations, section 7)."""

from __future__ import annotations

from migration_assets.model.search import (
    SEARCHED,
    SearchIndex,
    array_containment,
    containment,
    full_text,
    searched,
)

SEARCH_INDEXES: tuple[SearchIndex, ...] = (
    searched("crm_Accounts", f'left("name", {SEARCHED})', '"name"'),
    full_text("crm_Contacts", "first_name", "last_name"),
    full_text("crm_Leads", "firstName", "lastName", "company"),
    full_text("crm_Opportunities", "name", "description"),
    full_text("Tasks", "title", "content"),
    full_text("crm_Accounts_Tasks", "title", "content"),
    full_text("Documents", "document_name", "description"),
    full_text("Invoices", "invoice_number", "partner", "description"),
    array_containment("crm_Contacts", "notes"),
    containment("Tasks", "tags"),
    containment("crm_Accounts_Tasks", "tags"),
    containment("Documents", "tags"),
    containment("Invoices", "invoice_items"),
    SearchIndex(
        "Users_active_idx",
        "Users",
        '("userStatus") WHERE "userStatus" = \'ACTIVE\'::"ActiveStatus"',
    ),
)

EXTENSIONS: tuple[str, ...] = ("vector", "uuid-ossp")
"""Created where the server has them; the application uses them later, the migration does not."""
