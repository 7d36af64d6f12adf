-- Secondary indexes, built after the load. Generated from the model by `migration-assets sql`; do not edit.

CREATE UNIQUE INDEX IF NOT EXISTS "Users_email_key" ON "Users" (email);

CREATE INDEX IF NOT EXISTS "AccountWatchers_account_id_idx" ON "AccountWatchers" (account_id);

CREATE INDEX IF NOT EXISTS "AccountWatchers_user_id_idx" ON "AccountWatchers" (user_id);

CREATE INDEX IF NOT EXISTS "BoardWatchers_board_id_idx" ON "BoardWatchers" (board_id);

CREATE INDEX IF NOT EXISTS "BoardWatchers_user_id_idx" ON "BoardWatchers" (user_id);

CREATE INDEX IF NOT EXISTS "Boards_createdAt_idx" ON "Boards" ("createdAt");

CREATE INDEX IF NOT EXISTS "Boards_createdBy_idx" ON "Boards" ("createdBy");

CREATE INDEX IF NOT EXISTS "Boards_favourite_idx" ON "Boards" (favourite);

CREATE INDEX IF NOT EXISTS "Boards_updatedBy_idx" ON "Boards" ("updatedBy");

CREATE INDEX IF NOT EXISTS "Boards_user_favourite_idx" ON "Boards" ("user", favourite);

CREATE INDEX IF NOT EXISTS "Boards_user_idx" ON "Boards" ("user");

CREATE INDEX IF NOT EXISTS "Boards_visibility_idx" ON "Boards" (visibility);

CREATE INDEX IF NOT EXISTS "ContactsToOpportunities_contact_id_idx" ON "ContactsToOpportunities" (contact_id);

CREATE INDEX IF NOT EXISTS "ContactsToOpportunities_opportunity_id_idx" ON "ContactsToOpportunities" (opportunity_id);

CREATE INDEX IF NOT EXISTS "DocumentsToAccounts_account_id_idx" ON "DocumentsToAccounts" (account_id);

CREATE INDEX IF NOT EXISTS "DocumentsToAccounts_document_id_idx" ON "DocumentsToAccounts" (document_id);

CREATE INDEX IF NOT EXISTS "DocumentsToContacts_contact_id_idx" ON "DocumentsToContacts" (contact_id);

CREATE INDEX IF NOT EXISTS "DocumentsToContacts_document_id_idx" ON "DocumentsToContacts" (document_id);

CREATE INDEX IF NOT EXISTS "DocumentsToCrmAccountsTasks_crm_accounts_task_id_idx" ON "DocumentsToCrmAccountsTasks" (crm_accounts_task_id);

CREATE INDEX IF NOT EXISTS "DocumentsToCrmAccountsTasks_document_id_idx" ON "DocumentsToCrmAccountsTasks" (document_id);

CREATE INDEX IF NOT EXISTS "DocumentsToInvoices_document_id_idx" ON "DocumentsToInvoices" (document_id);

CREATE INDEX IF NOT EXISTS "DocumentsToInvoices_invoice_id_idx" ON "DocumentsToInvoices" (invoice_id);

CREATE INDEX IF NOT EXISTS "DocumentsToLeads_document_id_idx" ON "DocumentsToLeads" (document_id);

CREATE INDEX IF NOT EXISTS "DocumentsToLeads_lead_id_idx" ON "DocumentsToLeads" (lead_id);

CREATE INDEX IF NOT EXISTS "DocumentsToOpportunities_document_id_idx" ON "DocumentsToOpportunities" (document_id);

CREATE INDEX IF NOT EXISTS "DocumentsToOpportunities_opportunity_id_idx" ON "DocumentsToOpportunities" (opportunity_id);

CREATE INDEX IF NOT EXISTS "DocumentsToTasks_document_id_idx" ON "DocumentsToTasks" (document_id);

CREATE INDEX IF NOT EXISTS "DocumentsToTasks_task_id_idx" ON "DocumentsToTasks" (task_id);

CREATE INDEX IF NOT EXISTS "Documents_assigned_user_idx" ON "Documents" (assigned_user);

CREATE INDEX IF NOT EXISTS "Documents_createdAt_idx" ON "Documents" ("createdAt");

CREATE INDEX IF NOT EXISTS "Documents_createdBy_idx" ON "Documents" ("createdBy");

CREATE INDEX IF NOT EXISTS "Documents_created_by_user_idx" ON "Documents" (created_by_user);

CREATE INDEX IF NOT EXISTS "Documents_document_system_type_idx" ON "Documents" (document_system_type);

CREATE INDEX IF NOT EXISTS "Documents_document_type_idx" ON "Documents" (document_type);

CREATE INDEX IF NOT EXISTS "Documents_favourite_idx" ON "Documents" (favourite);

CREATE INDEX IF NOT EXISTS "Documents_status_idx" ON "Documents" (status);

