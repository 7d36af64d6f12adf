-- 7 Cache hit ratio
-- Tells: the share of blocks of tables and of indexes that were found in shared_buffers, since the
--   statistics were reset; NULL where nothing was read yet. The load of the migration counts: reset the
--   statistics at go-live with SELECT pg_stat_reset().
-- Thresholds: over 99 % is the aim, below 95 % a warning, below 90 % critical (KPI cache_hit).
SELECT /* migration-assets */
    coalesce(sum(heap_blks_hit), 0) AS table_blocks_hit,
    coalesce(sum(heap_blks_read), 0) AS table_blocks_read,
    round(100.0 * sum(heap_blks_hit) / nullif(sum(heap_blks_hit) + sum(heap_blks_read), 0), 2)
        AS table_hit_percent,
    round(100.0 * sum(idx_blks_hit) / nullif(sum(idx_blks_hit) + sum(idx_blks_read), 0), 2)
        AS index_hit_percent
FROM pg_statio_user_tables;
