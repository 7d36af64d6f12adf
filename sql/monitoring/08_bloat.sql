-- 8 Bloat
-- Tells: the 20 tables with the most dead rows, and their share. The numbers of rows are PostgreSQL's
--   estimates.
-- Thresholds: over 20 % dead rows in a table with over 1,000 of them is a warning (rule dead_rows): look
--   why autovacuum does not come (a transaction held open?), then VACUUM (ANALYZE) the table.
SELECT /* migration-assets */
    format('%I.%I', schemaname, relname) AS "table",
    pg_total_relation_size(relid) AS bytes,
    pg_size_pretty(pg_total_relation_size(relid)) AS size,
    n_live_tup AS estimated_live_rows,
    n_dead_tup AS estimated_dead_rows,
    round(100.0 * n_dead_tup / nullif(n_live_tup + n_dead_tup, 0), 1) AS dead_percent,
    date_trunc('second', last_autovacuum) AS last_autovacuum
FROM pg_stat_user_tables
ORDER BY n_dead_tup DESC, bytes DESC NULLS LAST, 1
LIMIT 20;