CREATE INDEX IF NOT EXISTS "Documents_visibility_idx" ON "Documents" (visibility);

CREATE INDEX IF NOT EXISTS "Invoices_assigned_account_id_idx" ON "Invoices" (assigned_account_id);

CREATE INDEX IF NOT EXISTS "Invoices_assigned_user_id_idx" ON "Invoices" (assigned_user_id);

CREATE INDEX IF NOT EXISTS "Invoices_date_created_idx" ON "Invoices" (date_created);

CREATE INDEX IF NOT EXISTS "Invoices_date_due_idx" ON "Invoices" (date_due);

CREATE INDEX IF NOT EXISTS "Invoices_favorite_idx" ON "Invoices" (favorite);

CREATE INDEX IF NOT EXISTS "Invoices_invoice_state_id_idx" ON "Invoices" (invoice_state_id);

CREATE INDEX IF NOT EXISTS "Invoices_invoice_type_idx" ON "Invoices" (invoice_type);

CREATE INDEX IF NOT EXISTS "Invoices_last_updated_by_idx" ON "Invoices" (last_updated_by);

CREATE INDEX IF NOT EXISTS "Invoices_status_date_created_idx" ON "Invoices" (status, date_created);

CREATE INDEX IF NOT EXISTS "Invoices_status_idx" ON "Invoices" (status);

CREATE INDEX IF NOT EXISTS "Sections_board_idx" ON "Sections" (board);

CREATE INDEX IF NOT EXISTS "Tasks_createdAt_idx" ON "Tasks" ("createdAt");

CREATE INDEX IF NOT EXISTS "Tasks_createdBy_idx" ON "Tasks" ("createdBy");

CREATE INDEX IF NOT EXISTS "Tasks_dueDateAt_idx" ON "Tasks" ("dueDateAt");

CREATE INDEX IF NOT EXISTS "Tasks_priority_idx" ON "Tasks" (priority);

CREATE INDEX IF NOT EXISTS "Tasks_section_idx" ON "Tasks" (section);

CREATE INDEX IF NOT EXISTS "Tasks_taskStatus_idx" ON "Tasks" ("taskStatus");

CREATE INDEX IF NOT EXISTS "Tasks_updatedBy_idx" ON "Tasks" ("updatedBy");

CREATE INDEX IF NOT EXISTS "Tasks_user_idx" ON "Tasks" ("user");

CREATE INDEX IF NOT EXISTS "Tasks_user_taskStatus_idx" ON "Tasks" ("user", "taskStatus");

CREATE INDEX IF NOT EXISTS "Users_created_on_idx" ON "Users" (created_on);

CREATE INDEX IF NOT EXISTS "Users_email_idx" ON "Users" (email);

CREATE INDEX IF NOT EXISTS "Users_is_account_admin_idx" ON "Users" (is_account_admin);

CREATE INDEX IF NOT EXISTS "Users_is_admin_idx" ON "Users" (is_admin);

CREATE INDEX IF NOT EXISTS "Users_lastLoginAt_idx" ON "Users" ("lastLoginAt");

CREATE INDEX IF NOT EXISTS "Users_userLanguage_idx" ON "Users" ("userLanguage");

CREATE INDEX IF NOT EXISTS "Users_userStatus_idx" ON "Users" ("userStatus");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_account_idx" ON "crm_Accounts_Tasks" (account);

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_account_taskStatus_idx" ON "crm_Accounts_Tasks" (account, "taskStatus");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_createdAt_idx" ON "crm_Accounts_Tasks" ("createdAt");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_createdBy_idx" ON "crm_Accounts_Tasks" ("createdBy");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_dueDateAt_idx" ON "crm_Accounts_Tasks" ("dueDateAt");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_priority_idx" ON "crm_Accounts_Tasks" (priority);

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_taskStatus_idx" ON "crm_Accounts_Tasks" ("taskStatus");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_updatedBy_idx" ON "crm_Accounts_Tasks" ("updatedBy");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_user_idx" ON "crm_Accounts_Tasks" ("user");

CREATE INDEX IF NOT EXISTS "crm_Accounts_assigned_to_idx" ON "crm_Accounts" (assigned_to);

CREATE INDEX IF NOT EXISTS "crm_Accounts_createdAt_idx" ON "crm_Accounts" ("createdAt");

CREATE INDEX IF NOT EXISTS "crm_Accounts_createdBy_idx" ON "crm_Accounts" ("createdBy");

CREATE INDEX IF NOT EXISTS "crm_Accounts_industry_idx" ON "crm_Accounts" (industry);

CREATE INDEX IF NOT EXISTS "crm_Accounts_status_idx" ON "crm_Accounts" (status);

CREATE INDEX IF NOT EXISTS "crm_Accounts_type_idx" ON "crm_Accounts" (type);

CREATE INDEX IF NOT EXISTS "crm_Accounts_updatedBy_idx" ON "crm_Accounts" ("updatedBy");

