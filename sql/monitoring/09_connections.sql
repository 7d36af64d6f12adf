-- 9 Connections
-- Tells: how many connections of the whole server are in which state, and the longest that one of them
--   has been in it. Needs the role pg_monitor to see the state of others' sessions.
-- Thresholds: one idle in a transaction for over a minute is a fault of the application, and keeps vacuum
--   from its work; idle for over 10 minutes in large numbers is a pool that is too large.
SELECT /* migration-assets */
    coalesce(state, 'not visible to this role') AS state,
    count(*) AS connections,
    count(*) FILTER (WHERE datname = current_database()) AS to_this_database,
    round(extract(epoch FROM max(clock_timestamp() - state_change))::numeric, 1) AS longest_seconds
FROM pg_stat_activity
WHERE pid <> pg_backend_pid()
    AND (backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL))
GROUP BY 1
ORDER BY 2 DESC, 1;
