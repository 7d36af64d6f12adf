-- What the schema migrations of NextCRM 0.21.2 make of the tables that a migrated database has, as far as the
-- files of sql/application/ are concerned: what they refuse, drop and change. Our own words, for tests.
BEGIN;

DROP TABLE "openAi_keys";
DROP TABLE IF EXISTS "system_Modules_Enabled";

CREATE TABLE IF NOT EXISTS "crm_Contact_Types" (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS "crm_Lead_Sources" (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS "crm_Lead_Statuses" (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS "crm_Lead_Types" (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL UNIQUE);
INSERT INTO "crm_Contact_Types" (name) VALUES ('Customer'), ('Partner'), ('Vendor'), ('Prospect') ON CONFLICT DO NOTHING;
INSERT INTO "crm_Lead_Statuses" (name) VALUES ('New'), ('Contacted'), ('Qualified'), ('Lost') ON CONFLICT DO NOTHING;
INSERT INTO "crm_Lead_Types" (name) VALUES ('Demo') ON CONFLICT DO NOTHING;
ALTER TABLE "crm_Contacts" ADD contact_type_id uuid REFERENCES "crm_Contact_Types" (id);
ALTER TABLE "crm_Leads" ADD lead_source_id uuid REFERENCES "crm_Lead_Sources" (id),
    ADD lead_status_id uuid REFERENCES "crm_Lead_Statuses" (id), ADD lead_type_id uuid REFERENCES "crm_Lead_Types" (id);
UPDATE "crm_Contacts" SET contact_type_id = t.id FROM "crm_Contact_Types" t WHERE lower(type) = lower(t.name);
UPDATE "crm_Leads" SET lead_status_id = s.id FROM "crm_Lead_Statuses" s WHERE lower(status) = lower(s.name);
UPDATE "crm_Leads" SET lead_type_id = t.id FROM "crm_Lead_Types" t WHERE lower(type) = lower(t.name);
DO $$
BEGIN
    ASSERT NOT EXISTS (SELECT FROM "crm_Contacts" WHERE type IS NOT NULL AND contact_type_id IS NULL), 'contact types';
    ASSERT NOT EXISTS (SELECT FROM "crm_Leads" WHERE status IS NOT NULL AND lead_status_id IS NULL), 'lead statuses';
    ASSERT NOT EXISTS (SELECT FROM "crm_Leads" WHERE type IS NOT NULL AND lead_type_id IS NULL), 'lead types';
END
$$;
ALTER TABLE "crm_Contacts" DROP type;
ALTER TABLE "crm_Leads" DROP status, DROP type, DROP lead_source;

ALTER TABLE "Users" ADD role text NOT NULL DEFAULT 'member';

CREATE TABLE IF NOT EXISTS "Currency" (
    code varchar(3) PRIMARY KEY, name text NOT NULL, symbol varchar(5) NOT NULL,
    "isEnabled" boolean NOT NULL DEFAULT true, "isDefault" boolean NOT NULL DEFAULT false,
    "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL);
INSERT INTO "Currency" (code, name, symbol, "updatedAt")
VALUES ('EUR', 'Euro', '€', now()), ('USD', 'US Dollar', '$', now()), ('CZK', 'Koruna', 'Kč', now()) ON CONFLICT DO NOTHING;
UPDATE "crm_Opportunities" SET currency = left(trim(currency), 3);
UPDATE "crm_Opportunities" SET currency = NULL WHERE currency NOT IN (SELECT code FROM "Currency");
ALTER TABLE "crm_Opportunities" ALTER budget TYPE numeric(18, 2), ALTER expected_revenue TYPE numeric(18, 2),
    ALTER currency TYPE varchar(3), ADD FOREIGN KEY (currency) REFERENCES "Currency" (code);

ALTER TABLE "crm_Opportunities_Sales_Stages" ALTER probability TYPE integer, ALTER "order" TYPE integer;
ALTER TABLE "crm_Opportunities_Type" ALTER "order" TYPE integer;
DROP TABLE gpt_models;
DROP TABLE "modulStatus";
DROP TYPE "gptStatus";

ALTER TABLE "tasksComments" ALTER task DROP NOT NULL;

DROP TABLE IF EXISTS "Invoices" CASCADE;
CREATE TABLE "Invoices" (id uuid, number text, CONSTRAINT "Invoices_pkey" PRIMARY KEY (id));

UPDATE "Users" SET role = CASE role WHEN 'admin' THEN 'admin' WHEN 'member' THEN 'manager' ELSE 'user' END;
UPDATE "Users" SET is_admin = (role = 'admin');
CREATE TYPE "AppRole" AS ENUM ('user', 'manager', 'admin');
ALTER TABLE "Users" ALTER role DROP DEFAULT, ALTER role TYPE "AppRole" USING role::"AppRole";
ALTER TABLE "Users" ALTER role SET DEFAULT 'user', DROP is_admin, DROP is_account_admin;

UPDATE "crm_Contacts" SET "createdBy" = created_by WHERE "createdBy" IS NULL;
UPDATE "crm_Opportunities" SET "createdBy" = created_by WHERE "createdBy" IS NULL;
ALTER TABLE "crm_Contacts" DROP created_by;
ALTER TABLE "crm_Opportunities" DROP created_by;

INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at)
SELECT gen_random_uuid()::text, repeat('0', 64), name, clock_timestamp()
FROM unnest(ARRAY['20260320000000_add_pgvector_embeddings', '20260719203102_aqunama_p4c_scope_level']) AS name;

COMMIT;
