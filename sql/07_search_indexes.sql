-- Full-text, containment and partial indexes. Generated from the model by `migration-assets sql`; do not edit.

CREATE INDEX IF NOT EXISTS "crm_Accounts_search_idx" ON "crm_Accounts" USING gin (to_tsvector('english'::regconfig, left("name", 20000)));

CREATE INDEX IF NOT EXISTS "crm_Contacts_search_idx" ON "crm_Contacts" USING gin (to_tsvector('english'::regconfig, coalesce(left("first_name", 20000), '') || ' ' || coalesce(left("last_name", 20000), '')));

CREATE INDEX IF NOT EXISTS "crm_Leads_search_idx" ON "crm_Leads" USING gin (to_tsvector('english'::regconfig, coalesce(left("firstName", 20000), '') || ' ' || coalesce(left("lastName", 20000), '') || ' ' || coalesce(left("company", 20000), '')));

CREATE INDEX IF NOT EXISTS "crm_Opportunities_search_idx" ON "crm_Opportunities" USING gin (to_tsvector('english'::regconfig, coalesce(left("name", 20000), '') || ' ' || coalesce(left("description", 20000), '')));

CREATE INDEX IF NOT EXISTS "Tasks_search_idx" ON "Tasks" USING gin (to_tsvector('english'::regconfig, coalesce(left("title", 20000), '') || ' ' || coalesce(left("content", 20000), '')));

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_search_idx" ON "crm_Accounts_Tasks" USING gin (to_tsvector('english'::regconfig, coalesce(left("title", 20000), '') || ' ' || coalesce(left("content", 20000), '')));

CREATE INDEX IF NOT EXISTS "Documents_search_idx" ON "Documents" USING gin (to_tsvector('english'::regconfig, coalesce(left("document_name", 20000), '') || ' ' || coalesce(left("description", 20000), '')));

CREATE INDEX IF NOT EXISTS "Invoices_search_idx" ON "Invoices" USING gin (to_tsvector('english'::regconfig, coalesce(left("invoice_number", 20000), '') || ' ' || coalesce(left("partner", 20000), '') || ' ' || coalesce(left("description", 20000), '')));

CREATE INDEX IF NOT EXISTS "crm_Contacts_notes_gin_idx" ON "crm_Contacts" USING gin (("notes"::character varying(500)[]));

CREATE INDEX IF NOT EXISTS "Tasks_tags_gin_idx" ON "Tasks" USING gin ("tags");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_tags_gin_idx" ON "crm_Accounts_Tasks" USING gin ("tags");

CREATE INDEX IF NOT EXISTS "Documents_tags_gin_idx" ON "Documents" USING gin ("tags");

CREATE INDEX IF NOT EXISTS "Invoices_invoice_items_gin_idx" ON "Invoices" USING gin ("invoice_items");

CREATE INDEX IF NOT EXISTS "Users_active_idx" ON "Users" ("userStatus") WHERE "userStatus" = 'ACTIVE'::"ActiveStatus";
