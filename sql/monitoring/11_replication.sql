-- 11 Replication
-- Tells: how far each standby is behind, in seconds and bytes; no row where there is none. A standby that
--   has caught up and hears of nothing new reports no time: that is 0 s. Needs the role pg_monitor.
-- Thresholds: over 5 s is a warning, over 30 s critical (KPI replication_lag). A standby that is missing
--   here is the worst lag of all.
SELECT /* migration-assets */
    application_name AS standby,
    client_addr AS client,
    state,
    sync_state,
    sent_lsn,
    replay_lsn,
    pg_wal_lsn_diff(current_lsn, replay_lsn) AS behind_bytes,
    CASE WHEN replay_lsn IS NOT NULL
        THEN round(coalesce(extract(epoch FROM replay_lag), 0)::numeric, 3) END AS behind_seconds
FROM pg_stat_replication
CROSS JOIN (
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
        ELSE pg_current_wal_lsn() END AS current_lsn
) AS here
ORDER BY behind_bytes DESC NULLS LAST, 1;
