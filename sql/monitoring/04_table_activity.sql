-- 4 Activity per table
-- Tells: how the 20 most read tables are read and written since the statistics were reset. The numbers of
--   rows are PostgreSQL's estimates; exact ones are in `migration-assets monitor --daily`.
-- Thresholds: many sequential scans that read many rows of a large table ask for an index; a table never
--   analyzed asks for ANALYZE.
SELECT /* migration-assets */
    format('%I.%I', schemaname, relname) AS "table",
    seq_scan AS sequential_scans,
    seq_tup_read AS rows_read_sequentially,
    coalesce(idx_scan, 0) AS index_scans,
    coalesce(idx_tup_fetch, 0) AS rows_fetched_by_index,
    n_tup_ins AS inserted,
    n_tup_upd AS updated,
    n_tup_del AS deleted,
    n_live_tup AS estimated_live_rows,
    n_dead_tup AS estimated_dead_rows,
    date_trunc('second', greatest(last_vacuum, last_autovacuum)) AS last_vacuum,
    date_trunc('second', greatest(last_analyze, last_autoanalyze)) AS last_analyze
FROM pg_stat_user_tables
ORDER BY seq_tup_read + coalesce(idx_tup_fetch, 0) DESC, 1
LIMIT 20;
