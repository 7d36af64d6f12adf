-- 2 Active queries
-- Tells: what runs or holds a transaction open in this database now, the longest first. Needs the role
--   pg_monitor to see the sessions of others. The seconds of a session that is idle in a transaction are
--   those of its transaction.
-- Thresholds: a query of over 5 s is a warning (rule longest_query). End one with
--   SELECT pg_cancel_backend(pid), and where that does not help with pg_terminate_backend(pid).
-- The text may hold values of rows: psql shows it as it is, `migration-assets monitor` without literals.
SELECT /* migration-assets */
    pid,
    round(extract(epoch FROM clock_timestamp()
        - CASE WHEN state LIKE 'idle in transaction%' THEN xact_start ELSE query_start END
    )::numeric, 1) AS seconds,
    state,
    application_name AS application,
    client_addr AS client,
    wait_event_type AS waits_for,
    wait_event,
    left(query, 500) AS query
FROM pg_stat_activity
WHERE datname = current_database()
    AND backend_type = 'client backend'
    AND state <> 'idle'
    AND pid <> pg_backend_pid()
ORDER BY seconds DESC NULLS LAST, pid;
