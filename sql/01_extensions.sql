-- Extensions, where the server has them. Generated from the model by `migration-assets sql`; do not edit.

DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN
    CREATE EXTENSION IF NOT EXISTS "vector";
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'extension vector was not created: %', SQLERRM;
END $$;

DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'uuid-ossp') THEN
    CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
  END IF;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'extension uuid-ossp was not created: %', SQLERRM;
END $$;
