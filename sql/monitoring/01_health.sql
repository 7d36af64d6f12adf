-- 1 Health
-- Tells: version, name, start and size of the database, and the connections of the whole server against
--   what ordinary roles may open.
-- Thresholds: over 80 % of the limit is a warning, over 95 % critical (KPI pool_usage); over 150
--   connections is a warning, over 180 critical (KPI connections).
SELECT /* migration-assets */
    current_setting('server_version') AS version,
    current_database() AS database,
    date_trunc('second', pg_postmaster_start_time()) AS started_at,
    pg_database_size(current_database()) AS bytes,
    pg_size_pretty(pg_database_size(current_database())) AS size,
    connections,
    connection_limit,
    round(100.0 * connections / nullif(connection_limit, 0), 1) AS used_percent
FROM (
    SELECT
        -- A role without pg_monitor does not see what kind of backend another role's is.
        (SELECT count(*) FROM pg_stat_activity
         WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)
        ) AS connections,
        current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0) -- since 16
            AS connection_limit
) AS counted;
