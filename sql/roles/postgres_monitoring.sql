-- Lets monitoring read the ledgers of the migration (counts, names and times), and keep its own samples.
-- Run by the migration role once the first run, or `migration/target_schema`, has created them:
--
--   psql -d nextcrm -U nextcrm_migration -v ON_ERROR_STOP=1 -v monitoring=nextcrm_monitor \
--        -f sql/roles/postgres_monitoring.sql
--
-- Not among them are rejected_documents, issues and unmapped_fields: they hold the originals of values, those
-- of secret fields too. Nor are the application's own tables.

GRANT USAGE ON SCHEMA migration TO :"monitoring";
GRANT SELECT ON migration.loads, migration.batches, migration.conversions, migration.check_results,
  migration.sign_offs TO :"monitoring";
-- The history of `migration-assets monitor` and of the job `monitor`: numbers of its own.
GRANT SELECT, INSERT, UPDATE ON migration.monitoring_samples TO :"monitoring";
GRANT SELECT, INSERT, UPDATE ON migration.monitoring_samples TO :"monitoring";
