-- Lets the application read and write rows: after the sign-off, not before.
-- Run by the migration role:
--
--   psql -d nextcrm -U nextcrm_migration -v ON_ERROR_STOP=1 -v application=nextcrm_app \
--        -f sql/roles/postgres_go_live.sql
--
-- The application gets rows and no DDL, and nothing of the schemas `migration` and `migration_staging`,
-- whose tables hold originals of secret fields. Its later schema migrations (Prisma's `migrate deploy`) run as
-- the migration role; the tables that they create are open to the application from the start.

GRANT USAGE ON SCHEMA public TO :"application";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"application";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO :"application";
ALTER DEFAULT PRIVILEGES IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"application";
ALTER DEFAULT PRIVILEGES IN SCHEMA public
  GRANT USAGE, SELECT ON SEQUENCES TO :"application";
