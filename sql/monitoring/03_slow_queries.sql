-- 3 Slow queries
-- Tells: the 20 statements of this database with the highest mean time, and their share of all time
--   spent, since the statistics were reset. Reset them at go-live, or the migration's own statements lead
--   the list: SELECT pg_stat_statements_reset().
-- Needs: the extension pg_stat_statements. Add it to shared_preload_libraries, restart the server, then
--   CREATE EXTENSION pg_stat_statements; and the role pg_monitor to see the statements of others.
-- Thresholds: a mean of over 100 ms is to be looked into, of over 1000 ms to be reviewed at once.
SELECT /* migration-assets */
    round(mean_exec_time::numeric, 3) AS mean_ms,
    round(max_exec_time::numeric, 3) AS max_ms,
    calls,
    round((100 * total_exec_time / nullif(sum(total_exec_time) OVER (), 0))::numeric, 2)
        AS share_percent,
    rows,
    left(query, 500) AS query
FROM pg_stat_statements
JOIN pg_database ON pg_database.oid = pg_stat_statements.dbid
WHERE datname = current_database()
    AND toplevel
    AND query NOT LIKE '%migration-assets%' -- the monitor's own
ORDER BY mean_exec_time DESC
LIMIT 20;
