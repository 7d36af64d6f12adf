-- Roles and database of the migration, each with the least that its work needs.
-- Run once by a superuser, before the first migration; running it again changes nothing:
--
--   psql -d postgres -v ON_ERROR_STOP=1 -v database=nextcrm -v migration=nextcrm_migration \
--        -v application=nextcrm_app -v monitoring=nextcrm_monitor -f sql/roles/postgres.sql
--
-- Nobody can log in with a password until each role has been given one, which psql asks for and sends
-- encrypted: \password nextcrm_migration
--
--   migration    owns the database, and all that the migration and later schema migrations create in it
--   application  may connect, and nothing more until sql/roles/postgres_go_live.sql
--   monitoring   may connect and read the server's statistics; sql/roles/postgres_monitoring.sql adds the
--                ledgers of the migration, which hold counts and no values

SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name)
FROM unnest(ARRAY[:'migration', :'application', :'monitoring']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

-- A superuser that is none in full, as managed services have it, must be a member to give a database away.
SELECT format('GRANT %I TO CURRENT_USER', :'migration')
WHERE NOT pg_has_role(current_user, :'migration', 'MEMBER')
\gexec

SELECT format('CREATE DATABASE %I OWNER %I ENCODING ''UTF8'' TEMPLATE template0', :'database', :'migration')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database')
\gexec

ALTER DATABASE :"database" OWNER TO :"migration";
ALTER DATABASE :"database" SET timezone = 'UTC';
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"application", :"monitoring";
GRANT pg_monitor TO :"monitoring";

\connect :database

-- As PostgreSQL 15 has it in a new database; one that was upgraded may still let everybody create here.
ALTER SCHEMA public OWNER TO pg_database_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- Extensions that the application uses later, where the server has them: not every role may create them.
SELECT format('CREATE EXTENSION IF NOT EXISTS %I', name)
FROM pg_available_extensions WHERE name IN ('vector', 'uuid-ossp')
\gexec
