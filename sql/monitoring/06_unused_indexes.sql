-- 6 Unused indexes
-- Tells: indexes that no query has used since the statistics were reset, the largest first. Primary keys and
--   unique indexes are left out: they keep rows apart, used or not. Standbys count for themselves.
-- Thresholds: none before two weeks of normal work, a month's end included. The application's own schema
--   migrations expect its indexes: drop one with a migration of the application, not by hand.
SELECT /* migration-assets */
    format('%I.%I', s.schemaname, s.relname) AS "table",
    s.indexrelname AS "index",
    pg_relation_size(s.indexrelid) AS bytes,
    pg_size_pretty(pg_relation_size(s.indexrelid)) AS size,
    (SELECT date_trunc('second', stats_reset) FROM pg_stat_database
     WHERE datname = current_database()) AS counted_since
FROM pg_stat_user_indexes s
JOIN pg_index i USING (indexrelid)
WHERE s.idx_scan = 0
    AND NOT i.indisprimary
    AND NOT i.indisunique
ORDER BY bytes DESC NULLS LAST, 1, 2;
