-- Before the later schema migrations: puts aside what they drop, and makes ready what they would refuse.
-- Written for NextCRM 0.21.2. Run by the migration role, with the application off, after 01_baseline.sql:
--
--   psql "$TARGET_POSTGRES_URL" -v ON_ERROR_STOP=1 -f sql/application/02_before_deploy.sql
--
-- The schema `legacy` gets, under each table's own name, the rows that are dropped with their table, or the
-- keys and the columns that are dropped or changed. Among them are addresses and API keys: it has no
-- grants. Nothing is changed where a number is out of range: such numbers are corrected by hand.
-- Running it again changes nothing, unless the migration has loaded a table since: then it is done anew.

BEGIN;
SET LOCAL search_path = public;
SET LOCAL lock_timeout = '10s';

DO $before$
DECLARE
    later text;
    done_at timestamptz;
    name text;
    number bigint;
    missing text;
    older text;
    wrong text := '';
BEGIN
    IF to_regclass('public."tasksComments"') IS NULL OR NOT EXISTS (
        SELECT FROM pg_class WHERE relname = 'uuid_map' AND relnamespace = to_regnamespace('migration')
    ) THEN
        RAISE EXCEPTION 'this database was not migrated by migration-assets: nothing was changed'
            USING HINT = 'Give the URL of the migrated target.';
    END IF;
    IF NOT (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'public."tasksComments"'::regclass) THEN
        RAISE EXCEPTION 'role % does not own the tables: nothing was changed', current_user
            USING HINT = 'Run this as the role of the migration.';
    END IF;
    IF to_regclass('public._prisma_migrations') IS NULL THEN
        RAISE EXCEPTION 'there is no baseline: nothing was changed'
            USING HINT = 'Run sql/application/01_baseline.sql first.';
    END IF;
    IF to_regclass('legacy.upgrade') IS NOT NULL THEN
        SELECT u.done_at INTO done_at FROM legacy.upgrade u WHERE u.step = 'before deploy';
    END IF;
    IF done_at IS NULL AND to_regnamespace('legacy') IS NOT NULL THEN
        RAISE EXCEPTION 'there is a schema legacy that is not of this upgrade: nothing was changed'
            USING HINT = 'ALTER SCHEMA legacy RENAME TO another name, then again.';
    END IF;
    SELECT migration_name INTO later FROM _prisma_migrations
    WHERE migration_name <> '0_init' AND rolled_back_at IS NULL ORDER BY started_at LIMIT 1;
    IF later IS NOT NULL AND done_at IS NOT NULL THEN
        RAISE NOTICE 'done at %, and later schema migrations have begun: nothing to do', done_at;
        RETURN;
    ELSIF later IS NOT NULL THEN
        RAISE EXCEPTION 'schema migration % was begun before anything was put aside', later
            USING HINT = 'Restore the backup of before it; invoices, administrators and lead sources may be gone here.';
    ELSIF NOT EXISTS (SELECT FROM _prisma_migrations WHERE migration_name = '0_init' AND finished_at IS NOT NULL) THEN
        RAISE EXCEPTION 'there is no baseline: nothing was changed'
            USING HINT = 'Run sql/application/01_baseline.sql first.';
    END IF;
    IF done_at IS NOT NULL AND NOT EXISTS (SELECT FROM migration.loads l WHERE l.finished_at > done_at) THEN
        RAISE NOTICE 'done at %: nothing to do', done_at;
        RETURN;
    END IF;

    SELECT string_agg(place, ', ') INTO missing FROM unnest(ARRAY[
        'Users.is_admin', 'Users.is_account_admin', 'Documents.document_system_type', 'Invoices.invoice_file_url',
        'DocumentsToInvoices.invoice_id', 'openAi_keys.api_key', 'system_Modules_Enabled.name', 'gpt_models.status',
        'modulStatus.name', 'crm_Contacts.type', 'crm_Contacts.created_by', 'crm_Leads.lead_source',
        'crm_Leads.status', 'crm_Leads.type', 'crm_Opportunities.created_by', 'crm_Opportunities.currency',
        'crm_Opportunities_Sales_Stages.probability', 'crm_Opportunities_Type.order'
    ]) AS place
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = to_regclass(format('public.%I', split_part(place, '.', 1)))
          AND a.attname = split_part(place, '.', 2) AND NOT a.attisdropped
    );
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'the tables are not as the migration made them, of another release: % missing; nothing was changed',
            missing USING HINT = 'See docs/runbooks/upgrade.md, "A later release".';
    END IF;

    -- What the schema migrations fail on, and nobody but the operator can decide.
    SELECT count(*) INTO number FROM "crm_Opportunities"
    WHERE abs(budget::numeric) >= 1e16 OR abs(expected_revenue::numeric) >= 1e16;
    IF number > 0 THEN
        wrong := wrong || format('%s of crm_Opportunities have a budget or expected_revenue of 10^16 or more; ', number);
    END IF;
    SELECT (SELECT count(*) FROM "crm_Opportunities_Sales_Stages"
            WHERE probability NOT BETWEEN -2147483648 AND 2147483647 OR "order" NOT BETWEEN -2147483648 AND 2147483647)
         + (SELECT count(*) FROM "crm_Opportunities_Type" WHERE "order" NOT BETWEEN -2147483648 AND 2147483647)
    INTO number;
    IF number > 0 THEN
        wrong := wrong || format('%s sales stages or types have an order or probability beyond 32 bits; ', number);
    END IF;
    IF wrong <> '' THEN
        RAISE EXCEPTION 'numbers out of range: %nothing was changed', wrong
            USING HINT = 'Correct them in these tables, then again.';
    END IF;

    IF done_at IS NOT NULL THEN
        older := 'legacy_' || to_char(done_at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS');
        EXECUTE format('ALTER SCHEMA legacy RENAME TO %I', older);
        RAISE NOTICE 'a table was loaded since %: done anew; what was put aside then is in %', done_at, older;
    END IF;
    CREATE SCHEMA legacy;
    COMMENT ON SCHEMA legacy IS 'What the schema migrations of NextCRM 0.21.2 dropped or changed, as it was before';
    CREATE TABLE legacy.upgrade (
        step text PRIMARY KEY, release text NOT NULL, done_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    -- Tables that are dropped.
    FOREACH name IN ARRAY ARRAY[
        'Invoices', 'DocumentsToInvoices', 'openAi_keys', 'system_Modules_Enabled', 'gpt_models', 'modulStatus'
    ] LOOP
        EXECUTE format('CREATE TABLE legacy.%1$I AS TABLE public.%1$I', name);
        GET DIAGNOSTICS number = ROW_COUNT;
        RAISE NOTICE 'put aside: % rows of %', number, name;
    END LOOP;
    ALTER TABLE legacy.gpt_models ALTER COLUMN status TYPE text; -- its type is dropped, too

    -- Columns that are dropped or changed.
    CREATE TABLE legacy."Users" AS
    SELECT id, email, is_admin, is_account_admin FROM "Users"
    WHERE is_admin OR is_account_admin OR email <> lower(email);
    CREATE TABLE legacy."crm_Leads" AS
    SELECT id, lead_source, status, type FROM "crm_Leads"
    WHERE lead_source IS NOT NULL OR status IS NOT NULL OR type IS NOT NULL;
    CREATE TABLE legacy."crm_Contacts" AS
    SELECT id, type, created_by, "createdBy" FROM "crm_Contacts"
    WHERE type IS NOT NULL OR created_by IS DISTINCT FROM "createdBy";
    CREATE TABLE legacy."crm_Opportunities" AS
    SELECT id, currency, created_by, "createdBy" FROM "crm_Opportunities"
    WHERE currency IS NOT NULL OR created_by IS DISTINCT FROM "createdBy";
    CREATE TABLE legacy."Documents" AS
    SELECT id, document_system_type::text FROM "Documents" WHERE document_system_type = 'INVOICE';
    SELECT count(*) INTO number FROM legacy."Users" WHERE is_admin;
    IF number = 0 THEN
        RAISE WARNING 'there is no administrator: name one after the deploy';
    ELSE
        RAISE NOTICE 'put aside: % administrators', number;
    END IF;
    SELECT count(lead_source) INTO number FROM legacy."crm_Leads";
    RAISE NOTICE 'put aside: % lead sources', number;
    SELECT (SELECT count(*) FROM legacy."crm_Contacts" WHERE created_by <> "createdBy")
         + (SELECT count(*) FROM legacy."crm_Opportunities" WHERE created_by <> "createdBy") INTO number;
    RAISE NOTICE 'put aside: % values of created_by that differ from createdBy', number;

    -- A label that the application no longer knows.
    UPDATE "Documents" SET document_system_type = 'OTHER' WHERE document_system_type = 'INVOICE';
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'changed: % documents from INVOICE to OTHER', number;

    -- Addresses, which it looks up in lower case.
    UPDATE "Users" u SET email = lower(email)
    WHERE email <> lower(email)
      AND NOT EXISTS (SELECT FROM "Users" o WHERE o.id <> u.id AND lower(o.email) = lower(u.email));
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'changed: % addresses to lower case', number;
    SELECT count(*) INTO number FROM "Users" WHERE email <> lower(email);
    IF number > 0 THEN
        RAISE WARNING '% addresses stay as they are, since another user has the same one apart from case', number
            USING HINT = 'Such a user cannot sign in: give one of the two another address.';
    END IF;

    -- Lists, whose tables are created as the schema migrations would, filled with what they do not know.
    CREATE TABLE IF NOT EXISTS "crm_Contact_Types" (
        id uuid NOT NULL DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL,
        CONSTRAINT "crm_Contact_Types_pkey" PRIMARY KEY (id), CONSTRAINT "crm_Contact_Types_name_key" UNIQUE (name)
    );
    CREATE TABLE IF NOT EXISTS "crm_Lead_Sources" (
        id uuid NOT NULL DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL,
        CONSTRAINT "crm_Lead_Sources_pkey" PRIMARY KEY (id), CONSTRAINT "crm_Lead_Sources_name_key" UNIQUE (name)
    );
    CREATE TABLE IF NOT EXISTS "crm_Lead_Statuses" (
        id uuid NOT NULL DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL,
        CONSTRAINT "crm_Lead_Statuses_pkey" PRIMARY KEY (id), CONSTRAINT "crm_Lead_Statuses_name_key" UNIQUE (name)
    );
    CREATE TABLE IF NOT EXISTS "crm_Lead_Types" (
        id uuid NOT NULL DEFAULT gen_random_uuid(), __v integer NOT NULL DEFAULT 0, name text NOT NULL,
        CONSTRAINT "crm_Lead_Types_pkey" PRIMARY KEY (id), CONSTRAINT "crm_Lead_Types_name_key" UNIQUE (name)
    );
    UPDATE "crm_Contacts" SET type = nullif(btrim(type), '') WHERE type IS DISTINCT FROM nullif(btrim(type), '');
    UPDATE "crm_Leads" SET status = nullif(btrim(status), ''), type = nullif(btrim(type), '')
    WHERE (status, type) IS DISTINCT FROM (nullif(btrim(status), ''), nullif(btrim(type), ''));
    INSERT INTO "crm_Contact_Types" (name)
    SELECT min(type) FROM "crm_Contacts" WHERE lower(type) NOT IN ('customer', 'partner', 'vendor', 'prospect')
    GROUP BY lower(type) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'listed: % more contact types', number;
    INSERT INTO "crm_Lead_Statuses" (name)
    SELECT min(status) FROM "crm_Leads" WHERE lower(status) NOT IN ('new', 'contacted', 'qualified', 'lost')
    GROUP BY lower(status) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'listed: % more lead statuses', number;
    INSERT INTO "crm_Lead_Types" (name)
    SELECT min(type) FROM "crm_Leads" WHERE lower(type) <> 'demo' GROUP BY lower(type) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'listed: % more lead types', number;
    INSERT INTO "crm_Lead_Sources" (name)
    SELECT DISTINCT btrim(lead_source) FROM "crm_Leads" WHERE btrim(lead_source) <> '' ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'listed: % lead sources', number;

    -- Currencies: codes of three letters are listed; of other texts nothing can be made but NULL.
    CREATE TABLE IF NOT EXISTS "Currency" (
        code varchar(3) NOT NULL, name text NOT NULL, symbol varchar(5) NOT NULL,
        "isEnabled" boolean NOT NULL DEFAULT true, "isDefault" boolean NOT NULL DEFAULT false,
        "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" timestamp(3) NOT NULL,
        CONSTRAINT "Currency_pkey" PRIMARY KEY (code)
    );
    UPDATE "crm_Opportunities" SET currency = upper(btrim(currency))
    WHERE btrim(currency) ~* '^[a-z]{3}$' AND currency <> upper(btrim(currency));
    INSERT INTO "Currency" (code, name, symbol, "updatedAt")
    SELECT DISTINCT currency, currency, currency, now() FROM "crm_Opportunities"
    WHERE currency ~ '^[A-Z]{3}$' AND currency NOT IN ('EUR', 'USD', 'CZK') ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'listed: % more currencies', number;
    SELECT count(*) INTO number FROM "crm_Opportunities"
    WHERE left(btrim(currency), 3) NOT IN (SELECT 'EUR' UNION SELECT 'USD' UNION SELECT 'CZK' UNION SELECT code FROM "Currency");
    IF number > 0 THEN
        RAISE WARNING '% currencies are no code of three letters and become NULL; the texts stay in legacy."crm_Opportunities"', number
            USING HINT = 'Correct them here before the deploy, or set them in the application after it.';
    END IF;

    INSERT INTO legacy.upgrade (step, release) VALUES ('before deploy', '0.21.2');
    RAISE NOTICE 'ready for `prisma migrate deploy` of release 0.21.2';
END
$before$;

COMMIT;
