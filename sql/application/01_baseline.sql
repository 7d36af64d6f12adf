-- The baseline: tells Prisma that the tables of its first schema migration are there.
-- Written for NextCRM 0.21.2. Run by the migration role, after a signed GO and a backup:
--
--   psql "$TARGET_POSTGRES_URL" -v ON_ERROR_STOP=1 -f sql/application/01_baseline.sql
--
-- With Node at hand, `prisma migrate resolve --applied 0_init` does the same. Without a baseline
-- `prisma migrate deploy`, and with it the application's container, ends with P3005.
-- Running it again changes nothing.

BEGIN;
SET LOCAL search_path = public;
SET LOCAL lock_timeout = '10s';

DO $baseline$
DECLARE
    -- SHA-256 of prisma/migrations/0_init/migration.sql, which no release has changed so far.
    checksum_of_0_init CONSTANT text := '0c30baa2b075fa76f0f49db0bcbd593a631f7a1f5585f7a545775bb37a2e549d';
    recorded record;
    other text;
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
        CREATE TABLE _prisma_migrations (
            id varchar(36) NOT NULL PRIMARY KEY,
            checksum varchar(64) NOT NULL,
            finished_at timestamptz,
            migration_name varchar(255) NOT NULL,
            logs text,
            rolled_back_at timestamptz,
            started_at timestamptz NOT NULL DEFAULT now(),
            applied_steps_count integer NOT NULL DEFAULT 0
        );
    END IF;
    SELECT * INTO recorded FROM _prisma_migrations
    WHERE migration_name = '0_init' AND rolled_back_at IS NULL
    ORDER BY finished_at DESC NULLS LAST LIMIT 1;
    IF recorded.finished_at IS NOT NULL THEN
        IF recorded.checksum <> checksum_of_0_init THEN
            RAISE EXCEPTION '0_init is recorded with another checksum (%): it is of another application',
                recorded.checksum USING HINT = 'Look at what its 0_init creates before you go on.';
        END IF;
        RAISE NOTICE 'the baseline is there already: nothing to do';
        RETURN;
    END IF;
    IF recorded.id IS NOT NULL THEN
        RAISE EXCEPTION '0_init is recorded as begun and not as finished: nothing was changed'
            USING HINT = 'prisma migrate resolve --rolled-back 0_init, or delete that row; then again.';
    END IF;
    SELECT migration_name INTO other FROM _prisma_migrations ORDER BY started_at LIMIT 1;
    IF other IS NOT NULL AND other <> '0_init' THEN
        RAISE EXCEPTION '% is recorded, and no 0_init before it: nothing was changed', other
            USING HINT = 'This is not a target that was just migrated.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM migration.sign_offs WHERE verdict = 'GO' AND approver IS NOT NULL AND withdrawn_at IS NULL
    ) THEN
        RAISE WARNING 'nobody has signed a GO: this is a rehearsal, or too early';
    END IF;
    INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, logs)
    VALUES (gen_random_uuid()::text, checksum_of_0_init, now(), '0_init', '');
    RAISE NOTICE 'baseline: 0_init is marked as applied';
END
$baseline$;

COMMIT;
