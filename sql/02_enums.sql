-- Enum types. Generated from the model by `migration-assets sql`; do not edit.

DO $$ BEGIN
  IF to_regtype('"ActiveStatus"') IS NULL THEN
    CREATE TYPE "ActiveStatus" AS ENUM ('ACTIVE', 'INACTIVE', 'PENDING');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"DocumentSystemType"') IS NULL THEN
    CREATE TYPE "DocumentSystemType" AS ENUM ('INVOICE', 'RECEIPT', 'CONTRACT', 'OFFER', 'OTHER');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"Language"') IS NULL THEN
    CREATE TYPE "Language" AS ENUM ('cz', 'en', 'de', 'uk');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"crm_Contact_Type"') IS NULL THEN
    CREATE TYPE "crm_Contact_Type" AS ENUM ('Customer', 'Partner', 'Vendor', 'Prospect');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"crm_Contracts_Status"') IS NULL THEN
    CREATE TYPE "crm_Contracts_Status" AS ENUM ('NOTSTARTED', 'INPROGRESS', 'SIGNED');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"crm_Lead_Status"') IS NULL THEN
    CREATE TYPE "crm_Lead_Status" AS ENUM ('NEW', 'CONTACTED', 'QUALIFIED', 'LOST');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"crm_Lead_Type"') IS NULL THEN
    CREATE TYPE "crm_Lead_Type" AS ENUM ('DEMO');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"crm_Opportunity_Status"') IS NULL THEN
    CREATE TYPE "crm_Opportunity_Status" AS ENUM ('ACTIVE', 'INACTIVE', 'PENDING', 'CLOSED');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"gptStatus"') IS NULL THEN
    CREATE TYPE "gptStatus" AS ENUM ('ACTIVE', 'INACTIVE');
  END IF;
END $$;

DO $$ BEGIN
  IF to_regtype('"taskStatus"') IS NULL THEN
    CREATE TYPE "taskStatus" AS ENUM ('ACTIVE', 'PENDING', 'COMPLETE');
  END IF;
END $$;
