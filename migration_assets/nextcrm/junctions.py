"""Junction tables: one row for each pair of documents that a relation connects.

Most relations are held as arrays of ids on both sides; the table gets the union of them.
"""

from __future__ import annotations

from migration_assets.model.tables import Side, junction
from migration_assets.nextcrm.metadata import METADATA

documents_to_invoices = junction(
    "DocumentsToInvoices",
    METADATA,
    left=Side("document_id", "Documents", array="invoiceIDs"),
    right=Side("invoice_id", "Invoices", array="connected_documents"),
)
documents_to_opportunities = junction(
    "DocumentsToOpportunities",
    METADATA,
    left=Side("document_id", "Documents", array="opportunityIDs"),
    right=Side("opportunity_id", "crm_Opportunities", array="connected_documents"),
)
documents_to_contacts = junction(
    "DocumentsToContacts",
    METADATA,
    left=Side("document_id", "Documents", array="contactsIDs"),
    right=Side("contact_id", "crm_Contacts", array="documentsIDs"),
)
documents_to_tasks = junction(
    "DocumentsToTasks",
    METADATA,
    left=Side("document_id", "Documents", array="tasksIDs"),
    right=Side("task_id", "Tasks", array="documentIDs"),
)
documents_to_crm_accounts_tasks = junction(
    "DocumentsToCrmAccountsTasks",
    METADATA,
    left=Side("document_id", "Documents", array="crm_accounts_tasksIDs"),
    right=Side("crm_accounts_task_id", "crm_Accounts_Tasks"),
)
documents_to_leads = junction(
    "DocumentsToLeads",
    METADATA,
    left=Side("document_id", "Documents", array="leadsIDs"),
    right=Side("lead_id", "crm_Leads", array="documentsIDs"),
)
documents_to_accounts = junction(
    "DocumentsToAccounts",
    METADATA,
    left=Side("document_id", "Documents", array="accountsIDs"),
    right=Side("account_id", "crm_Accounts", array="documentsIDs"),
)
account_watchers = junction(
    "AccountWatchers",
    METADATA,
    left=Side("account_id", "crm_Accounts", array="watchers"),
    right=Side("user_id", "Users", array="watching_accountsIDs"),
)
board_watchers = junction(
    "BoardWatchers",
    METADATA,
    left=Side("board_id", "Boards", array="watchers"),
    right=Side("user_id", "Users", array="watching_boardsIDs"),
)
contacts_to_opportunities = junction(
    "ContactsToOpportunities",
    METADATA,
    left=Side("contact_id", "crm_Contacts", array="opportunitiesIDs"),
    right=Side("opportunity_id", "crm_Opportunities", array="connected_contacts"),
)
