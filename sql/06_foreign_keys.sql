-- Foreign keys, added after the load. Generated from the model by `migration-assets sql`; do not edit.

ALTER TABLE "AccountWatchers" ADD CONSTRAINT "AccountWatchers_account_id_fkey" FOREIGN KEY(account_id) REFERENCES "crm_Accounts" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "AccountWatchers" ADD CONSTRAINT "AccountWatchers_user_id_fkey" FOREIGN KEY(user_id) REFERENCES "Users" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "BoardWatchers" ADD CONSTRAINT "BoardWatchers_board_id_fkey" FOREIGN KEY(board_id) REFERENCES "Boards" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "BoardWatchers" ADD CONSTRAINT "BoardWatchers_user_id_fkey" FOREIGN KEY(user_id) REFERENCES "Users" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "Boards" ADD CONSTRAINT "Boards_user_fkey" FOREIGN KEY("user") REFERENCES "Users" (id) ON DELETE RESTRICT ON UPDATE CASCADE;

ALTER TABLE "ContactsToOpportunities" ADD CONSTRAINT "ContactsToOpportunities_contact_id_fkey" FOREIGN KEY(contact_id) REFERENCES "crm_Contacts" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "ContactsToOpportunities" ADD CONSTRAINT "ContactsToOpportunities_opportunity_id_fkey" FOREIGN KEY(opportunity_id) REFERENCES "crm_Opportunities" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToAccounts" ADD CONSTRAINT "DocumentsToAccounts_account_id_fkey" FOREIGN KEY(account_id) REFERENCES "crm_Accounts" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToAccounts" ADD CONSTRAINT "DocumentsToAccounts_document_id_fkey" FOREIGN KEY(document_id) REFERENCES "Documents" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToContacts" ADD CONSTRAINT "DocumentsToContacts_contact_id_fkey" FOREIGN KEY(contact_id) REFERENCES "crm_Contacts" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToContacts" ADD CONSTRAINT "DocumentsToContacts_document_id_fkey" FOREIGN KEY(document_id) REFERENCES "Documents" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToCrmAccountsTasks" ADD CONSTRAINT "DocumentsToCrmAccountsTasks_crm_accounts_task_id_fkey" FOREIGN KEY(crm_accounts_task_id) REFERENCES "crm_Accounts_Tasks" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToCrmAccountsTasks" ADD CONSTRAINT "DocumentsToCrmAccountsTasks_document_id_fkey" FOREIGN KEY(document_id) REFERENCES "Documents" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToInvoices" ADD CONSTRAINT "DocumentsToInvoices_document_id_fkey" FOREIGN KEY(document_id) REFERENCES "Documents" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToInvoices" ADD CONSTRAINT "DocumentsToInvoices_invoice_id_fkey" FOREIGN KEY(invoice_id) REFERENCES "Invoices" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToLeads" ADD CONSTRAINT "DocumentsToLeads_document_id_fkey" FOREIGN KEY(document_id) REFERENCES "Documents" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToLeads" ADD CONSTRAINT "DocumentsToLeads_lead_id_fkey" FOREIGN KEY(lead_id) REFERENCES "crm_Leads" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToOpportunities" ADD CONSTRAINT "DocumentsToOpportunities_document_id_fkey" FOREIGN KEY(document_id) REFERENCES "Documents" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToOpportunities" ADD CONSTRAINT "DocumentsToOpportunities_opportunity_id_fkey" FOREIGN KEY(opportunity_id) REFERENCES "crm_Opportunities" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToTasks" ADD CONSTRAINT "DocumentsToTasks_document_id_fkey" FOREIGN KEY(document_id) REFERENCES "Documents" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "DocumentsToTasks" ADD CONSTRAINT "DocumentsToTasks_task_id_fkey" FOREIGN KEY(task_id) REFERENCES "Tasks" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "Documents" ADD CONSTRAINT "Documents_assigned_user_fkey" FOREIGN KEY(assigned_user) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "Documents" ADD CONSTRAINT "Documents_created_by_user_fkey" FOREIGN KEY(created_by_user) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "Documents" ADD CONSTRAINT "Documents_document_type_fkey" FOREIGN KEY(document_type) REFERENCES "Documents_Types" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "Invoices" ADD CONSTRAINT "Invoices_assigned_account_id_fkey" FOREIGN KEY(assigned_account_id) REFERENCES "crm_Accounts" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "Invoices" ADD CONSTRAINT "Invoices_assigned_user_id_fkey" FOREIGN KEY(assigned_user_id) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "Invoices" ADD CONSTRAINT "Invoices_invoice_state_id_fkey" FOREIGN KEY(invoice_state_id) REFERENCES "invoice_States" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "Sections" ADD CONSTRAINT "Sections_board_fkey" FOREIGN KEY(board) REFERENCES "Boards" (id) ON DELETE RESTRICT ON UPDATE CASCADE;