CREATE INDEX IF NOT EXISTS "crm_Contacts_accountsIDs_idx" ON "crm_Contacts" ("accountsIDs");

CREATE INDEX IF NOT EXISTS "crm_Contacts_assigned_to_idx" ON "crm_Contacts" (assigned_to);

CREATE INDEX IF NOT EXISTS "crm_Contacts_cratedAt_idx" ON "crm_Contacts" ("cratedAt");

CREATE INDEX IF NOT EXISTS "crm_Contacts_createdBy_idx" ON "crm_Contacts" ("createdBy");

CREATE INDEX IF NOT EXISTS "crm_Contacts_created_by_idx" ON "crm_Contacts" (created_by);

CREATE INDEX IF NOT EXISTS "crm_Contacts_last_activity_idx" ON "crm_Contacts" (last_activity);

CREATE INDEX IF NOT EXISTS "crm_Contacts_status_idx" ON "crm_Contacts" (status);

CREATE INDEX IF NOT EXISTS "crm_Contacts_type_idx" ON "crm_Contacts" (type);

CREATE INDEX IF NOT EXISTS "crm_Contacts_updatedBy_idx" ON "crm_Contacts" ("updatedBy");

CREATE INDEX IF NOT EXISTS "crm_Contracts_account_idx" ON "crm_Contracts" (account);

CREATE INDEX IF NOT EXISTS "crm_Contracts_assigned_to_idx" ON "crm_Contracts" (assigned_to);

CREATE INDEX IF NOT EXISTS "crm_Contracts_createdAt_idx" ON "crm_Contracts" ("createdAt");

CREATE INDEX IF NOT EXISTS "crm_Contracts_createdBy_idx" ON "crm_Contracts" ("createdBy");

CREATE INDEX IF NOT EXISTS "crm_Contracts_endDate_idx" ON "crm_Contracts" ("endDate");

CREATE INDEX IF NOT EXISTS "crm_Contracts_startDate_endDate_idx" ON "crm_Contracts" ("startDate", "endDate");

CREATE INDEX IF NOT EXISTS "crm_Contracts_startDate_idx" ON "crm_Contracts" ("startDate");

CREATE INDEX IF NOT EXISTS "crm_Contracts_status_idx" ON "crm_Contracts" (status);

CREATE INDEX IF NOT EXISTS "crm_Contracts_updatedBy_idx" ON "crm_Contracts" ("updatedBy");

CREATE INDEX IF NOT EXISTS "crm_Leads_accountsIDs_idx" ON "crm_Leads" ("accountsIDs");

CREATE INDEX IF NOT EXISTS "crm_Leads_assigned_to_idx" ON "crm_Leads" (assigned_to);

CREATE INDEX IF NOT EXISTS "crm_Leads_createdAt_idx" ON "crm_Leads" ("createdAt");

CREATE INDEX IF NOT EXISTS "crm_Leads_createdBy_idx" ON "crm_Leads" ("createdBy");

CREATE INDEX IF NOT EXISTS "crm_Leads_status_idx" ON "crm_Leads" (status);

CREATE INDEX IF NOT EXISTS "crm_Leads_type_idx" ON "crm_Leads" (type);

CREATE INDEX IF NOT EXISTS "crm_Leads_updatedBy_idx" ON "crm_Leads" ("updatedBy");

CREATE INDEX IF NOT EXISTS "crm_Opportunities_account_idx" ON "crm_Opportunities" (account);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_assigned_to_idx" ON "crm_Opportunities" (assigned_to);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_campaign_idx" ON "crm_Opportunities" (campaign);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_close_date_idx" ON "crm_Opportunities" (close_date);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_contact_idx" ON "crm_Opportunities" (contact);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_createdAt_idx" ON "crm_Opportunities" ("createdAt");

CREATE INDEX IF NOT EXISTS "crm_Opportunities_created_by_idx" ON "crm_Opportunities" (created_by);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_sales_stage_idx" ON "crm_Opportunities" (sales_stage);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_status_idx" ON "crm_Opportunities" (status);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_status_sales_stage_idx" ON "crm_Opportunities" (status, sales_stage);

CREATE INDEX IF NOT EXISTS "crm_Opportunities_type_idx" ON "crm_Opportunities" (type);

CREATE INDEX IF NOT EXISTS "openAi_keys_user_idx" ON "openAi_keys" ("user");

CREATE INDEX IF NOT EXISTS "secondBrain_notions_user_idx" ON "secondBrain_notions" ("user");

CREATE INDEX IF NOT EXISTS "tasksComments_assigned_crm_account_task_idx" ON "tasksComments" (assigned_crm_account_task);

CREATE INDEX IF NOT EXISTS "tasksComments_task_idx" ON "tasksComments" (task);

CREATE INDEX IF NOT EXISTS "tasksComments_user_idx" ON "tasksComments" ("user");
