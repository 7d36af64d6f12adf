-- 5 Index usage
-- Tells: how often each index was used since the statistics were reset, the most used first.
-- Thresholds: none of its own. The indexes of the foreign keys, of the filter columns and of the full-text
--   search should show scans within the first days.
SELECT /* migration-assets */
    format('%I.%I', schemaname, relname) AS "table",
    indexrelname AS "index",
    idx_scan AS scans,
    idx_tup_read AS entries_read,
    idx_tup_fetch AS rows_fetched,
    pg_relation_size(indexrelid) AS bytes,
    pg_size_pretty(pg_relation_size(indexrelid)) AS size
FROM pg_stat_user_indexes
ORDER BY idx_scan DESC, 1, 2;
