-- Full-text, containment and partial indexes. Generated from the model by `migration-assets sql`; do not edit.

CREATE INDEX IF NOT EXISTS "crm_Accounts_search_idx" ON "crm_Accounts" USING gin (to_tsvector('english'::regconfig, "name"));

CREATE INDEX IF NOT EXISTS "crm_Contacts_search_idx" ON "crm_Contacts" USING gin (to_tsvector('english'::regconfig, coalesce("first_name", '') || ' ' || coalesce("last_name", '')));

CREATE INDEX IF NOT EXISTS "crm_Leads_search_idx" ON "crm_Leads" USING gin (to_tsvector('english'::regconfig, coalesce("firstName", '') || ' ' || coalesce("lastName", '') || ' ' || coalesce("company", '')));

CREATE INDEX IF NOT EXISTS "crm_Opportunities_search_idx" ON "crm_Opportunities" USING gin (to_tsvector('english'::regconfig, coalesce("name", '') || ' ' || coalesce("description", '')));

CREATE INDEX IF NOT EXISTS "Tasks_search_idx" ON "Tasks" USING gin (to_tsvector('english'::regconfig, coalesce("title", '') || ' ' || coalesce("content", '')));

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_search_idx" ON "crm_Accounts_Tasks" USING gin (to_tsvector('english'::regconfig, coalesce("title", '') || ' ' || coalesce("content", '')));

CREATE INDEX IF NOT EXISTS "Documents_search_idx" ON "Documents" USING gin (to_tsvector('english'::regconfig, coalesce("document_name", '') || ' ' || coalesce("description", '')));

CREATE INDEX IF NOT EXISTS "Invoices_search_idx" ON "Invoices" USING gin (to_tsvector('english'::regconfig, coalesce("invoice_number", '') || ' ' || coalesce("partner", '') || ' ' || coalesce("description", '')));

CREATE INDEX IF NOT EXISTS "crm_Contacts_notes_gin_idx" ON "crm_Contacts" USING gin ("notes");

CREATE INDEX IF NOT EXISTS "Tasks_tags_gin_idx" ON "Tasks" USING gin ("tags");

CREATE INDEX IF NOT EXISTS "crm_Accounts_Tasks_tags_gin_idx" ON "crm_Accounts_Tasks" USING gin ("tags");

CREATE INDEX IF NOT EXISTS "Documents_tags_gin_idx" ON "Documents" USING gin ("tags");

CREATE INDEX IF NOT EXISTS "Invoices_invoice_items_gin_idx" ON "Invoices" USING gin ("invoice_items");

CREATE INDEX IF NOT EXISTS "Users_active_idx" ON "Users" ("userStatus") WHERE "userStatus" = 'ACTIVE'::"ActiveStatus";
