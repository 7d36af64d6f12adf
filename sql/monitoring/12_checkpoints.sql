-- 12 Checkpoints
-- Tells: how often checkpoints came by the clock and how often because the WAL was full, what they cost,
--   and who wrote the buffers, since the statistics were reset. Needs PostgreSQL 17 or newer; for 15 and 16
--   there is 12_checkpoints_before_17.sql.
-- Thresholds: over 20 % requested means that max_wal_size is too small; more buffers written by client
--   backends than by checkpoints and the background writer means that shared_buffers is too small.
SELECT /* migration-assets */
    c.num_timed AS timed,
    c.num_requested AS requested,
    round(100.0 * c.num_requested / nullif(c.num_timed + c.num_requested, 0), 1)
        AS requested_percent,
    round((c.write_time / 1000)::numeric, 1) AS write_seconds,
    round((c.sync_time / 1000)::numeric, 1) AS sync_seconds,
    c.buffers_written AS buffers_by_checkpoints,
    b.buffers_clean AS buffers_by_background_writer,
    io.buffers AS buffers_by_client_backends,
    date_trunc('second', c.stats_reset) AS counted_since
FROM pg_stat_checkpointer c
CROSS JOIN pg_stat_bgwriter b
CROSS JOIN (
    -- 17 counts writes of op_bytes each, 18 counts the bytes.
    SELECT coalesce(sum(coalesce(
            (line ->> 'write_bytes')::numeric,
            (line ->> 'writes')::numeric * (line ->> 'op_bytes')::numeric
        )), 0)::bigint / current_setting('block_size')::int AS buffers
    FROM (SELECT to_jsonb(s) AS line FROM pg_stat_io s
          WHERE s.backend_type = 'client backend' AND s.object = 'relation') AS lines
) AS io;
