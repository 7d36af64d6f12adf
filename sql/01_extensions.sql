-- Extensions, where the server has them. Generated from the model by `migration-assets sql`; do not edit.

DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION IF NOT EXISTS "vector";
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'extension vector was not created: this role may not';
END $$;

DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'uuid-ossp') THEN
    CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
  END IF;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'extension uuid-ossp was not created: this role may not';
END $$;
