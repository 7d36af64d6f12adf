-- 12 Checkpoints
-- Tells: how often checkpoints came by the clock and how often because the WAL was full, what they cost,
--   and who wrote the buffers, since the statistics were reset. For PostgreSQL 15 and 16; since 17 there is
--   12_checkpoints.sql.
-- Thresholds: over 20 % requested means that max_wal_size is too small; more buffers written by client
--   backends than by checkpoints and the background writer means that shared_buffers is too small.
SELECT /* migration-assets */
    checkpoints_timed AS timed,
    checkpoints_req AS requested,
    round(100.0 * checkpoints_req / nullif(checkpoints_timed + checkpoints_req, 0), 1)
        AS requested_percent,
    round((checkpoint_write_time / 1000)::numeric, 1) AS write_seconds,
    round((checkpoint_sync_time / 1000)::numeric, 1) AS sync_seconds,
    buffers_checkpoint AS buffers_by_checkpoints,
    buffers_clean AS buffers_by_background_writer,
    buffers_backend AS buffers_by_client_backends,
    date_trunc('second', stats_reset) AS counted_since
FROM pg_stat_bgwriter;
