-- After the later schema migrations: brings back administrators, lead sources and the comments on CRM tasks.
-- Written for NextCRM 0.21.2. Run by the migration role, before the application is started:
--
--   psql "$TARGET_POSTGRES_URL" -v ON_ERROR_STOP=1 -f sql/application/03_after_deploy.sql
--
-- Running it again changes nothing: what the application changed since stays.

BEGIN;
SET LOCAL search_path = public;
SET LOCAL lock_timeout = '10s';

DO $after$
DECLARE
    newest CONSTANT text := '20260719203102_aqunama_p4c_scope_level'; -- of release 0.21.2
    nul CONSTANT text := '(?<!\\)((?:\\\\)*)\\u0000'; -- in JSON, and not behind a backslash
    found text;
    done_at timestamptz;
    number bigint;
    waiting bigint;
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
    IF to_regclass('legacy.upgrade') IS NULL THEN
        RAISE EXCEPTION 'nothing was put aside in the schema legacy: nothing was changed'
            USING HINT = 'Run sql/application/02_before_deploy.sql, then the deploy, then this.';
    END IF;
    SELECT u.done_at INTO done_at FROM legacy.upgrade u WHERE u.step = 'after deploy';
    IF done_at IS NOT NULL THEN
        RAISE NOTICE 'done at %: nothing to do', done_at;
        RETURN;
    END IF;
    SELECT migration_name INTO found FROM _prisma_migrations
    WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY started_at LIMIT 1;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'schema migration % has not ended: nothing was changed', found
            USING HINT = 'Put right what its log names, then `prisma migrate deploy` again.';
    END IF;
    IF NOT EXISTS (SELECT FROM _prisma_migrations WHERE migration_name = newest AND rolled_back_at IS NULL) THEN
        RAISE EXCEPTION 'schema migration % of release 0.21.2 is not applied: nothing was changed', newest
            USING HINT = 'Run `prisma migrate deploy` of that release first.';
    END IF;
    SELECT migration_name INTO found FROM _prisma_migrations
    WHERE migration_name > newest AND rolled_back_at IS NULL ORDER BY 1 LIMIT 1;
    IF found IS NOT NULL THEN
        RAISE EXCEPTION 'schema migration % is of a later release, which this file does not know: nothing was changed', found
            USING HINT = 'See docs/runbooks/upgrade.md, "A later release".';
    END IF;

    -- The schema migrations make everybody a manager.
    UPDATE "Users" u SET role = 'admin' FROM legacy."Users" l
    WHERE l.id = u.id AND l.is_admin AND u.role <> 'admin';
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'brought back: % administrators', number;
    UPDATE "Users" SET role = 'user' WHERE role = 'manager' AND "userStatus" <> 'ACTIVE';
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'changed: % users who are not active from manager to user', number;
    IF NOT EXISTS (SELECT FROM "Users" WHERE role = 'admin' AND "userStatus" = 'ACTIVE') THEN
        RAISE WARNING 'there is no active administrator'
            USING HINT = 'UPDATE "Users" SET role = ''admin'', "userStatus" = ''ACTIVE'' WHERE email = …';
    END IF;

    UPDATE "crm_Leads" l SET lead_source_id = s.id
    FROM legacy."crm_Leads" o JOIN "crm_Lead_Sources" s ON s.name = btrim(o.lead_source)
    WHERE o.id = l.id AND l.lead_source_id IS NULL;
    GET DIAGNOSTICS number = ROW_COUNT;
    RAISE NOTICE 'brought back: % lead sources', number;

    -- Comments on CRM tasks: `task` may be missing from release 0.21.2 on, so they have a place. Their documents
    -- are canonical Extended JSON, whose U+0000 no text of PostgreSQL holds; what rules changed goes before.
    CREATE TEMPORARY TABLE comments ON COMMIT DROP AS
    WITH rejected AS (
        SELECT source_id, regexp_replace(document, nul, '\1\\ufffd', 'g')::jsonb || coalesce((
                   SELECT jsonb_object_agg(field, regexp_replace(replacement, nul, '\1\\ufffd', 'g')::jsonb ORDER BY r.ctid)
                   FROM migration.remediations r
                   WHERE r.target_table = 'tasksComments' AND r.source_id = d.source_id
                     AND element IS NULL AND replacement IS NOT NULL
               ), '{}') AS document
        FROM migration.rejected_documents d WHERE collection = 'tasksComments'
    )
    SELECT own.id, d.source_id, d.document, writer.id AS "user", task.id AS task
    FROM rejected d
    JOIN migration.uuid_map own ON own.collection = 'tasksComments' AND own.source_id = d.source_id
    JOIN migration.uuid_map named ON named.collection = 'crm_Accounts_Tasks'
        AND named.source_id = coalesce(
            d.document -> 'assigned_crm_account_task' ->> '$oid',
            d.document -> 'task' ->> '$oid',
            lower(d.document ->> 'task')
        )
    JOIN "crm_Accounts_Tasks" task ON task.id = named.id
    JOIN migration.uuid_map author ON author.collection = 'Users'
        AND author.source_id = coalesce(d.document -> 'user' ->> '$oid', lower(d.document ->> 'user'))
    JOIN "Users" writer ON writer.id = author.id
    WHERE jsonb_typeof(d.document -> 'comment') = 'string' AND d.source_id ~ '^[0-9a-f]{24}$'
      AND NOT EXISTS (SELECT FROM "tasksComments" c WHERE c.id = own.id);
    INSERT INTO "tasksComments" (id, __v, comment, "createdAt", "user", assigned_crm_account_task)
    SELECT id,
           coalesce((document -> '__v' ->> '$numberInt')::integer, 0),
           document ->> 'comment',
           timestamp 'epoch' + coalesce(
               (document -> 'createdAt' -> '$date' ->> '$numberLong')::bigint * interval '1 ms',
               ('x' || left(source_id, 8))::bit(32)::bigint * interval '1 s'
           ),
           "user",
           task
    FROM comments;
    GET DIAGNOSTICS number = ROW_COUNT;
    CREATE TABLE legacy."tasksComments" AS SELECT id, source_id FROM comments;
    RAISE NOTICE 'brought in: % comments on CRM tasks', number;
    SELECT count(*) INTO waiting FROM migration.rejected_documents r
    WHERE collection = 'tasksComments' AND NOT EXISTS (
        SELECT FROM migration.uuid_map m JOIN "tasksComments" c ON c.id = m.id
        WHERE m.collection = r.collection AND m.source_id = r.source_id
    );
    IF waiting > 0 THEN
        RAISE WARNING '% rejected comments stay in migration.rejected_documents: their task, user or text is missing', waiting;
    END IF;

    INSERT INTO legacy.upgrade (step, release) VALUES ('after deploy', '0.21.2');
    RAISE NOTICE 'the upgrade to release 0.21.2 is done';
END
$after$;

COMMIT;