ALTER TABLE "Tasks" ADD CONSTRAINT "Tasks_section_fkey" FOREIGN KEY(section) REFERENCES "Sections" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "Tasks" ADD CONSTRAINT "Tasks_user_fkey" FOREIGN KEY("user") REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Accounts_Tasks" ADD CONSTRAINT "crm_Accounts_Tasks_account_fkey" FOREIGN KEY(account) REFERENCES "crm_Accounts" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Accounts_Tasks" ADD CONSTRAINT "crm_Accounts_Tasks_user_fkey" FOREIGN KEY("user") REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Accounts" ADD CONSTRAINT "crm_Accounts_assigned_to_fkey" FOREIGN KEY(assigned_to) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Accounts" ADD CONSTRAINT "crm_Accounts_industry_fkey" FOREIGN KEY(industry) REFERENCES "crm_Industry_Type" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Contacts" ADD CONSTRAINT "crm_Contacts_accountsIDs_fkey" FOREIGN KEY("accountsIDs") REFERENCES "crm_Accounts" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Contacts" ADD CONSTRAINT "crm_Contacts_assigned_to_fkey" FOREIGN KEY(assigned_to) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Contacts" ADD CONSTRAINT "crm_Contacts_created_by_fkey" FOREIGN KEY(created_by) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Contracts" ADD CONSTRAINT "crm_Contracts_account_fkey" FOREIGN KEY(account) REFERENCES "crm_Accounts" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Contracts" ADD CONSTRAINT "crm_Contracts_assigned_to_fkey" FOREIGN KEY(assigned_to) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Leads" ADD CONSTRAINT "crm_Leads_accountsIDs_fkey" FOREIGN KEY("accountsIDs") REFERENCES "crm_Accounts" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Leads" ADD CONSTRAINT "crm_Leads_assigned_to_fkey" FOREIGN KEY(assigned_to) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Opportunities" ADD CONSTRAINT "crm_Opportunities_account_fkey" FOREIGN KEY(account) REFERENCES "crm_Accounts" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Opportunities" ADD CONSTRAINT "crm_Opportunities_assigned_to_fkey" FOREIGN KEY(assigned_to) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Opportunities" ADD CONSTRAINT "crm_Opportunities_campaign_fkey" FOREIGN KEY(campaign) REFERENCES crm_campaigns (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Opportunities" ADD CONSTRAINT "crm_Opportunities_created_by_fkey" FOREIGN KEY(created_by) REFERENCES "Users" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Opportunities" ADD CONSTRAINT "crm_Opportunities_sales_stage_fkey" FOREIGN KEY(sales_stage) REFERENCES "crm_Opportunities_Sales_Stages" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "crm_Opportunities" ADD CONSTRAINT "crm_Opportunities_type_fkey" FOREIGN KEY(type) REFERENCES "crm_Opportunities_Type" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "openAi_keys" ADD CONSTRAINT "openAi_keys_user_fkey" FOREIGN KEY("user") REFERENCES "Users" (id) ON DELETE RESTRICT ON UPDATE CASCADE;

ALTER TABLE "secondBrain_notions" ADD CONSTRAINT "secondBrain_notions_user_fkey" FOREIGN KEY("user") REFERENCES "Users" (id) ON DELETE RESTRICT ON UPDATE CASCADE;

ALTER TABLE "tasksComments" ADD CONSTRAINT "tasksComments_assigned_crm_account_task_fkey" FOREIGN KEY(assigned_crm_account_task) REFERENCES "crm_Accounts_Tasks" (id) ON DELETE SET NULL ON UPDATE CASCADE;

ALTER TABLE "tasksComments" ADD CONSTRAINT "tasksComments_task_fkey" FOREIGN KEY(task) REFERENCES "Tasks" (id) ON DELETE CASCADE ON UPDATE CASCADE;

ALTER TABLE "tasksComments" ADD CONSTRAINT "tasksComments_user_fkey" FOREIGN KEY("user") REFERENCES "Users" (id) ON DELETE RESTRICT ON UPDATE CASCADE;
